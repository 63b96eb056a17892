//! Pathname patterns: `*`, `?`, `[…]`, as fnmatch(3) has them.

use crate::effect::UNKNOWN;
use crate::work::Work;

/// Whether `pattern` matches the whole of `text`. Takes time in the product of the lengths at
/// most, without recursion.
pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on when what was tried fails: after the last star, one byte further.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        match (pattern.get(p), text.get(t)) {
            (Some(b'*'), _) => {
                retry = Some((p + 1, t));
                p += 1;
                continue;
            }
            (None, None) => return true,
            (Some(_), Some(&byte)) => {
                if let Some(length) = one(pattern.get(p..).unwrap_or_default(), byte) {
                    p += length;
                    t += 1;
                    continue;
                }
            }
            _ => {}
        }
        match &mut retry {
            Some((after, from)) if *from < text.len() => {
                *from += 1;
                (p, t) = (*after, *from);
            }
            _ => return false,
        }
    }
}

/// How much of the pattern's start is used up by matching `byte`; none if it does not match.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [b'?', ..] => Some(1),
        [b'[', rest @ ..] => match class(rest, byte) {
            Some((matched, length)) => matched.then_some(length + 1),
            None => (byte == b'[').then_some(1),
        },
        [b'\\', escaped, ..] => (*escaped == byte).then_some(2),
        // What is unknown may be anything.
        [UNKNOWN, ..] => Some(1),
        [first, ..] => (*first == byte || byte == UNKNOWN).then_some(1),
        [] => None,
    }
}

/// Reads a bracket expression behind its `[`: whether it holds `byte`, and its length.
fn class(pattern: &[u8], byte: u8) -> Option<(bool, usize)> {
    let negated = matches!(pattern.first(), Some(b'!' | b'^'));
    let mut at = usize::from(negated);
    let (start, mut found) = (at, false);
    loop {
        match pattern.get(at..)? {
            [b']', ..] if at > start => return Some((found != negated, at + 1)),
            [b'[', b':', rest @ ..] => {
                let end = rest.windows(2).take(12).position(|two| two == b":]")?;
                found |= named(rest.get(..end)?, byte);
                at += end + 4;
            }
            [low, b'-', high, ..] if *high != b']' => {
                found |= (*low..=*high).contains(&byte);
                at += 3;
            }
            [single, ..] => {
                found |= *single == byte;
                at += 1;
            }
            [] => return None,
        }
    }
}

fn named(name: &[u8], byte: u8) -> bool {
    match name {
        b"alpha" => byte.is_ascii_alphabetic(),
        b"digit" => byte.is_ascii_digit(),
        b"alnum" => byte.is_ascii_alphanumeric(),
        b"upper" => byte.is_ascii_uppercase(),
        b"lower" => byte.is_ascii_lowercase(),
        b"space" => byte.is_ascii_whitespace() || byte == 0x0b,
        b"blank" => matches!(byte, b' ' | b'\t'),
        b"punct" => byte.is_ascii_punctuation(),
        b"print" => byte.is_ascii_graphic() || byte == b' ',
        b"graph" => byte.is_ascii_graphic(),
        b"xdigit" => byte.is_ascii_hexdigit(),
        b"cntrl" => byte.is_ascii_control(),
        _ => false,
    }
}

/// What [`matches()`] costs at most.
pub(crate) fn cost(pattern: &[u8], text: &[u8]) -> usize {
    // Behind the last star, the pattern is compared at each place.
    let star = pattern.iter().rposition(|byte| *byte == b'*');
    let again = star.map_or(0, |_| pattern.len());
    (pattern.len() + text.len() + again.saturating_mul(text.len())) / 16
}

/// What one byte is compared with.
#[derive(Debug, Clone, Copy)]
enum Token<'p> {
    Star,
    /// What [`one`] understands.
    One(&'p [u8]),
}

fn tokens(pattern: &[u8]) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = pattern;
    while let Some(first) = rest.first() {
        let length = match (first, rest) {
            (b'[', [_, inside @ ..]) => class(inside, 0).map_or(1, |(_, length)| length + 1),
            (b'\\', [_, _, ..]) => 2,
            _ => 1,
        };
        let (token, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
        tokens.push(if *first == b'*' { Token::Star } else { Token::One(token) });
        rest = after;
    }
    tokens
}

/// How much of the bytes, taken from the beginning, the tokens match: all ways are followed at
/// once. None also when there is too much work.
fn reach(
    tokens: &[Token<'_>],
    bytes: impl Iterator<Item = u8>,
    longest: bool,
    work: &mut Work,
) -> Option<usize> {
    let mut now = States::new(tokens.len());
    let mut next = States::new(tokens.len());
    now.enter(tokens, 0);
    let mut found = now.done.then_some(0);
    for (at, byte) in bytes.enumerate() {
        if now.list.is_empty() || found.is_some() && !longest {
            break;
        }
        if !work.spend(2 + now.list.len()) {
            return None;
        }
        next.clear();
        for state in &now.list {
            match tokens.get(*state) {
                Some(Token::Star) => next.enter(tokens, *state),
                Some(Token::One(token)) if one(token, byte).is_some() => {
                    next.enter(tokens, state + 1);
                }
                _ => {}
            }
        }
        std::mem::swap(&mut now, &mut next);
        if now.done {
            found = Some(at + 1);
        }
    }
    found
}

/// Places in a pattern at which a match may stand.
struct States {
    list: Vec<usize>,
    /// Which are in the list, as of the round.
    seen: Vec<usize>,
    round: usize,
    /// Whether the end of the pattern is reached.
    done: bool,
}

impl States {
    fn new(tokens: usize) -> Self {
        Self { list: Vec::new(), seen: vec![0; tokens], round: 1, done: false }
    }

    fn clear(&mut self) {
        self.list.clear();
        self.round += 1;
        self.done = false;
    }

    /// Adds a place, and those behind stars, which match nothing, too.
    fn enter(&mut self, tokens: &[Token<'_>], mut state: usize) {
        loop {
            match self.seen.get_mut(state) {
                None => {
                    self.done = true;
                    return;
                }
                Some(seen) if *seen == self.round => return,
                Some(seen) => *seen = self.round,
            }
            self.list.push(state);
            match tokens.get(state) {
                Some(Token::Star) => state += 1,
                _ => return,
            }
        }
    }
}

/// The longest or shortest start of `text` that `pattern` matches.
pub(crate) fn prefix(pattern: &[u8], text: &[u8], longest: bool, work: &mut Work) -> Option<usize> {
    work.spend(pattern.len());
    reach(&tokens(pattern), text.iter().copied(), longest, work)
}

/// Where the longest or shortest end of `text` begins that `pattern` matches.
pub(crate) fn suffix(pattern: &[u8], text: &[u8], longest: bool, work: &mut Work) -> Option<usize> {
    work.spend(pattern.len());
    let mut tokens = tokens(pattern);
    tokens.reverse();
    let length = reach(&tokens, text.iter().rev().copied(), longest, work)?;
    text.len().checked_sub(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_like_a_shell() {
        for (pattern, text) in [
            ("*", ""),
            ("a*c", "abbc"),
            ("/b?n/r[l-n]", "/bin/rm"),
            ("[!a]b", "cb"),
            ("[]x]", "]"),
            ("*.*", "a.b.c"),
            ("[[:alpha:]]*", "x1"),
            ("\\*", "*"),
            ("[a", "[a"),
        ] {
            assert!(matches(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
        }
        for (pattern, text) in
            [("?", ""), ("a*c", "abd"), ("[!a]b", "ab"), ("\\*", "x"), ("r", "rm")]
        {
            assert!(!matches(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
        }
        let work = &mut Work::new(10_000);
        assert_eq!(prefix(b"*/", b"a/b/c", true, work), Some(4));
        assert_eq!(prefix(b"*/", b"a/b/c", false, work), Some(2));
        assert_eq!(prefix(b"x*", b"a/b/c", false, work), None);
        assert_eq!(prefix(b"", b"a", true, work), Some(0));
        assert_eq!(suffix(b".*", b"a.b.c", false, work), Some(3));
        assert_eq!(suffix(b".*", b"a.b.c", true, work), Some(1));
        assert_eq!(suffix(b"[.,]c", b"a.b.c", true, work), Some(3));
    }

    #[test]
    fn comparing_in_all_ways_ends_when_there_is_no_work_left() {
        let (pattern, text) = ([b"*a".repeat(500), b"b".to_vec()].concat(), b"a".repeat(4000));
        let mut work = Work::new(100_000);
        assert_eq!(prefix(&pattern, &text, true, &mut work), None);
        assert_eq!(work.left(), 0);
    }

    proptest::proptest! {
        #[test]
        fn a_start_or_an_end_is_found_where_the_whole_of_it_matches(
            pattern in "[ab*?\\[\\]\\\\!-]{0,8}", text in "[ab]{0,8}",
        ) {
            let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
            let work = &mut Work::new(usize::MAX);
            let starts = || (0..=text.len()).filter(|end| matches(pattern, &text[..*end]));
            let ends = || (0..=text.len()).filter(|start| matches(pattern, &text[*start..]));
            proptest::prop_assert_eq!(prefix(pattern, text, true, work), starts().max());
            proptest::prop_assert_eq!(prefix(pattern, text, false, work), starts().min());
            proptest::prop_assert_eq!(suffix(pattern, text, true, work), ends().min());
            proptest::prop_assert_eq!(suffix(pattern, text, false, work), ends().max());
        }
    }
}

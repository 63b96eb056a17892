//! Pathname patterns: `*`, `?`, `[…]`, as fnmatch(3) has them.

use crate::effect::UNKNOWN;

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

/// The longest or shortest start of `text` that `pattern` matches.
pub(crate) fn prefix(pattern: &[u8], text: &[u8], longest: bool) -> Option<usize> {
    choose(0..=text.len(), longest, |end| matches(pattern, text.get(..end).unwrap_or_default()))
}

/// Where the longest or shortest end of `text` begins that `pattern` matches.
pub(crate) fn suffix(pattern: &[u8], text: &[u8], longest: bool) -> Option<usize> {
    choose(0..=text.len(), !longest, |start| {
        matches(pattern, text.get(start..).unwrap_or_default())
    })
}

/// How far a pattern is compared at most: comparing each of many starts is quadratic.
const MOST_TRIED: usize = 4096;

fn choose(
    range: std::ops::RangeInclusive<usize>,
    from_the_end: bool,
    mut fits: impl FnMut(usize) -> bool,
) -> Option<usize> {
    if *range.end() > MOST_TRIED {
        return None;
    }
    let mut range = range;
    if from_the_end { range.rfind(|at| fits(*at)) } else { range.find(|at| fits(*at)) }
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
        assert_eq!(prefix(b"*/", b"a/b/c", true), Some(4));
        assert_eq!(prefix(b"*/", b"a/b/c", false), Some(2));
        assert_eq!(suffix(b".*", b"a.b.c", false), Some(3));
        assert_eq!(suffix(b".*", b"a.b.c", true), Some(1));
    }
}

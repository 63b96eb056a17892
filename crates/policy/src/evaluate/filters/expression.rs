//! Regular expressions of sed (POSIX, basic and extended), as far as they are usual: bytes, `.`,
//! bracket lists, repeats of one of these, groups and anchors.

/// The most pieces of an expression.
const MOST_PIECES: usize = 256;

/// One step of a match.
#[derive(Debug)]
enum Piece {
    Start,
    End,
    Open(usize),
    Close(usize),
    /// One of some bytes, so many times.
    Bytes {
        of: Set,
        least: usize,
        most: usize,
    },
}

/// Some bytes.
#[derive(Debug)]
enum Set {
    One(u8),
    Any,
    Of(Box<[bool; 256]>),
}

impl Set {
    fn has(&self, byte: u8) -> bool {
        match self {
            Self::One(one) => *one == byte,
            Self::Any => true,
            Self::Of(set) => set.get(usize::from(byte)) == Some(&true),
        }
    }
}

/// An expression.
#[derive(Debug)]
pub(super) struct Expression {
    pieces: Vec<Piece>,
    groups: usize,
}

/// Where it matches: the whole first, then the groups.
pub(super) type Places = Vec<(usize, usize)>;

impl Expression {
    /// Reads an expression; none when it is not one of the usual kind.
    pub(super) fn new(text: &[u8], extended: bool, any_case: bool) -> Option<Self> {
        let mut pieces = Vec::new();
        let (mut open, mut groups) = (Vec::new(), 0);
        let mut rest = text;
        while let Some((byte, after)) = rest.split_first() {
            if pieces.len() >= MOST_PIECES {
                return None;
            }
            let escaped = *byte == b'\\';
            let (letter, behind) = if escaped { after.split_first()? } else { (byte, after) };
            rest = behind;
            // What is special with a backslash in a basic expression is so without in the other.
            let special = escaped != extended;
            match letter {
                b'(' if special => {
                    groups += 1;
                    open.push(groups);
                    pieces.push(Piece::Open(groups));
                }
                b')' if special => pieces.push(Piece::Close(open.pop()?)),
                b'|' | b'{' | b'}' if special => return None,
                b'+' | b'?' if special => {
                    repeat(&mut pieces, usize::from(*letter == b'+'), *letter == b'?')?;
                }
                b'*' if !escaped => match pieces.last() {
                    None | Some(Piece::Start | Piece::Open(_)) if !extended => {
                        pieces.push(once(Set::One(b'*')));
                    }
                    _ => repeat(&mut pieces, 0, false)?,
                },
                b'^' if !escaped && pieces.is_empty() => pieces.push(Piece::Start),
                b'$' if !escaped && rest.is_empty() => pieces.push(Piece::End),
                b'.' if !escaped => pieces.push(once(Set::Any)),
                b'[' if !escaped => {
                    let (piece, behind) = list(rest)?;
                    pieces.push(piece);
                    rest = behind;
                }
                b'n' if escaped => pieces.push(once(Set::One(b'\n'))),
                b't' if escaped => pieces.push(once(Set::One(b'\t'))),
                b's' if escaped => pieces.push(bytes(|byte| byte.is_ascii_whitespace())),
                b'S' if escaped => pieces.push(bytes(|byte| !byte.is_ascii_whitespace())),
                b'w' if escaped => pieces.push(bytes(is_word)),
                b'W' if escaped => pieces.push(bytes(|byte| !is_word(byte))),
                letter if escaped && letter.is_ascii_alphanumeric() => return None,
                letter => pieces.push(once(Set::One(*letter))),
            }
        }
        for piece in pieces.iter_mut().filter(|_| any_case) {
            let Piece::Bytes { of, .. } = piece else { continue };
            if !matches!(of, Set::One(byte) if !byte.is_ascii_alphabetic()) {
                let either = |byte: u8| {
                    of.has(byte.to_ascii_lowercase()) || of.has(byte.to_ascii_uppercase())
                };
                *of = set(either);
            }
        }
        open.is_empty().then_some(Self { pieces, groups })
    }

    /// About how much work it is to read the expression.
    pub(super) fn weight(&self) -> usize {
        let of = |piece: &Piece| match piece {
            Piece::Bytes { of: Set::Of(_), .. } => 256,
            _ => 8,
        };
        self.pieces.iter().map(of).sum()
    }

    /// The first match from `from` on. Every step takes one from `left`; none with nothing left
    /// says nothing.
    pub(super) fn find(&self, text: &[u8], from: usize, left: &mut usize) -> Option<Places> {
        let mut places = vec![(0, 0); self.groups + 1];
        for start in from..=text.len() {
            if let Some(end) = along(&self.pieces, text, start, &mut places, left) {
                *places.first_mut()? = (start, end);
                return Some(places);
            }
            if *left == 0 {
                return None;
            }
        }
        None
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn set(is_in: impl Fn(u8) -> bool) -> Set {
    let mut set = Box::new([false; 256]);
    (0..=u8::MAX).zip(set.iter_mut()).for_each(|(byte, it)| *it = is_in(byte));
    Set::Of(set)
}

fn bytes(is_in: impl Fn(u8) -> bool) -> Piece {
    once(set(is_in))
}

fn once(of: Set) -> Piece {
    Piece::Bytes { of, least: 1, most: 1 }
}

/// Lets the last piece match more or less often.
fn repeat(pieces: &mut [Piece], fewest: usize, once: bool) -> Option<()> {
    let Some(Piece::Bytes { least, most, .. }) = pieces.last_mut() else { return None };
    (*least, *most) = (fewest, if once { 1 } else { usize::MAX });
    Some(())
}

/// `[…]` behind its bracket, and what follows.
fn list(text: &[u8]) -> Option<(Piece, &[u8])> {
    let negated = text.first() == Some(&b'^');
    let text = text.get(usize::from(negated)..)?;
    let first = usize::from(text.first() == Some(&b']'));
    let mut end = first;
    while let Some(byte) = text.get(end) {
        if *byte == b']' {
            break;
        }
        let class = text.get(end..end + 2) == Some(b"[:");
        end += match class {
            true => text.get(end..)?.windows(2).position(|two| two == b":]")? + 2,
            false => 1,
        };
    }
    let inner = text.get(..end)?;
    let behind = text.get(end + 1..)?;
    let mut set = [false; 256];
    let mut rest = inner;
    while let Some((byte, after)) = rest.split_first() {
        let (from, to) = match (byte, after) {
            (b'[', [b':', ..]) => {
                let length = rest.windows(2).position(|two| two == b":]")? + 2;
                let is_in: fn(&u8) -> bool = match rest.get(..length)? {
                    b"[:alpha:]" => u8::is_ascii_alphabetic,
                    b"[:digit:]" => u8::is_ascii_digit,
                    b"[:alnum:]" => u8::is_ascii_alphanumeric,
                    b"[:space:]" => u8::is_ascii_whitespace,
                    b"[:upper:]" => u8::is_ascii_uppercase,
                    b"[:lower:]" => u8::is_ascii_lowercase,
                    b"[:punct:]" => u8::is_ascii_punctuation,
                    _ => return None,
                };
                (0..=u8::MAX).zip(&mut set).for_each(|(byte, it)| *it |= is_in(&byte));
                rest = rest.get(length..)?;
                continue;
            }
            (from, [b'-', to, ..]) => {
                rest = after.get(2..)?;
                (*from, *to)
            }
            (byte, _) => {
                rest = after;
                (*byte, *byte)
            }
        };
        (from..=to).map(usize::from).for_each(|at| {
            if let Some(it) = set.get_mut(at) {
                *it = true;
            }
        });
    }
    Some((bytes(|byte| set.get(usize::from(byte)) != Some(&negated)), behind))
}

/// Where a match of all pieces ends that begins at `at`: the longest of each first.
fn along(
    pieces: &[Piece],
    text: &[u8],
    at: usize,
    places: &mut Places,
    left: &mut usize,
) -> Option<usize> {
    *left = left.checked_sub(1)?;
    let Some((piece, rest)) = pieces.split_first() else { return Some(at) };
    match piece {
        Piece::Start => (at == 0).then(|| along(rest, text, at, places, left))?,
        Piece::End => (at == text.len()).then(|| along(rest, text, at, places, left))?,
        Piece::Open(group) => {
            let before = std::mem::replace(places.get_mut(*group)?, (at, at));
            along(rest, text, at, places, left).or_else(|| {
                *places.get_mut(*group)? = before;
                None
            })
        }
        Piece::Close(group) => {
            let before = places.get(*group)?.1;
            places.get_mut(*group)?.1 = at;
            along(rest, text, at, places, left).or_else(|| {
                places.get_mut(*group)?.1 = before;
                None
            })
        }
        Piece::Bytes { of, least, most } => {
            let fits = |byte: &&u8| of.has(**byte);
            let behind = text.get(at..).unwrap_or_default();
            let longest = behind.iter().take(*most).take_while(fits).count();
            *left = left.checked_sub(longest)?;
            (*least..=longest).rev().find_map(|count| along(rest, text, at + count, places, left))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn found(expression: &str, extended: bool, text: &str) -> Option<String> {
        let expression = Expression::new(expression.as_bytes(), extended, false)?;
        let places = expression.find(text.as_bytes(), 0, &mut 10_000)?;
        let told = places.iter().map(|(start, end)| &text[*start..*end]);
        Some(told.collect::<Vec<_>>().join(","))
    }

    #[test]
    fn the_usual_is_understood_and_the_rest_is_not() {
        for (expression, extended, text, expected) in [
            ("[XY]", false, "aYb", Some("Y")),
            ("[^a-c]*$", false, "abcxd", Some("xd")),
            (r"\(.*\)-\([0-9]*\)", false, "ab-12", Some("ab-12,ab,12")),
            (r"(a+)b?", true, "xaab", Some("aab,aa")),
            (r"a\+", false, "caa", Some("aa")),
            ("a+", false, "a+", Some("a+")),
            ("*a", false, "x*a", Some("*a")),
            ("[[:digit:]]", false, "a7", Some("7")),
            ("[]x]", false, "a]", Some("]")),
            (r"\.", false, "ab.", Some(".")),
            ("^b", false, "ab", None),
            ("a|b", true, "b", None),
            (r"(ab)*", true, "abab", None),
            (r"\(a", false, "a", None),
        ] {
            assert_eq!(found(expression, extended, text).as_deref(), expected, "{expression}");
        }
    }

    #[test]
    fn nobody_waits_for_a_match() {
        let many = Expression::new(".*.*.*.*.*.*x".as_bytes(), false, false).unwrap();
        let mut left = 5_000;
        assert_eq!(many.find(&[b'a'; 4_000], 0, &mut left), None);
        assert_eq!(left, 0);
    }
}

//! Values given to names that say what they are: `NAME=value`, `name: value`, `--name value`.

use super::super::{ContentKind, Hit};
use super::SecretKind;
use super::block::{starts_token, weighed};
use super::name::{NAME_MAX, Name, classify, is_name_byte};
use super::value::{self, Manner, Value};

/// A value that was read this far without being a secret is not read again for a name inside it,
/// so that a text of nothing but names costs no more than any other.
const READ_AGAIN: usize = 64;
/// Spaces that may stand between a sign and what it belongs to.
const SPACES_MAX: usize = 8;

/// What was read of values that are no secrets.
#[derive(Debug, Default)]
pub(in super::super) struct Assignments {
    read_to: usize,
}

impl Assignments {
    /// At a `=` or `:`: the value after it, if the name before it makes that a secret.
    pub(in super::super) fn at(&mut self, text: &[u8], sign: usize) -> Option<Hit> {
        if sign < self.read_to {
            return None;
        }
        let assigns = text.get(sign) == Some(&b'=');
        // `==`, `::` and `:=` (whose `=` is looked at next) assign nothing; `://` neither.
        if matches!(text.get(sign + 1), Some(b'=' | b':'))
            || (!assigns && text.get(sign + 1) == Some(&b'/'))
        {
            return None;
        }
        let name = name_before(text, sign)?;
        let kind = classify(name.text)?;
        let mut start = sign + 1;
        while matches!(text.get(start), Some(b' ' | b'\t')) && start <= sign + SPACES_MAX {
            start += 1;
        }
        let spaced = start > sign + 1;
        if kind == Name::Authorization {
            return credentials(text, start);
        }
        // `PASSWORD= command` gives it nothing.
        if assigns && spaced && !name.spaced {
            return None;
        }
        let manner = match (assigns && !spaced, name.is_argument) {
            (true, true) => Manner::Argument,
            (true, false) => Manner::Field,
            (false, _) => Manner::Setting,
        };
        self.value(text, start, kind, manner)
    }

    /// At a `-` that begins a word: `--password value` and `-token value`.
    pub(in super::super) fn option(&mut self, text: &[u8], start: usize) -> Option<Hit> {
        let before = start.checked_sub(1).and_then(|index| text.get(index));
        if start < self.read_to || before.is_some_and(|byte| is_name_byte(*byte)) {
            return None;
        }
        let rest = text.get(start..)?;
        let dashes = rest.iter().take(2).take_while(|byte| **byte == b'-').count();
        let name = rest.get(dashes..)?;
        let length = name.iter().take(NAME_MAX).take_while(|byte| is_name_byte(**byte)).count();
        let name = name.get(..length)?;
        if length < 4 || rest.get(dashes + length) != Some(&b' ') {
            return None;
        }
        let kind = classify(name)?;
        let begin = start + dashes + length + 1;
        if text.get(begin) == Some(&b'-') {
            return None;
        }
        self.value(text, begin, kind, Manner::Argument)
    }

    fn value(&mut self, text: &[u8], start: usize, name: Name, manner: Manner) -> Option<Hit> {
        let spaces = name == Name::Password && manner != Manner::Setting;
        let (value, read_to) = value::read(text, start, spaces);
        let hit = value.and_then(|value| secret(text, value, name, manner));
        if hit.is_none() && read_to > start + READ_AGAIN {
            self.read_to = read_to;
        }
        hit
    }
}

fn secret(text: &[u8], value: Value, name: Name, manner: Manner) -> Option<Hit> {
    let Value { start, mut end, quoted } = value;
    // In an address or a form the next field follows, which `&` has cut off already.
    if name == Name::Signature {
        end = start + text.get(start..end)?.iter().take_while(|byte| **byte != b'#').count();
    }
    let bytes = text.get(start..end)?;
    if starts_token(bytes) || super::marker_length(bytes) > 0 {
        return None;
    }
    let kind = value::judge(name, manner, bytes, quoted)?;
    Some(weighed(text, Hit::new(ContentKind::Secret(kind), start, end)))
}

/// The credentials of an `Authorization` header, after the name of their scheme.
fn credentials(text: &[u8], start: usize) -> Option<Hit> {
    let mut start = start;
    while matches!(text.get(start), Some(b'"' | b'\'' | b'\\' | b'`')) {
        start += 1;
    }
    let rest = text.get(start..)?;
    let schemes: [&[u8]; 8] =
        [b"bearer ", b"basic ", b"token ", b"apikey ", b"digest ", b"bot ", b"splunk ", b"key "];
    let scheme = schemes.iter().find(|scheme| {
        rest.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme))
    })?;
    start += scheme.len();
    while text.get(start) == Some(&b' ') {
        start += 1;
    }
    let (value, _) = value::read(text, start, false);
    let Value { start, end, .. } = value?;
    let bytes = text.get(start..end)?;
    if starts_token(bytes) || !value::is_credential(bytes) {
        return None;
    }
    let hit = Hit::new(ContentKind::Secret(SecretKind::AuthorizationHeader), start, end);
    Some(weighed(text, hit))
}

/// A name as it stands before a sign.
#[derive(Debug, Clone, Copy)]
struct Before<'a> {
    text: &'a [u8],
    /// Whether spaces separate it from the sign.
    spaced: bool,
    /// Whether it is written as options and environment variables are.
    is_argument: bool,
}

/// The name that ends before `sign`, without its quotes, brackets and spaces.
fn name_before(text: &[u8], sign: usize) -> Option<Before<'_>> {
    let mut end = sign;
    let mut spaced = false;
    let nearest = |end: usize| end.checked_sub(1).and_then(|index| text.get(index)).copied();
    while nearest(end) == Some(b' ') && end + SPACES_MAX > sign {
        end -= 1;
        spaced = true;
    }
    for closing in [&[b':'][..], b"]", b"\"'", b"\\"] {
        if nearest(end).is_some_and(|byte| closing.contains(&byte)) {
            end -= 1;
        }
    }
    let length = text
        .get(end.saturating_sub(NAME_MAX)..end)?
        .iter()
        .rev()
        .take_while(|byte| is_name_byte(**byte))
        .count();
    if length < 3 {
        return None;
    }
    let name = text.get(end - length..end)?;
    let dashed = name.starts_with(b"-");
    let capital = !name.iter().any(u8::is_ascii_lowercase);
    Some(Before { text: name, spaced, is_argument: dashed || capital })
}

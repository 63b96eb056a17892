//! Payloads that attack whoever reads an argument: shapes that hardly anything else has.

use super::{ContentKind, Hit};
use ctrlz_core::verdict::Risk;

/// How many steps up make a chain.
const TRAVERSAL_STEPS: usize = 3;
/// The longest chain that is followed: no tree is deeper, and the reading stays linear.
const TRAVERSAL_MAX: usize = 64;

/// How far before an encoded byte a slash makes it part of an address.
const ADDRESS_BEFORE: usize = 32;

fn starts_with_ignoring_case(text: &[u8], word: &[u8]) -> bool {
    text.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word))
}

/// At a `$`: a lookup of log4j, also with its letters hidden in nested lookups.
pub(super) fn lookup(text: &[u8], start: usize) -> Option<Hit> {
    let rest = text.get(start..)?.strip_prefix(b"${")?;
    let end = start.saturating_add(2);
    if starts_with_ignoring_case(rest, b"jndi:") {
        return Some(Hit::new(ContentKind::LookupPayload, start, end.saturating_add(5)));
    }
    // `${${lower:j}ndi:…}`: nothing in a shell nests a lookup of this form in a name.
    let nested = rest.strip_prefix(b"${")?;
    let hidden = starts_with_ignoring_case(nested, b"lower:")
        || starts_with_ignoring_case(nested, b"upper:")
        || nested.starts_with(b"::-");
    hidden.then(|| Hit::new(ContentKind::LookupPayload, start, end.saturating_add(2)))
}

/// At a `(`: `() { :;};` with something to run after it.
pub(super) fn function_import(text: &[u8], start: usize) -> Option<Hit> {
    let head = text.get(start..start.saturating_add(24).min(text.len()))?;
    let mut shape =
        head.iter().copied().enumerate().filter(|(_, byte)| !byte.is_ascii_whitespace());
    let mut expect = |wanted: &[u8]| shape.next().is_some_and(|(_, byte)| wanted.contains(&byte));
    let begins = expect(b"(") && expect(b")") && expect(b"{") && expect(b":_") && expect(b";");
    if !begins || !expect(b"}") || !expect(b";") {
        return None;
    }
    let (last, _) = head.iter().enumerate().filter(|(_, byte)| **byte == b';').nth(1)?;
    // In a script the definition of an empty function is followed by a line or by nothing.
    let tail = text.get(start.saturating_add(last).saturating_add(1)..)?;
    let follows = tail.iter().find(|byte| **byte != b' ');
    if follows.is_none_or(|byte| matches!(byte, b'\n' | b'\r')) {
        return None;
    }
    // A function that has a name is defined, not imported.
    let named = start
        .checked_sub(1)
        .and_then(|index| text.get(index))
        .is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    let end = start.saturating_add(last).saturating_add(1);
    (!named).then(|| Hit::new(ContentKind::FunctionImportPayload, start, end))
}

/// At a `.`: a chain of `../` into a directory of the system.
pub(super) fn dots(text: &[u8], start: usize) -> Option<Hit> {
    let rest = text.get(start..)?;
    if rest.starts_with(b".%2e") || rest.starts_with(b".%2E") {
        return encoded_chain(text, start);
    }
    if !rest.starts_with(b"../") {
        return None;
    }
    // Only from its first step: the others belong to it.
    if start.checked_sub(3).and_then(|from| text.get(from..start)) == Some(b"../") {
        return None;
    }
    let mut length: usize = 0;
    let mut steps: usize = 0;
    while rest.get(length..).is_some_and(|tail| tail.starts_with(b"../")) && steps < TRAVERSAL_MAX {
        length = length.saturating_add(3);
        steps = steps.saturating_add(1);
    }
    let target = rest.get(length..)?;
    let system: [&[u8]; 7] =
        [b"etc/", b"proc/", b"root/", b"windows/", b"var/log/", b"boot/", b"dev/"];
    let reaches = system.iter().any(|name| starts_with_ignoring_case(target, name));
    let end = start.saturating_add(length);
    (steps >= TRAVERSAL_STEPS && reaches).then(|| Hit::new(ContentKind::TraversalChain, start, end))
}

/// At a `%`: an encoded chain, line break or zero byte.
pub(super) fn percent(text: &[u8], start: usize) -> Option<Hit> {
    let rest = text.get(start..)?;
    let &[_, high, low, ..] = rest else { return None };
    match (high, low.to_ascii_lowercase()) {
        (b'2', b'e' | b'5') => encoded_chain(text, start),
        (b'0', b'a' | b'd') if in_address(text, start) => {
            let length = if starts_with_ignoring_case(rest, b"%0d%0a") { 6 } else { 3 };
            let end = start.saturating_add(length);
            Some(Hit::new(ContentKind::EncodedLineBreak, start, end))
        }
        (b'0', b'0') if in_address(text, start) => {
            Some(Hit::new(ContentKind::EncodedNul, start, start.saturating_add(3)))
        }
        _ => None,
    }
}

/// Whether what stands before looks like a path or an address, not like a format or a percentage.
fn in_address(text: &[u8], start: usize) -> bool {
    let from = start.saturating_sub(ADDRESS_BEFORE);
    let word = text.get(from..start).unwrap_or_default();
    word.iter()
        .rev()
        .take_while(|byte| !byte.is_ascii_whitespace() && !matches!(byte, b'\'' | b'"'))
        .any(|byte| *byte == b'/')
}

/// `%2e%2e%2f` and its half encoded and doubly encoded relatives, twice or more.
fn encoded_chain(text: &[u8], start: usize) -> Option<Hit> {
    let mut rest = text.get(start..start.saturating_add(256).min(text.len()))?;
    let whole = rest.len();
    let mut steps: usize = 0;
    let mut encoded = false;
    loop {
        let mut step = rest;
        let mut dots: usize = 0;
        while let Some(tail) = after_dot(step, &mut encoded) {
            step = tail;
            dots = dots.saturating_add(1);
        }
        if dots != 2 {
            break;
        }
        let Some(tail) = after_slash(step, &mut encoded) else { break };
        rest = tail;
        steps = steps.saturating_add(1);
    }
    let end = start.saturating_add(whole.saturating_sub(rest.len()));
    match steps {
        _ if !encoded => None,
        0 => None,
        1 => Some(Hit::new(ContentKind::EncodedTraversal, start, end).at_risk(Risk::Low)),
        _ => Some(Hit::new(ContentKind::EncodedTraversal, start, end)),
    }
}

fn after_dot<'a>(text: &'a [u8], encoded: &mut bool) -> Option<&'a [u8]> {
    if let Some(rest) = text.strip_prefix(b".") {
        return Some(rest);
    }
    after_encoded(text, b"2e", encoded)
}

fn after_slash<'a>(text: &'a [u8], encoded: &mut bool) -> Option<&'a [u8]> {
    if let Some(rest) = text.strip_prefix(b"/").or_else(|| text.strip_prefix(b"\\")) {
        return Some(rest);
    }
    after_encoded(text, b"2f", encoded).or_else(|| after_encoded(text, b"5c", encoded))
}

/// `%2e` or, encoded twice, `%252e`.
fn after_encoded<'a>(text: &'a [u8], digits: &[u8], encoded: &mut bool) -> Option<&'a [u8]> {
    let rest = text.strip_prefix(b"%")?;
    let rest = rest.strip_prefix(b"25").unwrap_or(rest);
    let (head, tail) = rest.split_at_checked(digits.len())?;
    if !head.eq_ignore_ascii_case(digits) {
        return None;
    }
    *encoded = true;
    Some(tail)
}

//! What operators and methods make of values that are known.

use crate::effect::UNKNOWN;

use super::decode;
use super::value::{Kind, LONGEST_TEXT, Origin, Value};

/// `left operator right`
pub(super) fn binary(operator: &[u8], left: &Value, right: &Value) -> Value {
    let origin = left.origin.with(right.origin);
    let value = match operator {
        b"+" | b"+=" => add(left, right),
        b"%" | b"%=" => match (&left.kind, &right.kind) {
            (Kind::Text(pattern), _) => Value::text(printf(pattern, right)),
            (Kind::Number(a), Kind::Number(b)) => {
                a.checked_rem(*b).map_or_else(Value::default, Value::number)
            }
            _ => Value::default(),
        },
        b"*" | b"*=" => repeat(left, right),
        b"/" | b"//" | b"/=" => match (&left.kind, &right.kind) {
            (Kind::Path(path), _) => {
                Value { kind: Kind::Path(join_path(path, &right.to_text())), origin }
            }
            (Kind::Number(a), Kind::Number(b)) => {
                a.checked_div(*b).map_or_else(Value::default, Value::number)
            }
            _ => Value::default(),
        },
        b"|" if matches!((&left.kind, &right.kind), (Kind::Map(_), Kind::Map(_))) => left.clone(),
        _ => arithmetic(operator, left, right),
    };
    value.from(origin)
}

fn arithmetic(operator: &[u8], left: &Value, right: &Value) -> Value {
    let (Some(a), Some(b)) = (left.as_number(), right.as_number()) else {
        return Value::default();
    };
    let number = match operator {
        b"-" | b"-=" => a.checked_sub(b),
        b"^" | b"^=" => Some(a ^ b),
        b"&" => Some(a & b),
        b"|" => Some(a | b),
        b"<<" => u32::try_from(b).ok().filter(|b| *b < 62).and_then(|b| a.checked_mul(1_i64 << b)),
        b">>" => u32::try_from(b).ok().and_then(|b| a.checked_shr(b)),
        b"**" => u32::try_from(b).ok().and_then(|b| a.checked_pow(b)),
        _ => None,
    };
    number.map_or_else(Value::default, Value::number)
}

fn add(left: &Value, right: &Value) -> Value {
    match (&left.kind, &right.kind) {
        (Kind::Number(a), Kind::Number(b)) => {
            a.checked_add(*b).map_or_else(Value::default, Value::number)
        }
        (Kind::List(a), Kind::List(b)) => Value::list(a.iter().chain(b).cloned().collect()),
        (Kind::List(a), _) => {
            // A list and one that is not known.
            let mut items = a.clone();
            items.push(Value::text([UNKNOWN]));
            Value::list(items)
        }
        (Kind::Text(_) | Kind::Path(_), _) | (_, Kind::Text(_) | Kind::Path(_)) => {
            let mut text = left.to_text();
            text.extend(right.to_text());
            Value::text(text)
        }
        _ => Value::default(),
    }
}

fn repeat(left: &Value, right: &Value) -> Value {
    match (&left.kind, &right.kind) {
        (Kind::Number(a), Kind::Number(b)) => {
            a.checked_mul(*b).map_or_else(Value::default, Value::number)
        }
        (Kind::Text(text), Kind::Number(count)) | (Kind::Number(count), Kind::Text(text)) => {
            let count = usize::try_from(*count).unwrap_or(0);
            if text.len().saturating_mul(count) > LONGEST_TEXT {
                return Value::default();
            }
            Value::text(text.repeat(count))
        }
        (Kind::List(items), Kind::Number(count)) => {
            let count = usize::try_from(*count).unwrap_or(0);
            if items.len().saturating_mul(count) > 1000 {
                return Value::default();
            }
            Value::list((0..count).flat_map(|_| items.iter().cloned()).collect())
        }
        _ => Value::default(),
    }
}

/// How many bytes `left * right` takes, if that is known.
pub(super) fn size_of_repeat(left: &Value, right: &Value) -> Option<i64> {
    let (thing, count) = match (&left.kind, &right.kind) {
        (_, Kind::Number(count)) => (left, *count),
        (Kind::Number(count), _) => (right, *count),
        _ => return None,
    };
    let size = match &thing.kind {
        Kind::Text(text) => text.len(),
        Kind::List(items) => items.len().saturating_mul(8),
        _ => return None,
    };
    i64::try_from(size).ok()?.checked_mul(count)
}

/// `"%s is %d" % (…)`
fn printf(pattern: &[u8], right: &Value) -> Vec<u8> {
    let mut given = match &right.kind {
        Kind::List(items) => items.clone(),
        Kind::Map(_) => Vec::new(),
        _ => vec![right.clone()],
    }
    .into_iter();
    let mut out = Vec::new();
    let mut rest = pattern;
    while let Some((byte, after)) = rest.split_first().filter(|_| out.len() <= LONGEST_TEXT) {
        rest = after;
        if *byte != b'%' {
            out.push(*byte);
            continue;
        }
        let mut name = None;
        if let Some(inner) = rest.strip_prefix(b"(") {
            let length = inner.iter().position(|byte| *byte == b')').unwrap_or(inner.len());
            name = inner.get(..length);
            rest = inner.get(length + 1..).unwrap_or_default();
        }
        let flags = rest.iter().take_while(|byte| b"-+ #0123456789.l".contains(byte)).count();
        let conversion = rest.get(flags).copied();
        rest = rest.get(flags + 1..).unwrap_or_default();
        match (conversion, name) {
            (Some(b'%'), _) | (None, _) => out.push(b'%'),
            (Some(_), Some(name)) => out.extend(match &right.kind {
                Kind::Map(entries) => entry(entries, name).unwrap_or_default().to_text(),
                _ => vec![UNKNOWN],
            }),
            (Some(b'c'), None) => {
                let value = given.next().unwrap_or_default();
                out.extend(character(&value).unwrap_or_else(|| value.to_text()));
            }
            (Some(_), None) => out.extend(given.next().unwrap_or_default().to_text()),
        }
    }
    out
}

pub(super) fn entry(entries: &[(Vec<u8>, Value)], name: &[u8]) -> Option<Value> {
    entries.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.clone())
}

/// The character of a code.
pub(super) fn character(value: &Value) -> Option<Vec<u8>> {
    let code = char::from_u32(u32::try_from(value.as_number()?).ok()?)?;
    Some(code.encode_utf8(&mut [0; 4]).as_bytes().to_vec())
}

/// Paths joined as `os.path.join` does it.
pub(super) fn join_path(first: &[u8], second: &[u8]) -> Vec<u8> {
    if second.starts_with(b"/") || first.is_empty() {
        return second.to_vec();
    }
    let mut path = first.to_vec();
    if !path.ends_with(b"/") {
        path.push(b'/');
    }
    path.extend(second);
    path
}

/// `object[index]`
pub(super) fn index(object: &Value, index: &Value) -> Value {
    let value = match (&object.kind, &index.kind) {
        (Kind::List(items), Kind::Number(at)) => {
            place(*at, items.len()).and_then(|at| items.get(at)).cloned()
        }
        (Kind::Text(text), Kind::Number(at)) => {
            let characters: Option<&str> = std::str::from_utf8(text).ok();
            match characters {
                Some(characters) if !characters.is_ascii() => {
                    let all: Vec<char> = characters.chars().collect();
                    place(*at, all.len())
                        .and_then(|at| all.get(at))
                        .map(|one| Value::text(one.to_string()))
                }
                _ => place(*at, text.len())
                    .and_then(|at| text.get(at))
                    .map(|byte| Value::text([*byte])),
            }
        }
        (Kind::Map(entries), _) => entry(entries, &index.to_text()),
        _ => None,
    };
    value.unwrap_or_default().from(object.origin)
}

fn place(at: i64, length: usize) -> Option<usize> {
    let length = i64::try_from(length).ok()?;
    usize::try_from(if at < 0 { at.checked_add(length)? } else { at }).ok()
}

/// `object[start:stop:step]`; a bound that stands there and is not known makes it unknown.
pub(super) fn slice(object: &Value, bounds: [Option<Value>; 3]) -> Value {
    let mut numbers = [None; 3];
    for (number, bound) in numbers.iter_mut().zip(&bounds) {
        if let Some(bound) = bound {
            match bound.as_number() {
                Some(known) => *number = Some(known),
                None => return Value::unknown(object.origin),
            }
        }
    }
    let [start, stop, step] = numbers;
    let step = step.unwrap_or(1);
    let chosen = |length: usize| -> Vec<usize> {
        let last = i64::try_from(length).unwrap_or(i64::MAX);
        let bound = |at: i64| if at < 0 { at.saturating_add(last) } else { at };
        let mut out = Vec::new();
        let (mut at, end) = if step > 0 {
            (bound(start.unwrap_or(0)).max(0), bound(stop.unwrap_or(last)).min(last))
        } else {
            (
                bound(start.unwrap_or(last)).min(last - 1),
                stop.map_or(-1, |stop| bound(stop).max(-1)),
            )
        };
        while step != 0 && (step > 0 && at < end || step < 0 && at > end) {
            out.extend(usize::try_from(at));
            at = at.saturating_add(step);
        }
        out
    };
    // Turning round what nobody knows hides nothing.
    let known = matches!(object.kind, Kind::Text(_) | Kind::List(_)) && !object.is_blank()
        || object.origin.has_any(Origin::FILE.with(Origin::NETWORK).with(Origin::DECODED));
    let hidden = if known && !(0..=1).contains(&step) { Origin::HIDDEN } else { Origin::NONE };
    let value = match &object.kind {
        Kind::Text(text) => {
            let bytes = chosen(text.len());
            Value::text(bytes.iter().filter_map(|at| text.get(*at).copied()).collect::<Vec<_>>())
        }
        Kind::List(items) => Value::list(
            chosen(items.len()).iter().filter_map(|at| items.get(*at).cloned()).collect(),
        ),
        _ => Value::default(),
    };
    value.from(object.origin).from(hidden)
}

/// The items of what a loop or a function goes through.
pub(super) fn items(value: &Value) -> Option<Vec<Value>> {
    match &value.kind {
        Kind::List(items) => Some(items.clone()),
        Kind::Text(text) if !text.contains(&UNKNOWN) => Some(match std::str::from_utf8(text) {
            Ok(text) => {
                text.chars().map(|one| Value::text_from(one.to_string(), value.origin)).collect()
            }
            Err(_) => text.iter().map(|byte| Value::number(i64::from(*byte))).collect(),
        }),
        Kind::Map(entries) => {
            Some(entries.iter().map(|(key, _)| Value::text(key.clone())).collect())
        }
        _ => None,
    }
}

/// `receiver.name(arguments)` of a value that is known.
pub(super) fn method(receiver: &Value, name: &str, given: &[Value]) -> Option<Value> {
    let first = given.first();
    let value = match &receiver.kind {
        Kind::Text(text) => text_method(text, receiver, name, given)?,
        Kind::List(list) => match name {
            "join" => {
                let separator = first.map_or_else(|| b",".to_vec(), Value::to_text);
                join(&separator, list)
            }
            "reverse" => Value::list(list.iter().rev().cloned().collect()).from(Origin::HIDDEN),
            "concat" => {
                let mut all = list.clone();
                for one in given {
                    match &one.kind {
                        Kind::List(more) => all.extend(more.iter().cloned()),
                        _ => all.push(one.clone()),
                    }
                }
                Value::list(all)
            }
            "slice" => slice(receiver, [given.first().cloned(), given.get(1).cloned(), None]),
            "pop" => index(receiver, first.unwrap_or(&Value::number(-1))),
            "shift" => index(receiver, &Value::number(0)),
            "toString" => join(b",", list),
            "copy" | "flat" => receiver.clone(),
            _ => return None,
        },
        Kind::Map(entries) => match name {
            "get" => entry(entries, &first?.to_text()).or_else(|| given.get(1).cloned())?,
            "items" => Value::list(
                entries
                    .iter()
                    .map(|(key, value)| Value::list(vec![Value::text(key.clone()), value.clone()]))
                    .collect(),
            ),
            "keys" => {
                Value::list(entries.iter().map(|(key, _)| Value::text(key.clone())).collect())
            }
            "values" => Value::list(entries.iter().map(|(_, value)| value.clone()).collect()),
            _ => return None,
        },
        Kind::Number(number) => match name {
            "toString" => Value::text(number.to_string()),
            "to_bytes" => {
                let length = usize::try_from(first?.as_number()?).ok()?.min(8);
                let bytes = number.to_be_bytes();
                Value::text(bytes.get(8 - length..)?.to_vec()).from(Origin::HIDDEN)
            }
            _ => return None,
        },
        _ => return None,
    };
    let origin = given.iter().fold(receiver.origin, |all, one| all.with(one.origin));
    Some(value.from(origin))
}

fn join(separator: &[u8], list: &[Value]) -> Value {
    let mut out = Vec::new();
    let pieces = list.len();
    let mut short = pieces > 3;
    for (at, item) in list.iter().enumerate() {
        if at > 0 {
            out.extend(separator);
        }
        let text = item.to_text();
        short &= text.len() <= 2;
        if out.len() + text.len() > LONGEST_TEXT {
            return Value::default();
        }
        out.extend(text);
    }
    // Letter by letter, nobody joins who wants to be read.
    Value::text_from(out, if short && separator.is_empty() { Origin::HIDDEN } else { Origin::NONE })
}

fn text_method(text: &[u8], receiver: &Value, name: &str, given: &[Value]) -> Option<Value> {
    let first = given.first();
    let text_of = |at: usize| given.get(at).map(Value::to_text);
    let hidden = |bytes: Vec<u8>| Value::text_from(bytes, Origin::HIDDEN.with(Origin::DECODED));
    Some(match name {
        "join" => match first.and_then(items) {
            Some(list) => join(text, &list),
            None => Value::text([UNKNOWN]),
        },
        "format" => Value::text(format(text, given)),
        "decode" | "toString" | "encode" => match text_of(0).as_deref() {
            Some(b"hex" | b"hex_codec") => hidden(decode::hexadecimal(text)?),
            Some(b"base64" | b"base64_codec") => hidden(decode::base64(text)?),
            Some(b"rot13" | b"rot_13" | b"rot-13") => hidden(decode::rot13(text)),
            _ => receiver.clone(),
        },
        "hex" => receiver.clone(),
        "replace" | "replaceAll" => {
            let (from, to) = (literal(first?)?, text_of(1)?);
            let removed = to.is_empty() && from.len() <= 3 && text.len() > 8;
            let out = replace(text, &from, &to);
            if removed { Value::text_from(out, Origin::HIDDEN) } else { Value::text(out) }
        }
        "split" => match text_of(0) {
            None => Value::list(
                text.split(u8::is_ascii_whitespace)
                    .filter(|word| !word.is_empty())
                    .map(Value::text)
                    .collect(),
            ),
            Some(separator) if separator.is_empty() => Value::list(items(receiver)?),
            Some(separator) => {
                Value::list(split(text, &separator).into_iter().map(Value::text).collect())
            }
        },
        "splitlines" => Value::list(split(text, b"\n").into_iter().map(Value::text).collect()),
        "strip" | "trim" | "rstrip" | "lstrip" | "trimEnd" | "trimStart" => match text_of(0) {
            None => Value::text(text.trim_ascii()),
            Some(set) => {
                let out = |byte: &u8| set.contains(byte);
                let mut rest = text;
                while let Some((_, after)) =
                    rest.split_first().filter(|(byte, _)| name != "rstrip" && out(byte))
                {
                    rest = after;
                }
                while let Some((_, before)) =
                    rest.split_last().filter(|(byte, _)| name != "lstrip" && out(byte))
                {
                    rest = before;
                }
                Value::text(rest)
            }
        },
        "lower" | "toLowerCase" | "casefold" => Value::text(text.to_ascii_lowercase()),
        "upper" | "toUpperCase" => Value::text(text.to_ascii_uppercase()),
        "swapcase" => Value::text_from(
            text.iter()
                .map(|byte| if byte.is_ascii_alphabetic() { byte ^ 0x20 } else { *byte })
                .collect::<Vec<_>>(),
            Origin::HIDDEN,
        ),
        "concat" => {
            let mut out = text.to_vec();
            given.iter().for_each(|one| out.extend(one.to_text()));
            Value::text(out)
        }
        "repeat" => repeat(receiver, first?),
        "charAt" | "at" => index(receiver, first?),
        "charCodeAt" | "codePointAt" => {
            let at = usize::try_from(first.map_or(Some(0), Value::as_number)?).ok()?;
            Value::number(i64::from(u32::from(std::str::from_utf8(text).ok()?.chars().nth(at)?)))
        }
        "slice" | "substring" | "subarray" => {
            slice(receiver, [first.cloned(), given.get(1).cloned(), None])
        }
        "substr" => {
            let start = first?.as_number()?;
            let stop = match given.get(1) {
                Some(length) => Some(Value::number(start.checked_add(length.as_number()?)?)),
                None => None,
            };
            slice(receiver, [Some(Value::number(start)), stop, None])
        }
        "translate" => match &first?.kind {
            Kind::Map(entries) => Value::text_from(
                text.iter()
                    .flat_map(|byte| {
                        let key = byte.to_string().into_bytes();
                        entry(entries, &key).map_or_else(|| vec![*byte], |value| value.to_text())
                    })
                    .collect::<Vec<_>>(),
                Origin::HIDDEN,
            ),
            _ => Value::default(),
        },
        "startswith" | "endswith" | "startsWith" | "endsWith" | "includes" | "isdigit"
        | "match" | "test" | "find" | "count" | "index" | "indexOf" => Value::default(),
        _ => return None,
    })
}

/// The text that a pattern finds, if it finds only one.
fn literal(pattern: &Value) -> Option<Vec<u8>> {
    let Some(expression) = pattern.name().and_then(|name| name.strip_prefix("regex:/")) else {
        return Some(pattern.to_text());
    };
    let (expression, _flags) = expression.rsplit_once('/')?;
    let plain = expression.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let plain = plain.filter(|it| it.chars().count() == 1).unwrap_or(expression).as_bytes();
    let special = |byte: &u8| b"[](){}.*+?^$|\\".contains(byte);
    match plain.split_first() {
        Some((b'\\', [one])) if !one.is_ascii_alphanumeric() => Some(vec![*one]),
        _ => (!plain.iter().any(special)).then(|| plain.to_vec()),
    }
}

fn split(text: &[u8], separator: &[u8]) -> Vec<Vec<u8>> {
    let mut parts = vec![Vec::new()];
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        match rest.strip_prefix(separator) {
            Some(behind) => {
                parts.push(Vec::new());
                rest = behind;
            }
            None => {
                if let Some(last) = parts.last_mut() {
                    last.push(*byte);
                }
                rest = after;
            }
        }
    }
    parts
}

fn replace(text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    if from.is_empty() || from.contains(&UNKNOWN) {
        return text.to_vec();
    }
    let parts = split(text, from);
    if parts.len().saturating_mul(to.len()) > LONGEST_TEXT {
        return vec![UNKNOWN];
    }
    parts.join(to)
}

/// `"{} is {0} of {name}".format(…)`: the named ones are not known here.
fn format(pattern: &[u8], given: &[Value]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut next = 0;
    let mut rest = pattern;
    while let Some((byte, after)) = rest.split_first().filter(|_| out.len() <= LONGEST_TEXT) {
        rest = after;
        if matches!(byte, b'{' | b'}') && after.first() == Some(byte) {
            out.push(*byte);
            rest = after.get(1..).unwrap_or_default();
            continue;
        }
        if *byte != b'{' {
            out.push(*byte);
            continue;
        }
        let length = rest.iter().position(|byte| *byte == b'}').unwrap_or(rest.len());
        let inside = rest.get(..length).unwrap_or_default();
        rest = rest.get(length + 1..).unwrap_or_default();
        let name = inside.split(|byte| matches!(byte, b':' | b'!')).next().unwrap_or_default();
        let at = if name.is_empty() {
            next += 1;
            Some(next - 1)
        } else {
            std::str::from_utf8(name).ok().and_then(|name| name.parse::<usize>().ok())
        };
        let value = at.and_then(|at| given.get(at));
        out.extend(value.map_or_else(|| vec![UNKNOWN], Value::to_text));
    }
    out
}

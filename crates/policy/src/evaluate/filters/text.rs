//! echo, printf, rev, tac, seq, tr, head, tail and names of paths.

use crate::effect::UNKNOWN;
use crate::evaluate::Evaluator;
use crate::evaluate::call::Call;
use crate::evaluate::expand::Field;
use crate::evaluate::value::{Taint, Value};

/// What echo prints; `-e` and `-n` as bash has them.
pub(super) fn echo(arguments: &[Field]) -> Value {
    let mut rest = arguments;
    let (mut newline, mut escapes) = (true, false);
    while let Some((first, after)) = rest.split_first() {
        match first.text().strip_prefix(b"-") {
            Some(letters)
                if !letters.is_empty()
                    && letters.iter().all(|l| matches!(l, b'n' | b'e' | b'E')) =>
            {
                newline &= !letters.contains(&b'n');
                escapes = escapes && !letters.contains(&b'E') || letters.contains(&b'e');
                rest = after;
            }
            _ => break,
        }
    }
    let mut text = Value::default();
    for (index, field) in rest.iter().enumerate() {
        if index > 0 {
            text.push(b" ");
        }
        text.push_value(&field.value);
    }
    if escapes && text.text.contains(&b'\\') {
        text.text = unescape(&text.text);
        text = text.tainted(Taint::ASSEMBLED);
    }
    if newline {
        text.push(b"\n");
    }
    text
}

/// Reads backslash escapes: `\n`, `\x41`, `\101`, `\0101`, `\u0041`.
pub(crate) fn unescape(text: &[u8]) -> Vec<u8> {
    let mut result = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'\\' {
            result.push(*byte);
            continue;
        }
        let Some((letter, after)) = rest.split_first() else {
            result.push(b'\\');
            break;
        };
        rest = after;
        let number = |rest: &[u8], radix: u32, most: usize| {
            let length =
                rest.iter().take(most).take_while(|b| char::from(**b).is_digit(radix)).count();
            let digits = std::str::from_utf8(rest.get(..length)?).ok()?;
            Some((u32::from_str_radix(digits, radix).ok()?, length))
        };
        match letter {
            b'n' => result.push(b'\n'),
            b't' => result.push(b'\t'),
            b'r' => result.push(b'\r'),
            b'a' => result.push(7),
            b'b' => result.push(8),
            b'f' => result.push(12),
            b'v' => result.push(11),
            b'e' | b'E' => result.push(27),
            b'\\' => result.push(b'\\'),
            b'x' | b'u' | b'U' => {
                let most = match letter {
                    b'x' => 2,
                    b'u' => 4,
                    _ => 8,
                };
                match number(rest, 16, most) {
                    Some((code, length)) => {
                        rest = rest.get(length..).unwrap_or_default();
                        match (letter, u8::try_from(code), char::from_u32(code)) {
                            (b'x', Ok(byte), _) => push_byte(&mut result, byte),
                            (_, _, Some(character)) => {
                                result.extend_from_slice(
                                    character.encode_utf8(&mut [0; 4]).as_bytes(),
                                );
                            }
                            _ => {}
                        }
                    }
                    None => result.extend_from_slice(&[b'\\', *letter]),
                }
            }
            b'0'..=b'7' => {
                let digits = if *letter == b'0' { rest } else { text_from(rest, text) };
                if let Some((code, length)) = number(digits, 8, 3) {
                    let consumed = if *letter == b'0' { length } else { length - 1 };
                    rest = rest.get(consumed..).unwrap_or_default();
                    push_byte(&mut result, u8::try_from(code & 0xff).unwrap_or(0));
                } else {
                    push_byte(&mut result, 0);
                }
            }
            other => result.extend_from_slice(&[b'\\', *other]),
        }
    }
    result
}

/// The text from the byte before `rest` on.
fn text_from<'t>(rest: &[u8], text: &'t [u8]) -> &'t [u8] {
    text.get(text.len() - rest.len() - 1..).unwrap_or_default()
}

/// A NUL byte ends a text, as for `xargs -0`: it is kept as the end of a line.
fn push_byte(result: &mut Vec<u8>, byte: u8) {
    result.push(if byte == UNKNOWN { b'\n' } else { byte });
}

pub(super) fn reverse_lines(text: &[u8]) -> Vec<u8> {
    let mut result = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let (line, end) = match line.strip_suffix(b"\n") {
            Some(line) => (line, &b"\n"[..]),
            None => (line, &b""[..]),
        };
        match std::str::from_utf8(line) {
            Ok(line) => result.extend(line.chars().rev().collect::<String>().into_bytes()),
            Err(_) => result.extend(line.iter().rev()),
        }
        result.extend_from_slice(end);
    }
    result
}

pub(super) fn reverse_order(text: &[u8]) -> Vec<u8> {
    let mut lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    if lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    lines.reverse();
    let mut result = lines.join(&b'\n');
    result.push(b'\n');
    result
}

/// What date prints: what its format says besides the time.
pub(super) fn dated(arguments: &[Field]) -> Value {
    let unknown = Value::unknown(Taint::ENVIRONMENT);
    let format = arguments.iter().find_map(|field| Some((field, field.text().strip_prefix(b"+")?)));
    let Some((field, format)) = format.filter(|(field, _)| field.value.is_known()) else {
        return unknown;
    };
    let mut text = Vec::with_capacity(format.len() + 1);
    let mut rest = format;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'%' {
            text.push(*byte);
            continue;
        }
        let flags = rest.iter().take_while(|byte| b"-_0^#:123456789".contains(byte)).count();
        let Some((letter, after)) = rest.get(flags..).and_then(<[u8]>::split_first) else { break };
        rest = after;
        text.push(match letter {
            b'%' => b'%',
            b'n' => b'\n',
            b't' => b'\t',
            _ => UNKNOWN,
        });
    }
    // Between the parts of a time stands nothing that is a command.
    if !text.iter().any(u8::is_ascii_alphabetic) {
        return unknown;
    }
    text.push(b'\n');
    let taint = if text.contains(&UNKNOWN) { Taint::ENVIRONMENT } else { Taint::NONE };
    Value::new(text, taint.with(field.value.taint))
}

/// How many numbers are counted at most.
const MOST_NUMBERS: i64 = 256;

pub(super) fn sequence(arguments: &[Field]) -> Value {
    let numbers: Vec<i64> = arguments
        .iter()
        .filter_map(|field| std::str::from_utf8(field.text()).ok()?.parse().ok())
        .collect();
    let (first, step, last) = match numbers.as_slice() {
        [last] => (1, 1, *last),
        [first, last] => (*first, 1, *last),
        [first, step, last] if *step != 0 => (*first, *step, *last),
        _ => return Value::unknown(Taint::ENVIRONMENT),
    };
    let mut text = Vec::new();
    let mut number = first;
    let mut count = 0;
    while count < MOST_NUMBERS && (step > 0 && number <= last || step < 0 && number >= last) {
        text.extend_from_slice(number.to_string().as_bytes());
        text.push(b'\n');
        number = number.saturating_add(step);
        count += 1;
    }
    Value::known(text)
}

impl Evaluator<'_> {
    pub(super) fn printf(&mut self, call: &Call) -> Value {
        let mut arguments = call.arguments.as_slice();
        let mut variable = None;
        if let [dash, name, rest @ ..] = arguments
            && dash.text() == b"-v"
        {
            self.subscript(name.text());
            variable = Some(name.text().to_vec());
            arguments = rest;
        }
        if let [dashes, rest @ ..] = arguments
            && dashes.text() == b"--"
        {
            arguments = rest;
        }
        let Some((format, arguments)) = arguments.split_first() else { return Value::default() };
        let text = formatted(&format.value, arguments);
        match variable {
            Some(name) => {
                let in_branch = self.in_branch();
                let content = crate::evaluate::Content::Scalar(text);
                self.environment.set(&name, content, in_branch);
                Value::default()
            }
            None => text,
        }
    }

    pub(super) fn translated(&mut self, call: &Call) -> Value {
        let input = self.take_stdin();
        let options = call.options("", &[]);
        let (delete, squeeze) = (options.has("d|delete"), options.has("s|squeeze-repeats"));
        let complement = options.has("c|C|complement");
        let set = |index: usize| options.operands.get(index).map(|field| characters(field.text()));
        let (first, second) = (set(0).unwrap_or_default(), set(1).unwrap_or_default());
        super::limited(&input, |text| {
            let holds = |byte: &u8| first.contains(byte) != complement;
            let mut result: Vec<u8> = Vec::with_capacity(text.len());
            for byte in text {
                if !holds(byte) {
                    result.push(*byte);
                    continue;
                }
                if delete {
                    continue;
                }
                let at = if complement {
                    usize::MAX
                } else {
                    first.iter().rposition(|b| b == byte).unwrap_or(0)
                };
                let new = second.get(at).or(second.last()).copied().unwrap_or(*byte);
                if squeeze && result.last() == Some(&new) {
                    continue;
                }
                result.push(new);
            }
            result
        })
        .tainted(Taint::ASSEMBLED)
    }

    pub(super) fn ends(&mut self, call: &Call) -> Value {
        let options = call.options("nc", &["lines", "bytes"]);
        let amount = |names: &str| options.value(names).map(|field| field.text().to_vec());
        let (lines, bytes) = (amount("n|lines"), amount("c|bytes"));
        // `-1` is an old way to write `-n 1`.
        let old =
            options.names().find_map(|name| std::str::from_utf8(name).ok()?.parse::<usize>().ok());
        let from_start = call.name == "head";
        let files: Vec<Field> = options.operands.iter().map(|field| (*field).clone()).collect();
        let mut input = self.contents(&files, call);
        if from_start {
            input.taint = without_endless(input.taint);
        }
        let by_bytes = bytes.is_some();
        let text = bytes.or(lines);
        if text
            .as_deref()
            .and_then(crate::evaluate::programs::bytes)
            .is_some_and(|bytes| bytes >= 10 << 30)
        {
            let target = crate::effect::Target::Name("output".into());
            self.emit(
                crate::effect::EffectKind::Exhaust,
                target,
                crate::effect::Qualities::NONE,
                call.range,
            );
        }
        let output = super::limited(&input, |content| {
            let number = match &text {
                Some(text) => std::str::from_utf8(text).unwrap_or_default().to_owned(),
                None => old.unwrap_or(10).to_string(),
            };
            let all_but = number.starts_with(if from_start { '-' } else { '+' });
            let Ok(count) = number.trim_start_matches(['-', '+']).parse::<usize>() else {
                return content.to_vec();
            };
            let units: Vec<&[u8]> = if by_bytes {
                content.chunks(1).collect()
            } else {
                content.split_inclusive(|byte| *byte == b'\n').collect()
            };
            let total = units.len();
            let range = match (from_start, all_but) {
                (true, false) => 0..count.min(total),
                (true, true) => 0..total.saturating_sub(count),
                (false, false) => total.saturating_sub(count)..total,
                (false, true) => count.saturating_sub(1).min(total)..total,
            };
            units.get(range).unwrap_or_default().concat()
        });
        if by_bytes { output.tainted(Taint::ASSEMBLED) } else { output }
    }

    pub(super) fn part_of_path(&mut self, call: &Call, last: bool) -> Value {
        let options = call.options("sz", &["suffix"]);
        let suffix = options.value("s|suffix").map(|field| field.text().to_vec());
        let second = options.operands.get(1).map(|field| field.text().to_vec());
        let Some(path) = options.operands.first() else { return Value::default() };
        let mut result = path.value.clone();
        let text = path.text();
        let at = text.iter().rposition(|byte| *byte == b'/');
        result.text = match (last, at) {
            (true, Some(at)) => text.get(at + 1..).unwrap_or_default().to_vec(),
            (true, None) => text.to_vec(),
            (false, Some(0)) => b"/".to_vec(),
            (false, Some(at)) => text.get(..at).unwrap_or_default().to_vec(),
            // Of something unknown, the folder is unknown, too.
            (false, None) if text.contains(&UNKNOWN) => vec![UNKNOWN],
            (false, None) => b".".to_vec(),
        };
        if last && let Some(suffix) = suffix.or(second) {
            result.text =
                result.text.strip_suffix(suffix.as_slice()).unwrap_or(&result.text).to_vec();
        }
        result.push(b"\n");
        result
    }

    pub(super) fn real_path(&mut self, call: &Call) -> Value {
        let options = call.options("", &["relative-to", "relative-base"]);
        let mut result = Value::default();
        for operand in &options.operands {
            let path = self.resolve(&operand.value);
            result.push_value(&path);
            result.push(b"\n");
        }
        result
    }
}

fn without_endless(taint: Taint) -> Taint {
    if taint.has(Taint::ENDLESS) { Taint::OUTPUT } else { taint }
}

/// What printf prints.
pub(crate) fn formatted(format: &Value, arguments: &[Field]) -> Value {
    let mut result = Value::new(Vec::new(), format.taint);
    let mut arguments = arguments.iter();
    for round in 0..256 {
        if round > 0 && arguments.len() == 0 {
            break;
        }
        let before = arguments.len();
        one_format(&format.text, &mut arguments, &mut result);
        if arguments.len() == before {
            break;
        }
    }
    if format.text.contains(&b'\\') {
        let coded = format
            .text
            .windows(2)
            .any(|two| matches!(two, [b'\\', b'x' | b'u' | b'U' | b'0'..=b'9']));
        if coded {
            result = result.tainted(Taint::ASSEMBLED);
        }
    }
    result
}

fn one_format(format: &[u8], arguments: &mut std::slice::Iter<'_, Field>, result: &mut Value) {
    let mut rest = format;
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'%').unwrap_or(rest.len());
        let (literal, after) = rest.split_at_checked(end).unwrap_or((rest, &[]));
        result.push(&unescape(literal));
        let Some(specification) = after.strip_prefix(b"%") else { break };
        let length = specification
            .iter()
            .position(|byte| byte.is_ascii_alphabetic() || *byte == b'%')
            .unwrap_or(specification.len());
        let Some(kind) = specification.get(length) else { break };
        rest = specification.get(length + 1..).unwrap_or_default();
        if *kind == b'%' {
            result.push(b"%");
            continue;
        }
        let Some(argument) = arguments.next() else { continue };
        let text = argument.text();
        match kind {
            b'b' => {
                result.push(&unescape(text));
                result.taint = result.taint.with(argument.value.taint).with(Taint::ASSEMBLED);
            }
            b'c' => result.push(text.get(..1).unwrap_or_default()),
            b's' | b'q' => {
                let precision = specification.get(..length).unwrap_or_default();
                let most = precision
                    .split(|b| *b == b'.')
                    .nth(1)
                    .and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
                result.push(text.get(..most.unwrap_or(text.len()).min(text.len())).unwrap_or(text));
                result.taint = result.taint.with(argument.value.taint);
            }
            b'x' | b'X' | b'o' => {
                let number = number(text);
                let formatted = match (number, kind) {
                    (Some(number), b'x') => format!("{number:x}"),
                    (Some(number), b'X') => format!("{number:X}"),
                    (Some(number), _) => format!("{number:o}"),
                    (None, _) => "\0".to_owned(),
                };
                result.push(padded(specification.get(..length), &formatted).as_bytes());
                result.taint = result.taint.with(argument.value.taint);
            }
            _ => match number(text) {
                Some(number) => {
                    result
                        .push(padded(specification.get(..length), &number.to_string()).as_bytes());
                }
                None => result.push(&[UNKNOWN]),
            },
        }
    }
}

/// A number as printf reads it: `'A` is the character's code.
fn number(text: &[u8]) -> Option<i64> {
    if let Some(rest) = text.strip_prefix(b"'").or_else(|| text.strip_prefix(b"\"")) {
        return std::str::from_utf8(rest).ok()?.chars().next().map(|c| i64::from(u32::from(c)));
    }
    let text = std::str::from_utf8(text).ok()?.trim();
    if let Some(hex) = text.strip_prefix("0x") {
        return i64::from_str_radix(hex, 16).ok();
    }
    match text.strip_prefix('0') {
        Some(octal) if !octal.is_empty() => i64::from_str_radix(octal, 8).ok(),
        _ => text.parse().ok(),
    }
}

fn padded(specification: Option<&[u8]>, digits: &str) -> String {
    let specification = std::str::from_utf8(specification.unwrap_or_default()).unwrap_or_default();
    let zeros = specification.starts_with('0') || specification.starts_with('.');
    let width = specification
        .trim_start_matches(['0', '.', '-', '+'])
        .parse::<usize>()
        .unwrap_or(0)
        .min(64);
    if zeros { format!("{digits:0>width$}") } else { format!("{digits:>width$}") }
}

/// The characters of a set of tr: ranges, classes and escapes spelled out.
fn characters(set: &[u8]) -> Vec<u8> {
    let set = unescape(set);
    let mut result = Vec::new();
    let mut rest = set.as_slice();
    while let Some((first, after)) = rest.split_first() {
        if let Some(class) = rest.strip_prefix(b"[:")
            && let Some(end) = class.windows(2).position(|two| two == b":]")
        {
            let name = class.get(..end).unwrap_or_default();
            let pattern = [b"[[:", name, b":]]"].concat();
            result.extend(
                (1..=127_u8).filter(|byte| crate::evaluate::matches_pattern(&pattern, &[*byte])),
            );
            rest = class.get(end + 2..).unwrap_or_default();
            continue;
        }
        if let [b'-', last, after @ ..] = after
            && first <= last
        {
            result.extend(*first..=*last);
            rest = after;
            continue;
        }
        result.push(*first);
        rest = after;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_escapes() {
        assert_eq!(unescape(b"\\x72\\155 \\055rf\\n\\0101\\u0041"), b"rm -rf\nAA");
        assert_eq!(unescape(b"a\\"), b"a\\");
    }

    #[test]
    fn spells_sets_out() {
        assert_eq!(characters(b"a-cX"), b"abcX");
        assert_eq!(characters(b"[:digit:]"), b"0123456789");
    }

    #[test]
    fn formats_like_printf() {
        let field = |text: &str| Field { value: Value::known(text), ..Field::default() };
        let print = |format: &str, arguments: &[&str]| {
            let arguments: Vec<Field> = arguments.iter().map(|text| field(text)).collect();
            formatted(&Value::known(format), &arguments).lossy()
        };
        assert_eq!(print("%s-%s\\n", &["a", "b", "c"]), "a-b\nc-\n");
        assert_eq!(print("\\162\\155", &[]), "rm");
        assert_eq!(print("%x %03d %c", &["255", "7", "xyz"]), "ff 007 x");
        assert_eq!(print("%d", &["'A"]), "65");
    }
}

//! cut, grep, and sed as far as it replaces and translates.

use super::LONGEST;
use super::expression::Expression;
use crate::evaluate::Evaluator;
use crate::evaluate::call::Call;
use crate::evaluate::expand::Field;
use crate::evaluate::value::{Taint, Value};

/// The most steps of matches of one call of sed.
const MOST_STEPS: usize = 400_000;

impl Evaluator<'_> {
    pub(super) fn cut(&mut self, call: &Call) -> Value {
        let options = call.options("dfcb", &["delimiter", "fields", "characters", "bytes"]);
        let value = |names: &str| options.value(names).map(|field| field.text().to_vec());
        let delimiter =
            value("d|delimiter").and_then(|text| text.first().copied()).unwrap_or(b'\t');
        let (fields, characters) = (value("f|fields"), value("c|b|characters|bytes"));
        let files: Vec<Field> = options.operands.iter().map(|field| (*field).clone()).collect();
        let input = self.contents(&files, call);
        super::limited(&input, |text| {
            let mut result = Vec::new();
            for line in text.split(|byte| *byte == b'\n') {
                match (&fields, &characters) {
                    (Some(list), _) => {
                        let parts: Vec<&[u8]> = line.split(|byte| *byte == delimiter).collect();
                        let chosen: Vec<&[u8]> = chosen(list, parts.len())
                            .filter_map(|at| parts.get(at).copied())
                            .collect();
                        result.extend(chosen.join(&delimiter));
                    }
                    (None, Some(list)) => {
                        result.extend(chosen(list, line.len()).filter_map(|at| line.get(at)));
                    }
                    (None, None) => result.extend_from_slice(line),
                }
                result.push(b'\n');
            }
            result.pop();
            result
        })
        .tainted(Taint::ASSEMBLED)
    }

    /// What is left of a text when lines are chosen: of a known text with a plain pattern, those
    /// that hold it.
    pub(super) fn filtered(&mut self, call: &Call) -> Value {
        let options =
            call.options("emABCf", &["regexp", "include", "exclude", "exclude-dir", "max-count"]);
        self.searched_history(call, &options);
        let mut operands = options.operands.iter();
        let pattern = match options.value("e|regexp") {
            Some(pattern) => Some(pattern.value.clone()),
            None => operands.next().map(|field| field.value.clone()),
        };
        let files: Vec<Field> = operands.map(|field| (*field).clone()).collect();
        if options.has("r|R|recursive") || call.name == "rg" && self.stdin.is_none() {
            for file in &files {
                self.read_file(&file.value, call.range);
            }
            return Value::unknown(Taint::FILE);
        }
        let input = self.contents(&files, call);
        let quiet = options.has("q|quiet|silent|c|count|l|L");
        if quiet {
            return Value::unknown(Taint::ENVIRONMENT);
        }
        let (inverted, only) = (options.has("v|invert-match"), options.has("o|only-matching"));
        match pattern {
            Some(pattern) if input.is_known() && !only && is_plain(&pattern.text) => {
                super::limited(&input, |text| {
                    let mut result = Vec::new();
                    for line in text.split_inclusive(|byte| *byte == b'\n') {
                        if contains(line, &pattern.text) != inverted {
                            result.extend_from_slice(line);
                        }
                    }
                    result
                })
            }
            Some(pattern) if only && input.is_known() && is_plain(&pattern.text) => {
                super::limited(&input, |text| {
                    if contains(text, &pattern.text) {
                        [&pattern.text[..], b"\n"].concat()
                    } else {
                        Vec::new()
                    }
                })
            }
            _ if only => Value::unknown(input.taint.with(Taint::ASSEMBLED)),
            _ => input,
        }
    }

    /// sed: replaces and translates known input; `-i`, `w` and `e` are effects.
    pub(super) fn sed(&mut self, call: &Call) -> bool {
        let options = call.options("efl", &["expression", "file"]);
        let mut scripts: Vec<Field> = options.values("e|expression").cloned().collect();
        let mut operands = options.operands.iter();
        if scripts.is_empty() && !options.has("f|file") {
            scripts.extend(operands.next().map(|field| (*field).clone()));
        }
        let files: Vec<Field> = operands.map(|field| (*field).clone()).collect();
        let in_place = options
            .names()
            .any(|name| name.first() == Some(&b'i') || name.starts_with(b"in-place"));
        if in_place {
            for file in &files {
                self.touch_path(
                    crate::effect::EffectKind::Overwrite,
                    &file.value,
                    crate::effect::Qualities::NONE,
                    file.range,
                );
            }
        }
        for script in &scripts {
            self.sed_commands(script);
        }
        let input = if in_place { Value::default() } else { self.contents(&files, call) };
        let quiet = options.has("n|quiet|silent");
        let output = if scripts.is_empty() || !input.is_known() {
            Value::unknown(input.taint)
        } else {
            let extended = options.has("E|r|regexp-extended");
            // A step of a match is a good deal less than what work counts.
            let room = self.work.left().min(MOST_STEPS / 8) * 8;
            let mut left = room;
            let text = edited(&input, &scripts, How { quiet, extended }, &mut left);
            self.copied((room - left) / 8);
            text.unwrap_or_else(|| Value::unknown(input.taint.with(Taint::ASSEMBLED)))
        };
        self.write(&output);
        true
    }

    /// The commands of a sed script that reach beyond its input: `e`, `w`, the flag `e` of `s`.
    fn sed_commands(&mut self, script: &Field) {
        for line in script.text().split(|byte| matches!(byte, b'\n' | b';')) {
            let line = line.trim_ascii();
            let command = line.iter().position(|byte| {
                !byte.is_ascii_digit() && !matches!(byte, b'$' | b',' | b' ' | b'!' | b'{')
            });
            let Some(command) = command.and_then(|at| line.get(at..)) else { continue };
            match command {
                [b'e', b' ', code @ ..] => {
                    self.escape_to_shell(&Value::known(code), script.range);
                }
                [b'e'] => self.escape_to_shell(&Value::unknown(Taint::OUTPUT), script.range),
                [b'w' | b'W', b' ', path @ ..] => {
                    self.write_file(
                        &Value::known(path),
                        &Value::unknown(Taint::OUTPUT),
                        false,
                        script.range,
                    );
                }
                [b'r' | b'R', b' ', path @ ..] => {
                    self.read_file(&Value::known(path), script.range);
                }
                [b's', delimiter, rest @ ..] => {
                    let parts = delimited(rest, *delimiter);
                    if let [_, replacement, flags] = parts.as_slice()
                        && flags.contains(&b'e')
                        && flags.iter().all(|flag| b"gpiIeMm0123456789".contains(flag))
                    {
                        let input = self.stdin.clone().filter(|_| replacement.contains(&b'&'));
                        let code = input.unwrap_or_else(|| Value::known(replacement.as_slice()));
                        self.escape_to_shell(&code, script.range);
                    }
                }
                _ => {}
            }
        }
    }
}

/// The places that a list of cut names, from 0.
fn chosen(list: &[u8], total: usize) -> impl Iterator<Item = usize> {
    let list = String::from_utf8_lossy(list).into_owned();
    let mut ranges: Vec<(usize, usize)> = list
        .split(',')
        .filter_map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let first = if first.is_empty() { 1 } else { first.parse().ok()? };
            let last = if last.is_empty() { total } else { last.parse().ok()? };
            Some((first, last.min(total)))
        })
        .collect();
    ranges.sort_unstable();
    ranges.into_iter().flat_map(|(first, last)| (first.saturating_sub(1)..last).take(1 << 16))
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    part.is_empty() || text.windows(part.len()).any(|window| window == part)
}

fn is_plain(pattern: &[u8]) -> bool {
    !pattern.iter().any(|byte| b".*[]^$\\+?(){}|\0".contains(byte))
}

/// The input after all scripts; none if one of them is not understood. Steps are taken from
/// `left`.
fn edited(input: &Value, scripts: &[Field], how: How, left: &mut usize) -> Option<Value> {
    let mut value = input.clone();
    for script in scripts {
        if !script.value.is_known() {
            return None;
        }
        for command in commands(script.text()) {
            match command {
                [b's', delimiter, rest @ ..] => {
                    let parts = delimited(rest, *delimiter);
                    value.text = substituted(&value.text, &parts, how.extended, left)?;
                }
                [b'y', delimiter, rest @ ..] => {
                    let parts = delimited(rest, *delimiter);
                    let [from, to, _] = parts.as_slice() else { return None };
                    for byte in &mut value.text {
                        if let Some(new) =
                            from.iter().position(|b| b == byte).and_then(|at| to.get(at))
                        {
                            *byte = *new;
                        }
                    }
                }
                [b'p'] if how.quiet => {}
                [digits @ .., b'p']
                    if how.quiet && digits.iter().all(|d| d.is_ascii_digit() || *d == b',') =>
                {
                    value.text = lines(&value.text, digits, true)?;
                }
                [digits @ .., b'd']
                    if !digits.is_empty()
                        && digits.iter().all(|d| d.is_ascii_digit() || *d == b',') =>
                {
                    value.text = lines(&value.text, digits, false)?;
                }
                _ => return None,
            }
        }
    }
    Some(value.tainted(Taint::ASSEMBLED))
}

/// How sed was told to work.
#[derive(Clone, Copy)]
struct How {
    quiet: bool,
    extended: bool,
}

/// The commands of a script: a line or a semicolon ends one, unless it stands between the
/// delimiters of `s` and `y`.
fn commands(script: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    let mut rest = script;
    loop {
        let start = rest.iter().position(|byte| !byte.is_ascii_whitespace() && *byte != b';');
        let Some(text) = start.and_then(|start| rest.get(start..)) else { return found };
        let mut at = 0;
        if let [b's' | b'y', delimiter, ..] = text {
            let (mut seen, mut escaped) = (0, false);
            let closes = |byte: &u8| {
                seen += usize::from(byte == delimiter && !escaped);
                escaped = *byte == b'\\' && !escaped;
                seen == 3
            };
            at = text.iter().skip(1).position(closes).map_or(text.len(), |at| at + 2);
        }
        let behind = text.get(at..).unwrap_or_default();
        let length = behind.iter().position(|byte| matches!(byte, b'\n' | b';'));
        let (command, after) = text.split_at(at + length.unwrap_or(behind.len()));
        found.push(command.trim_ascii_end());
        rest = after;
    }
}

fn lines(text: &[u8], range: &[u8], keep: bool) -> Option<Vec<u8>> {
    let range = std::str::from_utf8(range).ok()?;
    let (first, last) = range.split_once(',').unwrap_or((range, range));
    let (first, last) = (first.parse::<usize>().ok()?, last.parse::<usize>().ok()?);
    let chosen = text.split_inclusive(|byte| *byte == b'\n').enumerate();
    let chosen = chosen.filter(|(at, _)| (first..=last).contains(&(at + 1)) == keep);
    Some(chosen.flat_map(|(_, line)| line.iter().copied()).collect())
}

/// `s/expression/replacement/flags`
fn substituted(
    text: &[u8],
    parts: &[Vec<u8>],
    extended: bool,
    left: &mut usize,
) -> Option<Vec<u8>> {
    let [expression, replacement, flags] = parts else { return None };
    if !flags.iter().all(|flag| matches!(flag, b'g' | b'I' | b'i' | b'p')) {
        return None;
    }
    let all = flags.contains(&b'g');
    let any_case = flags.iter().any(|flag| matches!(flag, b'I' | b'i'));
    let expression = Expression::new(expression, extended, any_case)?;
    *left = left.checked_sub(expression.weight())?;
    let mut result = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let (body, newline) = match line.strip_suffix(b"\n") {
            Some(body) => (body, &b"\n"[..]),
            None => (line, &b""[..]),
        };
        let (mut from, mut copied) = (0, 0);
        while let Some(places) = expression.find(body, from, left) {
            let (start, end) = *places.first()?;
            result.extend_from_slice(body.get(copied..start)?);
            result.extend(replaced(replacement, body, &places)?);
            *left = left.checked_sub(replacement.len())?;
            copied = end;
            from = end + usize::from(start == end);
            if !all || from > body.len() || result.len() > LONGEST {
                break;
            }
        }
        if *left == 0 || result.len() > LONGEST {
            return None;
        }
        result.extend_from_slice(body.get(copied..)?);
        result.extend_from_slice(newline);
    }
    Some(result)
}

/// A replacement with what was found in it.
fn replaced(replacement: &[u8], line: &[u8], places: &[(usize, usize)]) -> Option<Vec<u8>> {
    let mut result = Vec::new();
    let mut rest = replacement;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        let place = match (byte, after.first()) {
            (b'&', _) => Some(0),
            (b'\\', Some(digit @ b'0'..=b'9')) => {
                rest = after.get(1..)?;
                Some(usize::from(digit - b'0'))
            }
            // Other cases, which only GNU knows.
            (b'\\', Some(b'U' | b'L' | b'u' | b'l' | b'E')) => return None,
            (b'\\', Some(letter)) => {
                rest = after.get(1..)?;
                match letter {
                    b'&' => result.push(b'&'),
                    letter => result.extend(super::text::unescape(&[b'\\', *letter])),
                }
                None
            }
            _ => {
                result.push(*byte);
                None
            }
        };
        if let Some(place) = place {
            let (start, end) = *places.get(place)?;
            result.extend_from_slice(line.get(start..end)?);
        }
    }
    Some(result)
}

/// The parts between delimiters, of which those behind a backslash are texts.
fn delimited(text: &[u8], delimiter: u8) -> Vec<Vec<u8>> {
    let mut parts = vec![Vec::new()];
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        let last = parts.last_mut();
        match byte {
            b'\\' => match bytes.next() {
                Some(next) if *next == delimiter => last.into_iter().for_each(|it| it.push(*next)),
                next => last
                    .into_iter()
                    .for_each(|it| it.extend([Some(byte), next].iter().flatten().copied())),
            },
            _ if *byte == delimiter => parts.push(Vec::new()),
            _ => last.into_iter().for_each(|it| it.push(*byte)),
        }
    }
    parts
}

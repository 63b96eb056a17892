//! The expansions that make fields of a word, in the shell's order.

use super::brace::{self, Unit};
use super::value::{Taint, Value};
use super::{A_FIELD, Evaluator, arithmetic};
use crate::effect::UNKNOWN;
use crate::source_range::SourceRange;
use crate::syntax::tree::{Part, Word};

/// How many fields one word may become.
const MOST_FIELDS: usize = 1024;

/// One argument, as far as it can be known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Field {
    pub(crate) value: Value,
    /// It holds `*`, `?` or `[` outside quotes: any number of file names may stand here.
    pub(crate) globs: bool,
    /// A part of it was quoted.
    pub(crate) quoted: bool,
    pub(crate) range: SourceRange,
}

impl Field {
    pub(crate) fn text(&self) -> &[u8] {
        &self.value.text
    }
}

/// How the parts of a word are put together.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Into fields: what is expanded outside quotes is split.
    Fields,
    /// Into one text.
    Text,
    /// Into a pattern: what is quoted means itself.
    Pattern,
}

struct Builder {
    mode: Mode,
    fields: Vec<Field>,
    current: Field,
    /// Something was there, be it empty quotes.
    begun: bool,
    separators: Vec<u8>,
    range: SourceRange,
    /// There were more fields than are followed.
    overflowed: bool,
}

impl Builder {
    fn literal(&mut self, text: &[u8]) {
        self.current.globs |= has_pattern(text);
        self.current.value.push(text);
        self.begun |= !text.is_empty();
    }

    fn quoted(&mut self, value: &Value) {
        self.begun = true;
        self.current.quoted = true;
        if self.mode != Mode::Pattern {
            self.current.value.push_value(value);
            return;
        }
        for byte in &value.text {
            if matches!(byte, b'*' | b'?' | b'[' | b']' | b'\\') {
                self.current.value.push(b"\\");
            }
            self.current.value.push(&[*byte]);
        }
        self.current.value.taint = self.current.value.taint.with(value.taint);
    }

    /// What was expanded outside quotes.
    fn expanded(&mut self, value: &Value) {
        if self.mode != Mode::Fields {
            self.begun |= !value.is_empty();
            self.current.value.push_value(value);
            return;
        }
        let mut rest = value.text.as_slice();
        while !rest.is_empty() {
            let end =
                rest.iter().position(|byte| self.separators.contains(byte)).unwrap_or(rest.len());
            let (piece, after) = rest.split_at_checked(end).unwrap_or((rest, &[]));
            if !piece.is_empty() {
                self.literal(piece);
                self.current.value.taint = self.current.value.taint.with(value.taint);
            }
            rest = match after.split_first() {
                Some((_, after)) => {
                    self.split();
                    after
                }
                None => after,
            };
        }
    }

    fn split(&mut self) {
        self.overflowed |= self.begun && self.fields.len() >= MOST_FIELDS;
        if self.begun && self.fields.len() < MOST_FIELDS {
            let mut field = std::mem::take(&mut self.current);
            field.range = self.range;
            self.fields.push(field);
        }
        self.current = Field::default();
        self.begun = false;
    }

    /// Several texts of which each is a field of its own, as `"$@"`.
    fn separate(&mut self, values: &[Value]) {
        for (index, value) in values.iter().enumerate() {
            if index > 0 {
                if self.mode == Mode::Fields { self.split() } else { self.literal(b" ") }
            }
            self.quoted(value);
        }
    }
}

impl Evaluator<'_> {
    /// The fields that `word` becomes.
    pub(crate) fn fields(&mut self, word: &Word) -> Vec<Field> {
        if let [Part::Literal(text)] = word.parts.as_slice()
            && !text.iter().any(|byte| matches!(byte, b'{' | b'~'))
        {
            self.copied(A_FIELD + text.len() / 16);
            let globs = has_pattern(text);
            let range = self.place(word.range);
            return vec![Field {
                value: Value::known(text.as_slice()),
                globs,
                quoted: false,
                range,
            }];
        }
        match brace::expand(word, &mut self.work) {
            Some(words) => {
                let mut fields = Vec::new();
                for units in words {
                    fields.extend(self.build(&units, word.range, Mode::Fields));
                    if fields.len() > MOST_FIELDS {
                        break;
                    }
                }
                fields
            }
            None => {
                let units = units(word);
                self.build(&units, word.range, Mode::Fields)
            }
        }
    }

    /// `word` as one text: assignments, redirections, the subject of `case`.
    pub(crate) fn text(&mut self, word: &Word) -> Value {
        self.joined(word, Mode::Text)
    }

    /// `word` as a pattern.
    pub(crate) fn pattern(&mut self, word: &Word) -> Value {
        self.joined(word, Mode::Pattern)
    }

    /// A here-document or an arithmetic expression: everything but expansions means itself.
    pub(crate) fn document(&mut self, parts: &[Part]) -> Value {
        self.double_quoted(parts)
    }

    fn joined(&mut self, word: &Word, mode: Mode) -> Value {
        let units = units(word);
        let mut fields = self.build(&units, word.range, mode);
        match fields.len() {
            0 => Value::default(),
            1 => fields.pop().map(|field| field.value).unwrap_or_default(),
            _ => {
                let mut joined = Value::default();
                for field in &fields {
                    joined.push_value(&field.value);
                }
                joined
            }
        }
    }

    fn build(&mut self, units: &[Unit<'_>], range: SourceRange, mode: Mode) -> Vec<Field> {
        let mut builder = Builder {
            mode,
            fields: Vec::new(),
            current: Field::default(),
            begun: false,
            separators: Vec::new(),
            range: self.place(range),
            overflowed: false,
        };
        let mut literal = Vec::new();
        let mut first = true;
        for (index, unit) in units.iter().enumerate() {
            match unit {
                Unit::Byte(byte) => literal.push(*byte),
                Unit::Part(part) => {
                    self.flush(&mut builder, &mut literal, &mut first, true);
                    let more = index + 1 < units.len();
                    self.part(&mut builder, part, &mut first, more);
                }
            }
        }
        self.flush(&mut builder, &mut literal, &mut first, false);
        builder.split();
        if builder.overflowed {
            self.remark(super::RemarkKind::TooLong, builder.range);
        }
        let bytes: usize = builder.fields.iter().map(|field| A_FIELD + field.text().len()).sum();
        self.copied(bytes + units.len() * A_FIELD);
        builder.fields
    }

    fn flush(
        &mut self,
        builder: &mut Builder,
        literal: &mut Vec<u8>,
        first: &mut bool,
        more: bool,
    ) {
        if literal.is_empty() {
            return;
        }
        self.literal(builder, literal, *first, more);
        literal.clear();
        *first = false;
    }

    fn literal(&mut self, builder: &mut Builder, text: &[u8], first: bool, more: bool) {
        let rest = match text.strip_prefix(b"~") {
            Some(rest) if first => rest,
            _ => return builder.literal(text),
        };
        let end = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
        let (name, path) = rest.split_at_checked(end).unwrap_or((rest, &[]));
        // `~"x"` is no tilde prefix.
        if more && path.is_empty() {
            return builder.literal(text);
        }
        let home = match name {
            b"" => match self.scalar(b"HOME") {
                Some(value) => value,
                None => Value::known(self.context.home.clone()),
            },
            b"+" => self.environment.directory.clone(),
            b"-" => self.environment.previous_directory.clone(),
            b"root" => Value::known("/root"),
            _ if name
                .iter()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.')) =>
            {
                Value::known([b"/home/", name].concat())
            }
            _ => return builder.literal(text),
        };
        builder.begun = true;
        builder.current.value.push_value(&home);
        builder.literal(path);
    }

    fn part(&mut self, builder: &mut Builder, part: &Part, first: &mut bool, more: bool) {
        let at_start = std::mem::replace(first, false);
        match part {
            Part::Literal(text) => self.literal(builder, text, at_start, more),
            Part::Quoted(text) => builder.quoted(&Value::known(text.as_slice())),
            Part::DoubleQuoted(parts) => self.inside_quotes(builder, parts),
            Part::Parameter(parameter) => {
                if parameter.name == b"IFS" && builder.mode == Mode::Fields {
                    self.note_separator_trick(builder.range);
                }
                if let Some(values) = self.list_of(parameter) {
                    if values.is_empty() {
                        return;
                    }
                    builder.separators = self.separators();
                    for (index, value) in values.iter().enumerate() {
                        if index > 0 {
                            if builder.mode == Mode::Fields {
                                builder.split()
                            } else {
                                builder.literal(b" ")
                            }
                        }
                        builder.expanded(value);
                    }
                    return;
                }
                let value = self.parameter(parameter);
                builder.separators = self.separators();
                builder.expanded(&value);
            }
            Part::CommandSubstitution(list) => {
                let value = self.substitute(list);
                builder.separators = self.separators();
                builder.expanded(&value);
            }
            Part::ProcessSubstitution { output, list } => {
                let path = self.process_substitution(*output, list);
                builder.begun = true;
                builder.current.value.push_value(&path);
            }
            Part::Arithmetic(parts) => {
                let value = self.arithmetic(parts);
                builder.expanded(&value);
            }
            Part::TooDeep => {
                self.note_too_deep(builder.range);
                builder.quoted(&Value::unknown(Taint::OUTPUT.with(Taint::ASSEMBLED)));
            }
        }
    }

    fn inside_quotes(&mut self, builder: &mut Builder, parts: &[Part]) {
        builder.begun = true;
        builder.current.quoted = true;
        for part in parts {
            match part {
                Part::Parameter(parameter) if self.list_of(parameter).is_some() => {
                    let values = self.list_of(parameter).unwrap_or_default();
                    if parameter.name == b"*" || parameter.index_is(b"*") {
                        let joined = self.join(&values);
                        builder.quoted(&joined);
                    } else if values.is_empty() && parts.len() == 1 {
                        // `"$@"` without parameters is no field at all.
                        builder.begun = builder.mode != Mode::Fields;
                    } else {
                        builder.separate(&values);
                    }
                }
                other => {
                    let value = self.double_quoted(std::slice::from_ref(other));
                    builder.quoted(&value);
                }
            }
        }
    }

    fn double_quoted(&mut self, parts: &[Part]) -> Value {
        let mut value = Value::default();
        self.copied(parts.len() * A_FIELD);
        for part in parts {
            match part {
                Part::Literal(text) | Part::Quoted(text) => value.push(text),
                Part::DoubleQuoted(parts) => {
                    let inner = self.double_quoted(parts);
                    value.push_value(&inner);
                }
                Part::Parameter(parameter) => {
                    let inner = match self.list_of(parameter) {
                        Some(values) => self.join(&values),
                        None => self.parameter(parameter),
                    };
                    value.push_value(&inner);
                }
                Part::CommandSubstitution(list) => {
                    let inner = self.substitute(list);
                    value.push_value(&inner);
                }
                Part::ProcessSubstitution { output, list } => {
                    let inner = self.process_substitution(*output, list);
                    value.push_value(&inner);
                }
                Part::Arithmetic(parts) => {
                    let inner = self.arithmetic(parts);
                    value.push_value(&inner);
                }
                Part::TooDeep => {
                    value.push(&[UNKNOWN]);
                    value.taint = value.taint.with(Taint::OUTPUT).with(Taint::ASSEMBLED);
                }
            }
        }
        value
    }

    /// The value of `$((…))`.
    pub(crate) fn arithmetic(&mut self, parts: &[Part]) -> Value {
        let expression = self.double_quoted(parts);
        if !expression.is_known() {
            return Value::unknown(expression.taint);
        }
        match arithmetic::evaluate(self, &expression.text, 0) {
            Some(number) => Value::known(number.to_string()).tainted(expression.taint),
            None => Value::unknown(Taint::ENVIRONMENT.with(expression.taint)),
        }
    }

    pub(crate) fn join(&mut self, values: &[Value]) -> Value {
        let separator = self.separators().first().copied();
        let mut joined = Value::default();
        for (index, value) in values.iter().enumerate() {
            if index > 0 {
                joined.push(separator.as_slice());
            }
            joined.push_value(value);
        }
        joined
    }

    /// What splits fields.
    pub(crate) fn separators(&mut self) -> Vec<u8> {
        match self.scalar(b"IFS") {
            Some(value) if value.is_known() => value.text,
            _ => b" \t\n".to_vec(),
        }
    }
}

/// Whether a text outside quotes stands for file names. `[` alone is a program.
fn has_pattern(text: &[u8]) -> bool {
    text.iter().any(|byte| matches!(byte, b'*' | b'?'))
        || text.contains(&b'[') && text.contains(&b']')
}

fn units(word: &Word) -> Vec<Unit<'_>> {
    // A literal stays whole here: only braces look at single bytes.
    word.parts.iter().map(Unit::Part).collect()
}

//! Values in a row of tokens: texts, variables, what joins them and what decodes them.

use std::collections::HashMap;

use crate::effect::UNKNOWN;
use crate::source_range::SourceRange;

use super::computed::computed;
use super::tokens::{Token, TokenKind};
use super::value::{Kind, Origin, Value};
use super::{Language, constant, library};

/// How deep values stand in values.
const DEEPEST: usize = 24;
/// What it costs to read a token of a call.
const AN_ARGUMENT: usize = 8;
/// The most tokens that belong to one call.
const LONGEST: usize = 100;

pub(super) struct Phrases {
    pub(super) language: Language,
    pub(super) tokens: Vec<Token>,
    pub(super) variables: HashMap<Vec<u8>, Value>,
    /// How much may still be copied, in bytes.
    room: usize,
}

/// The arguments of a call, and where it ends.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    pub(super) values: Vec<Value>,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Arguments {
    pub(super) fn value(&self, at: usize) -> Value {
        self.values.get(at).cloned().unwrap_or_default()
    }
}

impl Phrases {
    pub(super) fn new(language: Language, tokens: Vec<Token>, room: usize) -> Self {
        Self { language, tokens, variables: HashMap::new(), room }
    }

    /// Whether there is room for this much.
    pub(super) fn spend(&mut self, cost: usize) -> bool {
        self.room = self.room.saturating_sub(cost);
        self.room > 0
    }

    pub(super) fn room(&self) -> usize {
        self.room
    }

    pub(super) fn kind(&self, at: usize) -> Option<&TokenKind> {
        self.tokens.get(at).map(|token| &token.kind)
    }

    pub(super) fn is_mark(&self, at: usize, mark: u8) -> bool {
        self.kind(at) == Some(&TokenKind::Mark(mark))
    }

    pub(super) fn name_at(&self, at: usize) -> Option<&[u8]> {
        match self.kind(at) {
            Some(TokenKind::Name(name)) => Some(name),
            _ => None,
        }
    }

    pub(super) fn range(&self, from: usize, to: usize) -> SourceRange {
        let start = self.tokens.get(from).map_or(0, |token| token.range.start);
        let end = self.tokens.get(to.saturating_sub(1).max(from)).map_or(start, |it| it.range.end);
        SourceRange::new(start, end.max(start))
    }

    /// What is given from token `at` on, in brackets or up to the end of the statement.
    pub(super) fn arguments(&mut self, at: usize, depth: usize) -> Arguments {
        let bracketed = self.is_mark(at, b'(');
        let mut place = at + usize::from(bracketed);
        let last = at + LONGEST;
        let mut arguments = Arguments { start: place, ..Arguments::default() };
        while place < last && self.spend(AN_ARGUMENT) {
            match self.kind(place) {
                None => break,
                Some(TokenKind::Mark(b')' | b'}')) => {
                    place += usize::from(bracketed);
                    break;
                }
                Some(TokenKind::Mark(b';')) => break,
                Some(TokenKind::LineEnd) if !bracketed => break,
                Some(TokenKind::Name(name))
                    if !bracketed
                        && matches!(
                            name.as_slice(),
                            b"or" | b"and" | b"if" | b"unless" | b"while" | b"do"
                        ) =>
                {
                    break;
                }
                // A list of Ruby has methods: it is read as one value.
                Some(TokenKind::Mark(b']')) if self.language == Language::Ruby => break,
                Some(TokenKind::Mark(b'[')) if self.language == Language::Ruby => {
                    let (value, next) = self.piece(place, depth + 1);
                    arguments.values.push(value);
                    place = next.max(place + 1);
                }
                Some(TokenKind::Mark(b',' | b'[' | b']' | b'(') | TokenKind::LineEnd) => place += 1,
                // `key => value`
                Some(TokenKind::Mark(b'=' | b'>')) => place += 1,
                Some(_) => {
                    let (value, next) = self.value(place, depth + 1);
                    arguments.values.push(value);
                    place = next.max(place + 1);
                }
            }
        }
        arguments.end = place;
        arguments
    }

    /// Pieces and what joins them, from token `at` on, and where that ends.
    pub(super) fn value(&mut self, at: usize, depth: usize) -> (Value, usize) {
        let (mut value, mut place) = self.piece(at, depth);
        for _ in 0..LONGEST {
            let joiner = match (self.language, self.kind(place)) {
                (Language::Perl | Language::Php, Some(TokenKind::Mark(b'.'))) => 1,
                (Language::Ruby, Some(TokenKind::Mark(b'+'))) => 1,
                (Language::Lua, Some(TokenKind::Mark(b'.'))) if self.is_mark(place + 1, b'.') => 2,
                // awk joins what stands side by side.
                (Language::Awk, Some(TokenKind::Text(..) | TokenKind::Name(_)))
                    if self.joins_in_awk(place) =>
                {
                    0
                }
                _ => break,
            };
            let (right, next) = self.piece(place + joiner, depth);
            if next <= place {
                break;
            }
            let right = all_in_one(right);
            let joined = constant::binary(
                b"+",
                &Value::text(value.to_text()),
                &Value::text(right.to_text()),
            );
            value = self.paid(joined.from(value.origin).from(right.origin));
            place = next;
        }
        (value, place)
    }

    fn joins_in_awk(&self, at: usize) -> bool {
        match self.kind(at) {
            Some(TokenKind::Name(name)) => !matches!(
                name.as_slice(),
                b"getline" | b"print" | b"system" | b"in" | b"while" | b"if"
            ),
            _ => true,
        }
    }

    /// What was copied is paid for, so that no text grows without bounds.
    fn paid(&mut self, value: Value) -> Value {
        match self.room.checked_sub(value.as_text().map_or(1, <[u8]>::len)) {
            Some(left) => {
                self.room = left;
                value
            }
            None => Value::unknown(value.origin),
        }
    }

    fn piece(&mut self, at: usize, depth: usize) -> (Value, usize) {
        if depth > DEEPEST {
            return (Value::default(), at + 1);
        }
        let Some(kind) = self.kind(at) else { return (Value::default(), at) };
        match kind.clone() {
            TokenKind::Text(text, replaced) => {
                let value = if replaced { self.replace(&text) } else { Value::text(text) };
                let value = self.paid(value);
                self.methods(value, at + 1, depth)
            }
            TokenKind::Number(number) => (Value::number(number), at + 1),
            TokenKind::Variable(name) => {
                let mut next = at + 1;
                let value = match name.as_slice() {
                    b"_SERVER" if self.kind(next + 1) == Some(&home()) => {
                        next = self.after_index(next);
                        Value::text("~")
                    }
                    b"_GET" | b"_POST" | b"_REQUEST" | b"_COOKIE" | b"_SERVER" => {
                        next = self.after_index(next);
                        Value::unknown(Origin::NETWORK)
                    }
                    b"ENV" | b"_ENV" => {
                        let key = self.kind(next + 1).cloned();
                        next = self.after_index(next);
                        environment(key)
                    }
                    b"ARGV" | b"argv" => Value::unknown(Origin::INPUT),
                    _ => self.variables.get(&name).cloned().unwrap_or_default(),
                };
                let value = self.paid(value);
                self.methods(value, next, depth)
            }
            TokenKind::Command(_) => (Value::default(), at + 1),
            TokenKind::Name(name) => self.named(&name, at, depth),
            TokenKind::Mark(b'(' | b'[') => {
                let arguments = self.arguments(at + usize::from(self.is_mark(at, b'[')), depth + 1);
                let mut end = arguments.end;
                if self.is_mark(at, b'[') && self.is_mark(end, b']') {
                    end += 1;
                }
                let value = match <[Value; 1]>::try_from(arguments.values) {
                    Ok([only]) if self.is_mark(at, b'(') => only,
                    Ok([only]) => Value::list(vec![only]),
                    Err(values) => Value::list(values),
                };
                self.methods(value, end, depth)
            }
            // `*list` of Ruby hands over what is in it.
            TokenKind::Mark(b'*') if self.language == Language::Ruby => {
                self.piece(at + 1, depth + 1)
            }
            TokenKind::Mark(b'\\' | b'-' | b'&' | b'@' | b'!') => {
                let (value, next) = self.piece(at + 1, depth + 1);
                let negative = self.is_mark(at, b'-');
                match value.as_number() {
                    Some(number) if negative => (Value::number(number.wrapping_neg()), next),
                    _ => (value, next),
                }
            }
            TokenKind::Mark(_) | TokenKind::LineEnd => (Value::default(), at + 1),
        }
    }

    /// Behind `[…]` or `{…}`.
    fn after_index(&self, at: usize) -> usize {
        if !self.is_mark(at, b'[') && !self.is_mark(at, b'{') {
            return at;
        }
        let close = |it: &usize| self.is_mark(*it, b']') || self.is_mark(*it, b'}');
        (at..at + 8).find(close).map_or(at + 1, |it| it + 1)
    }

    /// A name: a variable, or a function that only computes.
    fn named(&mut self, name: &[u8], at: usize, depth: usize) -> (Value, usize) {
        if let Some(value) = self.variables.get(name).cloned() {
            let value = self.paid(value);
            return self.methods(value, at + 1, depth);
        }
        let name = String::from_utf8_lossy(name).into_owned();
        if let Some((holder, rest)) = name.split_once('.')
            && self.language == Language::Ruby
            && let Some(value) = self.variables.get(holder.as_bytes()).cloned()
        {
            let value = self.paid(value);
            let (value, end) = self.called(value, rest, at + 1, depth);
            return self.methods(value, end, depth);
        }
        if name == "ENV" || name == "ENVIRON" {
            let key = self.kind(at + 2).cloned();
            return (environment(key), self.after_index(at + 1));
        }
        if matches!(name.as_str(), "Dir.home" | "os.getenv" | "getenv") {
            let home = name == "Dir.home" || self.kind(at + 2) == Some(&home());
            let end = if name == "Dir.home" { at + 1 } else { at + 4 };
            return (if home { Value::text("~") } else { Value::default() }, end);
        }
        if matches!(name.as_str(), "my" | "our" | "local" | "const" | "new" | "return" | "scalar") {
            return self.piece(at + 1, depth + 1);
        }
        let called = self.is_mark(at + 1, b'(') || !super::scan::is_plain(&name);
        if !called {
            return (Value::default(), at + 1);
        }
        let arguments = self.arguments(at + 1, depth + 1);
        if name == "array" && self.language == Language::Php {
            let value = self.paid(Value::list(arguments.values));
            return (value, arguments.end);
        }
        let origin = arguments.values.iter().fold(Origin::NONE, |all, one| all.with(one.origin));
        let value = computed(&name, &arguments.values).unwrap_or(Value::unknown(origin));
        let value = self.paid(value);
        self.methods(value, arguments.end, depth)
    }

    /// `.reverse`, `:rev()`, `.unpack1("m")` after a value.
    fn methods(&mut self, value: Value, at: usize, depth: usize) -> (Value, usize) {
        let mut value = value;
        let mut place = at;
        for _ in 0..16 {
            let point = match self.language {
                Language::Ruby => self.is_mark(place, b'.'),
                Language::Lua => self.is_mark(place, b':'),
                _ => false,
            };
            let Some(name) = self.name_at(place + 1).filter(|_| point) else { break };
            let name = String::from_utf8_lossy(name).into_owned();
            (value, place) = self.called(value, &name, place + 2, depth);
        }
        (value, place)
    }

    /// What methods of a value give, and what follows; their arguments stand at token `at`.
    fn called(&mut self, value: Value, name: &str, at: usize, depth: usize) -> (Value, usize) {
        let (mut value, mut end) = (value, at);
        let mut values = vec![value.clone()];
        if self.is_mark(end, b'(') {
            let arguments = self.arguments(end, depth + 1);
            values.extend(arguments.values);
            end = arguments.end;
        }
        // `a.pack("m").b` is one name for the lexer.
        for one in name.split('.') {
            // What goes through several goes on with them.
            if goes_through(one) {
                continue;
            }
            let origin = value.origin;
            value = computed(&format!(".{one}"), &values)
                .or_else(|| constant::method(&value, one, values.get(1..).unwrap_or_default()))
                .unwrap_or(Value::unknown(origin));
            values = vec![value.clone()];
        }
        (value, end)
    }

    /// Variables in a text.
    pub(super) fn replace(&mut self, text: &[u8]) -> Value {
        let mut out = Vec::with_capacity(text.len());
        let mut origin = Origin::NONE;
        let mut rest = text;
        while let Some((byte, after)) = rest.split_first() {
            rest = after;
            let (open, close) = match (self.language, byte, after.first()) {
                (Language::Ruby, b'#', Some(b'{')) => (1, Some(b'}')),
                (Language::Ruby, ..) => (0, None),
                (_, b'$' | b'{', Some(b'{' | b'$')) => (1, Some(b'}')),
                (_, b'$', Some(next)) if next.is_ascii_alphabetic() || *next == b'_' => {
                    (0, Some(0))
                }
                (_, b'\\', Some(b'$')) => {
                    out.push(b'$');
                    rest = after.get(1..).unwrap_or_default();
                    continue;
                }
                _ => (0, None),
            };
            let Some(close) = close else {
                out.push(*byte);
                continue;
            };
            let inner = after.get(open..).unwrap_or_default();
            let length = if close == 0 {
                inner.iter().take_while(|it| it.is_ascii_alphanumeric() || **it == b'_').count()
            } else {
                inner.iter().position(|it| *it == close).unwrap_or(inner.len())
            };
            let name = inner.get(..length).unwrap_or_default();
            if self.language == Language::Perl
                && name == b"ENV"
                && let Some((key, behind)) = key_in_braces(inner.get(length..).unwrap_or_default())
            {
                out.extend(library::environment(&key).to_text());
                rest = behind;
                continue;
            }
            let value = self.variables.get(name).cloned().unwrap_or_default();
            let begun = out.iter().rposition(u8::is_ascii_whitespace).map_or(0, |it| it + 1);
            let value = each_behind(value, out.get(begun..).unwrap_or_default());
            origin = origin.with(value.origin);
            if name.starts_with(b"_GET")
                || name.starts_with(b"_POST")
                || name.starts_with(b"_REQUEST")
            {
                origin = origin.with(Origin::NETWORK);
            }
            if out.len() <= super::value::LONGEST_TEXT {
                out.extend(value.to_text());
            }
            rest = inner.get(length + usize::from(close != 0)..).unwrap_or_default();
        }
        Value::text_from(out, origin)
    }
}

fn home() -> TokenKind {
    TokenKind::Text(b"HOME".to_vec(), false)
}

/// `{HOME}` at the beginning of a text, and what stands behind it.
fn key_in_braces(text: &[u8]) -> Option<(String, &[u8])> {
    let inner = text.strip_prefix(b"{")?;
    let end = inner.iter().position(|byte| *byte == b'}')?;
    let key = String::from_utf8_lossy(inner.get(..end)?);
    Some((key.trim_matches(['\'', '"']).to_owned(), inner.get(end + 1..)?))
}

/// Whether a method of that name goes through several, one after the other.
pub(super) fn goes_through(name: &str) -> bool {
    matches!(
        name,
        "each"
            | "map"
            | "flat_map"
            | "filter_map"
            | "select"
            | "filter"
            | "reject"
            | "sort"
            | "uniq"
            | "then"
            | "tap"
            | "yield_self"
            | "each_with_index"
    )
}

fn environment(key: Option<TokenKind>) -> Value {
    match key {
        Some(TokenKind::Text(name, _) | TokenKind::Name(name)) => {
            library::environment(&String::from_utf8_lossy(&name))
        }
        _ => Value::text_from([UNKNOWN], Origin::ENVIRONMENT),
    }
}

/// One of several behind the beginning of a word: `/#{d}` is `/a /b`, the first `/` being there.
fn each_behind(value: Value, begun: &[u8]) -> Value {
    let Kind::List(items) = &value.kind else { return value };
    let separator = [b" ", begun].concat();
    let all: Vec<Vec<u8>> = items.iter().map(Value::to_text).collect();
    Value::text_from(all.join(separator.as_slice()), value.origin)
}

/// One of several stands for all of them, side by side.
fn all_in_one(value: Value) -> Value {
    match &value.kind {
        Kind::List(items) => {
            let all: Vec<Vec<u8>> = items.iter().map(Value::to_text).collect();
            Value::text_from(all.join(&b' '), value.origin)
        }
        _ => value,
    }
}

//! Values in a row of tokens: texts, variables, what joins them and what decodes them.

use std::collections::HashMap;

use crate::effect::UNKNOWN;
use crate::source_range::SourceRange;

use super::tokens::{Token, TokenKind};
use super::value::{Kind, Origin, Value};
use super::{Language, constant, decode, library, secret_names};

/// How deep values stand in values.
const DEEPEST: usize = 24;
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
        let mut arguments = Arguments::default();
        while place < last {
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
        if name == "ENV" || name == "ENVIRON" {
            let key = self.kind(at + 2).cloned();
            return (environment(key), self.after_index(at + 1));
        }
        if matches!(name.as_str(), "Dir.home" | "os.getenv") {
            let home = name == "Dir.home"
                || self.kind(at + 2) == Some(&TokenKind::Text(b"HOME".to_vec(), false));
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
            let mut end = place + 2;
            let mut values = vec![value.clone()];
            if self.is_mark(end, b'(') {
                let arguments = self.arguments(end, depth + 1);
                values.extend(arguments.values);
                end = arguments.end;
            }
            // `a.pack("m").b` is one name for the lexer.
            for one in name.split('.') {
                let origin = value.origin;
                value = computed(&format!(".{one}"), &values)
                    .or_else(|| constant::method(&value, one, values.get(1..).unwrap_or_default()))
                    .unwrap_or(Value::unknown(origin));
                values = vec![value.clone()];
            }
            place = end;
        }
        (value, place)
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
            let value = self.variables.get(name).cloned().unwrap_or_default();
            let value = all_in_one(value);
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

fn environment(key: Option<TokenKind>) -> Value {
    match key {
        Some(TokenKind::Text(name, _) | TokenKind::Name(name)) => {
            library::environment(&String::from_utf8_lossy(&name))
        }
        _ => Value::text_from([UNKNOWN], Origin::ENVIRONMENT),
    }
}

/// Functions of all these languages that only compute.
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

fn computed(name: &str, given: &[Value]) -> Option<Value> {
    let first = given.first().cloned().unwrap_or_default();
    let second = given.get(1).cloned().unwrap_or_default();
    let origin = given.iter().fold(Origin::NONE, |all, one| all.with(one.origin));
    let hidden = Origin::HIDDEN.with(Origin::DECODED);
    let known =
        |value: &Value| value.as_text().filter(|it| !it.contains(&UNKNOWN)).map(<[u8]>::to_vec);
    let decoded = |bytes: Option<Vec<u8>>| match bytes {
        Some(bytes) => Value::text_from(bytes, origin.with(hidden)),
        None => Value::unknown(origin.with(hidden)),
    };
    Some(match name {
        "base64_decode"
        | "decode_base64"
        | "MIME::Base64::decode_base64"
        | "MIME::Base64::decode"
        | "Base64.decode64"
        | "Base64.strict_decode64"
        | "Base64.urlsafe_decode64"
        | "Base64::decode64" => decoded(known(&first).and_then(|text| decode::base64(&text))),
        "hex2bin" => decoded(known(&first).and_then(|text| decode::hexadecimal(&text))),
        "str_rot13" => decoded(known(&first).map(|text| decode::rot13(&text))),
        "urldecode" | "rawurldecode" | "uri_unescape" => {
            decoded(known(&first).map(|text| decode::percent(&text)))
        }
        "gzinflate" | "gzuncompress" | "gzdecode" | "Zlib::Inflate.inflate"
            if first.origin.has(Origin::DECODED) && matches!(first.kind, Kind::Text(_)) =>
        {
            let bytes = match &first.kind {
                Kind::Text(bytes) => decode::inflated(bytes),
                _ => None,
            };
            decoded(bytes)
        }
        "gzinflate"
        | "gzuncompress"
        | "gzdecode"
        | "Zlib::Inflate.inflate"
        | "uncompress"
        | "convert_uudecode"
        | "Marshal.load" => Value::unknown(origin.with(hidden)),
        "strrev" | "reverse" | ".reverse" | "string.reverse" => {
            // In Perl, `reverse` of one text in a list stays as it is; who hides uses `scalar`.
            decoded(known(&first).map(|text| text.iter().rev().copied().collect()))
        }
        "chr" | "string.char" | "utf8.char" | ".chr" => {
            let bytes: Vec<u8> = given
                .iter()
                .flat_map(|one| constant::character(one).unwrap_or_else(|| vec![UNKNOWN]))
                .collect();
            Value::text_from(bytes, origin.with(Origin::HIDDEN))
        }
        "pack" => pack(&known(&first)?, given.get(1..)?, origin),
        ".pack" => {
            let items = constant::items(&first).unwrap_or_default();
            pack(&known(&second)?, &items, origin)
        }
        ".unpack1" | ".unpack" | "unpack" => {
            let (text, format) = if name == "unpack" { (second, first) } else { (first, second) };
            match (known(&text), known(&format)) {
                (Some(text), Some(format)) if format.starts_with(b"m") => {
                    decoded(decode::base64(&text))
                }
                _ => decoded(None),
            }
        }
        "join" | "implode" => {
            let list: Vec<Value> = given
                .iter()
                .skip(1)
                .flat_map(|one| {
                    constant::items(one)
                        .filter(|_| one.as_text().is_none())
                        .unwrap_or_else(|| vec![one.clone()])
                })
                .collect();
            constant::method(&Value::list(list), "join", &[Value::text(first.to_text())])?
        }
        "table.concat" => {
            let separator = if second.as_text().is_some() { second } else { Value::text("") };
            constant::method(&first, "join", &[separator])?
        }
        "str_replace" => constant::method(&given.get(2)?.clone(), "replace", &[first, second])?,
        "sprintf" | "string.format" | "format" => {
            constant::binary(b"%", &first, &Value::list(given.get(1..)?.to_vec()))
        }
        "trim" | "lc" | "strtolower" | "string.lower" | ".strip" | ".chomp" | ".to_s"
        | ".freeze" | "escapeshellarg" | "escapeshellcmd" | "String" | "File.expand_path" => first,
        // The pattern stands for what it matches.
        "glob" | "bsd_glob" | "File::Glob::bsd_glob" | "Dir.glob" => first,
        "File.join" => {
            let parts: Vec<Vec<u8>> = given.iter().map(Value::to_text).collect();
            Value::text_from(parts.join(&b'/'), origin)
        }
        "file_get_contents" | "File.read" | "IO.read" | "File.binread" | "file" => {
            let path = first.to_text();
            let address = path.windows(3).any(|window| window == b"://");
            let local = path.starts_with(b"php") && path != b"php://input";
            if address && !local {
                Value::unknown(Origin::NETWORK)
            } else if secret_names::is_secret(&path) {
                Value::unknown(Origin::FILE.with(Origin::SECRET))
            } else {
                Value::unknown(Origin::FILE)
            }
        }
        "get"
        | "LWP::Simple::get"
        | "curl_exec"
        | "Net::HTTP.get"
        | "URI.open"
        | "fgets"
        | "fread"
        | "open"
        | "http.request"
        | "recv"
        | "socket_read"
        | "stream_get_contents"
        | "URI.parse" => {
            let network = matches!(
                name,
                "get"
                    | "LWP::Simple::get"
                    | "curl_exec"
                    | "Net::HTTP.get"
                    | "URI.open"
                    | "http.request"
                    | "recv"
                    | "socket_read"
            ) || first.to_text().starts_with(b"http");
            Value::unknown(if network { Origin::NETWORK } else { origin })
        }
        _ => return None,
    })
}

/// `pack("H*", "726d")`, `[114, 109].pack("c*")`
fn pack(format: &[u8], given: &[Value], origin: Origin) -> Value {
    let hidden = origin.with(Origin::HIDDEN).with(Origin::DECODED);
    let text = given.first().and_then(|one| one.as_text());
    let bytes = match (format.first(), text) {
        (Some(b'H'), Some(text)) => decode::hexadecimal(text),
        (Some(b'c' | b'C' | b'U' | b'W'), _) => {
            given.iter().map(|one| one.as_number().and_then(|one| u8::try_from(one).ok())).collect()
        }
        (Some(b'A' | b'a'), Some(text)) => Some(text.to_vec()),
        _ => None,
    };
    bytes.map_or(Value::unknown(hidden), |bytes| Value::text_from(bytes, hidden))
}

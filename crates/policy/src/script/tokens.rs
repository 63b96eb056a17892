//! Tokens of languages that no parser of ours reads: names, texts, numbers and marks, tolerant
//! of everything.

use crate::source_range::SourceRange;

use super::Language;

/// A token and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) range: SourceRange,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// A name, with the marks that join its parts: `File::Path::rmtree`, `os.execute`.
    Name(Vec<u8>),
    /// A variable, without its mark.
    Variable(Vec<u8>),
    /// A text, and whether variables in it are replaced.
    Text(Vec<u8>, bool),
    /// Backquotes and the like: it goes to the shell.
    Command(Vec<u8>),
    Number(i64),
    Mark(u8),
    LineEnd,
}

/// Cuts `source` into tokens.
pub(super) fn tokens(language: Language, source: &[u8]) -> Vec<Token> {
    let mut lexer = Lexer { language, source, at: 0, tokens: Vec::new(), heredoc: None };
    // PHP stands between tags, or, with `-r`, alone.
    if language == Language::Php && lexer.find(b"<?").is_some() {
        lexer.skip_to_php();
    }
    while lexer.step() {}
    lexer.tokens
}

struct Lexer<'a> {
    language: Language,
    source: &'a [u8],
    at: usize,
    tokens: Vec<Token>,
    /// The end mark of a text that begins on the next line, and whether it is replaced in.
    heredoc: Option<(Vec<u8>, bool, usize)>,
}

impl Lexer<'_> {
    fn rest(&self) -> &[u8] {
        self.source.get(self.at..).unwrap_or_default()
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.source.get(self.at + ahead).copied()
    }

    fn find(&self, what: &[u8]) -> Option<usize> {
        self.rest().windows(what.len()).position(|window| window == what)
    }

    fn push(&mut self, kind: TokenKind, start: usize) {
        let range = SourceRange::new(start, self.at.min(self.source.len()));
        self.tokens.push(Token { kind, range });
    }

    fn skip_to_php(&mut self) {
        let start = self.find(b"<?").map_or(self.source.len(), |offset| self.at + offset + 2);
        self.at = start;
        for tag in [&b"php"[..], b"="] {
            if self.rest().starts_with(tag) {
                self.at += tag.len();
            }
        }
    }

    fn step(&mut self) -> bool {
        let Some(byte) = self.peek(0) else { return false };
        let start = self.at;
        let next = self.peek(1);
        match byte {
            b'\n' => {
                self.at += 1;
                self.push(TokenKind::LineEnd, start);
                self.read_heredoc();
            }
            _ if byte.is_ascii_whitespace() => self.at += 1,
            b'?' if next == Some(b'>') && self.language == Language::Php => self.skip_to_php(),
            b'-' if next == Some(b'-') && self.language == Language::Lua => self.skip_line(),
            b'/' if next == Some(b'/') && self.language == Language::Php => self.skip_line(),
            b'/' if next == Some(b'*') && self.language == Language::Php => {
                self.at = self.find(b"*/").map_or(self.source.len(), |offset| self.at + offset + 2);
            }
            b'#' if self.language != Language::Lua && !self.after_dollar() => self.skip_line(),
            b'\'' | b'"' => self.quoted(byte, byte == b'"'),
            b'`' => {
                let text = self.delimited(b'`', false);
                self.push(TokenKind::Command(text), start);
            }
            b'[' if self.language == Language::Lua && matches!(next, Some(b'[')) => {
                let end = self.find(b"]]").map_or(self.source.len(), |offset| self.at + offset);
                let text = self.source.get(self.at + 2..end).unwrap_or_default().to_vec();
                self.at = end + 2;
                self.push(TokenKind::Text(text, false), start);
            }
            b'%' if self.language == Language::Ruby => self.ruby_percent(),
            b'<' if next == Some(b'<') => self.heredoc_start(),
            // PHP's `@` only keeps a call quiet.
            b'@' if self.language == Language::Php => self.at += 1,
            b'$' | b'@' if self.starts_name(1) || next == Some(b'{') && self.starts_name(2) => {
                self.at += 1;
                let braced = self.peek(0) == Some(b'{');
                self.at += usize::from(braced);
                let name = self.name_part();
                self.at += usize::from(braced && self.peek(0) == Some(b'}'));
                self.push(TokenKind::Variable(name), start);
            }
            _ if byte.is_ascii_digit() => self.number(),
            _ if self.starts_name(0) => self.name(),
            _ => {
                self.at += 1;
                self.push(TokenKind::Mark(byte), start);
            }
        }
        true
    }

    fn after_dollar(&self) -> bool {
        matches!(self.tokens.last().map(|token| &token.kind), Some(TokenKind::Mark(b'$')))
    }

    fn starts_name(&self, ahead: usize) -> bool {
        self.peek(ahead)
            .is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_' || byte >= 128)
    }

    fn skip_line(&mut self) {
        self.at += self.rest().iter().position(|byte| *byte == b'\n').unwrap_or(self.rest().len());
    }

    fn name_part(&mut self) -> Vec<u8> {
        let length = self
            .rest()
            .iter()
            .take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_' || **byte >= 128)
            .count();
        let name = self.rest().get(..length).unwrap_or_default().to_vec();
        self.at += length;
        name
    }

    fn name(&mut self) {
        let start = self.at;
        let mut name = self.name_part();
        // `a::b`, and `a.b` where that names one thing.
        loop {
            let joined = match (self.peek(0), self.peek(1)) {
                (Some(b':'), Some(b':')) if self.starts_name(2) => 2,
                (Some(b'.'), _) if self.starts_name(1) && self.joins_by_point() => 1,
                (Some(b':'), _) if self.starts_name(1) && self.language == Language::Lua => 1,
                (Some(b'-'), Some(b'>')) if self.starts_name(2) => 2,
                _ => break,
            };
            name.extend(if joined == 1 { b"." } else { &b"::"[..] });
            self.at += joined;
            name.extend(self.name_part());
        }
        if self.language == Language::Ruby && matches!(self.peek(0), Some(b'!' | b'?')) {
            self.at += 1;
        }
        if self.language == Language::Perl && self.perl_quote(&name, start) {
            return;
        }
        self.push(TokenKind::Name(name), start);
    }

    fn joins_by_point(&self) -> bool {
        matches!(self.language, Language::Ruby | Language::Lua)
    }

    fn number(&mut self) {
        let start = self.at;
        let length = self
            .rest()
            .iter()
            .take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_')
            .count();
        let digits = self.rest().get(..length).unwrap_or_default();
        let octal = digits.len() > 1 && digits.first() == Some(&b'0');
        let value = match std::str::from_utf8(digits) {
            Ok(text) if octal && digits.iter().all(u8::is_ascii_digit) => {
                i64::from_str_radix(text, 8).ok()
            }
            _ => super::python::number(digits),
        };
        self.at += length;
        self.push(TokenKind::Number(value.unwrap_or(-2)), start);
    }

    fn quoted(&mut self, quote: u8, replaced: bool) {
        let start = self.at;
        let escapes = replaced || matches!(self.language, Language::Lua);
        let text = self.delimited(quote, escapes);
        let replaced = replaced && !matches!(self.language, Language::Lua | Language::Awk);
        self.push(TokenKind::Text(text, replaced), start);
    }

    /// The text up to `close`; the place is at what opens it. What is opened inside is closed.
    fn delimited(&mut self, close: u8, escapes: bool) -> Vec<u8> {
        let open = self.peek(0);
        self.at += 1;
        let mut depth = 0_usize;
        let mut out = Vec::new();
        while let Some(byte) = self.peek(0) {
            self.at += 1;
            if byte == b'\\' {
                let Some(next) = self.peek(0) else { break };
                self.at += 1;
                if next == close || next == b'\\' {
                    out.push(next);
                } else if escapes {
                    self.escape(next, &mut out);
                } else {
                    out.extend([b'\\', next]);
                }
                continue;
            }
            if byte == close {
                match depth.checked_sub(1) {
                    None => break,
                    Some(left) => depth = left,
                }
            } else if Some(byte) == open {
                depth += 1;
            }
            out.push(byte);
        }
        out
    }

    fn escape(&mut self, escape: u8, out: &mut Vec<u8>) {
        match escape {
            b'n' => out.push(b'\n'),
            b't' => out.push(b'\t'),
            b'r' => out.push(b'\r'),
            b'e' => out.push(27),
            b'0'..=b'9' => {
                let decimal = self.language == Language::Lua;
                let more = self.rest().iter().take(2).take_while(|byte| byte.is_ascii_digit());
                let length = more.count();
                let digits: Vec<u8> = std::iter::once(escape)
                    .chain(self.rest().iter().take(length).copied())
                    .collect();
                self.at += length;
                let text = String::from_utf8_lossy(&digits);
                let code = u8::from_str_radix(&text, if decimal { 10 } else { 8 });
                out.push(code.unwrap_or(b'?'));
            }
            b'x' => {
                let braced = self.peek(0) == Some(b'{');
                self.at += usize::from(braced);
                let digits = self.rest().iter().take(if braced { 6 } else { 2 });
                let length = digits.take_while(|byte| byte.is_ascii_hexdigit()).count();
                let text = String::from_utf8_lossy(self.rest().get(..length).unwrap_or_default());
                let code = u32::from_str_radix(&text, 16).ok().and_then(char::from_u32);
                self.at += length + usize::from(braced);
                if let Some(code) = code {
                    out.extend(code.encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
            // A variable that is not replaced keeps its mark in front of the shell.
            b'$' => out.extend(b"\\$"),
            _ => out.push(escape),
        }
    }

    /// `q`, `qq`, `qx`, `qw` of Perl.
    fn perl_quote(&mut self, name: &[u8], start: usize) -> bool {
        if !matches!(name, b"q" | b"qq" | b"qx" | b"qw") {
            return false;
        }
        let before = self.at;
        while self.peek(0).is_some_and(|byte| byte == b' ') {
            self.at += 1;
        }
        let Some(open) =
            self.peek(0).filter(|byte| byte.is_ascii_punctuation() && !b",;=".contains(byte))
        else {
            self.at = before;
            return false;
        };
        let text = self.delimited(closing(open), name == b"qq");
        if name == b"qw" {
            self.words(&text, [b'(', b')'], start);
            return true;
        }
        let kind = match name {
            b"qx" => TokenKind::Command(text),
            b"qq" => TokenKind::Text(text, true),
            _ => TokenKind::Text(text, false),
        };
        self.push(kind, start);
        true
    }

    /// A list of words, as it would be written with brackets, quotes and commas.
    fn words(&mut self, text: &[u8], [open, close]: [u8; 2], start: usize) {
        self.push(TokenKind::Mark(open), start);
        for word in text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()) {
            self.push(TokenKind::Text(word.to_vec(), false), start);
            self.push(TokenKind::Mark(b','), start);
        }
        self.push(TokenKind::Mark(close), start);
    }

    /// `%x(…)`, `%q(…)`, `%(…)`, `%w(…)` of Ruby.
    fn ruby_percent(&mut self) {
        let start = self.at;
        let kind = self.peek(1).unwrap_or(b' ');
        let letter = matches!(kind, b'x' | b'q' | b'Q' | b'w' | b'W');
        let open = if letter { self.peek(2) } else { Some(kind) };
        match open.filter(|byte| b"([{<|!/".contains(byte)) {
            Some(open) => {
                self.at += 1 + usize::from(letter);
                let text = self.delimited(closing(open), kind != b'q');
                if matches!(kind, b'w' | b'W') {
                    return self.words(&text, [b'[', b']'], start);
                }
                let kind = match kind {
                    b'x' => TokenKind::Command(text),
                    kind => TokenKind::Text(text, kind != b'q'),
                };
                self.push(kind, start);
            }
            None => {
                self.at += 1;
                self.push(TokenKind::Mark(b'%'), start);
            }
        }
    }

    /// `<<EOT`, `<<"EOT"`, `<<~EOT`, `<<<EOT`: the text begins on the next line.
    fn heredoc_start(&mut self) {
        let start = self.at;
        let mut ahead = 2;
        while matches!(self.peek(ahead), Some(b'<' | b'~' | b'-')) {
            ahead += 1;
        }
        let quote = self.peek(ahead).filter(|byte| matches!(byte, b'"' | b'\''));
        ahead += usize::from(quote.is_some());
        let capital =
            self.peek(ahead).is_some_and(|byte| byte.is_ascii_uppercase() || byte == b'_');
        if !capital || matches!(self.language, Language::Lua | Language::Awk) {
            self.at += 2;
            self.push(TokenKind::Mark(b'<'), start);
            return;
        }
        self.at += ahead;
        let mark = self.name_part();
        self.at += usize::from(quote.is_some());
        self.push(TokenKind::Text(Vec::new(), quote != Some(b'\'')), start);
        self.heredoc = Some((mark, quote != Some(b'\''), self.tokens.len() - 1));
    }

    fn read_heredoc(&mut self) {
        let Some((mark, replaced, place)) = self.heredoc.take() else { return };
        let mut text = Vec::new();
        while self.at < self.source.len() {
            let length = self
                .rest()
                .iter()
                .position(|byte| *byte == b'\n')
                .map_or(self.rest().len(), |it| it + 1);
            let line = self.rest().get(..length).unwrap_or_default().to_vec();
            self.at += length;
            let bare = line.trim_ascii();
            if bare.strip_suffix(b";").unwrap_or(bare) == mark.as_slice() {
                break;
            }
            text.extend(line);
        }
        if let Some(token) = self.tokens.get_mut(place) {
            token.kind = TokenKind::Text(text, replaced);
        }
    }
}

fn closing(open: u8) -> u8 {
    match open {
        b'(' => b')',
        b'[' => b']',
        b'{' => b'}',
        b'<' => b'>',
        other => other,
    }
}

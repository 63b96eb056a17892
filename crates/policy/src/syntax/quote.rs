//! Quotations, and texts that are read like double quotes.

use super::character;
use super::cursor::Parser;
use super::tree::{Part, Word};
use super::word::Parts;

/// What a text is, and so where it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Text {
    /// It ends at the double quote.
    DoubleQuoted,
    /// It goes on to the end. Of a `<<-`, tabs at the beginning of lines are no part of it.
    Document { strip_tabs: bool },
    /// An expression that goes on to the end.
    Expression,
    /// An expression that ends at `]`.
    Bracketed,
}

impl<'text> Parser<'text> {
    /// The whole text as a document.
    pub(super) fn document(&mut self) -> Word {
        let parts = self.text_parts(Text::Document { strip_tabs: false });
        let mut word = Word { parts, range: self.range(0, self.end), coded: false };
        self.place_documents_in_word(&mut word);
        word
    }

    /// `'…'`: what stands between the quotes.
    pub(super) fn single_quoted(&mut self) -> &'text [u8] {
        let start = self.at + 1;
        let end = memchr::memchr(b'\'', self.slice(start, self.end))
            .map_or(self.end, |length| start + length);
        self.at = self.end.min(end + 1);
        self.slice(start, end)
    }

    /// `"…"`
    pub(super) fn double_quoted(&mut self) -> Part {
        self.at += 1;
        let parts = self.nested(|parser| {
            let parts = parser.text_parts(Text::DoubleQuoted);
            parser.eat(b"\"");
            parts
        });
        parts.map_or(Part::TooDeep, Part::DoubleQuoted)
    }

    /// A text in which `$`, backquotes and backslashes mean something.
    pub(super) fn text_parts(&mut self, text: Text) -> Vec<Part> {
        let strip_tabs = text == Text::Document { strip_tabs: true };
        let mut parts = Parts::default();
        let mut brackets = 0_usize;
        if strip_tabs {
            self.skip_tabs();
        }
        loop {
            let rest = self.rest();
            let run = rest.iter().take_while(|&&byte| character::is_plain_in_quotes(byte)).count();
            parts.literal(self.slice(self.at, self.at + run));
            self.at += run;
            let Some(byte) = self.peek() else { break };
            match byte {
                b'"' if text == Text::DoubleQuoted => break,
                b'[' => brackets += 1,
                b']' if text == Text::Bracketed && brackets == 0 => break,
                b']' => brackets = brackets.saturating_sub(1),
                _ => {}
            }
            if matches!(byte, b'"' | b'$' | b'`') && !self.count_node() {
                parts.push(Part::TooDeep);
                self.at = self.end;
                break;
            }
            match byte {
                b'\\' => self.escape_in_text(text, &mut parts),
                b'$' => match self.dollar(true) {
                    Some(part) => parts.push(part),
                    None => parts.literal(b"$"),
                },
                b'`' => {
                    let substitution = self.backquoted(text != Text::Document { strip_tabs });
                    parts.push(substitution);
                }
                b'"' if matches!(text, Text::Expression | Text::Bracketed) => {
                    let quoted = self.double_quoted();
                    parts.push(quoted);
                }
                b'\n' => {
                    parts.literal(b"\n");
                    self.at += 1;
                    if strip_tabs {
                        self.skip_tabs();
                    }
                }
                _ => {
                    parts.literal(&[byte]);
                    self.at += 1;
                }
            }
        }
        parts.finish()
    }

    fn skip_tabs(&mut self) {
        while self.byte(self.at) == Some(b'\t') {
            self.at += 1;
        }
    }

    fn escape_in_text(&mut self, text: Text, parts: &mut Parts) {
        self.at += 1;
        match self.byte(self.at) {
            Some(byte @ (b'$' | b'`' | b'\\')) => {
                parts.literal(&[byte]);
                self.at += 1;
            }
            Some(b'"') if !matches!(text, Text::Document { .. }) => {
                parts.literal(b"\"");
                self.at += 1;
            }
            _ => parts.literal(b"\\"),
        }
    }

    /// `$'…'` behind its dollar: the bytes that it stands for.
    pub(super) fn escaped_quoted(&mut self) -> Vec<u8> {
        self.at += 1;
        let mut bytes = Vec::new();
        while let Some(byte) = self.byte(self.at) {
            self.at += 1;
            match byte {
                b'\'' => break,
                b'\\' => self.ansi_escape(&mut bytes),
                _ => bytes.push(byte),
            }
        }
        // The shell's strings end at a NUL.
        if let Some(length) = memchr::memchr(0, &bytes) {
            bytes.truncate(length);
        }
        bytes
    }

    fn ansi_escape(&mut self, bytes: &mut Vec<u8>) {
        let Some(letter) = self.byte(self.at) else {
            bytes.push(b'\\');
            return;
        };
        self.at += 1;
        match letter {
            b'a' => bytes.push(7),
            b'b' => bytes.push(8),
            b'e' | b'E' => bytes.push(0x1b),
            b'f' => bytes.push(0x0c),
            b'n' => bytes.push(b'\n'),
            b'r' => bytes.push(b'\r'),
            b't' => bytes.push(b'\t'),
            b'v' => bytes.push(0x0b),
            b'\\' | b'\'' | b'"' | b'?' => bytes.push(letter),
            b'0'..=b'7' => {
                self.at -= 1;
                let (value, _) = self.number(8, 3);
                bytes.push(low_byte(value));
            }
            b'x' => {
                let braces = self.byte(self.at) == Some(b'{');
                self.at += usize::from(braces);
                let (value, digits) = self.number(16, if braces { 8 } else { 2 });
                if braces && self.byte(self.at) == Some(b'}') {
                    self.at += 1;
                }
                if digits == 0 {
                    bytes.extend_from_slice(b"\\x");
                } else {
                    bytes.push(low_byte(value));
                }
            }
            b'u' | b'U' => {
                let (value, digits) = self.number(16, if letter == b'u' { 4 } else { 8 });
                if digits == 0 {
                    bytes.extend_from_slice(&[b'\\', letter]);
                } else {
                    let character = char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER);
                    bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
            b'c' => match self.byte(self.at) {
                Some(b'?') => {
                    self.at += 1;
                    bytes.push(0x7f);
                }
                Some(control) => {
                    self.at += 1;
                    bytes.push(control & 0x1f);
                }
                None => bytes.extend_from_slice(b"\\c"),
            },
            _ => bytes.extend_from_slice(&[b'\\', letter]),
        }
    }

    /// A number of at most `most` digits, and how many there were.
    fn number(&mut self, radix: u32, most: usize) -> (u32, usize) {
        let mut value = 0_u32;
        let mut digits = 0;
        while digits < most {
            let digit = self.byte(self.at).and_then(|byte| char::from(byte).to_digit(radix));
            let Some(digit) = digit else { break };
            value = value.wrapping_mul(radix).wrapping_add(digit);
            self.at += 1;
            digits += 1;
        }
        (value, digits)
    }
}

fn low_byte(value: u32) -> u8 {
    value.to_le_bytes().first().copied().unwrap_or_default()
}

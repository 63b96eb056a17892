//! Words outside double quotes: of commands, of patterns, between braces and brackets.

use super::character;
use super::cursor::Parser;
use super::tree::{Part, Word};

/// Where a word ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// At a blank or an operator.
    Word,
    /// At a blank, except between parentheses: the right side of `=~`.
    Regex,
    /// At `}`, or before it at this byte.
    Brace { stop: Option<u8>, within: Within },
    /// At `]`.
    Bracket,
}

/// What stands around a `${…}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Within {
    Nothing,
    /// Double quotes, and a single quote stands for itself.
    Quotes,
    /// Double quotes, and single quotes quote, as in a pattern.
    QuotesOfPattern,
}

/// The parts of a word as they are gathered.
#[derive(Default)]
pub(super) struct Parts {
    parts: Vec<Part>,
    literal: Vec<u8>,
}

impl Parts {
    pub(super) fn literal(&mut self, bytes: &[u8]) {
        self.literal.extend_from_slice(bytes);
    }

    pub(super) fn quoted(&mut self, bytes: &[u8]) {
        self.end_literal();
        if let Some(Part::Quoted(quoted)) = self.parts.last_mut() {
            quoted.extend_from_slice(bytes);
        } else {
            self.push(Part::Quoted(bytes.to_vec()));
        }
    }

    pub(super) fn push(&mut self, part: Part) {
        self.end_literal();
        if self.parts.is_empty() {
            // Most words have one part: room for four, the default, would be wasted.
            self.parts.reserve_exact(1);
        }
        self.parts.push(part);
    }

    fn end_literal(&mut self) {
        if !self.literal.is_empty() {
            let literal = std::mem::take(&mut self.literal);
            if self.parts.is_empty() {
                self.parts.reserve_exact(1);
            }
            self.parts.push(Part::Literal(literal));
        }
    }

    pub(super) fn finish(mut self) -> Vec<Part> {
        self.end_literal();
        self.parts
    }
}

/// How deep a word stands in brackets of its own.
#[derive(Default)]
struct Nesting {
    parentheses: usize,
    brackets: usize,
    /// `?` of a conditional expression whose `:` did not come yet.
    questions: usize,
}

/// Whether `$'…'` holds a character as its number.
fn has_codes(text: &[u8]) -> bool {
    let code = |pair: &[u8]| matches!(pair, [b'\\', b'x' | b'u' | b'U' | b'0'..=b'7']);
    text.starts_with(b"$'") && text.windows(2).any(code)
}

impl Parser<'_> {
    /// Reads a word, which may be empty.
    pub(super) fn word(&mut self, until: Until) -> Word {
        self.peek();
        let start = self.at;
        let mut end = start;
        let mut nesting = Nesting::default();
        let mut parts = Parts::default();
        let mut coded = false;
        loop {
            self.plain_run(until, &nesting, &mut parts, &mut end);
            let Some(byte) = self.peek() else { break };
            if !self.count_node() {
                parts.push(Part::TooDeep);
                self.at = self.end;
                end = self.end;
                break;
            }
            if self.ends(byte, until, &mut nesting, &parts) {
                break;
            }
            let begin = self.at;
            self.word_part(byte, until, &mut parts);
            end = self.at;
            coded |= byte == b'$' && has_codes(self.slice(begin, end));
        }
        Word { parts: parts.finish(), range: self.range(start, end), coded }
    }

    #[inline]
    fn plain_run(&mut self, until: Until, nesting: &Nesting, parts: &mut Parts, end: &mut usize) {
        let plain = if until == Until::Word && nesting.parentheses == 0 {
            character::is_plain
        } else {
            character::is_plain_anywhere
        };
        let run = self.rest().iter().take_while(|&&byte| plain(byte)).count();
        if run > 0 {
            parts.literal(self.slice(self.at, self.at + run));
            self.at += run;
            *end = self.at;
        }
    }

    /// Whether the word ends before `byte`.
    fn ends(&mut self, byte: u8, until: Until, nesting: &mut Nesting, parts: &Parts) -> bool {
        match until {
            Until::Word => self.ends_command_word(byte, nesting, parts),
            Until::Regex => {
                match byte {
                    b'(' => nesting.parentheses += 1,
                    b')' if nesting.parentheses == 0 => return true,
                    b')' => nesting.parentheses -= 1,
                    b'\n' => return true,
                    b' ' | b'\t' | b'&' | b';' => return nesting.parentheses == 0,
                    _ => {}
                }
                false
            }
            Until::Brace { stop, .. } => {
                if byte == b'}' {
                    return true;
                }
                match (stop, byte) {
                    (Some(b':'), b'(') => nesting.parentheses += 1,
                    (Some(b':'), b')') => {
                        nesting.parentheses = nesting.parentheses.saturating_sub(1);
                    }
                    (Some(b':'), b'?') => nesting.questions += 1,
                    (Some(b':'), b':') if nesting.questions > 0 => nesting.questions -= 1,
                    (Some(stop), _) => return byte == stop && nesting.parentheses == 0,
                    (None, _) => {}
                }
                false
            }
            Until::Bracket => {
                match byte {
                    b'[' => nesting.brackets += 1,
                    b']' if nesting.brackets == 0 => return true,
                    b']' => nesting.brackets -= 1,
                    b'}' | b'\n' => return true,
                    _ => {}
                }
                false
            }
        }
    }

    /// In a word of a command, parentheses behind `@ ! ? * +` belong to a pattern.
    fn ends_command_word(&mut self, byte: u8, nesting: &mut Nesting, parts: &Parts) -> bool {
        if nesting.parentheses > 0 {
            match byte {
                b'(' => nesting.parentheses += 1,
                b')' => nesting.parentheses -= 1,
                b'\n' | b';' => return true,
                _ => {}
            }
            return false;
        }
        match byte {
            b'<' | b'>' => self.peek_second() != Some(b'('),
            b'(' => {
                if matches!(parts.literal.last(), Some(b'@' | b'!' | b'?' | b'*' | b'+')) {
                    let pattern = self.peek_second() != Some(b')');
                    nesting.parentheses += usize::from(pattern);
                    return !pattern;
                }
                !(parts.parts.is_empty() && parts.literal == b"=")
            }
            _ => character::ends_word(byte),
        }
    }

    fn word_part(&mut self, byte: u8, until: Until, parts: &mut Parts) {
        let within = match until {
            Until::Brace { within, .. } => within,
            _ => Within::Nothing,
        };
        match byte {
            b'\\' => self.escape(within, parts),
            b'\'' if within != Within::Quotes => {
                let quoted = self.single_quoted();
                parts.quoted(quoted);
            }
            b'"' => {
                let quoted = self.double_quoted();
                parts.push(quoted);
            }
            b'$' => match self.dollar(within != Within::Nothing) {
                Some(part) => parts.push(part),
                None => parts.literal(b"$"),
            },
            b'`' => {
                let substitution = self.backquoted(within != Within::Nothing);
                parts.push(substitution);
            }
            b'<' | b'>' if self.peek_second() == Some(b'(') => {
                let substitution = self.process_substitution(byte == b'>');
                parts.push(substitution);
            }
            b'(' if until == Until::Word && parts.literal == b"=" && parts.parts.is_empty() => {
                parts.literal.clear();
                self.at -= 1;
                let substitution = self.process_substitution(false);
                parts.push(substitution);
            }
            _ => {
                parts.literal(&[byte]);
                self.at += 1;
            }
        }
    }

    /// A backslash and what it quotes.
    fn escape(&mut self, within: Within, parts: &mut Parts) {
        self.at += 1;
        match self.byte(self.at) {
            None => parts.literal(b"\\"),
            Some(byte)
                if within != Within::Nothing
                    && !matches!(byte, b'$' | b'`' | b'"' | b'\\' | b'}' | b'/') =>
            {
                parts.literal(b"\\");
            }
            Some(byte) => {
                parts.quoted(&[byte]);
                self.at += 1;
            }
        }
    }
}

//! Redirections.

use super::character;
use super::cursor::Parser;
use super::tree::{Part, Redirect, RedirectKind, Word};
use super::word::Until;

/// The descriptor that a shell chooses first for `{name}>file`.
const CHOSEN_DESCRIPTOR: u32 = 10;

impl Parser<'_> {
    /// The redirection that begins here, if one does.
    pub(super) fn redirect(&mut self) -> Option<Redirect> {
        let start = self.at;
        let descriptor = self.descriptor();
        let kind = self.redirect_kind(descriptor);
        let Some((kind, end)) = kind else {
            self.at = start;
            return None;
        };
        self.count_node();
        Some(Redirect { descriptor, kind, range: self.range(start, end) })
    }

    /// The number or `{name}` before the operator; passed over only if an operator follows.
    fn descriptor(&mut self) -> Option<u32> {
        let start = self.at;
        match self.peek()? {
            b'0'..=b'9' => {
                let digits = self.rest().iter().take_while(|byte| byte.is_ascii_digit());
                let mut number = 0_u32;
                let mut length = 0;
                for digit in digits {
                    number = number.saturating_mul(10).saturating_add(u32::from(digit - b'0'));
                    length += 1;
                }
                self.at += length;
                if self.at_operator() {
                    return Some(number);
                }
            }
            b'{' => {
                self.at += 1;
                let length = self
                    .rest()
                    .iter()
                    .take_while(|&&byte| character::is_name(byte) || matches!(byte, b'[' | b']'))
                    .count();
                self.at += length;
                if length > 0 && self.eat(b"}") && self.at_operator() {
                    return Some(CHOSEN_DESCRIPTOR);
                }
            }
            _ => return None,
        }
        self.at = start;
        None
    }

    fn at_operator(&mut self) -> bool {
        matches!(self.peek(), Some(b'<' | b'>')) && self.peek_second() != Some(b'(')
    }

    /// The operator with its word, and where it ends.
    fn redirect_kind(&mut self, descriptor: Option<u32>) -> Option<(RedirectKind, usize)> {
        type Kind = fn(Word) -> RedirectKind;
        let kind: Kind = match self.peek()? {
            b'<' => {
                if self.eat(b"<<<") {
                    RedirectKind::HereString
                } else if self.eat(b"<<-") {
                    return Some(self.here_document(true));
                } else if self.eat(b"<<") {
                    return Some(self.here_document(false));
                } else if self.eat(b"<&") {
                    |word| RedirectKind::Duplicate { output: false, word }
                } else if self.eat(b"<>") {
                    RedirectKind::ReadWrite
                } else if self.peek_second() == Some(b'(') {
                    return None;
                } else {
                    self.at += 1;
                    RedirectKind::Input
                }
            }
            b'>' => {
                if self.eat(b">>") {
                    RedirectKind::Append
                } else if self.eat(b">|") {
                    RedirectKind::Output
                } else if self.eat(b">&") {
                    let (word, end) = self.target();
                    let kind = if descriptor.is_none() && is_file(&word) {
                        RedirectKind::Both(word)
                    } else {
                        RedirectKind::Duplicate { output: true, word }
                    };
                    return Some((kind, end));
                } else if self.peek_second() == Some(b'(') {
                    return None;
                } else {
                    self.at += 1;
                    RedirectKind::Output
                }
            }
            b'&' => {
                if self.eat(b"&>>") {
                    RedirectKind::BothAppend
                } else if self.eat(b"&>") {
                    RedirectKind::Both
                } else {
                    return None;
                }
            }
            _ => return None,
        };
        let (word, end) = self.target();
        Some((kind(word), end))
    }

    /// The word behind an operator, and where it ends.
    pub(super) fn target(&mut self) -> (Word, usize) {
        let operator_end = self.at;
        self.skip_blanks();
        let mut word = self.word(Until::Word);
        if word.parts.is_empty() {
            word.range = self.range(operator_end, operator_end);
            self.at = operator_end;
            return (word, operator_end);
        }
        let end = if self.place.is_some() { self.at } else { word.range.end };
        (word, end)
    }
}

/// Whether the word is plain and no descriptor.
fn is_file(word: &Word) -> bool {
    let plain = |part: &Part| matches!(part, Part::Literal(_) | Part::Quoted(_));
    let descriptor = match word.parts.as_slice() {
        [Part::Literal(bytes)] => {
            let digits = bytes.strip_suffix(b"-").unwrap_or(bytes);
            digits.iter().all(u8::is_ascii_digit)
        }
        _ => false,
    };
    !word.parts.is_empty() && word.parts.iter().all(plain) && !descriptor
}

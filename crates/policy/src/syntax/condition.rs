//! `[[ … ]]`

use super::character;
use super::cursor::Parser;
use super::tree::{Part, Word};
use super::word::Until;

impl Parser<'_> {
    /// Behind `[[`: the words and operators up to `]]`, which is passed over.
    pub(super) fn condition(&mut self) -> Vec<Word> {
        let mut words: Vec<Word> = Vec::new();
        loop {
            self.skip_blanks();
            let Some(byte) = self.peek() else { break };
            if !self.count_node() {
                break;
            }
            let last = words.last().and_then(literal).unwrap_or_default();
            match byte {
                b'\n' => {
                    if !self.condition_goes_on(matches!(last, b"" | b"&&" | b"||" | b"(" | b"!")) {
                        break;
                    }
                    continue;
                }
                _ if last == b"=~" => {}
                b'(' | b')' => {
                    words.push(self.operator_word(1));
                    continue;
                }
                b'<' | b'>' if self.peek_second() != Some(b'(') => {
                    words.push(self.operator_word(1));
                    continue;
                }
                b'&' | b'|' if self.peek_second() == Some(byte) => {
                    words.push(self.operator_word(2));
                    continue;
                }
                b'!' if self.peek_second() == Some(b'(')
                    && !matches!(last, b"=" | b"==" | b"!=") =>
                {
                    words.push(self.operator_word(1));
                    continue;
                }
                b'&' | b'|' | b';' => break,
                _ => {}
            }
            let until = if last == b"=~" { Until::Regex } else { Until::Word };
            let before = self.at;
            let word = self.word(until);
            if self.at == before {
                break;
            }
            if literal(&word) == Some(b"]]") {
                break;
            }
            words.push(word);
        }
        words
    }

    /// At a line end: whether the condition goes on behind it.
    fn condition_goes_on(&mut self, expected: bool) -> bool {
        let place = self.at;
        if expected || self.pending.is_empty() {
            self.skip_lines();
        }
        let next = self.peek();
        let second = self.peek_second();
        let goes_on = expected
            || next == Some(b')')
            || next == Some(b']') && second == Some(b']')
            || matches!(next, Some(b'&' | b'|')) && second == next;
        if !goes_on {
            self.at = place;
        }
        goes_on
    }

    fn operator_word(&mut self, length: usize) -> Word {
        let start = self.at;
        let mut bytes = Vec::with_capacity(length);
        for _ in 0..length {
            bytes.extend(self.peek());
            self.at += 1;
        }
        Word { parts: vec![Part::Literal(bytes)], range: self.range(start, self.at), coded: false }
    }
}

fn literal(word: &Word) -> Option<&[u8]> {
    match word.parts.as_slice() {
        [Part::Literal(bytes)] if !bytes.iter().any(|&byte| character::is_blank(byte)) => {
            Some(bytes)
        }
        _ => None,
    }
}

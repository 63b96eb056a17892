//! `${…}`

use super::character;
use super::cursor::Parser;
use super::keyword::{Closers, Keyword};
use super::tree::{Parameter, ParameterOperator, Part, ReplaceMode, Word};
use super::word::{Until, Within};

impl Parser<'_> {
    /// At the brace of `${`.
    pub(super) fn dollar_brace(&mut self, in_quotes: bool) -> Part {
        self.at += 1;
        match self.peek() {
            Some(b' ' | b'\t' | b'\n' | b'|') => {
                self.eat(b"|");
                let list = self.nested(|parser| {
                    let closers = std::mem::replace(&mut parser.closers, Closers::NONE);
                    let pending = std::mem::take(&mut parser.pending);
                    let list = parser.list(Closers::BRACE);
                    parser.eat_keyword(Keyword::CloseBrace);
                    parser.pending = pending;
                    parser.closers = closers;
                    list
                });
                list.map_or(Part::TooDeep, Part::CommandSubstitution)
            }
            _ => {
                let parameter = self.nested(|parser| {
                    let parameter = parser.parameter(in_quotes);
                    parser.eat(b"}");
                    parameter
                });
                parameter.map_or(Part::TooDeep, |found| Part::Parameter(Box::new(found)))
            }
        }
    }

    fn parameter(&mut self, in_quotes: bool) -> Parameter {
        let flags = self.eat_flags();
        let length = self.eat_length();
        let indirect = !length && self.eat_indirection();
        let name = self.parameter_name();
        let index = if name.is_empty() { None } else { self.index() };
        let operator = if length && self.peek() == Some(b'}') {
            ParameterOperator::None
        } else if name.is_empty() && self.peek().is_some_and(|byte| !matches!(byte, b':' | b'}')) {
            // zsh: what is written in place of the name is expanded.
            let word = self.brace_word(None, quotes(in_quotes));
            ParameterOperator::Default { operator: b'-', colon: true, word }
        } else {
            self.operator(indirect, in_quotes)
        };
        let operator = if flags && operator == ParameterOperator::None {
            ParameterOperator::Unknown
        } else {
            operator
        };
        Parameter { name, index, indirect, length, operator }
    }

    /// zsh: `(…)` before the name.
    fn eat_flags(&mut self) -> bool {
        if self.peek() != Some(b'(') {
            return false;
        }
        let flags = self.rest().iter().take_while(|&&byte| !matches!(byte, b')' | b'}' | b'\n'));
        self.at += flags.count();
        self.eat(b")");
        true
    }

    /// `#`, if it asks for a length and is no name.
    fn eat_length(&mut self) -> bool {
        if self.peek() != Some(b'#') {
            return false;
        }
        let place = self.at;
        self.at += 1;
        match self.peek() {
            Some(byte) if character::is_name(byte) => return true,
            Some(byte) if character::is_special_parameter(byte) => {
                let behind = self.peek_second();
                if matches!(behind, Some(b'}')) || byte != b'#' && behind == Some(b'[') {
                    return true;
                }
            }
            _ => {}
        }
        self.at = place;
        false
    }

    /// `!`, if it asks for an indirection and is no name.
    fn eat_indirection(&mut self) -> bool {
        if self.peek() != Some(b'!') {
            return false;
        }
        let place = self.at;
        self.at += 1;
        match self.peek() {
            Some(byte) if character::is_name(byte) => return true,
            Some(b'@' | b'*' | b'#' | b'?' | b'$' | b'!' | b'-')
                if self.peek_second() == Some(b'}') =>
            {
                return true;
            }
            _ => {}
        }
        self.at = place;
        false
    }

    fn parameter_name(&mut self) -> Vec<u8> {
        match self.peek() {
            Some(byte) if byte.is_ascii_digit() => {
                let digits = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
                let name = self.slice(self.at, self.at + digits).to_vec();
                self.at += digits;
                name
            }
            Some(byte) if character::is_name(byte) => self.take_name(),
            Some(b'$') if matches!(self.peek_second(), Some(b'(' | b'{')) => Vec::new(),
            Some(byte) if character::is_special_parameter(byte) => {
                self.at += 1;
                vec![byte]
            }
            _ => Vec::new(),
        }
    }

    fn index(&mut self) -> Option<Word> {
        if self.peek() != Some(b'[') {
            return None;
        }
        self.at += 1;
        let word = self.word(Until::Bracket);
        self.eat(b"]");
        Some(word)
    }

    fn brace_word(&mut self, stop: Option<u8>, within: Within) -> Word {
        self.word(Until::Brace { stop, within })
    }

    fn operator(&mut self, indirect: bool, in_quotes: bool) -> ParameterOperator {
        let pattern = if in_quotes { Within::QuotesOfPattern } else { Within::Nothing };
        let Some(byte) = self.peek() else { return ParameterOperator::None };
        if byte == b'}' {
            return ParameterOperator::None;
        }
        if matches!(byte, b'@' | b'*') && self.peek_second() == Some(b'}') && indirect {
            self.at += 1;
            return ParameterOperator::Names;
        }
        let place = self.at;
        self.at += 1;
        match byte {
            b':' => match self.peek() {
                Some(operator @ (b'-' | b'=' | b'?' | b'+')) => {
                    self.at += 1;
                    let word = self.brace_word(None, quotes(in_quotes));
                    ParameterOperator::Default { operator, colon: true, word }
                }
                _ => {
                    let offset = self.brace_word(Some(b':'), quotes(in_quotes));
                    let length = self.eat(b":").then(|| self.brace_word(None, quotes(in_quotes)));
                    ParameterOperator::Substring { offset, length }
                }
            },
            b'-' | b'=' | b'?' | b'+' => {
                let word = self.brace_word(None, quotes(in_quotes));
                ParameterOperator::Default { operator: byte, colon: false, word }
            }
            b'#' | b'%' => {
                let longest = self.eat(&[byte]);
                let pattern = self.brace_word(None, pattern);
                if byte == b'#' {
                    ParameterOperator::RemovePrefix { longest, pattern }
                } else {
                    ParameterOperator::RemoveSuffix { longest, pattern }
                }
            }
            b'/' => {
                let mode = match self.peek() {
                    Some(b'/') => ReplaceMode::All,
                    Some(b'#') => ReplaceMode::Start,
                    Some(b'%') => ReplaceMode::End,
                    _ => ReplaceMode::First,
                };
                self.at += usize::from(mode != ReplaceMode::First);
                let from = self.brace_word(Some(b'/'), pattern);
                self.eat(b"/");
                let replacement = self.brace_word(None, pattern);
                ParameterOperator::Replace { mode, pattern: from, replacement }
            }
            b'^' | b',' | b'~' => {
                let all = self.eat(&[byte]);
                let pattern = self.brace_word(None, pattern);
                ParameterOperator::Case { operator: byte, all, pattern }
            }
            b'@' => match self.peek() {
                Some(letter)
                    if letter.is_ascii_alphabetic() && self.peek_second() == Some(b'}') =>
                {
                    self.at += 1;
                    ParameterOperator::Transform(letter)
                }
                _ => self.unknown_operator(place, in_quotes),
            },
            _ => self.unknown_operator(place, in_quotes),
        }
    }

    /// What follows an unknown operator is kept if it runs anything: another shell may know more.
    fn unknown_operator(&mut self, place: usize, in_quotes: bool) -> ParameterOperator {
        self.at = place;
        let word = self.brace_word(None, quotes(in_quotes));
        let plain = |part: &Part| matches!(part, Part::Literal(_) | Part::Quoted(_));
        if word.parts.iter().all(plain) {
            ParameterOperator::Unknown
        } else {
            ParameterOperator::Default { operator: b'-', colon: true, word }
        }
    }
}

fn quotes(in_quotes: bool) -> Within {
    if in_quotes { Within::Quotes } else { Within::Nothing }
}

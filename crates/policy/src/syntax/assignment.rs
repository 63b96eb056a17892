//! Assignments, to variables and to arrays.

use super::character;
use super::cursor::Parser;
use super::tree::{AssignedValue, Assignment, Word};
use super::word::Until;

impl Parser<'_> {
    /// The assignment that begins here, if one does. With `only_arrays`, only `name=(…)` counts.
    pub(super) fn assignment(&mut self, only_arrays: bool) -> Option<Assignment> {
        if !self.peek().is_some_and(character::begins_name) {
            return None;
        }
        let start = self.at;
        let run = self.rest().iter().take_while(|&&byte| character::is_name(byte)).count();
        // Most words are no assignments, and this is seen without reading a name.
        match self.byte(start + run) {
            Some(b'=' | b'+' | b'\\' | b'\r') => {}
            Some(b'[') if !only_arrays => {}
            _ => return None,
        }
        let name = self.take_name();
        let assignment = self.assignment_of(name, start, only_arrays);
        if assignment.is_none() {
            self.at = start;
        }
        assignment
    }

    fn assignment_of(
        &mut self,
        name: Vec<u8>,
        start: usize,
        only_arrays: bool,
    ) -> Option<Assignment> {
        let subscript = match self.peek() {
            Some(b'[') => Some((self.at + 1, self.subscript_end(self.at)?)),
            _ => None,
        };
        if let Some((_, close)) = subscript {
            self.at = close + 1;
        }
        let append = self.eat(b"+=");
        if !append && !self.eat(b"=") {
            return None;
        }
        let mut end = self.at;
        let array = self.peek() == Some(b'(');
        if only_arrays && !array {
            return None;
        }
        let value_start = if array { self.at } else { end };
        let index = subscript.map(|(open, close)| self.subscript(open, close));
        self.at = value_start;
        let value = if array {
            self.at += 1;
            let elements = self.nested(Self::array).unwrap_or_default();
            end = self.at;
            AssignedValue::Array(elements)
        } else {
            let value = self.word(Until::Word);
            // An empty value stands where the assignment ends, not behind joined lines.
            if value.parts.is_empty() {
                AssignedValue::Scalar(Word {
                    parts: Vec::new(),
                    range: self.range(end, end),
                    coded: false,
                })
            } else {
                end = self.place.map_or(value.range.end, |_| self.at);
                AssignedValue::Scalar(value)
            }
        };
        Some(Assignment { name, index, append, value, range: self.range(start, end) })
    }

    fn subscript(&mut self, open: usize, close: usize) -> Word {
        self.within(open, close, |parser| parser.word(Until::Bracket))
    }

    /// The elements up to the closing parenthesis, which is passed over.
    pub(super) fn array(&mut self) -> Vec<(Option<Word>, Word)> {
        let mut elements = Vec::new();
        loop {
            self.skip_lines();
            match self.peek() {
                None => break,
                Some(b')') => {
                    self.at += 1;
                    break;
                }
                Some(b'<' | b'>') if self.peek_second() == Some(b'(') => {}
                Some(byte) if character::ends_word(byte) => break,
                Some(_) => {}
            }
            if !self.count_node() {
                break;
            }
            let index = self.element_index();
            elements.push((index, self.word(Until::Word)));
        }
        elements
    }

    /// `[index]=` before an element.
    fn element_index(&mut self) -> Option<Word> {
        if self.peek() != Some(b'[') {
            return None;
        }
        let open = self.at;
        let close = self.subscript_end(open)?;
        self.at = close + 1;
        if !self.eat(b"=") && !self.eat(b"+=") {
            self.at = open;
            return None;
        }
        let value = self.at;
        let index = self.subscript(open + 1, close);
        self.at = value;
        Some(index)
    }
}

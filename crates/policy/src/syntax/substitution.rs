//! `$` and backquotes: what an expansion begins with.

use super::character;
use super::cursor::{APART_NODES, EXPANSION_NODES, Parser};
use super::keyword::Closers;
use super::quote::Text;
use super::tree::{List, Parameter, ParameterOperator, Part};

impl Parser<'_> {
    /// What a `$` begins. None: it stands for itself; the place is then behind it.
    pub(super) fn dollar(&mut self, in_quotes: bool) -> Option<Part> {
        self.at += 1;
        self.count_nodes(EXPANSION_NODES);
        match self.peek()? {
            b'(' => Some(self.dollar_parenthesis()),
            b'{' => Some(self.dollar_brace(in_quotes)),
            b'[' => {
                self.at += 1;
                let parts = self.nested(|parser| {
                    let parts = parser.text_parts(Text::Bracketed);
                    parser.eat(b"]");
                    parts
                });
                Some(parts.map_or(Part::TooDeep, Part::Arithmetic))
            }
            b'\'' if !in_quotes => Some(Part::Quoted(self.escaped_quoted())),
            b'"' if !in_quotes => Some(self.double_quoted()),
            byte if character::begins_name(byte) => Some(plain_parameter(self.take_name())),
            byte if byte.is_ascii_digit() || character::is_special_parameter(byte) => {
                self.at += 1;
                Some(plain_parameter(vec![byte]))
            }
            _ => None,
        }
    }

    fn dollar_parenthesis(&mut self) -> Part {
        if let Some((start, end)) = self.arithmetic_range() {
            let parts = self.nested(|parser| {
                parser.within(start, end, |parser| parser.text_parts(Text::Expression))
            });
            self.at = end + 2;
            return parts.map_or(Part::TooDeep, Part::Arithmetic);
        }
        self.at += 1;
        let list = self.nested(Self::substituted_list);
        list.map_or(Part::TooDeep, Part::CommandSubstitution)
    }

    /// At a `((` that `))` closes: where the expression between them begins and ends.
    pub(super) fn arithmetic_range(&mut self) -> Option<(usize, usize)> {
        if self.byte(self.at) != Some(b'(') || self.byte(self.at + 1) != Some(b'(') {
            return None;
        }
        let open = self.at + 1;
        self.double_parenthesis_end(open).map(|close| (open + 1, close))
    }

    /// `<(…)`, `>(…)` at its first byte.
    pub(super) fn process_substitution(&mut self, output: bool) -> Part {
        self.at += 1;
        self.eat(b"(");
        let list = self.nested(Self::substituted_list);
        list.map_or(Part::TooDeep, |list| Part::ProcessSubstitution { output, list })
    }

    /// The commands up to the closing parenthesis.
    fn substituted_list(&mut self) -> List {
        let pending = std::mem::take(&mut self.pending);
        let outer = std::mem::replace(&mut self.in_substitution, true);
        let list = self.parenthesised_list();
        self.in_substitution = outer;
        let unread = std::mem::replace(&mut self.pending, pending);
        self.pending.extend(unread);
        list
    }

    /// The commands up to the closing parenthesis, which is passed over.
    pub(super) fn parenthesised_list(&mut self) -> List {
        let closers = std::mem::replace(&mut self.closers, Closers::NONE);
        let list = self.list(Closers::PARENTHESIS);
        self.eat(b")");
        self.closers = closers;
        list
    }

    /// A backquote and what stands up to the next one.
    pub(super) fn backquoted(&mut self, in_quotes: bool) -> Part {
        let start = self.at + 1;
        let mut end = start;
        let mut escaped = false;
        loop {
            let found = memchr::memchr2(b'`', b'\\', self.slice(end, self.end));
            let Some(length) = found else {
                end = self.end;
                break;
            };
            end += length;
            if self.byte(end) == Some(b'`') {
                break;
            }
            let next = self.byte(end + 1);
            escaped |= matches!(next, Some(b'`' | b'\\' | b'$')) || in_quotes && next == Some(b'"');
            end = self.end.min(end + 2);
        }
        let list = if escaped {
            self.count_nodes(APART_NODES);
            let range = self.range(start - 1, self.end.min(end + 1));
            let text = without_escapes(self.slice(start, end), in_quotes);
            self.nested(|outer| {
                let mut parser = Parser::new(&text);
                parser.depth = outer.depth;
                parser.nodes = outer.nodes;
                parser.place = Some(range);
                let list = parser.program();
                outer.nodes = parser.nodes;
                list
            })
        } else {
            let pending = std::mem::take(&mut self.pending);
            let list = self
                .nested(|parser| parser.within(start, end, |parser| parser.list(Closers::NONE)));
            self.pending = pending;
            list
        };
        self.at = self.end.min(end + 1);
        list.map_or(Part::TooDeep, Part::CommandSubstitution)
    }
}

/// The text between backquotes as the inner shell gets it.
fn without_escapes(text: &[u8], in_quotes: bool) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if byte == b'\\' {
            match bytes.peek() {
                Some(&next @ (b'`' | b'\\' | b'$')) => {
                    plain.push(next);
                    bytes.next();
                    continue;
                }
                Some(b'"') if in_quotes => continue,
                _ => {}
            }
        }
        plain.push(byte);
    }
    plain
}

fn plain_parameter(name: Vec<u8>) -> Part {
    Part::Parameter(Box::new(Parameter {
        name,
        index: None,
        indirect: false,
        length: false,
        operator: ParameterOperator::None,
    }))
}

//! Lists, pipelines and simple commands.

use super::character;
use super::cursor::{COMMAND_NODES, Parser};
use super::keyword::{Closers, Keyword};
use super::tree::{
    Chain, Command, CommandKind, Item, List, Part, Pipeline, Redirect, RedirectKind, Word,
};
use super::word::Until;

impl Parser<'_> {
    /// Commands up to one of `closers`, or to what closes a list around this one.
    pub(super) fn list(&mut self, closers: Closers) -> List {
        let outer = self.closers;
        self.closers = outer.and(closers);
        let mut items = Vec::new();
        loop {
            self.skip_lines();
            if self.at_closer() {
                break;
            }
            if self.peek() == Some(b';') {
                self.at += 1;
                continue;
            }
            let item = if self.count_nodes(COMMAND_NODES) { self.item() } else { None };
            items.push(item.unwrap_or_else(|| self.broken_item()));
        }
        self.closers = outer;
        List { items }
    }

    fn item(&mut self) -> Option<Item> {
        let first = self.pipeline()?;
        let mut rest = Vec::new();
        loop {
            self.skip_blanks();
            let chain = match self.peek() {
                Some(b'&') if self.eat(b"&&") => Chain::And,
                Some(b'|') if self.eat(b"||") => Chain::Or,
                _ => break,
            };
            self.skip_lines();
            self.count_nodes(COMMAND_NODES);
            let Some(next) = self.pipeline() else { break };
            rest.push((chain, next));
        }
        let background =
            self.peek() == Some(b'&') && !matches!(self.peek_second(), Some(b'>' | b'&'));
        if background || self.peek() == Some(b';') && !self.at_arm_end() {
            self.at += 1;
        }
        Some(Item { first, rest, background })
    }

    /// What begins no command.
    fn broken_item(&mut self) -> Item {
        let start = self.at;
        if self.nodes == 0 {
            self.at = self.end;
        } else if let Some((_, end)) = self.keyword() {
            self.at = end;
        } else {
            // Many in a row make one.
            while let Some(byte) = self.byte(self.at) {
                let goes_on = match byte {
                    b'|' | b'&' => self.byte(self.at + 1) != Some(b'>'),
                    b')' => !self.closers.has(Closers::PARENTHESIS),
                    _ => false,
                };
                if !goes_on {
                    break;
                }
                self.at += 1;
            }
            if self.at == start {
                self.at += 1;
            }
        }
        let kind = CommandKind::Broken(self.slice(start, self.at).to_vec());
        let command = Command { kind, redirects: Vec::new(), range: self.range(start, self.at) };
        let first = Pipeline { negated: false, commands: vec![command] };
        Item { first, rest: Vec::new(), background: false }
    }

    fn pipeline(&mut self) -> Option<Pipeline> {
        let start = self.at;
        let mut negated = false;
        let mut prefixed = false;
        loop {
            self.skip_blanks();
            match self.keyword() {
                Some((Keyword::Not, end)) => {
                    negated = !negated;
                    self.at = end;
                }
                Some((Keyword::Time, end)) => {
                    let place = self.at;
                    self.at = end;
                    if !self.eat_time_options() {
                        self.at = place;
                        break;
                    }
                }
                _ => break,
            }
            prefixed = true;
        }
        let first = match self.command() {
            Some(command) => command,
            None if prefixed => self.empty_command(start),
            None => return None,
        };
        let mut commands = vec![first];
        loop {
            self.skip_blanks();
            if self.peek() != Some(b'|') || self.peek_second() == Some(b'|') {
                break;
            }
            let operator = self.at;
            self.at += 1;
            if self.eat(b"&")
                && let Some(last) = commands.last_mut()
            {
                let range = self.range(operator, self.at);
                last.redirects.push(standard_error_too(range));
                last.range = last.range.join(range);
            }
            self.skip_lines();
            // zsh: within a pipeline, too; it changes nothing of what the command does.
            if self.eat_keyword(Keyword::Not) {
                self.skip_blanks();
            }
            self.count_nodes(COMMAND_NODES);
            let Some(next) = self.command() else { break };
            commands.push(next);
        }
        Some(Pipeline { negated, commands })
    }

    /// Behind `time`: its own option. False if another follows: then it is a program of that name.
    fn eat_time_options(&mut self) -> bool {
        self.skip_blanks();
        let place = self.at;
        for option in [b"-p".as_slice(), b"--"] {
            if self.eat(option) && self.peek().is_none_or(character::ends_word) {
                self.skip_blanks();
                return true;
            }
            self.at = place;
        }
        self.peek() != Some(b'-')
    }

    pub(super) fn empty_command(&mut self, start: usize) -> Command {
        let kind = CommandKind::Simple { assignments: Vec::new(), words: Vec::new() };
        Command { kind, redirects: Vec::new(), range: self.range(start, start) }
    }

    /// One command. None if what comes next begins none.
    pub(super) fn command(&mut self) -> Option<Command> {
        self.skip_blanks();
        match self.peek()? {
            b'(' => return Some(self.compound(None)),
            b'&' if self.peek_second() != Some(b'>') => return None,
            b'\n' | b';' | b'|' | b')' | b'#' => return None,
            _ => {}
        }
        if let Some((keyword, end)) = self.keyword() {
            if keyword.closes() != Closers::NONE {
                return None;
            }
            if !matches!(keyword, Keyword::In | Keyword::Time | Keyword::Not) {
                return Some(self.compound(Some((keyword, end))));
            }
        }
        Some(self.simple_command())
    }

    fn simple_command(&mut self) -> Command {
        let start = self.at;
        let mut end = start;
        let mut assignments = Vec::new();
        let mut words: Vec<Word> = Vec::new();
        let mut redirects = Vec::new();
        loop {
            self.skip_blanks();
            let Some(byte) = self.peek() else { break };
            match byte {
                b'\n' | b';' | b'|' | b')' | b'#' => break,
                b'(' => {
                    if words.len() == 1 && assignments.is_empty() && self.eat_empty_parentheses() {
                        let name = words.first().map(|word| self.function_name(word));
                        return self.function(start, name.unwrap_or_default());
                    }
                    break;
                }
                b'&' if self.peek_second() != Some(b'>') => break,
                b'<' | b'>' | b'&' | b'{' | b'0'..=b'9' => {
                    if let Some(redirect) = self.redirect() {
                        end = self.at;
                        redirects.push(redirect);
                        continue;
                    }
                }
                _ => {}
            }
            if let Some(assignment) = self.assignment(!words.is_empty()) {
                self.count_node();
                end = if self.place.is_some() { self.at } else { assignment.range.end };
                assignments.push(assignment);
                continue;
            }
            let before = self.at;
            let word = self.word(Until::Word);
            if self.at == before {
                break;
            }
            end = if self.place.is_some() { self.at } else { word.range.end };
            words.push(word);
        }
        let kind = CommandKind::Simple { assignments, words };
        Command { kind, redirects, range: self.range(start, end) }
    }

    /// `()`, also with blanks.
    fn eat_empty_parentheses(&mut self) -> bool {
        let place = self.at;
        self.at += 1;
        self.skip_blanks();
        if self.eat(b")") {
            return true;
        }
        self.at = place;
        false
    }

    fn function_name(&self, word: &Word) -> Vec<u8> {
        match word.parts.as_slice() {
            [Part::Literal(name) | Part::Quoted(name)] => name.clone(),
            _ => self.slice(word.range.start, word.range.end).to_vec(),
        }
    }

    /// The redirections behind a compound command.
    pub(super) fn redirects(&mut self, end: &mut usize) -> Vec<Redirect> {
        let mut redirects = Vec::new();
        loop {
            self.skip_blanks();
            match self.redirect() {
                Some(redirect) => redirects.push(redirect),
                None => return redirects,
            }
            *end = self.at;
        }
    }
}

fn standard_error_too(range: crate::source_range::SourceRange) -> Redirect {
    let word = Word { parts: vec![Part::Literal(b"1".to_vec())], range, coded: false };
    Redirect { descriptor: Some(2), kind: RedirectKind::Duplicate { output: true, word }, range }
}

//! Compound commands.

use std::rc::Rc;

use super::character;
use super::cursor::Parser;
use super::keyword::{Closers, Keyword};
use super::quote::Text;
use super::tree::{Command, CommandKind, List, Word};
use super::word::Until;

impl Parser<'_> {
    /// The command that a parenthesis or this reserved word, which ends there, begins.
    pub(super) fn compound(&mut self, keyword: Option<(Keyword, usize)>) -> Command {
        let start = self.at;
        let kind = self.nested(|parser| match keyword {
            None => parser.parenthesis(),
            Some((keyword, end)) => {
                parser.at = end;
                parser.keyword_command(keyword)
            }
        });
        let kind = kind.unwrap_or_else(|| CommandKind::Broken(self.slice(start, self.at).to_vec()));
        let mut end = self.at;
        let redirects = self.redirects(&mut end);
        Command { kind, redirects, range: self.range(start, end) }
    }

    fn parenthesis(&mut self) -> CommandKind {
        if let Some((start, end)) = self.arithmetic_range() {
            let word = self.expression(start, end);
            return CommandKind::Arithmetic(word);
        }
        self.at += 1;
        CommandKind::Subshell(self.parenthesised_list())
    }

    /// The expression from `start` to the `))` at `end`, which is passed over.
    fn expression(&mut self, start: usize, end: usize) -> Word {
        let parts = self.within(start, end, |parser| parser.text_parts(Text::Expression));
        self.at = end + 2;
        Word { parts, range: self.range(start, end), coded: false }
    }

    fn keyword_command(&mut self, keyword: Keyword) -> CommandKind {
        match keyword {
            Keyword::OpenBrace => {
                let list = self.list(Closers::BRACE);
                self.eat_keyword(Keyword::CloseBrace);
                CommandKind::Group(list)
            }
            Keyword::OpenCondition => CommandKind::Condition(self.condition()),
            Keyword::Case => self.case(),
            Keyword::Coprocess => self.coprocess(),
            Keyword::For => self.for_loop(false),
            Keyword::Select => self.for_loop(true),
            Keyword::Function => self.function_command(),
            Keyword::If => self.if_command(),
            Keyword::Until => self.condition_loop(true),
            _ => self.condition_loop(false),
        }
    }

    fn if_command(&mut self) -> CommandKind {
        let ends = Closers::ELIF.and(Closers::ELSE).and(Closers::FI);
        let mut branches = Vec::new();
        loop {
            let condition = self.list(Closers::THEN.and(ends));
            let branch =
                if self.eat_keyword(Keyword::Then) { self.list(ends) } else { List::default() };
            branches.push((condition, branch));
            if !self.eat_keyword(Keyword::Elif) {
                break;
            }
        }
        let otherwise = self.eat_keyword(Keyword::Else).then(|| self.list(ends));
        self.eat_keyword(Keyword::Fi);
        CommandKind::If { branches, otherwise }
    }

    fn condition_loop(&mut self, until: bool) -> CommandKind {
        let condition = self.list(Closers::DO.and(Closers::DONE));
        let body = self.body();
        CommandKind::Loop { until, condition, body }
    }

    /// `do … done`, or `{ … }` as older shells have it.
    fn body(&mut self) -> List {
        if self.eat_keyword(Keyword::Do) {
            let body = self.list(Closers::DONE);
            self.eat_keyword(Keyword::Done);
            return body;
        }
        if self.eat_keyword(Keyword::OpenBrace) {
            let body = self.list(Closers::BRACE);
            self.eat_keyword(Keyword::CloseBrace);
            return body;
        }
        self.eat_keyword(Keyword::Done);
        List::default()
    }

    fn for_loop(&mut self, select: bool) -> CommandKind {
        self.skip_blanks();
        if !select && let Some((start, end)) = self.arithmetic_range() {
            let header = self.expression(start, end);
            self.skip_separator();
            return CommandKind::ArithmeticFor { header, body: self.body() };
        }
        let name = self.word(Until::Word);
        let name = self.slice_of(&name);
        self.skip_lines();
        let words = if self.eat_keyword(Keyword::In) {
            Some(self.words_of_line())
        } else if self.peek() == Some(b'(') {
            // zsh: `for x (a b) …`
            self.at += 1;
            Some(self.array().into_iter().map(|(_, word)| word).collect())
        } else {
            None
        };
        self.skip_separator();
        CommandKind::For { name, words, body: self.body(), select }
    }

    fn slice_of(&self, word: &Word) -> Vec<u8> {
        match word.parts.as_slice() {
            [super::tree::Part::Literal(name)] => name.clone(),
            _ => self.slice(word.range.start, word.range.end).to_vec(),
        }
    }

    fn words_of_line(&mut self) -> Vec<Word> {
        let mut words = Vec::new();
        loop {
            self.skip_blanks();
            match self.peek() {
                None | Some(b'#') => break,
                Some(b'<' | b'>') if self.peek_second() == Some(b'(') => {}
                Some(byte) if character::ends_word(byte) => break,
                Some(_) => {}
            }
            if !self.count_node() {
                break;
            }
            words.push(self.word(Until::Word));
        }
        words
    }

    /// One `;` and line ends.
    fn skip_separator(&mut self) {
        self.skip_lines();
        if self.eat(b";") {
            self.skip_lines();
        }
    }

    fn case(&mut self) -> CommandKind {
        self.skip_blanks();
        let word = self.word(Until::Word);
        self.skip_lines();
        let mut arms = Vec::new();
        if !self.eat_keyword(Keyword::In) {
            return CommandKind::Case { word, arms };
        }
        loop {
            self.skip_lines();
            if self.peek().is_none() || self.eat_keyword(Keyword::Esac) || !self.count_node() {
                break;
            }
            let start = self.at;
            self.eat(b"(");
            let patterns = self.patterns();
            self.eat(b")");
            let list = self.list(Closers::ARM.and(Closers::ESAC));
            if self.at_arm_end() {
                self.at += 1;
                self.peek();
                self.at += 1;
                self.eat(b"&");
            }
            if self.at == start {
                break;
            }
            arms.push((patterns, list));
        }
        CommandKind::Case { word, arms }
    }

    fn patterns(&mut self) -> Vec<Word> {
        let mut patterns = Vec::new();
        loop {
            self.skip_blanks();
            let word = self.word(Until::Word);
            if !word.parts.is_empty() {
                patterns.push(word);
            }
            self.skip_blanks();
            if self.peek() != Some(b'|') || !self.count_node() {
                return patterns;
            }
            self.at += 1;
        }
    }

    fn function_command(&mut self) -> CommandKind {
        self.skip_blanks();
        let name = self.word(Until::Word);
        let name = self.slice_of(&name);
        self.skip_blanks();
        if self.eat(b"(") {
            self.skip_blanks();
            self.eat(b")");
        }
        self.function_body(name)
    }

    /// Behind `name()`.
    pub(super) fn function(&mut self, start: usize, name: Vec<u8>) -> Command {
        let kind = self
            .nested(|parser| parser.function_body(name))
            .unwrap_or_else(|| CommandKind::Broken(self.slice(start, self.at).to_vec()));
        let end = match &kind {
            CommandKind::Function { body, .. } if self.place.is_none() => body.range.end,
            _ => self.at,
        };
        Command { kind, redirects: Vec::new(), range: self.range(start, end) }
    }

    fn function_body(&mut self, name: Vec<u8>) -> CommandKind {
        let end = self.at;
        self.skip_lines();
        let body = self.command().unwrap_or_else(|| self.empty_command(end));
        CommandKind::Function { name, body: Rc::new(body) }
    }

    fn coprocess(&mut self) -> CommandKind {
        self.skip_blanks();
        let start = self.at;
        let mut name = None;
        if self.peek().is_some_and(character::begins_name) && self.keyword().is_none() {
            self.take_name();
            name = self.text.get(start..self.at).map(<[u8]>::to_vec);
            self.skip_blanks();
            if self.peek() != Some(b'(') && self.keyword().is_none() {
                self.at = start;
                name = None;
            }
        }
        let body = self.command().unwrap_or_else(|| self.empty_command(start));
        CommandKind::Coprocess { name, command: Box::new(body) }
    }
}

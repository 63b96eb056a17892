//! The part of Starlark that rule files are written in: calls at the top level, whose arguments
//! are named and are texts or lists.

use super::ImportError;

/// How deeply lists nest.
const DEEPEST: u32 = 8;

/// A call at the top level.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) name: String,
    pub(super) at: (usize, usize),
    pub(super) arguments: Vec<(String, Value)>,
}

/// A value and where it stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) at: (usize, usize),
    pub(super) content: Content,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content {
    Text(String),
    List(Vec<Value>),
    /// `None`, as if it were not there.
    Nothing,
}

/// Reads a file of calls.
pub(super) fn calls(text: &str) -> Result<Vec<Call>, ImportError> {
    let mut reader = Reader { rest: text, line: 1, column: 1 };
    let mut calls = Vec::new();
    loop {
        reader.skip();
        if reader.rest.is_empty() {
            return Ok(calls);
        }
        calls.push(reader.call()?);
        reader.skip();
        if reader.rest.starts_with(';') {
            reader.bump();
        }
    }
}

struct Reader<'t> {
    rest: &'t str,
    line: usize,
    column: usize,
}

impl<'t> Reader<'t> {
    fn bump(&mut self) -> Option<char> {
        let mut letters = self.rest.chars();
        let letter = letters.next()?;
        self.rest = letters.as_str();
        if letter == '\n' {
            self.line += 1;
            self.column = 1;
        } else {
            self.column += 1;
        }
        Some(letter)
    }

    fn error<T>(&self, message: impl Into<String>) -> Result<T, ImportError> {
        Err(ImportError { line: self.line, column: self.column, message: message.into() })
    }

    /// Passes over blanks and comments.
    fn skip(&mut self) {
        while let Some(letter) = self.rest.chars().next() {
            let ends = match letter {
                '#' => self.rest.find('\n').unwrap_or(self.rest.len()),
                '\\' if self.rest.starts_with("\\\n") => 2,
                _ if letter.is_whitespace() || letter == '\u{feff}' => letter.len_utf8(),
                _ => return,
            };
            let end = self.rest.len() - ends;
            while self.rest.len() > end {
                self.bump();
            }
        }
    }

    /// Whether `sign` comes next; passes over it.
    fn eat(&mut self, sign: char) -> bool {
        self.skip();
        let found = self.rest.starts_with(sign);
        if found {
            self.bump();
        }
        found
    }

    fn expect(&mut self, sign: char) -> Result<(), ImportError> {
        if self.eat(sign) {
            return Ok(());
        }
        let found = self.found();
        self.error(format!("expected `{sign}`, found {found}"))
    }

    fn found(&self) -> String {
        self.rest.chars().next().map_or("the end".to_owned(), |letter| {
            format!("`{}`", if letter.is_control() { '\u{fffd}' } else { letter })
        })
    }

    fn word(&mut self) -> Result<&'t str, ImportError> {
        self.skip();
        let is_of_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        let end = self.rest.find(|letter| !is_of_word(letter)).unwrap_or(self.rest.len());
        let (word, _) = self.rest.split_at(end);
        if word.is_empty() || word.starts_with(|letter: char| letter.is_ascii_digit()) {
            let found = self.found();
            return self.error(format!("expected a name, found {found}"));
        }
        for _ in 0..end {
            self.bump();
        }
        Ok(word)
    }

    fn call(&mut self) -> Result<Call, ImportError> {
        let at = (self.line, self.column);
        let name = self.word()?.to_owned();
        if !self.eat('(') {
            return self.error("only calls stand here, such as prefix_rule(pattern = […])");
        }
        let mut arguments: Vec<(String, Value)> = Vec::new();
        while !self.eat(')') {
            if self.rest.starts_with(['"', '\'', '[']) {
                return self.error("arguments have names here: name = value");
            }
            let key = self.word()?.to_owned();
            if arguments.iter().any(|(name, _)| *name == key) {
                return self.error(format!("`{key}` stands there twice"));
            }
            self.expect('=')?;
            arguments.push((key, self.value(0)?));
            if !self.eat(',') {
                self.expect(')')?;
                break;
            }
        }
        Ok(Call { name, at, arguments })
    }

    fn value(&mut self, depth: u32) -> Result<Value, ImportError> {
        self.skip();
        let at = (self.line, self.column);
        if depth > DEEPEST {
            return self.error("lists nest too deeply");
        }
        let content = match self.rest.chars().next() {
            Some('"' | '\'') => {
                let mut text = self.text(false)?;
                // Texts side by side are one.
                self.skip();
                while self.rest.starts_with(['"', '\'']) {
                    text.push_str(&self.text(false)?);
                    self.skip();
                }
                Content::Text(text)
            }
            Some('r') if self.rest.starts_with("r\"") || self.rest.starts_with("r'") => {
                self.bump();
                Content::Text(self.text(true)?)
            }
            Some('[' | '(') => {
                let end = if self.rest.starts_with('[') { ']' } else { ')' };
                self.bump();
                let mut items = Vec::new();
                while !self.eat(end) {
                    items.push(self.value(depth + 1)?);
                    if !self.eat(',') {
                        self.expect(end)?;
                        break;
                    }
                }
                Content::List(items)
            }
            Some('N') if self.rest.starts_with("None") => {
                self.word()?;
                Content::Nothing
            }
            _ => {
                let found = self.found();
                return self.error(format!("expected a text or a list, found {found}"));
            }
        };
        Ok(Value { at, content })
    }

    /// A text in quotes: one or three, single or double.
    fn text(&mut self, raw: bool) -> Result<String, ImportError> {
        let start = (self.line, self.column);
        let long = self.rest.starts_with("\"\"\"") || self.rest.starts_with("'''");
        let quote = self.bump().unwrap_or('"');
        if long {
            self.bump();
            self.bump();
        }
        let unfinished = || {
            let message = "this text has no end".to_owned();
            ImportError { line: start.0, column: start.1, message }
        };
        let end: &[char] = &[quote, quote, quote];
        let end: String = end.iter().take(if long { 3 } else { 1 }).collect();
        let mut text = String::new();
        loop {
            if self.rest.starts_with(&end) {
                for _ in end.chars() {
                    self.bump();
                }
                return Ok(text);
            }
            match self.bump().ok_or_else(unfinished)? {
                '\n' if !long => return Err(unfinished()),
                '\\' if raw => {
                    text.push('\\');
                    text.extend(self.bump());
                }
                '\\' => self.escape(&mut text)?,
                letter => text.push(letter),
            }
        }
    }

    fn escape(&mut self, text: &mut String) -> Result<(), ImportError> {
        let Some(letter) = self.bump() else { return Ok(()) };
        text.push(match letter {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            '\\' | '"' | '\'' => letter,
            '\n' => return Ok(()),
            'x' | 'u' | 'U' => {
                let digits = match letter {
                    'x' => 2,
                    'u' => 4,
                    _ => 8,
                };
                let code = (0..digits).try_fold(0, |code: u32, _| {
                    let digit = self.bump().and_then(|digit| digit.to_digit(16))?;
                    code.checked_mul(16)?.checked_add(digit)
                });
                match code.and_then(char::from_u32) {
                    Some(letter) => letter,
                    None => return self.error("this is no character"),
                }
            }
            _ => return self.error("there is no such escape; a backslash is written twice"),
        });
        Ok(())
    }
}

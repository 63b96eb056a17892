//! Goes through the tokens of a program and looks for calls that do something.

use std::rc::Rc;

use crate::effect::{EffectKind, Qualities, Target};
use crate::source_range::SourceRange;
use crate::work::Work;

use super::form::FunctionId;
use super::functions::{self, OwnFunction};
use super::gather::Gather;
use super::phrase::{Arguments, Phrases};
use super::tokens::{TokenKind, tokens};
use super::value::{Kind, Origin, Value};
use super::{Act, Language, awk, computed, lua, perl, php, python_network, ruby};

/// The longest program that is read. What stands behind it is reported as not read.
const LONGEST_PROGRAM: usize = 32 * 1024;

/// What a function does with what it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A text for the shell, or a program with arguments.
    Run,
    /// Runs a text as code of this language.
    Evaluate,
    Delete,
    DeleteTree,
    Overwrite,
    /// A path, and what is done with it (`"w"`).
    Open,
    /// The second argument is overwritten.
    CopyTo,
    Read,
    /// A mode and paths, or a path and a mode.
    Mode,
    Owner,
    /// A signal and processes, or a process and a signal.
    Kill,
    Fork,
    Connect,
    Listen,
    Fetch,
    Send,
    SetUser,
    Statement,
}

/// Names that start no call, however they stand.
pub(super) fn is_plain(name: &str) -> bool {
    !name.contains('.')
        && !name.contains("::")
        && !matches!(name, "reverse" | "pack" | "chr" | "join")
}

pub(super) struct Scan {
    pub(super) phrases: Phrases,
    pub(super) gather: Gather,
    /// Where an endless loop ends, by the number of its token.
    endless_until: usize,
    /// What the program declares, and which of these are gone through.
    pub(super) functions: Rc<[OwnFunction]>,
    pub(super) active: Vec<FunctionId>,
}

/// What the program would do.
pub(super) fn acts(language: Language, text: &[u8], work: &mut Work) -> Vec<Act> {
    let read = text.get(..LONGEST_PROGRAM).unwrap_or(text);
    // At most half of what is left, so that one program is read to its end.
    let room = work.left() / 2;
    let phrases = Phrases::new(language, tokens(language, read), room);
    let functions = functions::declared(&phrases).into();
    let gather = Gather::new(language);
    let mut scan = Scan { phrases, gather, endless_until: 0, functions, active: Vec::new() };
    for at in 0..scan.phrases.tokens.len() {
        scan.token(at);
    }
    work.spend(room - scan.phrases.room());
    let given_up = scan.phrases.room() == 0;
    if read.len() < text.len() || given_up {
        let from = if given_up { 0 } else { read.len() };
        let rest = SourceRange::new(from, text.len());
        let unread = Target::Name("text that was not read".to_owned());
        scan.gather.effect(EffectKind::ComputedCode, unread, Qualities::NONE, rest);
    }
    scan.gather.finish()
}

fn meaning(language: Language, name: &str) -> Option<Meaning> {
    match language {
        Language::Perl => perl::meaning(name),
        Language::Ruby => ruby::meaning(name),
        Language::Php => php::meaning(name),
        Language::Lua => lua::meaning(name),
        _ => awk::meaning(name),
    }
}

impl Scan {
    pub(super) fn token(&mut self, at: usize) {
        let Some(token) = self.phrases.tokens.get(at).cloned() else { return };
        let language = self.phrases.language;
        match token.kind {
            TokenKind::Command(text) => {
                let value = self.phrases.replace(&text);
                self.gather.shell(&value, token.range);
            }
            TokenKind::Variable(name) => {
                self.named_by_variable(at, &name);
                self.assignment(at, name);
            }
            TokenKind::Name(name) => {
                let text = String::from_utf8_lossy(&name).into_owned();
                self.loops(at, &text);
                self.items(at, &text);
                self.found_files(at, &text);
                let declared = at > 0
                    && matches!(self.phrases.name_at(at - 1), Some(b"def" | b"sub" | b"function"));
                // `$model->exec`, `a.exec`: a method of something else.
                let member = at > 0
                    && (self.phrases.is_mark(at - 1, b'>')
                        && !(at > 1 && self.phrases.is_mark(at - 2, b'='))
                        || self.phrases.is_mark(at - 1, b'.')
                            && language != Language::Perl
                            && language != Language::Php);
                let key = self.phrases.is_mark(at + 1, b'=');
                if key && !self.phrases.is_mark(at + 2, b'=') {
                    self.assignment(at, name);
                } else if !declared {
                    self.call(at, &text, member);
                }
            }
            TokenKind::Text(..) if language == Language::Awk => self.awk_text(at),
            TokenKind::Mark(b'|' | b'>') if language == Language::Awk => {
                self.awk_redirect(at, token.range)
            }
            _ => {}
        }
    }

    /// `$name = value`, `name = value`
    fn assignment(&mut self, at: usize, name: Vec<u8>) {
        let joins = self.phrases.is_mark(at + 1, b'.') && self.phrases.is_mark(at + 2, b'=');
        let place = at + 1 + usize::from(joins);
        if !self.phrases.is_mark(place, b'=')
            || self.phrases.is_mark(place + 1, b'=')
            || self.phrases.is_mark(place + 1, b'>')
            || self.phrases.is_mark(place + 1, b'~')
        {
            return;
        }
        let (mut value, _) = self.phrases.value(place + 1, 0);
        if joins {
            let before = self.phrases.variables.get(&name).cloned().unwrap_or_default();
            let text = super::constant::binary(
                b"+",
                &Value::text(before.to_text()),
                &Value::text(value.to_text()),
            );
            value = text.from(before.origin).from(value.origin);
        }
        if value.weight() < 1100 {
            self.phrases.variables.insert(name, value);
        }
    }

    /// `while (1)`, `loop do`, `fork while fork`.
    fn loops(&mut self, at: usize, name: &str) {
        let mut next = at + 1;
        while self.phrases.is_mark(next, b'(') {
            next += 1;
        }
        let always = matches!(self.phrases.kind(next), Some(TokenKind::Number(1)))
            || matches!(self.phrases.name_at(next), Some(b"true" | b"fork" | b"pcntl_fork"))
            || name == "for"
                && self.phrases.is_mark(next, b';')
                && self.phrases.is_mark(next + 1, b';');
        if name == "loop" && self.phrases.language == Language::Ruby
            || matches!(name, "while" | "for") && always
        {
            let text_end = (next..next + 60)
                .find(|it| {
                    matches!(self.phrases.kind(*it), Some(TokenKind::Mark(b'}')) | None)
                        || self.phrases.name_at(*it) == Some(b"end")
                })
                .unwrap_or(next + 60);
            let ends = (next..text_end).any(|it| {
                matches!(
                    self.phrases.name_at(it),
                    Some(
                        b"last"
                            | b"break"
                            | b"exit"
                            | b"wait"
                            | b"sleep"
                            | b"accept"
                            | b"return"
                            | b"die"
                    )
                )
            });
            if !ends {
                self.endless_until = text_end;
            }
        }
        let forks = matches!(name, "fork" | "Process.fork" | "pcntl_fork" | "Kernel.fork");
        if !forks {
            return;
        }
        let range = self.phrases.range(at, at + 1);
        self.gather.forked(self.active.last().copied(), range);
        // `fork while fork`, `fork while 1`
        let after = self.phrases.name_at(at + 1) == Some(b"while");
        if after || at < self.endless_until {
            self.gather.bomb(range);
        }
    }

    fn call(&mut self, at: usize, name: &str, member: bool) {
        let language = self.phrases.language;
        self.own_call(at, name, member);
        self.written(at, name);
        self.handed_on(at, name);
        // `IO::Socket::INET->new`, `TCPSocket.new`: the class tells.
        let plain =
            name.trim_end_matches("::new").trim_end_matches(".new").trim_end_matches(".open");
        let Some(meaning) = meaning(language, name).or_else(|| meaning(language, plain)) else {
            return;
        };
        if language == Language::Perl {
            self.modified(at);
        }
        if member && !matches!(meaning, Meaning::Statement) {
            return;
        }
        let mut start = at + 1;
        // `IO::Socket::INET->new(…)` where the lexer parts them.
        if self.phrases.is_mark(start, b'-') && self.phrases.is_mark(start + 1, b'>') {
            start += 3;
        }
        let called = self.phrases.is_mark(start, b'(')
            || matches!(language, Language::Perl | Language::Ruby)
            || matches!(self.phrases.kind(start), Some(TokenKind::Text(..)));
        if !called {
            return;
        }
        let arguments = self.phrases.arguments(start, 0);
        let range = self.phrases.range(at, arguments.end.max(at + 1));
        self.act(meaning, name, &arguments, range);
    }

    /// `$f("…")`: a function that a variable names.
    fn named_by_variable(&mut self, at: usize, name: &[u8]) {
        if self.phrases.language != Language::Php || !self.phrases.is_mark(at + 1, b'(') {
            return;
        }
        self.own_call(at, &String::from_utf8_lossy(name), false);
        let function = self.phrases.variables.get(name).cloned().unwrap_or_default();
        if let Some(function) = function.as_text() {
            let function = String::from_utf8_lossy(function).into_owned();
            self.call(at, &function, false);
        } else if function.origin.has(Origin::NETWORK) {
            let range = self.phrases.range(at, at + 1);
            self.gather.network_code(range);
        }
    }

    /// `f.puts "…"`, `fwrite($f, "…")`, `print $f "…"`: what is written to a file that is open.
    fn written(&mut self, at: usize, name: &str) {
        let (holder, plain) = match name.rsplit_once('.') {
            Some((holder, "puts" | "write" | "print" | "syswrite")) => (holder, false),
            None if matches!(name, "fwrite" | "fputs" | "print" | "printf" | "say") => ("", true),
            _ => return,
        };
        let held = |it: &Value| match &it.kind {
            Kind::File(path) => Some(path.clone()),
            _ => None,
        };
        let path = self.phrases.variables.get(holder.as_bytes()).and_then(held);
        if path.is_none() && !plain {
            return;
        }
        let arguments = self.phrases.arguments(at + 1, 0);
        let Some(path) = path.or_else(|| arguments.values.first().and_then(held)) else { return };
        let range = self.phrases.range(at, arguments.end.max(at + 1));
        let content = arguments.value(usize::from(plain));
        self.gather.write(&path, &content, true, range);
    }

    /// `array_map("unlink", glob("/etc/*"))`: a function that is named in a text.
    fn handed_on(&mut self, at: usize, name: &str) {
        let function = match name {
            "array_map" | "call_user_func" | "call_user_func_array" => 0,
            "array_walk" | "array_filter" => 1,
            _ => return,
        };
        if self.phrases.language != Language::Php {
            return;
        }
        let mut arguments = self.phrases.arguments(at + 1, 0);
        // A function that is written in place: it is called with each of the others.
        let written = (at + 2..at + 60)
            .take_while(|it| !self.phrases.is_mark(*it, b';'))
            .find_map(|it| self.closure_at(it));
        if let Some((id, end)) = written {
            let place = if function == 0 { end + 1 } else { at + 2 };
            let value = self.phrases.value(place, 0).0;
            return self.run_own(id, vec![value]);
        }
        if arguments.values.len() <= function {
            return;
        }
        let named = arguments.values.remove(function);
        let called = String::from_utf8_lossy(&named.to_text()).into_owned();
        let range = self.phrases.range(at, arguments.end.max(at + 1));
        if let Some(meaning) = meaning(self.phrases.language, &called) {
            self.act(meaning, &called, &arguments, range);
        }
    }

    fn act(&mut self, meaning: Meaning, name: &str, arguments: &Arguments, range: SourceRange) {
        let first = arguments.value(0);
        let second = arguments.value(1);
        let all = arguments.values.iter().fold(Origin::NONE, |all, one| all.with(one.origin));
        match meaning {
            Meaning::Run => self.run(arguments, range),
            Meaning::Evaluate => {
                if !arguments.values.is_empty() {
                    self.gather.code(&first, range);
                }
            }
            Meaning::Delete | Meaning::DeleteTree => {
                let tree = meaning == Meaning::DeleteTree;
                let qualities = Qualities::NONE.with_if(tree, Qualities::RECURSIVE);
                for path in flat(&arguments.values) {
                    if path.as_number().is_none() && !matches!(path.kind, Kind::Map(_)) {
                        self.gather.path(EffectKind::Delete, &path, qualities, range);
                    }
                }
            }
            Meaning::Overwrite => {
                if second.origin.has(Origin::NETWORK) {
                    self.gather.downloaded(first.to_text());
                }
                self.gather.path(EffectKind::Overwrite, &first, Qualities::NONE, range);
                let adds = arguments.values.len() > 2;
                self.gather.write(&first.to_text(), &second, adds, range);
            }
            Meaning::Open => self.open(arguments, range),
            Meaning::CopyTo => {
                self.gather.path(EffectKind::Overwrite, &second, Qualities::NONE, range);
            }
            Meaning::Read => self.gather.path(EffectKind::Read, &first, Qualities::NONE, range),
            Meaning::Mode => {
                let bits = arguments.values.iter().find_map(Value::as_number).unwrap_or(0);
                let qualities = Qualities::NONE
                    .with_if(bits & 0o6000 != 0, Qualities::SETUID)
                    .with_if(bits & 0o002 != 0, Qualities::PUBLIC);
                for path in arguments.values.iter().filter(|one| one.as_text().is_some()) {
                    self.gather.path(EffectKind::Permission, path, qualities, range);
                }
            }
            Meaning::Owner => {
                for path in arguments.values.iter().filter(|one| one.as_text().is_some()) {
                    self.gather.path(EffectKind::Owner, path, Qualities::NONE, range);
                }
            }
            Meaning::Kill => {
                let process = arguments
                    .values
                    .iter()
                    .filter_map(Value::as_number)
                    .find(|it| *it == -1 || *it == 1);
                if let Some(process) = process {
                    let qualities = Qualities::NONE.with_if(process == -1, Qualities::ALL_OF_THEM);
                    let target = Target::Name(process.to_string());
                    self.gather.effect(EffectKind::Kill, target, qualities, range);
                }
            }
            Meaning::Fork => {}
            Meaning::Connect => {
                let host =
                    arguments.values.iter().map(Value::to_text).collect::<Vec<_>>().join(&b':');
                self.gather.connected(String::from_utf8_lossy(&host).into_owned(), range);
            }
            Meaning::Listen => {
                let host = String::from_utf8_lossy(&first.to_text()).into_owned();
                self.gather.listening(host, range);
            }
            Meaning::Fetch => {
                let target = super::library::host(&first);
                self.gather.effect(EffectKind::Fetch, target, Qualities::NONE, range);
                if name == "getstore" {
                    self.gather.downloaded(second.to_text());
                }
            }
            Meaning::Send => {
                let secrets = Origin::SECRET.with(Origin::ENVIRONMENT);
                let qualities =
                    Qualities::NONE.with_if(all.has_any(secrets), Qualities::WITH_SECRETS);
                self.gather.effect(
                    EffectKind::Send,
                    super::library::host(&first),
                    qualities,
                    range,
                );
            }
            Meaning::SetUser => {
                if first.as_number() == Some(0) {
                    self.gather.named(EffectKind::Privilege, "root", range);
                }
            }
            Meaning::Statement => {
                for statement in arguments.values.iter().take(2) {
                    statement_of(&mut self.gather, statement, range);
                }
            }
        }
    }

    fn run(&mut self, arguments: &Arguments, range: SourceRange) {
        let values: Vec<Value> =
            flat(&arguments.values).into_iter().filter(|one| one.as_number().is_none()).collect();
        match values.as_slice() {
            [] => {}
            [text] => self.gather.shell(text, range),
            // popen(command, "r"): the second says how.
            [text, mode, ..]
                if matches!(self.phrases.language, Language::Php | Language::Lua)
                    || matches!(mode.as_text(), Some(b"r" | b"w" | b"r+" | b"w+")) =>
            {
                self.gather.shell(text, range);
            }
            _ => {
                let values = values.iter().flat_map(paths).collect();
                self.gather.program(&Value::list(values), range);
            }
        }
    }

    /// `open`, `fopen`, `File.open`, `io.open`
    fn open(&mut self, arguments: &Arguments, range: SourceRange) {
        let perl = self.phrases.language == Language::Perl;
        // Perl names the handle first.
        let skip = usize::from(perl);
        let (mut path, mode) = match (perl, arguments.values.len()) {
            (true, 3..) => (arguments.value(2), arguments.value(1).to_text()),
            _ => (arguments.value(skip), arguments.value(skip + 1).to_text()),
        };
        let mut mode = mode;
        if perl && arguments.values.len() < 3 {
            let text = path.to_text();
            let trimmed = text.trim_ascii();
            let marks = trimmed.iter().take_while(|byte| b"<>+|&".contains(byte)).count();
            mode = trimmed.get(..marks).unwrap_or_default().to_vec();
            let mut rest = trimmed.get(marks..).unwrap_or_default().trim_ascii().to_vec();
            if rest.last() == Some(&b'|') {
                rest.pop();
                mode.push(b'|');
            }
            path = Value::text_from(rest, path.origin);
        }
        let text = path.to_text();
        if computed::writes(&mode) && !mode.contains(&b'|') && !mode.contains(&b'&') {
            self.handle(arguments, &path);
        }
        if mode.contains(&b'|')
            || text.first() == Some(&b'|') && self.phrases.language == Language::Ruby
        {
            let command = text.strip_prefix(b"|").unwrap_or(&text).to_vec();
            self.gather.shell(&Value::text_from(command, path.origin), range);
        } else if mode.contains(&b'&') {
            self.gather.duplicated();
        } else if text.windows(3).any(|window| window == b"://") {
            let target = super::library::host(&path);
            self.gather.effect(EffectKind::Fetch, target, Qualities::NONE, range);
        } else if mode.ends_with(b">>") || mode.contains(&b'a') {
            self.gather.path(EffectKind::Write, &path, Qualities::NONE, range);
        } else if mode.contains(&b'>') || mode.contains(&b'w') {
            self.gather.path(EffectKind::Overwrite, &path, Qualities::NONE, range);
        } else if path.as_text().is_some() {
            self.gather.path(EffectKind::Read, &path, Qualities::NONE, range);
        }
    }

    /// The name by which a file that was opened is known: `open(my $f, …)`, `open(…) do |f|`.
    fn handle(&mut self, arguments: &Arguments, path: &Value) {
        let place = match self.phrases.language {
            Language::Perl => {
                arguments.start + usize::from(self.phrases.name_at(arguments.start) == Some(b"my"))
            }
            Language::Ruby if self.phrases.is_mark(arguments.end + 1, b'|') => arguments.end + 2,
            _ => return,
        };
        if let Some(TokenKind::Name(name) | TokenKind::Variable(name)) =
            self.phrases.kind(place).cloned()
        {
            let file = Value { kind: Kind::File(path.to_text()), origin: path.origin };
            self.phrases.variables.insert(name, file);
        }
    }
}

/// Several absolute paths that stand for one of them.
fn paths(value: &Value) -> Vec<Value> {
    let text = value.as_text().unwrap_or_default();
    let words = || text.split(|byte| *byte == b' ');
    match text.len() < 1000 && words().all(|word| word.starts_with(b"/")) {
        true => words().map(|word| Value::text_from(word, value.origin)).collect(),
        false => vec![value.clone()],
    }
}

fn flat(values: &[Value]) -> Vec<Value> {
    values
        .iter()
        .flat_map(|one| match &one.kind {
            Kind::List(items) => items.clone(),
            _ => vec![one.clone()],
        })
        .collect()
}

fn statement_of(gather: &mut Gather, statement: &Value, range: SourceRange) {
    python_network::statement(gather, statement, range);
}

//! Goes through the tokens of a program and looks for calls that do something.

use crate::effect::{EffectKind, Qualities, Target};
use crate::source_range::SourceRange;
use crate::work::Work;

use super::gather::Gather;
use super::phrase::{Arguments, Phrases};
use super::tokens::{TokenKind, tokens};
use super::value::{Kind, Origin, Value};
use super::{Act, Language, awk, lua, perl, php, python_network, ruby};

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

struct Scan {
    phrases: Phrases,
    gather: Gather,
    /// Where an endless loop ends, by the number of its token.
    endless_until: usize,
}

/// What the program would do.
pub(super) fn acts(language: Language, text: &[u8], work: &mut Work) -> Vec<Act> {
    let read = text.get(..LONGEST_PROGRAM).unwrap_or(text);
    // At most half of what is left, so that one program is read to its end.
    let room = work.left() / 2;
    let mut scan = Scan {
        phrases: Phrases::new(language, tokens(language, read), room),
        gather: Gather::new(language),
        endless_until: 0,
    };
    for at in 0..scan.phrases.tokens.len() {
        scan.token(at);
    }
    work.spend(room - scan.phrases.room());
    if read.len() < text.len() {
        let rest = SourceRange::new(read.len(), text.len());
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
    fn token(&mut self, at: usize) {
        let Some(token) = self.phrases.tokens.get(at).cloned() else { return };
        let language = self.phrases.language;
        match token.kind {
            TokenKind::Command(text) => {
                let value = self.phrases.replace(&text);
                self.gather.shell(&value, token.range);
            }
            TokenKind::Variable(name) => self.assignment(at, name),
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

    /// `foreach my $x (…)`, `foreach ($list as $x)`, `list.each { |x| … }`: the variable stands
    /// for each of the items, and what is done with it is done with all of them.
    fn items(&mut self, at: usize, name: &str) {
        let (list, variable) = match (self.phrases.language, name) {
            (Language::Perl, "foreach" | "for") => {
                let declared = usize::from(self.phrases.name_at(at + 1) == Some(b"my"));
                (at + 2 + declared, at + 1 + declared)
            }
            (Language::Php, "foreach") => {
                let Some(end) = (at..at + 100).find(|it| self.phrases.name_at(*it) == Some(b"as"))
                else {
                    return;
                };
                let keyed = self.phrases.is_mark(end + 2, b'=');
                (at + 2, end + 1 + if keyed { 3 } else { 0 })
            }
            (Language::Ruby, "for") if self.phrases.name_at(at + 2) == Some(b"in") => {
                (at + 3, at + 1)
            }
            (Language::Ruby, _) => return self.each(at, name),
            _ => return,
        };
        let Some(TokenKind::Variable(variable) | TokenKind::Name(variable)) =
            self.phrases.kind(variable).cloned()
        else {
            return;
        };
        let value = match self.phrases.is_mark(list, b'[') {
            true => self.texts_in_list(list),
            false => self.phrases.value(list, 0).0,
        };
        self.one_of(variable, value);
    }

    /// The texts between two brackets.
    fn texts_in_list(&self, open: usize) -> Value {
        let texts = (open + 1..open + 100)
            .take_while(|it| !self.phrases.is_mark(*it, b']'))
            .filter_map(|it| match self.phrases.kind(it) {
                Some(TokenKind::Text(text, false)) => Some(Value::text(text.clone())),
                _ => None,
            });
        Value::list(texts.collect())
    }

    /// `[…].each { |x| … }`, `list.each do |x|`
    fn each(&mut self, at: usize, name: &str) {
        if name != "each" && !name.ends_with(".each") {
            return;
        }
        let bar = at + 2;
        if !self.phrases.is_mark(bar, b'|') {
            return;
        }
        let Some(variable) = self.phrases.name_at(bar + 1).map(<[u8]>::to_vec) else { return };
        let value = match name.strip_suffix(".each") {
            Some(list) => self.phrases.variables.get(list.as_bytes()).cloned().unwrap_or_default(),
            None => {
                let open = (at.saturating_sub(100)..at)
                    .rev()
                    .find(|it| self.phrases.is_mark(*it, b'['))
                    .unwrap_or(at);
                self.phrases.value(open, 0).0
            }
        };
        self.one_of(variable, value);
    }

    fn one_of(&mut self, variable: Vec<u8>, value: Value) {
        if matches!(value.kind, Kind::List(_) | Kind::Text(_)) && value.weight() < 100 {
            self.phrases.variables.insert(variable, value);
        }
    }

    /// `finddepth(sub { unlink … }, '/home')`
    fn found_files(&mut self, at: usize, name: &str) {
        let finds = matches!(name, "find" | "finddepth" | "File::Find::find");
        if !finds || self.phrases.language != Language::Perl || !self.phrases.is_mark(at + 1, b'(')
        {
            return;
        }
        let end = (at..at + 60)
            .find(|it| self.phrases.is_mark(*it, b';') || self.phrases.kind(*it).is_none())
            .unwrap_or(at + 60);
        let deletes =
            (at..end).any(|it| matches!(self.phrases.name_at(it), Some(b"unlink" | b"rmdir")));
        if !deletes {
            return;
        }
        let range = self.phrases.range(at, end);
        for it in at..end {
            if let Some(TokenKind::Text(..) | TokenKind::Variable(_)) = self.phrases.kind(it) {
                let place = self.phrases.value(it, 0).0;
                if place.as_text().is_some_and(|text| text.starts_with(b"/") || text == b"~") {
                    self.gather.path(EffectKind::Delete, &place, Qualities::RECURSIVE, range);
                }
            }
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
        // `fork while fork`, `fork while 1`
        let after = self.phrases.name_at(at + 1) == Some(b"while");
        if after || at < self.endless_until {
            let range = self.phrases.range(at, at + 1);
            self.gather.bomb(range);
        }
    }

    fn call(&mut self, at: usize, name: &str, member: bool) {
        let language = self.phrases.language;
        self.handed_on(at, name);
        // `IO::Socket::INET->new`, `TCPSocket.new`: the class tells.
        let plain =
            name.trim_end_matches("::new").trim_end_matches(".new").trim_end_matches(".open");
        let Some(meaning) = meaning(language, name).or_else(|| meaning(language, plain)) else {
            return;
        };
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

    /// `array_map("unlink", glob("/etc/*"))`: a function that is named in a text.
    fn handed_on(&mut self, at: usize, name: &str) {
        let function = match name {
            "array_map" | "call_user_func" | "call_user_func_array" => 0,
            "array_walk" | "array_filter" => 1,
            _ => return,
        };
        let mut arguments = self.phrases.arguments(at + 1, 0);
        if self.phrases.language != Language::Php || arguments.values.len() <= function {
            return;
        }
        let called =
            String::from_utf8_lossy(&arguments.values.remove(function).to_text()).into_owned();
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
            _ => self.gather.program(&Value::list(values), range),
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

    /// awk: `"command" | getline`
    fn awk_text(&mut self, at: usize) {
        // A text inside a joined one was seen from its beginning.
        if at > 0 && matches!(self.phrases.kind(at - 1), Some(TokenKind::Text(..))) {
            return;
        }
        let (value, end) = self.phrases.value(at, 0);
        let mut next = end;
        while self.phrases.is_mark(next, b')') || self.phrases.is_mark(next, b'&') {
            next += 1;
        }
        let range = self.phrases.range(at, end);
        let text = value.to_text();
        if text.starts_with(b"/inet") {
            let host = String::from_utf8_lossy(&text).into_owned();
            self.gather.connected(host, range);
            return;
        }
        let piped = self.phrases.is_mark(next, b'|')
            && matches!(
                self.phrases.name_at(next + 1).or(self.phrases.name_at(next + 2)),
                Some(b"getline")
            );
        if piped {
            self.gather.shell(&value, range);
        }
    }

    /// awk: `print | "command"`, `print > "file"`
    fn awk_redirect(&mut self, at: usize, range: SourceRange) {
        let mut next = at + 1;
        let appends = self.phrases.is_mark(next, b'>');
        while self.phrases.is_mark(next, b'&')
            || self.phrases.is_mark(next, b'>')
            || self.phrases.is_mark(next, b'(')
        {
            next += 1;
        }
        let known = matches!(self.phrases.kind(next), Some(TokenKind::Text(..)))
            || self
                .phrases
                .name_at(next)
                .is_some_and(|name| self.phrases.variables.contains_key(name));
        if !known {
            // Commands from a connection, `while ((s |& getline c) > 0)`, have no text.
            let co_process = self.phrases.is_mark(at + 1, b'&');
            let read = self.phrases.name_at(next) == Some(b"getline");
            if co_process
                && read
                && at > 0
                && !matches!(self.phrases.kind(at - 1), Some(TokenKind::Text(..)))
            {
                let variable = self.phrases.name_at(at - 1).map(<[u8]>::to_vec).unwrap_or_default();
                let from = self.phrases.variables.get(&variable).cloned().unwrap_or_default();
                let target = self.phrases.name_at(next + 1).map(<[u8]>::to_vec).unwrap_or_default();
                if from.to_text().starts_with(b"/inet") {
                    self.phrases.variables.insert(target, Value::unknown(Origin::NETWORK));
                } else {
                    self.gather.shell(&from, range);
                }
            }
            return;
        }
        let (value, end) = self.phrases.value(next, 0);
        let range = range.join(self.phrases.range(next, end));
        if self.phrases.is_mark(at, b'|') {
            if !value.to_text().starts_with(b"/inet") {
                self.gather.shell(&value, range);
            }
        } else {
            let kind = if appends { EffectKind::Write } else { EffectKind::Overwrite };
            self.gather.path(kind, &value, Qualities::NONE, range);
        }
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

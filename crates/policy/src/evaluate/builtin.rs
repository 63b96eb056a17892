//! The shell's own commands.

use std::rc::Rc;

use super::Evaluator;
use super::environment::Content;
use super::expand::Field;
use super::pattern;
use super::value::{Taint, Value};
use crate::effect::{EffectKind, Qualities, Target};
use crate::source_range::SourceRange;

impl Evaluator<'_> {
    /// Runs the builtin of that name; false if there is none.
    pub(super) fn builtin(&mut self, name: &[u8], arguments: &[Field], range: SourceRange) -> bool {
        match name {
            b":" | b"true" => self.status = Some(true),
            b"false" => self.status = Some(false),
            b"[" | b"test" => {
                let mut values: Vec<Value> =
                    arguments.iter().map(|field| field.value.clone()).collect();
                if name == b"[" {
                    values.pop();
                }
                // `test -v 'a[$(command)]'` expands the subscript.
                if values.iter().any(|value| value.text == b"-v") {
                    for value in &values {
                        self.subscript(&value.text);
                    }
                }
                self.status = self.tested(&values);
            }
            b"cd" | b"pushd" => self.change_directory(arguments),
            b"popd" => self.environment.directory = self.environment.previous_directory.clone(),
            b"eval" => {
                let code = joined(arguments);
                self.run_code(&code, span(arguments, range));
            }
            b"source" | b"." => self.source(arguments, range),
            b"exec" => {
                let options = super::call::Options::read(arguments, "a", &[], true);
                let rest: Vec<Field> =
                    options.operands.iter().map(|field| (*field).clone()).collect();
                if options.value("a").is_some_and(|name| name.text().starts_with(b"[")) {
                    self.emit(
                        EffectKind::Conceal,
                        Target::Name("a process' name".into()),
                        Qualities::NONE,
                        range,
                    );
                }
                let is_shell = matches!(rest.as_slice(), [shell] if matches!(shell.text(), b"sh" | b"bash" | b"/bin/sh" | b"/bin/bash"));
                if is_shell && self.origin.is_some() && self.stdin.is_none() && !self.on_network {
                    self.emit(
                        EffectKind::ShellEscape,
                        Target::Name("exec".into()),
                        Qualities::NONE,
                        range,
                    );
                }
                self.dispatch(rest);
            }
            b"command" | b"builtin" => {
                let options = super::call::Options::read(arguments, "", &[], true);
                let only_shows = options.has("v|V");
                let rest: Vec<Field> = options.operands.into_iter().cloned().collect();
                if only_shows {
                    if let Some(first) = rest.first() {
                        let mut path = Value::known("/usr/bin/");
                        path.push_value(&first.value);
                        path.push(b"\n");
                        self.write(&path);
                    }
                } else {
                    self.without_functions(rest);
                }
            }
            b"export" | b"declare" | b"typeset" | b"local" | b"readonly" => {
                self.declare(arguments, range)
            }
            b"unset" => self.unset(arguments, range),
            b"set" => self.set_options(arguments, range),
            b"shift" => {
                let count = arguments
                    .first()
                    .and_then(|f| std::str::from_utf8(f.text()).ok()?.parse().ok())
                    .unwrap_or(1);
                let most = self.environment.positional.len();
                self.environment.positional.drain(..most.min(count));
            }
            b"alias" => self.alias(arguments),
            b"unalias" => {
                for field in arguments {
                    self.environment.aliases.remove(field.text());
                }
            }
            b"read" | b"mapfile" | b"readarray" => {
                for field in arguments {
                    self.subscript(field.text());
                }
                self.read(name, arguments, range);
            }
            b"trap" => {
                self.trap(arguments, range);
                self.note_builtin(name, arguments, range);
            }
            b"let" => {
                for field in arguments {
                    self.subscript(field.text());
                    super::arithmetic::evaluate(self, field.text(), 0);
                }
            }
            b"hash" => self.hash(arguments),
            b"compgen" | b"complete" | b"history" => {
                let options = super::call::Options::read(arguments, "CWFAGPSX", &[], false);
                if let Some(code) = options.value("C").cloned().filter(|_| name != b"history") {
                    self.captured(|evaluator| evaluator.run_code(&code.value, code.range));
                } else if name == b"history" && options.has("s") {
                    let code = joined(
                        &options.operands.iter().map(|field| (*field).clone()).collect::<Vec<_>>(),
                    );
                    self.captured(|evaluator| evaluator.run_code(&code, range));
                }
                if let Some(words) = options.value("W").cloned() {
                    let word = crate::syntax::parse_document(words.text());
                    self.captured(|evaluator| {
                        evaluator.document(&word.parts);
                    });
                }
                self.note_builtin(name, arguments, range);
            }
            b"enable" => {
                let options = super::call::Options::read(arguments, "f", &[], false);
                if let Some(library) = options.value("f").filter(|f| f.text().contains(&b'/')) {
                    let target = Target::Name(library.value.lossy());
                    self.emit(EffectKind::Inject, target, Qualities::NONE, library.range);
                }
                self.note_builtin(name, arguments, range);
            }
            b"fc" | b"bind" => {
                let options = super::call::Options::read(arguments, "ex", &[], false);
                if let Some(code) = options.value("e|x").cloned() {
                    // `"\C-a": command`
                    let text = code.text();
                    let at = text.windows(2).position(|two| two == b"\":").map_or(0, |at| at + 2);
                    let code = super::call::cut(&code, at);
                    self.captured(|evaluator| evaluator.run_code(&code.value, code.range));
                }
                self.note_builtin(name, arguments, range);
            }
            b"getopts" => {
                // The last argument is what an option may be given.
                if let [_, _, .., value] = arguments {
                    self.environment.set(b"OPTARG", Content::Scalar(value.value.clone()), false);
                }
                self.note_builtin(name, arguments, range);
            }
            b"ulimit" | b"umask" | b"wait" | b"jobs" | b"disown" | b"bg" | b"return" | b"exit"
            | b"break" | b"continue" | b"times" | b"shopt" | b"logout" | b"suspend" | b"dirs"
            | b"help" | b"caller" => self.note_builtin(name, arguments, range),
            _ => return false,
        }
        true
    }

    /// What `[ … ]` answers; nothing when there is too much to compare.
    pub(super) fn tested(&mut self, values: &[Value]) -> Option<bool> {
        let cost = match values {
            [left, _, right] => pattern::cost(&right.text, &left.text),
            _ => 0,
        };
        if self.work.spend(cost) { test(values) } else { None }
    }

    /// Builtins are rules' business, too: `history -c`, `ulimit -u unlimited`.
    fn note_builtin(&mut self, name: &[u8], arguments: &[Field], range: SourceRange) {
        self.note_call(super::Call {
            name: String::from_utf8_lossy(name).into_owned(),
            arguments: arguments.to_vec(),
            qualities: self.qualities,
            range: span(arguments, range),
            name_range: range,
        });
    }

    fn without_functions(&mut self, fields: Vec<Field>) {
        let functions = self.environment.functions.emptied();
        self.dispatch(fields);
        let defined = std::mem::replace(&mut self.environment.functions, functions);
        let defined = defined.iter().map(|(name, body)| (name.clone(), Rc::clone(body)));
        self.environment.functions.extend(defined);
    }

    fn change_directory(&mut self, arguments: &[Field]) {
        self.copied(4 * self.environment.directory.text.len() + self.files.links());
        let options = super::call::Options::read(arguments, "", &[], false);
        let target = match options.operands.first() {
            None => Value::known(self.context.home.clone()),
            Some(field) if field.text() == b"-" => match self.content(b"OLDPWD") {
                Some(Content::Scalar(set)) => set,
                _ => self.environment.previous_directory.clone(),
            },
            Some(field)
                if self.environment.get(b"CDPATH", 0).is_some()
                    && !field.text().starts_with(b"/") =>
            {
                let mut path = self.scalar(b"CDPATH").unwrap_or_default();
                path.push(b"/");
                path.push_value(&field.value);
                path
            }
            Some(field) => field.value.clone(),
        };
        let resolved = self.resolve(&target);
        let before = std::mem::replace(&mut self.environment.directory, resolved);
        self.environment.previous_directory = before;
        self.status = Some(true);
    }

    fn source(&mut self, arguments: &[Field], range: SourceRange) {
        let mut arguments = arguments.iter();
        let Some(file) = arguments.next() else { return };
        let content = self.read_file(&file.value, file.range);
        self.run_code(&content, span(std::slice::from_ref(file), range));
    }

    fn declare(&mut self, arguments: &[Field], range: SourceRange) {
        let mut reference = false;
        for field in arguments {
            let text = field.text();
            self.subscript(text);
            if let Some(letters) = text.strip_prefix(b"-") {
                reference |= letters.contains(&b'n');
                if letters.contains(&b'f') || letters == b"p" {
                    let output = Value::unknown(Taint::ENVIRONMENT);
                    self.write(&output);
                }
                continue;
            }
            let Some(at) = text.iter().position(|byte| *byte == b'=') else { continue };
            let (name, value) =
                (text.get(..at).unwrap_or_default(), text.get(at + 1..).unwrap_or_default());
            let (name, append) = match name.strip_suffix(b"+") {
                Some(name) => (name, true),
                None => (name, false),
            };
            let mut value = Value::new(value.to_vec(), field.value.taint);
            if reference {
                let in_branch = self.in_branch();
                self.environment.set(name, Content::Reference(value.text), in_branch);
                continue;
            }
            if append {
                let mut before = self.scalar(name).unwrap_or_default();
                before.push_value(&value);
                value = before;
            }
            self.meaningful_variable(name, &value, field.range);
            self.assign_scalar(name, value);
        }
        self.note_builtin(b"export", arguments, range);
    }

    fn unset(&mut self, arguments: &[Field], range: SourceRange) {
        for field in arguments {
            if matches!(field.text(), b"HISTFILE" | b"HISTSIZE" | b"PROMPT_COMMAND") {
                self.emit(
                    EffectKind::Conceal,
                    Target::Name("history".into()),
                    Qualities::NONE,
                    range,
                );
            }
            self.subscript(field.text());
            self.environment.unset(field.text());
            self.environment.functions.remove(field.text());
        }
    }

    fn set_options(&mut self, arguments: &[Field], range: SourceRange) {
        let operands = match arguments.iter().position(|field| field.text() == b"--") {
            Some(at) => arguments.get(at + 1..),
            None => {
                let first = arguments.iter().position(|field| {
                    !field.text().starts_with(b"-") && !field.text().starts_with(b"+")
                });
                let named = arguments.iter().any(|field| matches!(field.text(), b"-o" | b"+o"));
                if named { None } else { first.and_then(|at| arguments.get(at..)) }
            }
        };
        if let Some(operands) = operands {
            self.environment.positional =
                operands.iter().map(|field| field.value.clone()).collect();
            self.environment.positional_unknown = false;
        }
        self.note_builtin(b"set", arguments, range);
    }

    fn alias(&mut self, arguments: &[Field]) {
        for field in arguments {
            let text = field.text();
            if let Some(at) = text.iter().position(|byte| *byte == b'=') {
                let (name, value) =
                    (text.get(..at).unwrap_or_default(), text.get(at + 1..).unwrap_or_default());
                self.environment.aliases.insert(name.to_vec(), value.to_vec());
            }
        }
    }

    fn read(&mut self, name: &[u8], arguments: &[Field], range: SourceRange) {
        let letters = if name == b"read" { "dinNptua" } else { "dnOsuCc" };
        let options = super::call::Options::read(arguments, letters, &[], false);
        if let (Some(code), false) = (options.value("C").cloned(), name == b"read") {
            self.captured(|evaluator| evaluator.run_code(&code.value, code.range));
        }
        let names: Vec<Vec<u8>> =
            options.operands.iter().map(|field| field.text().to_vec()).collect();
        let array = options.value("a").map(|field| field.text().to_vec());
        if let Some(number) =
            options.value("u").and_then(|f| std::str::from_utf8(f.text()).ok()?.parse::<u32>().ok())
            && self.sockets.contains_key(&number)
        {
            self.stdin = Some(Value::unknown(Taint::NETWORK.with(Taint::STRANGER)));
        }
        let in_branch = self.in_branch();
        if name != b"read" {
            let input = self.take_stdin();
            let name = names.last().cloned().unwrap_or_else(|| b"MAPFILE".to_vec());
            let strips = options.has("t");
            let end = options.value("d").and_then(|field| field.text().first()).copied();
            let end = end.unwrap_or(b'\n');
            let lines = input.text.split_inclusive(|byte| *byte == end).take(256).map(|line| {
                let line = if strips { line.strip_suffix(&[end]).unwrap_or(line) } else { line };
                Value::new(line.to_vec(), input.taint)
            });
            let array = (0..).zip(lines).collect();
            self.environment.set(&name, Content::Array(array), in_branch);
            return;
        }
        let delimiter =
            options.value("d").map_or(b'\n', |field| field.text().first().copied().unwrap_or(0));
        self.copied(self.stdin.as_ref().map_or(0, |input| input.text.len() / 64));
        let line = match &mut self.stdin {
            None => Value::unknown(Taint::TYPED),
            Some(input) if input.text.is_empty() => {
                self.status = Some(false);
                Value::default()
            }
            Some(input) if input.is_wholly_unknown() => {
                let line = input.clone();
                self.status = None;
                if line.taint.has(Taint::FILE) { line.tainted(Taint::EACH) } else { line }
            }
            Some(input) => {
                let end = input.text.iter().position(|byte| *byte == delimiter);
                let line =
                    input.text.get(..end.unwrap_or(input.text.len())).unwrap_or_default().to_vec();
                let rest =
                    end.and_then(|end| input.text.get(end + 1..)).unwrap_or_default().to_vec();
                input.text = rest;
                self.status = Some(true);
                Value::new(line, input.taint)
            }
        };
        let _ = range;
        let separators = self.separators();
        let is_space = |byte: &u8| separators.contains(byte);
        if let Some(array) = array {
            let parts = line.text.split(is_space).filter(|part| !part.is_empty());
            let values = parts.map(|part| Value::new(part.to_vec(), line.taint));
            let content = Content::Array((0..).zip(values).collect());
            self.environment.set(&array, content, in_branch);
            return;
        }
        let names = if names.is_empty() { vec![b"REPLY".to_vec()] } else { names };
        let last = names.len() - 1;
        let mut rest = line.text.as_slice();
        for (index, name) in names.iter().enumerate() {
            while let Some((byte, after)) = rest.split_first() {
                if !is_space(byte) {
                    break;
                }
                rest = after;
            }
            let end = match index == last {
                true => rest.len() - rest.iter().rev().take_while(|byte| is_space(byte)).count(),
                false => rest.iter().position(is_space).unwrap_or(rest.len()),
            };
            let text = rest.get(..end).unwrap_or_default().to_vec();
            rest = rest.get(end..).unwrap_or_default();
            let text =
                if text.is_empty() && line.is_wholly_unknown() { line.text.clone() } else { text };
            let value = Value::new(text, line.taint);
            self.environment.set(name, Content::Scalar(value), false);
        }
    }

    fn trap(&mut self, arguments: &[Field], range: SourceRange) {
        let options = super::call::Options::read(arguments, "", &[], true);
        if options.has("l|p") || options.operands.len() < 2 {
            return;
        }
        if let Some(code) = options.operands.first().map(|field| field.value.clone())
            && code.text != b"-"
        {
            self.traps.push((code.clone(), span(arguments, range)));
            let calls = self.found.calls.len();
            self.captured(|evaluator| evaluator.run_code(&code, span(arguments, range)));
            let started = self.found.calls.get(calls..).unwrap_or_default();
            let detached = |call: &super::Call| call.qualities.has(Qualities::DETACHED);
            if !self.qualities.has(Qualities::DETACHED) && started.iter().any(detached) {
                // It cleans nothing up: it goes on when the shell has ended.
                let target = Target::Name("a trap".into());
                self.emit(EffectKind::Persist, target, Qualities::NONE, span(arguments, range));
            }
        }
    }

    /// A subscript is expanded when it is used, also one that comes out of a variable.
    pub(crate) fn subscript(&mut self, text: &[u8]) {
        if text.windows(3).any(|window| window == b"[$(")
            || text.windows(2).any(|window| window == b"[`")
        {
            let word = crate::syntax::parse_document(text);
            self.captured(|evaluator| {
                evaluator.document(&word.parts);
            });
        }
    }

    fn hash(&mut self, arguments: &[Field]) {
        let options = super::call::Options::read(arguments, "p", &[], false);
        if let (Some(path), Some(name)) = (options.value("p"), options.operands.first()) {
            self.environment.aliases.insert(name.text().to_vec(), path.text().to_vec());
        }
    }
}

/// The arguments as eval joins them.
pub(crate) fn joined(arguments: &[Field]) -> Value {
    let mut code = Value::default();
    for (index, field) in arguments.iter().enumerate() {
        if index > 0 {
            code.push(b" ");
        }
        code.push_value(&field.value);
    }
    code
}

/// Where arguments stand.
pub(crate) fn span(arguments: &[Field], otherwise: SourceRange) -> SourceRange {
    arguments.iter().map(|field| field.range).reduce(SourceRange::join).unwrap_or(otherwise)
}

/// What `[ … ]` answers, if everything in it is known and asks no file.
fn test(values: &[Value]) -> Option<bool> {
    if values.iter().any(|value| !value.is_known()) {
        return None;
    }
    let texts: Vec<&[u8]> = values.iter().map(|value| value.text.as_slice()).collect();
    let number = |text: &[u8]| std::str::from_utf8(text).ok()?.trim().parse::<i64>().ok();
    match texts.as_slice() {
        [] => Some(false),
        [b"!", rest @ ..] => {
            let rest: Vec<Value> = rest.iter().map(|text| Value::known(*text)).collect();
            // Each step takes one away: it ends.
            (rest.len() < 4).then(|| test(&rest))?.map(|answer| !answer)
        }
        [text] => Some(!text.is_empty()),
        [b"-n", text] => Some(!text.is_empty()),
        [b"-z", text] => Some(text.is_empty()),
        [left, b"=" | b"==", right] => Some(pattern::matches(right, left)),
        [left, b"!=", right] => Some(!pattern::matches(right, left)),
        [left, operator, right] => {
            let (left, right) = (number(left)?, number(right)?);
            match *operator {
                b"-eq" => Some(left == right),
                b"-ne" => Some(left != right),
                b"-lt" => Some(left < right),
                b"-le" => Some(left <= right),
                b"-gt" => Some(left > right),
                b"-ge" => Some(left >= right),
                _ => None,
            }
        }
        _ => None,
    }
}

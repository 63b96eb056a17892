//! Assignments, and variables that mean something to programs.

use std::collections::BTreeMap;

use super::Evaluator;
use super::environment::Content;
use super::programs::{Shell, shell_in};
use super::value::Value;
use crate::effect::{EffectKind, Qualities, Target};
use crate::source_range::SourceRange;
use crate::syntax::tree::{AssignedValue, Assignment, Part, Word};

impl Evaluator<'_> {
    pub(super) fn assign(&mut self, assignment: &Assignment) {
        self.copied(super::AN_EFFECT);
        let in_branch = self.in_branch();
        match &assignment.value {
            AssignedValue::Scalar(word) => {
                if self.environment.get(&assignment.name, 0).is_none()
                    && mentions(word, &assignment.name)
                    && self.usual(&assignment.name).is_none()
                {
                    // `x=$x$y`: what was not set before is empty.
                    self.environment.set(
                        &assignment.name,
                        Content::Scalar(Value::default()),
                        false,
                    );
                }
                let mut value = self.text(word);
                if assignment.append {
                    let mut before = self.scalar(&assignment.name).unwrap_or_default();
                    before.push_value(&value);
                    value = before;
                }
                self.copied(value.text.len());
                match &assignment.index {
                    Some(index) => self.assign_element(&assignment.name, index, value),
                    None => self.assign_scalar(&assignment.name, value),
                }
            }
            AssignedValue::Array(elements) => {
                let mut values: Vec<Value> =
                    match (assignment.append, self.content(&assignment.name)) {
                        (true, Some(content)) => content.values(),
                        _ => Vec::new(),
                    };
                self.copied(values.len() * 64);
                let mut map = BTreeMap::new();
                for (index, word) in elements {
                    match index {
                        Some(index) => {
                            let key = self.text(index);
                            let value = self.text(word);
                            map.insert(key.text, value);
                        }
                        None => {
                            values.extend(self.fields(word).into_iter().map(|field| field.value))
                        }
                    }
                }
                let numbered =
                    map.keys().all(|key| key.iter().all(u8::is_ascii_digit) && !key.is_empty());
                let content = if map.is_empty() || numbered {
                    let mut array: BTreeMap<i64, Value> = (0..).zip(values).collect();
                    for (key, value) in map {
                        let number = String::from_utf8_lossy(&key).parse().unwrap_or(0);
                        array.insert(number, value);
                    }
                    Content::Array(array)
                } else {
                    Content::Map(map)
                };
                self.environment.set(&assignment.name, content, in_branch);
            }
        }
    }

    /// Sets a variable, through the reference that it may be.
    pub(crate) fn assign_scalar(&mut self, name: &[u8], value: Value) {
        let in_branch = self.in_branch();
        if let Some(Content::Reference(target)) = self.environment.get(name, 0).cloned() {
            self.environment.set(&target, Content::Scalar(value), in_branch);
            return;
        }
        self.environment.set(name, Content::Scalar(value), in_branch);
    }

    fn assign_element(&mut self, name: &[u8], index: &Word, value: Value) {
        let key = self.text(index);
        if name == b"BASH_ALIASES" {
            self.environment.aliases.insert(key.text, value.text);
            return;
        }
        let number = self.number(index);
        match (self.environment.get_mut(name), number) {
            (Some(Content::Map(map)), _) => {
                map.insert(key.text, value);
            }
            (Some(Content::Array(array)), Some(number)) => {
                array.insert(number, value);
            }
            (_, Some(number)) => {
                self.environment.set(
                    name,
                    Content::Array(BTreeMap::from([(number, value)])),
                    false,
                );
            }
            (_, None) => {
                self.environment.set(
                    name,
                    Content::Map(BTreeMap::from([(key.text, value)])),
                    false,
                );
            }
        }
    }

    /// Variables before a command that change what the command does.
    pub(super) fn judge_variable(&mut self, assignment: &Assignment) {
        let value = match &assignment.value {
            AssignedValue::Scalar(word) => self.text(word),
            AssignedValue::Array(_) => return,
        };
        let range = self.place(assignment.range);
        self.meaningful_variable(&assignment.name, &value, range);
    }

    /// What a variable of the environment makes programs do.
    pub(crate) fn meaningful_variable(&mut self, name: &[u8], value: &Value, range: SourceRange) {
        if value.text.starts_with(b"() {") {
            // A function that an old bash takes over, with what follows it.
            let mut code = value.clone();
            code.text = [b"f", value.text.as_slice()].concat();
            self.captured_code(&code, range);
        }
        self.command_in_variable(name, value, range);
        match name {
            b"PYTHONSTARTUP" if !value.is_empty() => {
                let content = self.read_file(value, range);
                self.run_script(crate::script::Language::Python, &content, range, false);
            }
            b"PERL5OPT" | b"RUBYOPT" | b"NODE_OPTIONS" | b"JAVA_TOOL_OPTIONS"
            | b"JDK_JAVA_OPTIONS" | b"_JAVA_OPTIONS" | b"PYTHONWARNINGS" => {
                self.loaded_code(value, range);
                self.guess_from(&value.text, range);
            }
            b"GCONV_PATH" | b"GIT_EXEC_PATH" | b"OPENSSL_CONF" | b"OPENSSL_ENGINES" => {
                self.loaded_code(value, range);
            }
            b"LD_PRELOAD" | b"LD_AUDIT" | b"DYLD_INSERT_LIBRARIES" if !value.is_empty() => {
                let target = Target::Name(value.lossy());
                self.emit(EffectKind::Inject, target, Qualities::NONE, range);
            }
            b"PROMPT_COMMAND"
            | b"PS0"
            | b"PAGER"
            | b"MANPAGER"
            | b"GIT_PAGER"
            | b"EDITOR"
            | b"VISUAL"
            | b"GIT_EDITOR"
            | b"GIT_SSH_COMMAND"
            | b"GIT_EXTERNAL_DIFF"
            | b"GIT_SEQUENCE_EDITOR"
            | b"BROWSER"
            | b"LESSOPEN"
            | b"SUDO_EDITOR"
            | b"PERL5DB" => {
                if matches!(shell_in(&value.text), Some(Shell::Bare)) {
                    self.shell_started(&String::from_utf8_lossy(name), range);
                }
                self.named_credentials(&value.text, range);
                self.captured_code(value, range);
            }
            // Prompts are expanded like a text in double quotes.
            b"PS1" | b"PS4" | b"PS2"
                if value.text.iter().any(|byte| matches!(byte, b'$' | b'`')) =>
            {
                let word = crate::syntax::parse_document(&value.text);
                self.captured(|evaluator| {
                    evaluator.document(&word.parts);
                });
            }
            b"BASH_ENV" | b"ENV" if !value.is_empty() => {
                let content = self.read_file(value, range);
                self.captured_code(&content, range);
            }
            b"HISTFILE" | b"HISTSIZE" | b"HISTFILESIZE"
                if matches!(value.text.as_slice(), b"" | b"/dev/null" | b"0") =>
            {
                self.emit(
                    EffectKind::Conceal,
                    Target::Name("history".into()),
                    Qualities::NONE,
                    range,
                );
            }
            b"HISTCONTROL" | b"HISTIGNORE" if self.keeps_history_from(name, &value.text) => {
                self.emit(
                    EffectKind::Conceal,
                    Target::Name("history".into()),
                    Qualities::NONE,
                    range,
                );
            }
            _ => {}
        }
        if name == b"PROMPT_COMMAND" && tells_of_commands(&value.text) {
            let target = Target::Name("what somebody types".into());
            self.emit(EffectKind::Secret, target, Qualities::NONE, range);
        }
    }

    /// Whether a setting of the history leaves out what comes next. In a start-up file it is
    /// somebody's habit; among commands it is there for those that follow.
    fn keeps_history_from(&self, name: &[u8], value: &[u8]) -> bool {
        let mut items = value.split(|byte| *byte == b':');
        match name {
            b"HISTIGNORE" => items.any(|item| matches!(item, b"*" | b"?*")),
            _ => {
                !self.qualities.has(Qualities::DETACHED)
                    && items
                        .any(|item| matches!(item, b"ignorespace" | b"ignoreboth" | b"ignoreall"))
            }
        }
    }
}

/// Whether a prompt hands on what was typed before it: to a log, a file or another machine.
fn tells_of_commands(code: &[u8]) -> bool {
    let has = |part: &[u8]| code.windows(part.len()).any(|window| window == part);
    let commands = has(b"history") || has(b"BASH_COMMAND") || has(b"fc -");
    commands
        && [
            &b"tee "[..],
            b"logger",
            b"nc ",
            b"ncat ",
            b"curl ",
            b"/dev/tcp",
            b"/dev/udp",
            b">>",
            b"mail ",
        ]
        .iter()
        .any(|part| has(part))
}

impl Evaluator<'_> {
    /// A variable that names what a program starts, or a file that does.
    fn command_in_variable(&mut self, name: &[u8], value: &Value, range: SourceRange) {
        let told = String::from_utf8_lossy(name);
        // `LESSOPEN='|command %s'`
        let text = value.text.trim_ascii_start();
        let text = text.strip_prefix(b"|").unwrap_or(text).trim_ascii_start();
        let program = text.split(u8::is_ascii_whitespace).next().unwrap_or_default();
        let resolved = self.resolve(&Value::known(program));
        if let Some(content) = self.files.read(&resolved.text).filter(|_| !program.is_empty()) {
            let body = content.text.split(|byte| *byte == b'\n');
            if body
                .filter(|line| !line.starts_with(b"#"))
                .any(|line| matches!(shell_in(line), Some(Shell::Bare)))
            {
                self.shell_started(&told, range);
            }
            return;
        }
        let suffixes: [&[u8]; 4] = [b"_COMMAND", b"PAGER", b"_WRAPPER", b"_LAUNCHER"];
        if !suffixes.iter().any(|suffix| name.ends_with(suffix))
            && !matches!(name, b"LESSOPEN" | b"LESSCLOSE" | b"GIT_EXTERNAL_DIFF")
        {
            return;
        }
        let starts_shell = match shell_in(text) {
            Some(Shell::Bare) => true,
            // `sh -c '/bin/sh'`
            Some(Shell::WithCode(_)) => text
                .windows(3)
                .position(|part| part == b" -c")
                .and_then(|at| text.get(at..))
                .is_some_and(|code| shell_in(code).is_some()),
            None => false,
        };
        let step = program.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let destroys = matches!(step, b"rm" | b"shred" | b"dd" | b"unlink" | b"wipefs");
        if starts_shell || destroys || in_public_folder(program) {
            self.shell_started(&told, range);
        }
    }

    /// Code that a variable makes a program load, from where everybody may write.
    fn loaded_code(&mut self, value: &Value, range: SourceRange) {
        let is_end = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b':' | b'=' | b',');
        if let Some(path) = value.text.split(is_end).find(|part| in_public_folder(part)) {
            let target = Target::Name(String::from_utf8_lossy(path).into_owned());
            self.emit(EffectKind::Inject, target, Qualities::NONE, range);
        }
    }
}

/// Whether a path leads to a folder where everybody may write.
pub(super) fn in_public_folder(path: &[u8]) -> bool {
    [&b"/tmp/"[..], b"/var/tmp/", b"/dev/shm/"].iter().any(|folder| path.starts_with(folder))
}

/// Whether a word expands the variable `name`.
fn mentions(word: &Word, name: &[u8]) -> bool {
    word.parts.iter().any(|part| match part {
        Part::Parameter(parameter) => parameter.name == name,
        Part::DoubleQuoted(parts) => parts
            .iter()
            .any(|part| matches!(part, Part::Parameter(parameter) if parameter.name == name)),
        _ => false,
    })
}

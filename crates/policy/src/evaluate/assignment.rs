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
        match name {
            b"PYTHONSTARTUP" if !value.is_empty() => {
                let content = self.read_file(value, range);
                self.run_script(crate::script::Language::Python, &content, range, false);
            }
            b"PERL5OPT" | b"RUBYOPT" | b"NODE_OPTIONS" | b"JAVA_TOOL_OPTIONS"
            | b"_JAVA_OPTIONS" | b"PYTHONWARNINGS" => self.guess_from(&value.text, range),
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
                self.captured_code(value, range);
            }
            // `RESTIC_PASSWORD_COMMAND` and the like.
            _ if name.ends_with(b"_COMMAND")
                && matches!(shell_in(&value.text), Some(Shell::Bare)) =>
            {
                self.shell_started(&String::from_utf8_lossy(name), range);
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
            b"HISTCONTROL"
                if value.text == b"ignorespace:erasedups" || value.text == b"ignoreall" =>
            {
                self.emit(
                    EffectKind::Conceal,
                    Target::Name("history".into()),
                    Qualities::NONE,
                    range,
                );
            }
            _ => {}
        }
    }
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

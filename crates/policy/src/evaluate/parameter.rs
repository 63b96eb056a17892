//! Parameter expansion: `$x`, `${x…}` and their operators.

use super::Evaluator;
use super::arithmetic;
use super::environment::Content;
use super::pattern;
use super::value::{Taint, Value};
use crate::syntax::tree::{Parameter, ParameterOperator, ReplaceMode, Word};
use crate::work::Work;

impl Parameter {
    /// Whether the index between brackets is just `text`.
    pub(crate) fn index_is(&self, text: &[u8]) -> bool {
        self.index.as_ref().is_some_and(|index| index.is_literal(text))
    }

    fn is_list(&self) -> bool {
        matches!(self.name.as_slice(), b"@" | b"*") || self.index_is(b"@") || self.index_is(b"*")
    }
}

impl Evaluator<'_> {
    /// The texts of a parameter that stands for several: `$@`, `${a[@]}`, `${!x*}`. None if it
    /// stands for one.
    pub(crate) fn list_of(&mut self, parameter: &Parameter) -> Option<Vec<Value>> {
        if parameter.operator == ParameterOperator::Names {
            self.copied(self.environment.len() * super::A_FIELD);
            let names = self.environment.names(&parameter.name);
            return Some(names.into_iter().map(Value::known).collect());
        }
        if !parameter.is_list() || parameter.length {
            return None;
        }
        if parameter.indirect && parameter.index.is_some() {
            return Some(match self.content(&parameter.name) {
                Some(Content::Map(map)) => map.keys().cloned().map(Value::known).collect(),
                Some(Content::Array(array)) => {
                    array.keys().map(|key| Value::known(key.to_string())).collect()
                }
                _ => vec![Value::known("0")],
            });
        }
        let values = match parameter.name.as_slice() {
            // `${@:-x}` is x where nothing is given.
            b"@" | b"*"
                if self.environment.positional_unknown
                    && matches!(parameter.operator, ParameterOperator::Default { operator, .. } if operator != b'+') =>
            {
                return Some(self.default_list(parameter));
            }
            b"@" | b"*" if self.environment.positional_unknown => {
                return Some(vec![Value::unknown(Taint::ENVIRONMENT)]);
            }
            b"@" | b"*" => {
                self.copied(self.environment.weight());
                self.environment.positional.clone()
            }
            name => match self.content(name) {
                Some(content) => content.values(),
                None => return Some(self.default_list(parameter)),
            },
        };
        if values.is_empty() {
            return Some(self.default_list(parameter));
        }
        if let ParameterOperator::Substring { offset, length } = &parameter.operator {
            // `${@:1}` counts parameters, of which `$0` is the first; `${a[@]:1}` elements.
            let first = i64::from(parameter.index.is_none());
            let offset = self.number(offset).unwrap_or(0) - first;
            let length = match length {
                Some(length) => self.number(length).and_then(|n| usize::try_from(n).ok()),
                None => Some(usize::MAX),
            };
            let start = if offset < 0 && first == 0 {
                values.len().saturating_sub(usize::try_from(-offset).unwrap_or(usize::MAX))
            } else {
                usize::try_from(offset).unwrap_or(0)
            };
            return Some(values.into_iter().skip(start).take(length.unwrap_or(0)).collect());
        }
        let operator = &parameter.operator;
        self.copied(values.len() * super::A_FIELD);
        Some(
            values
                .into_iter()
                .map(|value| self.operate(Some(value), operator, &parameter.name))
                .collect(),
        )
    }

    fn default_list(&mut self, parameter: &Parameter) -> Vec<Value> {
        match &parameter.operator {
            ParameterOperator::Default { operator: b'+', .. } | ParameterOperator::None => {
                Vec::new()
            }
            operator => {
                let value = self.operate(None, operator, &parameter.name);
                if value.is_empty() { Vec::new() } else { vec![value] }
            }
        }
    }

    /// The text of a parameter that stands for one.
    pub(crate) fn parameter(&mut self, parameter: &Parameter) -> Value {
        if parameter.length {
            return self.length(parameter);
        }
        let mut name = parameter.name.clone();
        let mut index = parameter.index.clone();
        if parameter.indirect {
            match self.lookup(&name, index.as_ref()) {
                Some(target) if target.is_known() => {
                    (name, index) = (target.text, None);
                    if let Some(open) = name.iter().position(|byte| *byte == b'[') {
                        let inner = name.get(open + 1..name.len() - 1).unwrap_or_default().to_vec();
                        name.truncate(open);
                        index = Some(Word::literal(inner));
                    }
                    if matches!(name.as_slice(), b"@" | b"*") {
                        let all = self.environment.positional.clone();
                        return self.join(&all);
                    }
                }
                Some(target) => return Value::unknown(target.taint.with(Taint::ASSEMBLED)),
                None => return Value::unknown(Taint::ENVIRONMENT),
            }
        }
        let found = self.lookup(&name, index.as_ref());
        self.operate(found, &parameter.operator, &name)
    }

    fn length(&mut self, parameter: &Parameter) -> Value {
        let number = match parameter.name.as_slice() {
            b"@" | b"*" => self.environment.positional.len(),
            name if parameter.is_list() => {
                self.content(name).map_or(0, |content| content.values().len())
            }
            name => match self.lookup(name, parameter.index.as_ref()) {
                Some(value) if value.is_known() => {
                    String::from_utf8_lossy(&value.text).chars().count()
                }
                Some(value) => return Value::unknown(value.taint),
                None => return Value::unknown(Taint::ENVIRONMENT),
            },
        };
        Value::known(number.to_string())
    }

    /// What a parameter holds; none if it is not set.
    fn lookup(&mut self, name: &[u8], index: Option<&Word>) -> Option<Value> {
        match index {
            Some(index) => self.element(name, index),
            None => self.scalar(name),
        }
    }

    fn element(&mut self, name: &[u8], index: &Word) -> Option<Value> {
        let Some(content) = self.content(name) else {
            // The subscript is expanded whatever the variable holds.
            self.number(index);
            return None;
        };
        match content {
            Content::Map(map) => {
                let key = self.text(index);
                map.get(&key.text).cloned()
            }
            Content::Array(array) => {
                let number = self.number(index)?;
                let number = if number < 0 { array.keys().last()? + 1 + number } else { number };
                array.get(&number).cloned()
            }
            Content::Scalar(value) => (self.number(index)? == 0).then_some(value),
            Content::Reference(_) => None,
        }
    }

    /// The number that a word stands for.
    pub(crate) fn number(&mut self, word: &Word) -> Option<i64> {
        let text = self.text(word);
        if !text.is_known() {
            return None;
        }
        arithmetic::evaluate(self, &text.text, 0)
    }

    /// What `name` holds, references followed.
    pub(crate) fn content(&mut self, name: &[u8]) -> Option<Content> {
        let mut name = name.to_vec();
        for _ in 0..4 {
            self.alternatives = self.alternatives.max(self.environment.alternatives(&name));
            match self.environment.get(&name, self.choice) {
                Some(Content::Reference(other)) => name = other.clone(),
                found => {
                    let found = found.cloned();
                    if let Some(content) = &found {
                        self.copied(super::A_FIELD + content.weight());
                    }
                    return found;
                }
            }
        }
        None
    }

    /// The text of a variable or special parameter; none if it is not set.
    pub(crate) fn scalar(&mut self, name: &[u8]) -> Option<Value> {
        match self.content(name) {
            Some(Content::Array(array)) => return array.get(&0).cloned(),
            Some(Content::Map(map)) => return map.get(b"0".as_slice()).cloned(),
            Some(Content::Scalar(value)) => return Some(value),
            Some(Content::Reference(_)) | None => {}
        }
        if let Some(number) =
            std::str::from_utf8(name).ok().and_then(|text| text.parse::<usize>().ok())
        {
            return match number.checked_sub(1) {
                None => Some(self.environment.zero.clone()),
                Some(index) => match self.environment.positional.get(index) {
                    Some(value) => Some(value.clone()),
                    // Few are called with many: `$9` is an old way to write nothing.
                    None if self.environment.positional_unknown && index < 6 => {
                        Some(Value::unknown(Taint::ENVIRONMENT))
                    }
                    None => Some(Value::default()),
                },
            };
        }
        self.usual(name)
    }

    /// What is set in nearly every shell, and where.
    pub(super) fn usual(&mut self, name: &[u8]) -> Option<Value> {
        let home =
            |below: &str| Value::known([self.context.home.as_slice(), below.as_bytes()].concat());
        Some(match name {
            b"HOME" => home(""),
            b"PWD" => return Some(self.environment.directory.clone()),
            b"OLDPWD" => return Some(self.environment.previous_directory.clone()),
            b"IFS" => Value::known(" \t\n"),
            b"PATH" => Value::known("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
            b"SHELL" | b"BASH" => Value::known("/bin/bash"),
            b"TMPDIR" | b"TMP" | b"TEMP" | b"RUNNER_TEMP" => Value::known("/tmp"),
            b"GITHUB_WORKSPACE"
            | b"CI_PROJECT_DIR"
            | b"WORKSPACE"
            | b"BUILDKITE_BUILD_CHECKOUT_PATH"
            | b"CIRCLE_WORKING_DIRECTORY"
            | b"TRAVIS_BUILD_DIR"
            | b"PROJECT_ROOT"
            | b"REPO_ROOT" => Value::known(self.context.workspace.clone()),
            b"XDG_CACHE_HOME" => home("/.cache"),
            b"XDG_CONFIG_HOME" => home("/.config"),
            b"XDG_DATA_HOME" => home("/.local/share"),
            b"XDG_STATE_HOME" => home("/.local/state"),
            b"CARGO_HOME" => home("/.cargo"),
            b"RUSTUP_HOME" => home("/.rustup"),
            b"GOPATH" => home("/go"),
            b"NVM_DIR" => home("/.nvm"),
            b"PYENV_ROOT" => home("/.pyenv"),
            // Root's name is that of a group, too, and who asks is no group.
            b"USER" | b"LOGNAME" if self.context.home == b"/root" => {
                Value::unknown(Taint::ENVIRONMENT)
            }
            b"USER" | b"LOGNAME" => {
                let start =
                    self.context.home.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
                Value::known(self.context.home.get(start..).unwrap_or_default())
            }
            b"LANG" | b"LC_ALL" => Value::known("en_US.UTF-8"),
            b"TERM" => Value::known("xterm-256color"),
            b"OSTYPE" => Value::known("linux-gnu"),
            b"HOSTTYPE" | b"MACHTYPE" => Value::known("x86_64"),
            b"BASH_VERSION" => Value::known("5.2.15(1)-release"),
            b"SHELLOPTS" => Value::known("braceexpand:hashall:interactive-comments"),
            b"BASHOPTS" => Value::known("checkwinsize:cmdhist:complete_fullquote:extquote"),
            b"-" => Value::known("hB"),
            b"?" => Value::known("0"),
            b"#" => {
                if self.environment.positional_unknown {
                    return Some(Value::unknown(Taint::ENVIRONMENT));
                }
                Value::known(self.environment.positional.len().to_string())
            }
            b"$" | b"!" | b"RANDOM" | b"SRANDOM" | b"SECONDS" | b"LINENO" | b"UID" | b"EUID"
            | b"PPID" | b"HOSTNAME" | b"BASHPID" | b"EPOCHSECONDS" => {
                Value::unknown(Taint::ENVIRONMENT)
            }
            b"_" => return Some(self.last_argument.clone()),
            _ => return None,
        })
    }

    fn operate(
        &mut self,
        found: Option<Value>,
        operator: &ParameterOperator,
        name: &[u8],
    ) -> Value {
        if let ParameterOperator::Default { operator, colon, word } = operator {
            let missing = match &found {
                None => true,
                Some(value) => *colon && value.is_empty(),
            };
            return match operator {
                b'+' if missing => self.text(word),
                b'+' => self.text(word),
                b'?' if missing => Value::unknown(Taint::ENVIRONMENT),
                b'=' | b'-' if missing => {
                    let value = self.text(word);
                    if *operator == b'=' {
                        let in_branch = self.in_branch();
                        self.environment.set(name, Content::Scalar(value.clone()), in_branch);
                    }
                    value
                }
                _ => found.unwrap_or_default(),
            };
        }
        let Some(value) = found else {
            let secret = if names_secret(name) { Taint::NAMED_SECRET } else { Taint::NONE };
            return Value::unknown(Taint::UNSET.with(Taint::ENVIRONMENT).with(secret));
        };
        self.changed(&value, operator)
    }

    fn changed(&mut self, value: &Value, operator: &ParameterOperator) -> Value {
        match operator {
            ParameterOperator::None
            | ParameterOperator::Default { .. }
            | ParameterOperator::Names => value.clone(),
            ParameterOperator::Unknown => Value::unknown(value.taint.with(Taint::ENVIRONMENT)),
            ParameterOperator::Substring { offset, length } => {
                let (offset, length) =
                    (self.number(offset), length.as_ref().map(|l| self.number(l)));
                substring(value, offset, length)
            }
            ParameterOperator::RemovePrefix { longest, pattern: word } => {
                let pattern = self.pattern(word);
                // Of a text whose start is known, that start can be taken off.
                match pattern::prefix(&pattern.text, &value.text, *longest, &mut self.work) {
                    Some(end) => cut(value, value.text.get(end..)),
                    None => value.clone(),
                }
            }
            ParameterOperator::RemoveSuffix { longest, pattern: word } => {
                let pattern = self.pattern(word);
                match pattern::suffix(&pattern.text, &value.text, *longest, &mut self.work) {
                    Some(start) => cut(value, value.text.get(..start)),
                    None => value.clone(),
                }
            }
            ParameterOperator::Replace { mode, pattern: word, replacement } => {
                let (pattern, with) = (self.pattern(word), self.text(replacement));
                let mut changed = value
                    .map(|text| replace(text, &pattern.text, &with.text, *mode, &mut self.work));
                changed.taint = changed.taint.with(with.taint).with(Taint::ASSEMBLED);
                changed
            }
            ParameterOperator::Case { operator, all, .. } => {
                value.map(|text| change_case(text, *operator, *all)).tainted(Taint::ASSEMBLED)
            }
            ParameterOperator::Transform(letter) => match letter {
                b'U' => value.map(|text| text.to_ascii_uppercase()),
                b'L' => value.map(|text| text.to_ascii_lowercase()),
                b'u' => value.map(|text| change_case(text, b'^', false)),
                b'E' => value.map(super::filters::text::unescape).tainted(Taint::ASSEMBLED),
                b'P' if value.is_known()
                    && value.text.iter().any(|byte| matches!(byte, b'$' | b'`')) =>
                {
                    let word = crate::syntax::parse_document(&value.text);
                    self.document(&word.parts)
                }
                b'P' if value.text.contains(&b'$') => Value::unknown(value.taint),
                _ => value.clone(),
            },
        }
    }
}

/// Whether a variable's name says that it holds a secret.
fn names_secret(name: &[u8]) -> bool {
    const WORDS: [&[u8]; 10] = [
        b"TOKEN",
        b"SECRET",
        b"PASSWORD",
        b"PASSWD",
        b"API_KEY",
        b"APIKEY",
        b"PRIVATE_KEY",
        b"ACCESS_KEY",
        b"CREDENTIAL",
        b"_PASS",
    ];
    let upper = name.to_ascii_uppercase();
    WORDS.iter().any(|word| upper.windows(word.len()).any(|window| window == *word))
}

fn cut(value: &Value, text: Option<&[u8]>) -> Value {
    Value::new(text.unwrap_or_default().to_vec(), value.taint)
}

fn substring(value: &Value, offset: Option<i64>, length: Option<Option<i64>>) -> Value {
    let (Some(offset), true) = (offset, value.is_known()) else {
        return Value::unknown(value.taint);
    };
    let total = i64::try_from(value.text.len()).unwrap_or(i64::MAX);
    let start = if offset < 0 { total + offset } else { offset };
    if start < 0 || start > total {
        return Value::default();
    }
    let end = match length {
        None => total,
        Some(None) => return Value::unknown(value.taint),
        Some(Some(length)) if length < 0 => (total + length).max(start),
        Some(Some(length)) => start.saturating_add(length).min(total),
    };
    let range = usize::try_from(start).unwrap_or(0)..usize::try_from(end).unwrap_or(0);
    cut(value, value.text.get(range)).tainted(Taint::ASSEMBLED)
}

/// The longest text in which patterns are replaced.
const LONGEST_REPLACED: usize = 1024;

fn replace(
    text: &[u8],
    pattern: &[u8],
    with: &[u8],
    mode: ReplaceMode,
    work: &mut Work,
) -> Vec<u8> {
    if text.len() > LONGEST_REPLACED || pattern.is_empty() {
        return text.to_vec();
    }
    match mode {
        ReplaceMode::Start => match pattern::prefix(pattern, text, true, work) {
            Some(end) => [with, text.get(end..).unwrap_or_default()].concat(),
            None => text.to_vec(),
        },
        ReplaceMode::End => match pattern::suffix(pattern, text, true, work) {
            Some(start) => [text.get(..start).unwrap_or_default(), with].concat(),
            None => text.to_vec(),
        },
        ReplaceMode::First | ReplaceMode::All => {
            let plain = !pattern.iter().any(|byte| matches!(byte, b'*' | b'?' | b'[' | b'\\' | 0));
            let mut result = Vec::with_capacity(text.len());
            let mut rest = text;
            while let Some((first, after)) = rest.split_first() {
                let end = if plain {
                    rest.starts_with(pattern).then_some(pattern.len())
                } else {
                    // A pattern may match anything: only near ends are tried.
                    let near = rest.get(..rest.len().min(64)).unwrap_or(rest);
                    pattern::prefix(pattern, near, true, work)
                };
                match end.filter(|end| *end > 0) {
                    // What is put in may be far longer than what it replaces.
                    Some(end) if work.spend(with.len()) => {
                        result.extend_from_slice(with);
                        rest = rest.get(end..).unwrap_or_default();
                        if mode == ReplaceMode::First {
                            break;
                        }
                    }
                    _ => {
                        result.push(*first);
                        rest = after;
                    }
                }
            }
            result.extend_from_slice(rest);
            result
        }
    }
}

fn change_case(text: &[u8], operator: u8, all: bool) -> Vec<u8> {
    let change = |byte: u8| match operator {
        b'^' => byte.to_ascii_uppercase(),
        b',' => byte.to_ascii_lowercase(),
        _ if byte.is_ascii_lowercase() => byte.to_ascii_uppercase(),
        _ => byte.to_ascii_lowercase(),
    };
    text.iter()
        .enumerate()
        .map(|(at, byte)| if all || at == 0 { change(*byte) } else { *byte })
        .collect()
}

//! Commands within the settings of programs, in the forms that these have.

use crate::evaluate::Evaluator;
use crate::evaluate::call::Call;
use crate::evaluate::expand::Field;
use crate::evaluate::value::{Taint, Value};
use crate::script::Language;
use crate::source_range::SourceRange;

/// How many lines of settings are looked at, and how many commands are judged.
const MOST_LINES: usize = 400;
const MOST_COMMANDS: usize = 40;

/// How settings are written.
pub(super) enum Form {
    /// The whole file is a program.
    Script(Language),
    /// Commands of the shell.
    Shell,
    /// A program in a language that is not read.
    Foreign,
    /// JSON with commands in the object of that name.
    Scripts(&'static str),
    /// `key value`, `key = value`, `key: value`, where the value is a command, or a list of them.
    Keys(&'static [&'static str]),
    /// The same, and keys that are options of the program in other words.
    Settings {
        commands: &'static [&'static str],
        options: &'static [&'static str],
    },
    /// `name: command`
    Named,
    /// Commands stand behind a word, up to a bracket.
    Behind(&'static str),
    /// Indented lines are commands.
    Recipes,
    /// Options of pytest, which load modules.
    Plugins,
    Git,
    Editor,
    Debugger,
    /// Containers as YAML.
    Compose,
}

impl Evaluator<'_> {
    /// Judges what `call` finds in its settings.
    pub(super) fn in_settings(&mut self, form: &Form, content: &Value, call: &Call) {
        // What it starts may read the same settings again.
        self.follows_settings = true;
        self.copied(content.text.len() * 2);
        let text = content.lossy();
        let range = call.range;
        let runs = matches!(
            form,
            Form::Script(_) | Form::Shell | Form::Foreign | Form::Scripts(_) | Form::Recipes
        );
        if runs && content.is_wholly_unknown() && content.taint.has(Taint::NETWORK) {
            // Nobody has read what it makes: a program from the network, under another name.
            self.captured(|evaluator| evaluator.run_code(content, range));
            self.follows_settings = false;
            return;
        }
        match form {
            Form::Script(language) => self.run_script(*language, content, range, false),
            Form::Shell => {
                self.captured(|evaluator| evaluator.run_code(content, range));
            }
            Form::Foreign => self.foreign_code(content, range),
            Form::Scripts(name) => {
                let object = text.split_once(name).map(|(_, rest)| rest).unwrap_or_default();
                let object = object.split('}').next().unwrap_or_default();
                let codes = super::texts_in_quotes(object.as_bytes());
                self.commands_of(codes, call);
            }
            Form::Keys(keys) => self.commands_of(values(&text, keys), call),
            Form::Settings { commands, options } => {
                self.commands_of(values(&text, commands), call);
                let options_of_node = values(&text, &["node-options"]).into_iter();
                let codes = options_of_node.map(|options| [&b"node "[..], &options].concat());
                self.commands_of(codes.collect(), call);
                self.also_with(&text, options, call);
            }
            Form::Named => {
                let lines = text.lines().take(MOST_LINES);
                let codes = lines.filter_map(|line| Some(line.split_once(':')?.1.into()));
                self.commands_of(codes.collect(), call);
            }
            Form::Behind(word) => {
                let parts = text.split(word).skip(1).take(MOST_LINES);
                let codes = parts.filter_map(|part| Some(part.split([')', '\n']).next()?.into()));
                self.commands_of(codes.collect(), call);
            }
            Form::Recipes => {
                let indented = |line: &&str| line.starts_with([' ', '\t']);
                let lines = text.lines().take(MOST_LINES).filter(indented);
                let lines: Vec<&str> =
                    lines.map(|line| line.trim_start().trim_start_matches(['@', '-'])).collect();
                self.commands_of(vec![lines.join("\n").into_bytes()], call);
            }
            Form::Plugins => self.plugins(&text, range),
            Form::Git => self.settings_of_git(&text, range),
            Form::Editor => {
                for line in text.lines().take(MOST_LINES).map(str::trim) {
                    // `autocmd VimEnter * !…`
                    let command = match line.split_whitespace().next() {
                        Some("autocmd" | "au" | "autocmd!") => {
                            line.splitn(4, char::is_whitespace).nth(3).unwrap_or_default()
                        }
                        Some("set" | "let" | "map" | "nmap" | "nnoremap" | "command") | None => "",
                        Some(_) => line,
                    };
                    self.editor_command(command.as_bytes(), range);
                }
            }
            Form::Debugger => {
                let lines = text.lines().take(MOST_LINES).map(str::trim);
                let commands = lines.filter_map(|line| {
                    line.strip_prefix("shell ").or_else(|| line.strip_prefix('!'))
                });
                self.commands_of(commands.map(Into::into).collect(), call);
                if let Some((_, code)) = text.split_once("python\n") {
                    let code = code.split("\nend").next().unwrap_or_default();
                    self.run_script(Language::Python, &Value::known(code), range, false);
                }
            }
            Form::Compose => self.composed(&text, range),
        }
        self.follows_settings = false;
    }

    fn commands_of(&mut self, codes: Vec<Vec<u8>>, call: &Call) {
        for code in codes.into_iter().take(MOST_COMMANDS) {
            let calls = self.found.calls.len();
            let code = Value::known(code);
            self.captured(|evaluator| evaluator.run_code(&code, call.range));
            let found = self.found.calls.get(calls..).unwrap_or_default();
            let bare =
                found.iter().any(|call| super::is_shell(&call.name) && call.arguments.is_empty());
            if bare {
                self.shell_started(&call.name, call.range);
            }
        }
    }

    /// The call as it would be with settings as options: `registry=…` is `--registry=…`.
    fn also_with(&mut self, text: &str, keys: &[&str], call: &Call) {
        for key in keys {
            for value in values(text, &[*key]).into_iter().take(MOST_COMMANDS) {
                let value = Value::known([b"--", key.as_bytes(), b"=", &value].concat());
                let range = call.range;
                let option = Field { value, range, quoted: true, globs: false };
                let mut also = call.clone();
                also.arguments.push(option);
                self.note_call(also);
            }
        }
    }

    /// `addopts = -p module`: modules that the commands wrote.
    fn plugins(&mut self, text: &str, range: SourceRange) {
        let words: Vec<&str> = text.split([' ', '\n', '"', '=', '\'', ',']).collect();
        let named = words.windows(2).filter(|two| two.first() == Some(&"-p"));
        for module in named.filter_map(|two| two.get(1)).take(MOST_COMMANDS) {
            let path = format!("{}.py", module.replace('.', "/"));
            let path = self.resolve(&Value::known(path));
            if let Some(content) = self.files.read(&path.text).cloned() {
                self.run_script(Language::Python, &content, range, false);
            }
        }
    }

    /// `[section "name"]` and `key = value` below it.
    fn settings_of_git(&mut self, text: &str, range: SourceRange) {
        let mut section = String::new();
        for line in text.lines().take(MOST_LINES).map(str::trim) {
            if let Some((name, _)) = line.strip_prefix('[').and_then(|line| line.split_once(']')) {
                section = name.replace([' ', '"'], ".").replace("..", ".");
                continue;
            }
            let Some((key, value)) = line.split_once('=') else { continue };
            let value = unquoted(value).replace("\\\"", "\"");
            let name = format!("{}.{}", section.trim_end_matches('.'), key.trim());
            let field =
                Field { value: Value::known(value.as_str()), range, quoted: true, globs: false };
            self.git_setting(&name, &value, &field, false);
        }
    }

    /// Containers whose walls are open: as if they were started by hand.
    fn composed(&mut self, text: &str, range: SourceRange) {
        let mut words: Vec<String> = vec!["docker".into(), "run".into()];
        for line in text.lines().take(MOST_LINES).map(str::trim) {
            let line = line.trim_start_matches("- ");
            let plain = line.replace([' ', '"', '\''], "");
            match plain.as_str() {
                "privileged:true" => words.push("--privileged".into()),
                "pid:host" => words.push("--pid=host".into()),
                "network_mode:host" => words.push("--net=host".into()),
                "ipc:host" => words.push("--ipc=host".into()),
                _ => {}
            }
            // `- /:/host`, `volumes: ["/:/host"]`
            let parts = line.split(['[', ']', ',']).map(unquoted);
            let mounts = parts.filter(|part| part.starts_with('/') && part.contains(":/"));
            words.extend(mounts.map(|mount| format!("--volume={mount}")));
        }
        if words.len() == 2 {
            return;
        }
        words.push("image".into());
        let fields = words.into_iter().take(MOST_COMMANDS).map(|word| Field {
            value: Value::known(word),
            range,
            quoted: true,
            globs: false,
        });
        let fields = fields.collect();
        self.captured(|evaluator| evaluator.dispatch(fields));
    }
}

/// The values of keys: what stands behind them in the line, or in a list below it.
fn values(text: &str, keys: &[&str]) -> Vec<Vec<u8>> {
    let mut found: Vec<Vec<u8>> = Vec::new();
    let mut in_list = false;
    for line in text.lines().take(MOST_LINES).map(str::trim) {
        let (item, is_item) = match line.strip_prefix("- ") {
            Some(item) => (item.trim_start(), true),
            None => (line, false),
        };
        let after = keys.iter().find_map(|key| {
            let head = item.get(..key.len())?;
            let rest = item.get(key.len()..)?;
            let ends = rest.is_empty() || rest.starts_with([' ', '\t', '=', ':', '"']);
            (head.eq_ignore_ascii_case(key) && ends).then_some(rest)
        });
        let value = match after {
            Some(rest) => {
                // `"key": value`
                let rest = rest.strip_prefix('"').unwrap_or(rest);
                let value = rest.trim_start_matches([' ', '\t', '=', ':']).trim();
                in_list = value.is_empty() || value == "|" || value == ">";
                value
            }
            None if in_list && (is_item || !item.contains(": ")) => item,
            None => {
                in_list = false;
                continue;
            }
        };
        match value.strip_prefix('[') {
            Some(list) => found.extend(super::texts_in_quotes(list.as_bytes())),
            None => found.push(unquoted(value).as_bytes().to_vec()),
        }
    }
    found.retain(|value| !value.is_empty());
    found
}

/// A value without the quotes around it.
fn unquoted(value: &str) -> &str {
    let value = value.trim();
    let inner = ['"', '\''].iter().find_map(|quote| {
        let inner = value.strip_prefix(*quote)?;
        Some(inner.strip_suffix(*quote).unwrap_or(inner))
    });
    inner.unwrap_or(value)
}

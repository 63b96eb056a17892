//! Languages that are not read here, and options whose value is a command: what stands in quotes
//! behind a word that starts programs is judged as a command.

use crate::effect::{EffectKind, Qualities, Target};
use crate::evaluate::Evaluator;
use crate::evaluate::call::Call;
use crate::evaluate::value::{Taint, Value};
use crate::path_class::PathClass;
use crate::source_range::SourceRange;

/// How many texts in quotes are looked at.
const MOST_TEXTS: usize = 32;

/// Interpreters of such languages, with the options whose value is code.
const LANGUAGES: &[(&str, &str)] = &[
    ("tclsh", ""),
    ("wish", ""),
    ("julia", "e|E|eval|print"),
    ("R", "e"),
    ("Rscript", "e"),
    ("osascript", "e"),
    ("elixir", "e|eval"),
    ("erl", "eval"),
    ("groovy", "e"),
    ("m4", ""),
    ("scala", "e"),
    ("kotlin", "e"),
    ("ocaml", "e"),
    ("guile", "c"),
    ("racket", "e"),
    ("sbcl", "eval"),
    ("clisp", "x"),
    ("swift", "e"),
    ("crystal", ""),
    ("raku", "e"),
    ("pwsh", "c|Command|command"),
    ("powershell", "c|Command|command"),
    ("jrunscript", "e"),
    ("jjs", ""),
    ("jshell", ""),
    ("octave", "eval"),
    ("ghc", "e"),
    ("runghc", ""),
    ("go", ""),
    ("nim", ""),
    ("rake", "e"),
    ("pry", "e"),
    ("swipl", "g"),
    ("gradle", ""),
    ("expect", "c"),
    ("irb", ""),
    ("cargo-script", ""),
    ("zig", ""),
    ("dotnet", ""),
    ("csi", "e"),
];

/// Options of other programs whose value is a command.
const OPTIONS: &[(&str, &str)] = &[
    ("npm", "c|call"),
    ("npx", "c|call"),
    ("split", "filter"),
    ("xterm", "e"),
    ("gnome-terminal", "e|command"),
    ("konsole", "e"),
    ("nodemon", "x|exec"),
    ("watchexec", ""),
    ("ansible", "a|args"),
    ("salt", ""),
    ("pssh", "i"),
    ("parallel-ssh", "i"),
    ("dsh", ""),
    ("clush", ""),
    ("mussh", "c"),
    ("pdsh", ""),
    ("alacritty", "e"),
    ("kitty", "e"),
    ("urxvt", "e"),
    ("inotifywait", ""),
    ("swaks", ""),
    ("logger", ""),
    ("fab", ""),
    ("supervisorctl", ""),
    ("uwsgi", "exec"),
    ("sshuttle", "e|ssh-cmd"),
    ("csvsql", ""),
    ("concurrently", ""),
    ("just", "c|command"),
    ("nix-shell", "run|command"),
    ("nix", "c|command"),
    ("poetry", ""),
    ("pipenv", ""),
    ("uv", ""),
    ("conda", ""),
    ("pixi", ""),
    ("xargs", ""),
    ("entr", ""),
    ("dtach", ""),
    ("abduco", ""),
    ("byobu", ""),
    ("fzf", "preview|bind"),
    ("zathura", ""),
    ("wrk", ""),
    ("rpm", "eval|E"),
    ("multipass", ""),
];

/// Words that start programs, or read files away, in whatever language.
const STARTERS: [&str; 22] = [
    "exec",
    "system",
    "spawn",
    "popen",
    "shell",
    "run(",
    "run `",
    "cmd",
    "Command",
    "execute",
    "syscmd",
    "call-process",
    "Process",
    "esyscmd",
    "sh ",
    "`",
    "open(",
    "Runtime",
    "RemoveAll",
    "Remove-Item",
    "qx",
    "sh(",
];

pub(super) fn is_foreign(name: &str) -> bool {
    LANGUAGES.iter().chain(OPTIONS).any(|(known, _)| *known == name)
}

impl Evaluator<'_> {
    pub(super) fn foreign(&mut self, call: &Call) {
        if let Some((_, names)) = LANGUAGES.iter().find(|(name, _)| *name == call.name) {
            self.foreign_language(call, names);
        } else if let Some((_, names)) = OPTIONS.iter().find(|(name, _)| *name == call.name) {
            self.command_options(call, names);
        }
        self.write(&Value::unknown(Taint::OUTPUT));
    }

    fn foreign_language(&mut self, call: &Call, names: &str) {
        let words: Vec<&str> = names.split('|').filter(|name| name.len() > 1).collect();
        let letters: String = names.split('|').filter(|name| name.len() == 1).collect();
        let options = call.options(&letters, &words);
        let mut codes: Vec<(Value, SourceRange)> =
            options.values(names).map(|field| (field.value.clone(), field.range)).collect();
        for operand in options.operands.iter().take(3) {
            if codes.is_empty() && operand.text().contains(&b'.') {
                let path = self.resolve(&operand.value);
                if let Some(content) = self.files.read(&path.text).cloned() {
                    codes.push((content, operand.range));
                }
            }
        }
        let bare = codes.is_empty() && options.operands.is_empty() && self.stdin.is_none();
        if bare && self.qualities.has(Qualities::PRIVILEGED) && names.is_empty() {
            self.emit(
                EffectKind::Privilege,
                Target::Name("root".into()),
                Qualities::UNUSUAL,
                call.range,
            );
        }
        if codes.is_empty()
            && let Some(input) = self.stdin.take()
        {
            self.judge_code_origin(&input, call.range);
            codes.push((input, call.range));
        }
        for (code, range) in codes {
            if matches!(call.name.as_str(), "pwsh" | "powershell") {
                // It starts the programs of the system by their names, like any shell.
                self.captured(|evaluator| evaluator.run_code(&code, range));
            }
            self.foreign_code(&code, range);
        }
    }

    /// Code of a language that is not read: its texts in quotes are judged as commands.
    pub(super) fn foreign_code(&mut self, code: &Value, range: SourceRange) {
        let text = code.lossy();
        self.named_credentials(text.as_bytes(), range);
        self.deletes_trees(text.as_bytes(), range);
        let starts = STARTERS.iter().any(|word| text.contains(word));
        let connects =
            ["socket", "Socket", "net.Dial", "connect(", "TCPClient", "TcpClient", "gen_tcp"]
                .iter()
                .any(|word| text.contains(word));
        if !starts {
            return;
        }
        if connects {
            self.emit(EffectKind::ReverseShell, Target::None, Qualities::NONE, range);
        }
        if ["DownloadString", "Invoke-WebRequest", "iwr ", "Net.WebClient"]
            .iter()
            .any(|word| text.contains(word))
        {
            let runs = ["IEX", "iex", "Invoke-Expression"].iter().any(|word| text.contains(word));
            if runs {
                self.emit(EffectKind::NetworkCode, Target::None, Qualities::INSECURE, range);
            }
        }
        if let Some(path) =
            text.split("RemoveAll(\"").nth(1).and_then(|rest| rest.split('"').next())
        {
            self.touch_path(EffectKind::Delete, &Value::known(path), Qualities::RECURSIVE, range);
        }
        let mut found = texts_in_quotes(text.as_bytes());
        // Tcl quotes with braces.
        found.extend(text.split('{').skip(1).take(4).filter_map(|part| {
            part.split('}').next().filter(|part| part.contains(' ')).map(|part| part.into())
        }));
        let joined = found.join(&b' ');
        let public = |text: &Vec<u8>| {
            crate::evaluate::assignment::in_public_folder(text)
                && !self.files.is_made(text)
                && !text.contains(&b' ')
        };
        if found.iter().any(public) && !text.contains("open(") {
            self.public_file_started(EffectKind::ShellEscape, range);
        }
        let before = self.found.effects.len();
        for code in found.into_iter().chain([joined]) {
            self.captured(|evaluator| evaluator.run_code(&Value::known(code), range));
        }
        // Without quotes: `exec rm -rf /`, `syscmd(rm -rf /)`.
        for word in ["exec ", "spawn ", "syscmd(", "Remove-Item "] {
            if let Some((_, rest)) = text.split_once(word) {
                let rest = rest.split([')', ';', '\n', ']']).next().unwrap_or_default();
                let rest = if word == "Remove-Item " { "true" } else { rest };
                self.captured(|evaluator| evaluator.run_code(&Value::known(rest), range));
            }
        }
        if text.contains("Remove-Item")
            && text.contains("-Recurse")
            && (text.contains(":\\")
                || text.contains(" /")
                || text.contains("HOME")
                || text.contains("~"))
        {
            self.touch_path(EffectKind::Delete, &Value::known("/"), Qualities::RECURSIVE, range);
        }
        let bare = matches!(super::shell_in(text.as_bytes()), Some(super::Shell::Bare));
        if bare || self.found.effects.len() == before && text.contains("sh\"") {
            self.emit(EffectKind::ShellEscape, Target::None, Qualities::NONE, range);
        }
    }

    /// Folders that a text names besides a word that deletes whole trees.
    pub(super) fn deletes_trees(&mut self, text: &[u8], range: SourceRange) {
        const WORDS: [&[u8]; 9] = [
            b"recursive=TRUE",
            b"recursive = TRUE",
            b"delete-directory",
            b"REMOVE_RECURSE",
            b"rm_rf",
            b"rmtree",
            b"deleteDir",
            b"rm-rf",
            b"rmdir-recursive",
        ];
        if !WORDS.iter().any(|word| text.windows(word.len()).any(|part| part == *word)) {
            return;
        }
        let separators = |byte: &u8| byte.is_ascii_whitespace() || b"\"'(),".contains(byte);
        for path in text.split(separators).filter(|path| path.starts_with(b"/")).take(MOST_TEXTS) {
            self.touch_path(EffectKind::Delete, &Value::known(path), Qualities::RECURSIVE, range);
        }
    }

    /// Files with credentials that a text names: whatever the program does with them.
    pub(in crate::evaluate) fn named_credentials(&mut self, text: &[u8], range: SourceRange) {
        let is_path = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-~".contains(byte);
        for path in text.split(|byte| !is_path(byte)).take(MOST_TEXTS * 8) {
            if !path.starts_with(b"/etc/") && !path.starts_with(b"/root/") {
                continue;
            }
            let path = Value::known(path);
            let resolved = self.resolve(&path);
            if self.class_of(&resolved, EffectKind::Read) == PathClass::Credential {
                self.touch_path(EffectKind::Read, &path, Qualities::NONE, range);
            }
        }
    }

    fn command_options(&mut self, call: &Call, names: &str) {
        let words: Vec<&str> = names.split('|').filter(|name| name.len() > 1).collect();
        let letters: String = names.split('|').filter(|name| name.len() == 1).collect();
        let options = call.options(&letters, &words);
        let mut codes: Vec<(Value, SourceRange)> = options
            .values(names)
            .filter(|_| !names.is_empty())
            .map(|field| (field.value.clone(), field.range))
            .collect();
        let remote = matches!(
            call.name.as_str(),
            "ansible"
                | "salt"
                | "pssh"
                | "parallel-ssh"
                | "dsh"
                | "clush"
                | "mussh"
                | "pdsh"
                | "fab"
        );
        let runs_operands = remote || matches!(call.name.as_str(), "watchexec" | "concurrently");
        let after_run = matches!(call.name.as_str(), "poetry" | "pipenv" | "uv" | "conda" | "pixi")
            && options.operands.first().is_some_and(|field| field.text() == b"run");
        if runs_operands {
            // The first operand of these names machines.
            let machines = usize::from(matches!(call.name.as_str(), "salt" | "ansible"));
            let rest = options.operands.iter().skip(machines);
            codes.extend(rest.map(|field| (field.value.clone(), field.range)));
        }
        if after_run {
            let rest = call
                .arguments
                .iter()
                .skip_while(|field| field.text() != b"run")
                .skip(1)
                .cloned()
                .collect();
            self.dispatch(rest);
        }
        let qualities = self.qualities;
        self.qualities = qualities.with_if(remote, Qualities::REMOTE);
        for (code, range) in codes {
            self.captured(|evaluator| evaluator.run_code(&code, range));
        }
        self.qualities = qualities;
    }
}

/// What stands between quotes or backquotes.
pub(in crate::evaluate) fn texts_in_quotes(text: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.iter().position(|byte| matches!(byte, b'"' | b'\'' | b'`')) {
        let quote = rest.get(open).copied().unwrap_or(b'"');
        let inside = rest.get(open + 1..).unwrap_or_default();
        let Some(close) = inside.iter().position(|byte| *byte == quote) else { break };
        let part = inside.get(..close).unwrap_or_default();
        if !part.is_empty() && found.len() < MOST_TEXTS {
            found.push(part.to_vec());
        }
        rest = inside.get(close + 1..).unwrap_or_default();
    }
    found
}

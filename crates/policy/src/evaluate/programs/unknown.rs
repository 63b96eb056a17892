//! What the arguments of any program tell, whatever it does: a shell that it is handed, a command
//! behind its options, a file that only root may read, a file of the system that it writes.

use super::habits::Habits;
use crate::effect::{EffectKind, Qualities, Target};
use crate::evaluate::Evaluator;
use crate::evaluate::call::Call;
use crate::evaluate::expand::Field;
use crate::evaluate::value::{Taint, Value};
use crate::path_class::PathClass;
use crate::source_range::SourceRange;

/// How many arguments of a call are looked at.
const MOST_ARGUMENTS: usize = 48;

/// Shells, as the last step of a path.
const SHELLS: &[&[u8]] =
    &[b"sh", b"bash", b"dash", b"zsh", b"ksh", b"mksh", b"ash", b"fish", b"csh", b"tcsh", b"rbash"];

/// Files that only root may read, whoever asks.
const ROOT_ONLY: &[&[u8]] =
    &[b"/etc/shadow", b"/etc/gshadow", b"/etc/shadow-", b"/etc/gshadow-", b"/etc/master.passwd"];

/// How options end whose value is a command.
const TOLD: [&[u8]; 10] = [
    b"-program",
    b"-command",
    b"-cmd",
    b"-hook",
    b"-script",
    b"--command",
    b"--exec",
    b"--pager",
    b"--editor",
    b"--filter",
];

impl Evaluator<'_> {
    /// A program that nobody described: it reads what it names, and prints what nobody knows.
    pub(super) fn other(&mut self, call: &Call) {
        self.judge_sent(call);
        self.behind_options(call);
        let habits = Habits::of(&call.name);
        for operand in call.options("", &[]).operands.iter().take(MOST_ARGUMENTS) {
            let text = operand.text();
            let of_system = text.starts_with(b"/etc/")
                || text.starts_with(b"/root/") && self.context.home != b"/root"
                || text.starts_with(b"/proc/");
            let prints = habits.has(Habits::PRINTS_FILES);
            if prints || of_system && !habits.has(Habits::NAMES_FILES) {
                self.read_by_name(operand, prints);
            }
        }
        self.write(&Value::unknown(Taint::OUTPUT));
    }

    fn read_by_name(&mut self, operand: &Field, prints: bool) {
        let resolved = self.resolve(&operand.value);
        let class = self.class_of(&resolved, EffectKind::Read);
        if !prints && !matches!(class, PathClass::Credential | PathClass::Accounts) {
            return;
        }
        let content = self.read_file(&operand.value, operand.range);
        if content.taint.has(Taint::SECRET) {
            self.write(&content);
        }
    }

    /// What the arguments of a program tell that is neither a shell nor starts others by trade.
    pub(super) fn judge_arguments(&mut self, call: &Call) {
        let habits = Habits::of(&call.name);
        if let Some(input) = self.stdin.clone()
            && !habits.has(Habits::HOLDS_SHELLS)
            && !habits.has(Habits::PASSES_INPUT_ON)
        {
            self.guess_from(&input.text, call.range);
        }
        self.judge_files(call);
        self.told_commands(call);
        if call.name == "ansible-playbook" {
            for field in call.arguments.iter().take(MOST_ARGUMENTS) {
                self.written_file(call, field);
            }
        }
        if !habits.has(Habits::HOLDS_SHELLS) {
            self.loaded_libraries(call);
            self.handed_shells(call);
        }
    }

    /// Commands that are settings: `--compress-program='rm -rf /'`.
    fn told_commands(&mut self, call: &Call) {
        let mut awaited = false;
        for field in call.arguments.iter().take(MOST_ARGUMENTS) {
            let text = field.text();
            let (name, value) = match text.iter().position(|byte| *byte == b'=') {
                Some(at) if text.starts_with(b"--") => text.split_at(at),
                _ => (text, &b""[..]),
            };
            let told = name.starts_with(b"--") && TOLD.iter().any(|word| name.ends_with(word));
            let command = if awaited { text } else { value.get(1..).unwrap_or_default() };
            if (awaited || told) && command.contains(&b' ') {
                self.guess_text(command.to_vec(), field.range);
            }
            awaited = told && value.is_empty();
        }
    }

    /// The files that the arguments name.
    pub(super) fn judge_files(&mut self, call: &Call) {
        self.outputs(call);
        if !Habits::of(&call.name).has(Habits::NAMES_FILES) {
            self.root_only_files(call);
        }
    }

    fn root_only_files(&mut self, call: &Call) {
        for field in call.arguments.iter().take(MOST_ARGUMENTS) {
            let text = field.text();
            let start = text
                .iter()
                .rposition(|byte| matches!(byte, b'=' | b'@' | b':'))
                .map_or(0, |at| at + 1);
            let path = text.get(start..).unwrap_or_default();
            // `file:///etc/shadow`
            let path = path.strip_prefix(b"//").unwrap_or(path);
            if ROOT_ONLY.contains(&path) {
                let path = Value::known(path);
                self.touch_path(EffectKind::Read, &path, Qualities::NONE, field.range);
            }
        }
    }

    /// `-o FILE` and the like, where the file is one that decides who may do what.
    fn outputs(&mut self, call: &Call) {
        const NAMES: [&[u8]; 14] = [
            b"-o",
            b"-O",
            b"-w",
            b"-out",
            b"-L",
            b"--output",
            b"--out",
            b"--outfile",
            b"--outFile",
            b"--output-file",
            b"--output-document",
            b"--log-file",
            b"--logfile",
            b"--filename",
        ];
        let mut after_name = false;
        for field in call.arguments.iter().take(MOST_ARGUMENTS) {
            let text = field.text();
            let at = text.iter().position(|byte| *byte == b'=').map_or(0, |at| at + 1);
            let named = text.get(..at.saturating_sub(1)).is_some_and(|name| {
                NAMES.contains(&name) || name.ends_with(b"filename") || name.ends_with(b"output")
            });
            let path = match (after_name, named && at > 0) {
                (true, _) => text,
                (false, true) => text.get(at..).unwrap_or_default(),
                (false, false) => b"",
            };
            after_name = NAMES.contains(&text);
            if !path.starts_with(b"/") && !path.starts_with(b"~") {
                continue;
            }
            let path = Value::new(path.to_vec(), field.value.taint);
            let resolved = self.resolve(&path);
            let class = self.class_of(&resolved, EffectKind::Overwrite);
            if matches!(class, PathClass::Accounts | PathClass::Startup | PathClass::Credential) {
                self.touch_path(EffectKind::Overwrite, &path, Qualities::NONE, field.range);
            }
        }
    }

    /// A library in a folder where everybody may write.
    fn loaded_libraries(&mut self, call: &Call) {
        let mut before: &[u8] = b"";
        for field in call.arguments.iter().take(MOST_ARGUMENTS) {
            let text = field.text();
            let start = text.iter().rposition(|b| matches!(b, b'=' | b',')).map_or(0, |at| at + 1);
            let path = text.get(start..).unwrap_or_default();
            let public = [&b"/tmp/"[..], b"/dev/shm/", b"/var/tmp/"]
                .iter()
                .any(|folder| path.starts_with(folder));
            if public && path.ends_with(b".so") && !matches!(before, b"-o" | b"--output") {
                let target = Target::Name(String::from_utf8_lossy(path).into_owned());
                self.emit(EffectKind::Inject, target, Qualities::NONE, field.range);
            }
            before = text;
        }
    }

    /// A shell in an argument: alone it is started for whoever sits there, with code it runs that.
    fn handed_shells(&mut self, call: &Call) {
        let arguments = call.arguments.get(..MOST_ARGUMENTS).unwrap_or(&call.arguments);
        for (at, field) in arguments.iter().enumerate() {
            let as_setting = at
                .checked_sub(1)
                .and_then(|before| arguments.get(before))
                .is_some_and(|before| before.text().to_ascii_lowercase().ends_with(b"shell"))
                || field.text().to_ascii_lowercase().windows(6).any(|part| part == b"shell=");
            if as_setting {
                continue;
            }
            let rest = call.arguments.get(at..).unwrap_or_default();
            if is_shell_with_code(rest) {
                let command = rest.to_vec();
                let starts = rest.iter().skip(1).any(|field| {
                    field.text().len() > 7 && matches!(shell_in(field.text()), Some(Shell::Bare))
                });
                if starts {
                    self.shell_started(&call.name, field.range);
                }
                self.captured(|evaluator| evaluator.dispatch(command));
                return;
            }
            self.guess_from(field.text(), field.range);
            if let Some(shell) = shell_in(field.text()) {
                self.handed_shell(call, field, shell);
            } else {
                self.written_file(call, field);
            }
        }
    }

    fn handed_shell(&mut self, call: &Call, field: &Field, shell: Shell) {
        match shell {
            Shell::WithCode(start) => {
                let code = crate::evaluate::call::cut(field, start);
                self.captured(|evaluator| evaluator.run_code(&code.value, field.range));
            }
            Shell::Bare => self.shell_started(&call.name, field.range),
        }
    }

    /// A file that these commands wrote and that tells the program to start a shell.
    fn written_file(&mut self, call: &Call, field: &Field) {
        let text = field.text();
        let start = text.iter().rposition(|b| matches!(b, b'=' | b'@')).map_or(0, |at| at + 1);
        let path = text.get(start..).unwrap_or_default();
        if path.is_empty() || path.starts_with(b"-") {
            return;
        }
        let resolved = self.resolve(&Value::known(path));
        let Some(content) = self.files.read(&resolved.text) else { return };
        // It is read anew by each program that names it.
        if !self.work.spend(content.text.len()) {
            return;
        }
        let first = content.text.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let skip = if first.starts_with(b"#!") { first.len() } else { 0 };
        let body = content.text.get(skip..).unwrap_or_default();
        let starts = matches!(shell_in(body), Some(Shell::Bare));
        let body = body.to_vec();
        if starts {
            self.shell_started(&call.name, field.range);
        }
        // A program that is told in a file of its own to read what only root may.
        let path = if is_document(text) { None } else { root_only_path(&body) };
        if let Some(path) = path {
            self.touch_path(EffectKind::Read, &Value::known(path), Qualities::NONE, field.range);
        }
        // A test or a module mentions what it guards against; a list of commands runs it.
        if !is_document(text) {
            self.guess_from(&body, field.range);
            self.deletes_trees(&body, field.range);
        }
    }

    /// A file that anybody may have put there is started by root, or by another language.
    pub(in crate::evaluate) fn public_file_started(
        &mut self,
        kind: EffectKind,
        range: SourceRange,
    ) {
        let target = Target::Name("a file that everybody may write".into());
        self.emit(kind, target, Qualities::NONE, range);
    }

    pub(crate) fn shell_started(&mut self, name: &str, range: SourceRange) {
        self.emit(EffectKind::ShellEscape, Target::Name(name.to_owned()), Qualities::NONE, range);
    }

    /// A command behind the options of a program that may start it: `wrap -n 5 -- rm -rf /`.
    pub(super) fn behind_options(&mut self, call: &Call) {
        for at in 0..call.arguments.len().min(MOST_ARGUMENTS) {
            let rest = call.arguments.get(at..).unwrap_or_default();
            if destroys(rest) || is_shell_with_code(rest) {
                let command = rest.to_vec();
                self.captured(|evaluator| evaluator.dispatch(command));
                return;
            }
        }
    }
}

/// What stands behind the path of a shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shell {
    /// Nothing that it would run: it reads from whoever sits there.
    Bare,
    /// `-c` and code; the shell's path starts there.
    WithCode(usize),
}

/// The first path of a shell that a text names as a command, not as a word of a sentence.
pub(crate) fn shell_in(text: &[u8]) -> Option<Shell> {
    let mut from = 0;
    while let Some(at) = text
        .get(from..)
        .and_then(|rest| rest.windows(5).position(|part| part == b"/bin/"))
        .map(|at| from + at)
    {
        let name_at = at + 5;
        from = name_at;
        let after = text.get(name_at..).unwrap_or_default();
        let length = after
            .iter()
            .position(|byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.')))
            .unwrap_or(after.len());
        let Some((name, behind)) = after.split_at_checked(length) else { continue };
        let before = text.get(..at).unwrap_or_default();
        let start = before
            .iter()
            .rposition(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'.' | b'/' | b'_' | b'-')))
            .map_or(0, |at| at + 1);
        // `-e/bin/sh`: an option of one letter and its value.
        let attached = before.get(start) == Some(&b'-') && at == start + 2;
        let start = if attached { at } else { start };
        let folder = before.get(start..at).unwrap_or_default();
        let of_system = matches!(folder, b"" | b"/usr" | b"/usr/local")
            || folder.split(|byte| *byte == b'/').all(|step| step == b"..");
        let shebang = before.ends_with(b"#!");
        if !SHELLS.contains(&name) || !of_system || shebang {
            continue;
        }
        let behind = behind.trim_ascii_start();
        if behind.strip_prefix(b",").unwrap_or(behind).starts_with(b"-c") {
            return Some(Shell::WithCode(start));
        }
        let ends = match behind.first() {
            None => true,
            Some(byte) => !byte.is_ascii_alphabetic() && !matches!(byte, b'/' | b':' | b'$' | b'.'),
        };
        if ends {
            return Some(Shell::Bare);
        }
    }
    None
}

/// The first file that only root may read of those that a text names.
fn root_only_path(text: &[u8]) -> Option<&'static [u8]> {
    let places = text.windows(5).enumerate().filter(|(_, part)| part == b"/etc/");
    places.into_iter().find_map(|(at, _)| {
        let rest = text.get(at..)?;
        ROOT_ONLY.iter().copied().find(|path| rest.starts_with(path))
    })
}

/// Whether a name says that the file holds a module or a text for people.
fn is_document(name: &[u8]) -> bool {
    [&b".py"[..], b".js", b".ts", b".rb", b".rs", b".go", b".md", b".txt"]
        .iter()
        .any(|end| name.ends_with(end))
}

fn last_step(text: &[u8]) -> &[u8] {
    text.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}

/// `sh -c CODE`, with or without a path.
fn is_shell_with_code(words: &[Field]) -> bool {
    let [name, option, _, ..] = words else { return false };
    SHELLS.contains(&last_step(name.text()))
        && option.text().starts_with(b"-")
        && !option.text().starts_with(b"--")
        && option.text().ends_with(b"c")
}

/// Whether words are a command that deletes, overwrites or formats.
fn destroys(words: &[Field]) -> bool {
    let Some((name, arguments)) = words.split_first() else { return false };
    let options = |letters: &[u8]| {
        arguments.iter().any(|field| {
            let text = field.text();
            text.starts_with(b"-")
                && !text.starts_with(b"--")
                && letters.iter().any(|letter| text.contains(letter))
        })
    };
    let has = |start: &[u8]| arguments.iter().any(|field| field.text().starts_with(start));
    match last_step(name.text()) {
        b"rm" => options(b"rR") || has(b"--recursive"),
        b"chmod" | b"chown" => options(b"R") || has(b"--recursive"),
        b"dd" => has(b"of="),
        b"find" => has(b"-delete") || has(b"-exec"),
        b"shred" | b"wipefs" | b"blkdiscard" => has(b"/"),
        name if name == b"mkfs" || name.starts_with(b"mkfs.") => has(b"/dev/"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_is_told_from_a_word_about_it() {
        let start = Some(Shell::Bare);
        assert_eq!(shell_in(b"/bin/sh"), start);
        assert_eq!(shell_in(b"--exec=/usr/bin/bash -p"), start);
        assert_eq!(shell_in(b"!/bin/sh"), start);
        assert_eq!(shell_in(b"../../bin/sh"), start);
        assert_eq!(shell_in(b"run /bin/sh 0<&2 1>&2"), start);
        assert_eq!(shell_in(b"x=/bin/sh -c 'id'"), Some(Shell::WithCode(2)));
        assert_eq!(shell_in(b"#!/bin/sh"), None);
        assert_eq!(shell_in(b"why /bin/sh is not bash"), None);
        assert_eq!(shell_in(b"/opt/tool/bin/sh"), None);
        assert_eq!(shell_in(b"/bin/shellcheck"), None);
        assert_eq!(shell_in(b"/usr/bin:/bin/"), None);
    }
}

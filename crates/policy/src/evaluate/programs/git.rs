//! git: what it deletes and rewrites, and the commands that it is told to run.

use crate::effect::{EffectKind, Qualities, Target};
use crate::evaluate::Evaluator;
use crate::evaluate::call::{Call, Options};
use crate::evaluate::expand::Field;
use crate::evaluate::value::{Taint, Value};

/// Settings whose value is a command.
const COMMANDS: &[&str] = &[
    "core.pager",
    "core.editor",
    "core.sshcommand",
    "core.fsmonitor",
    "sequence.editor",
    "diff.external",
    "credential.helper",
    "gpg.program",
    "core.askpass",
    "uploadpack.packobjectshook",
    "interactive.difffilter",
    "web.browser",
    "browser.x.cmd",
    "core.gitproxy",
    "pager.log",
    "pager.status",
    "pager.help",
    "pager.branch",
    "pager.diff",
    "pager.show",
];

impl Evaluator<'_> {
    pub(super) fn git(&mut self, call: &Call) {
        let outer = Options::read(
            &call.arguments,
            "cC",
            &["git-dir", "work-tree", "exec-path", "namespace"],
            true,
        );
        for setting in outer.values("c").cloned().collect::<Vec<_>>() {
            let text = setting.value.lossy();
            if let Some((name, value)) = text.split_once('=') {
                self.git_setting(name, value, &setting, true);
            }
        }
        if outer.has("p|paginate")
            && outer.operands.first().is_some_and(|word| word.text() == b"help")
        {
            self.emit(
                EffectKind::ShellEscape,
                Target::Name("pager".into()),
                Qualities::ASKS,
                call.range,
            );
        }
        let directory = outer.value("C|work-tree").cloned();
        let words: Vec<Field> = outer.operands.iter().map(|field| (*field).clone()).collect();
        let Some((verb, rest)) = words.split_first() else { return };
        let before = self.environment.directory.clone();
        if let Some(directory) = directory {
            self.environment.directory = self.resolve(&directory.value);
        }
        let letters = if verb.text() == b"rebase" { "mCcbuSXsoGnex" } else { "mCcbuSXsoGne" };
        let options = Options::read(
            rest,
            letters,
            &[
                "message",
                "author",
                "date",
                "exec",
                "upload-pack",
                "receive-pack",
                "template",
                "config",
                "source",
                "onto",
                "strategy",
                "open-files-in-pager",
                "tree-filter",
                "index-filter",
                "msg-filter",
                "env-filter",
            ],
            false,
        );
        match verb.text() {
            b"config" => self.git_config(rest),
            b"show" | b"cat-file" | b"diff" | b"log" | b"stash" | b"blame" => {
                for field in rest {
                    let text = field.text();
                    let path = text.rsplit(|byte| *byte == b':').next().unwrap_or_default();
                    if !text.starts_with(b"-") && crate::path_class::is_credential_name(path) {
                        self.emit(
                            EffectKind::Secret,
                            Target::Name(field.value.lossy()),
                            Qualities::NONE,
                            field.range,
                        );
                    }
                }
            }
            b"clean" if options.has("f|force") && !options.has("n|dry-run") => {
                let here = self.environment.directory.clone();
                let quality =
                    Qualities::RECURSIVE.with_if(options.has("i|interactive"), Qualities::ASKS);
                self.touch_path(
                    EffectKind::Delete,
                    &here,
                    quality.with(Qualities::UNUSUAL),
                    call.range,
                );
            }
            b"grep" => {
                for program in options.values("O|open-files-in-pager").cloned().collect::<Vec<_>>()
                {
                    self.escape_to_shell(&program.value, program.range);
                }
            }
            b"clone" | b"fetch" | b"pull" | b"push" | b"ls-remote" | b"submodule" | b"archive" => {
                for program in
                    options.values("u|upload-pack|receive-pack|exec").cloned().collect::<Vec<_>>()
                {
                    if verb.text() == b"push" && program.text() == b"origin"
                        || !program.text().contains(&b' ')
                            && !program.text().contains(&b'/')
                            && !program.text().contains(&b';')
                    {
                        continue;
                    }
                    self.escape_to_shell(&program.value, program.range);
                }
                for setting in options.values("c|config").cloned().collect::<Vec<_>>() {
                    let text = setting.value.lossy();
                    if let Some((name, value)) = text.split_once('=') {
                        self.git_setting(name, value, &setting, true);
                    }
                }
                for operand in &options.operands {
                    if let Some(code) = operand.text().strip_prefix(b"ext::") {
                        self.escape_to_shell(&Value::known(code), operand.range);
                    }
                }
            }
            b"rebase" => {
                for code in options.values("x|exec").cloned().collect::<Vec<_>>() {
                    self.captured(|evaluator| evaluator.run_code(&code.value, code.range));
                }
            }
            b"bisect" if rest.first().is_some_and(|word| word.text() == b"run") => {
                self.dispatch(rest.get(1..).unwrap_or_default().to_vec());
            }
            b"submodule-foreach" => {}
            b"filter-branch" => {
                for code in options
                    .values("tree-filter|index-filter|msg-filter|env-filter")
                    .cloned()
                    .collect::<Vec<_>>()
                {
                    self.captured(|evaluator| evaluator.run_code(&code.value, code.range));
                }
            }
            name => {
                // An alias that the same command set: `git config alias.x '!…'; git x`.
                let key = [b"\0git alias ", name].concat();
                if let Some(code) = self.files.read(&key).cloned() {
                    self.captured(|evaluator| evaluator.run_code(&code, call.range));
                }
            }
        }
        if verb.text() == b"submodule" && rest.first().is_some_and(|word| word.text() == b"foreach")
        {
            let code: Vec<Field> = rest
                .iter()
                .skip(1)
                .filter(|field| !field.text().starts_with(b"--"))
                .cloned()
                .collect();
            let code = crate::evaluate::builtin::joined(&code);
            self.captured(|evaluator| evaluator.run_code(&code, call.range));
        }
        self.environment.directory = before;
        self.write(&Value::unknown(Taint::OUTPUT));
    }

    fn git_config(&mut self, words: &[Field]) {
        let options = Options::read(words, "f", &["file", "type", "blob"], false);
        if options.has("get|l|list|unset|get-all|remove-section|unset-all") {
            return;
        }
        let operands: Vec<Field> =
            options.operands.iter().filter(|f| f.text() != b"set").map(|f| (*f).clone()).collect();
        if let [name, value, ..] = operands.as_slice() {
            let (name, text) = (name.value.lossy(), value.value.lossy());
            self.git_setting(&name, &text, value, false);
        }
    }

    /// A setting of git, now or from now on.
    pub(super) fn git_setting(&mut self, name: &str, value: &str, field: &Field, now: bool) {
        let name = name.to_ascii_lowercase();
        if let Some(alias) = name.strip_prefix("alias.") {
            if let Some(code) = value.strip_prefix('!') {
                let code = Value::new(code.as_bytes().to_vec(), field.value.taint);
                let key = [b"\0git alias ", alias.as_bytes()].concat();
                self.files.write(&key, code.clone());
                self.captured(|evaluator| evaluator.run_code(&code, field.range));
                let starts_shell =
                    code.text.windows(2).any(|two| two == b"sh") && code.text.len() < 12;
                if now && starts_shell {
                    self.emit(
                        EffectKind::ShellEscape,
                        Target::Name("git alias".into()),
                        Qualities::NONE,
                        field.range,
                    );
                }
            }
            return;
        }
        if name == "core.hookspath" {
            let usual = !value.starts_with('/') && !value.starts_with('~');
            let quality = Qualities::NONE.with_if(usual, Qualities::ASKS);
            self.emit(EffectKind::Persist, Target::Name("git hooks".into()), quality, field.range);
            return;
        }
        let is_command = COMMANDS.contains(&name.as_str())
            || name.starts_with("filter.")
            || name.starts_with("difftool.")
            || name.starts_with("mergetool.")
            || name.starts_with("pager.");
        if !is_command {
            return;
        }
        let code = value.strip_prefix('!').unwrap_or(value);
        let first = code.split(' ').next().unwrap_or_default();
        let usual = [
            "vim",
            "nvim",
            "vi",
            "nano",
            "emacs",
            "code",
            "less",
            "more",
            "cat",
            "delta",
            "ssh",
            "store",
            "cache",
            "manager",
            "osxkeychain",
            "subl",
            "gpg",
            "gpg2",
            "true",
            "false",
            "difft",
            "bat",
            "git-lfs",
            "libsecret",
            "micro",
            "hx",
            "idea",
            "wincred",
            "",
        ];
        if usual.contains(&first) && !code.contains([';', '|', '&', '`', '$', '>']) {
            return;
        }
        let code = Value::new(code.as_bytes().to_vec(), field.value.taint);
        if now {
            self.escape_to_shell(&code, field.range);
        } else {
            self.captured(|evaluator| evaluator.run_code(&code, field.range));
        }
    }
}

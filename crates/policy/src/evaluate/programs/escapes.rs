//! Programs that start shells and commands besides what they are for: editors, pagers, debuggers.

use crate::effect::{EffectKind, Qualities, Target};
use crate::evaluate::Evaluator;
use crate::evaluate::call::Call;
use crate::evaluate::expand::Field;
use crate::evaluate::value::{Taint, Value};
use crate::script::Language;
use crate::source_range::SourceRange;

impl Evaluator<'_> {
    /// A command that a program runs which is no shell.
    pub(crate) fn escape_to_shell(&mut self, code: &Value, range: SourceRange) {
        let before = self.found.effects.len();
        let calls = self.found.calls.len();
        self.captured(|evaluator| evaluator.run_code(code, range));
        let starts_shell = self.found.calls.get(calls..).unwrap_or_default().iter().any(|call| {
            matches!(
                call.name.as_str(),
                "sh" | "bash" | "dash" | "zsh" | "ksh" | "ash" | "fish" | "rbash"
            )
        });
        if self.found.effects.len() == before || starts_shell || !code.is_known() {
            let target = Target::Name(code.lossy());
            let quality = Qualities::NONE.with_if(starts_shell, Qualities::UNUSUAL);
            self.emit(EffectKind::ShellEscape, target, quality, range);
        }
    }

    pub(super) fn with_escapes(&mut self, call: &Call) {
        let stdin = self.stdin.clone();
        match call.name.as_str() {
            "vi" | "vim" | "view" | "rvim" | "nvim" | "ex" => self.editor(call),
            "ed" => self.lines_with_bang(call),
            "gdb" => self.debugger(call),
            "make" | "gmake" => {
                let before = self.environment.directory.clone();
                self.make(call);
                self.environment.directory = before;
            }
            "man" => {
                let options = call.options("PCMSseLmpr", &["pager", "html"]);
                for code in options.values("P|pager|H|html").cloned().collect::<Vec<_>>() {
                    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-".contains(byte);
                    let text = code.text();
                    let shell = crate::evaluate::simple::is_shell_path(text);
                    let shows = text == b"less -R" || text.iter().all(plain) && !shell;
                    if !shows {
                        self.escape_to_shell(&code.value, code.range);
                    }
                }
                self.lines_with_bang_from(stdin, call);
            }
            "less" | "more" | "most" => {
                let content = self.input(call, "bhjkoptTxyz");
                if let Some(bang) =
                    call.arguments.iter().find(|field| field.text().starts_with(b"+!"))
                {
                    let code = crate::evaluate::call::cut(bang, 2);
                    self.escape_to_shell(&code.value, code.range);
                }
                self.write(&content);
            }
            "mysql" | "mariadb" | "psql" | "sqlite3" | "sqlite" | "redis-cli" | "mongo"
            | "mongosh" | "cqlsh" | "clickhouse-client" | "sqlcmd" | "isql" | "influx" => {
                self.database(call)
            }
            "ftp" | "sftp" | "lftp" | "irb" | "expect" | "smbclient" => {
                let options = call.options("ceb", &[]);
                for code in options.values("c|e").cloned().collect::<Vec<_>>() {
                    if let Some(command) = after_bang(code.text()) {
                        self.escape_to_shell(&Value::known(command), code.range);
                    } else if call.name == "expect" && code.text().starts_with(b"spawn") {
                        let command = code.text().strip_prefix(b"spawn").unwrap_or_default();
                        let end =
                            command.iter().position(|byte| *byte == b';').unwrap_or(command.len());
                        self.escape_to_shell(
                            &Value::known(command.get(..end).unwrap_or_default()),
                            code.range,
                        );
                    }
                }
                self.lines_with_bang_from(stdin, call);
            }
            "screen" | "tmux" | "rlwrap" => self.terminal(call),
            "tcpdump" => {
                // What passes by on the network is nobody's to hand on.
                self.write(&Value::unknown(Taint::OUTPUT.with(Taint::SECRET)));
                let options = call.options("zwCGWicrs", &[]);
                if let Some(program) = options.value("z").cloned() {
                    self.escape_to_shell(&program.value, program.range);
                }
            }
            "rsync" => self.rsync(call),
            "emacs" => {
                let options = call.options("", &["eval", "execute", "load"]);
                for code in options.values("eval|execute").cloned().collect::<Vec<_>>() {
                    self.foreign_code(&code.value, code.range);
                    let text = String::from_utf8_lossy(code.text()).into_owned();
                    for part in
                        ["(term \"", "(shell-command \"", "(call-process \"", "(ansi-term \""]
                    {
                        if let Some(at) = text.find(part) {
                            let rest = text.get(at + part.len()..).unwrap_or_default();
                            let command = rest.split('"').next().unwrap_or_default().to_owned();
                            self.escape_to_shell(&Value::known(command), code.range);
                        }
                    }
                }
            }
            "run-parts" => {
                let options = call.options("", &[]);
                for field in &options.operands {
                    if matches!(field.text(), b"/bin" | b"/usr/bin") {
                        self.emit(
                            EffectKind::ShellEscape,
                            Target::Name("run-parts".into()),
                            Qualities::NONE,
                            field.range,
                        );
                    }
                }
            }
            "ghci" | "cpan" => self.lines_with_bang_from(stdin, call),
            _ => self.quoted_shells(call),
        }
        self.write(&Value::unknown(Taint::OUTPUT));
    }

    /// A program with a language of its own, in which a shell is named.
    fn quoted_shells(&mut self, call: &Call) {
        for field in &call.arguments {
            let text = field.text();
            self.named_credentials(text, field.range);
            let has = |part: &[u8]| text.windows(part.len()).any(|window| window == part);
            let starts = has(b"system(")
                || has(b"exec(")
                || has(b"os.execute")
                || has(b"write18")
                || has(b"spawn(")
                || has(b"shell_exec")
                || has(b"runtime.exec")
                || has(b"getRuntime");
            if starts || has(b"/bin/sh") || has(b"/bin/bash") {
                self.emit(
                    EffectKind::ShellEscape,
                    Target::Name(call.name.clone()),
                    Qualities::NONE,
                    field.range,
                );
            }
        }
    }

    fn editor(&mut self, call: &Call) {
        let options = call.options("cSuUTtw", &["cmd"]);
        let mut commands: Vec<Field> = options.values("c|cmd").cloned().collect();
        commands.extend(
            call.arguments
                .iter()
                .filter(|field| field.text().starts_with(b"+"))
                .map(|f| crate::evaluate::call::cut(f, 1)),
        );
        for command in &commands {
            for line in command.text().split(|byte| matches!(byte, b'|' | b'\n')) {
                self.editor_command(line, command.range);
            }
        }
        let operands: Vec<Field> = options
            .operands
            .iter()
            .filter(|f| !f.text().starts_with(b"+"))
            .map(|f| (*f).clone())
            .collect();
        for file in operands {
            // It is opened by somebody who sees what they change.
            self.touch_path(EffectKind::Read, &file.value, Qualities::ASKS, file.range);
            let writes = commands.iter().any(|command| {
                let text = command.text();
                text == b"wq"
                    || text == b"wq!"
                    || text == b"x"
                    || text == b"w"
                    || text == b"w!"
                    || text.starts_with(b"%s")
                    || text.starts_with(b":wq")
            });
            if writes {
                self.touch_path(EffectKind::Overwrite, &file.value, Qualities::NONE, file.range);
            }
        }
        if matches!(call.name.as_str(), "ex" | "vim" | "vi") {
            let stdin = self.stdin.take();
            if let Some(stdin) = stdin {
                for line in stdin.text.split(|byte| *byte == b'\n') {
                    self.editor_command(line, call.range);
                }
            }
        }
    }

    pub(super) fn editor_command(&mut self, command: &[u8], range: SourceRange) {
        let command = command.trim_ascii();
        let command = command.strip_prefix(b":").unwrap_or(command);
        let command = command.strip_prefix(b"silent").map_or(command, |rest| {
            rest.trim_ascii_start().strip_prefix(b"!").map_or(rest, |_| rest).trim_ascii_start()
        });
        if let Some(code) = after_bang(command) {
            self.escape_to_shell(&Value::known(code), range);
            return;
        }
        for (word, language) in [
            (&b"py3"[..], Some(Language::Python)),
            (b"python3", Some(Language::Python)),
            (b"python", Some(Language::Python)),
            (b"py", Some(Language::Python)),
            (b"lua", Some(Language::Lua)),
            (b"perl", Some(Language::Perl)),
            (b"ruby", Some(Language::Ruby)),
        ] {
            if let (Some(rest), Some(language)) = (command.strip_prefix(word), language)
                && rest.first().is_some_and(|byte| matches!(byte, b' ' | b':'))
            {
                let code = Value::known(rest.trim_ascii());
                let before = self.found.effects.len();
                self.run_script(language, &code, range, false);
                if self.found.effects.len() == before && rest.windows(2).any(|w| w == b"sh") {
                    self.emit(
                        EffectKind::ShellEscape,
                        Target::Name("editor".into()),
                        Qualities::NONE,
                        range,
                    );
                }
                return;
            }
        }
        let shells: [&[u8]; 4] = [b"shell", b"sh", b"terminal", b"term"];
        if shells.contains(&command)
            || command.starts_with(b"set shell=")
            || command.windows(8).any(|window| window == b"system('")
            || command.windows(8).any(|w| w == b"system(\"")
        {
            match quoted_part(command) {
                Some(code) => self.escape_to_shell(&Value::known(code), range),
                None => self.emit(
                    EffectKind::ShellEscape,
                    Target::Name("editor".into()),
                    Qualities::NONE,
                    range,
                ),
            }
        }
    }

    fn lines_with_bang(&mut self, call: &Call) {
        let stdin = self.stdin.take();
        for field in call.options("p", &[]).operands {
            let writes = stdin.as_ref().is_some_and(|input| {
                let mut lines = input.text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
                lines.any(|line| matches!(line, b"w" | b"wq" | b"w!"))
            });
            let (kind, quality) = if writes {
                (EffectKind::Overwrite, Qualities::NONE)
            } else {
                (EffectKind::Read, Qualities::ASKS)
            };
            self.touch_path(kind, &field.value, quality, field.range);
        }
        self.lines_with_bang_from(stdin, call);
    }

    fn lines_with_bang_from(&mut self, stdin: Option<Value>, call: &Call) {
        let Some(stdin) = stdin else { return };
        for line in stdin.text.split(|byte| *byte == b'\n') {
            let line = line.trim_ascii();
            if let Some(code) = line.strip_prefix(b":").unwrap_or(line).strip_prefix(b"!") {
                match call.name.as_str() {
                    "cpan" => {
                        self.run_script(Language::Perl, &Value::known(code), call.range, false)
                    }
                    _ => self.escape_to_shell(&Value::known(code), call.range),
                }
            } else if call.name == "ed"
                && let [b'e' | b'E' | b'r', b' ', file @ ..] = line
                && !file.starts_with(b"!")
            {
                let content = self.read_file(&Value::known(file), call.range);
                self.write(&content);
            }
        }
    }

    fn debugger(&mut self, call: &Call) {
        let words: Vec<Field> = call.arguments.clone();
        for pair in words.windows(2) {
            let [option, value] = pair else { continue };
            if !matches!(
                option.text(),
                b"-ex" | b"--eval-command" | b"-iex" | b"-x" | b"-ix" | b"--ex"
            ) {
                continue;
            }
            let text = value.text();
            let command = text.trim_ascii();
            if let Some(code) =
                after_bang(command).or_else(|| command.strip_prefix(b"shell ").map(<[u8]>::to_vec))
            {
                self.escape_to_shell(&Value::known(code), value.range);
            } else if let Some(code) =
                command.strip_prefix(b"python ").or_else(|| command.strip_prefix(b"py "))
            {
                self.run_script(Language::Python, &Value::known(code), value.range, false);
            } else if command.starts_with(b"call ")
                || command.starts_with(b"print ") && command.contains(&b'(')
            {
                self.emit(
                    EffectKind::Inject,
                    Target::Name("gdb".into()),
                    Qualities::NONE,
                    value.range,
                );
            }
        }
        let attaches = words.iter().any(|field| {
            matches!(field.text(), b"-p" | b"--pid")
                || field.text().starts_with(b"--pid=")
                || field.text().starts_with(b"-p=")
        });
        if attaches {
            self.emit(
                EffectKind::Inject,
                Target::Name("another process".into()),
                Qualities::NONE,
                call.range,
            );
        }
        if let Some(at) = words.iter().position(|field| field.text() == b"--args") {
            self.dispatch(words.get(at + 1..).unwrap_or_default().to_vec());
        }
    }

    /// make with a makefile that the command itself brings along.
    fn make(&mut self, call: &Call) {
        let options = call.options("fCjIoWl", &["file", "makefile", "directory", "jobs", "eval"]);
        if let Some(folder) = options.value("C|directory").cloned() {
            self.environment.directory = self.resolve(&folder.value);
        }
        let mut texts: Vec<(Value, SourceRange)> = Vec::new();
        for field in options.values("f|file|makefile").cloned().collect::<Vec<_>>() {
            let content = if field.text() == b"-" {
                self.take_stdin()
            } else {
                self.read_file(&field.value, field.range)
            };
            texts.push((content, field.range));
        }
        for field in options.values("eval").cloned().collect::<Vec<_>>() {
            texts.push((field.value.clone(), field.range));
        }
        if texts.is_empty() {
            for name in ["Makefile", "makefile", "GNUmakefile"] {
                self.note_file(&Value::known(name));
                let path = self.resolve(&Value::known(name));
                if let Some(content) = self.files.read(&path.text).cloned() {
                    texts.push((content, call.range));
                }
            }
        }
        for field in &options.operands {
            // `SHELL=…` and other variables that are programs.
            if let Some(code) = field.text().strip_prefix(b"SHELL=") {
                let code = Value::known(code);
                let range = field.range;
                self.escape_to_shell(&code, range);
            }
        }
        for (text, range) in texts {
            let mut recipe = Value::new(Vec::new(), text.taint);
            for line in text.text.split(|byte| *byte == b'\n') {
                let after_tab = line.strip_prefix(b"\t");
                let after_semicolon = || {
                    let colon = line.iter().position(|byte| *byte == b':')?;
                    let rest = line.get(colon..)?;
                    let semicolon = rest.iter().position(|byte| matches!(byte, b';' | b'\t'))?;
                    rest.get(semicolon + 1..)
                };
                if let Some(command) = after_tab.or_else(after_semicolon) {
                    let start = command
                        .iter()
                        .position(|byte| !matches!(byte, b'@' | b'-' | b'+' | b' ' | b'\t'))
                        .unwrap_or(0);
                    let command = String::from_utf8_lossy(command.get(start..).unwrap_or_default())
                        .replace("$$", "$");
                    recipe.push(command.as_bytes());
                    recipe.push(b"\n");
                }
                if let Some(at) = line.windows(8).position(|window| window == b"$(shell ") {
                    let code = line.get(at + 8..).unwrap_or_default();
                    recipe.push(code.strip_suffix(b")").unwrap_or(code));
                    recipe.push(b"\n");
                }
            }
            if text.is_wholly_unknown() && text.taint.has(Taint::NETWORK) {
                recipe = text;
            }
            if !recipe.is_empty() {
                let calls = self.found.calls.len();
                self.captured(|evaluator| evaluator.run_code(&recipe, range));
                let found = self.found.calls.get(calls..).unwrap_or_default();
                let shell = found.iter().any(|call| {
                    matches!(call.name.as_str(), "sh" | "bash")
                        && !call.arguments.iter().any(|field| !field.text().starts_with(b"-"))
                });
                if shell {
                    self.emit(
                        EffectKind::ShellEscape,
                        Target::Name("make".into()),
                        Qualities::NONE,
                        range,
                    );
                }
            }
        }
    }

    fn terminal(&mut self, call: &Call) {
        let words: Vec<&[u8]> = call.arguments.iter().map(Field::text).collect();
        match call.name.as_str() {
            "tmux" => {
                let starts = words.iter().position(|word| {
                    matches!(
                        *word,
                        b"new-session"
                            | b"new"
                            | b"new-window"
                            | b"neww"
                            | b"split-window"
                            | b"run-shell"
                            | b"run"
                            | b"send-keys"
                            | b"send"
                            | b"respawn-pane"
                            | b"if-shell"
                            | b"-c"
                    )
                });
                let Some(at) = starts else { return };
                let rest = call.arguments.get(at + 1..).unwrap_or_default();
                let options = crate::evaluate::call::Options::read(rest, "tsnceFxy", &[], true);
                let code = crate::evaluate::builtin::joined(
                    &options.operands.iter().map(|f| (*f).clone()).collect::<Vec<_>>(),
                );
                self.captured(|evaluator| evaluator.run_code(&code, call.range));
            }
            "screen" => {
                let options = call.options_before_operands("SceThpst", &[]);
                let rest: Vec<Field> = options.operands.iter().map(|f| (*f).clone()).collect();
                if let [verb, code, ..] = rest.as_slice()
                    && options.has("X")
                    && matches!(verb.text(), b"stuff" | b"exec")
                {
                    let code = code.clone();
                    self.captured(|evaluator| evaluator.run_code(&code.value, code.range));
                }
                if !options.has("X|r|x|ls") && !rest.is_empty() {
                    let qualities = self.qualities;
                    self.qualities = qualities.with(Qualities::DETACHED);
                    self.dispatch(rest);
                    self.qualities = qualities;
                }
            }
            _ => {
                let options = call.options_before_operands("aAbcCDefgHiIlmMnopPqrsStTvwWz", &[]);
                let rest: Vec<Field> = options.operands.iter().map(|f| (*f).clone()).collect();
                self.dispatch(rest);
            }
        }
    }
}

/// The first text in quotes.
fn quoted_part(text: &[u8]) -> Option<&[u8]> {
    let open = text.iter().position(|byte| matches!(byte, b'\'' | b'"'))?;
    let rest = text.get(open + 1..)?;
    let close = rest.iter().rposition(|byte| Some(byte) == text.get(open))?;
    rest.get(..close).filter(|part| !part.is_empty())
}

/// What follows the `!` at the start of a command of an editor or a pager.
fn after_bang(command: &[u8]) -> Option<Vec<u8>> {
    let at = command.iter().position(|byte| *byte == b'!')?;
    let before = command.get(..at)?;
    let is_command = before.is_empty()
        || before.iter().all(|byte| {
            byte.is_ascii_digit() || matches!(byte, b'.' | b',' | b'%' | b'$' | b' ' | b':')
        })
        || before == b"r "
        || before == b"w "
        || before == b"r";
    let rest = command.get(at + 1..)?;
    (is_command && !rest.is_empty()).then(|| rest.to_vec())
}

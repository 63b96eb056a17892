//! Shells, and what hands them their commands.

use crate::effect::{EffectKind, Qualities, Target};
use crate::evaluate::Evaluator;
use crate::evaluate::call::Call;
use crate::evaluate::expand::Field;
use crate::evaluate::redirect::without_schedule;
use crate::evaluate::value::{Taint, Value};
use crate::source_range::SourceRange;

impl Evaluator<'_> {
    pub(super) fn shell(&mut self, call: &Call) {
        let options = call.options_before_operands("oO", &["rcfile", "init-file", "command"]);
        if options.has("n|noexec") && !options.has("norc|noprofile")
            || options.has("version|help|dump-strings")
        {
            return;
        }
        for file in options.values("rcfile|init-file").cloned().collect::<Vec<_>>() {
            let content = self.read_file(&file.value, file.range);
            self.run_code(&content, file.range);
        }
        let mut operands: Vec<Field> =
            options.operands.iter().map(|field| (*field).clone()).collect();
        let from_text = options.has("c|command|Command|lc|ic");
        let attached = options.value("command").cloned();
        if from_text || attached.is_some() {
            let code = match attached {
                Some(code) => code,
                None if operands.is_empty() => return,
                None => operands.remove(0),
            };
            // Behind the text come `$0`, `$1` and so on.
            let mut operands = operands.into_iter().map(|field| field.value);
            let zero = operands.next().unwrap_or_else(|| Value::known("bash"));
            let before = std::mem::replace(&mut self.environment.zero, zero);
            self.run_with(&code.value, operands.collect(), code.range);
            self.environment.zero = before;
            return;
        }
        if options.has("s")
            || operands.is_empty()
            || operands.first().is_some_and(|field| {
                matches!(field.text(), b"-" | b"/dev/stdin" | b"/proc/self/fd/0")
            })
        {
            if options.has("s") && !operands.is_empty() {
                self.environment.positional =
                    operands.into_iter().map(|field| field.value).collect();
                self.environment.positional_unknown = false;
            }
            self.reading_input(call, options.has("i"));
            return;
        }
        let file = operands.remove(0);
        let content = self.read_file(&file.value, file.range);
        if content.is_wholly_unknown() {
            self.judge_code_origin(&content, file.range);
            self.write(&Value::unknown(Taint::OUTPUT));
            return;
        }
        self.run_file(&content, operands, file.range);
    }

    /// A shell that reads its commands from its input, or from whoever sits there.
    fn reading_input(&mut self, call: &Call, interactive: bool) {
        if self.on_network {
            self.emit(EffectKind::ReverseShell, Target::None, Qualities::NONE, call.range);
            return;
        }
        let Some(code) = self.stdin.take() else {
            self.pipeline.shell.get_or_insert(call.range);
            if self.qualities.has(Qualities::PRIVILEGED) && self.piped == 0 {
                self.emit(
                    EffectKind::Privilege,
                    Target::Name("root".into()),
                    Qualities::UNUSUAL,
                    call.range,
                );
            }
            self.write(&Value::unknown(Taint::OUTPUT));
            return;
        };
        let unknown = code.is_wholly_unknown();
        if unknown || interactive {
            self.pipeline.shell.get_or_insert(call.range);
        }
        self.run_code(&code, call.range);
        if unknown {
            self.write(&Value::unknown(Taint::OUTPUT));
        }
    }

    /// Runs code with positional parameters of its own.
    pub(super) fn run_with(&mut self, code: &Value, positional: Vec<Value>, range: SourceRange) {
        let before = std::mem::replace(&mut self.environment.positional, positional);
        let unknown = std::mem::replace(&mut self.environment.positional_unknown, false);
        self.run_code(code, range);
        (self.environment.positional, self.environment.positional_unknown) = (before, unknown);
    }

    /// A loop that tries one password of a list after the other.
    fn passwords_tried(&mut self, range: SourceRange) {
        let target = Target::Name("passwords, one after the other".into());
        self.emit(EffectKind::Scan, target, Qualities::NONE, range);
    }

    /// `su`, `runuser`: another user's shell.
    pub(super) fn switch_user(&mut self, call: &Call) {
        if self.stdin.as_ref().is_some_and(|input| input.taint.has(Taint::EACH)) {
            self.passwords_tried(call.range);
        }
        let options = call.options("csgGu", &["command", "shell", "group", "user"]);
        let qualities = self.qualities;
        let user = options
            .operands
            .iter()
            .find(|field| field.text() != b"-")
            .map(|field| field.text().to_vec());
        let root = user.as_deref().is_none_or(|user| user == b"root");
        self.qualities = qualities.with_if(root, Qualities::PRIVILEGED);
        let command: Vec<Field> = match (call.name.as_str(), options.value("u|user")) {
            ("runuser", Some(_)) => options.operands.iter().map(|field| (*field).clone()).collect(),
            _ => Vec::new(),
        };
        match options.value("c|command").cloned() {
            Some(code) => self.run_code(&code.value, code.range),
            None if !command.is_empty() => self.dispatch(command),
            None => {
                let target = Target::Name(if root {
                    "root".into()
                } else {
                    String::from_utf8_lossy(&user.unwrap_or_default()).into_owned()
                });
                self.emit(EffectKind::Privilege, target, Qualities::NONE, call.range);
                if let Some(code) = self.stdin.take() {
                    self.run_code(&code, call.range);
                }
            }
        }
        self.qualities = qualities;
    }

    /// Commands on another machine.
    pub(super) fn remote_shell(&mut self, call: &Call) {
        if call.name == "sshpass" {
            let options = call.options_before_operands("pfde", &[]);
            if options.value("p").is_some_and(|field| field.value.taint.has(Taint::EACH)) {
                self.passwords_tried(call.range);
            }
            let rest: Vec<Field> = options.operands.into_iter().cloned().collect();
            self.dispatch(rest);
            return;
        }
        let options = call.options_before_operands("bcDEeFIiJLlmOopQRSWwB", &[]);
        for option in options.values("o").cloned().collect::<Vec<_>>() {
            let text = option.text().to_vec();
            for key in
                [&b"ProxyCommand"[..], b"LocalCommand", b"KnownHostsCommand", b"PermitLocalCommand"]
            {
                if let Some(rest) = strip_word(&text, key) {
                    let code = rest.to_vec();
                    let benign = code.starts_with(b"ssh ")
                        || code.starts_with(b"nc ")
                        || code == b"none"
                        || code == b"yes"
                        || code == b"no";
                    if !benign {
                        self.escape_to_shell(&Value::known(code), option.range);
                    }
                }
            }
        }
        if options.has("R") {
            self.emit(
                EffectKind::Listen,
                Target::Name("a port forwarded from elsewhere".into()),
                Qualities::NONE,
                call.range,
            );
        }
        let mut operands = options.operands.into_iter();
        let Some(host) = operands.next() else { return };
        let mut name = host.value.lossy();
        if let Some((_, after)) = name.split_once('@') {
            name = after.to_owned();
        }
        let rest: Vec<Field> = operands.cloned().collect();
        let given = self.stdin.as_ref().map_or(Taint::NONE, |stdin| stdin.taint);
        // `tar c folder | ssh host 'cat > folder.tar'`
        let secret = given.has(Taint::SECRET);
        if secret || given.has(Taint::FILE) && !rest.is_empty() {
            self.emit(
                EffectKind::Send,
                Target::Host(name.clone()),
                Qualities::NONE.with_if(secret, Qualities::WITH_SECRETS),
                call.range,
            );
        }
        let qualities = self.qualities;
        self.qualities = qualities.with(Qualities::REMOTE);
        if rest.is_empty() {
            if let Some(code) = self.stdin.take() {
                self.run_elsewhere(&code, call.range);
            }
            self.emit(EffectKind::Connect, Target::Host(name), Qualities::NONE, call.range);
        } else {
            // The words are joined and given to the shell over there.
            let code = crate::evaluate::builtin::joined(&rest);
            let range = crate::evaluate::builtin::span(&rest, call.range);
            self.run_elsewhere(&code, range);
        }
        self.qualities = qualities;
        self.write(&Value::unknown(Taint::OUTPUT.with(Taint::NETWORK)));
    }

    /// Code that runs where other files are: in an environment of its own.
    pub(super) fn run_elsewhere(&mut self, code: &Value, range: SourceRange) {
        let there = crate::evaluate::environment::Environment::new(b"/home/elsewhere/work");
        let here = std::mem::replace(&mut self.environment, there);
        self.captured(|evaluator| evaluator.run_code(code, range));
        self.environment = here;
    }

    /// Commands that run later.
    pub(super) fn at(&mut self, call: &Call) {
        let options = call.options("fqt", &[]);
        if options.has("l|r|d|c") {
            return;
        }
        // Without a text it asks for one.
        let asks = self.stdin.is_none() && options.value("f").is_none();
        let quality = Qualities::NONE.with_if(asks, Qualities::ASKS);
        let code = match options.value("f").cloned() {
            Some(file) => self.read_file(&file.value, file.range),
            None => self.take_stdin(),
        };
        self.emit(EffectKind::Persist, Target::Name("at".into()), quality, call.range);
        self.detached_code(&code, call.range);
    }

    fn detached_code(&mut self, code: &Value, range: SourceRange) {
        let qualities = self.qualities;
        self.qualities = qualities.with(Qualities::DETACHED);
        self.captured(|evaluator| evaluator.run_code(code, range));
        self.qualities = qualities;
    }

    pub(super) fn crontab(&mut self, call: &Call) {
        let options = call.options("u", &[]);
        if options.has("l") {
            self.write(&Value::unknown(Taint::FILE));
            return;
        }
        if options.has("e") || options.has("r") && options.operands.is_empty() {
            return;
        }
        let table = match options.operands.first().map(|field| (*field).clone()) {
            Some(file) if file.text() != b"-" => self.read_file(&file.value, file.range),
            _ => self.take_stdin(),
        };
        self.emit(EffectKind::Persist, Target::Name("crontab".into()), Qualities::NONE, call.range);
        if table.is_known() || !table.is_wholly_unknown() {
            let mut commands = table.clone();
            commands.text = without_schedule(&table.text);
            self.detached_code(&commands, call.range);
        }
    }
}

fn strip_word<'t>(text: &'t [u8], word: &[u8]) -> Option<&'t [u8]> {
    let (start, rest) = text.split_at_checked(word.len())?;
    if !start.eq_ignore_ascii_case(word) {
        return None;
    }
    let rest = rest.trim_ascii_start();
    Some(rest.strip_prefix(b"=").unwrap_or(rest).trim_ascii_start())
}

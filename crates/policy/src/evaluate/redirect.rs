//! Redirections: where a command reads from and writes to.

use super::Evaluator;
use super::value::{Taint, Value};
use crate::effect::{EffectKind, Qualities, Target};
use crate::path_class::PathClass;
use crate::source_range::SourceRange;
use crate::syntax::tree::{Command, CommandKind, List, Part, Redirect, RedirectKind, Word};

/// How many ports a command may knock at before it is a scan.
const MOST_PROBES: u32 = 4;

/// Where output goes.
enum Sink {
    /// To a file, from the start or behind what is there.
    File { path: Value, append: bool, range: SourceRange },
    /// To commands that read it: `> >(sh)`.
    Process(List),
    /// To another machine.
    Connection { host: String, range: SourceRange },
    /// To nowhere that is read again: another descriptor, the network.
    Elsewhere,
}

/// Whether a connection's name ends with one port, or with one that is set elsewhere: not with a
/// range of them, nor with each of a list.
fn is_one_port(path: &Value) -> bool {
    let port = path.text.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let listed = [Taint::EACH, Taint::OUTPUT, Taint::FILE];
    port.iter().all(u8::is_ascii_digit)
        || port.iter().all(|byte| *byte == crate::effect::UNKNOWN)
            && !listed.iter().any(|taint| path.taint.has(*taint))
}

/// Whether a command does nothing but open its redirections, and says at most an empty line.
fn says_nothing(command: &Command) -> bool {
    let CommandKind::Simple { words, .. } = &command.kind else { return false };
    let silent: [&[u8]; 3] = [b":", b"true", b"echo"];
    match words.as_slice() {
        [] => true,
        [word] => silent.iter().any(|name| word.is_literal(name)),
        _ => false,
    }
}

impl Evaluator<'_> {
    pub(super) fn redirected(
        &mut self,
        redirects: &[Redirect],
        command: &Command,
        run: impl FnOnce(&mut Self),
    ) {
        let (stdin, on_network) = (self.stdin.clone(), self.on_network);
        let mut sinks = Vec::new();
        let says_nothing = std::mem::replace(&mut self.says_nothing, says_nothing(command));
        for redirect in redirects {
            if !self.work.spend(super::A_COMMAND) {
                break;
            }
            self.redirect(redirect, &mut sinks);
        }
        self.says_nothing = says_nothing;
        // `exec 5<>/dev/tcp/…` keeps its redirections; so does `exec < file`.
        let permanent = matches!(&command.kind, CommandKind::Simple { words, .. }
            if words.len() == 1 && words.first().is_some_and(|word| word.is_literal(b"exec")));
        self.shell_at_terminal(command);
        if sinks.is_empty() {
            run(self);
        } else {
            let output = self.captured(run);
            for sink in sinks {
                match sink {
                    Sink::File { path, append, range } => {
                        self.write_file(&path, &output, append, range);
                    }
                    Sink::Process(list) => {
                        let before = self.stdin.replace(output.clone());
                        self.process_substitution(true, &list);
                        self.stdin = before;
                    }
                    Sink::Connection { host, range } => self.sent_to_socket(&output, host, range),
                    Sink::Elsewhere => {}
                }
            }
        }
        if !permanent {
            (self.stdin, self.on_network) = (stdin, on_network);
        }
    }

    fn redirect(&mut self, redirect: &Redirect, sinks: &mut Vec<Sink>) {
        let range = self.place(redirect.range);
        let descriptor = redirect.descriptor;
        match &redirect.kind {
            RedirectKind::Input(word) => {
                let path = self.text(word);
                if let Some(stranger) = self.socket(&path, range) {
                    self.connect_descriptor(descriptor.unwrap_or(0), stranger);
                } else {
                    let content = self.read_file(&path, range);
                    self.given(descriptor, content);
                }
            }
            RedirectKind::ReadWrite(word) => {
                let path = self.text(word);
                match self.socket(&path, range) {
                    Some(stranger) => self.connect_descriptor(descriptor.unwrap_or(0), stranger),
                    None => self.touch_path(EffectKind::Write, &path, Qualities::NONE, range),
                }
            }
            RedirectKind::Output(word) => self.output(word, descriptor, false, false, range, sinks),
            RedirectKind::Append(word) => self.output(word, descriptor, true, false, range, sinks),
            RedirectKind::Both(word) => self.output(word, descriptor, false, true, range, sinks),
            RedirectKind::BothAppend(word) => {
                self.output(word, descriptor, true, true, range, sinks)
            }
            RedirectKind::Duplicate { output, word } => {
                let target = self.text(word);
                let number = std::str::from_utf8(&target.text)
                    .ok()
                    .and_then(|text| text.trim_end_matches('-').parse::<u32>().ok());
                let own = descriptor.unwrap_or(u32::from(*output));
                if let Some(stranger) = self.socket(&target, range) {
                    self.connect_descriptor(own, stranger);
                    sinks.push(Sink::Elsewhere);
                    return;
                }
                if number.is_none() && *output && target.text != b"-" && target.is_known() {
                    sinks.push(Sink::File { path: target, append: false, range });
                    return;
                }
                match number {
                    Some(number)
                        if !*output && self.files.read(&descriptor_path(number)).is_some() =>
                    {
                        self.stdin = self.files.read(&descriptor_path(number)).cloned();
                        if self.stdin.as_ref().is_some_and(|input| input.taint.has(Taint::STRANGER))
                        {
                            self.on_network = true;
                        }
                    }
                    Some(number) if self.sockets.contains_key(&number) => {
                        let stranger = self.sockets.get(&number).copied().unwrap_or(true);
                        self.connect_descriptor(own, stranger);
                    }
                    Some(_) if *output && own == 1 => sinks.push(Sink::Elsewhere),
                    _ => {}
                }
            }
            RedirectKind::HereDocument { body, expands } => {
                let text = if *expands { self.document(&body.parts) } else { self.text(body) };
                self.given(descriptor, text);
            }
            RedirectKind::HereString(word) => {
                let mut text = self.text(word);
                text.push(b"\n");
                self.given(descriptor, text);
            }
        }
    }

    fn output(
        &mut self,
        word: &Word,
        descriptor: Option<u32>,
        append: bool,
        both: bool,
        range: SourceRange,
        sinks: &mut Vec<Sink>,
    ) {
        if let ([Part::ProcessSubstitution { output: true, list }], None | Some(1)) =
            (word.parts.as_slice(), descriptor)
        {
            sinks.push(Sink::Process(list.clone()));
            return;
        }
        let path = self.text(word);
        if let Some(stranger) = self.socket(&path, range) {
            self.connect_descriptor(descriptor.unwrap_or(1), stranger);
            sinks.push(match stranger && matches!(descriptor, None | Some(1)) {
                true => Sink::Connection { host: host_of(&path), range },
                false => Sink::Elsewhere,
            });
            return;
        }
        if both && !append && path.text.iter().all(u8::is_ascii_digit) {
            return;
        }
        match descriptor {
            None | Some(1) => sinks.push(Sink::File { path, append, range }),
            // Messages of unknown content.
            Some(_) => self.write_file(&path, &Value::default(), append, range),
        }
    }

    /// A text that can be read from a descriptor, standard input if none is named.
    fn given(&mut self, descriptor: Option<u32>, text: Value) {
        match descriptor {
            None | Some(0) => self.stdin = Some(text),
            Some(number) => self.files.write(&descriptor_path(number), text),
        }
    }

    fn connect_descriptor(&mut self, descriptor: u32, stranger: bool) {
        self.sockets.insert(descriptor, stranger);
        if descriptor <= 2 {
            self.on_network = true;
        }
        if descriptor == 0 {
            let taint = Taint::NETWORK.with(if stranger { Taint::STRANGER } else { Taint::NONE });
            self.stdin = Some(Value::unknown(taint));
        }
    }

    /// Whether `path` is bash's name for a connection: `/dev/tcp/HOST/PORT`.
    fn socket(&mut self, path: &Value, range: SourceRange) -> Option<bool> {
        let rest = path
            .text
            .strip_prefix(b"/dev/tcp/")
            .or_else(|| path.text.strip_prefix(b"/dev/udp/"))?;
        let host = first_step(rest);
        let local = matches!(host.as_str(), "localhost" | "127.0.0.1" | "::1");
        if !local {
            // `</dev/tcp/db/5432` asks whether somebody listens there; asking everywhere is a scan.
            let probes = self.says_nothing && is_one_port(path);
            self.probes += u32::from(probes);
            let probes = probes && self.probes <= MOST_PROBES;
            let quality = Qualities::NONE.with_if(!probes, Qualities::UNUSUAL);
            self.emit(EffectKind::Connect, Target::Host(host), quality, range);
        }
        Some(!local)
    }

    /// What is written into a connection leaves the machine.
    fn sent_to_socket(&mut self, output: &Value, host: String, range: SourceRange) {
        if output.taint.has(Taint::SECRET) {
            self.emit(EffectKind::Send, Target::Host(host), Qualities::WITH_SECRETS, range);
        }
    }

    /// What a file holds, as far as it is known; reading it is an effect.
    pub(crate) fn read_file(&mut self, path: &Value, range: SourceRange) -> Value {
        let resolved = self.resolve(path);
        if let Some(content) = self.files.read(&resolved.text).cloned() {
            self.copied(content.text.len());
            return content;
        }
        if matches!(resolved.text.as_slice(), b"/dev/stdin" | b"/proc/self/fd/0" | b"/dev/fd/0") {
            return self.take_stdin();
        }
        let class = self.class_of(&resolved, EffectKind::Read);
        let mut taint = Taint::FILE;
        match class {
            PathClass::Credential => taint = taint.with(Taint::SECRET),
            PathClass::HarmlessDevice if resolved.text.ends_with(b"null") => {
                return Value::default();
            }
            PathClass::HarmlessDevice => taint = taint.with(Taint::ENDLESS),
            _ => {}
        }
        self.touch_path(EffectKind::Read, path, Qualities::NONE, range);
        Value::unknown(taint)
    }

    /// Writes `content` to a file.
    pub(crate) fn write_file(
        &mut self,
        path: &Value,
        content: &Value,
        append: bool,
        range: SourceRange,
    ) {
        let resolved = self.resolve(path);
        let kind = if append { EffectKind::Write } else { EffectKind::Overwrite };
        let class = self.class_of(&resolved, kind);
        let secrets = Qualities::NONE
            .with_if(content.taint.has(Taint::SECRET), Qualities::WITH_SECRETS)
            .with_if(content.taint.has(Taint::NETWORK), Qualities::FROM_NETWORK);
        let from_file = class == PathClass::Startup
            && content.is_wholly_unknown()
            && content.taint.has(Taint::FILE)
            && !content.taint.has(Taint::NETWORK)
            && [&b".service"[..], b".timer", b".socket"]
                .iter()
                .any(|end| resolved.text.ends_with(end));
        let secrets = secrets.with_if(from_file, Qualities::USUAL);
        if resolved.text.starts_with(b"/etc/sysctl") {
            let hardening = [
                &b"randomize_va_space"[..],
                b"ptrace_scope",
                b"kptr_restrict",
                b"dmesg_restrict",
                b"core_pattern",
                b"sysrq",
                b"unprivileged",
            ];
            if hardening
                .iter()
                .any(|key| content.text.windows(key.len()).any(|window| window == *key))
            {
                self.emit(
                    EffectKind::Weaken,
                    Target::Name("sysctl".into()),
                    Qualities::NONE,
                    range,
                );
            }
        }
        let loopback = resolved.text == b"/etc/hosts" && names_only_loopback(&content.text);
        let secrets = secrets.with_if(loopback, Qualities::USUAL);
        let endless = content.taint.has(Taint::ENDLESS);
        if endless && !matches!(class, PathClass::HarmlessDevice | PathClass::Device) {
            self.emit(EffectKind::Exhaust, Target::Name("disk".into()), Qualities::ENDLESS, range);
        }
        if class == PathClass::Device {
            self.touch_path(EffectKind::Wipe, path, secrets, range);
            return;
        }
        self.touch_path(kind, path, secrets, range);
        let holds = |part: &[u8]| content.text.windows(part.len()).any(|window| window == part);
        if resolved.text.starts_with(b"/etc/apt/") {
            if holds(b"-Invoke") {
                self.emit(EffectKind::Persist, Target::Name("apt".into()), Qualities::NONE, range);
            }
            if holds(b"trusted=yes") || holds(b"AllowUnauthenticated") {
                self.emit(EffectKind::Weaken, Target::Name("apt".into()), Qualities::NONE, range);
            }
        }
        // Code that Python runs whenever it starts.
        if resolved.text.ends_with(b".pth") && holds(b"import ")
            || resolved.text.ends_with(b"/sitecustomize.py")
            || resolved.text.ends_with(b"/usercustomize.py")
        {
            let target = Target::Name("every start of Python".into());
            self.emit(EffectKind::Persist, target, Qualities::NONE, range);
        }
        if holds(b"NOPASSWD") && holds(b"ALL=") && !is_text_about(&resolved.text) {
            let target = Target::Name("rights of sudo".into());
            self.emit(EffectKind::Privilege, target, Qualities::NONE, range);
        }
        if class == PathClass::Startup && content.is_known() && !content.is_empty() {
            self.judge_startup(&resolved, content, range);
        }
        self.settings_written(&resolved.text, content, range);
        self.copied(content.text.len());
        if append {
            self.files.append(&resolved.text, content);
        } else {
            self.files.write(&resolved.text, content.clone());
        }
    }

    /// What is written to a start-up file will be run: it is judged as if it were.
    fn judge_startup(&mut self, path: &Value, content: &Value, range: SourceRange) {
        let name = path.text.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let holds = |part: &[u8]| content.text.windows(part.len()).any(|window| window == part);
        if name.starts_with(b"authorized_keys") && holds(b"ssh-") {
            let target = Target::Name("a key that logs in".into());
            self.emit(EffectKind::Persist, target, Qualities::ALL_OF_THEM, range);
        }
        let odd = [
            &b"/tmp/"[..],
            b"/dev/shm/",
            b"/var/tmp/",
            b"alias sudo=",
            b"alias su=",
            b"alias ssh=",
            b"nohup ",
        ];
        if odd.iter().any(|part| holds(part)) && name != b"authorized_keys" {
            let target = Target::Path { path: path.lossy(), class: PathClass::Startup };
            self.emit(EffectKind::Persist, target, Qualities::NONE, range);
        }
        if name == b"authorized_keys" || content.text.starts_with(b"ssh-") {
            return;
        }
        let qualities = self.qualities;
        self.qualities = qualities.with(Qualities::DETACHED);
        let mut code = content.clone();
        if path.text.windows(5).any(|part| part == b"/cron" || part == b"cron/") {
            code.text = without_schedule(&content.text);
        } else if path.text.ends_with(b".service") || path.text.ends_with(b".desktop") {
            code.text = unit_commands(&content.text);
        }
        let environment = self.environment.clone();
        self.captured(|evaluator| evaluator.run_code(&code, range));
        self.environment = environment;
        self.qualities = qualities;
    }

    /// The path through which a process substitution is read or written.
    pub(crate) fn process_substitution(&mut self, output: bool, list: &List) -> Value {
        let (environment, stdin) = (self.environment.clone(), self.stdin.clone());
        self.parallel += 1;
        let written = self.captured(|evaluator| {
            if output && evaluator.stdin.is_none() {
                evaluator.stdin = Some(Value::unknown(Taint::OUTPUT));
            }
            evaluator.list(list);
        });
        self.parallel -= 1;
        (self.environment, self.stdin) = (environment, stdin);
        self.files.pipe(if output { Value::default() } else { written })
    }

    /// Everything that the current command can read.
    pub(crate) fn take_stdin(&mut self) -> Value {
        match self.stdin.as_mut().map(std::mem::take) {
            Some(value) => {
                self.note_input(&value);
                value
            }
            None => Value::unknown(Taint::TYPED),
        }
    }
}

/// Whether a file is one that people read, or a recipe for another machine.
fn is_text_about(path: &[u8]) -> bool {
    [
        &b".md"[..],
        b".txt",
        b".rst",
        b".adoc",
        b".html",
        b".yml",
        b".yaml",
        b"Dockerfile",
        b".log",
        b".sample",
        b".example",
        b".tmpl",
        b".j2",
    ]
    .iter()
    .any(|end| path.ends_with(end))
        || path.windows(6).any(|part| part == b"/docs/")
}

/// The host of `/dev/tcp/HOST/PORT`.
fn host_of(path: &Value) -> String {
    first_step(path.text.get(b"/dev/tcp/".len()..).unwrap_or_default())
}

fn first_step(path: &[u8]) -> String {
    let step = path.split(|byte| *byte == b'/').next().unwrap_or_default();
    String::from_utf8_lossy(step).into_owned()
}

/// Whether every line of a hosts file gives names to this machine itself.
fn names_only_loopback(text: &[u8]) -> bool {
    let mut lines =
        text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    !text.is_empty()
        && lines.all(|line| {
            [&b"127."[..], b"::1", b"0.0.0.0", b"#"].iter().any(|start| line.starts_with(start))
        })
}

/// The path through which a descriptor is read.
pub(crate) fn descriptor_path(number: u32) -> Vec<u8> {
    format!("/dev/fd/{number}").into_bytes()
}

/// The commands of a crontab, without the five or six fields before them.
pub(crate) fn without_schedule(table: &[u8]) -> Vec<u8> {
    let mut commands = Vec::new();
    for line in table.split(|byte| *byte == b'\n') {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let skip = if line.starts_with(b"@") { 1 } else { 5 };
        let mut rest = line;
        for _ in 0..skip {
            let end = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
            rest = rest.get(end..).unwrap_or_default().trim_ascii_start();
        }
        let rest = rest.strip_prefix(b"root ").unwrap_or(rest);
        commands.extend_from_slice(rest);
        commands.push(b'\n');
    }
    commands
}

/// The commands that a unit or a desktop entry runs.
fn unit_commands(unit: &[u8]) -> Vec<u8> {
    let mut commands = Vec::new();
    for line in unit.split(|byte| *byte == b'\n') {
        if let Some(at) = line.iter().position(|byte| *byte == b'=')
            && line.starts_with(b"Exec")
        {
            let command = line.get(at + 1..).unwrap_or_default();
            let start =
                command.iter().position(|b| !matches!(b, b'-' | b'@' | b'+' | b'!' | b':' | b' '));
            commands.extend_from_slice(command.get(start.unwrap_or(0)..).unwrap_or_default());
            commands.push(b'\n');
        }
    }
    commands
}

//! Programs that fetch, send, and talk with other machines.

use crate::effect::{EffectKind, Qualities, Target};
use crate::evaluate::Evaluator;
use crate::evaluate::call::Call;
use crate::evaluate::expand::Field;
use crate::evaluate::value::{Taint, Value};
use crate::path_class::PathClass;
use crate::source_range::SourceRange;

/// Whether a program of that name sends what it reads to other machines.
pub(super) fn sends(name: &str) -> bool {
    matches!(
        name,
        "mail"
            | "mailx"
            | "sendmail"
            | "mutt"
            | "nc"
            | "ncat"
            | "socat"
            | "telnet"
            | "curl"
            | "wget"
            | "ssh"
            | "lftp"
            | "gh"
            | "aws"
            | "gsutil"
            | "finger"
            | "whois"
            | "dig"
            | "nslookup"
            | "host"
            | "ping"
            | "logger"
            | "xclip"
            | "wormhole"
            | "croc"
    )
}

/// Hosts whose installers are known and served encrypted by those who make the program.
const INSTALLERS: &[&str] = &[
    "sh.rustup.rs",
    "static.rust-lang.org",
    "get.docker.com",
    "raw.githubusercontent.com",
    "github.com",
    "deb.nodesource.com",
    "rpm.nodesource.com",
    "install.python-poetry.org",
    "get.helm.sh",
    "bun.sh",
    "deno.land",
    "fnm.vercel.app",
    "get.sdkman.io",
    "astral.sh",
    "get.k3s.io",
    "packages.microsoft.com",
    "download.docker.com",
    "pyenv.run",
    "mise.run",
    "mise.jdx.dev",
    "sh.brew.sh",
    "get.pnpm.io",
    "bootstrap.pypa.io",
    "install.determinate.systems",
    "nixos.org",
    "cli.github.com",
    "apt.llvm.org",
    "packages.cloud.google.com",
    "sdk.cloud.google.com",
    "dot.net",
    "dl.google.com",
    "get.volta.sh",
    "starship.rs",
    "tailscale.com",
    "ollama.com",
    "ollama.ai",
    "claude.ai",
    "code.headmelted.com",
    "www.gitlab.com",
    "packages.gitlab.com",
    "dvc.org",
    "fly.io",
    "get.rvm.io",
    "cli.run.nu",
    "raw.github.com",
    "gist.githubusercontent.com",
    "git.io",
    "just.systems",
    "pixi.sh",
    "foundry.paradigm.xyz",
];

/// What an address tells of the machine behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) host: String,
    pub(super) local: bool,
    pub(super) encrypted: bool,
    pub(super) bare: bool,
    pub(super) known: bool,
}

/// The machine that an address names.
pub(super) fn place(address: &[u8]) -> Place {
    let text = String::from_utf8_lossy(address).into_owned();
    let (scheme, rest) = text.split_once("://").unwrap_or(("", &text));
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let name = if host.starts_with('[') {
        host.split(']').next().unwrap_or_default().trim_start_matches('[')
    } else {
        host.split(':').next().unwrap_or_default()
    };
    let name = name.to_ascii_lowercase();
    let numeric = !name.is_empty()
        && (name
            .split('.')
            .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
            && (name.contains('.') || name.len() > 7)
            || name.starts_with("0x")
            || name.contains(':'));
    let private =
        ["127.", "10.", "192.168.", "169.254."].iter().any(|start| name.starts_with(start))
            || name == "::1"
            || name == "0.0.0.0"
            || name
                .strip_prefix("172.")
                .and_then(|rest| rest.split('.').next()?.parse::<u8>().ok())
                .is_some_and(|part| (16..32).contains(&part));
    let loopback = name.starts_with("127.")
        || matches!(name.as_str(), "localhost" | "::1" | "0.0.0.0" | "host.docker.internal")
        || name.ends_with(".localhost")
        || name.ends_with(".local");
    Place {
        local: loopback,
        encrypted: matches!(scheme, "https" | "ftps" | "sftp" | "ssh" | "git"),
        bare: numeric && !loopback && !private,
        known: INSTALLERS.iter().any(|known| name == *known),
        host: name,
    }
}

impl Evaluator<'_> {
    /// Secrets in the arguments or the input of a program that sends them away.
    pub(crate) fn judge_sent(&mut self, call: &Call) {
        let secret = |value: &Value| value.taint.has(Taint::SECRET);
        let mut sent = call.arguments.iter().any(|field| secret(&field.value))
            || self.stdin.as_ref().is_some_and(secret);
        if !sends(&call.name) {
            return;
        }
        if matches!(call.name.as_str(), "aws" | "gsutil" | "gh" | "croc" | "wormhole") {
            // Files that they copy elsewhere.
            for field in call.arguments.iter().filter(|field| field.text().contains(&b'/')) {
                let resolved = self.resolve(&field.value);
                sent |= self.class_of(&resolved, EffectKind::Read) == PathClass::Credential;
            }
        }
        let names = matches!(call.name.as_str(), "dig" | "host" | "nslookup" | "ping" | "drill");
        // A host list is read every day; data that leaves is put before a name.
        let data = names
            && call.arguments.iter().any(|field| {
                field.value.taint.has(Taint::FILE)
                    && field.text().contains(&b'.')
                    && !field.value.is_known()
            });
        // `dig $(… | base64).example.com`
        const ENCODERS: [&str; 7] = ["base64", "base32", "xxd", "od", "hexdump", "basenc", "gzip"];
        let encoded = names
            && call.arguments.iter().any(|field| {
                let in_name = field.text().contains(&b'.') || call.name == "ping";
                in_name
                    && self.found.calls.iter().rev().take(16).any(|earlier| {
                        ENCODERS.contains(&earlier.name.as_str())
                            && earlier.range.start >= field.range.start
                            && earlier.range.end <= field.range.end
                    })
            });
        let data = data || encoded;
        if sent || data {
            let quality = Qualities::NONE
                .with_if(sent, Qualities::WITH_SECRETS)
                .with_if(data, Qualities::INSECURE.with(Qualities::UNUSUAL));
            self.emit(EffectKind::Send, Target::Name(call.name.clone()), quality, call.range);
        }
    }

    /// nc, socat, telnet, openssl s_client: a line to another machine.
    pub(super) fn line(&mut self, call: &Call) {
        match call.name.as_str() {
            "socat" => return self.socat(call),
            "openssl" => return self.openssl_line(call),
            "telnet" | "websocat" | "socket" => {
                let host = call.options("lbnX", &[]).operands.first().map(|field| (*field).clone());
                self.open_line(call, host, false, false);
                return;
            }
            _ => {}
        }
        let options = call.options(
            "ecgGiIoOpPqsTVwXxmMd",
            &["exec", "sh-exec", "lua-exec", "wait", "source-port", "proxy", "idle-timeout"],
        );
        let listens = options.has("l|listen|L");
        let scans = options.has("z");
        let runs: Vec<Field> = options.values("e|c|exec|sh-exec|lua-exec").cloned().collect();
        let host = options.operands.first().map(|field| (*field).clone());
        for program in &runs {
            let text = program.text();
            if call.name.contains("nc") && !text.is_empty() {
                let kind = if listens { EffectKind::BindShell } else { EffectKind::ReverseShell };
                self.emit(kind, Target::Name(program.value.lossy()), Qualities::NONE, call.range);
                let code = program.value.clone();
                self.captured(|evaluator| evaluator.run_code(&code, program.range));
            }
        }
        if scans {
            let range = options.operands.iter().skip(1).any(|field| is_wide(field.text()))
                || options.operands.iter().any(|field| field.text().contains(&b'/'));
            let quality = Qualities::NONE.with_if(range, Qualities::ALL_OF_THEM);
            self.emit(
                EffectKind::Scan,
                Target::Host(host.map(|h| h.value.lossy()).unwrap_or_default()),
                quality,
                call.range,
            );
            return;
        }
        self.open_line(call, host, listens, false);
    }

    /// A line is open: what goes in leaves the machine, what comes out is somebody else's.
    fn open_line(&mut self, call: &Call, host: Option<Field>, listens: bool, only_data: bool) {
        let host = host.map(|field| field.value.lossy()).unwrap_or_default();
        let place = place(host.as_bytes());
        if let Some(stdin) = self.stdin.take() {
            let secret = stdin.taint.has(Taint::SECRET);
            let file = (stdin.taint.has(Taint::FILE)
                || stdin.taint.has(Taint::OUTPUT) && place.bare)
                && !place.local;
            if secret || file {
                let quality = Qualities::NONE
                    .with_if(secret, Qualities::WITH_SECRETS)
                    .with_if(place.bare, Qualities::BARE_ADDRESS)
                    .with(Qualities::INSECURE.with(Qualities::UNUSUAL));
                self.emit(EffectKind::Send, Target::Host(host.clone()), quality, call.range);
            }
        }
        if !place.local || listens {
            if !only_data {
                self.pipeline.line.get_or_insert(listens);
            }
            let kind = if listens { EffectKind::Listen } else { EffectKind::Connect };
            let quality = Qualities::NONE.with_if(place.bare, Qualities::BARE_ADDRESS);
            self.emit(kind, Target::Host(host), quality, call.range);
        }
        self.write(&Value::unknown(Taint::NETWORK.with(Taint::STRANGER)));
    }

    fn socat(&mut self, call: &Call) {
        let operands: Vec<Field> =
            call.options("bdlTt", &[]).operands.into_iter().cloned().collect();
        let lower = |field: &Field| field.value.lossy();
        let kind = |text: &str| text.split(':').next().unwrap_or_default().to_ascii_lowercase();
        let is_line = |text: &str| {
            let kind = kind(text);
            ["tcp", "udp", "openssl", "ssl", "sctp", "socks", "proxy", "vsock"]
                .iter()
                .any(|start| kind.starts_with(start))
        };
        let texts: Vec<String> = operands.iter().map(lower).collect();
        let line = texts.iter().find(|text| is_line(text)).cloned();
        let listens = line
            .as_deref()
            .is_some_and(|text| kind(text).contains("listen") || kind(text).ends_with("-l"));
        for (field, text) in operands.iter().zip(&texts) {
            let program = kind(text);
            let Some((_, command)) = text.split_once(':') else { continue };
            if program != "exec" && program != "system" && program != "shell" {
                continue;
            }
            let command = command.split(",pty").next().unwrap_or_default();
            let command =
                command.split(",stderr").next().unwrap_or_default().trim_matches(['"', '\'']);
            if line.is_some() {
                let shell = ["sh", "bash", "zsh", "dash", "ksh", "login", "cmd", "powershell"]
                    .iter()
                    .any(|shell| {
                        command.split([' ', ',']).next().unwrap_or_default().rsplit('/').next()
                            == Some(shell)
                    });
                let effect = if listens { EffectKind::BindShell } else { EffectKind::ReverseShell };
                if shell {
                    self.emit(
                        effect,
                        Target::Name(command.to_owned()),
                        Qualities::NONE,
                        call.range,
                    );
                }
            }
            let code = Value::known(command);
            self.escape_to_shell(&code, field.range);
        }
        for field in &operands {
            let text = lower(field);
            if let Some(path) = text
                .strip_prefix("file:")
                .or_else(|| text.strip_prefix("FILE:"))
                .or_else(|| text.strip_prefix("open:"))
            {
                let path = path.split(',').next().unwrap_or_default().to_owned();
                if path.starts_with('`') || path == "/dev/tty" {
                    continue;
                }
                let content = self.read_file(&Value::known(path), field.range);
                if content.taint.has(Taint::SECRET) {
                    self.emit(
                        EffectKind::Send,
                        Target::Host(text.clone()),
                        Qualities::WITH_SECRETS,
                        call.range,
                    );
                }
            }
        }
        if line.is_some() {
            let host =
                line.and_then(|text| text.split(':').nth(1).map(str::to_owned)).unwrap_or_default();
            let field = Field { value: Value::known(host), ..Field::default() };
            self.open_line(call, Some(field), listens, false);
        }
    }

    fn openssl_line(&mut self, call: &Call) {
        let words: Vec<&[u8]> = call.arguments.iter().map(Field::text).collect();
        let after = |name: &[u8]| {
            words
                .iter()
                .position(|word| *word == name)
                .and_then(|at| call.arguments.get(at + 1))
                .cloned()
        };
        if words.first() == Some(&b"s_client".as_slice()) {
            let host = after(b"-connect");
            let interactive = words.iter().any(|word| matches!(*word, b"-quiet" | b"-ign_eof"));
            self.open_line(call, host, false, !interactive && self.stdin.is_none());
            return;
        }
        if words.first() == Some(&b"s_server".as_slice()) {
            self.open_line(call, None, true, true);
            return;
        }
        if let Some(library) = after(b"-engine").filter(|field| field.text().contains(&b'/')) {
            self.emit(
                EffectKind::ShellEscape,
                Target::Name(library.value.lossy()),
                Qualities::NONE,
                library.range,
            );
        }
        for name in [&b"-in"[..], b"-inkey", b"-key"] {
            if let Some(file) = after(name) {
                let content = self.read_file(&file.value, file.range);
                if content.taint.has(Taint::SECRET) {
                    self.write(&content);
                }
            }
        }
        if let Some(file) = after(b"-out") {
            self.write_file(&file.value, &Value::unknown(Taint::OUTPUT), false, file.range);
        }
        self.write(&Value::unknown(Taint::OUTPUT));
    }

    /// scp, rclone: files to and from other machines.
    pub(super) fn remote_copy(&mut self, call: &Call) {
        let options = call.options("cFiJloPSD", &[]);
        if let Some(program) = options.value("S").cloned() {
            self.escape_to_shell(&program.value, program.range);
        }
        for option in options.values("o").cloned().collect::<Vec<_>>() {
            if let Some(code) = option
                .text()
                .strip_prefix(b"ProxyCommand=")
                .or_else(|| option.text().strip_prefix(b"ProxyCommand "))
            {
                self.escape_to_shell(&Value::known(code), option.range);
            }
        }
        let operands: Vec<Field> = options.operands.iter().map(|field| (*field).clone()).collect();
        if call.name == "rclone" && operands.first().is_some_and(|verb| looks_there(verb.text())) {
            self.write(&Value::unknown(Taint::NETWORK));
            return;
        }
        self.between_machines(call, &operands, false);
    }

    pub(super) fn rsync(&mut self, call: &Call) {
        let options = call.options(
            "eTBf",
            &[
                "rsh",
                "exclude",
                "include",
                "filter",
                "exclude-from",
                "files-from",
                "password-file",
                "bwlimit",
                "port",
                "rsync-path",
                "chmod",
                "chown",
            ],
        );
        for program in options.values("e|rsh").cloned().collect::<Vec<_>>() {
            let name = program.text().split(|byte| *byte == b' ').next().unwrap_or_default();
            if name != b"ssh" && !name.ends_with(b"/ssh") {
                self.escape_to_shell(&program.value, program.range);
            }
        }
        let operands: Vec<Field> = options.operands.iter().map(|field| (*field).clone()).collect();
        if options.has("delete|delete-after|delete-before|delete-during|delete-excluded|del")
            && !options.has("n|dry-run")
            && let Some(target) = operands.last()
            && !is_remote(target.text())
        {
            self.touch_path(
                EffectKind::Delete,
                &target.value,
                Qualities::RECURSIVE.with(Qualities::UNUSUAL),
                target.range,
            );
        }
        if options.has("remove-source-files")
            && !options.has("n|dry-run")
            && let Some((_, sources)) = operands.split_last()
        {
            for source in sources.iter().filter(|source| !is_remote(source.text())) {
                let quality = Qualities::RECURSIVE.with(Qualities::UNUSUAL);
                self.touch_path(EffectKind::Delete, &source.value, quality, source.range);
            }
        }
        if options.has("delete|delete-after|delete-before|delete-during|delete-excluded|del")
            && !options.has("n|dry-run")
            && let Some(target) = operands.last()
            && let Some(there) = path_there(target.text())
            && (is_of_system(there) || is_whole(there))
        {
            // What the source does not hold goes over there: a folder that is kept equal is work, a
            // system or a home is not.
            let quality = Qualities::RECURSIVE.with(Qualities::UNUSUAL);
            self.touch_elsewhere(EffectKind::Delete, there, quality, target.range);
        }
        let tries = options.has("n|dry-run");
        self.between_machines(call, &operands, tries);
    }

    /// An effect on a file of another machine.
    fn touch_elsewhere(
        &mut self,
        kind: EffectKind,
        path: &[u8],
        quality: Qualities,
        range: SourceRange,
    ) {
        let path = match path.strip_prefix(b"~") {
            Some(rest) if rest.is_empty() || rest.starts_with(b"/") => {
                [self.context.home.as_slice(), rest].concat()
            }
            _ => path.to_vec(),
        };
        if !path.starts_with(b"/") {
            return;
        }
        let qualities = self.qualities;
        self.qualities = qualities.with(Qualities::REMOTE);
        self.touch_path(kind, &Value::known(path), quality, range);
        self.qualities = qualities;
    }

    fn between_machines(&mut self, call: &Call, operands: &[Field], tries: bool) {
        let Some((target, sources)) = operands.split_last() else { return };
        let mut taint = Taint::NONE;
        for source in sources {
            if is_remote(source.text()) {
                taint = taint.with(Taint::NETWORK);
            } else {
                taint = taint.with(self.read_file(&source.value, source.range).taint);
            }
        }
        if is_remote(target.text()) {
            let host = target.value.lossy();
            let bare = place(host.as_bytes()).bare;
            let quality = Qualities::NONE
                .with_if(taint.has(Taint::SECRET), Qualities::WITH_SECRETS)
                .with_if(bare, Qualities::BARE_ADDRESS);
            self.emit(EffectKind::Send, Target::Host(host), quality, call.range);
            let there = path_there(target.text()).filter(|path| is_of_system(path) && !tries);
            if let Some(there) = there {
                let quality = Qualities::NONE;
                self.touch_elsewhere(EffectKind::Overwrite, there, quality, target.range);
            }
        } else {
            self.write_file(&target.value, &Value::unknown(taint), false, target.range);
        }
    }
}

/// Whether a range of ports holds more than the few of one service: `8000-8010` does not.
fn is_wide(ports: &[u8]) -> bool {
    const FEW: u32 = 32;
    let Ok(text) = std::str::from_utf8(ports) else { return true };
    let Some((first, last)) = text.split_once('-') else { return false };
    match (first.parse::<u32>(), last.parse::<u32>()) {
        (Ok(first), Ok(last)) => last.saturating_sub(first) >= FEW,
        _ => true,
    }
}

/// Whether a verb of rclone only looks at what is there.
fn looks_there(verb: &[u8]) -> bool {
    let verbs: [&[u8]; 10] =
        [b"ls", b"lsd", b"lsf", b"lsjson", b"lsl", b"tree", b"size", b"about", b"cat", b"hashsum"];
    verbs.contains(&verb)
}

/// The path of `host:path`.
fn path_there(text: &[u8]) -> Option<&[u8]> {
    let colon = text.iter().position(|byte| *byte == b':').filter(|_| is_remote(text))?;
    let path = text.get(colon + 1..)?;
    (!path.starts_with(b":") && !path.starts_with(b"//")).then_some(path)
}

/// Whether a path is that of a home, of the root, or of a folder in the root.
fn is_whole(path: &[u8]) -> bool {
    let steps = path.split(|byte| *byte == b'/').filter(|step| !matches!(*step, b"" | b"."));
    let home = path.starts_with(b"/home/") || path.starts_with(b"/Users/");
    path == b"~"
        || path == b"~/"
        || path.starts_with(b"/") && steps.count() <= 1 + usize::from(home)
}

/// Whether a path on another machine is one that its logins and its system hang on.
fn is_of_system(path: &[u8]) -> bool {
    let names = [&b"/etc/"[..], b"/boot/", b"/usr/bin/", b"/usr/sbin/", b"/bin/", b"/sbin/"];
    let file = path.strip_suffix(b"/").unwrap_or(path);
    names.iter().any(|folder| path.starts_with(folder) || folder.strip_suffix(b"/") == Some(file))
        || path.ends_with(b"/authorized_keys")
}

/// `host:path`, `user@host:path`, `rsync://…`
fn is_remote(text: &[u8]) -> bool {
    let colon = text.iter().position(|byte| *byte == b':');
    let slash = text.iter().position(|byte| *byte == b'/');
    colon.is_some_and(|colon| colon > 0 && slash.is_none_or(|slash| colon < slash))
}

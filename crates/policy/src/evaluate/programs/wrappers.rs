//! Programs that start another program which their arguments name.

use crate::effect::{EffectKind, Qualities, Target};
use crate::evaluate::Evaluator;
use crate::evaluate::call::Call;
use crate::evaluate::expand::Field;
use crate::evaluate::value::{Taint, Value};

/// A program that starts what follows its options.
struct Wrapper {
    name: &'static str,
    /// Its short options that take a value, and the long ones that do in the next argument.
    letters: &'static str,
    words: &'static [&'static str],
    /// How many operands stand before the command: a duration, a lock file, a folder.
    skip: usize,
    qualities: Qualities,
}

const fn plain(name: &'static str) -> Wrapper {
    wrapper(name, "", &[], 0, Qualities::NONE)
}

const fn wrapper(
    name: &'static str,
    letters: &'static str,
    words: &'static [&'static str],
    skip: usize,
    qualities: Qualities,
) -> Wrapper {
    Wrapper { name, letters, words, skip, qualities }
}

const ROOT: Qualities = Qualities::PRIVILEGED;
const NONE: Qualities = Qualities::NONE;

const WRAPPERS: &[Wrapper] = &[
    wrapper(
        "sudo",
        "ugphCcrtTUDR",
        &["user", "group", "prompt", "host", "chdir", "chroot", "role", "type"],
        0,
        ROOT,
    ),
    wrapper("doas", "uCa", &[], 0, ROOT),
    wrapper("pkexec", "", &["user"], 0, ROOT),
    wrapper("gksudo", "u", &[], 0, ROOT),
    wrapper("kdesudo", "u", &[], 0, ROOT),
    wrapper("sudo-rs", "u", &[], 0, ROOT),
    wrapper("run0", "ugD", &["user", "group", "chdir"], 0, ROOT),
    wrapper("env", "uCS", &["unset", "chdir", "split-string"], 0, NONE),
    plain("nohup"),
    wrapper("timeout", "ks", &["kill-after", "signal"], 1, NONE),
    wrapper("gtimeout", "ks", &["kill-after", "signal"], 1, NONE),
    wrapper("nice", "n", &["adjustment"], 0, NONE),
    wrapper("ionice", "cnpPu", &["class", "classdata"], 0, NONE),
    plain("setsid"),
    wrapper("stdbuf", "ioe", &["input", "output", "error"], 0, NONE),
    wrapper("time", "fo", &["format", "output"], 0, NONE),
    wrapper("chrt", "TPD", &[], 1, NONE),
    wrapper("taskset", "", &[], 1, NONE),
    wrapper("strace", "abeEIoOpPsSuX", &[], 0, NONE),
    wrapper("ltrace", "abeFlnopsSuwx", &[], 0, NONE),
    wrapper("unshare", "", &[], 0, NONE),
    wrapper("nsenter", "tSG", &["target"], 0, NONE),
    wrapper("chroot", "", &[], 1, NONE),
    wrapper("proot", "rbw", &[], 0, NONE),
    plain("fakeroot"),
    plain("fakechroot"),
    wrapper("watch", "n", &["interval"], 0, NONE),
    wrapper("flock", "wEc", &["timeout", "wait"], 1, NONE),
    wrapper(
        "systemd-run",
        "puHMEC",
        &[
            "unit",
            "property",
            "setenv",
            "description",
            "slice",
            "uid",
            "on-calendar",
            "on-boot",
            "on-active",
        ],
        0,
        NONE,
    ),
    wrapper("systemd-inhibit", "", &[], 0, NONE),
    wrapper("firejail", "", &[], 0, NONE),
    wrapper("caffeinate", "t", &[], 0, NONE),
    plain("dbus-run-session"),
    plain("ssh-agent"),
    wrapper("valgrind", "", &[], 0, NONE),
    plain("unbuffer"),
    plain("winpty"),
    plain("torsocks"),
    plain("torify"),
    wrapper("proxychains", "f", &[], 0, NONE),
    wrapper("proxychains4", "f", &[], 0, NONE),
    wrapper("faketime", "f", &[], 1, NONE),
    wrapper("cpulimit", "lpe", &[], 0, NONE),
    wrapper("prlimit", "", &[], 0, NONE),
    wrapper("numactl", "", &[], 0, NONE),
    plain("setarch"),
    plain("linux64"),
    plain("linux32"),
    wrapper("capsh", "", &[], 0, NONE),
    wrapper("setpriv", "", &["reuid", "regid", "groups", "inh-caps", "bounding-set"], 0, NONE),
    wrapper(
        "start-stop-daemon",
        "xnpuacg",
        &["exec", "name", "pidfile", "user", "startas", "chuid"],
        0,
        NONE,
    ),
    plain("daemonize"),
    plain("busybox"),
    plain("toybox"),
    plain("ld.so"),
    plain("catchsegv"),
    plain("aoss"),
    wrapper("choom", "np", &["adjust", "pid"], 0, NONE),
    wrapper("softlimit", "acdflmnoprst", &[], 0, NONE),
    wrapper("perf", "", &[], 1, NONE),
    wrapper("logsave", "", &[], 1, NONE),
    wrapper("multitime", "n", &[], 0, NONE),
    wrapper("hyperfine", "wrmMp", &["warmup", "runs", "prepare"], 0, NONE),
    wrapper("entr", "", &[], 0, NONE),
    wrapper("script", "cEIOoBTm", &["command"], 0, NONE),
    wrapper("scriptlive", "c", &[], 0, NONE),
    wrapper("dotenv", "fe", &[], 0, NONE),
    wrapper("direnv", "", &[], 2, NONE),
    wrapper("gosu", "", &[], 1, NONE),
    wrapper("su-exec", "", &[], 1, NONE),
    wrapper("s6-setuidgid", "", &[], 1, NONE),
    wrapper("setlock", "", &[], 1, NONE),
    wrapper("chpst", "uUbed/nmdofpc", &[], 0, NONE),
    plain("tini"),
    plain("dumb-init"),
    wrapper("xvfb-run", "nesfpw", &["server-args", "auth-file"], 0, NONE),
    plain("eatmydata"),
    plain("chronic"),
    wrapper("cgexec", "g", &[], 0, NONE),
    wrapper("sem", "j", &["jobs", "id"], 0, NONE),
    plain("tsocks"),
    plain("with-contenv"),
    plain("heaptrack"),
    plain("pkgx"),
    plain("bwrap-run"),
    plain("exec"),
    wrapper("openvt", "c", &["console"], 0, NONE),
    plain("noglob"),
    plain("nocorrect"),
    plain("coproc"),
    plain("then"),
    plain("do"),
    plain("else"),
];

fn of(name: &str) -> Option<&'static Wrapper> {
    let name =
        if name.starts_with("ld-linux") || name.starts_with("ld-musl") || name.starts_with("ld-2.")
        {
            "ld.so"
        } else {
            name
        };
    WRAPPERS.iter().find(|wrapper| wrapper.name == name)
}

pub(super) fn is_wrapper(name: &str) -> bool {
    of(name).is_some()
}

/// A call as rules see it: of a wrapper, only its own options and the name of what it starts.
pub(super) fn own_part(call: &Call) -> Call {
    let Some(wrapper) = of(&call.name) else { return call.clone() };
    let options = call.options_before_operands(wrapper.letters, wrapper.words);
    let mut own = call.clone();
    own.arguments.truncate(call.arguments.len() - options.operands.len() + 1);
    own
}

impl Evaluator<'_> {
    pub(super) fn wrapper(&mut self, call: &Call) {
        let Some(wrapper) = of(&call.name) else { return };
        let options = call.options_before_operands(wrapper.letters, wrapper.words);
        let mut rest: Vec<Field> = options.operands.iter().map(|field| (*field).clone()).collect();
        let (qualities, directory) = (self.qualities, self.environment.directory.clone());
        self.qualities = qualities.with(wrapper.qualities);
        match wrapper.name {
            "env" => {
                if let Some(text) = options.value("S|split-string").cloned() {
                    let mut code = text.value.clone();
                    for field in &rest {
                        code.push(b" ");
                        code.push_value(&field.value);
                    }
                    self.run_code(&code, text.range);
                    self.qualities = qualities;
                    return;
                }
                rest.retain(|field| field.text() != b"-");
                self.strip_assignments(&mut rest);
                if let [settings, command, ..] = rest.as_slice()
                    && is_file_of_settings(settings)
                    && is_plain_name(command)
                {
                    rest.remove(0);
                }
                if let Some(folder) = options.value("C|chdir").cloned() {
                    self.environment.directory = self.resolve(&folder.value);
                }
            }
            "setarch"
                if rest.len() > 1
                    && rest.first().is_some_and(|field| !field.text().starts_with(b"/")) =>
            {
                rest.remove(0);
            }
            "sudo" | "doas" | "sudo-rs" => {
                self.strip_assignments(&mut rest);
                let user = options.value("u|user").map(|field| field.text().to_vec());
                if user.is_some_and(|user| user != b"root" && user != b"#0") {
                    self.qualities = qualities;
                }
                if options.has("e|edit") {
                    for field in &rest {
                        self.touch_path(
                            EffectKind::Write,
                            &field.value,
                            Qualities::ASKS,
                            field.range,
                        );
                    }
                    rest.clear();
                } else if options.has("i|login|s|shell") && rest.is_empty() {
                    self.emit(
                        EffectKind::Privilege,
                        Target::Name("root".into()),
                        Qualities::NONE,
                        call.range,
                    );
                    if let Some(code) = self.stdin.take() {
                        self.run_code(&code, call.range);
                    }
                }
            }
            "systemd-run" if options.has("S|shell") => {
                self.shell_started("systemd-run", call.range);
            }
            // The service manager is root, whoever asks it.
            "systemd-run" if !options.has("user") => {
                self.qualities = self.qualities.with(ROOT);
            }
            "setsid" | "nohup" | "daemonize" | "start-stop-daemon" => {
                self.qualities = self.qualities.with(Qualities::DETACHED);
                if let Some(program) = options.value("x|exec|startas|a").cloned() {
                    rest.insert(0, program);
                }
            }
            "watch" | "script" | "flock" | "hyperfine" | "entr" => {
                if let Some(code) = options.value("c|command").cloned() {
                    self.run_code(&code.value, code.range);
                    self.qualities = qualities;
                    return;
                }
                if wrapper.name == "script" {
                    // Its operand is the file that it writes; elsewhere a command may follow.
                    rest = rest.get(1..).unwrap_or_default().to_vec();
                } else if wrapper.name != "flock" && wrapper.name != "entr" || rest.len() == 1 {
                    let code = crate::evaluate::builtin::joined(&rest);
                    self.run_code(&code, call.range);
                    self.qualities = qualities;
                    return;
                }
            }
            "capsh" => {
                let after =
                    call.arguments.iter().position(|field| matches!(field.text(), b"--" | b"=="));
                rest =
                    after.and_then(|at| call.arguments.get(at + 1..)).unwrap_or_default().to_vec();
                if let [dash, code, ..] = rest.as_slice()
                    && dash.text() == b"-c"
                {
                    let code = code.clone();
                    self.escape_to_shell(&code.value, code.range);
                } else if after.is_some() {
                    self.emit(
                        EffectKind::ShellEscape,
                        Target::Name("capsh".into()),
                        Qualities::NONE,
                        call.range,
                    );
                }
                self.qualities = qualities;
                return;
            }
            "unshare" | "nsenter" | "chroot" => self.new_root(call, &mut rest, wrapper.name),
            "busybox" | "toybox"
                if rest.first().is_some_and(|field| field.text().starts_with(b"--")) =>
            {
                rest.clear()
            }
            _ => {}
        }
        let skip = if wrapper.name == "chroot" { 0 } else { wrapper.skip };
        let command: Vec<Field> = rest.into_iter().skip(skip).collect();
        if !command.is_empty() {
            self.judge_wrapped(call, wrapper, &command);
            self.dispatch(command);
        }
        self.environment.directory = directory;
        self.qualities = qualities;
    }

    /// A shell that nothing is given to, started by a program with other rights or for other ends.
    fn judge_wrapped(&mut self, call: &Call, wrapper: &Wrapper, command: &[Field]) {
        let Some(first) = command.first() else { return };
        let name = first.text().rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let is_shell =
            matches!(name, b"sh" | b"bash" | b"dash" | b"zsh" | b"ksh" | b"ash" | b"fish");
        if wrapper.name == "chroot"
            || !is_shell
            || command
                .iter()
                .skip(1)
                .any(|field| !field.text().starts_with(b"-") || field.text() == b"-c")
            || self.stdin.is_some()
        {
            return;
        }
        if wrapper.qualities.has(ROOT) {
            self.emit(
                EffectKind::Privilege,
                Target::Name("root".into()),
                Qualities::NONE,
                call.range,
            );
        } else if first.text().contains(&b'/') || command.len() > 1 || self.qualities.has(ROOT) {
            // `env /bin/sh`, `nice /bin/sh -p`: the way out of a restricted shell.
            self.emit(
                EffectKind::ShellEscape,
                Target::Name(call.name.clone()),
                Qualities::NONE,
                call.range,
            );
        }
    }

    fn strip_assignments(&mut self, rest: &mut Vec<Field>) {
        while let Some(first) = rest.first() {
            let text = first.text();
            let Some(at) = text.iter().position(|byte| *byte == b'=') else { break };
            let name = text.get(..at).unwrap_or_default().to_vec();
            if name.is_empty()
                || !name
                    .iter()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'%'))
            {
                break;
            }
            let value =
                Value::new(text.get(at + 1..).unwrap_or_default().to_vec(), first.value.taint);
            let range = first.range;
            self.meaningful_variable(&name, &value, range);
            self.assign_scalar(&name, value);
            rest.remove(0);
        }
    }

    /// Another root, or other namespaces.
    fn new_root(&mut self, call: &Call, rest: &mut Vec<Field>, name: &str) {
        let host = |text: &[u8]| {
            matches!(
                text,
                b"/host"
                    | b"/hostfs"
                    | b"/rootfs"
                    | b"/mnt/host"
                    | b"/host_root"
                    | b"/proc/1/root"
                    | b"/mnt/root"
                    | b"/hostroot"
                    | b"/mnt/host_root"
            )
        };
        match name {
            "nsenter" => {
                let words: Vec<&[u8]> = call.arguments.iter().map(Field::text).collect();
                let first_process =
                    words.windows(2).any(|two| matches!(two, [b"-t" | b"--target", b"1"]))
                        || words.iter().any(|word| matches!(*word, b"-t1" | b"--target=1"));
                if first_process {
                    self.emit(
                        EffectKind::Breakout,
                        Target::Name("process 1".into()),
                        Qualities::NONE,
                        call.range,
                    );
                }
            }
            "chroot" => {
                let root = (!rest.is_empty()).then(|| rest.remove(0));
                if root.as_ref().is_some_and(|root| host(root.text())) {
                    self.emit(
                        EffectKind::Breakout,
                        Target::Name("chroot".into()),
                        Qualities::NONE,
                        call.range,
                    );
                }
                if root.as_ref().is_some_and(|root| root.text() != b"/" && !host(root.text())) {
                    // Another system's root.
                    self.qualities = Qualities::CONFINED;
                }
                if rest.is_empty() && root.is_some_and(|root| root.text() == b"/") {
                    self.emit(
                        EffectKind::ShellEscape,
                        Target::Name("chroot".into()),
                        Qualities::NONE,
                        call.range,
                    );
                }
            }
            _ => {}
        }
    }
}

/// `env $(cat .env) npm start`: what a file says stands where variables are set.
fn is_file_of_settings(field: &Field) -> bool {
    let taint = field.value.taint;
    field.value.is_wholly_unknown()
        && taint.has(Taint::FILE)
        && !taint.has(Taint::NETWORK)
        && !taint.has(Taint::DECODED)
}

fn is_plain_name(field: &Field) -> bool {
    let text = field.text();
    text.first().is_some_and(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'/' | b'.'))
        && !field.globs
        && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(byte))
}

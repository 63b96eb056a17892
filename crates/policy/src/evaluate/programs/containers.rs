//! Containers and clusters: what runs inside, and what of the host they are given.

use crate::effect::{EffectKind, Qualities, Target};
use crate::evaluate::Evaluator;
use crate::evaluate::call::Call;
use crate::evaluate::call::Options;
use crate::evaluate::expand::Field;
use crate::evaluate::value::{Taint, Value};
use crate::path_class::PathClass;

const LETTERS: &str = "vepwulmhac";
const WORDS: &[&str] = &[
    "volume",
    "env",
    "publish",
    "workdir",
    "user",
    "label",
    "memory",
    "hostname",
    "name",
    "network",
    "net",
    "mount",
    "entrypoint",
    "cap-add",
    "cap-drop",
    "security-opt",
    "device",
    "pid",
    "ipc",
    "uts",
    "userns",
    "restart",
    "env-file",
    "platform",
    "cpus",
    "shm-size",
    "ulimit",
    "add-host",
    "dns",
    "volumes-from",
    "tmpfs",
    "gpus",
    "runtime",
    "log-driver",
    "log-opt",
    "pull",
    "cgroupns",
    "group-add",
    "container",
    "namespace",
    "context",
    "image",
    "overrides",
    "health-cmd",
    "file",
    "project-name",
    "tag",
    "build-arg",
    "target",
    "kubeconfig",
];

impl Evaluator<'_> {
    pub(super) fn container(&mut self, call: &Call) {
        let outer = Options::read(
            &call.arguments,
            "HcfnplD",
            &[
                "host",
                "context",
                "config",
                "file",
                "namespace",
                "project-name",
                "log-level",
                "kubeconfig",
            ],
            true,
        );
        let mut words: Vec<Field> = outer.operands.iter().map(|field| (*field).clone()).collect();
        while words.first().is_some_and(|word| matches!(word.text(), b"container" | b"compose")) {
            words.remove(0);
        }
        let Some(verb) = (!words.is_empty()).then(|| words.remove(0)) else { return };
        let cluster = matches!(call.name.as_str(), "kubectl" | "oc" | "k");
        match verb.text() {
            b"apply" | b"create" | b"replace" if cluster => self.manifest(call, &words),
            b"run" | b"create" if !cluster => self.run_container(call, &words),
            b"exec" | b"debug" | b"run" | b"attach" | b"rsh" => {
                self.inside_container(call, &words, cluster)
            }
            b"cp" => {
                for field in &words {
                    if !field.text().contains(&b':') && !field.text().starts_with(b"-") {
                        self.read_file(&field.value, field.range);
                    }
                }
            }
            _ => {}
        }
        self.write(&Value::unknown(Taint::OUTPUT));
    }

    /// What a cluster is told to make, as far as the text stands here.
    fn manifest(&mut self, call: &Call, words: &[Field]) {
        let options = Options::read(words, "fnlk", &["filename", "namespace"], false);
        for file in options.values("f|filename").cloned().collect::<Vec<_>>() {
            let text = match file.text() {
                b"-" | b"/dev/stdin" => self.take_stdin(),
                _ => {
                    let resolved = self.resolve(&file.value);
                    let Some(text) = self.files.read(&resolved.text).cloned() else { continue };
                    text
                }
            };
            let text: Vec<u8> =
                text.text.iter().copied().filter(|byte| !b" \"'".contains(byte)).collect();
            for wall in
                [&b"privileged:true"[..], b"hostPID:true", b"hostIPC:true", b"hostPath:{path:/}"]
            {
                if text.windows(wall.len()).any(|part| part == wall) {
                    let target = Target::Name(String::from_utf8_lossy(wall).into_owned());
                    self.emit(EffectKind::Breakout, target, Qualities::NONE, call.range);
                }
            }
            let has = |part: &[u8]| text.windows(part.len()).any(|window| window == part);
            if has(b"kind:ClusterRoleBinding") && has(b"name:cluster-admin") {
                let target = Target::Name("cluster-admin".to_owned());
                self.emit(EffectKind::Account, target, Qualities::NONE, call.range);
            }
        }
    }

    fn run_container(&mut self, call: &Call, words: &[Field]) {
        let options = Options::read(words, LETTERS, WORDS, true);
        let mut open = false;
        let privileged = options.has("privileged");
        let mut walls = Vec::new();
        if privileged {
            walls.push(("--privileged".to_owned(), call.range));
        }
        for field in options
            .values("pid|ipc|userns|uts|network|net|cgroupns|cap-add|security-opt|device")
            .cloned()
            .collect::<Vec<_>>()
        {
            let text = field.value.lossy();
            let shared = options.value("pid").is_some_and(|pid| pid.text() == field.text())
                && text == "host";
            let capability = matches!(
                text.to_ascii_uppercase().trim_start_matches("CAP_"),
                "SYS_ADMIN" | "ALL" | "SYS_PTRACE" | "SYS_MODULE" | "DAC_READ_SEARCH" | "SYS_RAWIO"
            );
            let unconfined = text.contains("unconfined") && text.contains("apparmor");
            let disk = text.starts_with("/dev/sd")
                || text.starts_with("/dev/nvme")
                || text.starts_with("/dev/vd")
                || text.starts_with("/dev/mem");
            if shared || capability || unconfined || disk {
                walls.push((text, field.range));
            }
        }
        let mut mounts: Vec<Field> = options.values("v|volume").cloned().collect();
        for mount in options.values("mount").cloned().collect::<Vec<_>>() {
            let source = mount.text().split(|byte| *byte == b',').find_map(|part| {
                part.strip_prefix(b"source=").or_else(|| part.strip_prefix(b"src="))
            });
            if let Some(source) = source {
                let mut field = mount.clone();
                field.value.text = [source, b":/mounted"].concat();
                mounts.push(field);
            }
        }
        for mount in &mounts {
            let text = mount.text();
            let mut parts = text.split(|byte| *byte == b':');
            let source = parts.next().unwrap_or_default();
            let read_only = text.ends_with(b":ro");
            if source.ends_with(b"docker.sock")
                || source.ends_with(b"containerd.sock")
                || source.ends_with(b"podman.sock")
            {
                self.emit(
                    EffectKind::Breakout,
                    Target::Name("the engine's socket".into()),
                    Qualities::ASKS,
                    mount.range,
                );
                continue;
            }
            if !source.starts_with(b"/") && !source.starts_with(b"~") {
                continue;
            }
            let resolved = self.resolve(&Value::known(source));
            let class = self.class_of(&resolved, EffectKind::Overwrite);
            match class {
                PathClass::Root => {
                    open = true;
                    if let Some(inside) = parts.next().filter(|inside| *inside != b"/") {
                        self.files.link(inside, b"/");
                    }
                    walls.push(("the root of the host".to_owned(), mount.range));
                }
                PathClass::System
                | PathClass::Accounts
                | PathClass::KernelSwitch
                | PathClass::Startup
                    if !read_only =>
                {
                    open = true;
                    let text = resolved.text.clone();
                    let vital = [
                        &b"/etc"[..],
                        b"/root",
                        b"/boot",
                        b"/usr",
                        b"/bin",
                        b"/lib",
                        b"/sbin",
                        b"/home",
                    ]
                    .iter()
                    .any(|folder| text.starts_with(folder));
                    let quality = Qualities::NONE.with_if(!vital, Qualities::UNUSUAL);
                    self.emit(
                        EffectKind::Breakout,
                        Target::Path { path: resolved.lossy(), class },
                        quality,
                        mount.range,
                    );
                    if let Some(inside) = parts.next() {
                        self.files.link(inside, &text);
                    }
                }
                PathClass::Home | PathClass::Credential => {
                    self.touch_path(
                        EffectKind::Read,
                        &Value::known(source),
                        Qualities::NONE,
                        mount.range,
                    );
                }
                _ => {}
            }
        }
        for (what, range) in walls {
            self.emit(
                EffectKind::Breakout,
                Target::Name(what),
                Qualities::NONE.with_if(open, Qualities::ALL_OF_THEM),
                range,
            );
        }
        let entry = options.value("entrypoint").cloned();
        let mut rest: Vec<Field> =
            options.operands.iter().skip(1).map(|field| (*field).clone()).collect();
        if let Some(entry) = entry {
            rest.insert(0, entry);
        }
        if rest.is_empty() {
            return;
        }
        let qualities = self.qualities;
        if !open && !privileged {
            self.qualities = qualities.with(Qualities::CONFINED);
        }
        self.in_container(rest);
        self.qualities = qualities;
    }

    fn inside_container(&mut self, call: &Call, words: &[Field], cluster: bool) {
        let after = words.iter().position(|field| field.text() == b"--");
        let command: Vec<Field> = match after {
            Some(at) => words.get(at + 1..).unwrap_or_default().to_vec(),
            None => {
                let options = Options::read(words, "ewuncl", WORDS, true);
                options.operands.iter().skip(1).map(|field| (*field).clone()).collect()
            }
        };
        let text = crate::evaluate::builtin::joined(words);
        let has = |part: &[u8]| text.text.windows(part.len()).any(|window| window == part);
        if cluster
            && (has(b"\"privileged\":true")
                || has(b"\"privileged\": true")
                || has(b"hostPID")
                || has(b"\"hostNetwork\"") && has(b"hostPath"))
        {
            self.emit(
                EffectKind::Breakout,
                Target::Name("a privileged pod".into()),
                Qualities::NONE,
                call.range,
            );
        }
        let qualities = self.qualities;
        self.qualities =
            qualities.with(if cluster { Qualities::REMOTE } else { Qualities::CONFINED });
        self.in_container(command);
        self.qualities = qualities;
    }

    /// Runs a command where no file of the host is.
    fn in_container(&mut self, command: Vec<Field>) {
        let there = crate::evaluate::environment::Environment::new(b"/home/elsewhere/work");
        let here = std::mem::replace(&mut self.environment, there);
        self.captured(|evaluator| evaluator.dispatch(command));
        self.environment = here;
    }
}

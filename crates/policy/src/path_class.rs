//! What kind of place a path is.

use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::effect::EffectKind;
use crate::evaluate::matches_pattern;

/// What kind of place a path is. The stricter of several wins: a credential in the workspace is
/// a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PathClass {
    /// Below the workspace.
    Workspace,
    /// The workspace itself, or all of it.
    WorkspaceRoot,
    /// The history of a repository in the workspace: `.git` and what is below.
    Repository,
    /// Places for temporary files, and caches.
    Temporary,
    /// Devices without harm: /dev/null, /dev/zero, terminals, standard streams.
    HarmlessDevice,
    /// Outside the workspace, in somebody's home folder.
    HomeFile,
    /// A whole home folder, or all of them.
    Home,
    /// Outside the workspace, and none of the other kinds: /opt/x, /srv/x, /mnt/x, /data.
    Outside,
    /// It depends on what cannot be known beforehand.
    Unknown,
    /// A file or folder of the system: /etc/x, /usr/lib/x, /var/lib/x.
    SystemFile,
    /// A whole tree of the system: /etc, /usr, /bin, /boot, /var, /lib, /home as a folder of others.
    System,
    /// The root of everything, or all that is in it.
    Root,
    /// A disk, a partition, the memory.
    Device,
    /// Switches of the kernel: /proc/sys, /sys, sysrq.
    KernelSwitch,
    /// What is run at start or on a schedule: shell start-up files, cron, units, authorized_keys.
    Startup,
    /// Credentials: keys, tokens, /etc/shadow, cloud configuration, histories, browser profiles.
    Credential,
    /// Who may do what: passwd, sudoers, PAM, ld.so.preload.
    Accounts,
    /// Logs and histories that tell what happened.
    Log,
}

/// What kind of place `path` is for somebody who does `kind` to it. The path is absolute, without
/// `.` and `..`; `*`, `?` and `[` match names, a NUL byte stands for what cannot be known.
pub(crate) fn classify(path: &[u8], kind: EffectKind, context: &Context) -> PathClass {
    if !path.starts_with(b"/") {
        return PathClass::Unknown;
    }
    let reads = matches!(kind, EffectKind::Read | EffectKind::Send);
    let (steps, all) = Steps::of(path);
    let steps = steps.as_slice();
    if is_inside(path, &context.workspace) && context.workspace.len() > 1 {
        return in_workspace(path, all, reads, context);
    }
    // One's own home folder is one wherever it lies; that of a service may be in /var or /tmp.
    let own = context.home.as_slice();
    if own.len() > 1 && is_inside(path, own) {
        let below = path.get(own.len()..).unwrap_or_default();
        return in_home(below.strip_prefix(b"/").unwrap_or(below), all, reads);
    }
    match known_place(steps, all, reads) {
        Some(PathClass::Temporary) if holds(path, own) => return PathClass::Home,
        Some(PathClass::Temporary) if holds(path, &context.workspace) => return PathClass::Outside,
        Some(class) => return class,
        None => {}
    }
    if let Some(below) = below_home(path) {
        return in_home(below, all, reads);
    }
    match system_place(steps, all) {
        PathClass::Outside | PathClass::SystemFile if reads && is_credential_name(path) => {
            PathClass::Credential
        }
        class => class,
    }
}

/// Whether `folder` lies somewhere below `path`.
fn holds(path: &[u8], folder: &[u8]) -> bool {
    folder.len() > path.len() && is_inside(folder, path)
}

/// The steps of a path, and whether the last one matches everything there is.
struct Steps;

impl Steps {
    fn of(path: &[u8]) -> (Vec<&[u8]>, bool) {
        let mut steps: Vec<&[u8]> =
            path.split(|byte| *byte == b'/').filter(|s| !s.is_empty()).collect();
        let all = steps.last().is_some_and(|step| matches_everything(step));
        if all {
            steps.pop();
        }
        (steps, all)
    }
}

/// `*`, `.*`, `?*`, `[!x]*` and the like: nearly every name.
fn matches_everything(step: &[u8]) -> bool {
    if step.starts_with(b"!(") {
        return true;
    }
    let stripped = step.strip_prefix(b".").unwrap_or(step);
    !stripped.is_empty()
        && stripped.contains(&b'*')
        && (stripped.iter().all(|byte| matches!(byte, b'*' | b'?' | b'.'))
            || stripped.starts_with(b"[!")
            || stripped.starts_with(b"[^"))
}

fn is_inside(path: &[u8], folder: &[u8]) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

fn in_workspace(path: &[u8], all: bool, reads: bool, context: &Context) -> PathClass {
    let below = path.get(context.workspace.len()..).unwrap_or_default();
    let below = below.strip_prefix(b"/").unwrap_or(below);
    let is_top = !below.contains(&b'/');
    if reads && is_credential_name(below) {
        PathClass::Credential
    } else if below.is_empty() || all && is_top {
        PathClass::WorkspaceRoot
    } else if below.starts_with(b".git/hooks/") {
        PathClass::Startup
    } else if below == b".git" || below.starts_with(b".git/") {
        PathClass::Repository
    } else {
        PathClass::Workspace
    }
}

/// What of a path is below a home folder where those usually lie.
fn below_home(path: &[u8]) -> Option<&[u8]> {
    if is_inside(path, b"/root") {
        let below = path.get(5..).unwrap_or_default();
        return Some(below.strip_prefix(b"/").unwrap_or(below));
    }
    // `/Users` is what other systems call it.
    let (rest, elsewhere) = match path.strip_prefix(b"/home/") {
        Some(rest) => (rest, false),
        None => (path.strip_prefix(b"/Users/")?, true),
    };
    let end = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
    let (name, below) = rest.split_at_checked(end)?;
    let below = below.strip_prefix(b"/").unwrap_or(below);
    // `/home/*` is all of them, `/home/*/.netrc` a file of each.
    let all = matches_everything(name) && (below.is_empty() || matches_everything(below));
    if name.is_empty() || all {
        return elsewhere.then_some(b"");
    }
    Some(below)
}

fn in_home(below: &[u8], all: bool, reads: bool) -> PathClass {
    let top = !below.contains(&b'/');
    if below.is_empty() || all && top {
        return PathClass::Home;
    }
    if is_startup_of_home(below) {
        return PathClass::Startup;
    }
    if is_history(below) {
        return if reads { PathClass::Credential } else { PathClass::Log };
    }
    if is_credential_of_home(below) || is_credential_name(below) {
        return PathClass::Credential;
    }
    const CACHES: [&[u8]; 9] = [
        b".cache",
        b".npm",
        b".cargo/registry",
        b".gradle/caches",
        b".m2/repository",
        b".yarn/cache",
        b".local/share/Trash",
        b".pnpm-store",
        b".nuget/packages",
    ];
    if CACHES.iter().any(|cache| is_inside(below, cache)) {
        return PathClass::Temporary;
    }
    PathClass::HomeFile
}

/// What somebody typed into a shell, a database or an interpreter.
pub(crate) fn is_history(below: &[u8]) -> bool {
    below.starts_with(b".") && below.ends_with(b"_history")
        || matches!(below, b".lesshst" | b".history" | b".histfile" | b".zhistory")
}

fn is_startup_of_home(below: &[u8]) -> bool {
    const FILES: [&[u8]; 30] = [
        b".bashrc",
        b".shrc",
        b".shinit",
        b".mkshrc",
        b".login",
        b".logout",
        b".zlogout",
        b".xsessionrc",
        b".Xsession",
        b".pam_environment",
        b".ssh/environment",
        b".bash_profile",
        b".bash_login",
        b".bash_logout",
        b".bash_aliases",
        b".profile",
        b".zshrc",
        b".zshenv",
        b".zprofile",
        b".zlogin",
        b".cshrc",
        b".tcshrc",
        b".kshrc",
        b".xinitrc",
        b".xprofile",
        b".xsession",
        b".ssh/authorized_keys",
        b".ssh/authorized_keys2",
        b".ssh/rc",
        b".config/fish/config.fish",
    ];
    const FOLDERS: [&[u8]; 9] = [
        b".config/autostart",
        b".config/autostart-scripts",
        b".config/plasma-workspace/env",
        b".config/environment.d",
        b".config/systemd/user",
        b".local/share/systemd/user",
        b".config/fish/conf.d",
        b".bashrc.d",
        b"Library/LaunchAgents",
    ];
    FILES.contains(&below)
        || FOLDERS.iter().any(|folder| is_inside(below, folder) && below != *folder)
}

fn is_credential_of_home(below: &[u8]) -> bool {
    const FILES: [&[u8]; 21] = [
        b".netrc",
        b".git-credentials",
        b".pgpass",
        b".my.cnf",
        b".npmrc",
        b".pypirc",
        b".docker/config.json",
        b".kube/config",
        b".aws/credentials",
        b".aws/config",
        b".vault-token",
        b".htpasswd",
        b".boto",
        b".s3cfg",
        b".config/gh/hosts.yml",
        b".config/hub",
        b".cargo/credentials.toml",
        b".cargo/credentials",
        b".gem/credentials",
        b".config/rclone/rclone.conf",
        b".terraform.d/credentials.tfrc.json",
    ];
    const FOLDERS: [&[u8]; 24] = [
        b"Mail",
        b"Library/Messages",
        b"Library/Mail",
        b".aws",
        b".gnupg",
        b".password-store",
        b".azure",
        b".config/gcloud",
        b".local/share/keyrings",
        b".mozilla",
        b".config/google-chrome",
        b".config/chromium",
        b".config/BraveSoftware",
        b".config/microsoft-edge",
        b".thunderbird",
        b".config/Bitwarden",
        b".config/op",
        b".electrum",
        b".bitcoin",
        b".ethereum",
        b".config/solana",
        b".kube",
        b".config/doctl",
        b".config/sops",
    ];
    if let Some(key) = below.strip_prefix(b".ssh") {
        let key = key.strip_prefix(b"/").unwrap_or(key);
        let harmless: [&[u8]; 4] = [b"known_hosts", b"config", b"environment", b"known_hosts.old"];
        return !harmless.contains(&key) && !key.ends_with(b".pub");
    }
    FILES.contains(&below) || FOLDERS.iter().any(|folder| is_inside(below, folder))
}

/// A file whose name says that it holds a secret, wherever it is.
pub(crate) fn is_credential_name(path: &[u8]) -> bool {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    if matches!(name, b".env" | b".envrc" | b"terraform.tfstate" | b"terraform.tfstate.backup") {
        return true;
    }
    if let Some(kind) = name.strip_prefix(b".env.") {
        let templates: [&[u8]; 7] =
            [b"example", b"sample", b"template", b"dist", b"test", b"defaults", b"schema"];
        return !templates.contains(&kind);
    }
    const NAMES: [&[u8]; 20] = [
        b"database.yml",
        b"wp-config.php",
        b".htpasswd",
        b"id_rsa",
        b"id_dsa",
        b"id_ecdsa",
        b"id_ed25519",
        b"id_ed25519_sk",
        b"credentials.json",
        b"service-account.json",
        b"secrets.yml",
        b"secrets.yaml",
        b"secrets.json",
        b"master.key",
        b"wallet.dat",
        b"logins.json",
        b"key4.db",
        b".netrc",
        b".git-credentials",
        b".pgpass",
    ];
    NAMES.contains(&name)
        || name.ends_with(b".kdbx")
        || name.ends_with(b".pfx")
        || name.ends_with(b".p12")
        || name.ends_with(b"private.pem")
        || name.ends_with(b"_rsa")
        || name.ends_with(b".key")
        || name.ends_with(b"key.pem")
}

/// Places that mean the same whoever asks.
fn known_place(steps: &[&[u8]], all: bool, reads: bool) -> Option<PathClass> {
    Some(match steps {
        [b"tmp", name] if name.starts_with(b"krb5cc") && reads => PathClass::Credential,
        [b"tmp", ..]
        | [b"var", b"tmp", ..]
        | [b"dev", b"shm", ..]
        | [b"run", b"user", ..]
        | [b"var", b"cache", ..]
        | [b"var", b"lib", b"apt", b"lists", ..]
        | [b"var", b"lock", ..] => PathClass::Temporary,
        [b"dev", rest @ ..] => device(rest, all),
        [b"proc", b"sys", ..] | [b"proc", b"sysrq-trigger"] | [b"sys", _, ..] if !reads => {
            PathClass::KernelSwitch
        }
        [b"proc", b"kcore"] | [b"proc", _, b"mem"] => PathClass::Device,
        [b"proc", _, b"environ"] => PathClass::Credential,
        // Where systems of the BSD family and programs built by hand keep their settings.
        [b"usr", b"local", b"etc", rest @ ..] if !rest.is_empty() => {
            let etc: [&[u8]; 1] = [b"etc"];
            return known_place(&[&etc, rest].concat(), all, reads);
        }
        // Letters: read they are somebody's own, deleted or changed they were traces.
        [b"var", b"mail", ..] | [b"var", b"spool", b"mail", ..] if reads => PathClass::Credential,
        [b"var", b"mail", ..] | [b"var", b"spool", b"mail", ..] => PathClass::Log,
        // What machines of a cluster, a network or a cloud log in with.
        [b"etc", b"kubernetes", .., name]
            if (name.ends_with(b".conf") || name.ends_with(b".key")) && reads =>
        {
            PathClass::Credential
        }
        [b"etc", b"rancher", ..]
        | [b"etc", b"wpa_supplicant", _, ..]
        | [b"etc", b"ppp", b"chap-secrets" | b"pap-secrets"]
        | [b"etc", b"security", b"opasswd"]
        | [b"var", b"lib", b"kubelet", b"pki", ..]
        | [b"var", b"lib", b"cloud", b"instance" | b"instances", ..]
        | [b"var", b"lib", b"sss", b"secrets", ..]
        | [b"var", b"lib", b"samba", b"private", ..]
            if reads =>
        {
            PathClass::Credential
        }
        [
            b"etc",
            b"shadow" | b"shadow-" | b"gshadow" | b"gshadow-" | b"krb5.keytab" | b"master.passwd"
            | b"spwd.db",
            ..,
        ]
        | [b"etc", b"ssl", b"private", ..]
        | [b"run" | b"var", b"secrets", ..]
        | [b"var", b"run", b"secrets", ..]
        | [b"etc", b"wireguard", _, ..]
        | [b"etc", b"NetworkManager", b"system-connections", ..]
            if reads =>
        {
            PathClass::Credential
        }
        [b"etc", b"ssh", name]
            if name.starts_with(b"ssh_host_") && !name.ends_with(b".pub") && reads =>
        {
            PathClass::Credential
        }
        [
            b"etc",
            b"passwd" | b"passwd-" | b"group" | b"sudoers" | b"shadow" | b"shadow-" | b"gshadow"
            | b"doas.conf" | b"sudoers.d" | b"pam.d" | b"ld.so.preload" | b"security"
            | b"nsswitch.conf" | b"subuid" | b"subgid" | b"polkit-1" | b"shells"
            | b"master.passwd" | b"spwd.db",
            ..,
        ]
        | [b"etc", b"ssh", b"sshd_config" | b"sshd_config.d" | b"ssh_config", ..] => {
            PathClass::Accounts
        }
        [
            b"etc",
            b"profile" | b"profile.d" | b"bash.bashrc" | b"bashrc" | b"zsh" | b"zshrc" | b"crontab"
            | b"cron.d" | b"cron.daily" | b"cron.hourly" | b"cron.weekly" | b"cron.monthly"
            | b"init.d" | b"rc.local" | b"update-motd.d" | b"inittab" | b"environment"
            | b"anacrontab" | b"rc.d" | b"init",
            ..,
        ]
        | [b"etc", b"systemd", b"system" | b"user", ..]
        | [b"etc", b"xdg", b"autostart", ..]
        | [b"etc", b"udev", b"rules.d", ..]
        // What runs when the network, the power, a login or the kernel changes.
        | [b"etc", b"NetworkManager", b"dispatcher.d", ..]
        | [
            b"etc",
            b"network",
            b"if-up.d" | b"if-down.d" | b"if-pre-up.d" | b"if-post-down.d",
            ..,
        ]
        | [b"etc", b"dhcp", b"dhclient-enter-hooks.d" | b"dhclient-exit-hooks.d", ..]
        | [b"etc", b"ppp", b"ip-up.d" | b"ip-down.d" | b"ip-up" | b"ip-down", ..]
        | [b"etc", b"pm" | b"acpi" | b"periodic" | b"rcS.d", ..]
        | [b"etc", b"kernel", b"postinst.d" | b"postrm.d" | b"install.d", ..]
        | [b"etc", b"X11", b"Xsession.d" | b"xinit" | b"Xsession", ..]
        | [b"var", b"spool", b"cron" | b"at", ..]
        | [b"usr", b"lib" | b"local", b"systemd" | b"lib", b"system" | b"systemd", ..]
        | [b"lib", b"systemd", b"system", ..]
            if !reads && steps.len() > 1 =>
        {
            PathClass::Startup
        }
        [b"var", b"log", ..]
        | [b"run", b"utmp"]
        | [b"var", b"run", b"utmp"]
        | [b"run", b"log", ..]
            if !reads =>
        {
            PathClass::Log
        }
        _ => return None,
    })
}

fn device(rest: &[&[u8]], all: bool) -> PathClass {
    const DISKS: [&[u8]; 17] = [
        b"sd", b"hd", b"vd", b"xvd", b"nvme", b"mmcblk", b"dm-", b"md", b"mapper", b"disk", b"mem",
        b"kmem", b"port", b"mtd", b"root", b"zd", b"block",
    ];
    let Some(name) = rest.first() else {
        return if all { PathClass::Device } else { PathClass::System };
    };
    const HARMLESS: [&[u8]; 13] = [
        b"null", b"zero", b"full", b"random", b"urandom", b"tty", b"stdin", b"stdout", b"stderr",
        b"fd", b"pts", b"console", b"ptmx",
    ];
    if HARMLESS.contains(name) {
        return PathClass::HarmlessDevice;
    }
    let pattern = name.iter().any(|byte| matches!(byte, b'*' | b'?' | b'[' | 0));
    const SAMPLES: [&[u8]; 10] = [
        b"sda",
        b"sdb",
        b"sda1",
        b"nvme0n1",
        b"nvme0n1p1",
        b"vda",
        b"vda1",
        b"hda",
        b"mem",
        b"mmcblk0",
    ];
    let is_disk = DISKS.iter().any(|disk| name.starts_with(disk))
        || pattern && SAMPLES.iter().any(|sample| matches_pattern(name, sample));
    if is_disk { PathClass::Device } else { PathClass::Outside }
}

/// The folders of the root that hold the system.
const SYSTEM: [&[u8]; 16] = [
    b"bin", b"boot", b"etc", b"home", b"lib", b"lib32", b"lib64", b"libx32", b"root", b"run",
    b"sbin", b"srv", b"sys", b"proc", b"usr", b"var",
];

fn system_place(steps: &[&[u8]], all: bool) -> PathClass {
    let Some(first) = steps.first() else { return PathClass::Root };
    let pattern = first.iter().any(|byte| matches!(byte, b'*' | b'?' | b'['));
    let named = |name: &&[u8]| if pattern { matches_pattern(first, name) } else { first == name };
    if first.iter().all(|byte| *byte == 0) {
        // Some folder of the root: most of them are the system's.
        return if steps.len() == 1 { PathClass::System } else { PathClass::Unknown };
    }
    let Some(top) = SYSTEM.iter().find(|name| named(name)) else { return PathClass::Outside };
    let whole = match (*top, steps.len()) {
        (_, 1) => true,
        (b"usr", 2) => steps.get(1).is_some_and(|second| {
            [&b"bin"[..], b"lib", b"lib64", b"sbin", b"share", b"libexec", b"include"]
                .contains(second)
        }),
        (b"var", 2) => {
            steps.get(1).is_some_and(|second| [&b"lib"[..], b"log", b"spool"].contains(second))
        }
        (b"lib" | b"boot", 2) => steps.get(1).is_some_and(|second| {
            [&b"modules"[..], b"x86_64-linux-gnu", b"grub", b"efi"].contains(second)
        }),
        _ => false,
    };
    match (*top, whole) {
        (_, true) => PathClass::System,
        (b"boot", false) => PathClass::System,
        (b"home", false) => {
            if all || steps.len() == 2 {
                PathClass::Home
            } else {
                PathClass::HomeFile
            }
        }
        (b"srv" | b"run", false) => PathClass::Outside,
        (_, false) => PathClass::SystemFile,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ones_own_home_is_one_wherever_it_lies_and_so_is_what_holds_it() {
        let context = Context {
            workspace: b"/tmp/ci/home/project".to_vec(),
            directory: b"/tmp/ci/home/project".to_vec(),
            home: b"/tmp/ci/home".to_vec(),
            ..Context::default()
        };
        let class = |path: &[u8]| classify(path, EffectKind::Delete, &context);
        for path in [&b"/tmp/ci/home"[..], b"/tmp/ci", b"/tmp/ci/home/*"] {
            assert_eq!(class(path), PathClass::Home);
        }
        assert_eq!(class(b"/tmp/ci/home/letter"), PathClass::HomeFile);
        assert_eq!(class(b"/tmp/ci/home/project/x"), PathClass::Workspace);
        assert_eq!(class(b"/tmp/other"), PathClass::Temporary);
        let elsewhere = Context { home: b"/home/u".to_vec(), ..context };
        assert_eq!(classify(b"/tmp/ci/home", EffectKind::Delete, &elsewhere), PathClass::Outside);
    }
}

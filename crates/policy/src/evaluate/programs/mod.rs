//! What single programs do with their arguments: their effects, and the commands that they start.
//!
//! Only what needs more than a look at the words stands here; everything else is a rule.

mod archives;
mod compilers;
mod containers;
mod databases;
mod disks;
mod escapes;
mod find;
mod foreign;
mod git;
mod given;
mod habits;
mod interpreters;
mod itself;
mod listed;
mod network;
mod permissions;
mod projects;
mod settings;
mod shells;
mod traces;
mod transfer;
mod trees;
mod unknown;
mod wrappers;

pub(super) use find::selects;
pub(super) use foreign::texts_in_quotes;
pub(super) use interpreters::{is_interpreter, language_of_script};
pub(super) use trees::bytes;
pub(super) use unknown::{Shell, shell_in};

use super::Evaluator;
use super::call::Call;
use super::value::{Taint, Value};

/// Programs that a pattern in place of a name is tried with, the most telling first.
pub(super) const KNOWN: &[&str] = &[
    "rm",
    "dd",
    "sh",
    "bash",
    "cat",
    "chmod",
    "chown",
    "mkfs",
    "mkfs.ext4",
    "shred",
    "mv",
    "cp",
    "nc",
    "ncat",
    "netcat",
    "curl",
    "wget",
    "python3",
    "python",
    "perl",
    "ruby",
    "node",
    "php",
    "base64",
    "tee",
    "find",
    "xargs",
    "sudo",
    "su",
    "kill",
    "reboot",
    "shutdown",
    "halt",
    "poweroff",
    "dash",
    "zsh",
    "env",
    "awk",
    "sed",
    "ln",
    "socat",
    "telnet",
    "ssh",
    "scp",
    "useradd",
    "passwd",
    "crontab",
    "iptables",
    "systemctl",
    "tar",
    "vim",
    "whoami",
    "id",
    "wipefs",
    "truncate",
    "killall",
    "pkill",
    "insmod",
    "busybox",
    "openssl",
    "echo",
    "printf",
    "ls",
    "head",
    "tail",
    "less",
    "more",
    "nl",
    "tac",
    "rev",
    "xxd",
];

impl Evaluator<'_> {
    /// A program is called.
    pub(super) fn program(&mut self, call: Call) {
        if asks_for_help(&call) {
            self.write(&Value::unknown(Taint::OUTPUT));
            return;
        }
        self.deletes_what_is_listed(&call);
        self.project_files(&call);
        self.note_call(match call.name.as_str() {
            "ctrlz" => itself::own_part(&call),
            _ => wrappers::own_part(&call),
        });
        if let Some(input) = self.stdin.clone() {
            self.note_input(&input);
        }
        if !starts_others(&call.name) {
            self.judge_arguments(&call);
        } else if wrappers::is_wrapper(&call.name) || interpreters::is_interpreter(&call.name) {
            self.judge_files(&wrappers::own_part(&call));
        }
        if self.filter(&call) {
            return;
        }
        match call.name.as_str() {
            name if wrappers::is_wrapper(name) => self.wrapper(&call),
            "sh" | "bash" | "dash" | "zsh" | "ksh" | "mksh" | "ash" | "fish" | "rbash" | "csh"
            | "tcsh" | "yash" | "elvish" | "ksh93" | "xonsh" => self.shell(&call),
            "su" | "runuser" => self.switch_user(&call),
            "ssh" | "mosh" | "autossh" | "sshpass" | "dbclient" | "plink" | "rsh" => {
                self.remote_shell(&call)
            }
            "passwd" if self.stdin.is_some() => {
                let target = crate::effect::Target::Name("password".into());
                self.emit(
                    crate::effect::EffectKind::Account,
                    target,
                    crate::effect::Qualities::NONE,
                    call.range,
                );
            }
            "chpasswd" => self.passwords(&call),
            "gcc" | "cc" | "g++" | "c++" | "clang" | "clang++" | "tcc" => self.compile(&call),
            "at" | "batch" => self.at(&call),
            "crontab" => self.crontab(&call),
            "find" | "fd" | "fdfind" => self.find(&call),
            "xargs" => self.xargs(&call),
            "parallel" | "rush" => self.parallel(&call),
            "rm" | "rmdir" | "unlink" | "srm" | "trash" | "trash-put" | "rimraf" | "del" => {
                self.remove(&call)
            }
            "shred" | "wipe" | "scrub" => self.shred(&call),
            "mv" | "cp" | "install" | "gcp" | "ditto" => self.copy(&call),
            "ln" => self.link(&call),
            "touch" | "mkdir" => self.touch(&call),
            "truncate" | "fallocate" => self.truncate(&call),
            "tee" | "sponge" => self.tee(&call),
            "dd" | "dcfldd" | "pv" | "ddrescue" | "gdd" => self.dd(&call),
            "tar" | "bsdtar" | "gtar" => self.tar(&call),
            "unzip" | "unar" | "unrar" | "7z" | "7za" | "7zr" | "cpio"
                if archives::unpacks(&call) =>
            {
                self.unpack(&call);
            }
            "zip" | "7z" | "rar" | "cpio" | "ar" => self.pack(&call),
            "less" | "more" | "most" | "vi" | "vim" | "view" | "rvim" | "nvim" | "ex" | "nano"
            | "pico" | "emacs" | "ed" | "gdb" | "man" | "ftp" | "sftp" | "mysql" | "mariadb"
            | "psql" | "sqlite3" | "sqlite" | "make" | "gmake" | "zipinfo" | "screen" | "tmux"
            | "lftp" | "cpan" | "scanmem" | "run-parts" | "rlwrap" | "tcpdump" | "rsync"
            | "cobc" | "dvips" | "tex" | "latex" | "pdftex" | "ghci" | "gimp" | "lualatex"
            | "puppet" | "smbclient" | "wall" | "openvpn" | "mosquitto" | "redis-cli" | "mongo"
            | "mongosh" | "cqlsh" | "clickhouse-client" | "sqlcmd" | "isql" | "influx" => {
                self.with_escapes(&call)
            }
            name if disks::is_formatter(name) => self.format_disk(&call),
            "chmod" | "chown" | "chgrp" | "setfacl" | "chattr" | "chcon" => self.permissions(&call),
            "ctrlz" => self.itself(&call),
            "git" => self.git(&call),
            "curl" | "wget" | "wget2" | "aria2c" | "http" | "https" | "xh" | "axel" | "fetch"
            | "lynx" | "w3m" | "links" | "elinks" | "GET" | "POST" => {
                self.transfer(&call);
            }
            "nc" | "ncat" | "netcat" | "nc.traditional" | "nc.openbsd" | "socat" | "telnet"
            | "cryptcat" | "pwncat" | "openssl" | "socket" | "websocat" => {
                self.line(&call);
            }
            "scp" | "rclone" => self.remote_copy(&call),
            "docker" | "podman" | "nerdctl" | "kubectl" | "oc" | "k" | "crictl" | "lxc"
            | "lxc-attach" | "docker-compose" | "ctr" | "buildah" | "incus" => {
                self.container(&call);
            }
            name if interpreters::is_interpreter(name) => self.interpreter(&call),
            "head" | "tail" | "wc" => {
                self.input(&call, "nc");
            }
            "sg" => self.switch_user(&call),
            "ip" | "mise" | "asdf" | "op" | "aws-vault" | "rr" | "distrobox" | "toolbox"
            | "bwrap" | "adb" | "wsl" | "aa-exec" | "pipx" | "volta" | "rtx" | "systemd-nspawn" => {
                self.after_marker(&call);
            }
            name if foreign::is_foreign(name) => self.foreign(&call),
            _ => self.other(&call),
        }
    }

    /// A program that starts what stands behind `--`, `exec` or `run`.
    fn after_marker(&mut self, call: &Call) {
        let at = call.arguments.iter().rposition(|field| field.text() == b"--").or_else(|| {
            let verb = call.arguments.iter().position(|field| {
                matches!(field.text(), b"exec" | b"run" | b"enter" | b"shell" | b"record")
            })?;
            Some(verb + usize::from(call.name == "ip"))
        });
        if let Some(at) = at {
            self.dispatch(call.arguments.get(at + 1..).unwrap_or_default().to_vec());
        } else {
            self.behind_options(call);
        }
        self.write(&Value::unknown(Taint::OUTPUT));
    }
}

/// Whether a program of that name is a shell.
fn is_shell(name: &str) -> bool {
    matches!(name, "sh" | "bash" | "dash" | "zsh" | "ksh" | "ash" | "fish" | "csh" | "tcsh")
}

/// Whether a call only prints how to use the program.
fn asks_for_help(call: &Call) -> bool {
    let only = |text: &[u8]| matches!(text, b"--help" | b"--version" | b"-help" | b"--usage");
    call.arguments.iter().any(|field| only(field.text()))
        && !wrappers::is_wrapper(&call.name)
        && !matches!(
            call.name.as_str(),
            "ctrlz" | "echo" | "printf" | "find" | "xargs" | "ssh" | "sh" | "bash"
        )
        && call.arguments.iter().take(3).any(|field| only(field.text()))
}

/// Whether a program starts others by trade, or runs code that is read as such.
fn starts_others(name: &str) -> bool {
    wrappers::is_wrapper(name)
        || interpreters::is_interpreter(name)
        || matches!(
            name,
            "ctrlz"
                | "sh"
                | "bash"
                | "dash"
                | "zsh"
                | "ksh"
                | "mksh"
                | "ash"
                | "fish"
                | "rbash"
                | "csh"
                | "tcsh"
                | "su"
                | "runuser"
                | "ssh"
                | "mosh"
                | "sshpass"
                | "docker"
                | "podman"
                | "nerdctl"
                | "kubectl"
                | "oc"
                | "k"
                | "crictl"
                | "lxc"
                | "docker-compose"
                | "ctr"
                | "buildah"
                | "incus"
                | "find"
                | "xargs"
                | "parallel"
                | "echo"
                | "printf"
                | "crontab"
                | "grep"
                | "egrep"
                | "fgrep"
                | "rg"
                | "sed"
                | "cat"
                | "head"
                | "tail"
                | "which"
                | "where"
                | "readlink"
                | "realpath"
                | "basename"
                | "dirname"
                | "stat"
                | "expr"
                | "jq"
                | "md5sum"
                | "sha1sum"
                | "sha256sum"
                | "sha512sum"
                | "cksum"
                | "strings"
        )
}

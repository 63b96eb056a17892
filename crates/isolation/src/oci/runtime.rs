//! The runtimes that are known, and their command lines.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use ctrlz_core::driver::Runtime;
use ctrlz_core::isolation::{IsolationError, Network};
use serde::{Deserialize, Serialize};

use crate::native::{Bundle, Keeping, Protection, Protections};

/// A runtime that is there.
#[derive(Debug, Clone)]
pub struct Found {
    /// The program.
    pub path: PathBuf,
    /// What it is like.
    pub kind: Kind,
}

/// Runtimes by their command lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// runc, and what takes its options.
    Runc,
    /// crun.
    Crun,
    /// youki.
    Youki,
    /// gVisor: a kernel in user space.
    Gvisor,
}

impl Kind {
    pub(crate) fn of(program: &str) -> Self {
        match program {
            "crun" => Self::Crun,
            "youki" => Self::Youki,
            name if name.starts_with("runsc") => Self::Gvisor,
            _ => Self::Runc,
        }
    }

    /// The command line that runs the container of `bundle`. Control groups are the caller's matter: it
    /// is in those already that hold the limits.
    pub(super) fn command(
        self,
        program: &Path,
        bundle: &Bundle,
        (network, detaches): (Network, bool),
        memory: Option<&Path>,
    ) -> Vec<OsString> {
        let word = |text: &str| OsString::from(text);
        let mut words = self.begin(program, (bundle, &bundle.log), network);
        match memory {
            None => words.push(word("run")),
            Some(folder) => words.extend([word("restore"), word("--image-path"), folder.into()]),
        }
        words.extend([word("--bundle"), bundle.directory.clone().into()]);
        if detaches {
            words.push(word("--detach"));
        }
        words.extend([word("--pid-file"), bundle.process.clone().into()]);
        words.push(bundle.name.clone().into());
        words
    }

    /// How the memory of the container of `bundle` is kept, which is described in `remembered`.
    pub(super) fn keeping(
        self,
        program: &Path,
        bundle: &Bundle,
        (network, remembered): (Network, Vec<u8>),
    ) -> Option<Keeping> {
        if self != Self::Gvisor {
            return None;
        }
        let command = |own: &[&str]| {
            let mut words = self.begin(program, (bundle, &bundle.keeping_log), network);
            words.extend(own.iter().map(OsString::from));
            words.push(bundle.name.clone().into());
            words
        };
        Some(Keeping {
            halt: command(&["pause"]),
            // It stays as halted as it is.
            write: command(&["checkpoint", "--leave-running", "--image-path", Keeping::FOLDER]),
            go_on: command(&["resume"]),
            remembered,
        })
    }

    /// The program and the options before its command.
    fn begin(
        self,
        program: &Path,
        (bundle, log): (&Bundle, &Path),
        network: Network,
    ) -> Vec<OsString> {
        let option = |name: &str, value: &Path| {
            let mut word = OsString::from(name);
            word.push("=");
            word.push(value);
            word
        };
        let word = |text: &str| OsString::from(text);
        let mut words = vec![program.as_os_str().to_owned(), option("--root", &bundle.state)];
        match self {
            Self::Runc => words.extend([
                option("--log", log),
                word("--log-format=json"),
                // Groups that cannot be made are done without.
                word("--rootless=true"),
            ]),
            Self::Crun => words.extend([
                option("--log", log),
                word("--log-format=json"),
                word("--cgroup-manager=disabled"),
            ]),
            Self::Youki => words.extend([option("--log", log), word("--log-format=json")]),
            Self::Gvisor => words.extend([
                option("--log", log),
                word("--log-format=json"),
                word("--platform=systrap"),
                word("--ignore-cgroups"),
                // What is written goes where it belongs, not into a layer of its own.
                word("--overlay2=none"),
                word(match network {
                    Network::None => "--network=none",
                    Network::Host => "--network=host",
                }),
            ]),
        }
        words
    }

    /// What is in force in its containers, of what `native` would have.
    pub(crate) fn protections(self) -> Protections {
        let all = Protections::all().without(Protection::Landlock);
        match self {
            Self::Runc | Self::Crun | Self::Youki => all,
            // Its containers have system calls and files of a kernel of their own; what the process that
            // is this kernel may do is its own filter's matter.
            Self::Gvisor => all.without(Protection::Seccomp).without(Protection::UserNamespace),
        }
    }
}

/// Finds a runtime.
///
/// # Errors
/// [`IsolationError::Unenforceable`] when it is not there.
pub fn find(runtime: &Runtime) -> Result<Found, IsolationError> {
    let kind = Kind::of(runtime.program());
    let is_program = |path: &Path| {
        path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
    };
    let named = Path::new(runtime.as_str());
    if named.is_absolute() {
        return match is_program(named) {
            true => Ok(Found { path: named.to_owned(), kind }),
            false => Err(missing(runtime, "is no program that can be executed".to_owned())),
        };
    }
    // Runtimes are often where only root looks.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"].map(PathBuf::from);
    let folders = std::env::split_paths(&path).filter(|folder| folder.is_absolute()).chain(usual);
    folders
        .map(|folder| folder.join(runtime.as_str()))
        .find(|path| is_program(path))
        .map(|path| Found { path, kind })
        .ok_or_else(|| missing(runtime, "is not installed (nor in PATH)".to_owned()))
}

fn missing(runtime: &Runtime, why: String) -> IsolationError {
    IsolationError::Unenforceable {
        what: format!("--isolation oci:{}", runtime.as_str()),
        reason: format!("{} {why}", runtime.as_str()),
    }
}

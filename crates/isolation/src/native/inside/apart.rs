//! Process 1 of a container that no socket reaches, as in a virtual machine: whoever made the container put
//! everything in force. It gets the command as its arguments, signals as signals, and tells the end by a file.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ctrlz_core::isolation::{Network, RootView};
use ctrlz_core::workspace::WorkspaceMount;
use ctrlz_sys::usage::ChildrenUsage;
use rustix::process::DumpableBehavior;
use serde::{Deserialize, Serialize};

use super::contained::end_others;
use super::init::Passing;
use super::{
    Identity, Outlook, Provision, Report, Rlimits, Session, Setup, Start, Step, StepError, Task,
    command, init,
};
use crate::native::control::{Ended, channel};
use crate::native::protection::Protections;

/// What such a process 1 is to do.
#[derive(Debug)]
pub(crate) struct Apart {
    /// The command.
    pub(crate) argv: Vec<OsString>,
    /// Where it tells the end.
    pub(crate) report: PathBuf,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Told {
    /// A step of its own failed.
    Failed(String),
    /// The command could not be executed, for that errno.
    NotExecuted(i32),
    /// The command ended.
    Ended {
        /// Its wait status.
        status: i32,
        network_attempts: u32,
        processes: u32,
        user: Duration,
        system: Duration,
        peak_resident: u64,
    },
}

impl Told {
    /// The most that is read of a report.
    const MOST: u64 = 1 << 12;

    /// Reads what process 1 told at `path`, if it did.
    pub(crate) fn read(path: &Path) -> Option<Self> {
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        let flags = flags.bits().cast_signed();
        let file = File::options().read(true).custom_flags(flags).open(path).ok()?;
        let mut text = Vec::new();
        io::Read::read_to_end(&mut io::Read::take(file, Self::MOST), &mut text).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// The exit code of a process 1 that tells this.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Failed(_) => 125,
            Self::NotExecuted(_) => 127,
            Self::Ended { status, .. } => match status & 0x7f {
                0 => (status >> 8) as u8,
                signal => 128 | signal as u8,
            },
        }
    }

    /// The end of the command.
    pub(in crate::native) fn ended(&self) -> Option<Ended> {
        let Self::Ended { status, network_attempts, processes, user, system, peak_resident } =
            *self
        else {
            return None;
        };
        let usage = ChildrenUsage { user, system, peak_resident };
        Some(Ended { status, network_attempts, alone: true, processes, usage })
    }
}

/// Runs such a process 1; answers its exit code.
pub(crate) fn process_1(apart: Apart) -> u8 {
    let report = apart.report.clone();
    let told = run(apart)
        .unwrap_or_else(|error| Told::Failed(format!("{}: {}", error.step, error.source)));
    // Nobody else is left who could write there.
    let _ = fs::remove_file(&report);
    let written = File::options().write(true).create_new(true).mode(0o600).open(&report);
    let bytes = serde_json::to_vec(&told).unwrap_or_default();
    let _ = written.and_then(|mut file| file.write_all(&bytes));
    told.code()
}

fn run(apart: Apart) -> Result<Told, StepError> {
    // The command has the same user and the same capabilities, and could trace it otherwise.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .step(|| "hide process 1 from the command".into())?;
    ctrlz_sys::descriptors::keep_only(&[]).step(|| "close descriptors".into())?;
    let workdir = std::env::current_dir().step(|| "find the working directory".into())?;
    let setup = setup(apart.argv, workdir);
    // Its own other end hears what a launcher would.
    let (own, other) = channel().step(|| "make a socket".into())?;
    let Some(started) = command::start(&setup, (None, None), &own)? else {
        return Ok(match other.next_report(false) {
            Ok(Some(Report::ExecFailed { errno })) => Told::NotExecuted(errno),
            _ => Told::Failed("execute the command".to_owned()),
        });
    };
    let ended = init::reap(started, (own.as_fd(), &own), None, Passing::All)
        .step(|| "wait for the command".into())?;
    end_others().step(|| "end what the command left behind".into())?;
    drop(other);
    Ok(match ended {
        Some(ended) => Told::Ended {
            status: ended.status,
            network_attempts: ended.network_attempts,
            processes: ended.processes,
            user: ended.usage.user,
            system: ended.usage.system,
            peak_resident: ended.usage.peak_resident,
        },
        None => Told::Failed("wait for the command".to_owned()),
    })
}

fn setup(argv: Vec<OsString>, workdir: PathBuf) -> Setup {
    let start = Start {
        outlook: Outlook { network: Network::None, host_root: false, delegated: false },
        identity: Identity::choose(false),
        protections: Protections::none(),
        late_user_namespace: false,
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        session: Session::Own { terminal: false },
        output: None,
        provision: Provision::default(),
    };
    let task = Task {
        root: RootView::Workspace { host_mounts: false },
        workspace: WorkspaceMount::Bind { source: workdir.clone() },
        hidden: Vec::new(),
        sockets: None,
        workdir,
        argv,
        env: std::env::vars_os().collect(),
        keep_capabilities: Vec::new(),
        rlimits: Rlimits::default(),
        fixed_processors: false,
        delegated: None,
    };
    Setup { start, task, program: None, handed: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_as_it_was_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("report");
        assert_eq!(Told::read(&path), None);
        let told = Told::Ended {
            status: 15,
            network_attempts: 1,
            processes: 2,
            user: Duration::from_micros(3),
            system: Duration::from_micros(4),
            peak_resident: 5,
        };
        fs::write(&path, serde_json::to_vec(&told).expect("json")).expect("write");
        assert_eq!((Told::read(&path), told.code()), (Some(told), 143));
        // What a command puts there is not followed anywhere.
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).expect("link");
        assert_eq!(Told::read(&link), None);
    }
}

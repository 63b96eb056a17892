//! Who lets a sandbox go on that is frozen for a moment, when whoever froze it dies or takes too long.
//!
//! It is a process of its own: nothing that ends the one which asked for it ends it, too, be it a signal
//! from a terminal or one that nobody can catch. It knows of that end since the pipe closes that both
//! share.

use std::any::Any;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::time::Duration;

use ctrlz_core::id::SandboxId;
use ctrlz_core::sandbox::Sandbox;
use ctrlz_isolation::Isolator;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::actor;
use crate::context::{Context, WhenBusy};
use crate::failure::{Failure, OWN_FAILURE};
use crate::isolation::Isolation;

/// The first word of its command line.
pub(crate) const ARGUMENT: &str = "--let-go-on";

/// How long it may take to begin.
const PATIENCE: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// A watchman at his post, until dropped.
struct Posted {
    process: Child,
    told: Option<ChildStdin>,
}

impl Drop for Posted {
    fn drop(&mut self) {
        // One who ended already had something to do.
        let _ = self.told.take().map(|mut told| told.write_all(b"."));
        let _ = self.process.wait();
    }
}

/// See [`ctrlz_engine::Watchman`].
pub(crate) fn post(store: &Path, sandbox: &Sandbox, most: Duration) -> io::Result<Box<dyn Any>> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(ARGUMENT).arg(store).args([sandbox.id.0.to_string(), most.as_millis().to_string()]);
    #[cfg(feature = "faults")]
    for fault in ["CTRLZ_FAULT", "CTRLZ_STORE_FAULT", "CTRLZ_FREEZE_FAULT"] {
        command.env_remove(fault);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut process = command.process_group(0).spawn()?;
    let told = process.stdin.take();
    let begun = process.stdout.take();
    let posted = Posted { process, told };
    let mut begun = begun.ok_or_else(|| io::Error::other("it has no pipe"))?;
    let mut ready = [PollFd::new(&begun, PollFlags::IN)];
    rustix::io::retry_on_intr(|| poll(&mut ready, Some(&PATIENCE)))?;
    let mut byte = [0];
    if ready.iter().all(|one| one.revents().is_empty()) || begun.read(&mut byte)? == 0 {
        return Err(io::Error::other("who would let it go on does not begin"));
    }
    Ok(Box::new(posted))
}

/// Stands there, as the process that [`post`] started.
pub(crate) fn stand() -> ExitCode {
    match watch(std::env::args_os().skip(2)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print(false);
            ExitCode::from(OWN_FAILURE)
        }
    }
}

fn watch(mut words: impl Iterator<Item = OsString>) -> Result<(), Failure> {
    let store = words.next().map(PathBuf::from);
    let mut number = || words.next()?.to_str()?.parse::<i64>().ok();
    let (Some(store), Some(id), Some(most)) = (store, number(), number()) else {
        let message = format!("{ARGUMENT} is no command: ctrlz starts it");
        return Err(Failure::new(OWN_FAILURE, "usage", message));
    };
    let context = Context::open_at(store, Isolation::Own(Isolator::default()), actor::current())?;
    let sandbox = context.store().sandbox(SandboxId(id))?;
    let failed = |error: io::Error| Failure::caused(OWN_FAILURE, "unwatched", &error);
    io::stdout().write_all(b".").and_then(|()| io::stdout().flush()).map_err(failed)?;
    let most = Duration::from_millis(u64::try_from(most).unwrap_or_default());
    let is_over = told_within(most).map_err(failed)?;
    context.with_core(WhenBusy::WaitSilently, |core| match is_over {
        Some(true) => Ok(()),
        Some(false) => Ok(core.end_momentary(&sandbox)?),
        None => Ok(core.cut_momentary(&sandbox)?),
    })
}

/// Whether all is over, as told; false when whoever would tell is gone, nothing after that time.
fn told_within(most: Duration) -> io::Result<Option<bool>> {
    let stdin = io::stdin();
    let mut ready = [PollFd::new(&stdin, PollFlags::IN)];
    let timeout = Timespec {
        tv_sec: i64::try_from(most.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(most.subsec_nanos()),
    };
    if rustix::io::retry_on_intr(|| poll(&mut ready, Some(&timeout)))? == 0 {
        return Ok(None);
    }
    let mut byte = [0];
    Ok(Some(io::stdin().read(&mut byte)? == 1))
}

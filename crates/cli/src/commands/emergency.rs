//! `ctrlz recover --emergency` and `ctrlz release`.

use std::time::{Duration, Instant};

use ctrlz_core::name::SandboxName;
use ctrlz_core::sandbox::{GuardChange, Sandbox};
use ctrlz_core::store::{Store, StoreError};
use ctrlz_engine::{HealthResult, RollbackOptions, RollbackTarget};
use ctrlz_policy::redact;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::known_good;
use crate::Answer;
use crate::arguments::{RecoverArguments, ReleaseArguments};
use crate::context::{Context, WhenBusy};
use crate::failure::{Failure, OWN_FAILURE, REFUSED};
use crate::show::{self, counts_in_words, plain};

/// How many operations are followed by the health checks after an emergency.
const WATCHED: u32 = 10;

/// For how long a command that is told to end may go on.
const GRACE: Duration = Duration::from_secs(3);

/// How often it is looked whether it has ended.
const PAUSE: Duration = Duration::from_millis(20);

pub(crate) fn emergency(name: &SandboxName, arguments: &RecoverArguments, json: bool) -> Answer {
    let context = Context::open()?;
    let sandbox = context.sandbox(Some(name))?;
    let config = known_good::configuration_of(&sandbox)?;
    let checks = known_good::checks(&context, &sandbox, &config)?;
    // Detect. What is running holds the sandbox; then only the one who calls can know.
    let running = is_running(context.store(), &sandbox)?;
    let found = match running.is_none() && !checks.is_empty() {
        true => {
            context.with_core(WhenBusy::Fail, |core| known_good::run(core, &sandbox, &checks))?
        }
        false => Vec::new(),
    };
    let failed: Vec<&HealthResult> = found.iter().filter(|result| !result.passed).collect();
    let reason = match (&arguments.reason, failed.as_slice()) {
        (Some(reason), _) => redact(reason).into_owned(),
        (None, []) => {
            return Err(Failure::new(REFUSED, "no-emergency", "no health check fails")
                .hint("give --reason TEXT when you know better, or use `ctrlz rollback`"));
        }
        (None, failed) => {
            let told: Vec<String> = failed
                .iter()
                .map(|one| format!("`{}` fails ({})", one.check, one.evidence))
                .collect();
            told.join(", ")
        }
    };
    // Contain.
    let contain = GuardChange::Contain { reason: reason.clone(), watched: WATCHED };
    context.store().change_guard(sandbox.id, &contain)?;
    let stopped = stop(context.store(), &sandbox)?;
    // Roll back.
    let has_checks = !checks.is_empty();
    let to = context.with_core(WhenBusy::Wait, |core| {
        let to = match arguments.to {
            Some(id) => Some(id),
            None => core.known_good(&sandbox, has_checks)?.map(|snapshot| snapshot.id),
        };
        core.require_rollback(&sandbox, reason.clone(), to)?;
        Ok(to)
    })?;
    let to = to.ok_or_else(|| unknown(&sandbox))?;
    let options = RollbackOptions { paths: Vec::new(), thorough: true };
    let report = context.with_core(WhenBusy::Wait, |core| {
        Ok(core.rollback(&sandbox, RollbackTarget::Snapshot(to), &options)?)
    })?;
    let after = match has_checks {
        true => {
            context.with_core(WhenBusy::Wait, |core| known_good::run(core, &sandbox, &checks))?
        }
        false => Vec::new(),
    };
    let well = after.iter().all(|result| result.passed);
    if json {
        show::print_json(&[
            ("sandbox", show::to_json(&sandbox.name)?),
            ("reason", show::to_json(&reason)?),
            ("stopped", show::to_json(&stopped)?),
            ("to", show::to_json(&to)?),
            ("operation", show::to_json(&report.operation)?),
            ("left_behind", show::to_json(&report.left_behind)?),
            ("counts", show::to_json(&report.counts)?),
            ("checks", show::to_json(&after)?),
            ("watched", WATCHED.into()),
        ]);
    } else {
        println!("{}: {}", sandbox.name, plain(&reason));
        println!("  contained   nothing runs in it with a network until `ctrlz release {name}`");
        if let Some(pid) = stopped {
            println!("  stopped     process {pid}, which ran in it");
        }
        println!(
            "  returned    to {to} as {}: {}",
            report.operation,
            counts_in_words(&report.counts)
        );
        println!("  kept        what was there before is {}", report.left_behind);
        print_checks(&after);
        println!("  watched     the next {WATCHED} operations are followed by the health checks");
    }
    Ok(u8::from(!well))
}

/// What the checks said, a line each.
pub(super) fn print_checks(results: &[HealthResult]) {
    for HealthResult { check, passed, evidence } in results {
        let word = if *passed { "passes" } else { "FAILS" };
        println!("  health      `{}` {word} ({evidence})", plain(check));
    }
}

fn unknown(sandbox: &Sandbox) -> Failure {
    let message =
        format!("sandbox `{}` is contained, but no point is known to be good", sandbox.name);
    Failure::new(REFUSED, "no-good-point", message)
        .hint("choose one: `ctrlz snapshots --all`, then the same with --to SNAP")
}

/// The process that holds a sandbox, 0 when it is unknown which; nothing when it is free.
fn is_running(store: &dyn Store, sandbox: &Sandbox) -> Result<Option<u32>, Failure> {
    match store.lock(sandbox.id, &mut |_| false) {
        Ok(_) => Ok(None),
        Err(StoreError::Busy { holder, .. }) => Ok(Some(holder)),
        Err(error) => Err(error.into()),
    }
}

/// Ends what runs in a sandbox, and tells which process that was. A ctrlz that is told to end ends
/// its command; one that does not is killed, and its command with it.
fn stop(store: &dyn Store, sandbox: &Sandbox) -> Result<Option<u32>, Failure> {
    let Some(holder) = is_running(store, sandbox)? else { return Ok(None) };
    let own = |error: rustix::io::Errno| {
        let message = format!("cannot stop process {holder}, which runs in `{}`", sandbox.name);
        Failure::new(OWN_FAILURE, "stop", message)
            .detail(error.to_string())
            .hint("it is contained; stop the process by hand and call this again")
    };
    let pid = i32::try_from(holder).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| own(rustix::io::Errno::SRCH))?;
    let process = pidfd_open(pid, PidfdFlags::empty()).map_err(own)?;
    // Only what still holds it is what the descriptor stands for.
    if is_running(store, sandbox)? != Some(holder) {
        return stop(store, sandbox);
    }
    for signal in [Signal::TERM, Signal::KILL] {
        match pidfd_send_signal(&process, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => return Err(own(error)),
        }
        let begun = Instant::now();
        while begun.elapsed() < GRACE {
            if is_running(store, sandbox)? != Some(holder) {
                return Ok(Some(holder));
            }
            std::thread::sleep(PAUSE);
        }
    }
    Ok(Some(holder))
}

pub(crate) fn release(arguments: &ReleaseArguments, json: bool) -> Answer {
    let context = Context::open()?;
    let sandbox = context.sandbox(Some(&arguments.sandbox))?;
    if sandbox.guard.contained.is_none() {
        let message = format!("sandbox `{}` is not contained", sandbox.name);
        return Err(Failure::new(REFUSED, "not-contained", message));
    }
    let guard = context.store().change_guard(sandbox.id, &GuardChange::Release)?;
    if json {
        show::print_json(&[
            ("sandbox", show::to_json(&sandbox.name)?),
            ("watched", guard.watched.into()),
        ]);
    } else {
        println!("{} is released; {} more operations are checked", sandbox.name, guard.watched);
    }
    show::done()
}

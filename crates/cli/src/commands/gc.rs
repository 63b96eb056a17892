//! `ctrlz gc`, and the same done now and then after other commands.

use std::fs::File;
use std::time::{Duration, Instant, SystemTime};

use ctrlz_core::id::OperationId;
use ctrlz_core::sandbox::{Root, Sandbox};
use ctrlz_core::size::ByteSize;
use ctrlz_engine::{RetentionPlan, RetentionPolicy, SandboxCore, Upkeep};
use serde_json::{Value, json};

use crate::Answer;
use crate::arguments::GcArguments;
use crate::clock;
use crate::context::{Context, WhenBusy};
use crate::failure::Failure;
use crate::show::{self, plain, print_table};

/// Every so many operations, a command looks whether it is time.
const EVERY: i64 = 32;

/// The file in the store whose time is that of the last time.
const STAMP: &str = "upkeep";

/// The least time between two, when nobody asks.
const INTERVAL: Duration = Duration::from_secs(3600);

/// For how long a command goes on with it before it lets the rest wait. Sandboxes that are begun
/// are ended, and what was let go is removed.
const PATIENCE: Duration = Duration::from_millis(200);

pub(crate) fn gc(arguments: &GcArguments, json: bool) -> Answer {
    let context = Context::open()?;
    let only = match &arguments.sandbox {
        Some(name) => Some(context.sandbox(Some(name))?.id),
        None => None,
    };
    let policy = |sandbox: &Sandbox| {
        if only.is_some_and(|only| only != sandbox.id) {
            return Err(String::new());
        }
        let mut policy = policy_of(sandbox)?;
        policy.max_age = arguments.max_age.or(policy.max_age);
        policy.max_snapshots = arguments.max_snapshots.or(policy.max_snapshots);
        policy.max_bytes = arguments.max_bytes.or(policy.max_bytes);
        Ok(policy)
    };
    let how = Upkeep {
        policy: &policy,
        now: clock::now(),
        dry_run: arguments.dry_run,
        measured: true,
        more: &|| true,
    };
    let mut report = context.with_core(WhenBusy::Wait, |core| Ok(core.keep_up(&how)?))?;
    // Those that were not asked for.
    report.sandboxes.retain(|kept| kept.plan.as_ref().err().is_none_or(|why| !why.is_empty()));
    if json {
        let sandboxes = report.sandboxes.iter().map(|kept| told(&kept.sandbox, &kept.plan));
        show::print_json(&[
            ("dry_run", arguments.dry_run.into()),
            ("sandboxes", sandboxes.collect::<Result<Vec<Value>, Failure>>()?.into()),
            ("freed_bytes", report.freed.into()),
        ]);
        return show::done();
    }
    for kept in &report.sandboxes {
        match &kept.plan {
            Ok(plan) => print_plan(&kept.sandbox, plan, arguments.dry_run),
            Err(reason) => println!("{}: left alone: {}", kept.sandbox.name, plain(reason)),
        }
    }
    if !arguments.dry_run {
        println!("{} freed", ByteSize(report.freed));
    }
    show::done()
}

fn told(sandbox: &Sandbox, plan: &Result<RetentionPlan, String>) -> Result<Value, Failure> {
    Ok(match plan {
        Ok(plan) => json!({
            "sandbox": show::to_json(&sandbox.name)?,
            "snapshots": show::to_json(&plan.snapshots)?,
            "history": show::to_json(&plan.history)?,
            "frees": plan.frees,
            "left_alone": null,
        }),
        Err(reason) => json!({ "sandbox": show::to_json(&sandbox.name)?, "left_alone": reason }),
    })
}

fn print_plan(sandbox: &Sandbox, plan: &RetentionPlan, dry_run: bool) {
    println!("{}", sandbox.name);
    let would = if dry_run { "would go" } else { "gone" };
    let rows: Vec<Vec<String>> = plan
        .snapshots
        .iter()
        .map(|decision| {
            vec![
                format!("  {}", decision.snapshot),
                decision.kind.word().to_owned(),
                if decision.kept { "stays" } else { would }.to_owned(),
                decision.reason.clone(),
            ]
        })
        .collect();
    print_table(&["  SNAPSHOT", "KIND", "FATE", "WHY"], &rows, "  no snapshots");
    let history = &plan.history;
    match history.up_to {
        None => println!("  all {} operations keep their files", history.kept),
        Some(up_to) => println!(
            "  {} operations up to {up_to} {} their files: {}; {} keep theirs",
            history.let_go,
            if dry_run { "would lose" } else { "lost" },
            history.reason,
            history.kept
        ),
    }
    if dry_run {
        println!("  about {} would be freed", ByteSize(plan.frees));
    }
}

/// What the configuration says of a sandbox: that of its folder.
fn policy_of(sandbox: &Sandbox) -> Result<RetentionPolicy, String> {
    // A disk that is not mounted has its configuration with it.
    let folder = super::known_good::folder_of(sandbox);
    if let Err(error) = folder.metadata() {
        return Err(format!("its folder {} is not there: {error}", folder.display()));
    }
    let config = super::known_good::configuration_of(sandbox)
        .map_err(|failure| format!("its configuration cannot be read: {}", failure.message()))?;
    let hours = |hours: u32| ctrlz_core::span::Span(Duration::from_secs(u64::from(hours) * 3600));
    Ok(RetentionPolicy {
        max_snapshots: config.safety_constraints.max_snapshots,
        max_age: config.safety_constraints.auto_cleanup_hours.map(hours),
        max_bytes: config.retention.max_bytes,
        keep_tags: config.retention.keep.into_iter().collect(),
    })
}

/// What a command does for the store when its own work is done: nothing, but for one of
/// [`EVERY`] operations when the last time is [`INTERVAL`] ago. Whatever fails waits for the next
/// time; what is removed is told in the event log.
pub(super) fn now_and_then(context: &Context, core: &SandboxCore<'_>, operation: OperationId) {
    if operation.0 % EVERY != 0 {
        return;
    }
    let stamp = context.directory.join(STAMP);
    let last = stamp.metadata().and_then(|file| file.modified());
    // A time in the future is that of a clock that was wrong.
    let age = last.ok().and_then(|last| SystemTime::now().duration_since(last).ok());
    if age.is_some_and(|age| age < interval()) || File::create(&stamp).is_err() {
        return;
    }
    let begun = Instant::now();
    // Files of many owners are removed only by commands that may handle them.
    let policy = |sandbox: &Sandbox| match sandbox.root {
        Root::Host | Root::Overlay => policy_of(sandbox),
        _ => Err("its files have many owners".to_owned()),
    };
    let how = Upkeep {
        policy: &policy,
        now: clock::now(),
        dry_run: false,
        measured: false,
        more: &|| begun.elapsed() < PATIENCE,
    };
    let _ = core.keep_up(&how);
}

#[cfg(not(feature = "faults"))]
fn interval() -> Duration {
    INTERVAL
}

/// Tests need not wait.
#[cfg(feature = "faults")]
fn interval() -> Duration {
    let seconds = std::env::var("CTRLZ_UPKEEP_SECONDS").ok().and_then(|text| text.parse().ok());
    seconds.map_or(INTERVAL, Duration::from_secs)
}

//! `ctrlz gc`, and the same done now and then after other commands.

use std::collections::BTreeSet;
use std::fs::File;
use std::time::{Duration, Instant, SystemTime};

use ctrlz_config::History;
use ctrlz_core::id::{OperationId, SnapshotId};
use ctrlz_core::monitor::HistoryAges;
use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::size::ByteSize;
use ctrlz_core::time::Timestamp;
use ctrlz_engine::{RetentionPlan, RetentionPolicy, SandboxCore, Upkeep, in_full};
use ctrlz_isolation::wasm::{self, Collected};
use serde_json::{Value, json};

use super::archive::{self, Thinned};
use super::{signing, space};
use crate::Answer;
use crate::aging;
use crate::arguments::GcArguments;
use crate::context::{Context, WhenBusy};
use crate::failure::Failure;
use crate::root::unused::{self, Unused};
use crate::show::{self, plain, print_table};

/// Every so many operations, a command looks whether it is time.
const EVERY: i64 = 32;

/// The file in the store whose time is that of the last time. When that did not come to its end, it has the
/// name of the last sandbox that was looked at.
const STAMP: &str = "upkeep";

/// The least time between two, when nobody asks.
const INTERVAL: Duration = Duration::from_secs(3600);

/// For how long a command goes on with it before it lets the rest wait: what is begun, a sandbox, looking
/// through the store, or the removal of one layer, is ended.
const PATIENCE: Duration = Duration::from_millis(200);

/// The least time until a command goes on with the rest.
const PAUSE: Duration = Duration::from_secs(60);

pub(crate) fn gc(arguments: &GcArguments, json: bool) -> Answer {
    let context = Context::open()?;
    let only = match &arguments.sandbox {
        Some(name) => Some(context.sandbox(Some(name))?.id),
        None => None,
    };
    let awaited = awaited(&context);
    let policy = |sandbox: &Sandbox| {
        if only.is_some_and(|only| only != sandbox.id) {
            return Err(String::new());
        }
        known(&awaited)?;
        let mut policy = policy_of(sandbox)?;
        policy.max_age = arguments.max_age.or(policy.max_age);
        policy.max_snapshots = arguments.max_snapshots.or(policy.max_snapshots);
        policy.max_bytes = arguments.max_bytes.or(policy.max_bytes);
        Ok(policy)
    };
    let aging = aging::time(&context.directory, context.store(), arguments.trust_clock);
    if let Some(warning) = aging.warning() {
        eprintln!("ctrlz: {warning}; `--trust-clock` says that it is right");
    }
    let how = Upkeep {
        policy: &policy,
        awaited: awaited.as_ref().unwrap_or(&NONE),
        after: None,
        now: aging.now,
        dry_run: arguments.dry_run,
        measured: true,
        more: &|| true,
    };
    let mut report = context.with_core(WhenBusy::Wait, |core| Ok(core.keep_up(&how)?))?;
    // Those that were not asked for.
    report.sandboxes.retain(|kept| kept.plan.as_ref().err().is_none_or(|why| !why.is_empty()));
    if !arguments.dry_run
        && let Err(error) = context.tracker().roll_up(aging.now, history_ages())
    {
        eprintln!("ctrlz: the history of usage was left alone: {}", plain(&in_full(&error)));
    }
    // The archive is of all sandboxes.
    let thinned = match only {
        Some(_) => Ok(Thinned::default()),
        None => archive::thin(&context, (arguments.dry_run, true), &|| true),
    };
    // What it does not let go of hinders nothing else.
    let thinned = thinned.unwrap_or_else(|failure| {
        eprintln!("ctrlz: the archive was left alone: {}", plain(&failure.in_words()));
        Thinned::default()
    });
    let images = match only {
        Some(_) => Ok(Unused::default()),
        None => unused::collect(&context, aging.now, arguments.dry_run, &|| true),
    };
    let images = images.unwrap_or_else(|failure| {
        eprintln!("ctrlz: images were left alone: {}", plain(&failure.in_words()));
        Unused::default()
    });
    let compiled = match only {
        Some(_) => Collected::default(),
        None => collect_compiled(&context, aging.now, arguments.dry_run),
    };
    if json {
        let sandboxes = report.sandboxes.iter().map(|kept| told(&kept.sandbox, &kept.plan));
        show::print_json(&[
            ("dry_run", arguments.dry_run.into()),
            ("sandboxes", sandboxes.collect::<Result<Vec<Value>, Failure>>()?.into()),
            ("freed_bytes", report.freed.into()),
            ("clock_ahead_seconds", aging.ahead.map(|ahead| ahead.0.as_secs()).into()),
            ("merged", show::to_json(&report.merged)?),
            ("unarchived", thinned.names.into()),
            ("archive_freed_bytes", thinned.collected.1.into()),
            ("images", images.roots.into()),
            ("images_freed_bytes", images.bytes.into()),
            ("compiled_freed_bytes", compiled.bytes.into()),
        ]);
        return show::done();
    }
    for kept in &report.sandboxes {
        match &kept.plan {
            Ok(plan) => print_plan(&kept.sandbox, plan, arguments.dry_run),
            Err(reason) => println!("{}: left alone: {}", kept.sandbox.name, plain(reason)),
        }
    }
    for name in &report.merged {
        println!("{name}: its layers were merged ahead of its next commands");
    }
    for name in &thinned.names {
        let goes = if arguments.dry_run { "would go" } else { "went" };
        println!("{} {goes} from the archive: there are enough newer ones", plain(name));
    }
    if compiled.files > 0 {
        let goes = if arguments.dry_run { "would go" } else { "went" };
        let (files, size) = (compiled.files, ByteSize(compiled.bytes));
        println!("{files} files of compiled WebAssembly {goes}: {size} that nobody used for long");
    }
    if images.roots > 0 {
        let goes = if arguments.dry_run { "would go" } else { "went" };
        let size = ByteSize(images.bytes);
        println!("{} unpacked images {goes}, {size}: no sandbox uses them", images.roots);
    }
    if !arguments.dry_run {
        let freed = report.freed.saturating_add(thinned.collected.1).saturating_add(images.bytes);
        println!("{} freed", ByteSize(freed.saturating_add(compiled.bytes)));
    }
    show::done()
}

/// What goes of the machine code of modules: it is made again when it is wanted.
fn collect_compiled(context: &Context, now: Timestamp, dry_run: bool) -> Collected {
    let now = SystemTime::UNIX_EPOCH + Duration::from_nanos(now.0.try_into().unwrap_or_default());
    wasm::collect(&context.compiled(), now, dry_run).unwrap_or_default()
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

/// Nothing is awaited.
static NONE: BTreeSet<SnapshotId> = BTreeSet::new();

/// The snapshots that stay until they are archived, where archive.yaml asks for that. On a full disk
/// there are none: what the archive would get cannot be written either.
fn awaited(context: &Context) -> Result<BTreeSet<SnapshotId>, String> {
    if space::require(&context.directory).is_err_and(|failure| failure.is("store-full")) {
        return Ok(BTreeSet::new());
    }
    archive::awaited(context).map_err(|failure| failure.in_words())
}

/// Nothing goes while it is not known what has to be archived first.
fn known(awaited: &Result<BTreeSet<SnapshotId>, String>) -> Result<(), String> {
    let unknown = |why| format!("what is to be archived first is not known: {why}");
    awaited.as_ref().map(drop).map_err(unknown)
}

/// What retention lets go of all sandboxes, by the configuration of each. Answers how many snapshots
/// went, and the bytes freed, about.
pub(super) fn retain(context: &Context) -> Result<(usize, u64), Failure> {
    let awaited = awaited(context);
    let how = Upkeep {
        policy: &|sandbox| known(&awaited).and_then(|()| policy_of_ours(sandbox)),
        awaited: awaited.as_ref().unwrap_or(&NONE),
        after: None,
        // A clock that is wrong lets nothing go.
        now: aging::time(&context.directory, context.store(), false).now,
        dry_run: false,
        measured: false,
        more: &|| true,
    };
    let report = context.with_core(WhenBusy::Fail, |core| Ok(core.keep_up(&how)?))?;
    let plans = report.sandboxes.iter().filter_map(|kept| kept.plan.as_ref().ok());
    let gone = plans.flat_map(|plan| &plan.snapshots).filter(|decision| !decision.kept).count();
    Ok((gone, report.freed))
}

/// Files of many owners are removed only by commands that may handle them.
fn policy_of_ours(sandbox: &Sandbox) -> Result<RetentionPolicy, String> {
    match sandbox.root.has_many_owners() {
        true => Err("its files have many owners".to_owned()),
        false => policy_of(sandbox),
    }
}

/// What a command does for the store when its own work is done: nothing, unless it [is
/// time](is_time). Whatever fails waits for the next time; what takes longer than [`PATIENCE`] is gone on
/// with after a [`PAUSE`], so that a large store is no burden to each command.
pub(super) fn now_and_then(context: &Context, core: &SandboxCore<'_>, operation: OperationId) {
    if is_time(context, operation) {
        let begun = Instant::now();
        keep_up(context, core, &|| begun.elapsed() < patience());
    }
}

/// Whether after this operation, as after one of [`EVERY`], it is [`INTERVAL`] after the last time.
pub(super) fn is_time(context: &Context, operation: OperationId) -> bool {
    if operation.0 % EVERY != 0 {
        return false;
    }
    let found = context.directory.join(STAMP).metadata();
    let last = found.as_ref().ok().and_then(|file| file.modified().ok());
    // A time in the future is that of a clock that was wrong.
    let Some(age) = last.and_then(|last| SystemTime::now().duration_since(last).ok()) else {
        return true;
    };
    let has_rest = found.is_ok_and(|file| file.len() > 0);
    age >= if has_rest { PAUSE.min(interval()) } else { interval() }
}

/// Does it, as far as `more` allows; what is removed is told in the event log.
pub(super) fn keep_up(context: &Context, core: &SandboxCore<'_>, more: &dyn Fn() -> bool) {
    let stamp = context.directory.join(STAMP);
    let rest = std::fs::read_to_string(&stamp).unwrap_or_default();
    if File::create(&stamp).is_err() {
        return;
    }
    // A clock that is wrong lets nothing go.
    let now = aging::time(&context.directory, context.store(), false).now;
    let awaited = awaited(context);
    let how = Upkeep {
        policy: &|sandbox| known(&awaited).and_then(|()| policy_of_ours(sandbox)),
        awaited: awaited.as_ref().unwrap_or(&NONE),
        after: rest.lines().next().and_then(|name| name.parse().ok()),
        now,
        dry_run: false,
        measured: false,
        more,
    };
    let report = core.keep_up(&how);
    // What they were made of is collected by whoever has the time.
    let _ = archive::thin(context, (false, false), more);
    let _ = unused::collect(context, now, false, more);
    let _ = context.tracker().roll_up(now, history_ages());
    let _ = collect_compiled(context, now, false);
    signing::where_begun(context);
    if let Ok(Some(rest)) = report.map(|report| report.rest) {
        // When it cannot be written, the next time begins anew.
        let _ = std::fs::write(&stamp, format!("{rest}\n"));
    }
}

/// For how long what operations used is kept: as the user and the host say, for all sandboxes.
pub(super) fn history_ages() -> HistoryAges {
    match super::known_good::configuration_without_project() {
        Ok(config) => {
            let History { samples, minutes, hours } = config.monitoring.history;
            HistoryAges { raw: samples.0, minutes: minutes.0, hours: hours.0 }
        }
        // Whoever runs a command is told what is wrong with it.
        Err(_) => HistoryAges { hours: Duration::MAX, ..HistoryAges::default() },
    }
}

#[cfg(not(feature = "faults"))]
fn interval() -> Duration {
    INTERVAL
}

#[cfg(not(feature = "faults"))]
fn patience() -> Duration {
    PATIENCE
}

/// Tests have no large store.
#[cfg(feature = "faults")]
fn patience() -> Duration {
    let millis = std::env::var("CTRLZ_UPKEEP_PATIENCE").ok().and_then(|text| text.parse().ok());
    millis.map_or(PATIENCE, Duration::from_millis)
}

/// Tests need not wait.
#[cfg(feature = "faults")]
fn interval() -> Duration {
    let seconds = std::env::var("CTRLZ_UPKEEP_SECONDS").ok().and_then(|text| text.parse().ok());
    seconds.map_or(INTERVAL, Duration::from_secs)
}

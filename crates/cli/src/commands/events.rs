//! `ctrlz events`.

use std::io::Write;
use std::time::Duration;

use ctrlz_core::event::{Event, Happening, HistoryTrimmed, SnapshotArchived};
use ctrlz_core::snapshot::Tag;
use ctrlz_core::store::{LoggedEvent, Store};
use serde_json::Value;

use crate::Answer;
use crate::arguments::EventsArguments;
use crate::context::Context;
use crate::failure::{Failure, OWN_FAILURE};
use crate::show::{self, counts_in_words, plain};

/// Events that are read at once.
const PAGE: u32 = 1024;

/// How often a follower looks for new events.
const PAUSE: Duration = Duration::from_millis(200);

/// What all types begin with.
const PREFIX: &str = "io.github.ctrlz.";

/// A log of events, here or at a service.
pub(crate) trait Log {
    /// Events behind `after`, at most `limit`, the oldest first.
    fn events(&self, after: i64, limit: u32) -> Result<Vec<LoggedEvent>, Failure>;

    /// The number of the newest one.
    fn last(&self) -> Result<i64, Failure>;

    /// The events behind `after` as they happen, until `tell` says that nobody wants more.
    fn follow(
        &self,
        after: i64,
        tell: &mut dyn FnMut(&LoggedEvent) -> Result<bool, Failure>,
    ) -> Result<(), Failure>;
}

impl Log for &dyn Store {
    fn events(&self, after: i64, limit: u32) -> Result<Vec<LoggedEvent>, Failure> {
        Ok((*self).events(after, limit)?)
    }

    fn last(&self) -> Result<i64, Failure> {
        Ok(self.log_head()?.last)
    }

    fn follow(
        &self,
        mut after: i64,
        tell: &mut dyn FnMut(&LoggedEvent) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        loop {
            let page = (*self).events(after, PAGE)?;
            if page.is_empty() {
                std::thread::sleep(PAUSE);
            }
            for logged in page {
                after = logged.number;
                if !tell(&logged)? {
                    return Ok(());
                }
            }
        }
    }
}

pub(crate) fn events(arguments: &EventsArguments, json: bool) -> Answer {
    let context = Context::open()?;
    tell(&context.store(), arguments, json)
}

pub(crate) fn tell(log: &dyn Log, arguments: &EventsArguments, json: bool) -> Answer {
    let (found, last) = match arguments.after {
        Some(after) => oldest(log, arguments, after)?,
        None => newest(log, arguments)?,
    };
    let mut printed = Printed { json: json && arguments.follow, failed: false };
    if json && !arguments.follow {
        let values = found.into_iter().map(|(_, value)| value).collect();
        show::print_json(&[("events", Value::Array(values)), ("last", Value::from(last))]);
        return show::done();
    }
    found.iter().for_each(|(event, value)| printed.print(event, value));
    if found.is_empty() && !arguments.follow {
        println!("no events");
    }
    if arguments.follow && !printed.failed {
        log.follow(last, &mut |logged| {
            if let Some((event, value)) = matching(logged, arguments)? {
                printed.print(&event, &value);
            }
            Ok(!printed.failed)
        })?;
    }
    show::done()
}

/// Matching events after `after`, and up to where was looked.
fn oldest(
    log: &dyn Log,
    arguments: &EventsArguments,
    after: i64,
) -> Result<(Vec<(Event, Value)>, i64), Failure> {
    let (mut found, mut last) = (Vec::new(), after.max(0));
    loop {
        let page = log.events(last, PAGE)?;
        if page.is_empty() {
            return Ok((found, last));
        }
        for logged in page {
            if found.len() >= arguments.limit as usize {
                return Ok((found, last));
            }
            last = logged.number;
            found.extend(matching(&logged, arguments)?);
        }
    }
}

/// The newest matching events, and the number of the last event.
fn newest(
    log: &dyn Log,
    arguments: &EventsArguments,
) -> Result<(Vec<(Event, Value)>, i64), Failure> {
    let last = log.last()?;
    let (mut found, mut before) = (Vec::new(), last);
    while before > 0 && found.len() < arguments.limit as usize {
        let after = before.saturating_sub(i64::from(PAGE)).max(0);
        let size = u32::try_from(before - after).unwrap_or(PAGE);
        for logged in log.events(after, size)?.iter().rev() {
            found.extend(matching(logged, arguments)?);
        }
        before = after;
    }
    found.truncate(arguments.limit as usize);
    found.reverse();
    Ok((found, last))
}

fn matching(
    logged: &LoggedEvent,
    arguments: &EventsArguments,
) -> Result<Option<(Event, Value)>, Failure> {
    let damaged = |error: serde_json::Error| {
        Failure::new(OWN_FAILURE, "event", format!("event {} is no event", logged.number))
            .detail(error.to_string())
            .hint("`ctrlz audit verify` checks the whole log")
    };
    let value: Value = serde_json::from_str(&logged.text).map_err(damaged)?;
    let event: Event = serde_json::from_str(&logged.text).map_err(damaged)?;
    let name = arguments.sandbox.as_ref().map(ToString::to_string);
    let of_sandbox = name.is_none() || event.subject == name;
    let of_kind = arguments.kind.as_ref().is_none_or(|kind| {
        let kind = kind.strip_prefix(PREFIX).unwrap_or(kind);
        short_type(&value).starts_with(kind)
    });
    Ok((of_sandbox && of_kind).then_some((event, value)))
}

fn short_type(value: &Value) -> &str {
    let kind = value.get("type").and_then(Value::as_str).unwrap_or_default();
    kind.strip_prefix(PREFIX).unwrap_or(kind)
}

/// How events are printed as they come.
struct Printed {
    json: bool,
    /// Whether nobody reads any more.
    failed: bool,
}

impl Printed {
    fn print(&mut self, event: &Event, value: &Value) {
        let line = if self.json { value.to_string() } else { line(event, value) };
        let mut out = std::io::stdout().lock();
        self.failed |= writeln!(out, "{line}").and_then(|()| out.flush()).is_err();
    }
}

fn line(event: &Event, value: &Value) -> String {
    let (seconds, _) = event.time.split_once('.').unwrap_or((&event.time, ""));
    let subject = event.subject.as_deref().unwrap_or("-");
    let what = plain(&told(&event.happening));
    format!("{:>6}  {seconds}Z  {:<20} {subject}  {what}", event.id, short_type(value))
}

/// What happened, in a line.
fn told(happening: &Happening) -> String {
    match happening {
        Happening::OperationStarted(started) => {
            format!("{} {}", started.operation, started.title)
        }
        Happening::OperationFinished(finished) => {
            let counts = finished.counts.as_ref().map(counts_in_words);
            let parts = [Some(finished.status.word().to_owned()), counts, finished.error.clone()];
            let parts: Vec<String> = parts.into_iter().flatten().collect();
            format!("{} {}: {}", finished.operation, finished.kind.word(), parts.join(", "))
        }
        Happening::SafetyViolation(violation) => {
            format!("{} {}: {}", violation.operation, violation.title, violation.reason)
        }
        Happening::SnapshotCreated(created) => {
            format!("{} {} {}", created.snapshot, created.kind.word(), created.message)
        }
        Happening::SnapshotChanged(changed) => {
            let tags: Vec<&str> = changed.tags.iter().map(Tag::as_str).collect();
            let good = changed.good.map(|_| ", known to be good").unwrap_or_default();
            format!("{}: tags {}{good}", changed.snapshot, tags.join(" "))
        }
        Happening::HistoryTrimmed(trimmed) => {
            let HistoryTrimmed { up_to, operations, reason } = trimmed;
            format!("{operations} up to {up_to} can be undone no more: {reason}")
        }
        Happening::SandboxGuarded(guard) => match &guard.contained {
            Some(reason) => format!("contained: {reason}"),
            None => format!("released, {} more operations are checked", guard.watched),
        },
        Happening::LifecycleChanged(changed) => match changed.reason.as_str() {
            "" => format!("{} → {}", changed.from, changed.to),
            reason => format!("{} → {}: {reason}", changed.from, changed.to),
        },
        Happening::SnapshotRemoved(removed) => format!("{}: {}", removed.snapshot, removed.reason),
        Happening::SnapshotArchived(archived) => {
            let SnapshotArchived { snapshot, name, place, automatic, .. } = archived;
            let why = automatic.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
            format!("{snapshot} as {name} in {place}{why}")
        }
        Happening::SnapshotUnarchived(gone) => {
            format!("{} from {}: {}", gone.name, gone.place, gone.reason)
        }
        Happening::RollbackRequired(required) => required.reason.clone(),
        Happening::RollbackDone(done) => {
            let counts = done.counts.as_ref().map(counts_in_words).unwrap_or_default();
            format!("{} {counts}", done.operation)
        }
        Happening::SandboxCreated(created) => created.title.clone(),
        Happening::SandboxRemoved {} => String::new(),
        Happening::StateRepaired(repaired) => format!(
            "{} entries and {} values mended, {} entries dropped, {} values left",
            repaired.entries, repaired.values, repaired.dropped, repaired.left
        ),
        Happening::HealthChanged(health) => format!("{}: {}", health.check, health.evidence),
        Happening::ResourceExceeded(exceeded) => exceeded.reason.clone(),
        Happening::SinkTested(tested) => tested.sink.clone(),
        Happening::ConfigurationChanged(changed) => {
            let files: Vec<&str> = changed.files.iter().map(|file| file.path.as_str()).collect();
            files.join(", ")
        }
    }
}

//! `ctrlz sinks`: where events are sent on to.

use std::collections::HashMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ctrlz_core::event::{Happening, SinkTested};
use ctrlz_core::sink::SinkConfig;
use ctrlz_core::store::Store;
use ctrlz_policy::redact;
use ctrlz_sinks::{Delivered, Office, Position, Probed, deliver, probe, retry, status};
use serde_json::{Value, json};

use crate::Answer;
use crate::arguments::{SinksAction, SinksArguments};
use crate::context::Context;
use crate::failure::{Failure, OWN_FAILURE, REFUSED};
use crate::places;
use crate::show::{self, print_table};

/// How long one round delivers to one sink.
const BUDGET: Duration = Duration::from_secs(30);

pub(crate) fn sinks(arguments: &SinksArguments, json: bool) -> Answer {
    let context = Context::open()?;
    let sinks = configured()?;
    match &arguments.action {
        None => list(&context, &sinks, HashMap::new(), json),
        Some(SinksAction::Deliver) => {
            // One whose files cannot be used holds up no other.
            let mut failed = HashMap::new();
            for sink in &sinks {
                let folder = folder(&context.directory);
                if let Err(error) = deliver(office(context.store(), &folder), sink, BUDGET) {
                    failed.insert(sink.name.as_str(), in_words(&error));
                }
            }
            list(&context, &sinks, failed, json)
        }
        Some(SinksAction::Test { name }) => test(&context, named(&sinks, name)?, json),
        Some(SinksAction::Retry { name }) => again(&context, named(&sinks, name)?, json),
    }
}

/// The sinks of this user and host.
pub(super) fn configured() -> Result<Vec<SinkConfig>, Failure> {
    // Whoever stands in a folder that is gone has sinks all the same.
    let folder = places::working_folder().unwrap_or_else(|_| PathBuf::from("/"));
    ctrlz_config::sinks(&places::configuration(&folder))
        .map_err(|error| Failure::caused(OWN_FAILURE, "config", &error))
}

/// Where the sinks of the store in `directory` keep their positions.
pub(super) fn folder(directory: &Path) -> PathBuf {
    directory.join("sinks")
}

/// The sinks of a store. Secrets in what one says of its failure are neither kept nor told.
pub(super) fn office<'o>(store: &'o dyn Store, folder: &'o Path) -> Office<'o> {
    Office { store, sinks: folder, redact: &|text| redact(text).into_owned() }
}

fn named<'s>(sinks: &'s [SinkConfig], name: &str) -> Result<&'s SinkConfig, Failure> {
    sinks.iter().find(|sink| sink.name == name).ok_or_else(|| {
        let failure = Failure::new(REFUSED, "no-sink", format!("there is no sink `{name}`"));
        let names: Vec<&str> = sinks.iter().map(|sink| sink.name.as_str()).collect();
        failure.hint(match names.as_slice() {
            [] => "sinks stand in sinks.yaml beside the user's ctrlz.yaml".to_owned(),
            names => format!("there are: {}", names.join(", ")),
        })
    })
}

/// The sinks with where they stand. `failed` has what went wrong with some of them before.
fn list<'s>(
    context: &Context,
    sinks: &'s [SinkConfig],
    mut failed: HashMap<&'s str, String>,
    json: bool,
) -> Answer {
    let mut rows = Vec::new();
    let mut objects: Vec<Value> = Vec::new();
    for sink in sinks {
        let (name, kind) = (&sink.name, sink.target.word());
        let found = status(context.store(), &folder(&context.directory), sink);
        let found = match (found, failed.get(name.as_str())) {
            (Ok(found), None) => found,
            (Ok(found), Some(error)) => {
                let position = Position { error: error.clone(), ..found.position };
                Delivered { position, ..found }
            }
            (Err(error), _) => {
                let error = in_words(&error);
                let unknown = || "?".to_owned();
                let cells = [unknown(), unknown(), unknown(), unknown(), error.clone()];
                rows.push([name.clone(), kind.to_owned()].into_iter().chain(cells).collect());
                objects.push(json!({
                    "name": name, "kind": kind, "delivered": null, "pending": null, "dead": null,
                    "lost": null, "failures": null, "error": error,
                }));
                failed.insert(name, error);
                continue;
            }
        };
        let position = &found.position;
        rows.push(vec![
            name.clone(),
            kind.to_owned(),
            position.delivered.to_string(),
            found.pending.to_string(),
            position.dead.to_string(),
            position.lost.to_string(),
            position.error.clone(),
        ]);
        objects.push(json!({
            "name": name,
            "kind": kind,
            "delivered": position.delivered,
            "pending": found.pending,
            "dead": position.dead,
            "lost": position.lost,
            "failures": position.failures,
            "error": position.error,
        }));
    }
    if json {
        show::print_json(&[("sinks", Value::Array(objects))]);
    } else {
        let heading = ["SINK", "KIND", "DELIVERED", "PENDING", "DEAD", "LOST", "LAST FAILURE"];
        print_table(&heading, &rows, "no sinks; see docs/events.md");
    }
    if failed.is_empty() { show::done() } else { Ok(OWN_FAILURE) }
}

/// An error with what caused it.
fn in_words(error: &dyn Error) -> String {
    let (mut words, mut cause) = (error.to_string(), error.source());
    while let Some(found) = cause {
        words = format!("{words}: {found}");
        cause = found.source();
    }
    words
}

/// Lets an event happen that says so, and sends it.
fn test(context: &Context, sink: &SinkConfig, json: bool) -> Answer {
    let failed = |error: ctrlz_sinks::Delivery| Failure::caused(OWN_FAILURE, "sink", &error);
    let folder = folder(&context.directory);
    // What happened before has its turn before, if the sink takes anything.
    deliver_alone(context, &folder, sink).map_err(failed)?;
    let happening = Happening::SinkTested(SinkTested { sink: sink.name.clone() });
    let number = context.store().emit(None, happening)?;
    let probe = || probe(office(context.store(), &folder), sink, number);
    match when_free(probe, |probed| *probed == Probed::Busy).map_err(failed)? {
        Probed::Taken => {}
        Probed::Refused(reason) => {
            let message = format!("`{}` did not take the event", sink.name);
            return Err(Failure::new(OWN_FAILURE, "sink", message).detail(reason));
        }
        Probed::Busy => {
            let message = format!("another process delivers to `{}` now", sink.name);
            return Err(Failure::new(REFUSED, "busy", message));
        }
    }
    // What waited for the end of a pause.
    let done = deliver_alone(context, &folder, sink).map_err(failed)?;
    if json {
        show::print_json(&[("taken", show::to_json(&(done.taken + 1))?)]);
    } else {
        println!("`{}` took the event", sink.name);
    }
    show::done()
}

/// Delivers, after another process has.
fn deliver_alone(
    context: &Context,
    folder: &Path,
    sink: &SinkConfig,
) -> Result<Delivered, ctrlz_sinks::Delivery> {
    when_free(|| deliver(office(context.store(), folder), sink, BUDGET), |done| done.busy)
}

/// Tries until no other process is in the way, or for as long as one may be.
fn when_free<T, E>(
    mut attempt: impl FnMut() -> Result<T, E>,
    is_busy: impl Fn(&T) -> bool,
) -> Result<T, E> {
    let begun = Instant::now();
    loop {
        let done = attempt()?;
        if !is_busy(&done) || begun.elapsed() > BUDGET {
            return Ok(done);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn again(context: &Context, sink: &SinkConfig, json: bool) -> Answer {
    let folder = folder(&context.directory);
    let failed = |error: ctrlz_sinks::Delivery| Failure::caused(OWN_FAILURE, "sink", &error);
    let Some(done) = retry(office(context.store(), &folder), sink).map_err(failed)? else {
        let message = format!("another process delivers to `{}` now", sink.name);
        return Err(Failure::new(REFUSED, "busy", message));
    };
    let (sent, left, lost) = (done.sent, done.left, done.lost);
    if left > 0 {
        let message = format!("{sent} dead letters of `{}` went, {left} are left", sink.name);
        return Err(Failure::new(OWN_FAILURE, "sink", message).detail(done.error));
    }
    if json {
        show::print_json(&[("sent", sent.into()), ("left", left.into()), ("lost", lost.into())]);
        return show::done();
    }
    println!("{sent} dead letters of `{}` went", sink.name);
    if lost > 0 {
        println!("{lost} lost events are no longer counted: the log does not have them any more");
    }
    show::done()
}

/// Starts a process that delivers what happened, when there are sinks and no daemon does it. It
/// is nobody's child: the command ends without waiting, and says nothing of it.
pub(super) fn deliver_behind(store: &Path) {
    let Ok(sinks) = configured() else { return };
    if sinks.is_empty() || super::daemon::is_running(store) {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    // Through a shell that ends at once, so that the delivery is not left as a zombie's parent.
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", "\"$0\" sinks deliver >/dev/null 2>&1 &"])
        .arg(program)
        .env("CTRLZ_HOME", store)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let _ = command.status();
}

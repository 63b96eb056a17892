//! `ctrlz audit`.

use std::io::Read;
use std::path::Path;

use ctrlz_store::audit::{Bundle, Notary, Verified, Verifier, compare, verify};
use serde::Deserialize;

use super::export;
use crate::Answer;
use crate::arguments::{AuditAction, AuditArguments};
use crate::clock::now;
use crate::context::Context;
use crate::failure::{Failure, NOT_GOOD, OWN_FAILURE, REFUSED};
use crate::show::{self, plain};

pub(crate) fn audit(arguments: &AuditArguments, json: bool) -> Answer {
    match &arguments.action {
        AuditAction::Verify { file: Some(file), from, to, key } => {
            verify_export(file, *from, *to, key.as_deref(), json)
        }
        AuditAction::Verify { file: None, from, to, key } => {
            verify_store(*from, *to, key.as_deref(), json)
        }
        AuditAction::Export { file, from, to } => export_log(file.as_deref(), *from, *to, json),
        AuditAction::Sign => sign(json),
        AuditAction::Key => key(json),
    }
}

fn verify_store(from: Option<i64>, to: Option<i64>, key: Option<&str>, json: bool) -> Answer {
    let context = Context::open()?;
    let notary = Notary::of(&context.directory);
    let key = match key {
        Some(text) => Some(read_key(text)?),
        None => notary.verifier().map_err(|e| Failure::caused(OWN_FAILURE, "audit", &e))?,
    };
    // The whole of it, since a part alone cannot show what was replaced behind it.
    let whole = bundle(&context, &notary, None, None)?;
    let all = verify(&whole, key.as_ref(), false)
        .map_err(|error| Failure::caused(NOT_GOOD, "tampered", &error))?;
    let part = match (from, to) {
        (None, None) => whole,
        _ => bundle(&context, &notary, from, to)?,
    };
    let differences = compare(context.store())?;
    if !differences.is_empty() {
        let lines = differences.iter().map(ToString::to_string).collect();
        let message = "the journal is not what the event log tells of it";
        return Err(Failure::new(NOT_GOOD, "tampered", message).details(lines));
    }
    told(&part, key.as_ref(), Some(&all), json)
}

fn verify_export(
    file: &Path,
    from: Option<i64>,
    to: Option<i64>,
    key: Option<&str>,
    json: bool,
) -> Answer {
    let key = key.map(read_key).transpose()?;
    let mut text = String::new();
    let read = match file.as_os_str().as_encoded_bytes() {
        b"-" => std::io::stdin().read_to_string(&mut text),
        _ => std::fs::File::open(file).and_then(|mut file| file.read_to_string(&mut text)),
    };
    read.map_err(|error| {
        let message = format!("cannot read the export {}", file.display());
        Failure::new(OWN_FAILURE, "export", message).detail(error.to_string())
    })?;
    let bundle = Bundle::parse(&text).map_err(|e| Failure::caused(NOT_GOOD, "tampered", &e))?;
    // The whole of it, since a part alone cannot show what was cut off.
    let all = verify(&bundle, key.as_ref(), true)
        .map_err(|error| Failure::caused(NOT_GOOD, "tampered", &error))?;
    match (from, to) {
        (None, None) => told(&bundle, key.as_ref(), Some(&all), json),
        _ => {
            let first = from.unwrap_or(1).max(all.first.unwrap_or(1));
            let last = to.unwrap_or(i64::MAX).min(all.last.unwrap_or(0));
            if first > last {
                let message = "the export has no event in that range";
                return Err(Failure::new(REFUSED, "range", message));
            }
            // The checkpoints that cover it may be about later events.
            told(&bundle.part(first, last), key.as_ref(), Some(&all), json)
        }
    }
}

/// Tells what is shown of `bundle`, with what was shown of the whole that it is a part of.
fn told(bundle: &Bundle, key: Option<&Verifier>, all: Option<&Verified>, json: bool) -> Answer {
    let mut shown = verify(bundle, key, false)
        .map_err(|error| Failure::caused(NOT_GOOD, "tampered", &error))?;
    if let Some(all) = all {
        shown.signed_to = all.signed_to;
        shown.by.clone_from(&all.by);
    }
    let before = bundle.start.before;
    let is_begin = before > 0 && all.is_some_and(|all| all.first == shown.first);
    let log = Shown {
        log: bundle.start.source.clone(),
        first: shown.first,
        last: shown.last,
        signed_to: shown.signed_to,
        key: shown.by,
    };
    log.tell(is_begin.then_some(before), json)
}

/// What was shown of a log.
#[derive(Debug, Deserialize)]
pub(crate) struct Shown {
    log: String,
    first: Option<i64>,
    last: Option<i64>,
    signed_to: i64,
    key: Option<String>,
}

impl Shown {
    /// Tells it; `before` is how many events are not in it any more.
    pub(crate) fn tell(&self, before: Option<i64>, json: bool) -> Answer {
        let unsigned = self.unsigned();
        if json {
            show::print_json(&[
                ("log", show::to_json(&self.log)?),
                ("first", show::to_json(&self.first)?),
                ("last", show::to_json(&self.last)?),
                ("signed_to", show::to_json(&self.signed_to)?),
                ("unsigned", unsigned.map_or(0, |(from, to)| to - from + 1).into()),
                ("key", show::to_json(&self.key)?),
            ]);
            return show::done();
        }
        let (Some(first), Some(last)) = (self.first, self.last) else {
            println!("no events");
            return show::done();
        };
        println!("events {first} to {last} of {} are one chain", plain(&self.log));
        if let Some(before) = before {
            println!("  it begins after event {before}: nothing is shown of those before");
        }
        match (&self.key, self.signed_to) {
            (_, 0) => {}
            (Some(by), to) if to >= last => println!("  all of it is signed by {by}"),
            (Some(by), to) => println!("  signed by {by} up to event {to}"),
            (None, to) => println!(
                "  checkpoints up to event {to} fit, but whose they are was not checked: --key"
            ),
        }
        if let Some((from, to)) = unsigned {
            println!(
                "  no signature covers events {from} to {to}: whoever can write to the store can \
                 have written them anew; `ctrlz audit sign` signs what is there now"
            );
        }
        show::done()
    }

    /// The events, from and to, that no checkpoint covers.
    fn unsigned(&self) -> Option<(i64, i64)> {
        let (first, last) = (self.first?, self.last?);
        let from = first.max(self.signed_to.saturating_add(1));
        (from <= last).then_some((from, last))
    }
}

fn export_log(file: Option<&Path>, from: Option<i64>, to: Option<i64>, json: bool) -> Answer {
    let context = Context::open()?;
    let notary = Notary::of(&context.directory);
    if to.is_none() {
        // So that the export's end is signed.
        notary
            .sign(context.store(), now())
            .map_err(|error| Failure::caused(OWN_FAILURE, "audit", &error))?;
    }
    tell_export(&bundle(&context, &notary, from, to)?.text(), file, json)
}

pub(crate) fn tell_export(text: &str, file: Option<&Path>, json: bool) -> Answer {
    let Some(file) = file else {
        export::print(text)?;
        return show::done();
    };
    let bundle = Bundle::parse(text).map_err(|e| Failure::caused(NOT_GOOD, "tampered", &e))?;
    export::write(text, file)?;
    if json {
        show::print_json(&[("events", show::to_json(&bundle.events.len())?)]);
    } else {
        println!("{} events in {}", bundle.events.len(), file.display());
    }
    show::done()
}

fn sign(json: bool) -> Answer {
    let context = Context::open()?;
    let notary = Notary::of(&context.directory);
    let failed = |error| Failure::caused(OWN_FAILURE, "audit", &error);
    notary.sign(context.store(), now()).map_err(failed)?;
    let note = notary.newest().map_err(failed)?;
    let Some(note) = note else {
        return Err(Failure::new(REFUSED, "nothing", "the event log is empty"));
    };
    tell_note(&note, json)
}

pub(crate) fn tell_note(note: &str, json: bool) -> Answer {
    if json {
        show::print_json(&[("note", show::to_json(&note)?)]);
    } else {
        print!("{note}");
    }
    show::done()
}

fn key(json: bool) -> Answer {
    let context = Context::open()?;
    let notary = Notary::of(&context.directory);
    let failed = |error| Failure::caused(OWN_FAILURE, "audit", &error);
    let Some(verifier) = notary.verifier().map_err(failed)? else {
        let failure = Failure::new(REFUSED, "nothing", "nothing was signed yet");
        return Err(failure.hint("`ctrlz audit sign` makes a key and signs the event log"));
    };
    tell_key(&verifier.to_string(), json)
}

pub(crate) fn tell_key(verifier: &str, json: bool) -> Answer {
    if json {
        show::print_json(&[("key", show::to_json(&verifier)?)]);
    } else {
        println!("{verifier}");
    }
    show::done()
}

fn bundle(
    context: &Context,
    notary: &Notary,
    from: Option<i64>,
    to: Option<i64>,
) -> Result<Bundle, Failure> {
    let bundle = notary
        .bundle(context.store(), from, to)
        .map_err(|error| Failure::caused(OWN_FAILURE, "audit", &error))?;
    if bundle.events.is_empty() && (from.is_some() || to.is_some()) {
        let message = "the event log has no event in that range";
        return Err(Failure::new(REFUSED, "range", message));
    }
    Ok(bundle)
}

/// A key as text, or a file with one.
fn read_key(text: &str) -> Result<Verifier, Failure> {
    let read = std::fs::read_to_string(text);
    let found = read.as_deref().unwrap_or(text).trim();
    found.parse().map_err(|error| {
        Failure::caused(OWN_FAILURE, "key", &error)
            .hint("`ctrlz audit key` prints the key of a store")
    })
}

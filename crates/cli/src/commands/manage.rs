//! `ctrlz new`, `ls`, `rm` and `fork`.

use ctrlz_config::Flags;
use ctrlz_core::lifecycle::Lifecycle;
use ctrlz_core::sandbox::Root;
use ctrlz_core::size::ByteSize;
use ctrlz_core::store::StoreError;
use ctrlz_engine::{EngineError, NewNamed};
use serde_json::Value;

use super::end::Waiter;
use super::{environment, setup};
use crate::Answer;
use crate::arguments::{CommandArguments, ForkArguments, NewArguments, RemoveArguments};
use crate::context::{Context, WhenBusy};
use crate::failure::{Failure, OWN_FAILURE};
use crate::show::{self, print_table};
use crate::{places, root};

pub(crate) fn new(arguments: &NewArguments, json: bool) -> Answer {
    let base = places::canonical(&arguments.base)?;
    let choice = root::choose(arguments.root.as_deref(), &base)?;
    let context = Context::open()?;
    let new = NewNamed { name: arguments.name.clone(), choice };
    let config = ctrlz_config::load(&places::configuration(&base), &Flags::default())
        .map_err(|error| Failure::caused(OWN_FAILURE, "config", &error))?;
    let how = CommandArguments::plain()?;
    context.check_ownership()?;
    let sandbox = context.with_core(WhenBusy::Wait, |core| {
        let made = setup::made((&context, core), &config, &how, &new.choice)?;
        let sandbox = core.create_named(&new, made.as_ref())?;
        environment::require_of_new((&context, core), &sandbox, &config)?;
        Ok(sandbox)
    })?;
    if json {
        show::print_json(&[("sandbox", show::to_json(&sandbox)?)]);
    } else {
        println!("{}: a sandbox on {}", sandbox.name, sandbox.base.display());
    }
    show::done()
}

pub(crate) fn list(json: bool) -> Answer {
    let context = Context::open()?;
    let sandboxes = context.store().sandboxes()?;
    let lives: Vec<Lifecycle> = context.with_core(WhenBusy::Wait, |core| {
        let lives = sandboxes.iter().map(|one| core.life_of(one).map(|life| life.lifecycle));
        // One that is being removed meanwhile is gone.
        let gone =
            |error: &EngineError| matches!(error, EngineError::Store(StoreError::NoSandbox(_)));
        lives
            .map(|life| match life {
                Err(error) if gone(&error) => Ok(Lifecycle::Destroyed),
                life => Ok(life?),
            })
            .collect()
    })?;
    if json {
        let list: Result<Vec<Value>, Failure> =
            sandboxes.iter().zip(&lives).map(|(one, life)| show::with_life(one, *life)).collect();
        show::print_json(&[("sandboxes", list?.into())]);
        return show::done();
    }
    let rows: Vec<Vec<String>> = context.with_core(WhenBusy::Wait, |core| {
        sandboxes
            .iter()
            .zip(&lives)
            .filter(|(_, life)| **life != Lifecycle::Destroyed)
            .map(|(sandbox, life)| {
                let clean = core.is_clean(sandbox).unwrap_or_default();
                let status = match life {
                    Lifecycle::Suspended => "suspended",
                    _ if sandbox.guard.contained.is_some() => "contained",
                    Lifecycle::Ready if clean => "clean",
                    Lifecycle::Ready => "uncommitted",
                    life => life.word(),
                };
                let place = match &sandbox.root {
                    Root::Image { source, .. } => source.display().to_string(),
                    _ => sandbox.base.display().to_string(),
                };
                Ok(vec![
                    sandbox.name.to_string(),
                    status.to_owned(),
                    sandbox.root.word().to_owned(),
                    place,
                    sandbox.used.rfc3339(),
                ])
            })
            .collect()
    })?;
    print_table(&["NAME", "STATUS", "ROOT", "BASE", "USED"], &rows, "there are no sandboxes");
    show::done()
}

pub(crate) fn remove(arguments: &RemoveArguments, json: bool) -> Answer {
    let context = Context::open()?;
    let sandbox = context.sandbox(Some(&arguments.sandbox))?;
    let freed = context.with_core(WhenBusy::Wait, |core| {
        let waiter = Waiter::of(core, &sandbox)?;
        let freed = core.remove(&sandbox, arguments.force)?;
        Ok(match waiter {
            // Until it has left, what it made might be needed.
            Some(waiter) if waiter.has_left() => freed.saturating_add(core.collect_all()?),
            _ => freed,
        })
    })?;
    if json {
        show::print_json(&[
            ("sandbox", show::to_json(&sandbox.name)?),
            ("freed_bytes", freed.into()),
        ]);
    } else {
        println!("removed {} ({} freed)", sandbox.name, ByteSize(freed));
    }
    show::done()
}

pub(crate) fn fork(arguments: ForkArguments, json: bool) -> Answer {
    let context = Context::open()?;
    let source = context.sandbox(Some(&arguments.sandbox))?;
    let sandbox =
        context.with_core(WhenBusy::Wait, |core| Ok(core.fork(&source, arguments.name)?))?;
    if json {
        show::print_json(&[("sandbox", show::to_json(&sandbox)?)]);
    } else {
        println!("{}: a copy of {}", sandbox.name, source.name);
    }
    show::done()
}

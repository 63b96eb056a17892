//! `ctrlz new`, `ls`, `rm` and `fork`.

use std::path::Path;

use ctrlz_config::Flags;
use ctrlz_core::lifecycle::Lifecycle;
use ctrlz_core::name::SandboxName;
use ctrlz_core::sandbox::{Root, Sandbox};
use ctrlz_core::size::ByteSize;
use ctrlz_core::store::StoreError;
use ctrlz_core::workspace_choice::WorkspaceChoice;
use ctrlz_engine::{EngineError, NewNamed};
use serde::{Deserialize, Serialize};

use super::end::Waiter;
use super::{environment, setup};
use crate::Answer;
use crate::arguments::{CommandArguments, ForkArguments, NewArguments, RemoveArguments};
use crate::context::{Context, WhenBusy};
use crate::failure::{Failure, OWN_FAILURE};
use crate::show::{self, print_table};
use crate::{places, root};

pub(crate) fn new(arguments: &NewArguments, json: bool) -> Answer {
    let base = places::canonical(arguments.base.as_deref().unwrap_or(Path::new(".")))?;
    let choice = root::choose(arguments.root.as_deref(), &base, arguments.pull)?;
    let context = Context::open()?;
    let new = NewNamed { name: arguments.name.clone(), choice };
    let flags = Flags { workspace: arguments.workspace, ..Flags::default() };
    let config = ctrlz_config::load(&places::configuration(&base), &flags)
        .map_err(|error| Failure::caused(OWN_FAILURE, "config", &error))?;
    let how = CommandArguments::plain()?;
    context.check_ownership()?;
    let sandbox = context.with_core(WhenBusy::Wait, |core| {
        let core = &core.choosing(config.workspace.driver());
        let made = setup::made((&context, core), &config, &how, &new.choice)?;
        let sandbox = core.create_named(&new, made.as_ref())?;
        environment::require_of_new((&context, core), &sandbox, &config)?;
        Ok(sandbox)
    })?;
    tell_new(&sandbox, json)
}

pub(crate) fn tell_new(sandbox: &Sandbox, json: bool) -> Answer {
    if json {
        show::print_json(&[("sandbox", show::to_json(sandbox)?)]);
    } else {
        println!(
            "{}: a sandbox on {}{}",
            sandbox.name,
            sandbox.base.display(),
            kept_by(sandbox).map_or_else(String::new, |by| format!(", {by}"))
        );
    }
    show::done()
}

/// Who keeps a sandbox's trees, where that is not what is to be expected.
pub(crate) fn kept_by(sandbox: &Sandbox) -> Option<String> {
    let usual = WorkspaceChoice::Overlay.word();
    (sandbox.driver != usual).then(|| format!("kept by driver {}", sandbox.driver))
}

/// A sandbox in the list.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Listed {
    #[serde(flatten)]
    sandbox: Sandbox,
    lifecycle: Lifecycle,
    /// Whether it has no changes that were not committed.
    clean: bool,
}

pub(crate) fn list(json: bool) -> Answer {
    let context = Context::open()?;
    let listed: Vec<Listed> = context.with_core(WhenBusy::Wait, |core| {
        // One that is being removed meanwhile is gone.
        let gone =
            |error: &EngineError| matches!(error, EngineError::Store(StoreError::NoSandbox(_)));
        let look = |sandbox: Sandbox| {
            let lifecycle = match core.life_of(&sandbox) {
                Err(error) if gone(&error) => Lifecycle::Destroyed,
                life => life?.lifecycle,
            };
            let clean = core.is_clean(&sandbox).unwrap_or_default();
            Ok(Listed { sandbox, lifecycle, clean })
        };
        context.store().sandboxes()?.into_iter().map(look).collect()
    })?;
    tell_list(&listed, json)
}

pub(crate) fn tell_list(listed: &[Listed], json: bool) -> Answer {
    if json {
        show::print_json(&[("sandboxes", show::to_json(&listed)?)]);
        return show::done();
    }
    let rows: Vec<Vec<String>> = listed
        .iter()
        .filter(|listed| listed.lifecycle != Lifecycle::Destroyed)
        .map(|Listed { sandbox, lifecycle, clean }| {
            let status = match lifecycle {
                Lifecycle::Suspended => "suspended",
                _ if sandbox.guard.contained.is_some() => "contained",
                Lifecycle::Ready if *clean => "clean",
                Lifecycle::Ready => "uncommitted",
                life => life.word(),
            };
            let place = match &sandbox.root {
                Root::Image { source, .. } => source.display().to_string(),
                _ => sandbox.base.display().to_string(),
            };
            vec![
                sandbox.name.to_string(),
                status.to_owned(),
                sandbox.root.word().to_owned(),
                place,
                sandbox.used.rfc3339(),
            ]
        })
        .collect();
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
            Some(waiter) if waiter.has_left() => freed.saturating_add(core.collect_all(&|| true)?),
            _ => freed,
        })
    })?;
    tell_removed(&sandbox.name, freed, json)
}

pub(crate) fn tell_removed(name: &SandboxName, freed: u64, json: bool) -> Answer {
    if json {
        show::print_json(&[("sandbox", show::to_json(name)?), ("freed_bytes", freed.into())]);
    } else {
        println!("removed {name} ({} freed)", ByteSize(freed));
    }
    show::done()
}

pub(crate) fn fork(arguments: ForkArguments, json: bool) -> Answer {
    let context = Context::open()?;
    let source = context.sandbox(Some(&arguments.sandbox))?;
    let sandbox =
        context.with_core(WhenBusy::Wait, |core| Ok(core.fork(&source, arguments.name)?))?;
    tell_fork(&source.name, &sandbox, json)
}

pub(crate) fn tell_fork(source: &SandboxName, sandbox: &Sandbox, json: bool) -> Answer {
    if json {
        show::print_json(&[("sandbox", show::to_json(sandbox)?)]);
    } else {
        println!("{}: a copy of {source}", sandbox.name);
    }
    show::done()
}

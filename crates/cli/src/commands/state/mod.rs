//! `ctrlz state`.

pub(crate) mod entry;
mod file;
mod moment;
mod rotate;
mod upkeep;

pub(crate) use moment::version_at;

use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::state::StateKey;

use crate::Answer;
use crate::arguments::{StateAction, StateArguments};
use crate::context::Context;
use crate::failure::{Failure, OWN_FAILURE};

pub(crate) fn state(arguments: StateArguments, json: bool) -> Answer {
    let context = Context::open()?;
    let chosen = Chosen { context: &context, arguments: &arguments };
    let with = arguments.with_key.as_ref();
    match &arguments.action {
        StateAction::Get { key, version, at } => {
            let (sandbox, key) = (chosen.namespace()?, parse(key)?);
            let version = moment::version(&context, &sandbox, *version, at.as_deref())?;
            entry::get(&context, &sandbox, &key, version, with, json)
        }
        StateAction::Put { key, value, expect, sensitive } => {
            let put = entry::Put {
                sandbox: chosen.namespace()?,
                key: parse(key)?,
                value: value.as_deref(),
                expect: *expect,
                sensitive: *sensitive,
                with,
            };
            entry::put(&context, &put, json)
        }
        StateAction::Delete { key, expect } => {
            entry::delete(&context, &chosen.namespace()?, &parse(key)?, *expect, json)
        }
        StateAction::List { version, at } => {
            let sandbox = chosen.namespace()?;
            let version = moment::version(&context, &sandbox, *version, at.as_deref())?;
            entry::list(&context.store().list(sandbox.id, version)?, json)
        }
        StateAction::History { key } => {
            let sandbox = chosen.namespace()?;
            entry::list(&context.store().history(sandbox.id, &parse(key)?)?, json)
        }
        StateAction::Rotate { from, to } => {
            rotate::rotate(&context, from, to.as_ref().or(with), json)
        }
        StateAction::Verify { all } => upkeep::verify(&context, &chosen.namespaces(*all)?, json),
        StateAction::Repair { all, from } => {
            let copies = from.as_deref().map(file::read).transpose()?.unwrap_or_default();
            upkeep::repair(&context, &chosen.namespaces(*all)?, &copies, json)
        }
        StateAction::Rebuild { all, check: true, .. } => {
            upkeep::compare(&context, &chosen.namespaces(*all)?, json)
        }
        StateAction::Rebuild { all, drop_unknown, .. } => {
            upkeep::rebuild(&context, &chosen.namespaces(*all)?, *drop_unknown, json)
        }
        StateAction::Export { file, all } => {
            file::export(&context, &chosen.namespaces(*all)?, file.as_deref(), json)
        }
        StateAction::Import { file, dry_run, on_conflict } => {
            let to = match (&arguments.sandbox, arguments.global) {
                (None, false) => None,
                _ => Some(chosen.namespace()?),
            };
            file::import(&context, file, to.as_ref(), (*on_conflict).into(), *dry_run, json)
        }
    }
}

/// What the command line says of where.
struct Chosen<'a> {
    context: &'a Context,
    arguments: &'a StateArguments,
}

impl Chosen<'_> {
    fn namespace(&self) -> Result<Sandbox, Failure> {
        match self.arguments.global {
            true => Ok(self.context.store().global()?),
            false => self.context.sandbox(self.arguments.sandbox.as_ref()),
        }
    }

    fn namespaces(&self, all: bool) -> Result<Vec<Sandbox>, Failure> {
        if !all {
            return Ok(vec![self.namespace()?]);
        }
        let mut namespaces = vec![self.context.store().global()?];
        namespaces.extend(self.context.store().sandboxes()?);
        Ok(namespaces)
    }
}

pub(crate) fn parse(key: &str) -> Result<StateKey, Failure> {
    key.parse().map_err(|error| Failure::caused(OWN_FAILURE, "state-key", &error))
}

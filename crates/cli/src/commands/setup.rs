//! `setup:` of ctrlz.yaml: its commands run once, and new sandboxes begin where they end.

use std::ffi::OsString;

use ctrlz_config::Config;
use ctrlz_core::digest::Digest;
use ctrlz_core::lifecycle::Setup;
use ctrlz_core::sandbox::Sandbox;
use ctrlz_engine::{BaseChoice, SandboxCore, SetupPlan};
use ctrlz_policy::redact;
use serde_json::json;

use super::captured::Captured;
use super::task::{self, Task};
use crate::arguments::CommandArguments;
use crate::context::Context;
use crate::failure::Failure;
use crate::show::{Style, plain};

/// The sandbox in which the setup of a configuration has run, which it does now if it has not;
/// nothing when there is none.
pub(super) fn made(
    (context, core): (&Context, &SandboxCore<'_>),
    config: &Config,
    how: &CommandArguments,
    choice: &BaseChoice,
) -> Result<Option<Sandbox>, Failure> {
    let Some(digest) = digest(config, choice) else { return Ok(None) };
    super::probe::require(context, config)?;
    let plan = SetupPlan { digest, choice, commands: config.setup.len() };
    let how = CommandArguments { workdir: None, ..how.clone() };
    let mut config = config.clone();
    (config.commit, config.snapshot) = (false, false);
    let mut output: Option<Captured> = None;
    let result = core.set_up(&plan, |sandbox, number| {
        // The output of the one before is of no interest: it went well.
        output = None;
        // Its streams are not those of what was begun in advance.
        context.isolation.expect_nothing();
        let command = config.setup.get(number).map(String::as_str).unwrap_or_default();
        let of = config.setup.len();
        let text = format!("ctrlz: setup {} of {of}: {}", number + 1, plain(&redact(command)));
        eprintln!("{}", Style::stderr().dim(&text));
        let argv = ["/bin/sh", "-c", command].map(OsString::from);
        let task = Task {
            argv: &argv,
            config: &config,
            how: &how,
            fresh: false,
            store: None,
            again: None,
        };
        let verdict = task.verdict(&sandbox.root, &sandbox.base)?;
        let past = Some((context.store(), sandbox));
        let verdict = task.approved(&sandbox.root, &sandbox.base, verdict, past)?;
        let request = task.request(context, sandbox, Some(verdict))?;
        output = Some(Captured::begin(&context.directory)?);
        Ok::<_, Failure>(request)
    });
    let told = output.take().map(Captured::end).transpose()?;
    match (result, told) {
        (Ok(made), _) => Ok(Some(made)),
        (Err(failure), Some(told)) => {
            Err(told.into_iter().fold(failure, |failure, line| failure.detail(line)))
        }
        (Err(failure), None) => Err(failure),
    }
}

/// Lets a sandbox of an earlier setup begin anew, or tells why it does not.
pub(super) fn renew(
    (context, core): (&Context, &SandboxCore<'_>),
    config: &Config,
    how: &CommandArguments,
    choice: &BaseChoice,
    (sandbox, fresh): (Sandbox, bool),
) -> Result<Sandbox, Failure> {
    let Some(wanted) = digest(config, choice) else { return Ok(sandbox) };
    let has = match &sandbox.life.setup {
        Some(Setup::From { digest, .. }) => Some(*digest),
        _ => None,
    };
    if has == Some(wanted) {
        return Ok(sandbox);
    }
    if (fresh || core.is_clean(&sandbox)?)
        && let Some(made) = made((context, core), config, how, choice)?
        && core.begin_at(&sandbox, &made, fresh)?
    {
        return Ok(context.store().sandbox(sandbox.id)?);
    }
    let text = format!(
        "ctrlz: `setup:` is another than the one that sandbox `{}` began with, and it has \
         uncommitted changes: it goes on without; `--fresh` throws them away and begins anew",
        sandbox.name
    );
    eprintln!("{}", Style::stderr().yellow(&text));
    Ok(sandbox)
}

/// The digest of the commands, and of what they run on; nothing without commands.
fn digest(config: &Config, choice: &BaseChoice) -> Option<Digest> {
    if config.setup.is_empty() {
        return None;
    }
    let place = choice.base.to_string_lossy();
    let identity = task::identity(&choice.root, &choice.base);
    let mut facts = vec![json!(config.setup), json!(choice.root), json!(place), json!(identity)];
    // What it left is kept by the same driver as what begins there.
    facts.extend(config.workspace.driver().map(|driver| json!(driver)));
    let facts = serde_json::Value::from(facts);
    let mut hasher = blake3::Hasher::new_derive_key("ctrlz setup, format 1");
    hasher.update(facts.to_string().as_bytes());
    Some(Digest::blake3(*hasher.finalize().as_bytes()))
}

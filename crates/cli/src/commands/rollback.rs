//! `ctrlz rollback`.

use ctrlz_core::changeset::Changeset;
use ctrlz_core::name::SandboxName;
use ctrlz_engine::{HealthResult, RollbackOptions, RollbackReport, RollbackTarget};

use super::diff::workspace_paths;
use super::emergency::print_checks;
use super::{gc, known_good};
use crate::Answer;
use crate::arguments::RollbackArguments;
use crate::context::{Context, WhenBusy};
use crate::failure::{Failure, OWN_FAILURE};
use crate::show::{self, Style, counts_in_words, print_tree};

pub(crate) fn rollback(arguments: &RollbackArguments, json: bool) -> Answer {
    let (name, target) = named(&arguments.words)?;
    let context = Context::open()?;
    let sandbox = context.sandbox(name.as_ref())?;
    let paths = workspace_paths(&arguments.paths, &sandbox)?;
    let options = RollbackOptions { paths, thorough: arguments.verify };
    if arguments.dry_run {
        let changeset = context.with_core(WhenBusy::Wait, |core| {
            Ok(core.plan_rollback(&sandbox, target, &options)?)
        })?;
        return tell_plan(&sandbox.name, &changeset, json);
    }
    let report = context.with_core(WhenBusy::Wait, |core| {
        let report = core.rollback(&sandbox, target, &options)?;
        gc::now_and_then(&context, core, report.operation);
        Ok(report)
    })?;
    let checks = match arguments.check {
        true => {
            let config = known_good::configuration_of(&sandbox)?;
            let checks = known_good::checks(&context, &sandbox, &config)?;
            context.with_core(WhenBusy::Wait, |core| known_good::run(core, &sandbox, &checks))?
        }
        false => Vec::new(),
    };
    Returned { sandbox: &sandbox.name, report, checks }.tell(arguments.verify, json)
}

pub(crate) fn tell_plan(name: &SandboxName, changeset: &Changeset, json: bool) -> Answer {
    let counts = changeset.counts();
    if json {
        show::print_json(&[
            ("sandbox", show::to_json(name)?),
            ("dry_run", true.into()),
            ("counts", show::to_json(&counts)?),
            ("changes", show::to_json(&changeset.changes)?),
        ]);
    } else {
        print_tree(changeset, Style::stdout());
        println!("would change in {name}: {}", counts_in_words(&counts));
    }
    show::done()
}

/// What came of a rollback.
pub(crate) struct Returned<'a> {
    pub(crate) sandbox: &'a SandboxName,
    pub(crate) report: RollbackReport,
    pub(crate) checks: Vec<HealthResult>,
}

impl Returned<'_> {
    /// Tells it; `thorough` is whether every file was read.
    pub(crate) fn tell(&self, thorough: bool, json: bool) -> Answer {
        let Self { sandbox, report, checks } = self;
        let what = if thorough { "files" } else { "layers" };
        if json {
            show::print_json(&[
                ("sandbox", show::to_json(sandbox)?),
                ("operation", show::to_json(&report.operation)?),
                ("left_behind", show::to_json(&report.left_behind)?),
                ("counts", show::to_json(&report.counts)?),
                ("validated", what.into()),
                ("intact", report.intact.into()),
                ("from_archive", show::to_json(&report.mended)?),
                ("checks", show::to_json(checks)?),
            ]);
        } else {
            let counts = match &report.counts {
                Some(counts) => counts_in_words(counts),
                None => "what it changed cannot be told, as what was there is damaged".to_owned(),
            };
            println!("{}: rolled back: {counts}", report.operation);
            for part in &report.mended {
                println!("  {part} was damaged, and was fetched from the archive");
            }
            println!("  what was there before is {}", report.left_behind);
            match report.intact {
                true => println!("  its {what} were checked before and after: whole"),
                false => println!("  its {what} were whole before, and are DAMAGED now"),
            }
            print_checks(checks);
        }
        Ok(u8::from(!report.intact || checks.iter().any(|result| !result.passed)))
    }
}

/// The sandbox, when one is named, and where to return to.
pub(crate) fn named(words: &[String]) -> Result<(Option<SandboxName>, RollbackTarget), Failure> {
    let (name, target) = match words {
        [name, target] => {
            let name = name.parse::<SandboxName>();
            let name = name.map_err(|error| Failure::caused(OWN_FAILURE, "name", &error))?;
            (Some(name), target)
        }
        [target] => (None, target),
        _ => return Err(Failure::new(OWN_FAILURE, "usage", "name a snapshot")),
    };
    Ok((name, parse_target(target)?))
}

/// `snap-3` or `3` is a snapshot; `op-7` the point before an operation.
fn parse_target(text: &str) -> Result<RollbackTarget, Failure> {
    if text.starts_with("op-") {
        let id = text.parse().map_err(|error| Failure::caused(OWN_FAILURE, "id", &error))?;
        return Ok(RollbackTarget::Before(id));
    }
    let id = text.parse().map_err(|error| Failure::caused(OWN_FAILURE, "id", &error))?;
    Ok(RollbackTarget::Snapshot(id))
}

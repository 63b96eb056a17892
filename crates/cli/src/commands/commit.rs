//! `ctrlz commit` and `ctrlz discard`.

use ctrlz_core::changeset::ChangeCounts;
use ctrlz_core::id::OperationId;
use ctrlz_core::name::SandboxName;
use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::workspace::{CommitPlan, ConflictStrategy};
use ctrlz_engine::CommitOptions;

use super::diff::workspace_paths;
use super::gc;
use crate::Answer;
use crate::arguments::{CommitArguments, SandboxArgument};
use crate::context::{Context, WhenBusy};
use crate::show::{self, Style, counts_in_words, print_tree};

pub(crate) fn commit(arguments: &CommitArguments, json: bool) -> Answer {
    let context = Context::open()?;
    let sandbox = context.sandbox(arguments.sandbox.sandbox.as_ref())?;
    let strategy: ConflictStrategy = arguments.conflict.into();
    let options = CommitOptions { paths: workspace_paths(&arguments.paths, &sandbox)?, strategy };
    if arguments.dry_run {
        let plan =
            context.with_core(WhenBusy::Wait, |core| Ok(core.plan_commit(&sandbox, &options)?))?;
        return tell_plan(&sandbox, &plan, json);
    }
    let report = context.with_core(WhenBusy::Wait, |core| {
        let report = core.commit(&sandbox, &options)?;
        gc::now_and_then(&context, core, report.operation);
        Ok(report)
    })?;
    tell(&sandbox, report.operation, &report.counts, json)
}

pub(crate) fn tell_plan(sandbox: &Sandbox, plan: &CommitPlan, json: bool) -> Answer {
    if json {
        show::print_json(&[
            ("sandbox", show::to_json(&sandbox.name)?),
            ("dry_run", true.into()),
            ("counts", show::to_json(&plan.changeset.counts())?),
            ("changes", show::to_json(&plan.changeset.changes)?),
            ("conflicts", show::to_json(&plan.conflicts)?),
        ]);
        return show::done();
    }
    print_tree(&plan.changeset, Style::stdout());
    let counts = counts_in_words(&plan.changeset.counts());
    println!("would commit to {}: {counts}", sandbox.base.display());
    for conflict in &plan.conflicts {
        println!("conflict: {} ({:?})", conflict.path, conflict.reason);
    }
    show::done()
}

pub(crate) fn tell(
    sandbox: &Sandbox,
    operation: OperationId,
    counts: &ChangeCounts,
    json: bool,
) -> Answer {
    if json {
        show::print_json(&[
            ("sandbox", show::to_json(&sandbox.name)?),
            ("operation", show::to_json(&operation)?),
            ("counts", show::to_json(counts)?),
        ]);
    } else {
        let counts = counts_in_words(counts);
        println!("{operation}: committed to {}: {counts}", sandbox.base.display());
    }
    show::done()
}

pub(crate) fn discard(arguments: &SandboxArgument, json: bool) -> Answer {
    let context = Context::open()?;
    let sandbox = context.sandbox(arguments.sandbox.as_ref())?;
    let counts = context.with_core(WhenBusy::Wait, |core| Ok(core.discard(&sandbox)?))?;
    tell_discarded(&sandbox.name, &counts, json)
}

pub(crate) fn tell_discarded(name: &SandboxName, counts: &ChangeCounts, json: bool) -> Answer {
    if json {
        show::print_json(&[("sandbox", show::to_json(name)?), ("counts", show::to_json(counts)?)]);
    } else {
        println!("discarded: {}", counts_in_words(counts));
    }
    show::done()
}

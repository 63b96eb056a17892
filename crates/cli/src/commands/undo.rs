//! `ctrlz undo` and `ctrlz redo`.

use ctrlz_core::operation::OperationKind;
use ctrlz_core::sandbox::Sandbox;
use ctrlz_engine::UndoReport;

use super::gc;
use crate::Answer;
use crate::arguments::{RedoArguments, UndoArguments};
use crate::context::{Context, WhenBusy};
use crate::show::{self, counts_in_words};

pub(crate) fn undo(arguments: &UndoArguments, json: bool) -> Answer {
    let context = Context::open()?;
    let sandbox = context.sandbox(arguments.sandbox.sandbox.as_ref())?;
    let report = context.with_core(WhenBusy::Wait, |core| {
        let report = core.undo(&sandbox, arguments.operation, arguments.conflict.into())?;
        gc::now_and_then(&context, core, report.operation);
        Ok(report)
    })?;
    tell(&sandbox, &report, "undone", json)
}

pub(crate) fn redo(arguments: &RedoArguments, json: bool) -> Answer {
    let context = Context::open()?;
    let sandbox = context.sandbox(arguments.sandbox.sandbox.as_ref())?;
    let report = context.with_core(WhenBusy::Wait, |core| {
        let report = core.redo(&sandbox, arguments.conflict.into())?;
        gc::now_and_then(&context, core, report.operation);
        Ok(report)
    })?;
    tell(&sandbox, &report, "redone", json)
}

pub(crate) fn tell(sandbox: &Sandbox, report: &UndoReport, word: &str, json: bool) -> Answer {
    if json {
        show::print_json(&[
            ("sandbox", show::to_json(&sandbox.name)?),
            ("operation", show::to_json(&report.operation)?),
            ("target", show::to_json(&report.target.id)?),
            ("counts", show::to_json(&report.counts)?),
        ]);
        return show::done();
    }
    let place = match report.target.request.kind {
        OperationKind::Commit => sandbox.base.display().to_string(),
        _ => format!("sandbox {}", sandbox.name),
    };
    let target = &report.target;
    println!("{word} {}: {}", target.id, target.request.title);
    println!("  in {place}: {}", counts_in_words(&report.counts));
    show::done()
}

//! `ctrlz log` and `ctrlz show`.

use ctrlz_core::changeset::Changeset;
use ctrlz_core::lifecycle::Lifecycle;
use ctrlz_core::name::SandboxName;
use ctrlz_core::operation::{Exit, Operation, Status};
use ctrlz_core::verdict_record::{Approval, VerdictRecord};
use ctrlz_engine::{EngineError, LifeReport};

use crate::Answer;
use crate::arguments::{LogArguments, ShowArguments};
use crate::context::{Context, WhenBusy};
use crate::show::{self, Style, counts_in_words, plain, print_patch, print_table, print_tree};

pub(crate) fn log(arguments: &LogArguments, json: bool) -> Answer {
    let context = Context::open()?;
    let sandbox = context.sandbox(arguments.sandbox.sandbox.as_ref())?;
    let operations = context.store().operations(sandbox.id, arguments.limit)?;
    tell_log(&sandbox.name, &operations, json)
}

pub(crate) fn tell_log(name: &SandboxName, operations: &[Operation], json: bool) -> Answer {
    if json {
        show::print_json(&[
            ("sandbox", show::to_json(name)?),
            ("operations", show::to_json(&operations)?),
        ]);
        return show::done();
    }
    let rows: Vec<Vec<String>> = operations
        .iter()
        .map(|operation| {
            vec![
                operation.id.to_string(),
                operation.request.kind.word().to_owned(),
                result(operation),
                operation.outcome.counts.as_ref().map(counts_in_words).unwrap_or_default(),
                operation.started.rfc3339(),
                operation.request.title.clone(),
            ]
        })
        .collect();
    let heading = ["OPERATION", "KIND", "RESULT", "CHANGES", "STARTED", "WHAT"];
    print_table(&heading, &rows, "no operations");
    show::done()
}

/// The state of a sandbox, and why.
fn in_words(life: &LifeReport) -> String {
    let why = life.suspension.as_ref().filter(|_| life.lifecycle == Lifecycle::Suspended);
    let frozen = life.process.map(|pid| format!(", process {pid} is frozen"));
    match why {
        None => life.lifecycle.to_string(),
        Some(suspension) => {
            let reason = Some(&suspension.reason).filter(|reason| !reason.is_empty());
            let reason = reason.map(|reason| format!(": {}", plain(reason))).unwrap_or_default();
            let since = suspension.since.rfc3339();
            format!("suspended since {since}{reason}{}", frozen.unwrap_or_default())
        }
    }
}

/// The status; for a command that took effect how it ended.
fn result(operation: &Operation) -> String {
    let status = operation.status.word();
    match operation.outcome.command.as_ref().map(|command| command.exit) {
        Some(Exit::Code(0)) if operation.status == Status::Done => "ok".to_owned(),
        Some(Exit::Code(code)) => format!("{status}, exit {code}"),
        Some(Exit::Signal(signal)) => format!("{status}, signal {signal}"),
        None => status.to_owned(),
    }
}

/// What the validator said, and who let it run.
fn print_record(verdict: &VerdictRecord) {
    let VerdictRecord { risk, decision, score, .. } = verdict;
    let rules = match verdict.rules.as_slice() {
        [] => String::new(),
        rules => format!(": {}", plain(&rules.join(", "))),
    };
    println!("  verdict   {risk} risk ({score} of 100), {decision}{rules}");
    for line in &verdict.beyond_undo {
        println!("  no undo   {}", plain(line));
    }
    if let Some(Approval { by, hash }) = &verdict.approval {
        println!("  approved  by {by} ({})", plain(hash));
    }
}

pub(crate) fn show(arguments: &ShowArguments, json: bool) -> Answer {
    let context = Context::open()?;
    let operation = context.store().operation(arguments.operation)?;
    let sandbox = context.store().sandbox(operation.request.sandbox)?;
    let changeset =
        context.with_core(WhenBusy::Wait, |core| match core.changes_of(&sandbox, &operation) {
            Ok(changeset) => Ok(Some(changeset)),
            // What it did is known no more; that it did is.
            Err(EngineError::LetGo { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        })?;
    let life = context.with_core(WhenBusy::Wait, |core| Ok(core.life_of(&sandbox)?))?;
    let patch = |changeset: &Changeset| print_patch(changeset, Style::stdout());
    let shown = Shown { sandbox: sandbox.name, lifecycle: life, operation, changeset };
    shown.tell(arguments.patch.then_some(&patch), json)
}

/// An operation, and what it changed.
pub(crate) struct Shown {
    pub(crate) sandbox: SandboxName,
    pub(crate) lifecycle: LifeReport,
    pub(crate) operation: Operation,
    /// What it changed; nothing when retention let that go.
    pub(crate) changeset: Option<Changeset>,
}

impl Shown {
    /// Tells it; `patch` prints changed lines instead of a tree.
    pub(crate) fn tell(self, patch: Option<&dyn Fn(&Changeset)>, json: bool) -> Answer {
        if json {
            show::print_json(&[
                ("sandbox", show::to_json(&self.sandbox)?),
                ("lifecycle", show::to_json(&self.lifecycle)?),
                ("operation", show::to_json(&self.operation)?),
                ("changes", show::to_json(&self.changeset.map(|changeset| changeset.changes))?),
            ]);
            return show::done();
        }
        let style = Style::stdout();
        print_about(&self, style);
        match (&self.changeset, patch) {
            (None, _) => {
                let lost = "let go by retention: it cannot be undone, nor its changes be shown";
                println!("  files     {lost}");
            }
            (Some(changeset), Some(print)) => print(changeset),
            (Some(changeset), None) => {
                print_tree(changeset, style);
                println!("{}", style.bold(&counts_in_words(&changeset.counts())));
            }
        }
        show::done()
    }
}

fn print_about(shown: &Shown, style: Style) {
    let operation = &shown.operation;
    println!("{} {}", style.bold(&operation.id.to_string()), plain(&operation.request.title));
    println!("  sandbox   {} ({})", shown.sandbox, in_words(&shown.lifecycle));
    println!("  kind      {}", operation.request.kind.word());
    println!("  result    {}", result(operation));
    if let Some(error) = &operation.outcome.error {
        println!("  error     {error}");
    }
    if let Some(verdict) = &operation.request.verdict {
        print_record(verdict);
    }
    println!("  started   {}", operation.started.rfc3339());
    if let Some(finished) = operation.finished {
        println!("  finished  {}", finished.rfc3339());
    }
    if let Some(command) = &operation.outcome.command {
        if let Some(wall) = command.usage.wall {
            println!("  took      {wall}");
        }
        println!("  isolation {}", command.driver);
        println!("  enforced  {}", command.enforced.join(" "));
    }
}

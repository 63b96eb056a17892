//! Errors as the user meets them: what happened, why, what to do, and the exit code.

use std::borrow::Cow;
use std::error::Error;
use std::process::ExitCode;

use ctrlz_core::isolation::IsolationError;
use ctrlz_core::store::StoreError;
use ctrlz_core::workspace::{ConflictReason, WorkspaceError};
use ctrlz_engine::{EngineError, FileError};
use ctrlz_server::{Problem, StatusCode};
use serde_json::{Value, json};

use crate::show::plain;

/// All was looked at, and something is not as it should be.
pub(crate) const NOT_GOOD: u8 = 1;
/// ctrlz itself failed, as in env(1) and timeout(1).
pub(crate) const OWN_FAILURE: u8 = 125;
/// The command exists but cannot be executed.
pub(crate) const NOT_EXECUTABLE: u8 = 126;
/// There is no such command.
pub(crate) const NOT_FOUND: u8 = 127;
/// The command's time was up.
pub(crate) const TIMED_OUT: u8 = 124;
/// Refused, so that nothing is lost.
pub(crate) const REFUSED: u8 = 123;

/// Why ctrlz did not do what it was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: u8,
    kind: Cow<'static, str>,
    message: String,
    details: Vec<String>,
    hint: Option<String>,
}

/// What a service told of a failure.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) code: u8,
    pub(crate) kind: String,
    pub(crate) message: String,
    pub(crate) details: Vec<String>,
    pub(crate) hint: Option<String>,
}

impl Failure {
    /// A failure in words, without a cause below.
    pub(crate) fn new(code: u8, kind: &'static str, message: impl Into<String>) -> Self {
        Self { code, kind: kind.into(), message: message.into(), details: Vec::new(), hint: None }
    }

    /// A failure of a service, as it told it.
    pub(crate) fn of_service(told: Told) -> Self {
        let Told { code, kind, message, details, hint } = told;
        Self { code, kind: kind.into(), message, details, hint }
    }

    /// An error with its chain of causes.
    pub(crate) fn caused(code: u8, kind: &'static str, error: &dyn Error) -> Self {
        let mut details = Vec::new();
        let mut cause = error.source();
        while let Some(error) = cause {
            details.push(error.to_string());
            cause = error.source();
        }
        Self { details, ..Self::new(code, kind, error.to_string()) }
    }

    /// What led to it, for those who tell the rest in their own way.
    pub(crate) fn into_details(self) -> Vec<String> {
        self.details
    }

    /// What happened, for those who tell it in their own way.
    pub(crate) fn into_message(self) -> String {
        self.message
    }

    /// What happened.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Whether it is of that kind.
    pub(crate) fn is(&self, kind: &str) -> bool {
        self.kind == kind
    }

    /// What happened and why, in one line.
    pub(crate) fn in_words(&self) -> String {
        let causes = self.details.iter().map(|detail| format!(": {detail}"));
        std::iter::once(self.message.clone()).chain(causes).collect()
    }

    /// One more line.
    pub(crate) fn detail(mut self, line: String) -> Self {
        self.details.push(line);
        self
    }

    /// The reasons, one a line.
    pub(crate) fn details(mut self, details: Vec<String>) -> Self {
        self.details = details;
        self
    }

    /// What the user can do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// As one object.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "ok": false,
            "exit_code": self.code,
            "error": {
                "kind": self.kind,
                "message": self.message,
                "details": self.details,
                "hint": self.hint,
            },
        })
    }

    /// For a client of the service.
    pub(crate) fn into_problem(self) -> Problem {
        problem(self.code, &self.kind, (self.message, self.details), self.hint)
    }

    /// On standard error, or as JSON on standard output.
    pub(crate) fn print(&self, json: bool) {
        if json {
            println!("{}", self.to_json());
            return;
        }
        eprintln!("ctrlz: {}", plain(&self.message));
        for detail in &self.details {
            eprintln!("  {}", plain(detail));
        }
        if let Some(hint) = &self.hint {
            eprintln!("  hint: {}", plain(hint));
        }
    }
}

/// For a client of the service: what another process told as [`Failure::to_json`] does.
pub(crate) fn told_problem(object: &Value) -> Option<Problem> {
    let error = object.get("error")?;
    let text = |name: &str| Some(error.get(name)?.as_str()?.to_owned());
    let details = error.get("details").and_then(Value::as_array).into_iter().flatten();
    let details = details.filter_map(Value::as_str).map(str::to_owned).collect();
    let code = object.get("exit_code").and_then(Value::as_u64);
    let code = code.and_then(|code| u8::try_from(code).ok()).unwrap_or(OWN_FAILURE);
    Some(problem(code, &text("kind")?, (text("message")?, details), text("hint")))
}

fn problem(
    code: u8,
    kind: &str,
    (message, details): (String, Vec<String>),
    hint: Option<String>,
) -> Problem {
    let is_full =
        details.iter().chain([&message]).any(|line| FULL.iter().any(|word| line.contains(word)));
    let mut problem = Problem::of_kind(kind, message).details(details).with("exit_code", code);
    if is_full {
        problem = problem.with_status(StatusCode::INSUFFICIENT_STORAGE);
    }
    // What is refused so that nothing is lost, or found not to be good, is no failure of the service.
    if [REFUSED, NOT_GOOD].contains(&code)
        && problem.status().is_server_error()
        && problem.status() != StatusCode::INSUFFICIENT_STORAGE
    {
        problem = problem.with_status(StatusCode::CONFLICT);
    }
    match hint {
        Some(hint) => problem.hint(hint),
        None => problem,
    }
}

/// Help and version go to standard output and are no failure; a bad command line is one.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    ExitCode::from(if error.use_stderr() { OWN_FAILURE } else { 0 })
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        let failed = |kind| Self::caused(OWN_FAILURE, kind, &error);
        let refused = |kind| Self::caused(REFUSED, kind, &error);
        match &error {
            EngineError::Store(error) => of_store(error),
            EngineError::Workspace(error) => of_workspace(error),
            EngineError::Isolation(error) => of_isolation(error),
            EngineError::File(error) => match error {
                FileError::Absent(_) => refused("no-such-path"),
                FileError::NoFolder(_) => refused("no-folder"),
                FileError::Folder(_) => refused("folder"),
                FileError::NoFile(_) => refused("no-file"),
                FileError::Exists(_) => refused("exists"),
                FileError::NotEmpty(_) => refused("not-empty"),
                FileError::Within(_) => refused("into-itself"),
                FileError::TooMuch(_) => {
                    refused("too-much").hint("a command in the sandbox does it: mv(1)")
                }
                FileError::Outside(_) => refused("outside"),
                FileError::Links(_) => refused("links"),
                FileError::Unexpected(_) => refused("not-as-expected"),
                FileError::Closed(_) => refused("closed"),
                FileError::Name(_) => refused("bad-name"),
                FileError::NoRoom(_) => refused("store-full").hint(MAKE_ROOM),
            },
            EngineError::NoDriver { .. } => failed("no-driver"),
            EngineError::NothingToUndo(_) => refused("nothing-to-undo"),
            EngineError::NothingToRedo(_) => refused("nothing-to-redo")
                .hint("redo brings back what undo took, until something else is done"),
            EngineError::NothingToCommit(_) => refused("nothing-to-commit"),
            EngineError::OnTopOfSetup { path, .. } => refused("on-top-of-setup").hint(format!(
                "`ctrlz diff --base` shows all; `ctrlz commit --path {path}` brings it when it is wanted"
            )),
            EngineError::NoLiveBase(_) => refused("no-live-base"),
            EngineError::ForeignOperation { .. } => {
                failed("foreign-operation").hint("`ctrlz log` lists the operations of a sandbox")
            }
            EngineError::NotUndoable { .. } => refused("not-undoable"),
            EngineError::Depends { dependent, .. } => {
                refused("depends").hint(format!("undo {dependent} first, or all with `ctrlz undo`"))
            }
            EngineError::ForeignSnapshot { .. } => failed("foreign-snapshot")
                .hint("`ctrlz snapshots` lists the snapshots of a sandbox"),
            EngineError::StateOnly(_) => refused("state-only"),
            EngineError::NotMended { .. } => failed("damaged").hint(
                "`ctrlz verify` looks at the archive; `ctrlz pull --from` fetches from elsewhere",
            ),
            EngineError::LetGo { .. } => refused("let-go").hint(
                "`ctrlz snapshots` lists the points that are left; `retention:` in ctrlz.yaml says \
                 for how long operations can be undone",
            ),
            EngineError::SnapshotNeeded { .. } => refused("snapshot-needed")
                .hint("take the tag off with `ctrlz snapshot tag`, or remove it with --force"),
            EngineError::Contained { sandbox, .. } => refused("contained").hint(format!(
                "run it without a network, or end it with `ctrlz release {sandbox}`"
            )),
            EngineError::Suspended { sandbox, .. } => {
                refused("suspended").hint(format!("let it go on with `ctrlz resume {sandbox}`"))
            }
            EngineError::Setup { .. } => failed("setup").hint(
                "nothing of it is kept; correct `setup:` in ctrlz.yaml, or give it what it needs, \
                 such as `--net host` or `--root overlay`",
            ),
            EngineError::InUse(_) => refused("busy"),
            EngineError::Unwatched(_) => failed("unwatched"),
            EngineError::StopTooLong { .. } => refused("stop-too-long").hint(
                "take it when the command has ended, or keep the sandbox on btrfs or XFS (`ctrlz doctor`)",
            ),
            EngineError::NothingRuns(_) => refused("nothing-runs")
                .hint("`ctrlz snapshot` keeps files and state; memory is kept while a command runs"),
            EngineError::MemorySuspended(_) => {
                refused("suspended").hint("let it go on by `ctrlz resume` first")
            }
            EngineError::NoMemory(_) => refused("no-memory")
                .hint("return to it without --memory; `ctrlz snapshot --memory` keeps memory"),
            EngineError::MemoryDamaged { .. } => {
                refused("memory-damaged").hint("return to it without --memory")
            }
            EngineError::Memory { .. } => failed("memory"),
            EngineError::Illegal { .. } => refused("illegal-transition"),
            EngineError::NotApproved => {
                refused("approval").hint("run it again, and look at the question anew")
            }
            EngineError::Uncommitted { sandbox } => refused("uncommitted").hint(format!(
                "look with `ctrlz diff {sandbox}`, keep with `ctrlz commit {sandbox}`, or remove \
                 with `ctrlz rm --force {sandbox}`"
            )),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        of_store(&error)
    }
}

impl From<WorkspaceError> for Failure {
    fn from(error: WorkspaceError) -> Self {
        of_workspace(&error)
    }
}

fn of_store(error: &StoreError) -> Failure {
    let failed = |kind| Failure::caused(OWN_FAILURE, kind, error);
    match error {
        StoreError::Open { .. } => failed("store").hint(
            "the store lies where CTRLZ_HOME says; it must be writable and on a local file system",
        ),
        StoreError::Format { .. } => failed("store-format").hint("use a newer ctrlz"),
        StoreError::Busy { .. } => Failure::caused(REFUSED, "busy", error),
        StoreError::NameTaken(_) => failed("name-taken").hint("`ctrlz ls` lists the sandboxes"),
        StoreError::NoSandbox(_) => failed("no-sandbox").hint("`ctrlz ls` lists the sandboxes"),
        StoreError::NoOperation(_) => failed("no-operation").hint("`ctrlz log` lists operations"),
        StoreError::NoSnapshot(_) => {
            failed("no-snapshot").hint("`ctrlz snapshots` lists snapshots")
        }
        StoreError::Conflict { .. } => Failure::caused(REFUSED, "state-conflict", error),
        StoreError::Sensitive { .. } => Failure::caused(REFUSED, "sensitive", error)
            .hint("delete the key first, should its values be encrypted no more"),
        StoreError::OtherKey { .. } => Failure::caused(REFUSED, "wrong-key", error)
            .hint("`ctrlz state rotate --from OLD --to NEW` brings another key into use"),
        StoreError::NotImported { source, .. } => {
            let failure = failed("import");
            match source.downcast_ref() {
                Some(StoreError::OtherKey { .. }) => failure.hint(
                    "`ctrlz state rotate` to the key of the import, import, then rotate back",
                ),
                Some(StoreError::Sensitive { .. }) => {
                    failure.hint("delete the key first, should its values be encrypted no more")
                }
                _ => failure,
            }
        }
        StoreError::Seal { .. } => failed("state-secret"),
        StoreError::Damaged { .. } => {
            failed("store").hint("`ctrlz state verify` names all that is damaged")
        }
        StoreError::TooLarge { .. } => failed("too-large"),
        StoreError::Failed { .. } => failed("store"),
    }
}

fn of_workspace(error: &WorkspaceError) -> Failure {
    let conflicts = match error {
        WorkspaceError::Conflicts { conflicts } => conflicts,
        WorkspaceError::Base { .. } => {
            let failure = Failure::caused(OWN_FAILURE, "base", error);
            return failure.hint("`ctrlz doctor` lists what can keep the trees of sandboxes here");
        }
        WorkspaceError::Unsupported { .. } => {
            let failure = Failure::caused(REFUSED, "unsupported", error);
            return failure.hint(
                "`ctrlz doctor` tells what each workspace driver can do; a snapshot without --live \
                 waits for the command's end",
            );
        }
        _ => return Failure::caused(OWN_FAILURE, "workspace", error),
    };
    let mut failure = Failure::caused(REFUSED, "conflicts", error);
    failure.details = conflicts
        .iter()
        .map(|conflict| {
            let reason = match conflict.reason {
                ConflictReason::Changed => "was changed outside",
                ConflictReason::Created => "was created outside, too",
                ConflictReason::Deleted => "was deleted outside",
                ConflictReason::InsideChanged => "holds something that was changed outside",
            };
            format!("{} {reason}", conflict.path)
        })
        .collect();
    failure.hint(
        "nothing was written; choose with --conflict theirs|ours|keep-both, or commit other paths \
         with --path",
    )
}

/// How the kernel and SQLite say that a disk is full, whatever was being done.
const FULL: [&str; 3] =
    ["No space left on device", "Disk quota exceeded", "database or disk is full"];

/// What to do about a store's disk that is nearly full.
pub(crate) const MAKE_ROOM: &str = "discard, undo, rollback, rm and gc go on and make room; `monitoring.read_only_below` says how \
                                    much is kept free";

fn of_isolation(error: &IsolationError) -> Failure {
    let (code, kind) = match error {
        IsolationError::NotFound { .. } => (NOT_FOUND, "not-found"),
        IsolationError::NotExecutable { .. } => (NOT_EXECUTABLE, "not-executable"),
        IsolationError::Unenforceable { .. } => (OWN_FAILURE, "unenforceable"),
        IsolationError::Setup { .. } => (OWN_FAILURE, "isolation"),
        IsolationError::Lost { .. } => (OWN_FAILURE, "lost"),
        IsolationError::StoreFull { .. } => (REFUSED, "store-full"),
        IsolationError::Pause { .. } => (OWN_FAILURE, "pause"),
    };
    let failure = Failure::caused(code, kind, error);
    match error {
        IsolationError::Setup { .. } | IsolationError::Unenforceable { .. } => {
            failure.hint("`ctrlz doctor` tells what this host can enforce")
        }
        IsolationError::StoreFull { .. } => failure.hint(MAKE_ROOM),
        IsolationError::NotExecutable { program, source }
            if source.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error())
                || program.extension().is_some_and(|extension| extension == "wasm") =>
        {
            failure.hint("WebAssembly modules and components run with --isolation wasm")
        }
        _ => failure,
    }
}

#[cfg(test)]
mod kinds;

//! ctrlz, started by what it judges: the command in the command is judged.

use crate::evaluate::Evaluator;
use crate::evaluate::call::Call;
use crate::evaluate::expand::Field;
use crate::evaluate::value::{Taint, Value};

/// The options of `run` and `exec` that take a value.
const LETTERS: &str = "ew";
const WORDS: &[&str] = &[
    "root",
    "conflict",
    "timeout",
    "memory",
    "cpus",
    "pids",
    "disk",
    "open-files",
    "max-output",
    "env",
    "net",
    "workdir",
    "profile",
    "cap-add",
    "hide",
    "show",
    "summary",
    "sandbox",
    "color",
];

/// A call of ctrlz as rules see it: without the command that it starts.
pub(super) fn own_part(call: &Call) -> Call {
    let mut own = call.clone();
    let command = command(call).map_or(0, |command| command.len());
    own.arguments.truncate(call.arguments.len() - command);
    own
}

/// What `run` or `exec` starts.
fn command(call: &Call) -> Option<Vec<Field>> {
    let top = call.options_before_operands(LETTERS, WORDS);
    let (verb, rest) = top.operands.split_first()?;
    let sandboxes = match verb.text() {
        b"run" => 0,
        b"exec" => 1,
        _ => return None,
    };
    let rest: Vec<Field> = rest.iter().map(|field| (*field).clone()).collect();
    let options = super::super::call::Options::read(&rest, LETTERS, WORDS, true);
    let mut operands: Vec<Field> = options.operands.into_iter().cloned().collect();
    if sandboxes > 0 {
        // The sandbox's name; options may follow it.
        operands = operands.split_off(operands.len().min(sandboxes));
        let options = super::super::call::Options::read(&operands, LETTERS, WORDS, true);
        operands = options.operands.into_iter().cloned().collect();
    }
    Some(operands)
}

impl Evaluator<'_> {
    /// Whether it runs in a sandbox of its own is no excuse: `--yes` and `--commit` bring what it
    /// does out of there, and nobody else is asked.
    pub(super) fn itself(&mut self, call: &Call) {
        let directory = self.environment.directory.clone();
        let options = call.options("", WORDS);
        if let Some(folder) = options.value("workdir|w").cloned() {
            self.environment.directory = self.resolve(&folder.value);
        }
        match command(call) {
            Some(command) if !command.is_empty() => self.dispatch(command),
            _ => {}
        }
        self.environment.directory = directory;
        self.write(&Value::unknown(Taint::OUTPUT));
    }
}

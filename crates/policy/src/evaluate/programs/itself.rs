//! ctrlz, started by what it judges: the command in the command is judged.

use crate::effect::UNKNOWN;
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

/// Whether an option of `run` lets something out of the sandbox, or through unasked.
fn answers_in_advance(text: &[u8]) -> bool {
    let name = text.split(|byte| *byte == b'=').next().unwrap_or_default();
    let letters = text.strip_prefix(b"-").filter(|rest| !rest.starts_with(b"-"));
    // What cannot be known may be one of them.
    text.contains(&UNKNOWN)
        || letters.is_some_and(|letters| letters.contains(&b'y'))
        || matches!(
            name,
            b"--yes"
                | b"--allow-critical"
                | b"--commit"
                | b"--net"
                | b"--profile"
                | b"--cap-add"
                | b"--show"
        )
}

impl Evaluator<'_> {
    /// ctrlz judges what it starts itself, keeps it in a sandbox and asks. Options that answer in
    /// advance, or let something out of there, leave nobody else to be asked.
    pub(super) fn itself(&mut self, call: &Call) {
        if !own_part(call).arguments.iter().any(|field| answers_in_advance(field.text())) {
            self.write(&Value::unknown(Taint::OUTPUT));
            return;
        }
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

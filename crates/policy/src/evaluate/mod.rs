//! Evaluation: what a program in the shell's language would do, as far as its text tells.
//!
//! Every branch is followed, loops a few times, and what cannot be known stays unknown. Nothing is
//! executed: programs whose output depends on their input alone are imitated, all others are
//! described by their effects.

mod arithmetic;
mod assignment;
mod brace;
mod builtin;
mod call;
mod command;
mod environment;
mod expand;
mod files;
mod filters;
mod guess;
mod named;
mod parameter;
mod path;
mod pattern;
mod programs;
mod redirect;
mod remark;
mod simple;
mod typed;
mod value;

pub(crate) use call::Call;
pub(crate) use named::files_named;
pub(crate) use path::matches as matches_pattern;
pub(crate) use remark::{Remark, RemarkKind};

use std::collections::HashMap;

use crate::context::Context;
use crate::effect::{Effect, EffectKind, Qualities, Target};
use crate::path_class::PathClass;
use crate::source_range::SourceRange;
use crate::syntax;
use crate::syntax::tree::{Item, List};
use crate::work::Work;
use environment::{Content, Environment};
use files::Files;
use value::{Taint, Value};

/// How much is done at most for one text. What is beyond is not judged, and that is said.
const MOST_WORK: usize = 4_000 * A_COMMAND;
/// How many arguments of one command are looked at.
const MOST_ARGUMENTS: usize = 4_096;
/// What an effect costs besides the length of its path.
const AN_EFFECT: usize = 64;
/// What a command costs, whatever it is.
const A_COMMAND: usize = 192;
/// What a field costs, whatever it holds.
pub(crate) const A_FIELD: usize = 8;
/// How deeply lists are evaluated within lists.
const DEEPEST: u32 = 48;
/// How many effects are kept whatever they are. Of more, those of a new kind are; that the others
/// were left out is said.
const MOST_EFFECTS: usize = 1_000;

/// What the evaluation of a text found.
#[derive(Debug, Default)]
pub(crate) struct Evaluation {
    pub(crate) effects: Vec<Effect>,
    pub(crate) calls: Vec<Call>,
    pub(crate) remarks: Vec<Remark>,
}

/// Evaluates a program of the shell.
pub(crate) fn shell(text: &[u8], context: &Context) -> Evaluation {
    let mut evaluator = Evaluator::new(context);
    let list = syntax::parse(text);
    evaluator.list(&list);
    evaluator.typed_lines(text);
    evaluator.at_the_end();
    evaluator.end()
}

/// Evaluates a command that is a program and its arguments, without a shell.
pub(crate) fn arguments(arguments: &[Vec<u8>], context: &Context) -> Evaluation {
    let mut evaluator = Evaluator::new(context);
    evaluator.dispatch(fields_of(arguments));
    evaluator.end()
}

/// Words that no shell has read.
fn fields_of(arguments: &[Vec<u8>]) -> Vec<expand::Field> {
    let mut at = 0;
    arguments
        .iter()
        .map(|argument| {
            // As if they stood in a text with a space between them.
            let range = SourceRange::new(at, at + argument.len());
            at = range.end + 1;
            expand::Field {
                value: Value::known(argument.as_slice()),
                globs: false,
                quoted: true,
                range,
            }
        })
        .collect()
}

/// Evaluates a program in another language.
pub(crate) fn script(
    language: crate::script::Language,
    text: &[u8],
    context: &Context,
) -> Evaluation {
    let mut evaluator = Evaluator::new(context);
    evaluator.run_script(language, &Value::known(text), SourceRange::new(0, text.len()), true);
    evaluator.end()
}

/// Evaluates the writing of a file; with `adds`, what it holds stays.
pub(crate) fn write(path: &[u8], content: &[u8], adds: bool, context: &Context) -> Evaluation {
    let mut evaluator = Evaluator::new(context);
    let range = SourceRange::new(0, content.len());
    evaluator.write_file(&Value::known(path), &Value::known(content), adds, range);
    evaluator.end()
}

pub(crate) struct Evaluator<'c> {
    pub(crate) context: &'c Context,
    pub(crate) environment: Environment,
    pub(crate) files: Files,
    found: Evaluation,
    /// How everything is done that is evaluated now: by root, on another machine, hidden.
    pub(crate) qualities: Qualities,
    /// Where code stands that is not written in the judged text itself.
    origin: Option<SourceRange>,
    /// What the command reads; none for what the shell itself was given.
    pub(crate) stdin: Option<Value>,
    stdout: Value,
    /// Whether the last command succeeded, if that is known.
    status: Option<bool>,
    /// Which of the possible values of variables is looked at, and how many there are.
    choice: usize,
    alternatives: usize,
    /// How many branches the current command stands in.
    branches: u32,
    /// How many pipelines and background jobs the current command stands in.
    parallel: u32,
    /// How many pipelines.
    piped: u32,
    depth: u32,
    /// How deeply code of other languages is nested.
    script_depth: u32,
    pub(crate) work: Work,
    last_argument: Value,
    /// The functions that are being called, and how parallel it was when they were.
    callers: Vec<(Vec<u8>, u32)>,
    called: std::collections::HashSet<Vec<u8>>,
    /// Descriptors that lead to the network.
    sockets: HashMap<u32, bool>,
    /// Whether the current command only opens what its redirections name, and how many connections
    /// were opened so.
    says_nothing: bool,
    probes: u32,
    /// The standard streams of the current command lead to the network.
    pub(crate) on_network: bool,
    pipeline: Pipe,
    /// The kinds of effects that were found, with the places' classes.
    kinds: std::collections::HashSet<(EffectKind, Option<PathClass>, Qualities)>,
    /// What traps run, and where they were set.
    traps: Vec<(Value, SourceRange)>,
    /// What programs read last, of which unknown code may be made.
    inputs: Vec<Vec<u8>>,
    guessing: bool,
    guesses: u32,
    /// What the next program in another language is given.
    script_arguments: Vec<Value>,
    /// Whether what runs now stands in settings that a program read.
    follows_settings: bool,
    /// The files that the commands name, when somebody wants to know them.
    named: Option<std::collections::BTreeSet<Vec<u8>>>,
}

/// What stands together in a pipeline.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pipe {
    /// A shell that takes its commands from the pipeline.
    pub(crate) shell: Option<SourceRange>,
    /// A program that talks both ways with the network, and whether it waits for callers.
    pub(crate) line: Option<bool>,
}

impl<'c> Evaluator<'c> {
    fn new(context: &'c Context) -> Self {
        Self {
            context,
            environment: Environment::new(&context.directory),
            files: Files::default(),
            found: Evaluation::default(),
            qualities: Qualities::NONE.with_if(context.by_root, Qualities::NONE),
            origin: None,
            stdin: None,
            stdout: Value::default(),
            status: Some(true),
            choice: 0,
            alternatives: 0,
            branches: 0,
            parallel: 0,
            piped: 0,
            depth: 0,
            script_depth: 0,
            work: Work::new(MOST_WORK),
            last_argument: Value::default(),
            callers: Vec::new(),
            called: std::collections::HashSet::new(),
            says_nothing: false,
            probes: 0,
            sockets: HashMap::new(),
            on_network: false,
            pipeline: Pipe::default(),
            kinds: std::collections::HashSet::new(),
            traps: Vec::new(),
            inputs: Vec::new(),
            guessing: false,
            guesses: 0,
            script_arguments: Vec::new(),
            follows_settings: false,
            named: None,
        }
    }

    fn end(mut self) -> Evaluation {
        if self.work.left() == 0 {
            let range = self.origin.unwrap_or_default();
            self.remark_once(RemarkKind::TooLong, range);
        }
        self.found
    }

    /// Where a range of the text that is evaluated now stands in the judged text.
    pub(crate) fn place(&self, range: SourceRange) -> SourceRange {
        self.origin.unwrap_or(range)
    }

    pub(crate) fn in_branch(&self) -> bool {
        self.branches > 0
    }

    pub(crate) fn set_scalar(&mut self, name: &[u8], text: Vec<u8>) {
        let in_branch = self.in_branch();
        self.environment.set(name, Content::Scalar(Value::known(text)), in_branch);
    }

    pub(crate) fn emit(
        &mut self,
        kind: EffectKind,
        target: Target,
        qualities: Qualities,
        range: SourceRange,
    ) {
        let qualities = self.qualities.with(qualities);
        let class = match &target {
            Target::Path { class, .. } => Some(*class),
            _ => None,
        };
        let length = match &target {
            Target::None => 0,
            Target::Path { path: text, .. } | Target::Host(text) | Target::Name(text) => text.len(),
        };
        self.copied(AN_EFFECT + length);
        let is_new = self.kinds.insert((kind, class, qualities));
        if !is_new && self.found.effects.len() >= MOST_EFFECTS {
            self.remark_once(RemarkKind::TooLong, range);
            return;
        }
        // The same is told once: loops and branches say it again and again.
        let mut recent = self.found.effects.iter().rev().take(16);
        let same = |before: &Effect| {
            (before.kind, before.qualities, before.range) == (kind, qualities, range)
                && before.target == target
        };
        if !recent.any(same) {
            let calls = self.found.calls.len();
            self.found.effects.push(Effect { kind, target, qualities, range, calls });
        }
    }

    fn remark_once(&mut self, kind: RemarkKind, range: SourceRange) {
        if !self.found.remarks.iter().any(|remark| remark.kind == kind) {
            self.remark(kind, range);
        }
    }

    pub(crate) fn remark(&mut self, kind: RemarkKind, range: SourceRange) {
        let remark = Remark { kind, range };
        if !self.found.remarks.contains(&remark) && self.found.remarks.len() < MOST_EFFECTS {
            self.found.remarks.push(remark);
        }
    }

    pub(crate) fn note_separator_trick(&mut self, range: SourceRange) {
        self.remark(RemarkKind::Separators, range);
    }

    pub(crate) fn note_too_deep(&mut self, range: SourceRange) {
        self.remark(RemarkKind::TooDeep, range);
    }

    pub(crate) fn note_call(&mut self, call: Call) {
        if self.found.calls.len() < MOST_EFFECTS * 8 {
            self.found.calls.push(call);
        } else {
            self.remark_once(RemarkKind::TooLong, call.range);
        }
    }

    /// Counts bytes that are copied as work.
    pub(crate) fn copied(&mut self, bytes: usize) {
        self.work.spend(bytes);
    }

    /// Whether another command may be evaluated.
    fn step(&mut self, range: SourceRange) -> bool {
        let copied = self.environment.take_copied();
        let goes_on = self.work.spend(A_COMMAND + copied);
        if !goes_on {
            self.remark_once(RemarkKind::TooLong, range);
        }
        goes_on
    }

    /// Evaluates commands in sequence; what they write joins the current output.
    pub(crate) fn list(&mut self, list: &List) {
        self.depth += 1;
        if self.depth > DEEPEST {
            let range = self.origin.unwrap_or_default();
            self.note_too_deep(range);
        } else {
            for item in &list.items {
                self.item(item);
            }
        }
        self.depth -= 1;
    }

    fn item(&mut self, item: &Item) {
        let detached = self.qualities;
        if item.background {
            self.parallel += 1;
            self.qualities = self.qualities.with(Qualities::DETACHED);
        }
        self.pipeline(&item.first);
        for (_, pipeline) in &item.rest {
            // Whether it runs depends on what came before.
            self.branches += 1;
            self.pipeline(pipeline);
            self.branches -= 1;
        }
        if item.background {
            self.parallel -= 1;
            self.qualities = detached;
        }
    }

    /// What `list` writes, as a command substitution takes it.
    pub(crate) fn substitute(&mut self, list: &List) -> Value {
        let waiting = self.stdin.as_ref().map_or(0, |stdin| stdin.text.len());
        self.copied(self.environment.weight() + waiting / 16);
        let (environment, stdin) = (self.environment.clone(), self.stdin.clone());
        let output = self.captured(|evaluator| evaluator.list(list));
        self.environment = environment;
        self.stdin = stdin;
        output.without_last_newlines()
    }

    /// What is written while `run` runs.
    pub(crate) fn captured(&mut self, run: impl FnOnce(&mut Self)) -> Value {
        let before = std::mem::take(&mut self.stdout);
        run(self);
        std::mem::replace(&mut self.stdout, before)
    }

    pub(crate) fn write(&mut self, value: &Value) {
        self.copied(value.text.len() * 2);
        self.stdout.push_value(value);
    }

    /// Evaluates code of the shell that is not written in place: the argument of `-c`, of `eval`,
    /// what a pipe holds. `range` is where it comes from.
    pub(crate) fn run_code(&mut self, code: &Value, range: SourceRange) {
        if code.text.iter().all(u8::is_ascii_whitespace) {
            return;
        }
        if self.depth > DEEPEST {
            self.note_too_deep(range);
            return;
        }
        self.copied(code.text.len() * 4);
        self.judge_code_origin(code, range);
        if code.is_wholly_unknown() {
            if !code.taint.has(Taint::NETWORK) {
                self.guess_code(range);
            }
            return;
        }
        let (origin, qualities) = (self.origin, self.qualities);
        self.origin = Some(origin.unwrap_or(range));
        self.qualities = qualities.with_if(code.taint.has(Taint::DECODED), Qualities::HIDDEN);
        let list = syntax::parse(&code.text);
        self.list(&list);
        self.origin = origin;
        self.qualities = qualities;
    }

    /// Says where code comes from that is run, if that matters.
    pub(crate) fn judge_code_origin(&mut self, code: &Value, range: SourceRange) {
        let taint = code.taint;
        let target = Target::None;
        if taint.has(Taint::NETWORK) {
            let stranger = Qualities::NONE
                .with_if(taint.has(Taint::STRANGER), Qualities::INSECURE)
                .with_if(taint.has(Taint::DECODED), Qualities::HIDDEN);
            self.emit(EffectKind::NetworkCode, target, stranger, range);
        } else if taint.has(Taint::DECODED) {
            let unread = code.is_wholly_unknown();
            // Data that the command brings along and nobody can read.
            let embedded = unread
                && !taint.has(Taint::FILE)
                && !taint.has(Taint::OUTPUT)
                && !taint.has(Taint::TYPED);
            let quality = Qualities::NONE
                .with_if(unread, Qualities::HIDDEN)
                .with_if(embedded, Qualities::UNUSUAL);
            self.emit(EffectKind::DecodedCode, target, quality, range);
        } else if code.is_wholly_unknown()
            && taint.has(Taint::ASSEMBLED)
            && (taint.has(Taint::FILE) || taint == Taint::ASSEMBLED)
        {
            self.emit(EffectKind::ComputedCode, target, Qualities::HIDDEN, range);
        } else if code.is_wholly_unknown() && (taint.has(Taint::OUTPUT) || taint.has(Taint::UNSET))
        {
            self.emit(EffectKind::ComputedCode, target, Qualities::NONE, range);
        }
    }

    /// Traps run when all variables are set; functions that nobody called may still be.
    fn at_the_end(&mut self) {
        for (code, range) in std::mem::take(&mut self.traps) {
            self.captured(|evaluator| evaluator.run_code(&code, range));
        }
        self.uncalled_functions();
    }

    fn uncalled_functions(&mut self) {
        let mut uncalled: Vec<_> = (self.environment.functions.iter())
            .filter(|(name, _)| !self.called.contains(*name))
            .map(|(name, body)| (name.clone(), body.clone()))
            .collect();
        uncalled.sort_by(|one, other| one.0.cmp(&other.0));
        for (name, body) in uncalled {
            self.environment.positional.clear();
            self.environment.positional_unknown = true;
            self.callers.push((name, self.parallel));
            self.command(&body);
            self.callers.pop();
        }
    }
}

//! Pipelines and compound commands.

use std::rc::Rc;

use super::environment::Content;
use super::value::{Taint, Value};
use super::{Evaluator, Pipe, arithmetic, pattern};
use crate::effect::{EffectKind, Qualities, Target};
use crate::source_range::SourceRange;
use crate::syntax::tree::{
    Command, CommandKind, List, Part, Pipeline, Redirect, RedirectKind, Word,
};
use crate::work::Work;

/// How often a loop's body is evaluated at most.
const MOST_ROUNDS: usize = 48;

impl Evaluator<'_> {
    pub(super) fn pipeline(&mut self, pipeline: &Pipeline) {
        if let [command] = pipeline.commands.as_slice() {
            self.command(command);
        } else {
            self.connected(&pipeline.commands);
        }
        if pipeline.negated {
            self.status = self.status.map(|status| !status);
            // `! /bin/sh` means nothing to a shell, but a lot to a pager.
            if let [command] = pipeline.commands.as_slice()
                && command.redirects.is_empty()
                && is_bare_shell(command)
            {
                let range = self.place(command.range);
                self.shell_started("a program", range);
            }
        }
    }

    fn connected(&mut self, commands: &[Command]) {
        let outer = std::mem::take(&mut self.pipeline);
        self.copied(self.stdin.as_ref().map_or(0, |stdin| stdin.text.len() / 16));
        let stdin = self.stdin.clone();
        self.parallel += 1;
        self.piped += 1;
        let last = commands.len().saturating_sub(1);
        for (index, command) in commands.iter().enumerate() {
            if index == last {
                self.command(command);
            } else {
                let output = self.captured(|evaluator| evaluator.command(command));
                self.stdin = Some(output);
            }
        }
        self.parallel -= 1;
        self.piped -= 1;
        self.stdin = stdin;
        let Pipe { shell, line } = std::mem::replace(&mut self.pipeline, outer);
        match (shell, line) {
            (Some(range), Some(true)) => {
                self.emit(EffectKind::BindShell, Target::None, Qualities::NONE, range);
            }
            (Some(range), Some(false)) => {
                self.emit(EffectKind::ReverseShell, Target::None, Qualities::NONE, range);
            }
            _ => {}
        }
    }

    pub(super) fn command(&mut self, command: &Command) {
        if !self.step(command.range) {
            return;
        }
        if command.redirects.is_empty() {
            self.bare(command);
        } else {
            self.redirected(&command.redirects, command, |evaluator| evaluator.bare(command));
        }
    }

    fn bare(&mut self, command: &Command) {
        match &command.kind {
            CommandKind::Simple { assignments, words } => {
                self.simple(assignments, words, command.range);
            }
            CommandKind::Subshell(list) => {
                self.copied(self.environment.weight());
                let environment = self.environment.clone();
                self.list(list);
                // Functions and files stay known: forgetting them would only hide things.
                self.environment = environment;
            }
            CommandKind::Group(list) => self.list(list),
            CommandKind::If { branches, otherwise } => {
                for (condition, body) in branches {
                    self.list(condition);
                    self.branch(body);
                }
                if let Some(body) = otherwise {
                    self.branch(body);
                }
            }
            CommandKind::Loop { until, condition, body } => {
                self.repeat(*until, condition, body, command.range);
            }
            CommandKind::For { name, words, body, .. } => self.each(name, words.as_deref(), body),
            CommandKind::ArithmeticFor { header, body } => {
                self.counted(header, body, command.range)
            }
            CommandKind::Case { word, arms } => self.case(word, arms),
            CommandKind::Function { name, body } => self.define(name, body),
            CommandKind::Condition(words) => self.condition(words),
            CommandKind::Arithmetic(word) => {
                let value = self.arithmetic(&word.parts);
                self.status = value.is_known().then(|| value.text != b"0");
            }
            CommandKind::Coprocess { name, command } => {
                self.parallel += 1;
                let name = name.clone().unwrap_or_else(|| b"COPROC".to_vec());
                let output = self.captured(|evaluator| evaluator.command(command));
                self.files.write(&super::redirect::descriptor_path(63), output);
                self.parallel -= 1;
                let ends = [(0, Value::known("63")), (1, Value::known("60"))];
                self.environment.set(&name, Content::Array(ends.into()), false);
            }
            CommandKind::Broken(_) => self.status = None,
        }
    }

    /// `sh 1>&0 2>&0`: a shell for whoever sits at the terminal of the program that starts it.
    pub(super) fn shell_at_terminal(&mut self, command: &Command) {
        let to_input = |redirect: &Redirect| match &redirect.kind {
            RedirectKind::Duplicate { output: true, word } => word.is_literal(b"0"),
            RedirectKind::Input(word) => is_terminal(word),
            _ => false,
        };
        if !self.on_network && is_bare_shell(command) && command.redirects.iter().any(to_input) {
            let range = self.place(command.range);
            self.shell_started("a program", range);
        }
    }

    fn branch(&mut self, list: &List) {
        self.branches += 1;
        self.list(list);
        self.branches -= 1;
        self.status = None;
    }

    fn define(&mut self, name: &[u8], body: &Rc<Command>) {
        self.environment.functions.insert(name.to_vec(), Rc::clone(body));
        self.status = Some(true);
    }

    fn repeat(&mut self, until: bool, condition: &List, body: &List, range: SourceRange) {
        let mut rounds = 0;
        let endless = loop {
            self.status = None;
            let left = self.stdin.as_ref().map(|stdin| stdin.text.len());
            self.list(condition);
            let goes_on = self.status.map(|status| status != until);
            if goes_on == Some(false) {
                // A condition that fails at once may be mistaken: the body is looked at anyway.
                if rounds == 0 {
                    self.branch(body);
                }
                break false;
            }
            let before = self.work.left();
            if rounds == 0 || goes_on == Some(true) {
                self.list(body)
            } else {
                self.branch(body)
            }
            rounds += 1;
            let read = left.is_some() && left != self.stdin.as_ref().map(|stdin| stdin.text.len());
            let counts = self.status.is_some() || goes_on.is_some();
            if rounds >= MOST_ROUNDS
                || before == self.work.left()
                || !(read || counts && goes_on.is_some())
            {
                break goes_on == Some(true) && is_always_true(condition, until);
            }
            if goes_on.is_some() && is_always_true(condition, until) {
                break true;
            }
        };
        if endless && !may_leave(body, &mut self.work) {
            let forks = body.items.iter().any(|item| item.background);
            let name = if forks { "processes" } else { "processor" };
            let target = Target::Name(name.to_owned());
            if forks || !rests(body, &mut self.work) {
                let range = self.place(range);
                self.emit(
                    EffectKind::Exhaust,
                    target,
                    Qualities::ENDLESS.with_if(forks, Qualities::ALL_OF_THEM),
                    range,
                );
            }
        }
        self.status = None;
    }

    fn each(&mut self, name: &[u8], words: Option<&[Word]>, body: &List) {
        let mut values: Vec<Value> = Vec::new();
        match words {
            Some(words) => {
                for word in words {
                    for field in self.fields(word) {
                        values.push(if field.globs {
                            self.files.some_of(&field)
                        } else {
                            field.value
                        });
                    }
                }
            }
            None if self.environment.positional_unknown => {
                values.push(Value::unknown(Taint::ENVIRONMENT));
            }
            None => values.clone_from(&self.environment.positional),
        }
        for value in values.into_iter().take(MOST_ROUNDS) {
            if self.work.left() == 0 {
                break;
            }
            self.copied(super::A_COMMAND);
            let listed = !value.is_known() && value.taint.has(Taint::FILE.with(Taint::OUTPUT));
            let value = if listed { value.tainted(Taint::EACH) } else { value };
            self.environment.set(name, Content::Scalar(value), false);
            self.list(body);
        }
        self.status = None;
    }

    fn counted(&mut self, header: &Word, body: &List, range: SourceRange) {
        // The expressions are evaluated as they stand, parameters expanded each time.
        let mut parts = Vec::from([Vec::new(), Vec::new(), Vec::new()]);
        let mut index = 0;
        for part in &header.parts {
            let Part::Literal(text) = part else {
                if let Some(target) = parts.get_mut(index) {
                    target.push(part.clone());
                }
                continue;
            };
            for (position, piece) in text.split(|byte| *byte == b';').enumerate() {
                index += usize::from(position > 0);
                if let (Some(target), false) = (parts.get_mut(index), piece.is_empty()) {
                    target.push(Part::Literal(piece.to_vec()));
                }
            }
        }
        let [first, condition, step] = parts.as_slice() else { return };
        self.arithmetic(first);
        let endless = condition
            .iter()
            .all(|part| matches!(part, Part::Literal(t) if t.trim_ascii().is_empty()));
        for round in 0..MOST_ROUNDS {
            let expression = self.document(condition);
            let goes_on = match arithmetic::evaluate(self, &expression.text, 0) {
                Some(number) => number != 0,
                None => round == 0 || endless && round < 2,
            };
            if !goes_on || self.work.left() == 0 {
                break;
            }
            self.copied(super::A_COMMAND);
            self.list(body);
            self.arithmetic(step);
        }
        if endless && !may_leave(body, &mut self.work) && !rests(body, &mut self.work) {
            let target = Target::Name("processor".to_owned());
            let range = self.place(range);
            self.emit(EffectKind::Exhaust, target, Qualities::ENDLESS, range);
        }
        self.status = None;
    }

    fn case(&mut self, word: &Word, arms: &[(Vec<Word>, List)]) {
        let subject = self.text(word);
        let known = subject.is_known();
        let mut taken = false;
        for (patterns, body) in arms {
            let fits = patterns.iter().any(|word| {
                let pattern = self.pattern(word);
                self.work.spend(pattern::cost(&pattern.text, &subject.text))
                    && pattern::matches(&pattern.text, &subject.text)
            });
            // An arm that is not taken is looked at, but what it sets is one of several ways.
            if known && fits && !taken {
                taken = true;
                self.list(body);
            } else {
                self.branch(body);
            }
        }
        self.status = None;
    }

    fn condition(&mut self, words: &[Word]) {
        let values: Vec<Value> = words.iter().map(|word| self.text(word)).collect();
        if values.iter().any(|value| value.text == b"-v") {
            for value in &values {
                self.subscript(&value.text);
            }
        }
        self.status = self.tested(&values);
    }
}

/// Whether nothing but a constant is asked.
fn is_always_true(condition: &List, until: bool) -> bool {
    let [item] = condition.items.as_slice() else { return false };
    let [command] = item.first.commands.as_slice() else { return false };
    let constant: &[&[u8]] = if until { &[b"false"] } else { &[b"true", b":"] };
    match &command.kind {
        CommandKind::Simple { words, .. } => match words.as_slice() {
            [word] => constant.iter().any(|name| word.is_literal(name)),
            [open, one, ..] if open.is_literal(b"[") || open.is_literal(b"test") => {
                !until && (one.is_literal(b"1") || one.is_literal(b"true"))
            }
            _ => false,
        },
        CommandKind::Arithmetic(word) => {
            !until && matches!(word.parts.as_slice(), [Part::Literal(t)] if t.trim_ascii() == b"1")
        }
        _ => false,
    }
}

/// Whether a loop's body says how it may end.
fn may_leave(body: &List, work: &mut Work) -> bool {
    has_command(body, &[b"break", b"exit", b"return", b"exec", b"kill"], work)
}

/// Whether a loop's body waits now and then.
fn rests(body: &List, work: &mut Work) -> bool {
    has_command(
        body,
        &[
            b"sleep",
            b"read",
            b"wait",
            b"inotifywait",
            b"select",
            b"usleep",
            b"curl",
            b"wget",
            b"ssh",
            b"nc",
            b"ping",
        ],
        work,
    )
}

fn has_command(list: &List, names: &[&[u8]], work: &mut Work) -> bool {
    list.items.iter().any(|item| {
        work.spend(4);
        let pipelines =
            std::iter::once(&item.first).chain(item.rest.iter().map(|(_, pipeline)| pipeline));
        pipelines.flat_map(|pipeline| &pipeline.commands).any(|command| match &command.kind {
            CommandKind::Simple { words, .. } => {
                words.first().is_some_and(|word| names.iter().any(|name| word.is_literal(name)))
            }
            CommandKind::Subshell(list) | CommandKind::Group(list) => {
                has_command(list, names, work)
            }
            CommandKind::If { branches, otherwise } => {
                branches
                    .iter()
                    .any(|(a, b)| has_command(a, names, work) || has_command(b, names, work))
                    || otherwise.as_ref().is_some_and(|list| has_command(list, names, work))
            }
            CommandKind::Loop { condition, body, .. } => {
                has_command(condition, names, work) || has_command(body, names, work)
            }
            CommandKind::For { body, .. } | CommandKind::ArithmeticFor { body, .. } => {
                has_command(body, names, work)
            }
            CommandKind::Case { arms, .. } => {
                arms.iter().any(|(_, list)| has_command(list, names, work))
            }
            _ => false,
        })
    })
}

/// `/dev/tty`, `$(tty)`
fn is_terminal(word: &Word) -> bool {
    let asked = |list: &List| {
        let [item] = list.items.as_slice() else { return false };
        let [command] = item.first.commands.as_slice() else { return false };
        matches!(&command.kind, CommandKind::Simple { words, .. }
            if matches!(words.as_slice(), [name] if name.is_literal(b"tty")))
    };
    word.is_literal(b"/dev/tty")
        || matches!(word.parts.as_slice(), [Part::CommandSubstitution(list)] if asked(list))
}

/// Whether a command is a shell that is given nothing to run.
fn is_bare_shell(command: &Command) -> bool {
    let CommandKind::Simple { assignments, words } = &command.kind else { return false };
    let names = match words.as_slice() {
        [exec, rest @ ..] if exec.is_literal(b"exec") => rest,
        words => words,
    };
    let [name] = names else { return false };
    assignments.is_empty()
        && matches!(name.parts.as_slice(), [Part::Literal(text)] if super::simple::is_shell_path(text))
}

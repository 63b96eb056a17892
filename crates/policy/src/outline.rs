//! The parts of a program of the shell, for people who want to see how it was read.

use crate::source_range::SourceRange;
use crate::syntax;
use crate::syntax::tree::{
    AssignedValue, Chain, Command, CommandKind, Item, List, Parameter, ParameterOperator, Part,
    Pipeline, RedirectKind, Word,
};

/// How many parts are told.
const MOST: usize = 400;
/// The longest text that is outlined.
const LONGEST: usize = 128 << 10;

/// A part of a program, and the parts that it is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    /// What it is: `command`, `pipeline`, `if`, `substitution`, …
    pub what: &'static str,
    /// Where it stands.
    pub range: SourceRange,
    /// What it is made of, in order.
    pub inner: Vec<Outline>,
}

/// The outline of a program of the shell. Of very many parts, the first are told.
#[must_use]
pub fn outline(text: &[u8]) -> Vec<Outline> {
    let mut outliner = Outliner { left: MOST };
    outliner.list(&syntax::parse(text.get(..LONGEST).unwrap_or(text)))
}

struct Outliner {
    left: usize,
}

/// A part of which `inner` is made. One plain command is not told twice.
fn around(what: &'static str, range: SourceRange, mut inner: Vec<Outline>) -> Outline {
    if let [only] = inner.as_mut_slice()
        && only.what == "command"
        && only.range == range
    {
        inner = std::mem::take(&mut only.inner);
    }
    Outline { what, range, inner }
}

impl Outliner {
    fn list(&mut self, list: &List) -> Vec<Outline> {
        list.items.iter().flat_map(|item| self.item(item)).collect()
    }

    fn item(&mut self, item: &Item) -> Vec<Outline> {
        let mut found: Vec<Outline> = self.pipeline(&item.first).into_iter().collect();
        for (chain, pipeline) in &item.rest {
            let what = if *chain == Chain::And { "and then" } else { "or else" };
            let inner = self.pipeline(pipeline);
            found.extend(inner.map(|inner| around(what, inner.range, vec![inner])));
        }
        match (item.background, found.first().zip(found.last())) {
            (true, Some((first, last))) => {
                let range = first.range.join(last.range);
                vec![around("in the background", range, found)]
            }
            _ => found,
        }
    }

    fn pipeline(&mut self, pipeline: &Pipeline) -> Option<Outline> {
        let mut found: Vec<Outline> =
            pipeline.commands.iter().filter_map(|command| self.command(command)).collect();
        let range = found.first()?.range.join(found.last()?.range);
        match found.len() {
            1 if !pipeline.negated => found.pop(),
            1 => Some(around("unless", range, found)),
            _ => Some(around("pipeline", range, found)),
        }
    }

    fn command(&mut self, command: &Command) -> Option<Outline> {
        self.left = self.left.checked_sub(1)?;
        let mut inner = Vec::new();
        let what = match &command.kind {
            CommandKind::Simple { assignments, words } => {
                for assignment in assignments {
                    assignment.index.iter().for_each(|word| self.word(word, &mut inner));
                    match &assignment.value {
                        AssignedValue::Scalar(value) => self.word(value, &mut inner),
                        AssignedValue::Array(elements) => {
                            for (index, element) in elements {
                                index.iter().for_each(|word| self.word(word, &mut inner));
                                self.word(element, &mut inner);
                            }
                        }
                    }
                }
                words.iter().for_each(|word| self.word(word, &mut inner));
                if words.is_empty() { "assignment" } else { "command" }
            }
            CommandKind::Subshell(list) => {
                inner = self.list(list);
                "subshell"
            }
            CommandKind::Group(list) => {
                inner = self.list(list);
                "group"
            }
            CommandKind::If { branches, otherwise } => {
                for (condition, branch) in branches {
                    self.part("condition", condition, &mut inner);
                    self.part("then", branch, &mut inner);
                }
                if let Some(otherwise) = otherwise {
                    self.part("else", otherwise, &mut inner);
                }
                "if"
            }
            CommandKind::Loop { until, condition, body } => {
                self.part("condition", condition, &mut inner);
                self.part("body", body, &mut inner);
                if *until { "until" } else { "while" }
            }
            CommandKind::For { words, body, .. } => {
                words.iter().flatten().for_each(|word| self.word(word, &mut inner));
                self.part("body", body, &mut inner);
                "for"
            }
            CommandKind::ArithmeticFor { header, body } => {
                self.word(header, &mut inner);
                self.part("body", body, &mut inner);
                "for"
            }
            CommandKind::Case { word, arms } => {
                self.word(word, &mut inner);
                for (patterns, list) in arms {
                    patterns.iter().for_each(|word| self.word(word, &mut inner));
                    self.part("branch", list, &mut inner);
                }
                "case"
            }
            CommandKind::Function { body, .. } => {
                inner.extend(self.command(body));
                "function"
            }
            CommandKind::Condition(words) => {
                words.iter().for_each(|word| self.word(word, &mut inner));
                "test"
            }
            CommandKind::Arithmetic(expression) => {
                self.word(expression, &mut inner);
                "arithmetic"
            }
            CommandKind::Coprocess { command, .. } => {
                inner.extend(self.command(command));
                "coprocess"
            }
            CommandKind::Broken(_) => "not understood",
        };
        for redirect in &command.redirects {
            match &redirect.kind {
                RedirectKind::Input(word)
                | RedirectKind::Output(word)
                | RedirectKind::Append(word)
                | RedirectKind::ReadWrite(word)
                | RedirectKind::Both(word)
                | RedirectKind::BothAppend(word)
                | RedirectKind::Duplicate { word, .. }
                | RedirectKind::HereDocument { body: word, .. }
                | RedirectKind::HereString(word) => self.word(word, &mut inner),
            }
        }
        Some(Outline { what, range: command.range, inner })
    }

    /// A list that is a part of a command, with its own name.
    fn part(&mut self, what: &'static str, list: &List, found: &mut Vec<Outline>) {
        let inner = self.list(list);
        if let Some((first, last)) = inner.first().zip(inner.last()) {
            let range = first.range.join(last.range);
            found.push(around(what, range, inner));
        }
    }

    /// The commands within a word.
    fn word(&mut self, word: &Word, found: &mut Vec<Outline>) {
        self.parts(&word.parts, found);
    }

    fn parts(&mut self, parts: &[Part], found: &mut Vec<Outline>) {
        for part in parts {
            match part {
                Part::CommandSubstitution(list) => self.part("substitution", list, found),
                Part::ProcessSubstitution { output, list } => {
                    self.part(if *output { "writes to" } else { "reads from" }, list, found);
                }
                Part::DoubleQuoted(parts) | Part::Arithmetic(parts) => self.parts(parts, found),
                Part::Parameter(parameter) => self.parameter(parameter, found),
                Part::Literal(_) | Part::Quoted(_) | Part::TooDeep => {}
            }
        }
    }

    fn parameter(&mut self, parameter: &Parameter, found: &mut Vec<Outline>) {
        parameter.index.iter().for_each(|word| self.word(word, found));
        match &parameter.operator {
            ParameterOperator::Default { word, .. } => self.word(word, found),
            ParameterOperator::Substring { offset, length } => {
                self.word(offset, found);
                length.iter().for_each(|word| self.word(word, found));
            }
            ParameterOperator::RemovePrefix { pattern, .. }
            | ParameterOperator::RemoveSuffix { pattern, .. }
            | ParameterOperator::Case { pattern, .. } => self.word(pattern, found),
            ParameterOperator::Replace { pattern, replacement, .. } => {
                self.word(pattern, found);
                self.word(replacement, found);
            }
            ParameterOperator::None
            | ParameterOperator::Transform(_)
            | ParameterOperator::Names
            | ParameterOperator::Unknown => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(outlines: &[Outline], text: &str, depth: usize) -> String {
        let one = |outline: &Outline| {
            let source = &text[outline.range.start..outline.range.end];
            let inner = told(&outline.inner, text, depth + 1);
            format!("{}{}: {source}\n{inner}", "  ".repeat(depth), outline.what)
        };
        outlines.iter().map(one).collect()
    }

    #[test]
    fn every_part_has_its_name_and_its_place() {
        let text = "a=1; if x; then b $(c | d) > f && e; fi &";
        assert_eq!(
            told(&outline(text.as_bytes()), text, 0),
            "assignment: a=1\n\
             in the background: if x; then b $(c | d) > f && e; fi\n\
             \u{20} if: if x; then b $(c | d) > f && e; fi\n\
             \u{20}   condition: x\n\
             \u{20}   then: b $(c | d) > f && e\n\
             \u{20}     command: b $(c | d) > f\n\
             \u{20}       substitution: c | d\n\
             \u{20}         pipeline: c | d\n\
             \u{20}           command: c\n\
             \u{20}           command: d\n\
             \u{20}     and then: e\n"
        );
    }

    #[test]
    fn commands_hide_in_every_corner_of_a_word() {
        for text in [
            "${x:-$(find)}",
            "${x:$(find):1}",
            "${x:0:$(find)}",
            "${x#$(find)}",
            "${x%%$(find)}",
            "${x/$(find)/y}",
            "${x//y/$(find)}",
            "${x[$(find)]}",
            "x=([$(find)]=1)",
            "x=(1 $(find))",
            "x[$(find)]=1",
            "case x in $(find)) y;; esac",
            "\"$(( $(find) ))\"",
            "a <<< \"`find`\"",
            "a > >(find)",
            "[[ -e $(find) ]]",
            "for x in $(find); do y; done",
            "a <<X\n$(find)\nX",
        ] {
            let shown = told(&outline(text.as_bytes()), text, 0);
            assert!(shown.contains(": find\n"), "{text}: {shown}");
        }
    }

    #[test]
    fn any_text_has_an_outline_and_none_is_endless() {
        for text in ["", "(", "$(", "if", "rm -rf / \"", ")", "\0\u{fe}"] {
            let _ = outline(text.as_bytes());
        }
        assert_eq!(outline("a;".repeat(100_000).as_bytes()).len(), MOST);
        let _ = outline("$(".repeat(50_000).as_bytes());
    }
}

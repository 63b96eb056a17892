//! Puts the texts of here-documents into the tree.
//!
//! A text is read when its line ends; the redirection that it belongs to may then stand in a
//! command that is long finished or in one that is not finished yet.

use std::rc::Rc;

use super::cursor::Parser;
use super::here_document::ELSEWHERE;
use super::tree::{
    AssignedValue, Assignment, Command, CommandKind, List, Parameter, ParameterOperator, Part,
    Redirect, RedirectKind, Word,
};

impl Parser<'_> {
    pub(super) fn place_documents(&mut self, list: &mut List) {
        if !self.documents.is_empty() {
            Placement { documents: std::mem::take(&mut self.documents) }.list(list);
        }
    }

    pub(super) fn place_documents_in_word(&mut self, word: &mut Word) {
        if !self.documents.is_empty() {
            Placement { documents: std::mem::take(&mut self.documents) }.word(word);
        }
    }
}

struct Placement {
    documents: Vec<Word>,
}

impl Placement {
    fn list(&mut self, list: &mut List) {
        for item in &mut list.items {
            let pipelines =
                std::iter::once(&mut item.first).chain(item.rest.iter_mut().map(|(_, next)| next));
            for command in pipelines.flat_map(|pipeline| &mut pipeline.commands) {
                self.command(command);
            }
        }
    }

    fn command(&mut self, command: &mut Command) {
        for redirect in &mut command.redirects {
            self.redirect(redirect);
        }
        match &mut command.kind {
            CommandKind::Simple { assignments, words } => {
                for assignment in assignments {
                    self.assignment(assignment);
                }
                self.words(words);
            }
            CommandKind::Subshell(list) | CommandKind::Group(list) => self.list(list),
            CommandKind::If { branches, otherwise } => {
                for (condition, branch) in branches {
                    self.list(condition);
                    self.list(branch);
                }
                if let Some(list) = otherwise {
                    self.list(list);
                }
            }
            CommandKind::Loop { condition, body, .. } => {
                self.list(condition);
                self.list(body);
            }
            CommandKind::For { words, body, .. } => {
                self.words(words.iter_mut().flatten());
                self.list(body);
            }
            CommandKind::ArithmeticFor { header, body } => {
                self.word(header);
                self.list(body);
            }
            CommandKind::Case { word, arms } => {
                self.word(word);
                for (patterns, list) in arms {
                    self.words(patterns);
                    self.list(list);
                }
            }
            // Nobody else has it yet.
            CommandKind::Function { body, .. } => self.command(Rc::make_mut(body)),
            CommandKind::Coprocess { command, .. } => self.command(command),
            CommandKind::Condition(words) => self.words(words),
            CommandKind::Arithmetic(word) => self.word(word),
            CommandKind::Broken(_) => {}
        }
    }

    fn redirect(&mut self, redirect: &mut Redirect) {
        match &mut redirect.kind {
            RedirectKind::HereDocument { body, .. } => {
                if body.range.end == ELSEWHERE {
                    let document = self.documents.get_mut(body.range.start);
                    *body = document.map(std::mem::take).unwrap_or_default();
                }
                self.word(body);
            }
            RedirectKind::Input(word)
            | RedirectKind::Output(word)
            | RedirectKind::Append(word)
            | RedirectKind::ReadWrite(word)
            | RedirectKind::Both(word)
            | RedirectKind::BothAppend(word)
            | RedirectKind::Duplicate { word, .. }
            | RedirectKind::HereString(word) => self.word(word),
        }
    }

    fn assignment(&mut self, assignment: &mut Assignment) {
        self.words(assignment.index.as_mut());
        match &mut assignment.value {
            AssignedValue::Scalar(word) => self.word(word),
            AssignedValue::Array(elements) => {
                for (index, element) in elements {
                    self.words(index.as_mut());
                    self.word(element);
                }
            }
        }
    }

    fn words<'tree>(&mut self, words: impl IntoIterator<Item = &'tree mut Word>) {
        for word in words {
            self.word(word);
        }
    }

    fn word(&mut self, word: &mut Word) {
        self.parts(&mut word.parts);
    }

    fn parts(&mut self, parts: &mut [Part]) {
        for part in parts {
            match part {
                Part::DoubleQuoted(parts) | Part::Arithmetic(parts) => self.parts(parts),
                Part::Parameter(parameter) => self.parameter(parameter),
                Part::CommandSubstitution(list) | Part::ProcessSubstitution { list, .. } => {
                    self.list(list);
                }
                Part::Literal(_) | Part::Quoted(_) | Part::TooDeep => {}
            }
        }
    }

    fn parameter(&mut self, parameter: &mut Parameter) {
        self.words(parameter.index.as_mut());
        match &mut parameter.operator {
            ParameterOperator::Default { word, .. } => self.word(word),
            ParameterOperator::Substring { offset, length } => {
                self.word(offset);
                self.words(length.as_mut());
            }
            ParameterOperator::RemovePrefix { pattern, .. }
            | ParameterOperator::RemoveSuffix { pattern, .. }
            | ParameterOperator::Case { pattern, .. } => self.word(pattern),
            ParameterOperator::Replace { pattern, replacement, .. } => {
                self.word(pattern);
                self.word(replacement);
            }
            ParameterOperator::None
            | ParameterOperator::Transform(_)
            | ParameterOperator::Names
            | ParameterOperator::Unknown => {}
        }
    }
}

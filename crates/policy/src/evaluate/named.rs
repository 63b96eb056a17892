//! The files that commands name: what somebody approves when they approve the commands.

use super::Evaluator;
use super::expand::Field;
use super::value::Value;
use crate::context::Context;
use crate::effect::UNKNOWN;

/// How many files are told.
const MOST: usize = 512;

/// The files that a program and its arguments name, those of the commands that it starts among
/// them, as absolute paths in order. Not all of them are there, nor is all of it files.
pub(crate) fn files_named(arguments: &[Vec<u8>], context: &Context) -> Vec<Vec<u8>> {
    let mut evaluator = Evaluator::new(context);
    evaluator.named = Some(std::collections::BTreeSet::new());
    evaluator.dispatch(super::fields_of(arguments));
    evaluator.at_the_end();
    evaluator.named.unwrap_or_default().into_iter().collect()
}

impl Evaluator<'_> {
    /// Notes what the words of a command name.
    pub(super) fn note_named(&mut self, name: &Field, arguments: &[Field]) {
        if self.named.is_none() {
            return;
        }
        if name.text().contains(&b'/') {
            self.note_file(&name.value);
        }
        for field in arguments {
            let text = field.text();
            self.note_file(&field.value);
            // `--rcfile=x`, `if=x`, `@x`, `-fx`
            let parts = [
                text.iter().position(|byte| *byte == b'=').map(|at| at + 1),
                text.starts_with(b"@").then_some(1),
                (text.starts_with(b"-") && text.len() > 2).then_some(2),
            ];
            for part in parts.into_iter().flatten() {
                let part = text.get(part..).unwrap_or_default().to_vec();
                self.note_file(&Value::new(part, field.value.taint));
            }
        }
    }

    /// Notes one file.
    pub(super) fn note_file(&mut self, path: &Value) {
        let Some(named) = &self.named else { return };
        let text = &path.text;
        if named.len() >= MOST || text.is_empty() || text.contains(&UNKNOWN) || text.contains(&0) {
            return;
        }
        let path = self.resolve(path).text;
        self.copied(path.len());
        if let Some(named) = &mut self.named {
            named.insert(path);
        }
    }
}

//! What somebody looks for in a text, where that tells more than the text.

use crate::effect::{EffectKind, Qualities, Target};
use crate::evaluate::Evaluator;
use crate::evaluate::call::{Call, Options};
use crate::path_class::is_history;

/// How many calls back the program may stand that prints the text.
const MOST_STEPS: usize = 4;
/// Words that stand beside a password.
const WORDS: [&str; 8] =
    ["pass", "pwd", "secret", "token", "apikey", "api_key", "credential", "-p "];

impl Evaluator<'_> {
    /// `grep -i passw ~/.bash_history`: what was typed once is searched for what others must not
    /// know.
    pub(super) fn searched_history(&mut self, call: &Call, options: &Options<'_>) {
        let patterns = options.values("e|regexp").chain(options.operands.first().copied());
        let for_secrets = patterns.into_iter().any(|pattern| {
            let text = pattern.value.lossy().to_ascii_lowercase();
            WORDS.iter().any(|word| text.contains(word))
        });
        if !for_secrets {
            return;
        }
        let printers =
            ["cat", "strings", "tail", "head", "sort", "tac", "less", "grep", call.name.as_str()];
        let recent = self.found.calls.iter().rev().take(MOST_STEPS);
        let mut texts = recent.take_while(|earlier| printers.contains(&earlier.name.as_str()));
        if names_history(call) || self.stdin.is_some() && texts.any(names_history) {
            let target = Target::Name("passwords in a history".into());
            self.emit(EffectKind::Secret, target, Qualities::NONE, call.range);
        }
    }
}

/// Whether a call names the file in which a shell or a database keeps what was typed.
fn names_history(call: &Call) -> bool {
    call.arguments.iter().any(|field| {
        let last = field.text().rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        is_history(last) || last == b"fish_history"
    })
}

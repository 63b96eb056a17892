//! The built-in rules, found by what they are about.

use super::Rule;
use super::kind_set::KindSet;
use super::text::{Text, Texts};
use crate::effect::{EffectKind, Qualities};
use crate::evaluate::RemarkKind;
use crate::path_class::PathClass;
use ctrlz_core::verdict::Risk;

// Made by the build script from `rules/*.yaml`:
// - `TEXT`: every text, one behind the other
// - `TEXTS`: the lists of texts, one behind the other
// - `RULES`: every rule
// - `EFFECTS`, `REMARKS`: what each rule is about, beside each other to be searched
// - `PROGRAMS`: programs' names in order, each with the place of its rules in `OF_PROGRAMS`
// - `PATTERNS`: rules about programs whose names are patterns
include!(concat!(env!("OUT_DIR"), "/rules.rs"));

/// The built-in pack.
pub(crate) struct BuiltIn;

impl BuiltIn {
    pub(crate) fn all() -> &'static [Rule] {
        &RULES
    }

    /// The rules about effects of a kind.
    pub(crate) fn of_effect(kind: EffectKind) -> impl Iterator<Item = &'static Rule> {
        let about = EFFECTS.iter().zip(&RULES).filter(move |(kinds, _)| kinds.contains(kind));
        about.map(|(_, rule)| rule)
    }

    /// The rules about a spelling.
    pub(crate) fn of_remark(kind: RemarkKind) -> impl Iterator<Item = &'static Rule> {
        let about = REMARKS.iter().zip(&RULES).filter(move |(kinds, _)| kinds.contains(kind));
        about.map(|(_, rule)| rule)
    }

    /// The rules that may be about calls of a program.
    pub(crate) fn of_program(name: &str) -> impl Iterator<Item = &'static Rule> {
        let found = PROGRAMS.binary_search_by(|(text, ..)| (**text).cmp(name)).ok();
        let found = found.and_then(|at| PROGRAMS.get(at)).map(|(_, first, count)| (*first, *count));
        let (first, count) = found.unwrap_or_default();
        let named = OF_PROGRAMS.iter().skip(usize::from(first)).take(usize::from(count));
        let numbers = named.chain(&PATTERNS);
        numbers.filter_map(|number| RULES.get(usize::from(*number)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Context, Validator};

    static EXAMPLES: &[(&str, &str, bool)] = include!(concat!(env!("OUT_DIR"), "/examples.rs"));

    #[test]
    fn every_rule_matches_its_examples_and_nothing_it_must_not() {
        let mut wrong = Vec::new();
        for (id, command, expected) in EXAMPLES {
            let verdict = Validator::new(Context::default()).command(command.as_bytes());
            if verdict.findings.iter().any(|finding| finding.rule == *id) != *expected {
                let rules: Vec<_> = verdict.findings.iter().map(|f| f.rule.as_ref()).collect();
                wrong.push(format!(
                    "{id} {} {command:?}: {rules:?}",
                    if *expected { "misses" } else { "matches" }
                ));
            }
        }
        // A rule that nothing matches is none; one without a harmless twin may match anything.
        for rule in BuiltIn::all() {
            for (wanted, kind) in [(true, "match"), (false, "no_match")] {
                let shown = |(id, _, hit): &(&str, _, bool)| *hit == wanted && *id == &*rule.id;
                if !EXAMPLES.iter().any(shown) {
                    wrong.push(format!("{} has no example of {kind}", &*rule.id));
                }
            }
        }
        assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), EXAMPLES.len(), wrong.join("\n"));
    }

    #[test]
    fn ids_are_unique_and_every_rule_says_why_and_what_instead() {
        let mut seen = std::collections::HashSet::new();
        for rule in BuiltIn::all() {
            assert!(seen.insert(&*rule.id), "{} twice", rule.id);
            assert!(!rule.reason.is_empty() && !rule.hint.is_empty(), "{}", rule.id);
            let asks =
                !rule.effects.is_empty() || !rule.programs.is_empty() || !rule.remarks.is_empty();
            assert!(asks, "{} is about nothing", rule.id);
        }
    }
}

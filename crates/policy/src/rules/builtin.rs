//! The built-in rules, found by what they are about.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::OnceLock;

use ctrlz_core::verdict::Risk;

use super::Rule;
use crate::effect::{EffectKind, Qualities};
use crate::evaluate::RemarkKind;
use crate::path_class::PathClass;

/// Every built-in rule, made by the build script from `rules/*.yaml`.
static RULES: &[Rule] = include!(concat!(env!("OUT_DIR"), "/rules.rs"));

/// Rules by the program's name, and those whose name is a pattern.
static PROGRAMS: OnceLock<ByProgram> = OnceLock::new();

type ByProgram = (HashMap<&'static str, Vec<u16>>, Vec<u16>);

/// Rules by the kind of effect.
static EFFECTS: OnceLock<HashMap<EffectKind, Vec<u16>>> = OnceLock::new();

/// The built-in pack.
pub(crate) struct BuiltIn;

impl BuiltIn {
    pub(crate) fn all() -> &'static [Rule] {
        RULES
    }

    /// The rules about effects of a kind.
    pub(crate) fn of_effect(kind: EffectKind) -> impl Iterator<Item = &'static Rule> {
        let by_kind = EFFECTS.get_or_init(|| {
            let mut by_kind: HashMap<EffectKind, Vec<u16>> = HashMap::new();
            for (at, rule) in (0..).zip(RULES) {
                for kind in rule.effects.iter() {
                    by_kind.entry(*kind).or_default().push(at);
                }
            }
            by_kind
        });
        let found = by_kind.get(&kind).map(Vec::as_slice).unwrap_or_default();
        found.iter().filter_map(|at| RULES.get(usize::from(*at)))
    }

    /// The rules about a spelling.
    pub(crate) fn of_remark(kind: RemarkKind) -> impl Iterator<Item = &'static Rule> {
        RULES.iter().filter(move |rule| rule.remarks.contains(&kind))
    }

    /// The rules about calls of a program.
    pub(crate) fn of_program(name: &str) -> impl Iterator<Item = &'static Rule> {
        let (named, patterns) = PROGRAMS.get_or_init(index);
        let named = named.get(name).map(Vec::as_slice).unwrap_or_default();
        named.iter().chain(patterns).filter_map(|at| RULES.get(usize::from(*at)))
    }
}

fn index() -> ByProgram {
    let mut named: HashMap<&'static str, Vec<u16>> = HashMap::new();
    let mut patterns = Vec::new();
    for (at, rule) in (0..).zip(RULES) {
        if rule.programs.is_empty() || !rule.effects.is_empty() {
            continue;
        }
        if rule.programs.iter().any(|name| name.contains(['*', '?', '['])) {
            patterns.push(at);
            continue;
        }
        if let Cow::Borrowed(names) = &rule.programs {
            for name in *names {
                named.entry(name).or_default().push(at);
            }
        }
    }
    (named, patterns)
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
        assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), EXAMPLES.len(), wrong.join("\n"));
    }

    #[test]
    fn ids_are_unique_and_every_rule_says_why_and_what_instead() {
        let mut seen = std::collections::HashSet::new();
        for rule in BuiltIn::all() {
            assert!(seen.insert(rule.id.as_ref()), "{} twice", rule.id);
            assert!(!rule.reason.is_empty() && !rule.hint.is_empty(), "{}", rule.id);
            let asks =
                !rule.effects.is_empty() || !rule.programs.is_empty() || !rule.remarks.is_empty();
            assert!(asks, "{} is about nothing", rule.id);
        }
    }
}

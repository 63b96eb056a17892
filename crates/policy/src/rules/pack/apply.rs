//! Packs at work: what they add to a verdict, and what they change in it.
//!
//! Everything fails towards the stricter side: a condition that cannot be evaluated counts as met
//! where the rule adds or tightens, and as not met where it would loosen.

use std::borrow::Cow;
use std::cell::Cell;

use ctrlz_core::verdict::Risk;

use super::condition::{Condition, Facts};
use super::{Override, PackRule, Packs, words};
use crate::context::Context;
use crate::effect::{Qualities, Target, UNKNOWN};
use crate::evaluate::{Call, Evaluation, matches_pattern};
use crate::rules::{Cause, Rule};
use crate::source_range::SourceRange;
use crate::verdict::{Finding, Stage};

/// How much the conditions of one verdict may cost: [`EACH_CONDITION`] for each, and one for each
/// argument that it sees. The rest count as not evaluable.
const ALL_CONDITIONS: usize = 10_000;
/// See [`ALL_CONDITIONS`].
const EACH_CONDITION: usize = 16;
/// How many pairs of findings and calls are compared before nothing is allowed any more.
const MOST_PAIRS: usize = 1_000_000;

/// The packs, while one text is judged.
pub(crate) struct Application<'p> {
    packs: &'p Packs,
    text: &'p [u8],
    evaluation: &'p Evaluation,
    context: &'p Context,
    conditions: Cell<usize>,
}

/// Whether something applies, and what to tell of a condition that could not be evaluated.
enum Applies {
    No,
    Yes(Option<String>),
}

impl<'p> Application<'p> {
    pub(crate) fn new(
        packs: &'p Packs,
        text: &'p [u8],
        evaluation: &'p Evaluation,
        context: &'p Context,
    ) -> Self {
        Self { packs, text, evaluation, context, conditions: Cell::new(0) }
    }

    /// What the packs say of a finding of a built-in rule: the strictest override that applies.
    pub(crate) fn overridden(&self, finding: &mut Finding, rule: &'static Rule, cause: Cause<'_>) {
        let all = self.packs.packs.iter().flat_map(|pack| &pack.overrides);
        let mut chosen: Option<(Risk, &Override, Option<String>)> = None;
        for one in all.filter(|one| std::ptr::eq(one.built_in, rule)) {
            let Applies::Yes(note) = self.override_applies(one, cause) else { continue };
            if chosen.as_ref().is_none_or(|(risk, ..)| one.risk > *risk) {
                chosen = Some((one.risk, one, note));
            }
        }
        if let Some((risk, one, note)) = chosen {
            finding.risk = risk;
            if !one.entry.form.reason.is_empty() {
                finding.reason = Cow::Owned(one.entry.form.reason.clone());
            }
            tell(finding, note);
        }
    }

    fn override_applies(&self, one: &Override, cause: Cause<'_>) -> Applies {
        let narrowing = &one.narrowing;
        let fits = match cause {
            Cause::Effect(effect) => {
                (narrowing.effects.is_empty() || narrowing.effects.contains(effect.kind))
                    && narrowing.is_about(effect, self.context)
            }
            Cause::Call(call) => narrowing.is_about_call(call),
            Cause::Remark(_) => true,
        };
        let loosens = one.risk < one.built_in.risk;
        match fits {
            true if loosens && self.is_unknown(cause) => Applies::No,
            true => self.when(one.when.as_ref(), cause, loosens),
            false => Applies::No,
        }
    }

    /// Whether a part of it depends on what cannot be known: nobody can vouch for that.
    fn is_unknown(&self, cause: Cause<'_>) -> bool {
        match cause {
            Cause::Effect(effect) => match &effect.target {
                Target::Path { path: text, .. } | Target::Host(text) | Target::Name(text) => {
                    text.contains('\0')
                }
                Target::None => false,
            },
            Cause::Call(call) => call.arguments.iter().any(|field| field.text().contains(&UNKNOWN)),
            Cause::Remark(_) => false,
        }
    }

    fn when(&self, condition: Option<&Condition>, cause: Cause<'_>, loosens: bool) -> Applies {
        let Some(condition) = condition else { return Applies::Yes(None) };
        let answer = if self.conditions.get() < ALL_CONDITIONS {
            let facts = self.facts(cause);
            let cost = EACH_CONDITION.saturating_add(facts.arguments.len());
            self.conditions.set(self.conditions.get().saturating_add(cost));
            condition.holds(&facts)
        } else {
            Err("there are too many to evaluate".to_owned())
        };
        match answer {
            Ok(true) => Applies::Yes(None),
            Ok(false) => Applies::No,
            Err(_) if loosens => Applies::No,
            Err(error) => Applies::Yes(Some(error)),
        }
    }

    fn facts(&self, cause: Cause<'_>) -> Facts {
        let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut facts = Facts {
            workspace: lossy(&self.context.workspace),
            directory: lossy(&self.context.directory),
            home: lossy(&self.context.home),
            network: self.packs.network,
            profile: self.packs.profile.clone(),
            ..Facts::default()
        };
        let (call, qualities) = match cause {
            Cause::Call(call) => (Some(call), call.qualities),
            Cause::Remark(remark) => (self.call_around(remark.range), Qualities::NONE),
            Cause::Effect(effect) => {
                facts.effect = words::word(&effect.kind);
                match &effect.target {
                    Target::None => {}
                    Target::Path { path, class } => {
                        facts.target.clone_from(path);
                        facts.class = words::word(class);
                    }
                    Target::Host(host) => {
                        facts.target.clone_from(host);
                        facts.host.clone_from(host);
                    }
                    Target::Name(name) => facts.target.clone_from(name),
                }
                (self.call_around(effect.range), effect.qualities)
            }
        };
        facts.qualities = qualities.names().collect();
        if let Some(call) = call {
            facts.program.clone_from(&call.name);
            facts.arguments = call.arguments.iter().map(|field| lossy(field.text())).collect();
        }
        facts
    }

    /// The innermost call that a range stands in.
    fn call_around(&self, range: SourceRange) -> Option<&Call> {
        let around = self.evaluation.calls.iter().filter(|call| holds(call.range, range));
        around.min_by_key(|call| call.range.end - call.range.start)
    }

    /// What the packs' own rules find, and what they allow.
    pub(crate) fn finish(&self, findings: &mut Vec<Finding>) {
        let allowed = self.allowed();
        if !allowed.is_empty() {
            self.allow(findings, &allowed);
        }
        self.own(|rule, cause, note| {
            if !rule.entry.allow {
                let mut finding = Finding { risk: rule.risk, ..cause.finding(&rule.rule) };
                tell(&mut finding, note);
                findings.push(finding);
            }
        });
    }

    /// Calls `found` for everything that a rule of a pack is about.
    fn own(&self, mut found: impl FnMut(&'p PackRule, Cause<'p>, Option<String>)) {
        let mut ask = |rule: &'p PackRule, cause| {
            if let Applies::Yes(note) = self.when(rule.when.as_ref(), cause, rule.entry.allow) {
                found(rule, cause, note);
            }
        };
        for pack in &self.packs.packs {
            for effect in &self.evaluation.effects {
                for rule in pack.of_effect(effect.kind) {
                    if rule.rule.is_about(effect, self.context) {
                        ask(rule, Cause::Effect(effect));
                    }
                }
            }
            for call in &self.evaluation.calls {
                for rule in pack.of_program(&call.name) {
                    if rule.is_about_call(call) {
                        ask(rule, Cause::Call(call));
                    }
                }
            }
            for remark in &self.evaluation.remarks {
                for rule in pack.of_remark(remark.kind) {
                    ask(rule, Cause::Remark(remark));
                }
            }
        }
    }

    /// The calls that a pack vouches for, each with the rule that does.
    fn allowed(&self) -> Vec<(&'p Call, &'p PackRule)> {
        if !self.packs.packs.iter().any(super::Pack::allows) {
            return Vec::new();
        }
        let mut allowed = Vec::new();
        self.own(|rule, cause, _| match cause {
            Cause::Call(call) if rule.entry.allow && self.is_plain(call, rule) => {
                allowed.push((call, rule));
            }
            _ => {}
        });
        allowed
    }

    /// Whether a call is what it looks like: nothing that the shell would do besides stands in its
    /// words, nobody else does it, and the program is the one that was meant.
    fn is_plain(&self, call: &Call, rule: &PackRule) -> bool {
        const ELSEWHERE: Qualities = Qualities::PRIVILEGED
            .with(Qualities::REMOTE)
            .with(Qualities::HIDDEN)
            .with(Qualities::FROM_NETWORK);
        // As it is written: a path, quotes or an alias mean another program, or might.
        let called = self.text.get(call.name_range.start..call.name_range.end).unwrap_or_default();
        let named = called == call.name.as_bytes()
            || rule.entry.executable.iter().any(|path| path.as_bytes() == called);
        let words = self.text.get(call.range.start..call.range.end).unwrap_or(b"$");
        let speaks = |byte: &u8| {
            matches!(
                byte,
                b'<' | b'>'
                    | b'$'
                    | b'`'
                    | b'('
                    | b')'
                    | b'{'
                    | b'}'
                    | b'|'
                    | b'&'
                    | b';'
                    | b'\n'
                    | b'\\'
            )
        };
        named
            && !call.qualities.has_any(ELSEWHERE)
            && !words.iter().any(speaks)
            && !self.is_unknown(Cause::Call(call))
    }

    /// Takes medium and high findings of the built-in rules back that lie within allowed calls, and
    /// within no other. What is critical stays: only an override that names the rule lowers that.
    fn allow(&self, findings: &mut [Finding], allowed: &[(&Call, &PackRule)]) {
        let calls = &self.evaluation.calls;
        let pairs = findings.len().saturating_mul(calls.len());
        if pairs.saturating_mul(allowed.len()) > MOST_PAIRS {
            return;
        }
        let vouched = |call: &Call| allowed.iter().any(|(one, _)| std::ptr::eq(*one, call));
        for finding in findings {
            if finding.stage == Stage::Content
                || !matches!(finding.risk, Risk::Medium | Risk::High)
                || calls.iter().any(|call| overlap(call.range, finding.range) && !vouched(call))
            {
                continue;
            }
            let around = allowed.iter().find(|(call, _)| holds(call.range, finding.range));
            if let Some((_, rule)) = around {
                let allowed = format!("{}; `{}` allows it", finding.reason, &*rule.rule.id);
                finding.reason = allowed.into();
                finding.risk = Risk::Low;
            }
        }
    }

    /// Whether the rule or override with this id, as [`super::Pack`] numbers them, applies.
    pub(super) fn applies(&self, rule: &PackRule) -> bool {
        let mut applies = false;
        self.own(|one, cause, _| {
            let vouches = match cause {
                Cause::Call(call) if one.entry.allow => self.is_plain(call, one),
                _ => true,
            };
            applies |= vouches && std::ptr::eq(one, rule);
        });
        applies
    }

    /// Whether the override applies where its rule does.
    pub(super) fn changes(&self, one: &Override) -> bool {
        let applies = |cause| matches!(self.override_applies(one, cause), Applies::Yes(_));
        let rule = one.built_in;
        self.evaluation.effects.iter().any(|effect| {
            rule.effects.contains(effect.kind)
                && rule.is_about(effect, self.context)
                && applies(Cause::Effect(effect))
        }) || self
            .evaluation
            .remarks
            .iter()
            .any(|remark| rule.remarks.contains(remark.kind) && applies(Cause::Remark(remark)))
            || (rule.effects.is_empty() && rule.remarks.is_empty())
                && (self.evaluation.calls.iter())
                    .any(|call| rule.is_about_call(call) && applies(Cause::Call(call)))
    }
}

impl PackRule {
    fn is_about_call(&self, call: &Call) -> bool {
        self.rule.is_about_call(call) && self.prefix_fits(call) && self.command_fits(call)
    }

    fn prefix_fits(&self, call: &Call) -> bool {
        let Some((names, rest)) = self.entry.prefix.split_first() else { return true };
        let is_one_of =
            |names: &[String], text: &[u8]| names.iter().any(|name| name.as_bytes() == text);
        is_one_of(names, call.name.as_bytes())
            && rest.len() <= call.arguments.len()
            && rest.iter().zip(&call.arguments).all(|(names, field)| is_one_of(names, field.text()))
    }

    fn command_fits(&self, call: &Call) -> bool {
        if self.entry.command.is_empty() {
            return true;
        }
        let mut text = call.name.clone().into_bytes();
        for field in &call.arguments {
            text.push(b' ');
            text.extend_from_slice(field.text());
        }
        self.entry.command.iter().any(|pattern| {
            // `npm run *` is about `npm run`, too.
            let bare = pattern.strip_suffix(" *").filter(|rest| !rest.ends_with('\\'));
            matches_pattern(pattern.as_bytes(), &text)
                || bare.is_some_and(|bare| matches_pattern(bare.as_bytes(), &text))
        })
    }
}

fn tell(finding: &mut Finding, note: Option<String>) {
    if let Some(note) = note {
        let reason = &finding.reason;
        finding.reason =
            Cow::Owned(format!("{reason} (its condition cannot be evaluated: {note})"));
    }
}

fn holds(outer: SourceRange, inner: SourceRange) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

fn overlap(one: SourceRange, other: SourceRange) -> bool {
    one.start < other.end && other.start < one.end
}

//! Packs: rules beyond the built-in ones.
//!
//! A pack is YAML: a list of rules in the form of the built-in ones, or a mapping
//!
//! ```yaml
//! version: 1
//! rules:
//!   - id: deploy
//!     risk: high
//!     prefix: [deploy, [production, staging]]
//!     reason: it changes what customers see
//!     hint: ask the team
//!     match: ["deploy production"]
//!     no_match: ["deploy preview"]
//! overrides:
//!   - rule: push-force
//!     risk: critical
//! ```
//!
//! A rule may have keys that the built-in ones do without: `prefix` (the program and its first
//! arguments), `command` (patterns of the whole command), `when` (a condition in CEL), and `allow`
//! (it vouches for the calls that it matches, with `executable` for the paths of the program that
//! are meant besides its bare name). An override gives a built-in rule another risk, everywhere or
//! where its conditions hold.
//!
//! Of everything that applies, the strictest wins, across packs, too. A pack that only tightens
//! (see [`Standing`]) can neither lower a risk nor vouch for anything.

mod apply;
mod compile;
mod condition;
mod entry;
mod error;
mod read;
mod words;
mod write;

use std::collections::HashMap;
use std::sync::Arc;

use ctrlz_core::verdict::Risk;

pub(crate) use apply::Application;
pub(crate) use compile::escaped;
pub(crate) use entry::Entry;
pub use error::PackError;
pub(crate) use error::quoted;

use crate::context::Context;
use crate::effect::EffectKind;
use crate::evaluate::{self, RemarkKind};
use crate::rules::{BuiltIn, Rule};
use condition::Condition;

/// The longest text of a pack, in bytes.
const LONGEST: usize = 1 << 20;

/// What a pack may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Add rules, tighten the built-in ones, loosen them, and vouch for calls.
    MayLoosen,
    /// Add rules and tighten the built-in ones.
    OnlyTightens {
        /// Why, as the end of an error: "the profile `production` does not allow that".
        because: String,
    },
}

/// Rules and overrides that somebody wrote.
#[derive(Debug, Clone)]
pub struct Pack {
    name: String,
    standing: Standing,
    rules: Vec<PackRule>,
    overrides: Vec<Override>,
    notes: Vec<String>,
    /// The rules about calls by the program's name, and those whose program is a pattern.
    programs: HashMap<String, Vec<usize>>,
    patterns: Vec<usize>,
}

/// A rule of a pack.
#[derive(Debug, Clone)]
pub(crate) struct PackRule {
    pub(crate) rule: Rule,
    risk: Risk,
    entry: Entry,
    when: Option<Condition>,
    line: usize,
}

/// What a pack says of a built-in rule.
#[derive(Debug, Clone)]
pub(crate) struct Override {
    built_in: &'static Rule,
    risk: Risk,
    narrowing: Rule,
    when: Option<Condition>,
    line: usize,
    entry: Entry,
}

/// One rule as it is shown, built in or of a pack.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Shown {
    /// Its name: `id`, or `pack/id`.
    pub rule: String,
    /// The pack, `built-in` for the rules that are always there.
    pub pack: String,
    /// The family of a built-in rule, the name of a pack.
    pub family: String,
    /// How much it says that is risked.
    pub risk: Risk,
    /// Whether it vouches for what it matches, and may.
    pub allows: bool,
    /// The built-in rule that it is about, for an override.
    pub overrides: Option<String>,
    /// Why.
    pub reason: String,
    /// What to do instead.
    pub hint: String,
    /// As it is written.
    pub yaml: String,
    /// Commands that it must match.
    #[serde(rename = "match")]
    pub matches: Vec<String>,
    /// Commands that it must not match.
    pub no_match: Vec<String>,
}

impl Pack {
    /// Reads a pack and checks its examples. `name` stands before the ids of its rules.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, with its place.
    pub fn parse(name: &str, text: &str, standing: Standing) -> Result<Self, PackError> {
        let pack = Self::parse_unchecked(name, text, standing)?;
        match pack.failing_examples().into_iter().next() {
            Some(error) => Err(error),
            None => Ok(pack),
        }
    }

    /// Reads a pack whose examples may fail; see [`Pack::failing_examples`].
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, with its place.
    pub fn parse_unchecked(name: &str, text: &str, standing: Standing) -> Result<Self, PackError> {
        let fail = |message: &str| PackError {
            pack: name.to_owned(),
            line: 1,
            rule: None,
            key: None,
            message: message.to_owned(),
        };
        if !compile::is_name(name) || name == "built-in" {
            return Err(fail("a pack's name is of letters, digits, `-`, `_` and `.`"));
        }
        if text.len() > LONGEST {
            return Err(fail("it is longer than a pack can be (1 MiB)"));
        }
        let document = read::document(name, text)?;
        let mut pack = Self::empty(name, standing);
        pack.notes = document.notes;
        let mut seen: HashMap<String, usize> = HashMap::new();
        for written in document.rules {
            let (id, line) = (written.entry.form.id.clone(), written.line);
            if let Some(first) = seen.get(&id) {
                let message = format!("there is a rule of that name in line {first} already");
                return Err(written.error(name, "id", message));
            }
            pack.add(compile::rule(name, written)?);
            seen.insert(id, line);
        }
        for written in document.overrides {
            pack.overrides.push(compile::over(name, written, &pack.standing)?);
        }
        Ok(pack)
    }

    fn empty(name: &str, standing: Standing) -> Self {
        Self {
            name: name.to_owned(),
            standing,
            rules: Vec::new(),
            overrides: Vec::new(),
            notes: Vec::new(),
            programs: HashMap::new(),
            patterns: Vec::new(),
        }
    }

    fn add(&mut self, rule: PackRule) {
        let at = self.rules.len();
        if rule.rule.programs.iter().any(|name| name.contains(['*', '?', '['])) {
            self.patterns.push(at);
        } else {
            for name in rule.rule.programs.iter() {
                self.programs.entry(name.to_string()).or_default().push(at);
            }
        }
        self.rules.push(rule);
    }

    /// A pack of entries that were translated from another tool's rules. Its text, read again, is
    /// the same pack.
    pub(crate) fn of_entries(
        name: &str,
        entries: Vec<Entry>,
        notes: Vec<String>,
    ) -> Result<Self, PackError> {
        Self::parse_unchecked(name, &write::document(&entries, &[], &notes), Standing::MayLoosen)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What there is to tell its reader: what an importer could not translate.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Its text, in the form that [`Pack::parse`] reads.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        let rules: Vec<Entry> = self.rules.iter().map(|rule| rule.entry.clone()).collect();
        let overrides: Vec<Entry> = self.overrides.iter().map(|one| one.entry.clone()).collect();
        write::document(&rules, &overrides, &self.notes)
    }

    /// The examples that fail: commands that a rule must match and does not, or the reverse.
    #[must_use]
    pub fn failing_examples(&self) -> Vec<PackError> {
        let alone = |network, profile: &str| {
            let mut one = self.clone();
            // An example tells what a rule is about, not what its pack may do here.
            one.standing = Standing::MayLoosen;
            Packs::new(vec![one]).with_network(network).with_profile(profile)
        };
        // A condition may ask for the network or the profile: somewhere it must hold.
        let conditional = self.rules.iter().any(|rule| rule.when.is_some())
            || self.overrides.iter().any(|one| one.when.is_some());
        let mut places = vec![alone(false, "development")];
        if conditional {
            places.push(alone(true, "development"));
            for profile in ["testing", "production", "high-security"] {
                places.extend([alone(false, profile), alone(true, profile)]);
            }
        }
        let context = Context::default();
        let mut failing = Vec::new();
        let mut check = |entry: &Entry, line, applies: &dyn Fn(&Packs, &[u8]) -> bool| {
            let form = &entry.form;
            for (list, key) in [(&form.matches, "match"), (&form.no_match, "no_match")] {
                for command in list {
                    let found = places.iter().any(|place| applies(place, command.as_bytes()));
                    if found != (key == "match") {
                        let verb = if found { "matches" } else { "does not match" };
                        failing.push(PackError {
                            pack: self.name.clone(),
                            line,
                            rule: Some(form.id.clone()),
                            key: Some(key.to_owned()),
                            message: format!("it {verb} {}", quoted(command)),
                        });
                    }
                }
            }
        };
        for (at, rule) in self.rules.iter().enumerate() {
            check(&rule.entry, rule.line, &|packs, text| {
                let Some(rule) = packs.packs.first().and_then(|pack| pack.rules.get(at)) else {
                    return false;
                };
                let evaluation = evaluate::shell(text, &context);
                Application::new(packs, text, &evaluation, &context).applies(rule)
            });
        }
        for (at, one) in self.overrides.iter().enumerate() {
            check(&one.entry, one.line, &|packs, text| {
                let Some(one) = packs.packs.first().and_then(|pack| pack.overrides.get(at)) else {
                    return false;
                };
                let evaluation = evaluate::shell(text, &context);
                Application::new(packs, text, &evaluation, &context).changes(one)
            });
        }
        failing
    }

    /// Its rules and overrides, to be shown.
    #[must_use]
    pub fn shown(&self) -> Vec<Shown> {
        let rules = self.rules.iter().map(|rule| Shown {
            rule: rule.rule.id.to_string(),
            risk: rule.risk,
            allows: rule.entry.allow && self.may_loosen(),
            overrides: None,
            ..self.shown_entry(&rule.entry, false)
        });
        let overrides = self.overrides.iter().map(|one| Shown {
            rule: format!("{}/{}", self.name, one.built_in.id),
            risk: one.risk,
            allows: one.entry.allow,
            overrides: Some(one.built_in.id.to_string()),
            ..self.shown_entry(&one.entry, true)
        });
        rules.chain(overrides).collect()
    }

    fn shown_entry(&self, entry: &Entry, is_override: bool) -> Shown {
        Shown {
            rule: String::new(),
            pack: self.name.clone(),
            family: self.name.clone(),
            risk: Risk::Low,
            allows: false,
            overrides: None,
            reason: entry.form.reason.clone(),
            hint: entry.form.hint.clone(),
            yaml: write::entry(entry, if is_override { "rule" } else { "id" }),
            matches: entry.form.matches.clone(),
            no_match: entry.form.no_match.clone(),
        }
    }

    fn may_loosen(&self) -> bool {
        self.standing == Standing::MayLoosen
    }

    /// Whether it vouches for anything.
    fn allows(&self) -> bool {
        self.may_loosen() && self.rules.iter().any(|rule| rule.entry.allow)
    }

    fn in_force(&self) -> impl Iterator<Item = &PackRule> {
        self.rules.iter().filter(|rule| self.may_loosen() || !rule.entry.allow)
    }

    fn of_effect(&self, kind: EffectKind) -> impl Iterator<Item = &PackRule> {
        self.in_force().filter(move |rule| rule.rule.effects.contains(kind))
    }

    fn of_remark(&self, kind: RemarkKind) -> impl Iterator<Item = &PackRule> {
        self.in_force().filter(move |rule| rule.rule.remarks.contains(kind))
    }

    fn of_program(&self, name: &str) -> impl Iterator<Item = &PackRule> {
        let named = self.programs.get(name).map(Vec::as_slice).unwrap_or_default();
        let found = named.iter().chain(&self.patterns).filter_map(|at| self.rules.get(*at));
        found.filter(|rule| self.may_loosen() || !rule.entry.allow)
    }
}

/// Packs that are in force together, and what their conditions can ask about besides the text.
#[derive(Debug, Clone)]
pub struct Packs {
    packs: Vec<Pack>,
    network: bool,
    profile: String,
}

impl Packs {
    /// These packs, without a network, under the profile `development`.
    #[must_use]
    pub fn new(packs: Vec<Pack>) -> Self {
        Self { packs, network: false, profile: "development".to_owned() }
    }

    /// Whether the network is on.
    #[must_use]
    pub fn with_network(mut self, network: bool) -> Self {
        self.network = network;
        self
    }

    /// The profile in force.
    #[must_use]
    pub fn with_profile(mut self, profile: &str) -> Self {
        profile.clone_into(&mut self.profile);
        self
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.packs.is_empty()
    }

    /// The packs.
    #[must_use]
    pub fn packs(&self) -> &[Pack] {
        &self.packs
    }

    /// As a validator keeps them: nothing when there are none.
    pub(crate) fn shared(self) -> Option<Arc<Self>> {
        (!self.packs.is_empty()).then(|| Arc::new(self))
    }
}

/// The built-in rules, to be shown.
#[must_use]
pub fn built_in() -> Vec<Shown> {
    let documents =
        BUILT_IN_TEXTS.iter().filter_map(|(name, text)| read::document(name, text).ok());
    let entries: HashMap<String, Entry> = documents
        .flat_map(|document| document.rules)
        .map(|written| (written.entry.form.id.clone(), written.entry))
        .collect();
    let entry = |rule: &Rule| entries.get(&*rule.id).cloned().unwrap_or_default();
    BuiltIn::all().iter().map(|rule| shown_built_in(rule, entry(rule))).collect()
}

fn shown_built_in(rule: &Rule, entry: Entry) -> Shown {
    Shown {
        rule: rule.id.to_string(),
        pack: "built-in".to_owned(),
        family: rule.family.to_string(),
        risk: rule.risk,
        allows: false,
        overrides: None,
        reason: rule.reason.to_string(),
        hint: rule.hint.to_string(),
        yaml: write::entry(&entry, "id"),
        matches: entry.form.matches,
        no_match: entry.form.no_match,
    }
}

/// The families and their texts, for those who want to read them.
static BUILT_IN_TEXTS: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/texts.rs"));

#[cfg(test)]
mod tests;

//! What happened in a sandbox before, and how much it weighs.
//!
//! History only adds findings, so it never lowers a risk.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};

use ctrlz_core::verdict::Risk;
use ctrlz_core::verdict_record::{EffectRecord, VerdictRecord};

use crate::effect::EffectKind;
use crate::verdict::{Finding, Stage, Verdict};

/// From how many commands that deleted something lately on the next one is one of a burst.
const MANY_DELETING: u32 = 5;
/// The same for all that they deleted together.
const MANY_DELETED: u64 = 1_000;
/// How many steps above a path are looked at.
const MOST_STEPS: usize = 24;

/// What is remembered of the operations before this one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct History {
    /// How many commands ran.
    pub commands: u32,
    /// The programs that they called.
    pub programs: BTreeSet<String>,
    /// Commands that were not let run, and that nobody approved since.
    pub refusals: Vec<VerdictRecord>,
    /// What was deleted lately.
    pub deletions: Deletions,
}

/// What was deleted within a short time, which whoever remembers chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Deletions {
    /// How many operations deleted something.
    pub operations: u32,
    /// How many files and folders they deleted.
    pub entries: u64,
}

impl History {
    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds what it says of a verdict to the verdict's findings.
    pub(crate) fn weigh(&self, findings: &mut Vec<Finding>, deletes: bool) {
        let mut added = Vec::new();
        if let Some(again) = self.tried_again(findings) {
            added.push(again);
        }
        if let Some(first) = self.first_use(findings) {
            added.push(first);
        }
        let Deletions { operations, entries } = self.deletions;
        if deletes && (operations >= MANY_DELETING || entries >= MANY_DELETED) {
            added.push(Finding {
                rule: Cow::Borrowed("deletion-burst"),
                risk: Risk::Medium,
                subject: format!("{operations} operations deleted {entries} entries"),
                reason: Cow::Borrowed("it goes on deleting after much was deleted lately"),
                hint: Cow::Borrowed("look at what is gone with `ctrlz diff` first"),
                ..Finding::of(Stage::Risk)
            });
        }
        findings.append(&mut added);
    }

    /// The first use of a program is worth a word when a finding is about that program.
    fn first_use(&self, findings: &[Finding]) -> Option<Finding> {
        // The first command of a sandbox is new as a whole, and that says nothing.
        let finding = findings.iter().filter(|_| self.commands > 0).find(|finding| {
            finding.risk > Risk::Low
                && !finding.program.is_empty()
                && !self.programs.contains(&finding.program)
        })?;
        Some(Finding {
            rule: Cow::Borrowed("first-use"),
            risk: Risk::Low,
            range: finding.range,
            subject: finding.program.clone(),
            program: finding.program.clone(),
            reason: Cow::Borrowed("no command used this program in this sandbox lately"),
            hint: Cow::Borrowed("see whether it belongs to the work at hand"),
            ..Finding::of(Stage::Risk)
        })
    }

    /// The gravest refusal that one of the findings repeats in other words.
    fn tried_again(&self, findings: &[Finding]) -> Option<Finding> {
        let refused = Refused::of(&self.refusals);
        let (risk, finding) = findings
            .iter()
            .filter_map(|finding| Some((refused.risk_of(finding)?, finding)))
            .max_by_key(|(risk, _)| *risk)?;
        Some(Finding {
            rule: Cow::Borrowed("tried-again"),
            risk,
            range: finding.range,
            subject: finding.subject.clone(),
            program: finding.program.clone(),
            reason: Cow::Borrowed("the same was refused in this sandbox before, in other words"),
            hint: Cow::Borrowed("ask whoever refused it, instead of another way to do it"),
            ..Finding::of(Stage::Risk)
        })
    }
}

/// What was refused, by what it was about.
#[derive(Default)]
struct Refused<'h> {
    targets: HashMap<(&'static str, &'h str), Risk>,
    programs: HashMap<(&'static str, &'h str), Risk>,
}

impl<'h> Refused<'h> {
    fn of(refusals: &'h [VerdictRecord]) -> Self {
        let mut refused = Self::default();
        for record in refusals {
            for effect in &record.effects {
                let group = group_named(&effect.kind);
                if !group.is_empty() {
                    let target = refused.targets.entry((group, plain(&effect.target)));
                    let risk = target.or_default();
                    *risk = record.risk.max(*risk);
                }
                if !effect.program.is_empty() {
                    let risk = refused.programs.entry((group, &effect.program)).or_default();
                    *risk = record.risk.max(*risk);
                }
            }
        }
        refused
    }

    /// The gravest refusal of the same, when there was one.
    fn risk_of(&self, finding: &Finding) -> Option<Risk> {
        // What has no finding of the first stages repeats no effect.
        if matches!(finding.stage, Stage::Content | Stage::Risk)
            || self.targets.is_empty() && self.programs.is_empty()
        {
            return None;
        }
        let group = finding.effect.map_or("", group);
        let target = plain(&finding.subject);
        let same = match group {
            "" => None,
            group => self.targets.get(&(group, target)),
        };
        // Below a refused folder, or with a refused program: when it is risky by itself, too.
        let risky = finding.risk > Risk::Low;
        let above = Some(()).filter(|()| risky && !group.is_empty()).and_then(|()| {
            let above = std::iter::successors(parent(target), |path| parent(path));
            above.take(MOST_STEPS).find_map(|path| self.targets.get(&(group, path)))
        });
        let program = self
            .programs
            .get(&(group, finding.program.as_str()))
            .filter(|_| risky && !finding.program.is_empty());
        [same, above, program].into_iter().flatten().max().copied()
    }
}

/// A target without what says "all that is in it".
fn plain(target: &str) -> &str {
    let shorter = target.trim_end_matches(['*', '.']);
    match shorter.strip_suffix('/') {
        Some("") => "/",
        Some(folder) => folder,
        None => target,
    }
}

/// The folder that a path lies in; none for what lies in the root, of which everything is a part.
fn parent(path: &str) -> Option<&str> {
    let (folder, _) = path.rsplit_once('/')?;
    (folder.len() > 1 && folder.starts_with('/')).then_some(folder)
}

/// Effects that are each other in other words.
fn group(kind: EffectKind) -> &'static str {
    match kind {
        EffectKind::Write
        | EffectKind::Overwrite
        | EffectKind::Delete
        | EffectKind::Wipe
        | EffectKind::Permission
        | EffectKind::Owner
        | EffectKind::Persist => "change",
        EffectKind::NetworkCode | EffectKind::DecodedCode | EffectKind::ComputedCode => "code",
        EffectKind::ReverseShell
        | EffectKind::BindShell
        | EffectKind::Listen
        | EffectKind::Connect => "line",
        EffectKind::Read | EffectKind::Secret | EffectKind::Send => "secret",
        kind => kind.word(),
    }
}

fn group_named(word: &str) -> &'static str {
    EffectKind::named(word).map_or("", group)
}

/// How many rules, programs and effects a record holds, and how long its texts are.
const MOST_RECORDED: usize = 32;
const LONGEST_RECORDED: usize = 200;

impl Verdict {
    /// Whether the history of the sandbox could add anything.
    #[must_use]
    pub fn wants_history(&self) -> bool {
        self.risk > Risk::Low || self.deletes()
    }

    pub(crate) fn deletes(&self) -> bool {
        self.effects.iter().any(|effect| effect.kind == EffectKind::Delete)
    }

    /// The same verdict with what the history of the sandbox adds: never a lower one.
    #[must_use]
    pub fn in_light_of(mut self, history: &History) -> Self {
        if history.is_empty() || !self.wants_history() {
            return self;
        }
        let deletes = self.deletes();
        history.weigh(&mut self.findings, deletes);
        Self { coverage: self.coverage, ..Self::from_findings(self.findings, self.effects) }
            .with_programs(self.programs)
    }

    /// What a journal keeps of it: short, and without secrets.
    #[must_use]
    pub fn record(&self) -> VerdictRecord {
        let short = |text: &str| -> String {
            let end = text.floor_char_boundary(LONGEST_RECORDED);
            text.get(..end).unwrap_or_default().to_owned()
        };
        let mut seen = HashSet::new();
        let rules = self.findings.iter().map(|finding| finding.rule.as_ref());
        let rules = rules.filter(|rule| seen.insert(*rule)).take(MOST_RECORDED).map(short);
        // Only what makes it as risky as it is: what else stands in the same text was not refused.
        let about = || {
            let findings = self.findings.iter().filter(|finding| finding.risk > Risk::Low);
            findings.filter(|finding| !matches!(finding.stage, Stage::Content | Stage::Risk))
        };
        let lifted = |finding: &Finding| finding.stage == Stage::Risk && finding.risk == self.risk;
        let gravest = match self.findings.iter().any(lifted) {
            true => about().map(|finding| finding.risk).max().unwrap_or(self.risk),
            false => self.risk,
        };
        let mut effects: Vec<EffectRecord> = Vec::new();
        for finding in about().filter(|finding| finding.risk == gravest) {
            let effect = EffectRecord {
                kind: finding.effect.map(EffectKind::word).unwrap_or_default().to_owned(),
                target: short(&finding.subject.replace('\0', "…")),
                program: short(&finding.program),
            };
            if !effects.contains(&effect) {
                effects.push(effect);
            }
            if effects.len() == MOST_RECORDED {
                break;
            }
        }
        VerdictRecord {
            risk: self.risk,
            decision: self.decision,
            score: self.score,
            rules: rules.collect(),
            programs: self.programs.iter().take(MOST_RECORDED).map(|name| short(name)).collect(),
            effects,
            beyond_undo: (self.coverage.beyond_undo.iter().take(MOST_RECORDED))
                .map(|one| short(&one.to_string()))
                .collect(),
            approval: None,
            // Whoever read the files says which they were.
            configuration: Vec::new(),
        }
    }
}

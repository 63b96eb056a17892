//! What the validator says of an event.

use std::path::{Path, PathBuf};

use ctrlz_core::verdict::Risk;
use ctrlz_core::verdict_record::VerdictRecord;
use ctrlz_policy::{Context, Finding, Validator, Verdict, redact};

use super::event::{Act, Event};
use crate::commands::check::language_of;
use crate::commands::{past, policy};
use crate::failure::Failure;
use crate::judging;
use crate::show::visible;

/// How many reasons are told.
const MOST_REASONS: usize = 3;

/// What the validator says of all that a tool is about to do.
#[derive(Debug, Default)]
pub(super) struct Opinion {
    /// Of what it does at once.
    pub(super) risk: Risk,
    /// Why, for people, without secrets.
    pub(super) reasons: String,
    /// What a history keeps of it.
    pub(super) record: VerdictRecord,
    /// Of what a script does that it only writes, when that is more: the risk, why, and what a
    /// history keeps of it.
    pub(super) later: Option<(Risk, String, VerdictRecord)>,
    /// Whether there was anything to judge.
    pub(super) has_acts: bool,
}

pub(super) fn judge(event: &Event) -> Result<Opinion, String> {
    let contexts = contexts(&event.folder);
    // A pack that cannot be read is an error, and an error denies.
    let found = policy::packs_in(&event.folder, None).map_err(Failure::into_message)?;
    let (packs, configuration) = found;
    let mut opinion = Opinion { has_acts: !event.acts.is_empty(), ..Opinion::default() };
    for context in contexts {
        let validator = Validator::with_packs(context, packs.clone());
        for act in &event.acts {
            let (verdict, later) = of_act(&validator, act, &event.folder);
            let verdict = past::weighed(verdict, &event.folder).map_err(Failure::into_message)?;
            opinion.add(&verdict);
            if let Some(verdict) = later.filter(|later| later.risk > Risk::Medium)
                && opinion.later.as_ref().is_none_or(|(risk, ..)| *risk < verdict.risk)
            {
                opinion.later = Some((verdict.risk, reasons(&verdict), verdict.record()));
            }
        }
    }
    if let Some((_, _, record)) = &mut opinion.later {
        record.configuration.clone_from(&configuration);
    }
    opinion.record.configuration = configuration;
    Ok(opinion)
}

impl Opinion {
    fn add(&mut self, verdict: &Verdict) {
        if verdict.risk > self.risk {
            let (risk, reasons, record) = (verdict.risk, reasons(verdict), verdict.record());
            *self = Self { risk, reasons, record, ..std::mem::take(self) };
        }
    }
}

/// What an act does, and what a script does that it writes.
fn of_act(validator: &Validator, act: &Act, folder: &Path) -> (Verdict, Option<Verdict>) {
    match act {
        Act::Shell(text) => (validator.command(text.as_bytes()), None),
        Act::Program(words) => {
            let words: Vec<Vec<u8>> = words.iter().map(|word| word.clone().into_bytes()).collect();
            (validator.arguments(&words), None)
        }
        Act::Write { path, content, adds } => {
            let write = |path: &Path| {
                validator.write(path.as_os_str().as_encoded_bytes(), content.as_bytes(), *adds)
            };
            let script = language_of(Path::new(path), content.as_bytes())
                .map(|language| validator.program(language.name(), content.as_bytes()));
            (graver(write(Path::new(path)), real(folder, path).map(|path| write(&path))), script)
        }
        Act::Delete { path } => {
            let delete = |path: &Path| {
                let path = path.as_os_str().as_encoded_bytes().to_vec();
                validator.arguments(&[b"rm".to_vec(), b"--".to_vec(), path])
            };
            (graver(delete(Path::new(path)), real(folder, path).map(|path| delete(&path))), None)
        }
    }
}

fn graver(one: Verdict, other: Option<Verdict>) -> Verdict {
    match other {
        Some(other) if other.risk > one.risk => other,
        _ => one,
    }
}

/// Where a file really lies, when symbolic links lead elsewhere.
fn real(folder: &Path, path: &str) -> Option<PathBuf> {
    let path = folder.join(path);
    let (name, parent) = (path.file_name()?, path.parent()?);
    let real = path.canonicalize().or_else(|_| parent.canonicalize().map(|p| p.join(name))).ok()?;
    // A workspace that is itself reached through a link is no reason for suspicion.
    let inside = folder.canonicalize().ok()?;
    let seen = real.strip_prefix(&inside).map_or(real.clone(), |below| folder.join(below));
    (seen != path).then_some(seen)
}

/// Where the agent works: in the project that it names, if it does, else where it stands.
fn contexts(folder: &Path) -> Vec<Context> {
    let project = std::env::var_os("CLAUDE_PROJECT_DIR").map(PathBuf::from);
    let project = project.filter(|project| project.is_absolute());
    let workspace = judging::in_folder(project.as_deref().unwrap_or(folder)).workspace;
    let directory = folder.as_os_str().as_encoded_bytes().to_vec();
    vec![Context { workspace, directory, ..judging::in_folder(folder) }]
}

/// The gravest findings in words.
fn reasons(verdict: &Verdict) -> String {
    let same = |finding: &&Finding| finding.risk == verdict.risk;
    let told: Vec<String> = verdict
        .findings
        .iter()
        .filter(same)
        .take(MOST_REASONS)
        .map(|finding| {
            let subject = visible(&redact(&finding.subject));
            let about = if subject.is_empty() { subject } else { format!(" ({subject})") };
            let Finding { risk, reason, rule, hint, .. } = finding;
            format!("{risk} risk: {reason}{about} [{rule}]; instead: {hint}")
        })
        .collect();
    told.join(". ")
}

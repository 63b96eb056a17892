//! What checks of the archive of this host came to, written down so that `ctrlz health` can tell it
//! without reading what is archived.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ctrlz_archive::archiver::Archived;
use ctrlz_archive::image::annotation;
use ctrlz_archive::place::{Directory, Place};
use ctrlz_archive::snapshot::Listed;
use ctrlz_archive::verify::Verified;
use ctrlz_core::health::{ArchiveFacts, NewestArchived};
use ctrlz_core::span::Span;
use ctrlz_core::time::Timestamp;
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use super::pin;
use super::policy::{self, Lying};
use super::setting::Setting;
use super::snapshot_name::parted;
use super::troubles::{Collections, Troubles};
use crate::clock;
use crate::context::Context;
use crate::failure::{Failure, OWN_FAILURE, REFUSED};
use crate::show::plain;

const FILE: &str = "checks.json";

/// How the name of an encrypted snapshot begins, which says nothing else.
const ENCRYPTED: &str = "e-";

/// What is known of what lies in an archive, by the name that each snapshot has there.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Checks {
    snapshots: BTreeMap<String, Checked>,
    /// What the policy asks for and could not be done.
    #[serde(default)]
    pub(super) troubles: Troubles,
    #[serde(default)]
    pub(super) collections: Collections,
}

/// What is known of one snapshot.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Checked {
    /// Its real name, where an encrypted archive has another.
    name: Option<String>,
    /// When it was made, as its manifest says.
    created: Option<String>,
    /// What the last check of its blobs came to.
    verified: Option<Outcome>,
    /// What the last restoring of it came to.
    drilled: Option<Outcome>,
    /// Why it was archived when no user asked for it.
    #[serde(default)]
    automatic: Option<Automatic>,
    /// Whether it stays although nobody asked for it: a user took or tagged what it is of.
    #[serde(default)]
    kept: bool,
    /// The further places that it was sent to.
    #[serde(default)]
    sent: BTreeSet<String>,
}

/// Why a snapshot is in the archive that no user asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Automatic {
    /// It was taken and archived before a command of high risk.
    Backup,
    /// The policy asks for it.
    Policy,
}

impl Automatic {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Policy => "policy",
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Outcome {
    at: Timestamp,
    /// What was wrong; nothing when all was well.
    fault: Option<String>,
}

impl Outcome {
    fn now(fault: Option<String>) -> Self {
        Self { at: clock::now(), fault }
    }
}

/// What to go by for which of a sandbox's snapshots is the newest: when it was made, then its number.
pub(super) fn age_of<'a>(created: Option<&'a str>, name: &str) -> (Option<&'a str>, Option<u64>) {
    (created, parted(name).1)
}

/// Whether a name in the archive is one that snapshots have.
fn is_snapshot(reference: &str) -> bool {
    parted(reference).1.is_some() || reference.starts_with(ENCRYPTED)
}

impl Checks {
    /// That a snapshot lies there, and who asked for that. What a user asked for stays theirs,
    /// whoever else archives it, too.
    pub(super) fn lies(&mut self, archived: &Archived, asked: Option<Automatic>) {
        let snapshot = &archived.snapshot;
        let checked = self.of(&snapshot.reference);
        checked.name = Some(snapshot.name.clone());
        checked.created = snapshot.manifest.annotations.get(annotation::CREATED).cloned();
        match asked {
            None => checked.automatic = None,
            Some(_) if archived.was_there => {}
            Some(why) => checked.automatic = Some(why),
        }
    }

    /// That a copy of it lies elsewhere.
    pub(super) fn sent(&mut self, reference: &str, address: &str) {
        self.of(reference).sent.insert(address.to_owned());
    }

    /// That it stays, whoever archived it.
    pub(super) fn keep(&mut self, reference: &str) {
        self.of(reference).kept = true;
    }

    /// The snapshots there whose names are known.
    pub(super) fn lying(&self) -> Vec<Lying<'_>> {
        fn lying<'c>((reference, checked): (&'c String, &'c Checked)) -> Option<Lying<'c>> {
            let (reference, name) = (reference.as_str(), checked.name.as_deref());
            let name = name.unwrap_or(reference);
            let (sandbox, number) = parted(name);
            let (automatic, kept, sent) = (checked.automatic, checked.kept, &checked.sent);
            let created = checked.created.as_deref();
            let number = number?;
            Some(Lying { reference, name, sandbox, number, created, automatic, kept, sent })
        }
        self.snapshots.iter().filter_map(lying).collect()
    }

    /// Why it was archived, when no user asked for it.
    pub(super) fn automatic(&self, reference: &str) -> Option<Automatic> {
        self.snapshots.get(reference)?.automatic
    }

    /// The newest snapshot of each sandbox whose last drill is longer ago than `every`.
    pub(super) fn undrilled(&self, now: Timestamp, every: Span) -> Vec<String> {
        let is_due = |newest: &NewestArchived| newest.drilled.is_none_or(|age| age.0 >= every.0);
        self.facts(now).newest.into_iter().filter(is_due).map(|newest| newest.name).collect()
    }

    /// That a listing told of a snapshot.
    pub(super) fn listed(&mut self, listed: &Listed) {
        let checked = self.of(&listed.reference);
        checked.name = listed.name.clone().or_else(|| checked.name.take());
        checked.created.clone_from(&listed.created);
    }

    /// What reading all blobs that `names` lead to came to. When only a sample was read, what was
    /// found damaged before may still be.
    pub(super) fn verified(&mut self, names: &[String], done: &Verified) {
        let found = |name: &String| {
            let of = |fault: &&ctrlz_archive::verify::Fault| fault.names.contains(name);
            done.faults.iter().find(of).map(|fault| fault.error.to_string())
        };
        for name in names {
            let fault = found(name);
            if fault.is_some() || done.left_out.0 == 0 {
                self.of(name).verified = Some(Outcome::now(fault));
            }
        }
    }

    /// What restoring a snapshot came to.
    pub(super) fn drilled(&mut self, reference: &str, fault: Option<String>) {
        self.of(reference).drilled = Some(Outcome::now(fault));
    }

    fn of(&mut self, reference: &str) -> &mut Checked {
        self.snapshots.entry(reference.to_owned()).or_default()
    }

    /// Of these names only, with those that nothing is written down of.
    fn of_names(&mut self, names: BTreeSet<String>) {
        self.snapshots.retain(|reference, _| names.contains(reference));
        for name in names {
            if is_snapshot(&name) {
                self.of(&name);
            }
        }
    }

    fn facts(&self, now: Timestamp) -> ArchiveFacts {
        let mut facts = ArchiveFacts::default();
        let mut newest: BTreeMap<&str, (&str, &Checked)> = BTreeMap::new();
        let mut drilled: BTreeMap<&str, Timestamp> = BTreeMap::new();
        for (reference, checked) in &self.snapshots {
            let name = checked.name.as_deref().unwrap_or(reference);
            for outcome in [&checked.verified, &checked.drilled].into_iter().flatten() {
                if let Some(fault) = &outcome.fault {
                    facts.damaged.push((name.to_owned(), fault.clone()));
                }
            }
            // What else lies there is of other tools.
            if checked.name.is_none() && !is_snapshot(reference) {
                continue;
            }
            facts.snapshots += 1;
            let age = |name, checked: &'_ Checked| {
                let (created, number) = age_of(checked.created.as_deref(), name);
                (created.map(str::to_owned), number)
            };
            let sandbox = parted(name).0;
            if let Some(outcome) = &checked.drilled {
                let last = drilled.entry(sandbox).or_insert(outcome.at);
                *last = outcome.at.max(*last);
            }
            let newest = newest.entry(sandbox).or_insert((name, checked));
            if age(newest.0, newest.1) < age(name, checked) {
                *newest = (name, checked);
            }
        }
        facts.newest = newest
            .into_iter()
            .map(|(sandbox, (name, _))| NewestArchived {
                name: name.to_owned(),
                drilled: drilled.get(sandbox).map(|at| since(*at, now)),
            })
            .collect();
        facts
    }
}

/// How long ago that was; a clock that went back makes it no time.
pub(super) fn since(then: Timestamp, now: Timestamp) -> Span {
    let age = u64::try_from(now.0.saturating_sub(then.0)).unwrap_or(0);
    Span(std::time::Duration::from_nanos(age))
}

/// All names that lead to snapshots or to images.
pub(super) fn names(place: &dyn Place) -> Result<BTreeSet<String>, Failure> {
    let names = place.names()?.into_iter();
    Ok(names.filter(|n| n.descriptor.media_type.is_manifest()).map(|n| n.name).collect())
}

/// Writes down what a check of the archive of this host came to. What cannot be written down is told
/// and ends nothing: the check itself was done.
pub(super) fn note(setting: &Setting, place: &dyn Place, change: impl FnOnce(&mut Checks)) {
    if let Err(failure) = write(&setting.memory(), place, change) {
        let why = plain(&failure.in_words());
        eprintln!("ctrlz: `ctrlz health` will not know of this, it could not be noted: {why}");
    }
}

/// The same before anything is done that would be done again and again when it could not be noted.
///
/// # Errors
/// When it cannot be.
pub(super) fn note_or_fail(
    setting: &Setting,
    place: &dyn Place,
    change: impl FnOnce(&mut Checks),
) -> Result<(), Failure> {
    write(&setting.memory(), place, change).map_err(|failure| {
        let message = "what is done with the archive could not be noted, so nothing is done";
        let file = setting.memory().join(FILE);
        Failure::new(OWN_FAILURE, "archive-memory", message).detail(format!(
            "{}: {}",
            file.display(),
            failure.in_words()
        ))
    })
}

fn write(
    memory: &Path,
    place: &dyn Place,
    change: impl FnOnce(&mut Checks),
) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::caused(OWN_FAILURE, "archive", &error);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(memory).map_err(failed)?;
    let open = |path: PathBuf, truncate: bool| {
        let mut options = fs::OpenOptions::new();
        options.create(true).truncate(truncate).write(true).mode(0o600).open(path)
    };
    // Its own lock: the archive's memory is locked for as long as somebody archives.
    let lock = open(memory.join("checks.lock"), false).map_err(failed)?;
    rustix::fs::flock(&lock, FlockOperation::LockExclusive)
        .map_err(|errno| failed(errno.into()))?;
    // What cannot be read any more, the checks find anew.
    let mut checks = read(memory).unwrap_or_default();
    change(&mut checks);
    checks.of_names(names(place)?);
    let text = serde_json::to_vec(&checks).map_err(|error| failed(error.into()))?;
    let beside = memory.join("checks.new");
    let written = |mut file: File| file.write_all(&text).and_then(|()| file.sync_data());
    open(beside.clone(), true)
        .and_then(written)
        .and_then(|()| fs::rename(&beside, memory.join(FILE)))
        .map_err(failed)
}

/// What is known of the archive of this host, of what lies there now; nothing where there is none.
///
/// # Errors
/// When it cannot be read; and when there was one that something is to be archived to by itself, and
/// is no more: its disk may not be mounted.
pub(super) fn known(setting: &Setting) -> Result<Checks, Failure> {
    if !setting.is_there() {
        if setting.config.snapshots.is_empty() || !pin::is_remembered(&setting.memory()) {
            return Ok(Checks::default());
        }
        let message = format!("there is no archive at {} any more", setting.path().display());
        return Err(Failure::new(REFUSED, "no-archive", message)
            .hint("mount the disk that it lies on, or `ctrlz push` makes a new one"));
    }
    let mut checks =
        read(&setting.memory()).map_err(|error| Failure::caused(OWN_FAILURE, "archive", &error))?;
    checks.of_names(names(&Directory::open(&setting.path())?)?);
    Ok(checks)
}

fn read(memory: &Path) -> std::io::Result<Checks> {
    match fs::read(memory.join(FILE)) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Checks::default()),
        Err(error) => Err(error),
    }
}

/// What is known of the archive of this host; `None` when there is none, or nothing in it.
pub(crate) fn archive_facts(context: &Context, now: Timestamp) -> Option<ArchiveFacts> {
    match facts(context, now) {
        Ok(facts) => facts,
        Err(failure) => {
            Some(ArchiveFacts { unreadable: Some(failure.in_words()), ..Default::default() })
        }
    }
}

fn facts(context: &Context, now: Timestamp) -> Result<Option<ArchiveFacts>, Failure> {
    let setting = Setting::read(context)?;
    let checks = known(&setting)?;
    let wanted = match setting.config.snapshots.is_empty() {
        true => None,
        false => Some(policy::wanted(context, &setting, &checks, now)?),
    };
    if checks.snapshots.is_empty() && wanted.is_none() {
        return Ok(None);
    }
    Ok(Some(ArchiveFacts { wanted, ..checks.facts(now) }))
}

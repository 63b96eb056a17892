//! A snapshot at rest, brought back: as files in a new folder, or as a snapshot of a sandbox.

use std::path::{Path, PathBuf};

use ctrlz_archive::archiver::{Record, Whole, restore, restore_layer, state_of, whole_record};
use ctrlz_archive::crypt::Keyring;
use ctrlz_archive::image::Role;
use ctrlz_archive::place::Place;
use ctrlz_archive::snapshot::Snapshot as AtRest;
use ctrlz_archive::unpack::{Devices, Restored, Whiteouts, remove_tree};
use ctrlz_archive::{Losses, Target};
use ctrlz_core::archive::Arrival;
use ctrlz_core::event::MadeOf;
use ctrlz_core::lifecycle::Setup;
use ctrlz_core::name::SandboxName;
use ctrlz_core::sandbox::{Root, Sandbox};
use ctrlz_core::snapshot::{NewSnapshot, Snapshot, SnapshotKind, SnapshotScope};
use ctrlz_core::state_store::{ImportConflict, StateImport};
use ctrlz_core::store::StoreError;
use ctrlz_core::workspace::WorkspaceDriver;
use ctrlz_engine::{BaseChoice, Bring, LeftBySetup, SandboxCore};
use ctrlz_store::state_file::Bundle;

use super::owners::owners;
use super::selected;
use super::setting::absolute;
use super::told::{Lost, tell_brought};
use crate::Answer;
use crate::arguments::Destination;
use crate::context::{Context, WhenBusy};
use crate::failure::{Failure, OWN_FAILURE, REFUSED};
use crate::root::images;
use crate::{mapped, places, show};

/// What is brought back.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) place: &'a dyn Place,
    pub(super) keys: Option<&'a Keyring>,
    pub(super) snapshot: &'a AtRest,
}

pub(super) fn bring(
    context: &Context,
    source: &Source<'_>,
    wanted: &Destination,
    json: bool,
) -> Answer {
    match &wanted.to {
        Some(to) => files(source, to, &wanted.path, json),
        None => {
            let whole = whole_record(source.place, source.snapshot, source.keys)?;
            if whole.0.sandbox.root.has_many_owners() && mapped::is_missing() {
                return Err(mapped::begin_again());
            }
            let Brought { sandbox, snapshot, lost } = into_store(context, source, whole, wanted)?;
            let lost = lost.as_ref().map(Lost::from);
            if json {
                show::print_json(&[
                    ("sandbox", show::to_json(&sandbox.name)?),
                    ("snapshot", show::to_json(&snapshot)?),
                    ("not_archived", show::to_json(&lost)?),
                ]);
            } else {
                let brought = (sandbox.name.as_str(), snapshot.id);
                tell_brought(&source.snapshot.name, brought, lost.as_ref());
            }
            show::done()
        }
    }
}

/// The files alone, in a new folder.
fn files(source: &Source<'_>, to: &Path, paths: &[PathBuf], json: bool) -> Answer {
    let Source { place, keys, snapshot } = *source;
    let (record, _) = whole_record(place, snapshot, keys)?;
    if record.scope != SnapshotScope::Full {
        let message = format!(
            "{} is {}: it has no files that stand alone",
            snapshot.name,
            record.scope.word()
        );
        return Err(Failure::new(REFUSED, "not-whole", message)
            .hint("without --to it returns to a sandbox of its folder"));
    }
    let target = Target {
        paths: selected(paths)?,
        devices: devices(),
        ownership: owners(&record.sandbox),
        ..Target::new(absolute(to)?)
    };
    let Restored { counts, losses: lost } =
        restore(place, snapshot, keys, target, &[Role::Base, Role::Sealed])?;
    let missing: Vec<String> = paths
        .iter()
        .filter(|path| to.join(path).symlink_metadata().is_err())
        .map(|path| path.display().to_string())
        .collect();
    if !missing.is_empty() {
        // Nobody had anything there before.
        remove_tree(&absolute(to)?)?;
        let message = format!("{} has nothing at some of these paths", snapshot.name);
        return Err(Failure::new(REFUSED, "no-such-path", message)
            .details(missing)
            .hint("they are relative to the folder; nothing was restored"));
    }
    let (lost, earlier) = (Lost::from(&lost), record.losses.as_ref().map(Lost::from));
    if json {
        show::print_json(&[
            ("name", snapshot.name.clone().into()),
            ("folder", show::path_to_json(to)?),
            ("files", counts.files.into()),
            ("directories", counts.directories.into()),
            ("bytes", counts.bytes.into()),
            ("losses", show::to_json(&lost)?),
            ("not_archived", show::to_json(&earlier)?),
        ]);
    } else {
        println!("{}: {} files in {}", snapshot.name, counts.files, to.display());
        lost.tell();
        if let Some(earlier) = earlier {
            earlier.tell_earlier();
        }
    }
    show::done()
}

/// How one sealed layer of a snapshot is restored for the driver that takes it in.
pub(super) fn layer_target(directory: PathBuf, of: &Record, whole: bool) -> Target {
    let whiteouts = if whole { Whiteouts::Apply } else { Whiteouts::KeepUser };
    let ownership = owners(&of.sandbox);
    Target { whiteouts, ownership, devices: devices(), ..Target::new(directory) }
}

fn devices() -> Devices {
    if rustix::process::geteuid().is_root() { Devices::Make } else { Devices::Skip }
}

/// Whether a snapshot here is what was brought of one at rest.
pub(super) fn is_of(here: &Snapshot, at_rest: &AtRest) -> bool {
    let rest = here.message.strip_prefix(at_rest.name.as_str());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(": "))
}

/// What was brought back, as a snapshot of a sandbox.
pub(super) struct Brought {
    pub(super) sandbox: Sandbox,
    pub(super) snapshot: Snapshot,
    /// What could not be kept when it was archived; `None` where that is not known.
    pub(super) lost: Option<Losses>,
}

/// A snapshot of a sandbox that is there, or of a new one.
pub(super) fn into_store(
    context: &Context,
    source: &Source<'_>,
    (record, drivers): Whole,
    wanted: &Destination,
) -> Result<Brought, Failure> {
    let state = match state_of(source.place, source.snapshot, source.keys)? {
        Some(bytes) => Some(bundle(&bytes)?),
        None => None,
    };
    let name = wanted.sandbox.as_ref().unwrap_or(&record.sandbox.name);
    let message = match record.snapshot.message.as_str() {
        "" => source.snapshot.name.clone(),
        message => format!("{}: {message}", source.snapshot.name),
    };
    let new = NewSnapshot {
        kind: SnapshotKind::Manual,
        scope: record.scope,
        message,
        tags: record.snapshot.tags.clone(),
        // What it says of a command that ran belongs to where it was taken.
        live: None,
    };
    let bringing = Bringing { source: *source, record: &record, drivers: &drivers };
    let (sandbox, snapshot) = context.with_core(WhenBusy::Wait, |core| {
        let sandbox = match context.store().sandbox_named(name.as_str()) {
            Ok(sandbox) => {
                fits(&sandbox, &record, wanted)?;
                sandbox
            }
            Err(StoreError::NoSandbox(_)) => {
                let made = bringing.make(context, core, (name, wanted))?;
                if record.sandbox.life.origin().is_some() && made.life.origin().is_none() {
                    // The record does not tell, or the layers were merged with others here.
                    eprintln!(
                        "ctrlz: what `setup:` left counts as changes of {name} now: look at \
                         `ctrlz diff {name}` before a commit"
                    );
                }
                let version = import(core, &made, state.as_ref())?;
                let snapshot = core.snapshot(&made, &new);
                debug_assert_eq!(version, record.snapshot.point.state_version);
                return Ok((made, snapshot?));
            }
            Err(error) => return Err(error.into()),
        };
        let version = import(core, &sandbox, state.as_ref())?;
        let snapshot = match record.scope {
            SnapshotScope::StateOnly => core.receive::<Failure>(&sandbox, (&new, version), None)?,
            _ => core.receive(&sandbox, (&new, version), Some(bringing.parts()))?,
        };
        Ok((sandbox, snapshot))
    })?;
    Ok(Brought { sandbox, snapshot, lost: record.losses })
}

/// Errs when a snapshot cannot be one of that sandbox.
fn fits(sandbox: &Sandbox, record: &Record, wanted: &Destination) -> Result<(), Failure> {
    let refuse = |why: String| {
        let message = format!("sandbox `{}` cannot have it: {why}", sandbox.name);
        Err(Failure::new(REFUSED, "other-sandbox", message)
            .hint("`--sandbox NAME` with a new name makes another one"))
    };
    if let Some(base) = &wanted.base
        && places::canonical(base)? != sandbox.base
    {
        return refuse(format!("it is of {}", sandbox.base.display()));
    }
    let named = wanted.sandbox.is_some() || wanted.base.is_some();
    if !named && sandbox.base != record.sandbox.base {
        let (own, other) = (sandbox.base.display(), record.sandbox.base.display());
        return refuse(format!("it is of {own}, and the snapshot of {other}"));
    }
    Ok(())
}

pub(super) fn bundle(bytes: &[u8]) -> Result<Bundle, Failure> {
    let failed = |reason: String| {
        Failure::new(OWN_FAILURE, "archive-malformed", "the snapshot's state is malformed")
            .detail(reason)
    };
    let text = std::str::from_utf8(bytes).map_err(|error| failed(error.to_string()))?;
    Bundle::parse(text).map_err(|error| failed(error.to_string()))
}

/// Makes sure that the snapshot's state is in the sandbox's history; answers its version there.
fn import(
    core: &SandboxCore<'_>,
    sandbox: &Sandbox,
    state: Option<&Bundle>,
) -> Result<u64, Failure> {
    let Some(bundle) = state else { return Ok(0) };
    let writes = bundle.namespaces.iter().flat_map(|(_, writes)| writes).cloned();
    let writes: Vec<_> = writes.collect();
    let newest = writes.iter().map(|write| write.version).max().unwrap_or(0);
    let there = core.store().state_version(sandbox.id)?;
    let imports = [StateImport { sandbox: sandbox.id, writes }];
    let planned = core.import_state(&imports, bundle, ImportConflict::Fail, true)?;
    // Its versions are the snapshot's only where nothing else was written in between.
    if !planned.conflicts.is_empty() || planned.written > 0 && there > 0 {
        let message = format!("the state of sandbox `{}` has another history", sandbox.name);
        return Err(Failure::new(REFUSED, "state-conflict", message)
            .hint("nothing was brought back; `--sandbox NAME` with a new name makes another one"));
    }
    if planned.written > 0 {
        core.import_state(&imports, bundle, ImportConflict::Fail, false)?;
    }
    Ok(newest)
}

/// What is needed to restore the parts of a tree.
struct Bringing<'a> {
    source: Source<'a>,
    record: &'a Record,
    drivers: &'a [Option<Vec<u8>>],
}

impl Bringing<'_> {
    /// Restores the parts that a driver does not hold.
    fn parts(&self) -> Box<Bring<'_, Failure>> {
        Box::new(move |driver, landing| match driver.capabilities().layered {
            true => self.layers(driver, landing),
            false => self.whole(landing),
        })
    }

    /// Each sealed layer, for a driver that keeps layers.
    fn layers(
        &self,
        driver: &dyn WorkspaceDriver,
        landing: &Path,
    ) -> Result<Vec<Arrival>, Failure> {
        let mut parts = Vec::new();
        for (index, layer) in self.record.layers.iter().enumerate() {
            if layer.whole {
                let message = format!(
                    "{} was archived by the workspace driver `{}`, whose trees lie on no folder",
                    self.source.snapshot.name, self.record.sandbox.driver
                );
                return Err(Failure::new(REFUSED, "other-driver", message)
                    .hint("--to FOLDER restores its files"));
            }
            let directory = landing.join(index.to_string());
            let held = match &layer.id {
                Some(id) => driver.holds(id)?,
                None => false,
            };
            if !held {
                let Source { place, keys, snapshot } = self.source;
                let target = layer_target(directory.clone(), self.record, false);
                let restored = restore_layer(place, snapshot, keys, target, index)?;
                refuse_losses(&restored.losses)?;
            }
            let record = self.drivers.get(index).cloned().flatten();
            parts.push(Arrival { id: layer.id.clone(), directory, root: layer.root, record });
        }
        Ok(parts)
    }

    /// All of it as one tree, for a driver that keeps whole trees.
    fn whole(&self, landing: &Path) -> Result<Vec<Arrival>, Failure> {
        let Source { place, keys, snapshot } = self.source;
        if self.record.scope != SnapshotScope::Full {
            let message = format!(
                "{} is {}, and here there is only the workspace driver `copy`, which keeps whole trees",
                snapshot.name,
                self.record.scope.word()
            );
            return Err(Failure::new(REFUSED, "not-whole", message));
        }
        let directory = landing.join("0");
        let ownership = owners(&self.record.sandbox);
        let target = Target { ownership, devices: devices(), ..Target::new(directory.clone()) };
        let restored = restore(place, snapshot, keys, target, &[Role::Base, Role::Sealed])?;
        refuse_losses(&restored.losses)?;
        Ok(vec![Arrival { id: None, directory, root: true, record: None }])
    }

    /// Makes the sandbox.
    fn make(
        &self,
        context: &Context,
        core: &SandboxCore<'_>,
        (name, wanted): (&SandboxName, &Destination),
    ) -> Result<Sandbox, Failure> {
        let old = &self.record.sandbox;
        let base = match wanted.base.as_deref() {
            Some(base) if wanted.anew => self.fill(base)?,
            base => base,
        };
        if self.record.scope == SnapshotScope::StateOnly && base.is_none() && !old.base.is_dir() {
            return Err(no_folder(&old.base));
        }
        let choice = self.choice(base)?;
        let folder = match &old.folder {
            Some(folder) if choice.root == Root::Host => {
                let folder = if choice.base == old.base { folder } else { &choice.base };
                // Of two sandboxes of one folder, one would hide the other.
                let taken = !context.store().sandboxes_of_folder(folder)?.is_empty();
                (!taken).then(|| folder.clone())
            }
            _ => None,
        };
        let name = name.clone();
        core.receive_new((name, folder), &choice, self.left_by_setup(), self.parts())
    }

    /// Fills an empty folder with what the sandbox began with; answers it when it begins there.
    fn fill<'b>(&self, base: &'b Path) -> Result<Option<&'b Path>, Failure> {
        let Source { place, keys, snapshot } = self.source;
        match (&self.record.sandbox.root, self.record.scope) {
            // Its files are unpacked among the images.
            (Root::Image { .. }, _) => return Ok(None),
            (Root::Overlay, _) => {
                let message = "it is of a sandbox with the root of its host, which has no folder";
                return Err(Failure::new(REFUSED, "root", message)
                    .hint("`ctrlz pull` where the store lies brings it back"));
            }
            (_, SnapshotScope::StateOnly) => return Ok(Some(base)),
            (_, SnapshotScope::Incremental) => {
                let message = format!(
                    "{} has the changes alone, and not the folder that they are of",
                    snapshot.name
                );
                return Err(Failure::new(REFUSED, "not-whole", message)
                    .hint("it returns to its own sandbox while that is there"));
            }
            (_, SnapshotScope::Full) => {}
        }
        let failed = |error: std::io::Error| Failure::caused(OWN_FAILURE, "folder", &error);
        let mut beside = base.as_os_str().to_owned();
        beside.push(".filled");
        let beside = PathBuf::from(beside);
        let ownership = owners(&self.record.sandbox);
        let target = Target { ownership, devices: devices(), ..Target::new(beside.clone()) };
        let filled = restore(place, snapshot, keys, target, &[Role::Base])
            .map_err(Failure::from)
            .and_then(|restored| refuse_losses(&restored.losses));
        let moved = match filled {
            // A tree that lies on no folder has none.
            Ok(()) if !beside.exists() => Ok(()),
            Ok(()) => std::fs::rename(&beside, base).map_err(failed),
            Err(failure) => Err(failure),
        };
        if moved.is_err() && beside.exists() {
            remove_tree(&beside)?;
        }
        moved.map(|()| Some(base))
    }

    fn left_by_setup(&self) -> Option<LeftBySetup> {
        let digest = match self.record.sandbox.life.setup.as_ref()? {
            Setup::Made { digest, .. } | Setup::From { digest, .. } => *digest,
            Setup::Making { .. } => return None,
        };
        let parts = self.record.layers.iter().take_while(|layer| layer.setup).count();
        Some(LeftBySetup { digest, parts })
    }

    fn choice(&self, base: Option<&Path>) -> Result<BaseChoice, Failure> {
        let old = &self.record.sandbox;
        let base = match base {
            Some(base) => places::canonical(base)?,
            None => old.base.clone(),
        };
        let root = match &old.root {
            Root::Image { .. } => return self.image(base),
            Root::Directory { .. } => Root::Directory { path: base.clone() },
            root => root.clone(),
        };
        if !base.is_dir() {
            return Err(no_folder(&base));
        }
        Ok(BaseChoice { root, base, made_of: self.made_of() })
    }

    fn made_of(&self) -> MadeOf {
        MadeOf { archived: Some(self.source.snapshot.descriptor.digest), ..MadeOf::default() }
    }

    /// An image lies in the store; where it does not, it is unpacked again.
    fn image(&self, base: PathBuf) -> Result<BaseChoice, Failure> {
        let Root::Image { source, .. } = &self.record.sandbox.root else {
            return Err(no_folder(&base));
        };
        let source = source.clone();
        if base.is_dir() {
            let root = Root::Image { source, unpacked: base.clone() };
            return Ok(BaseChoice { root, base, made_of: self.made_of() });
        }
        let Source { place, keys, snapshot } = self.source;
        let name = Path::new(base.file_name().unwrap_or_default());
        let unpacked = images::once(name, &snapshot.name, Failure::from, |target| {
            restore(place, snapshot, keys, target, &[Role::Base])
        })?;
        let base = unpacked.clone();
        let root = Root::Image { source, unpacked };
        Ok(BaseChoice { root, base, made_of: self.made_of() })
    }
}

fn no_folder(base: &Path) -> Failure {
    let message = format!("the folder {} is not here", base.display());
    Failure::new(REFUSED, "no-folder", message)
        .hint("--base FOLDER names another one; --to FOLDER restores the files into a new one")
}

/// What goes back into a sandbox must be what it was.
pub(super) fn refuse_losses(lost: &Losses) -> Result<(), Failure> {
    if lost.is_empty() {
        return Ok(());
    }
    let lines = lost.first.iter().take(10).map(ToString::to_string).collect();
    let message = format!("{} things in the snapshot cannot be kept here", lost.total);
    Err(Failure::new(REFUSED, "losses", message)
        .details(lines)
        .hint("--to FOLDER restores what can be restored, and tells the rest"))
}

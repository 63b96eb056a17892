//! `ctrlz push`: a snapshot is archived, here and in further places.

use std::time::Duration;

use ctrlz_archive::archiver::{Archived, Archiver, Subject};
use ctrlz_archive::crypt::Keyring;
use ctrlz_archive::place::{Directory, Expect, Place};
use ctrlz_archive::transfer::{Event, Transfer};
use ctrlz_core::event::{Happening, SnapshotArchived};
use ctrlz_core::id::SnapshotId;
use ctrlz_core::sandbox::{Root, Sandbox};
use ctrlz_core::snapshot::{NewSnapshot, Snapshot, SnapshotKind, SnapshotScope};
use ctrlz_core::time::Timestamp;
use ctrlz_engine::SandboxCore;
use ctrlz_store::state_file::Bundle;

use super::checked;
use super::checked::Automatic;
use super::failure::{IRREPLACEABLE, while_reading};
use super::progress::Progress;
use super::setting::Setting;
use super::told::{Copied, Push, Pushed};
use super::yielding::Wanted;
use crate::Answer;
use crate::arguments::{ArchiveScope, PushArguments};
use crate::context::{Context, WhenBusy};
use crate::failure::{Failure, OWN_FAILURE};
use crate::mapped;

pub(crate) fn push(arguments: &PushArguments, json: bool) -> Answer {
    let context = Context::open()?;
    let setting = Setting::read(&context)?;
    let sandboxes = concerned(&context, arguments)?;
    if mapped::outside().is_some() && !sandboxes.iter().all(|one| one.root.has_many_owners()) {
        // In this process, the files of others do not have the owners that they have.
        let message = "snapshots of sandboxes whose root is their workspace are archived apart";
        return Err(Failure::new(OWN_FAILURE, "usage", message).hint("push them one by one"));
    }
    let (place, keys) = setting.ready(&arguments.keys, &sandboxes.iter().collect::<Vec<_>>())?;
    let snapshots = chosen(&context, arguments)?;
    let addresses = match arguments.to.as_slice() {
        [] => &setting.config.copies,
        given => given,
    };
    let mut told = Push { snapshots: Vec::new() };
    for (sandbox, snapshot) in &snapshots {
        let pushing = Pushing {
            context: &context,
            setting: &setting,
            place: &place,
            keys: keys.as_ref(),
            arguments,
        };
        let (snapshot, archived) = &match arguments.snapshots.is_empty() {
            true => pushing.standing(sandbox, snapshot)?,
            false => (snapshot.clone(), pushing.one(sandbox, snapshot)?),
        };
        let scope = archived.scope;
        record((&context, &setting, &place), (sandbox, snapshot, scope), archived, None)?;
        let mut copies = Vec::new();
        for address in addresses {
            let reference = &archived.snapshot.reference;
            // That one fails hinders none of the others.
            match copy(&setting, &place, reference, address, keys.as_ref()) {
                Ok(copied) => {
                    checked::note(&setting, &place, |checks| checks.sent(reference, address));
                    copies.push(copied);
                }
                Err(failure) => {
                    let (place, error) = (address.clone(), failure.in_words());
                    copies.push(Copied::Failed { place, error });
                }
            }
        }
        let pushed = pushed(snapshot, &place, archived, copies);
        if !json {
            pushed.tell();
        }
        told.snapshots.push(pushed);
    }
    if json {
        return told.tell(true);
    }
    Ok(u8::from(!told.snapshots.iter().all(Pushed::is_sent)))
}

/// A push under way.
struct Pushing<'a> {
    context: &'a Context,
    setting: &'a Setting,
    place: &'a Directory,
    keys: Option<&'a Keyring>,
    arguments: &'a PushArguments,
}

impl Pushing<'_> {
    fn one(&self, sandbox: &Sandbox, snapshot: &Snapshot) -> Result<Archived, Failure> {
        let scope = scope_of(self.context, (sandbox, snapshot), self.arguments.scope);
        self.context.with_core(WhenBusy::Wait, |core| {
            archive(
                (self.context, core),
                self.setting,
                (self.place, self.keys),
                (sandbox, snapshot, scope),
                self.arguments.skip_unreadable,
            )
        })
    }

    /// Archives where the sandbox stands and its folder as it is: by that snapshot if it holds both, and
    /// else by a new one.
    fn standing(
        &self,
        sandbox: &Sandbox,
        snapshot: &Snapshot,
    ) -> Result<(Snapshot, Archived), Failure> {
        match self.one(sandbox, snapshot) {
            Ok(archived) if self.is_current(sandbox, snapshot, &archived)? => {
                return Ok((snapshot.clone(), archived));
            }
            Err(failure) if !failure.is(IRREPLACEABLE) => return Err(failure),
            Err(failure) => eprintln!("ctrlz: {}", failure.in_words()),
            Ok(_) => {}
        }
        let new = to_be_archived();
        let snapshot =
            self.context.with_core(WhenBusy::Wait, |core| Ok(core.snapshot(sandbox, &new)?))?;
        let archived = self.one(sandbox, &snapshot)?;
        Ok((snapshot, archived))
    }

    /// Whether nothing happened in the sandbox meanwhile, nor in the folder since it was archived.
    fn is_current(
        &self,
        sandbox: &Sandbox,
        snapshot: &Snapshot,
        archived: &Archived,
    ) -> Result<bool, Failure> {
        let archiver = Archiver {
            place: self.place,
            memory: &self.setting.memory(),
            keys: self.keys,
            options: self.setting.options(sandbox, self.arguments.skip_unreadable)?,
        };
        self.context.with_core(WhenBusy::Wait, |core| {
            core.with_strata(sandbox, snapshot, |strata| {
                if self.context.store().sandbox(sandbox.id)?.point != snapshot.point {
                    return Ok(false);
                }
                if !archived.was_there {
                    return Ok(true);
                }
                let scope = archived.scope;
                let strata = &self.setting.without_places(strata);
                let subject = Subject { sandbox, snapshot, scope, strata, setup: 0, state: None };
                archiver.is_current(&subject, archived).map_err(while_reading(strata))
            })
        })
    }
}

fn to_be_archived() -> NewSnapshot {
    NewSnapshot::of(SnapshotKind::Manual, "to be archived")
}

/// The sandboxes of the snapshots that were named, or the one whose standing is archived.
fn concerned(context: &Context, arguments: &PushArguments) -> Result<Vec<Sandbox>, Failure> {
    if arguments.snapshots.is_empty() {
        return Ok(vec![context.sandbox(arguments.sandbox.as_ref())?]);
    }
    let of = |id: &SnapshotId| {
        let snapshot = context.store().snapshot(*id)?;
        Ok(context.store().sandbox(snapshot.sandbox)?)
    };
    arguments.snapshots.iter().map(of).collect()
}

/// The snapshots that were named, or one of where the sandbox stands.
fn chosen(
    context: &Context,
    arguments: &PushArguments,
) -> Result<Vec<(Sandbox, Snapshot)>, Failure> {
    let mut chosen = Vec::new();
    for id in &arguments.snapshots {
        let snapshot = context.store().snapshot(*id)?;
        chosen.push((context.store().sandbox(snapshot.sandbox)?, snapshot));
    }
    if chosen.is_empty() {
        let sandbox = context.sandbox(arguments.sandbox.as_ref())?;
        let there = context.store().snapshots(sandbox.id)?;
        let same = |snapshot: &Snapshot| {
            snapshot.point == sandbox.point && snapshot.kind == SnapshotKind::Manual
        };
        let snapshot = match there.into_iter().filter(same).max_by_key(|snapshot| snapshot.id) {
            Some(snapshot) => snapshot,
            None => {
                let new = to_be_archived();
                context.with_core(WhenBusy::Wait, |core| Ok(core.snapshot(&sandbox, &new)?))?
            }
        };
        chosen.push((sandbox, snapshot));
    }
    Ok(chosen)
}

/// The whole host is not archived unless somebody asks for it, and a driver that keeps whole trees
/// has no changes apart from them.
pub(super) fn scope_of(
    context: &Context,
    (sandbox, snapshot): (&Sandbox, &Snapshot),
    wanted: Option<ArchiveScope>,
) -> SnapshotScope {
    let scope = match (wanted, snapshot.scope) {
        (_, SnapshotScope::StateOnly) => SnapshotScope::StateOnly,
        (Some(scope), _) => scope.into(),
        (None, _) if sandbox.root == Root::Overlay => SnapshotScope::Incremental,
        (None, scope) => scope,
    };
    let driver = context.workspaces().into_iter().find(|driver| driver.name() == sandbox.driver);
    match scope {
        SnapshotScope::Incremental
            if driver.is_some_and(|driver| !driver.capabilities().layered) =>
        {
            SnapshotScope::Full
        }
        scope => scope,
    }
}

/// Archives one snapshot, into the archive of this host.
pub(super) fn archive(
    (context, core): (&Context, &SandboxCore<'_>),
    setting: &Setting,
    (place, keys): (&Directory, Option<&Keyring>),
    (sandbox, snapshot, scope): (&Sandbox, &Snapshot, SnapshotScope),
    skip_unreadable: bool,
) -> Result<Archived, Failure> {
    setting.check_encrypted(sandbox, keys)?;
    let archiver = Archiver {
        place,
        memory: &setting.memory(),
        keys,
        options: setting.options(sandbox, skip_unreadable)?,
    };
    let state = state_at(context, sandbox, snapshot)?;
    let progress = Progress::new("archived");
    let _wanted = Wanted::raise(&setting.memory())?;
    core.with_strata(sandbox, snapshot, |strata| {
        let state = state.as_deref();
        let strata = &setting.without_places(strata);
        let setup = core.parts_of_setup(sandbox, strata)?;
        let subject = Subject { sandbox, snapshot, scope, strata, setup, state };
        archiver.archive(&subject, &|bytes| progress.add(bytes)).map_err(while_reading(strata))
    })
}

/// Notes and tells in the event log that a snapshot lies in the archive of this host, and why, when no
/// user asked for it.
pub(super) fn record(
    (context, setting, place): (&Context, &Setting, &Directory),
    (sandbox, snapshot, scope): (&Sandbox, &Snapshot, SnapshotScope),
    archived: &Archived,
    automatic: Option<Automatic>,
) -> Result<(), Failure> {
    checked::note(setting, place, |checks| checks.lies(archived, automatic));
    if archived.was_there {
        return Ok(());
    }
    let happening = Happening::SnapshotArchived(SnapshotArchived {
        snapshot: snapshot.id,
        name: archived.snapshot.name.clone(),
        place: place.address(),
        scope,
        manifest: archived.snapshot.descriptor.digest,
        automatic: automatic.map(|why| why.word().to_owned()),
    });
    context.store().emit(Some(sandbox.id), happening)?;
    Ok(())
}

/// The state's history up to the snapshot, as `ctrlz state export` writes it.
pub(super) fn state_at(
    context: &Context,
    sandbox: &Sandbox,
    snapshot: &Snapshot,
) -> Result<Option<Vec<u8>>, Failure> {
    let until = snapshot.point.state_version;
    if until == 0 {
        return Ok(None);
    }
    let bundle = Bundle::until(context.store(), sandbox, until)?;
    let time = Timestamp::from_parts(snapshot.created.seconds(), 0);
    let text = bundle.text(time);
    let text = text.map_err(|error| Failure::caused(OWN_FAILURE, "export", &error))?;
    Ok(Some(text.into_bytes()))
}

/// Sends a snapshot to another place.
pub(super) fn copy(
    setting: &Setting,
    from: &Directory,
    reference: &str,
    address: &str,
    keys: Option<&Keyring>,
) -> Result<Copied, Failure> {
    // The transfer itself asks again, and tells it.
    let to = setting.address(address)?;
    if keys.is_some() {
        setting.share_keys(from, to.as_ref())?;
    }
    let progress = Progress::new(&format!("sent to {}", to.address()));
    let told = |event: Event<'_>| match event {
        Event::Planned { total, there } => progress.of(total.1.saturating_sub(there.1)),
        Event::Bytes { bytes, .. } => progress.add(bytes),
        Event::Again { error, try_number } => progress.note(&format!("{error}; try {try_number}")),
        Event::Done { .. } => {}
    };
    // What others have under that name stays.
    let expect = match to.resolve(reference)? {
        Some(there) => Expect::Is(there.digest),
        None => Expect::Absent,
    };
    if let Expect::Is(digest) = expect
        && from.resolve(reference)?.is_none_or(|own| own.digest != digest)
    {
        let (place, name) = (to.address(), reference.to_owned());
        return Err(ctrlz_archive::ArchiveError::Taken { place, name }.into());
    }
    let transfer = Transfer { expect, pause: Duration::from_millis(500), ..Transfer::default() };
    let transferred = transfer.image((from, reference), (to.as_ref(), reference), &told)?;
    let (sent, there) = (transferred.sent, transferred.there);
    Ok(Copied::Sent {
        place: to.address(),
        sent_blobs: sent.0,
        sent_bytes: sent.1,
        there_blobs: there.0,
        there_bytes: there.1,
    })
}

fn pushed(
    snapshot: &Snapshot,
    place: &Directory,
    archived: &Archived,
    copies: Vec<Copied>,
) -> Pushed {
    Pushed {
        snapshot: snapshot.id,
        name: archived.snapshot.name.clone(),
        reference: archived.snapshot.reference.clone(),
        place: place.address(),
        manifest: archived.snapshot.descriptor.digest.to_string(),
        scope: archived.scope,
        was_there: archived.was_there,
        tree: archived.tree.map(|tree| tree.to_string()),
        written_layers: archived.written.0,
        written_bytes: archived.written.1,
        reused_layers: archived.reused.0,
        reused_bytes: archived.reused.1,
        losses: (&archived.losses).into(),
        copies,
    }
}

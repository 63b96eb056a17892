//! `ctrlz archive apply`: what archive.yaml asks for without anybody asking for it each time.

use std::time::Duration;

use ctrlz_archive::ArchiveError;
use ctrlz_archive::archiver::{Archived, Archiver, Subject, Watch};
use ctrlz_archive::collect::{Collecting, collect};
use ctrlz_archive::crypt::{Keyring, open_keys};
use ctrlz_archive::place::{Directory, Place};
use ctrlz_archive::snapshot::{Listing, list as list_place};
use ctrlz_core::event::{Happening, SnapshotUnarchived};
use ctrlz_core::size::ByteSize;
use ctrlz_core::snapshot::SnapshotScope;
use serde_json::{Value, json};

use super::checked::{self, Automatic, Checks};
use super::policy::{self, COLLECTING, Due, Named, Plan, drilling, removing, sending};
use super::push::{copy, record, scope_of, state_at};
use super::scratch::Scratch;
use super::setting::Setting;
use super::yielding::{YIELDED, Yielding};
use super::{check, list, pin};
use crate::Answer;
use crate::arguments::KeyArguments;
use crate::clock;
use crate::commands::space;
use crate::context::{Context, WhenBusy};
use crate::failure::{Failure, OWN_FAILURE};
use crate::show::{self, plain};

/// How long a collection waits for those who write: they come first.
const PATIENCE: Duration = Duration::from_secs(1);

/// What was done.
#[derive(Default)]
struct Report {
    archived: Vec<String>,
    /// Name and place.
    sent: Vec<(String, String)>,
    /// Name, and what was wrong.
    drilled: Vec<(String, Option<String>)>,
    removed: Vec<String>,
    /// Blobs that were collected, and their bytes.
    collected: (u64, u64),
    /// What, and why.
    failed: Vec<(String, String)>,
}

pub(super) fn apply(of_daemon: bool, json: bool) -> Answer {
    let context = Context::open()?;
    let setting = Setting::read(&context)?;
    let mut report = Report::default();
    let mut is_over = false;
    if !setting.config.snapshots.is_empty() || setting.is_there() {
        let yielding = match Yielding::begin(&setting.memory(), of_daemon) {
            Err(failure) if of_daemon && failure.is("busy") => return Ok(YIELDED),
            begun => begun?,
        };
        // Also errs when the archive is gone, which nobody but a user makes anew.
        checked::known(&setting)?;
        let identities = setting.identities(&KeyArguments::default())?;
        let place = setting.create()?;
        let keys = open_keys(&place, &identities)?;
        let listing = list_place(&place, keys.as_ref())?;
        checked::note_or_fail(&setting, &place, |checks| {
            listing.snapshots.iter().for_each(|listed| checks.listed(listed));
        })?;
        let (place, keys) = (&place, keys.as_ref());
        let work = Work { context: &context, setting: &setting, place, keys, yielding, of_daemon };
        work.all(&mut report)?;
        is_over = work.yielding.is_over();
    }
    tell(&report, json);
    Ok(match (is_over, report.failed.is_empty()) {
        (true, _) => YIELDED,
        (false, is_well) => u8::from(!is_well),
    })
}

/// Work under way.
struct Work<'a> {
    context: &'a Context,
    setting: &'a Setting,
    place: &'a Directory,
    keys: Option<&'a Keyring>,
    yielding: Yielding,
    /// Whether what failed a moment ago is left alone.
    of_daemon: bool,
}

impl Work<'_> {
    fn all(&self, report: &mut Report) -> Result<(), Failure> {
        let plan = self.plan()?;
        self.forget_troubles(&plan);
        for due in &plan.due {
            self.tried(&due.name, report, |report| self.archive(due, report))?;
        }
        for (named, address) in &plan.unsent {
            self.send(named, address, report)?;
        }
        if let Some(every) = self.setting.config.drill_every {
            let names = self.known()?.undrilled(clock::now(), every);
            // With those that were archived just now.
            let listing = list_place(self.place, self.keys)?;
            if !names.is_empty() {
                check::note_faults(self.setting, self.place, &listing);
            }
            for name in names {
                let what = drilling(&name);
                self.tried(&what, report, |report| self.drill(&name, &listing, report))?;
            }
        }
        // With what was archived just now, there may be more.
        let Plan { surplus, to_keep, .. } = self.plan()?;
        checked::note(self.setting, self.place, |checks| {
            to_keep.iter().for_each(|reference| checks.keep(reference));
        });
        for named in surplus {
            self.tried(&removing(&named.name), report, |report| {
                take_out(self.context, (self.setting, self.place), &named)?;
                report.removed.push(named.name.clone());
                Ok(())
            })?;
        }
        if self.known()?.collections.is_due(clock::now()) {
            self.tried(COLLECTING, report, |report| {
                let collected = self.yielding.while_holding(|| give_back(self.setting, self.place));
                report.collected = collected?;
                list::forget(self.context, self.setting)
            })?;
        }
        Ok(())
    }

    fn known(&self) -> Result<Checks, Failure> {
        checked::known(self.setting)
    }

    fn plan(&self) -> Result<Plan, Failure> {
        policy::standing(self.context, &self.setting.config, &self.known()?)
    }

    /// Does one thing, unless it failed a moment ago or all is over; that it fails hinders nothing else.
    fn tried(
        &self,
        what: &str,
        report: &mut Report,
        work: impl FnOnce(&mut Report) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let now = clock::now();
        let rests = self.of_daemon && !self.known()?.troubles.may_try(what, now);
        if rests || self.yielding.is_over() {
            return Ok(());
        }
        let done = work(report);
        if self.yielding.is_over() {
            // Whatever it ended with, it was made to end.
            return Ok(());
        }
        checked::note(self.setting, self.place, |checks| match &done {
            Ok(()) => checks.troubles.over(what),
            Err(failure) => {
                let trouble = (failure.in_words(), failure.is("busy") || failure.is(OVERTAKEN));
                checks.troubles.failed(what, trouble, now);
            }
        });
        if let Err(failure) = done {
            report.failed.push((what.to_owned(), failure.in_words()));
        }
        Ok(())
    }

    /// What nobody asks for any more is no trouble.
    fn forget_troubles(&self, plan: &Plan) {
        let is_wanted = |what: &str| {
            let due = plan.due.iter().any(|due| due.name == what);
            let unsent = plan.unsent.iter().map(|(named, address)| sending(&named.name, address));
            let names = plan.due.iter().map(|due| &due.name);
            let copies = &self.setting.config.copies;
            let later = names.flat_map(|name| copies.iter().map(move |to| sending(name, to)));
            let drills =
                self.setting.config.drill_every.is_some() && what.starts_with(&drilling(""));
            let surplus = plan.surplus.iter().any(|named| removing(&named.name) == what);
            due || drills || surplus || what == COLLECTING || unsent.chain(later).any(|s| s == what)
        };
        checked::note(self.setting, self.place, |checks| checks.troubles.retain(is_wanted));
    }

    fn archive(&self, due: &Due, report: &mut Report) -> Result<(), Failure> {
        space::require(&self.context.directory)?;
        // Before each, as a push does.
        pin::check(&self.setting.memory(), self.keys)?;
        checked::note(self.setting, self.place, |checks| checks.collections.begun());
        let (scope, archived) = match self.yielding.while_holding(|| self.write(due)) {
            Err(failure) if failure.is("no-snapshot") => return Ok(()),
            archived => archived?,
        };
        let subject = (&due.sandbox, &due.snapshot, scope);
        let to = (self.context, self.setting, self.place);
        record(to, subject, &archived, Some(Automatic::Policy))?;
        let reference = &archived.snapshot.reference;
        checked::note(self.setting, self.place, |checks| {
            checks.collections.ended();
            if policy::stays(&due.snapshot) {
                checks.keep(reference);
            }
        });
        report.archived.push(due.name.clone());
        let named = Named { reference: reference.clone(), name: due.name.clone() };
        for address in &self.setting.config.copies {
            self.send(&named, address, report)?;
        }
        Ok(())
    }

    /// Archives without holding the sandbox: what was read counts only when it is still so at the end.
    fn write(&self, due: &Due) -> Result<(SnapshotScope, Archived), Failure> {
        let Due { sandbox, .. } = due;
        self.setting.check_encrypted(sandbox, self.keys)?;
        // As it is now, and not when it was planned.
        let snapshot = &self.context.store().snapshot(due.snapshot.id)?;
        let scope = scope_of(self.context, (sandbox, snapshot), None);
        let state = state_at(self.context, sandbox, snapshot)?;
        let mut options = self.setting.options(sandbox, false)?;
        options.cores = 1;
        let archiver = Archiver {
            place: self.place,
            memory: &self.setting.memory(),
            keys: self.keys,
            options,
        };
        let yielding = &self.yielding;
        self.context.with_core(WhenBusy::Fail, |core| {
            let loose = core.loose(sandbox, snapshot)?;
            #[cfg(feature = "faults")]
            hold_here();
            let strata = &self.setting.without_places(&loose.strata);
            let state = state.as_deref();
            let setup = core.parts_of_setup(sandbox, strata)?;
            let subject = Subject { sandbox, snapshot, scope, strata, setup, state };
            let watch = Watch {
                progress: &|_| (),
                is_over: &|| yielding.is_over(),
                check: &|| core.is_still(&loose),
            };
            let archived = archiver.archive_watched(&subject, &watch).map_err(|error| {
                // What vanishes while it is read is no fault.
                match core.is_still(&loose) {
                    Err(why) => overtaken(&why),
                    Ok(()) => match error {
                        ArchiveError::Overtaken(why) => overtaken(&why),
                        error => error.into(),
                    },
                }
            })?;
            Ok((scope, archived))
        })
    }

    fn send(&self, named: &Named, address: &str, report: &mut Report) -> Result<(), Failure> {
        let Named { reference, name } = named;
        self.tried(&sending(name, address), report, |report| {
            copy(self.setting, self.place, reference, address, self.keys)?;
            checked::note(self.setting, self.place, |checks| checks.sent(reference, address));
            report.sent.push((name.clone(), address.to_owned()));
            Ok(())
        })
    }

    fn drill(&self, name: &str, listing: &Listing, report: &mut Report) -> Result<(), Failure> {
        space::require(&self.context.directory)?;
        let scratch = Scratch::new(self.setting)?;
        let drilled = check::drill_named(self.place, self.keys, &scratch, name);
        let (fault, noted) = check::note(self.setting, self.place, (listing, name), &drilled);
        report.drilled.push((name.to_owned(), fault));
        // What is noted as damaged is told as such; else it was not tried, and would be at once again.
        match (drilled, noted) {
            (Err(failure), false) => Err(failure),
            _ => Ok(()),
        }
    }
}

/// What was archived became something else meanwhile.
const OVERTAKEN: &str = "archive-overtaken";

fn overtaken(why: &str) -> Failure {
    let message = "it changed while it was archived, and is archived anew";
    Failure::new(OWN_FAILURE, OVERTAKEN, message).detail(why.to_owned())
}

/// Takes one snapshot out of the archive of this host, and tells that in the event log.
fn take_out(
    context: &Context,
    (setting, place): (&Setting, &Directory),
    named: &Named,
) -> Result<(), Failure> {
    if !place.withdraw(&named.reference)? {
        return Ok(());
    }
    checked::note(setting, place, |checks| checks.collections.removed());
    let (name, place) = (named.name.clone(), place.address());
    let reason = "there are enough newer ones that nobody asked for".to_owned();
    let gone = Happening::SnapshotUnarchived(SnapshotUnarchived { name, place, reason });
    context.store().emit(None, gone)?;
    Ok(())
}

/// Removes what nothing in the archive needs, and is a day old; answers how much that was.
fn give_back(setting: &Setting, place: &Directory) -> Result<(u64, u64), Failure> {
    let done = collect(place, &Collecting { patience: PATIENCE, ..Collecting::default() })?;
    checked::note(setting, place, |checks| {
        checks.collections.done(clock::now(), done.young.0 > 0);
    });
    let ((blobs, bytes), (files, more)) = (done.removed, done.unfinished);
    Ok((blobs.saturating_add(files), bytes.saturating_add(more)))
}

/// What [`thin`] did.
#[derive(Default)]
pub(crate) struct Thinned {
    /// The names of the snapshots that went from the archive, or would.
    pub(crate) names: Vec<String>,
    /// Blobs that went with them, and their bytes.
    pub(crate) collected: (u64, u64),
}

/// Takes out of the archive what nobody asked for and is too many, as long as `more` says so, without
/// the rest of what the policy asks for. With `collected`, what nothing needs then goes, too.
pub(crate) fn thin(
    context: &Context,
    (dry_run, collected): (bool, bool),
    more: &dyn Fn() -> bool,
) -> Result<Thinned, Failure> {
    let setting = Setting::read(context)?;
    let mut thinned = Thinned::default();
    if setting.config.keep_automatic.is_none() || !setting.is_there() {
        return Ok(thinned);
    }
    let place = setting.create()?;
    let plan = policy::standing(context, &setting.config, &checked::known(&setting)?)?;
    for named in plan.surplus {
        if !more() {
            break;
        }
        if !dry_run {
            take_out(context, (&setting, &place), &named)?;
        }
        thinned.names.push(named.name);
    }
    if collected && !dry_run && !thinned.names.is_empty() {
        thinned.collected = match give_back(&setting, &place) {
            // Whoever writes comes first, and the next one collects.
            Err(failure) if failure.is("archive-busy") => (0, 0),
            done => done?,
        };
    }
    Ok(thinned)
}

fn tell(report: &Report, json: bool) {
    let Report { archived, sent, drilled, removed, collected, failed } = report;
    if json {
        let pair = |(what, more): &(String, String), key: (&str, &str)| json!({ key.0: what, key.1: more });
        let sent: Vec<Value> = sent.iter().map(|one| pair(one, ("name", "place"))).collect();
        let failed: Vec<Value> = failed.iter().map(|one| pair(one, ("what", "error"))).collect();
        let drilled: Vec<Value> = drilled
            .iter()
            .map(|(name, fault)| json!({ "name": name, "whole": fault.is_none(), "error": fault }))
            .collect();
        show::print_json(&[
            ("archived", archived.clone().into()),
            ("sent", sent.into()),
            ("drilled", drilled.into()),
            ("removed", removed.clone().into()),
            ("collected", json!({ "blobs": collected.0, "bytes": collected.1 })),
            ("failed", failed.into()),
        ]);
        return;
    }
    for name in archived {
        println!("{} is archived", plain(name));
    }
    for (name, address) in sent {
        println!("{} is sent to {}", plain(name), plain(address));
    }
    for (name, fault) in drilled {
        match fault {
            None => println!("{}: restored and compared: as archived", plain(name)),
            Some(fault) => println!("{}: DAMAGED: {}", plain(name), plain(fault)),
        }
    }
    for name in removed {
        println!("{} is no longer in the archive: there are enough newer ones", plain(name));
    }
    if collected.0 > 0 {
        println!("{} blobs ({}) removed", collected.0, ByteSize(collected.1));
    }
    for (what, why) in failed {
        println!("{}: FAILED: {}", plain(what), plain(why));
    }
    let did = archived.len() + sent.len() + drilled.len() + removed.len() + failed.len();
    if did == 0 {
        println!("archive.yaml asks for nothing that is not done");
    }
}

/// For tests: waits here, with the archive held, for as long as the file that they name is there.
#[cfg(feature = "faults")]
fn hold_here() {
    let Some(path) = std::env::var_os("CTRLZ_ARCHIVE_HOLD").map(std::path::PathBuf::from) else {
        return;
    };
    let _ = std::fs::write(path.with_extension("reached"), "");
    while path.exists() {
        std::thread::sleep(Duration::from_millis(10));
    }
}

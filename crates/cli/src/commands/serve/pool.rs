//! Stores that stay open between calls: opening one takes as long as most calls themselves.

use std::collections::HashMap;
use std::ops::Deref;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ctrlz_core::actor::Actor;

use crate::context::Context;
use crate::failure::Failure;

/// How many may be open and unused of one store, and of all: as many as calls come at once.
const OF_ONE: usize = 32;
const OF_ALL: usize = 64;
/// For how long one may be unused.
const UNUSED: Duration = Duration::from_secs(60);

/// Open stores that nobody uses just now.
#[derive(Default)]
pub(super) struct Pool(Mutex<HashMap<PathBuf, Vec<Kept>>>);

struct Kept {
    context: Context,
    /// Which file its database is.
    identity: Identity,
    since: Instant,
}

/// A file as long as it is not replaced by another one: its device and inode.
type Identity = (u64, u64);

/// A store that one call uses.
pub(super) struct Lease<'a> {
    /// There until it is dropped.
    context: Option<Context>,
    identity: Option<Identity>,
    pool: &'a Pool,
}

impl Pool {
    /// The store in `directory` for whoever acts: one that is open, or what `open` opens.
    pub(super) fn lease(
        &self,
        directory: PathBuf,
        actor: Actor,
        open: impl FnOnce(PathBuf, Actor) -> Result<Context, Failure>,
    ) -> Result<Lease<'_>, Failure> {
        // Somebody may have moved the store away, and another one to its place.
        let found = identity(&directory);
        let kept = self.kept().get_mut(&directory).and_then(Vec::pop);
        if let Some(Kept { mut context, identity, .. }) = kept
            && found == Some(identity)
        {
            context.act_as(actor);
            return Ok(Lease { context: Some(context), identity: found, pool: self });
        }
        let mut context = open(directory, actor)?;
        context.keep_open();
        // As it was before: when it was replaced meanwhile, this one is not used again.
        Ok(Lease { context: Some(context), identity: found, pool: self })
    }

    /// Closes what nobody used for long.
    pub(super) fn close_unused(&self) {
        let gone = unused(&mut self.kept(), Instant::now());
        drop(gone);
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<PathBuf, Vec<Kept>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes out what nobody used for long.
fn unused(kept: &mut HashMap<PathBuf, Vec<Kept>>, now: Instant) -> Vec<Kept> {
    let mut gone = Vec::new();
    for of_one in kept.values_mut() {
        gone.extend(of_one.extract_if(.., |one| now.duration_since(one.since) > UNUSED));
    }
    kept.retain(|_, of_one| !of_one.is_empty());
    gone
}

impl Deref for Lease<'_> {
    type Target = Context;

    #[expect(clippy::expect_used, reason = "it is taken by `drop` alone")]
    fn deref(&self) -> &Context {
        self.context.as_ref().expect("a lease that is not dropped has its store")
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let (Some(context), Some(identity)) = (self.context.take(), self.identity) else { return };
        // Whatever a call left that broke off, goes with it.
        if std::thread::panicking() {
            return;
        }
        let now = Instant::now();
        let mut kept = self.pool.kept();
        let mut gone = unused(&mut kept, now);
        let open: usize = kept.values().map(Vec::len).sum();
        let directory = context.directory.clone();
        let of_one = kept.entry(directory).or_default();
        let one = Kept { context, identity, since: now };
        if open < OF_ALL && of_one.len() < OF_ONE {
            of_one.push(one);
        } else {
            gone.push(one);
        }
        // Closing takes its time, which nobody else should wait for.
        drop(kept);
        drop(gone);
    }
}

fn identity(directory: &Path) -> Option<Identity> {
    let about = directory.join("store.db").metadata().ok()?;
    Some((about.dev(), about.ino()))
}

//! What of a tenant's ended processes goes: too many, too old, or too much.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Weak;
use std::time::{Duration, SystemTime};

use super::shelf::{ABOUT, OLDER, REMEMBERED, Shelf, folders, is_running};
use crate::service::Service;

/// After how many new processes, and how many bytes of output, it is looked again.
const BEGUN: u32 = 32;
const WRITTEN: u64 = 4 << 20;
/// How old a folder without a process is, in which none is just being begun.
const STALE: Duration = Duration::from_secs(60);

/// How often it is looked for what is too old.
const OFTEN: Duration = Duration::from_secs(3600);

/// What happened since it was looked last.
#[derive(Debug, Default)]
pub(super) struct Since {
    /// Processes that began; none when it was never looked.
    begun: Option<u32>,
    written: u64,
    /// How many bytes there were.
    found: u64,
}

impl Since {
    /// Notes that one began; tells whether it is time to look.
    pub(super) fn note_begun(&mut self) -> bool {
        let begun = self.begun.get_or_insert(BEGUN);
        *begun += 1;
        *begun >= BEGUN
    }

    pub(super) fn note_written(&mut self, bytes: u64) {
        self.written += bytes;
    }

    /// Whether those that run are too much by themselves for `most` bytes.
    pub(super) fn is_crowded(&self, most: u64) -> bool {
        self.found > most
    }

    /// Whether there may be more than `most` bytes, and it is time to look.
    pub(super) fn is_due(&self, most: u64) -> bool {
        self.found + self.written > most && self.written >= WRITTEN.min(most / 8)
    }
}

/// Removes what is too old of all tenants, now and every hour, as long as there is the service.
pub(crate) async fn prune_all(service: Weak<Service>) {
    while let Some(service) = service.upgrade() {
        let tenants = service.registry(|registry| registry.tenants()).await.unwrap_or_default();
        for tenant in tenants {
            let Some(shelf) = service.shelf(&tenant.name) else { continue };
            // What is not removed is found again next time.
            let _ = tokio::task::spawn_blocking(move || prune(&shelf)).await;
        }
        drop(service);
        tokio::time::sleep(OFTEN).await;
    }
}

/// One of the folders.
struct Found {
    path: PathBuf,
    changed: SystemTime,
    size: u64,
    is_known: bool,
}

/// Removes the oldest that have ended, until what is left is within the bounds.
pub(super) fn prune(shelf: &Shelf) {
    let now = SystemTime::now();
    let age = |changed: SystemTime| now.duration_since(changed).unwrap_or_default();
    let mut found: Vec<Found> =
        folders(&shelf.folder).unwrap_or_default().into_iter().filter_map(looked_at).collect();
    found.sort_by_key(|one| one.changed);
    let mut left = found.len();
    let mut size: u64 = found.iter().map(|one| one.size).sum();
    for one in found {
        let is_too_much = left > REMEMBERED || size > shelf.bounds.tenant;
        let goes = match one.is_known {
            true => is_too_much || age(one.changed) > shelf.bounds.age,
            false => age(one.changed) > STALE,
        };
        if goes && removed(&one.path) {
            left -= 1;
            size -= one.size;
        }
    }
    let older = shelf.folder.join(OLDER);
    if fs::metadata(&older)
        .and_then(|about| about.modified())
        .is_ok_and(|at| age(at) > shelf.bounds.age)
    {
        let _ = fs::remove_file(older);
    }
    *shelf.since() = Since { begun: Some(0), written: 0, found: size };
}

fn looked_at(path: PathBuf) -> Option<Found> {
    let about = fs::metadata(path.join(ABOUT)).ok();
    let is_known = about.is_some();
    let changed = about.or_else(|| fs::metadata(&path).ok())?.modified().ok()?;
    let sizes = fs::read_dir(&path).ok()?.flatten().filter_map(|entry| entry.metadata().ok());
    Some(Found { size: sizes.map(|about| about.len()).sum(), path, changed, is_known })
}

/// Removes one, unless it runs. What cannot be removed is found again next time.
fn removed(folder: &Path) -> bool {
    let about = folder.join(ABOUT);
    if File::open(&about).is_ok_and(|file| is_running(&file)) {
        return false;
    }
    // First what makes it known, so that nobody finds it without what it wrote.
    let _ = fs::remove_file(about);
    fs::remove_dir_all(folder).is_ok()
}

//! Collecting an object store, where nothing can be locked.
//!
//! Whoever collects first writes `.ctrlz/collection` with a new number and the time until which
//! they may remove, and only then reads the index. Whoever pushes remembers the number from before
//! they looked for blobs, and reads it again when the index has their name:
//!
//! - It is the same, and nobody may remove: whoever collects later finds the name in the index.
//! - It is another: they wait until nobody may remove any more, look for all of their blobs, and
//!   send again what is gone. Then the same question is asked again.
//!
//! A collection that was killed ends by its time.

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use ctrlz_core::digest::Digest;
use futures_util::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, UpdateVersion};
use serde::{Deserialize, Serialize};

use super::Object;
use crate::ArchiveError;
use crate::image::parse;
use crate::place::{Blob, Held, Hold, Place, Sweep};

/// The key of the object that says who collects.
const COLLECTION: &str = ".ctrlz/collection";

/// How long a collection may remove without saying so again.
const TERM: Duration = Duration::from_secs(300);

/// How often to ask whether a collection has ended.
const PAUSE: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Collection {
    /// Another one for each collection.
    number: String,
    /// Until when it may remove, in seconds since 1970; 0 when it has ended.
    until: u64,
}

impl Collection {
    fn is_under_way(&self) -> bool {
        self.until > seconds()
    }
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl Object {
    fn collection(&self) -> Result<Option<(Collection, UpdateVersion)>, ArchiveError> {
        let Some((bytes, version)) = self.small(COLLECTION, 4096)? else { return Ok(None) };
        Ok(Some((parse(&bytes, 4096, "`.ctrlz/collection`")?, version)))
    }
}

/// Somebody who pushes.
pub(super) struct Writing<'a> {
    place: &'a Object,
    /// The number of the last collection when they began to look for blobs; `None` when one was
    /// under way, so that they have to look again in any case.
    known: Mutex<Option<String>>,
}

impl<'a> Writing<'a> {
    pub(super) fn begin(place: &'a Object) -> Result<Self, ArchiveError> {
        let known = match place.collection()? {
            None => Some(String::new()),
            Some((collection, _)) if collection.is_under_way() => None,
            Some((collection, _)) => Some(collection.number),
        };
        Ok(Self { place, known: Mutex::new(known) })
    }
}

impl Hold for Writing<'_> {
    fn lost(&self, blobs: &[Blob]) -> Result<Vec<Blob>, ArchiveError> {
        let started = Instant::now();
        let number = loop {
            match self.place.collection()? {
                None => break String::new(),
                Some((collection, _)) if !collection.is_under_way() => break collection.number,
                // It may say again that it goes on, but not for ever.
                Some(_) if started.elapsed() > 12 * TERM => {
                    return Err(ArchiveError::Busy {
                        place: self.place.address.clone(),
                        what: "it has been collected for an hour".to_owned(),
                    });
                }
                Some(_) => std::thread::sleep(PAUSE),
            }
        };
        let mut known = self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if known.as_ref() == Some(&number) {
            return Ok(Vec::new());
        }
        let mut lost = Vec::new();
        for blob in blobs {
            if self.place.find(&blob.digest)? != Some(blob.size) {
                lost.push(*blob);
            }
        }
        *known = Some(number);
        Ok(lost)
    }
}

/// Somebody who collects.
pub(super) struct Sweeping<'a> {
    place: &'a Object,
    term: Mutex<Term>,
}

struct Term {
    number: String,
    version: UpdateVersion,
    since: Instant,
}

impl<'a> Sweeping<'a> {
    pub(super) fn begin(place: &'a Object, patience: Duration) -> Result<Self, ArchiveError> {
        let started = Instant::now();
        let word = crate::random::word();
        let number = word.map_err(ArchiveError::io("read random bytes for", COLLECTION))?;
        loop {
            let known = place.collection()?;
            let is_free = known.as_ref().is_none_or(|(other, _)| !other.is_under_way());
            if is_free {
                let since = Instant::now();
                let version = known.map(|(_, version)| version);
                if let Some(version) = put(place, &number, TERM, version)? {
                    let term = Mutex::new(Term { number, version, since });
                    return Ok(Self { place, term });
                }
            }
            if started.elapsed() >= patience {
                return Err(ArchiveError::Busy {
                    place: place.address.clone(),
                    what: "somebody collects it; one that was killed is over after five minutes"
                        .to_owned(),
                });
            }
            std::thread::sleep(PAUSE.min(patience));
        }
    }

    /// Makes sure that there is time to remove, and fails when somebody else took over.
    fn prolong(&self) -> Result<(), ArchiveError> {
        let mut term = self.term.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if term.since.elapsed() < TERM / 3 {
            return Ok(());
        }
        let since = Instant::now();
        let over = term.since.elapsed() >= TERM;
        let version = put(self.place, &term.number, TERM, Some(term.version.clone()))?;
        match version.filter(|_| !over) {
            Some(version) => {
                (term.version, term.since) = (version, since);
                Ok(())
            }
            None => Err(ArchiveError::Busy {
                place: self.place.address.clone(),
                what: "this collection took too long and another one began".to_owned(),
            }),
        }
    }
}

impl Drop for Sweeping<'_> {
    fn drop(&mut self) {
        let term = self.term.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        // If it cannot be told that it has ended, it ends by its time.
        let _ = put(self.place, &term.number, Duration::ZERO, Some(term.version.clone()));
    }
}

fn put(
    place: &Object,
    number: &str,
    term: Duration,
    version: Option<UpdateVersion>,
) -> Result<Option<UpdateVersion>, ArchiveError> {
    let until = if term.is_zero() { 0 } else { seconds().saturating_add(term.as_secs()) };
    let collection = Collection { number: number.to_owned(), until };
    place.put_if(COLLECTION, crate::image::to_bytes(&collection, COLLECTION)?, version)
}

impl Sweep for Sweeping<'_> {
    fn held(&self) -> Result<Vec<Held>, ArchiveError> {
        let prefix = self.place.key("blobs/sha256");
        let mut list = self.place.store.list(Some(&prefix));
        let mut held = Vec::new();
        while let Some(meta) = self
            .place
            .runtime
            .wait(list.try_next())
            .map_err(self.place.failed("list the blobs of"))?
        {
            let Some(name) = meta.location.filename() else { continue };
            let Ok(digest) = format!("sha256:{name}").parse::<Digest>() else { continue };
            // What lies deeper is somebody else's.
            if meta.location != self.place.blob_key(&digest) {
                continue;
            }
            held.push(Held {
                blob: Blob { digest, size: meta.size },
                written: meta.last_modified.into(),
            });
        }
        Ok(held)
    }

    fn remove(&self, blobs: &[Blob]) -> Result<u64, ArchiveError> {
        let mut freed: u64 = 0;
        for some in blobs.chunks(500) {
            self.prolong()?;
            let keys: Vec<object_store::Result<Path>> =
                some.iter().map(|blob| Ok(self.place.blob_key(&blob.digest))).collect();
            let stream = futures_util::stream::iter(keys).boxed();
            let mut removed = self.place.store.delete_stream(stream);
            while let Some(result) = self.place.runtime.wait(removed.next()) {
                match result {
                    Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                    Err(error) => return Err(self.place.failed("remove blobs from")(error)),
                }
            }
            freed = some.iter().fold(freed, |sum, blob| sum.saturating_add(blob.size));
        }
        Ok(freed)
    }

    fn remove_unfinished(&self, grace: Duration, dry: bool) -> Result<(u64, u64), ArchiveError> {
        super::upload::give_up_old(self.place, grace, dry)
    }
}

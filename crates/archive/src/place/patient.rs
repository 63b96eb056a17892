//! A place that is asked again when the connection fails.

use std::io::{self, Read};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use ctrlz_core::digest::Digest;

use super::{Blob, Bytes, Expect, Hold, Named, Place, Source, Sweep};
use crate::{ArchiveError, Descriptor};

/// The longest pause between two tries.
const LONGEST: Duration = Duration::from_secs(30);

/// A place on another machine that is asked again when something fails that may pass. Whoever reads
/// a blob goes on where the connection broke.
#[derive(Clone)]
pub struct Patient {
    place: Arc<dyn Place>,
    patience: Patience,
}

/// How often, and how long in between.
#[derive(Debug, Clone, Copy)]
struct Patience {
    tries: u32,
    pause: Duration,
}

impl std::fmt::Debug for Patient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Patient({}, {:?})", self.place.address(), self.patience)
    }
}

impl Patient {
    /// Asks `place` up to `tries` times, with `pause` before the second try and each time twice as
    /// long a one, half a minute at most.
    #[must_use]
    pub fn new(place: Arc<dyn Place>, tries: u32, pause: Duration) -> Self {
        Self { place, patience: Patience { tries, pause } }
    }

    fn again<T>(
        &self,
        action: impl FnMut(&dyn Place) -> Result<T, ArchiveError>,
    ) -> Result<T, ArchiveError> {
        self.patience.again(self.place.as_ref(), action)
    }
}

impl Patience {
    fn again<T>(
        self,
        place: &dyn Place,
        mut action: impl FnMut(&dyn Place) -> Result<T, ArchiveError>,
    ) -> Result<T, ArchiveError> {
        let mut pause = self.pause;
        for _ in 1..self.tries {
            match action(place) {
                Err(error) if error.is_transient() => {
                    thread::sleep(pause);
                    pause = (pause * 2).min(LONGEST);
                }
                other => return other,
            }
        }
        action(place).map_err(for_good)
    }
}

/// An error after all tries: nobody above should begin anew.
fn for_good(error: ArchiveError) -> ArchiveError {
    match error {
        ArchiveError::Place { action, place, source, .. } => {
            ArchiveError::Place { action, place, transient: false, source }
        }
        other => other,
    }
}

/// A blob that is gone on with where the connection broke.
struct Resumed {
    place: Arc<dyn Place>,
    patience: Patience,
    blob: Blob,
    at: u64,
    /// `None` when the connection broke.
    inner: Option<Bytes>,
}

impl Read for Resumed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Self { place, patience, blob, at, inner } = self;
        let length = patience.again(place.as_ref(), |place| {
            let mut open = match inner.take() {
                Some(open) => open,
                None => place.read(blob, *at)?,
            };
            let length = loop {
                match open.read(buffer) {
                    Ok(length) => break length,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => {
                        let what = format!("blob {}", blob.digest);
                        return Err(ArchiveError::io("read", what)(error));
                    }
                }
            };
            *inner = Some(open);
            Ok(length)
        })?;
        self.at = self.at.saturating_add(u64::try_from(length).unwrap_or(0));
        Ok(length)
    }
}

/// Publishes on behalf of [`Patient`] and of transfers: when the answer to an earlier try got lost,
/// the name means already what it should.
pub(crate) fn publish_again(
    place: &dyn Place,
    (name, manifest, bytes): (&str, &Descriptor, &[u8]),
    expect: Expect,
    is_first: &mut bool,
) -> Result<(), ArchiveError> {
    let was_first = std::mem::replace(is_first, false);
    match place.publish(name, manifest, bytes, expect) {
        Err(ArchiveError::Moved { place: at, name: taken }) if !was_first => {
            let found = place.resolve(name)?.map(|found| found.digest);
            if found == Some(manifest.digest) {
                return Ok(());
            }
            Err(ArchiveError::Moved { place: at, name: taken })
        }
        other => other,
    }
}

impl Place for Patient {
    fn address(&self) -> String {
        self.place.address()
    }

    fn hold(&self) -> Result<Box<dyn Hold + '_>, ArchiveError> {
        // What is borrowed from a closure's argument would not outlive it.
        let place = self.place.as_ref();
        self.patience.again(place, |_| place.hold())
    }

    fn find(&self, digest: &Digest) -> Result<Option<u64>, ArchiveError> {
        self.again(|place| place.find(digest))
    }

    fn read(&self, blob: &Blob, from: u64) -> Result<Bytes, ArchiveError> {
        let inner = Some(self.again(|place| place.read(blob, from))?);
        let (place, patience) = (Arc::clone(&self.place), self.patience);
        Ok(Box::new(Resumed { place, patience, blob: *blob, at: from, inner }))
    }

    fn write(
        &self,
        blob: &Blob,
        source: &Source<'_>,
        sent: &(dyn Fn(u64) + Sync),
    ) -> Result<(), ArchiveError> {
        self.again(|place| place.write(blob, source, sent))
    }

    fn names(&self) -> Result<Vec<Named>, ArchiveError> {
        self.again(|place| place.names())
    }

    fn roots(&self) -> Result<Vec<Descriptor>, ArchiveError> {
        self.again(|place| place.roots())
    }

    fn resolve(&self, name: &str) -> Result<Option<Descriptor>, ArchiveError> {
        self.again(|place| place.resolve(name))
    }

    fn manifest(&self, descriptor: &Descriptor) -> Result<Vec<u8>, ArchiveError> {
        self.again(|place| place.manifest(descriptor))
    }

    fn store_manifest(&self, manifest: &Descriptor, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.again(|place| place.store_manifest(manifest, bytes))
    }

    fn publish(
        &self,
        name: &str,
        manifest: &Descriptor,
        bytes: &[u8],
        expect: Expect,
    ) -> Result<(), ArchiveError> {
        let mut is_first = true;
        self.again(|place| publish_again(place, (name, manifest, bytes), expect, &mut is_first))
    }

    fn withdraw(&self, name: &str) -> Result<bool, ArchiveError> {
        self.again(|place| place.withdraw(name))
    }

    fn sweep(&self, patience: Duration) -> Result<Box<dyn Sweep + '_>, ArchiveError> {
        let place = self.place.as_ref();
        self.patience.again(place, |_| place.sweep(patience))
    }
}

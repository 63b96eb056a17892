//! What of the live base differs from what the index remembers.

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::path::{Path, PathBuf};

use ctrlz_core::archive::Stratum;
use ctrlz_core::path::RelPath;
use rustix::fs::{AtFlags, FileType};
use rustix::io::Errno;
use rustix::time::ClockId;

use super::delta;
use super::index::{Index, Known, NewIndex, Tail};
use crate::error::ArchiveError;
use crate::layer::{
    LayerOptions, LayerWritten, Unreadable, open_stratum, stratum_closed, write_layer,
};
use crate::loss::Losses;
use crate::source::{Step, TICK, Version, Walk};
use crate::tar::WHITEOUT;

/// How many layers one on the other hold a base before it is written whole again.
const MOST_LAYERS: usize = 16;
/// How many changed paths are remembered; with more of them the base is written whole.
const MOST_PATHS: usize = 200_000;

/// Why a base is written whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whole {
    /// There is no index that is whole and of this directory.
    Unknown,
    /// Sixteen layers hold it.
    Layers,
    /// More than half of its bytes, or very many paths, differ.
    Different,
}

/// A path that differs, and what it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Changed {
    pub(super) path: RelPath,
    pub(super) file_type: FileType,
}

/// What of the live base differs since it was last archived.
#[derive(Debug)]
pub struct Survey<'a> {
    stratum: &'a Stratum,
    whole: Option<Whole>,
    changed: Vec<Changed>,
    gone: Vec<RelPath>,
    bytes: u64,
    changed_bytes: u64,
    layers: Vec<String>,
    new: NewIndex,
}

impl<'a> Survey<'a> {
    /// Walks the base and compares it with the index at `index`. Nothing is read but names and
    /// versions. `unreadable` is what [`Self::write`] will be told, too.
    ///
    /// # Errors
    /// When the base or the index cannot be read. An index that is damaged or foreign is none.
    pub fn take(
        stratum: &'a Stratum,
        index: &Path,
        unreadable: Unreadable,
    ) -> Result<Self, ArchiveError> {
        let new = NewIndex::create(index)?;
        let mut old = Index::open(index)?;
        let mut layers = Vec::new();
        let mut whole = None;
        match &old {
            Some(known) if known.tail.directory == stratum.directory => {
                layers.clone_from(&known.tail.layers);
                if layers.len() >= MOST_LAYERS {
                    whole = Some(Whole::Layers);
                }
            }
            _ => whole = Some(Whole::Unknown),
        }
        if layers.is_empty() {
            whole = Some(Whole::Unknown);
        }
        if whole.is_some() {
            old = None;
        }
        let mut this = Self {
            stratum,
            whole,
            changed: Vec::new(),
            gone: Vec::new(),
            bytes: 0,
            changed_bytes: 0,
            layers,
            new,
        };
        this.compare(old, index, unreadable)?;
        if this.whole.is_none() && this.changed_bytes > this.bytes / 2 {
            this.whole = Some(Whole::Different);
        }
        if this.whole.is_some() {
            this.layers.clear();
            this.changed.clear();
            this.gone.clear();
        } else {
            this.add_directories();
        }
        Ok(this)
    }

    fn compare(
        &mut self,
        old: Option<Index>,
        index: &Path,
        unreadable: Unreadable,
    ) -> Result<(), ArchiveError> {
        let mut old = Old {
            index: old,
            next: None,
            path: index.to_owned(),
            gone: Vec::new(),
            covers: Vec::new(),
        };
        old.step()?;
        let started = now();
        let stratum = self.stratum;
        let top = open_stratum(stratum)?;
        let mut walk = Walk::new(top, stratum_closed(stratum), stratum.hidden.clone(), false);
        let stat = rustix::fs::fstat(walk.descent().here())
            .map_err(ArchiveError::io("read", &stratum.directory))?;
        self.path(RelPath::root(), &Version::new(&stat), started, &mut old)?;
        loop {
            let step = walk.step();
            let path = walk.path();
            let failed = |path: &RelPath| ArchiveError::io("read", path.below(&stratum.directory));
            match step {
                Ok(None) => break,
                Ok(Some(Step::Devices)) => continue,
                Ok(Some(Step::Entry(_))) => {}
                // The layer tells it.
                Err(Errno::ACCESS) if unreadable == Unreadable::Skip => continue,
                Err(errno) => return Err(failed(&path)(errno)),
            }
            if walk.name().starts_with(WHITEOUT) {
                // What cannot be kept, the layer tells.
                walk.stay_out();
            }
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            match rustix::fs::statat(walk.descent().here(), walk.name(), flags) {
                Ok(stat) => self.path(path, &Version::new(&stat), started, &mut old)?,
                // As if it had gone a moment earlier.
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(failed(&path)(errno)),
            }
        }
        while old.next.is_some() {
            old.pass()?;
        }
        self.gone = old.gone;
        Ok(())
    }

    /// Compares one path of the walk with what the index says.
    fn path(
        &mut self,
        path: RelPath,
        version: &Version,
        started: (i64, i64),
        old: &mut Old,
    ) -> Result<(), ArchiveError> {
        while old.next.as_ref().is_some_and(|known| known.path < path) {
            old.pass()?;
        }
        let known = match old.next.take_if(|known| known.path == path) {
            Some(known) => {
                old.step()?;
                Some(known)
            }
            None => None,
        };
        let size = if version.file_type() == FileType::RegularFile { version.size } else { 0 };
        self.bytes = self.bytes.saturating_add(size);
        self.new.add(&path, version, is_recent(version, started))?;
        let same = known.is_some_and(|known| !known.recent && same(&known.version, version));
        if !same && self.whole.is_none() {
            self.changed_bytes = self.changed_bytes.saturating_add(size);
            // What lay in a directory that is none any more is covered by what is there now.
            if version.file_type() != FileType::Directory {
                old.covers.push(path.clone());
            }
            self.changed.push(Changed { path, file_type: version.file_type() });
            if self.changed.len() > MOST_PATHS {
                self.whole = Some(Whole::Different);
            }
        }
        Ok(())
    }

    /// The directories above all that differs belong into the layer too: whoever unpacks it alone
    /// would have to invent them.
    fn add_directories(&mut self) {
        let differing = self.changed.iter().map(|changed| &changed.path).chain(&self.gone);
        let mut above: HashSet<RelPath> = HashSet::new();
        for path in differing {
            above.insert(RelPath::root());
            above.extend(path.ancestors());
        }
        for changed in &self.changed {
            above.remove(&changed.path);
        }
        let directory = |path| Changed { path, file_type: FileType::Directory };
        self.changed.extend(above.into_iter().map(directory));
        self.changed.sort_by(|a, b| a.path.cmp(&b.path));
    }

    /// Why the base has to be written whole; `None` when a layer of what differs does.
    #[must_use]
    pub fn whole(&self) -> Option<Whole> {
        self.whole
    }

    /// Whether the layers that hold the base hold it as it is.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        self.whole.is_none() && self.changed.is_empty() && self.gone.is_empty()
    }

    /// Leaves of what the layers below could not keep only that which is there as it was.
    pub(crate) fn outdate(&self, losses: &mut Losses) {
        let gone: HashSet<&RelPath> = self.gone.iter().collect();
        let changed: HashMap<&RelPath, FileType> =
            self.changed.iter().map(|changed| (&changed.path, changed.file_type)).collect();
        let covers = |above: &RelPath| {
            gone.contains(above)
                || changed.get(above).is_some_and(|kind| *kind != FileType::Directory)
        };
        losses.retain(|path| {
            let is_known = changed.contains_key(path) || gone.contains(path);
            !is_known && !path.ancestors().any(|above| covers(&above))
        });
    }

    /// The layers that hold the base as of the last archive, lowest first, under the names that
    /// were given to [`Self::keep`]; the new one comes on top. None when it is written whole.
    #[must_use]
    pub fn layers(&self) -> &[String] {
        &self.layers
    }

    /// Bytes of content in the base, and how many of them lie in files that differ.
    #[must_use]
    pub fn bytes(&self) -> (u64, u64) {
        (self.bytes, self.changed_bytes)
    }

    /// Writes the next layer: the whole base, or what differs.
    ///
    /// # Errors
    /// As [`write_layer`].
    pub fn write(
        &self,
        options: &LayerOptions,
        out: &mut (dyn Write + Send),
        listing: &mut dyn Write,
    ) -> Result<LayerWritten, ArchiveError> {
        match self.whole {
            Some(_) => write_layer(self.stratum, options, out, listing),
            None => delta::write(self.stratum, &self.changed, &self.gone, options, out, listing),
        }
    }

    /// Remembers that the base is held by [`Self::layers`] and `layer` on top of them, once that
    /// one is where it will be found. Without one, when nothing differs, only versions are noted.
    ///
    /// # Errors
    /// When the index cannot be written; the one before counts on.
    pub fn keep(self, layer: Option<String>) -> Result<(), ArchiveError> {
        let mut layers = self.layers;
        layers.extend(layer);
        self.new.keep(&Tail { directory: self.stratum.directory.clone(), layers })
    }
}

/// The index as it is gone through beside the walk.
struct Old {
    index: Option<Index>,
    next: Option<Known>,
    path: PathBuf,
    gone: Vec<RelPath>,
    /// Paths below which nothing needs to be said to be gone.
    covers: Vec<RelPath>,
}

impl Old {
    fn step(&mut self) -> Result<(), ArchiveError> {
        self.next = match &mut self.index {
            Some(index) => index.next_known().map_err(ArchiveError::io("read", &self.path))?,
            None => None,
        };
        Ok(())
    }

    /// The next path of the index is not in the base any more.
    fn pass(&mut self) -> Result<(), ArchiveError> {
        if let Some(known) = self.next.take() {
            let path = known.path;
            // What follows in the order of the paths and is past all that can lie in a cover.
            self.covers.retain(|cover| {
                path.is_within(cover)
                    || path.as_bytes() < [cover.as_bytes(), b"0"].concat().as_slice()
            });
            if !self.covers.iter().any(|cover| path.is_within(cover)) {
                self.covers.push(path.clone());
                self.gone.push(path);
            }
        }
        self.step()
    }
}

/// Whether nothing was done to it.
fn same(then: &Version, now: &Version) -> bool {
    let directory = then.file_type() == FileType::Directory;
    // The size and the number of names of a directory say only how it is kept.
    let kept = |v: &Version| {
        let (size, nlink) = if directory { (0, 0) } else { (v.size, v.nlink) };
        (v.ino, size, v.mtime, v.ctime, v.mode, v.uid, v.gid, v.rdev, nlink)
    };
    kept(then) == kept(now)
}

fn now() -> (i64, i64) {
    let now = rustix::time::clock_gettime(ClockId::Realtime);
    (now.tv_sec, now.tv_nsec)
}

/// Whether a change after `started` might leave the same times as `version` has.
fn is_recent(version: &Version, (seconds, nanoseconds): (i64, i64)) -> bool {
    let nanosecond = |seconds: i64, nanoseconds: i64| {
        i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds)
    };
    let ctime = version.ctime;
    // Some file systems know whole seconds only, or even ones.
    let tick = if ctime.nanoseconds == 0 { 2_000_000_000 } else { i128::from(TICK) };
    nanosecond(ctime.seconds, ctime.nanoseconds.into()) + tick >= nanosecond(seconds, nanoseconds)
}

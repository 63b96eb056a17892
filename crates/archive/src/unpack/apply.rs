//! One layer, entry by entry.

use std::os::fd::{AsFd, OwnedFd};

use ctrlz_core::path::RelPath;
use rustix::fs::{AtFlags, FileType, Mode, XattrFlags};
use rustix::io::Errno;

use super::files::{Files, Shared, twice, write_at};
use super::remove::{clear, remove};
use super::restore::{Directory, Restore};
use super::seen::{Had, Seen};
use super::special::{node, special};
use super::target::{Selected, Whiteouts};
use crate::ahead::Feed;
use crate::descent::{Closed, Descent};
use crate::entry::{Entry, Kind, Metadata, Segment};
use crate::error::ArchiveError;
use crate::loss::Lost;
use crate::tar::Reader;
use crate::write_behind::WriteBehind;

/// Files up to this size are written by other threads.
const SMALL: u64 = 1 << 18;
/// How many further names wait for their files to be written.
const LINKS: usize = 2048;

/// See the module.
pub(super) struct Apply<'a> {
    restore: &'a mut Restore,
    at: Descent,
    /// Where `at` stands.
    here: Option<RelPath>,
    files: Files<'a>,
    shared: &'a Shared,
    /// `None` for the lowest layer: what is on disk tells it all then.
    seen: Option<Seen>,
    links: Vec<(RelPath, RelPath)>,
}

fn refused(path: &RelPath, why: &str) -> ArchiveError {
    ArchiveError::Refused { path: path.as_path().to_owned(), why: why.to_owned() }
}

impl<'a> Apply<'a> {
    pub(super) fn new(restore: &'a mut Restore, tree: OwnedFd, files: Files<'a>) -> Self {
        let shared = files.shared();
        Self {
            restore,
            at: Descent::new(tree, Closed::Refuse),
            here: None,
            shared,
            seen: shared.replace.then(Seen::default),
            files,
            links: Vec::new(),
        }
    }

    /// Applies all entries of `reader`.
    pub(super) fn layer(&mut self, reader: &mut Reader<Feed>) -> Result<(), ArchiveError> {
        while let Some(item) = reader.next_entry()? {
            let raw = item.entry.path.clone();
            let Some(entry) = item.entry.in_layer().map_err(|why| refused(&raw, why))? else {
                let name = "a note of aufs".to_owned();
                self.restore.losses.add(&raw, Lost::Word { name });
                continue;
            };
            let selected = self.restore.target.selects(&entry.path);
            if selected == Selected::Not {
                continue;
            }
            for name in item.words {
                self.restore.losses.add(&entry.path, Lost::Word { name });
            }
            self.entry(entry, selected, reader)?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        entry: Entry,
        selected: Selected,
        reader: &mut Reader<Feed>,
    ) -> Result<(), ArchiveError> {
        let Entry { path, kind, metadata } = entry;
        let above = selected == Selected::Above;
        match kind {
            Kind::Directory => self.directory(path, metadata),
            Kind::Opaque => self.opaque(&path),
            Kind::Whiteout => self.whiteout(&path),
            // In the place of a directory with something that was asked for in it.
            _ if above => self.whiteout(&path),
            Kind::HardLink { target } => self.link(path, target),
            Kind::File { size, segments } => {
                self.new_entry(&path, Had::Other)?;
                self.restore.counts.files += 1;
                self.file(path, size, segments, metadata, reader)
            }
            kind => {
                self.new_entry(&path, Had::Other)?;
                let restore = &mut *self.restore;
                let (devices, losses) = (restore.target.devices, &mut restore.losses);
                let entry = Entry { path, kind, metadata };
                let made = special(self.shared, self.at.here(), &entry, devices, losses)?;
                match entry.kind {
                    Kind::Symlink { .. } => restore.counts.symlinks += 1,
                    _ => restore.counts.specials += u64::from(made),
                }
                Ok(())
            }
        }
    }

    /// Stands in the directory of `path`, making what is missing of it.
    fn go_above(&mut self, path: &RelPath) -> Result<(), ArchiveError> {
        let above = path.parent().unwrap_or_default();
        if self.here.as_ref() == Some(&above) {
            return Ok(());
        }
        if let Some(seen) = &mut self.seen {
            if seen.leads_through_file(path) {
                return Err(refused(path, "it lies in something that is no directory"));
            }
            for directory in path.ancestors() {
                seen.set(&directory, Had::Directory);
            }
        }
        self.go(&above, path)
    }

    fn go(&mut self, directory: &RelPath, path: &RelPath) -> Result<(), ArchiveError> {
        self.here = None;
        let told = &mut self.restore.directories;
        let gone = self.at.go(directory.as_bytes(), |at, name, errno| {
            if errno != Errno::NOENT {
                return Err(errno);
            }
            rustix::fs::mkdirat(at.here(), name, Mode::RWXU)?;
            let mut above = directory.ancestors().skip(at.depth());
            let path = above.next().unwrap_or_else(|| directory.clone());
            told.push(Directory { path, metadata: None });
            Ok(())
        });
        match gone {
            Ok(()) => {}
            // A link is not followed.
            Err(Errno::NOTDIR | Errno::LOOP) => {
                return Err(refused(path, "it lies in something that is no directory"));
            }
            Err(Errno::NAMETOOLONG) => {
                return Err(refused(path, "its name is longer than the file system allows"));
            }
            Err(errno) => {
                let shown = directory.below(&self.shared.tree);
                return Err(ArchiveError::io("open", shown)(errno));
            }
        }
        self.here = Some(directory.clone());
        Ok(())
    }

    /// Prepares for an entry that is no directory: stands above it, and sees to it that the layer
    /// tells it only once.
    fn new_entry(&mut self, path: &RelPath, had: Had) -> Result<(), ArchiveError> {
        self.go_above(path)?;
        if let Some(seen) = &mut self.seen {
            if matches!(seen.get(path), Some(Had::Directory | Had::Other)) {
                return Err(twice(path));
            }
            seen.set(path, had);
        }
        Ok(())
    }

    fn directory(&mut self, path: RelPath, metadata: Metadata) -> Result<(), ArchiveError> {
        self.restore.counts.directories += 1;
        if !path.is_root() {
            self.go_above(&path)?;
            if let Some(seen) = &mut self.seen {
                if seen.get(&path) == Some(Had::Other) {
                    return Err(twice(&path));
                }
                seen.set(&path, Had::Directory);
            }
            let (at, name) = (&self.at, name(&path));
            self.shared.make(at.here(), name, &path, || {
                match rustix::fs::mkdirat(at.here(), name, Mode::RWXU) {
                    Err(Errno::EXIST) if is_directory(at.here(), name) => Ok(()),
                    made => made,
                }
            })?;
        }
        self.restore.directories.push(Directory { path, metadata: Some(metadata) });
        Ok(())
    }

    fn whiteout(&mut self, path: &RelPath) -> Result<(), ArchiveError> {
        if path.is_root() {
            return Err(refused(path, "it would remove the tree itself"));
        }
        self.restore.counts.whiteouts += 1;
        if self.restore.target.whiteouts != Whiteouts::Apply {
            self.new_entry(path, Had::Other)?;
            // Needs no right: mknod(2) allows this one to everyone since Linux 5.8.
            let kind = FileType::CharacterDevice;
            return node(self.shared, self.at.here(), name(path), path, kind, 0);
        }
        // The lowest layer has nothing below it.
        let Some(seen) = &mut self.seen else { return Ok(()) };
        match seen.get(path) {
            Some(Had::Directory) => return Err(refused(path, "it is there and gone as well")),
            // A whiteout is about lower layers only.
            Some(Had::Other) => return Ok(()),
            Some(Had::Gone) | None => seen.set(path, Had::Gone),
        }
        if seen.leads_through_file(path) {
            return Err(refused(path, "it lies in something that is no directory"));
        }
        let above = path.parent().unwrap_or_default();
        if self.here.as_ref() != Some(&above) {
            self.here = None;
            match self.at.go(above.as_bytes(), |_, _, errno| Err(errno)) {
                Ok(()) => self.here = Some(above),
                // Where there is no directory, there is nothing to remove.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
                Err(errno) => {
                    return Err(ArchiveError::io("open", path.below(&self.shared.tree))(errno));
                }
            }
        }
        remove(self.at.here(), name(path))
            .map_err(ArchiveError::io("remove", path.below(&self.shared.tree)))
    }

    fn opaque(&mut self, path: &RelPath) -> Result<(), ArchiveError> {
        self.restore.counts.opaque += 1;
        let attribute = match self.restore.target.whiteouts {
            Whiteouts::Apply => None,
            Whiteouts::KeepUser => Some("user.overlay.opaque"),
            Whiteouts::KeepTrusted => Some("trusted.overlay.opaque"),
        };
        if self.seen.is_none() && attribute.is_none() {
            return Ok(());
        }
        if let Some(seen) = &mut self.seen {
            if seen.get(path) == Some(Had::Other) || seen.leads_through_file(path) {
                return Err(refused(path, "it is no directory and opaque"));
            }
            for directory in path.ancestors().chain([path.clone()]) {
                seen.set(&directory, Had::Directory);
            }
        }
        self.go(path, path)?;
        if let Some(attribute) = attribute {
            return rustix::fs::fsetxattr(self.at.here(), attribute, b"y", XattrFlags::empty())
                .map_err(ArchiveError::io("make opaque", path.below(&self.shared.tree)));
        }
        // What this layer has put there itself stays; files that are not written yet are no matter.
        self.files.settle()?;
        self.clear(path)
    }

    /// Removes what lower layers have in `path`, where `at` stands.
    fn clear(&mut self, path: &RelPath) -> Result<(), ArchiveError> {
        let Some(seen) = &self.seen else { return Ok(()) };
        let mut inner = Vec::new();
        let child = |name: &[u8]| path.child(std::os::unix::ffi::OsStrExt::from_bytes(name));
        let cleared = clear(self.at.here(), |name| match seen.get(&child(name)) {
            Some(Had::Directory) => {
                inner.push(child(name));
                true
            }
            Some(Had::Other) => true,
            Some(Had::Gone) | None => false,
        });
        cleared.map_err(ArchiveError::io("empty", path.below(&self.shared.tree)))?;
        for path in inner {
            self.go(&path, &path)?;
            self.clear(&path)?;
        }
        Ok(())
    }

    fn link(&mut self, path: RelPath, target: RelPath) -> Result<(), ArchiveError> {
        self.new_entry(&path, Had::Other)?;
        self.restore.counts.hard_links += 1;
        if self.restore.target.selects(&target) != Selected::Asked {
            let layer = self.restore.layers;
            self.restore.absent.add(target, layer, path);
            return Ok(());
        }
        self.links.push((path, target));
        if self.links.len() >= LINKS { self.make_links() } else { Ok(()) }
    }

    /// Gives files their further names, once the files are there.
    fn make_links(&mut self) -> Result<(), ArchiveError> {
        if self.links.is_empty() {
            return Ok(());
        }
        self.files.settle()?;
        for (path, target) in std::mem::take(&mut self.links) {
            let missing = || refused(&path, "it links to something that is not there");
            self.here = None;
            let above = target.parent().unwrap_or_default();
            match self.at.go(above.as_bytes(), |_, _, errno| Err(errno)) {
                Ok(()) => {}
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Err(missing()),
                Err(errno) => {
                    return Err(ArchiveError::io("open", target.below(&self.shared.tree))(errno));
                }
            }
            let from = self.at.shared();
            if path == target {
                return Err(refused(&path, "it links to itself"));
            }
            if is_directory(&from, name(&target)) {
                return Err(refused(&path, "it links to a directory"));
            }
            if rustix::fs::statat(&from, name(&target), AtFlags::SYMLINK_NOFOLLOW).is_err() {
                return Err(missing());
            }
            self.go_above(&path)?;
            let at = &self.at;
            self.shared.make(at.here(), name(&path), &path, || {
                rustix::fs::linkat(&from, name(&target), at.here(), name(&path), AtFlags::empty())
            })?;
        }
        Ok(())
    }

    fn file(
        &mut self,
        path: RelPath,
        size: u64,
        segments: Option<Vec<Segment>>,
        metadata: Metadata,
        reader: &mut Reader<Feed>,
    ) -> Result<(), ArchiveError> {
        self.restore.counts.bytes += reader.left();
        if size <= SMALL && segments.is_none() {
            let file = self.files.begin(self.at.shared(), name(&path), path.clone(), metadata);
            while reader.left() > 0 {
                let bytes = reader.content()?;
                self.files.content(bytes);
                let length = bytes.len();
                reader.consume(length);
            }
            return self.files.end(file);
        }
        let failed = |action| ArchiveError::io(action, path.below(&self.shared.tree));
        let shared = self.shared;
        let (file, mode) = shared.create(self.at.here(), name(&path), &path, &metadata)?;
        let whole = vec![Segment { offset: 0, length: size }];
        let mut behind = self.restore.target.durable.then(WriteBehind::default);
        let mut end = 0;
        for segment in segments.unwrap_or(whole) {
            let mut at = segment.offset;
            end = segment.offset + segment.length;
            while at < end {
                let bytes = reader.content()?;
                let most = usize::try_from(end - at).unwrap_or(usize::MAX).min(bytes.len());
                let bytes = bytes.get(..most).unwrap_or_default();
                write_at(&file, bytes, at).map_err(failed("write"))?;
                reader.consume(most);
                at += most as u64;
                if let Some(behind) = &mut behind {
                    behind.written(&file, at);
                }
            }
        }
        if end < size {
            rustix::fs::ftruncate(&file, size).map_err(failed("write"))?;
        }
        shared
            .keep
            .on_open(&file, &path, &metadata, Some(mode), &mut self.restore.losses)
            .map_err(failed("set the attributes of"))
    }

    /// Goes through a layer for the content of names that were left out.
    pub(super) fn absent(
        &mut self,
        reader: &mut Reader<Feed>,
        index: usize,
    ) -> Result<(), ArchiveError> {
        self.seen = None;
        while let Some(item) = reader.next_entry()? {
            let path = &item.entry.path;
            if matches!(item.entry.kind, Kind::HardLink { .. } | Kind::Directory) {
                continue;
            }
            let names = self.restore.absent.take(path, index);
            let Some((first, further)) = names.split_first() else { continue };
            let (first, further) = (first.clone(), further.to_vec());
            self.go_above(&first)?;
            let entry = Entry { path: first.clone(), ..item.entry };
            self.entry(entry, Selected::Asked, reader)?;
            self.links.extend(further.into_iter().map(|name| (name, first.clone())));
            self.make_links()?;
        }
        Ok(())
    }

    /// Waits until all of the layer is on its way to the disk.
    pub(super) fn finish(mut self) -> Result<(), ArchiveError> {
        self.make_links()?;
        self.files.settle()
    }
}

/// The last part of a path.
pub(super) fn name(path: &RelPath) -> &[u8] {
    std::os::unix::ffi::OsStrExt::as_bytes(path.file_name())
}

fn is_directory(directory: impl AsFd, name: &[u8]) -> bool {
    rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}

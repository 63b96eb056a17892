//! Keeping the store out of a base that holds it, such as `/` or the user's home.
//!
//! Just above the base lies a layer with a whiteout in the store's place. Without it a command
//! that walks the whole tree would meet its own writes, and one that removes it would make the
//! commit remove the store.
//!
//! overlayfs refuses lower directories that lie in one another (`ELOOP`, "overlapping lowerdir
//! path"), as layers in a store below the base do. Whoever mounts such a head puts a read-only
//! overlay of the base and an empty directory of another file system in the base's place.

use std::path::{Path, PathBuf};

use ctrlz_core::path::RelPath;
use ctrlz_core::workspace::WorkspaceError;

use super::head::{imitate, ownership};
use super::store::{Store, make_directory};
use crate::layer::{is_whiteout, make_whiteout};
use crate::node::{copy_metadata, failed, version};
use crate::view::Layer;

impl Store {
    /// Where the store lies in `base`, if it does.
    pub(super) fn inside(&self, base: &Path) -> Option<RelPath> {
        let real = |path: &Path| path.canonicalize().ok();
        let inside = self.real_dir()?.strip_prefix(real(base)?).ok()?.to_owned();
        RelPath::parse(inside).ok().filter(|path| !path.is_root())
    }

    fn mask(&self, inside: &RelPath) -> PathBuf {
        let digest = blake3::hash(inside.as_bytes()).to_hex();
        self.masks().join(digest.get(..32).unwrap_or_default())
    }

    /// The layer that hides the store in `base`, brought up to date; `None` when there is nothing
    /// to hide.
    pub(super) fn prepare_mask(&self, base: &Path) -> Result<Option<PathBuf>, WorkspaceError> {
        let Some(inside) = self.inside(base) else { return Ok(None) };
        let mask = self.mask(&inside);
        make_directory(&mask)?;
        let mut changed = Vec::new();
        for above in inside.ancestors() {
            let (live, ours) = (above.below(base), above.below(&mask));
            make_directory(&ours)?;
            if let (Some(live), Some(ours)) = (version(&live)?, version(&ours)?)
                && (ownership(&live), live.mtime) != (ownership(&ours), ours.mtime)
            {
                changed.push((above, live));
            }
        }
        let place = inside.below(&mask);
        if !version(&place)?.is_some_and(|entry| is_whiteout(&entry)) {
            make_whiteout(&place)?;
        }
        for (above, live) in changed.iter().rev() {
            let ours = above.below(&mask);
            match copy_metadata(&above.below(base), &ours) {
                Err(error) if crate::access::is_denied(&error) => imitate(live, &ours)?,
                result => result?,
            }
        }
        Ok(Some(mask))
    }

    /// The same layer for a view, as it was prepared last.
    pub(super) fn mask_layer(&self, base: &Path) -> Option<Layer> {
        let mask = self.mask(&self.inside(base)?);
        Some(Layer::on_disk(mask.clone(), false, mask.join("none")))
    }

    /// Errs when a change of `path`, which `removes` what is there, would reach the store.
    pub(super) fn check_spares_store(
        &self,
        base: &Path,
        path: &RelPath,
        removes: bool,
    ) -> Result<(), WorkspaceError> {
        let Some(inside) = self.inside(base) else { return Ok(()) };
        if path.is_within(&inside) || (removes && inside.is_within(path)) {
            let refused = std::io::Error::new(
                std::io::ErrorKind::ResourceBusy,
                "ctrlz keeps its own data there",
            );
            return Err(failed("change", path.below(base))(refused));
        }
        Ok(())
    }
}

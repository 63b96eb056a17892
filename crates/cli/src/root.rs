//! `--root`: which root a sandbox gets, and what its workspace starts from.

use std::path::{Path, PathBuf};

use ctrlz_core::sandbox::Root;
use ctrlz_engine::BaseChoice;

use crate::failure::{Failure, OWN_FAILURE};
use crate::places::{self, canonical};

/// What a sandbox of `folder` starts from under `--root`.
pub(crate) fn choose(root: Option<&Path>, folder: &Path) -> Result<BaseChoice, Failure> {
    match root.map(|root| (root, root.to_str())) {
        // A workspace at `/` is the whole root, and then the root is copy-on-write.
        None | Some((_, Some("host"))) if folder == Path::new("/") => Ok(overlay()),
        None | Some((_, Some("host"))) => {
            check_base(folder)?;
            Ok(BaseChoice { root: Root::Host, base: folder.to_owned() })
        }
        Some((_, Some("overlay"))) => Ok(overlay()),
        Some((path, _)) => {
            let path = canonical(path)?;
            if path.is_dir() && !path.join("oci-layout").exists() {
                return Ok(BaseChoice { root: Root::Directory { path: path.clone() }, base: path });
            }
            let unpacked = ctrlz_workspace::image::unpack(&path, &places::store()?.join("images"))?;
            let root = Root::Image { source: path, unpacked: unpacked.clone() };
            Ok(BaseChoice { root, base: unpacked })
        }
    }
}

/// What [`choose`] will answer, as far as that is told without unpacking anything: a root of its
/// own is named by the folder or file that the user gave.
pub(crate) fn expected(root: Option<&Path>, folder: &Path) -> BaseChoice {
    match root.map(|root| (root, root.to_str())) {
        None | Some((_, Some("host"))) if folder != Path::new("/") => {
            BaseChoice { root: Root::Host, base: folder.to_owned() }
        }
        None | Some((_, Some("host" | "overlay"))) => overlay(),
        Some((path, _)) => {
            // Critical or not is told even of a command whose root is not there.
            let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
            BaseChoice { root: Root::Directory { path: path.clone() }, base: path }
        }
    }
}

fn overlay() -> BaseChoice {
    BaseChoice { root: Root::Overlay, base: PathBuf::from("/") }
}

/// Folders of the kernel hold no files that could be kept or undone.
fn check_base(folder: &Path) -> Result<(), Failure> {
    let kernel = ["/proc", "/sys", "/dev"].iter().find(|place| folder.starts_with(place));
    // /dev/shm is an ordinary file system that happens to lie there.
    match kernel {
        Some(place) if !folder.starts_with("/dev/shm") => Err(Failure::new(
            OWN_FAILURE,
            "base",
            format!("{} lies in {place}, which holds no ordinary files", folder.display()),
        )),
        _ => Ok(()),
    }
}

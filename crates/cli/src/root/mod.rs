//! `--root`: which root a sandbox gets, and what its workspace starts from.

pub(crate) mod images;
mod named;
mod reference;
pub(crate) mod unused;

use std::path::{Path, PathBuf};

use ctrlz_core::event::MadeOf;
use ctrlz_core::sandbox::Root;
use ctrlz_engine::BaseChoice;

use crate::failure::{Failure, OWN_FAILURE};

pub(crate) use named::Named;
pub(crate) use reference::Pull;
use reference::Reference;

/// What a sandbox of `folder` starts from under `--root`. `pull` says when a registry is asked.
pub(crate) fn choose(
    root: Option<&Path>,
    folder: &Path,
    pull: Pull,
) -> Result<BaseChoice, Failure> {
    match root.map(|root| (root, root.to_str())) {
        // A workspace at `/` is the whole root, and then the root is copy-on-write.
        None | Some((_, Some("host"))) if folder == Path::new("/") => Ok(overlay()),
        None | Some((_, Some("host"))) => {
            check_base(folder)?;
            Ok(bare(Root::Host, folder.to_owned()))
        }
        Some((_, Some("overlay"))) => Ok(overlay()),
        Some((_, Some(text))) if reference::is_one(text) => {
            let reference: Reference = text.parse()?;
            let (unpacked, image) = reference.unpacked(pull)?;
            let root =
                Root::Image { source: reference.to_string().into(), unpacked: unpacked.clone() };
            let made_of = MadeOf { image: Some(image), ..MadeOf::default() };
            Ok(BaseChoice { root, base: unpacked, made_of })
        }
        Some((path, _)) => {
            let named = find(path)?;
            if named.is_tree() {
                let path = named.path;
                return Ok(bare(Root::Directory { path: path.clone() }, path));
            }
            let (unpacked, image) = images::unpacked(&named)?;
            let root = Root::Image { source: named.source(), unpacked: unpacked.clone() };
            let made_of = MadeOf { image, ..MadeOf::default() };
            Ok(BaseChoice { root, base: unpacked, made_of })
        }
    }
}

fn find(root: &Path) -> Result<Named, Failure> {
    Named::find(root).map_err(|error| {
        let message = format!("{} cannot be a root: {error}", root.display());
        Failure::new(OWN_FAILURE, "root", message)
    })
}

/// What [`choose`] will answer, as far as that is told without unpacking anything: a root of its
/// own is named by the folder or file that the user gave.
pub(crate) fn expected(root: Option<&Path>, folder: &Path) -> BaseChoice {
    match root.map(|root| (root, root.to_str())) {
        None | Some((_, Some("host"))) if folder != Path::new("/") => {
            bare(Root::Host, folder.to_owned())
        }
        None | Some((_, Some("host" | "overlay"))) => overlay(),
        Some((path, Some(text))) if reference::is_one(text) => {
            bare(Root::Directory { path: path.to_owned() }, path.to_owned())
        }
        Some((path, _)) => {
            // Critical or not is told even of a command whose root is not there.
            let path = Named::find(path).map_or_else(|_| path.to_owned(), |named| named.source());
            bare(Root::Directory { path: path.clone() }, path)
        }
    }
}

fn overlay() -> BaseChoice {
    bare(Root::Overlay, PathBuf::from("/"))
}

/// A folder of the host, of which no digest is known.
fn bare(root: Root, base: PathBuf) -> BaseChoice {
    BaseChoice { root, base, made_of: MadeOf::default() }
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

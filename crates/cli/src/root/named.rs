//! What `--root` names: a folder or a file, and which of its images.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ctrlz_archive::image::Found;

/// `PATH` or, where that does not exist, `PATH:IMAGE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    /// Without symbolic links.
    pub(crate) path: PathBuf,
    /// The name of one image of several.
    pub(super) image: Option<String>,
}

impl Named {
    /// What lies at `root`; of several readings the one with the shortest name of an image counts.
    ///
    /// # Errors
    /// When nothing lies there.
    pub(crate) fn find(root: &Path) -> io::Result<Self> {
        let whole = match root.canonicalize() {
            Ok(path) => return Ok(Self { path, image: None }),
            Err(error) => error,
        };
        let bytes = root.as_os_str().as_bytes();
        for at in (0..bytes.len()).rev().filter(|at| bytes.get(*at) == Some(&b':')) {
            let Some((path, [_, image @ ..])) = bytes.split_at_checked(at) else { continue };
            let Ok(image) = str::from_utf8(image) else { continue };
            if let Ok(path) = Path::new(OsStr::from_bytes(path)).canonicalize()
                && !image.is_empty()
            {
                return Ok(Self { path, image: Some(image.to_owned()) });
            }
        }
        Err(whole)
    }

    /// The same in one, as [`Self::find`] takes it.
    pub(crate) fn source(&self) -> PathBuf {
        let mut source = self.path.clone().into_os_string();
        if let Some(image) = &self.image {
            source.push(":");
            source.push(image);
        }
        source.into()
    }

    /// Whether it is a folder with the files of a root.
    pub(crate) fn is_tree(&self) -> bool {
        self.path.is_dir() && matches!(Found::at(&self.path), Ok(Found::Tree))
    }

    /// The same for a person.
    pub(super) fn shown(&self) -> String {
        self.source().display().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_told_from_the_name_of_an_image() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = directory.path().canonicalize().expect("its own path");
        std::fs::write(at.join("saved:1.tar"), "").expect("written");
        let find = |name: &str| Named::find(&at.join(name)).map(|named| (named.path, named.image));
        let path = at.join("saved:1.tar");
        assert_eq!(find("saved:1.tar").expect("there"), (path.clone(), None));
        for image in ["tag", "some:tag", "registry.test:5000/some:tag"] {
            let name = format!("saved:1.tar:{image}");
            assert_eq!(find(&name).expect("there"), (path.clone(), Some(image.to_owned())));
            let named = Named::find(&at.join(&name)).expect("there");
            assert_eq!(Named::find(&named.source()).expect("there"), named);
        }
        for nothing in ["saved", "saved:1", "saved:1.tar:", "other.tar:tag"] {
            assert!(find(nothing).is_err(), "{nothing}");
        }
    }
}

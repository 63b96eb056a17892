//! Whether a directory or a file is an image or the files of a root themselves.
//!
//! Both may be a directory or a tar, and nothing in an image's documents says where such a directory
//! or tar ends up. What is told here goes by the names at the top alone.

use std::fs::File;
use std::io::BufReader;
use std::ops::ControlFlow;
use std::path::{Component, Path};

use super::files::{is_compressed, names, names_in};
use crate::codec::Decoder;
use crate::{ArchiveError, Limits};

/// What a directory or a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// The files of a root: a directory, or a tar as [`crate::Restore::apply`] reads it.
    Tree,
    /// An image, as [`super::Foreign::open`] reads it.
    Image,
    /// A tar with an image, compressed as a whole. [`super::Foreign::open_tar`] reads what is in it.
    CompressedImage,
}

/// Directories that are at the top of a root and never at the top of an image (FHS 3.0, section
/// 3.2). With one of them, a file `manifest.json` is the root's own.
const OF_A_ROOT: [&str; 20] = [
    "bin", "boot", "dev", "etc", "home", "lib", "lib32", "lib64", "media", "mnt", "opt", "proc",
    "root", "run", "sbin", "srv", "sys", "tmp", "usr", "var",
];

/// The names at the top that tell what it is.
#[derive(Debug, Default)]
struct Top {
    of_a_root: bool,
    /// `oci-layout` or `manifest.json`, see [`super::Foreign`].
    of_an_image: bool,
}

impl Top {
    /// Takes note of a name; breaks once no other one could change the answer.
    fn note(&mut self, path: &Path) -> ControlFlow<()> {
        let mut parts = path.components().filter(|part| *part != Component::CurDir);
        let (first, more) = (parts.next(), parts.next().is_some());
        let Some(Component::Normal(name)) = first else { return ControlFlow::Continue(()) };
        self.of_a_root |= OF_A_ROOT.iter().any(|directory| name == *directory);
        if !more {
            self.of_an_image |= name == "oci-layout" || name == "manifest.json";
        }
        if self.of_a_root { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn is_image(&self) -> bool {
        self.of_an_image && !self.of_a_root
    }
}

impl Found {
    /// Looks at `path`. Of a tar the names are read, and of a compressed one for that the whole,
    /// unless a directory of a root comes before.
    ///
    /// # Errors
    /// When it cannot be read, or is neither a directory nor a file.
    pub fn at(path: &Path) -> Result<Self, ArchiveError> {
        let failed = |error: std::io::Error| ArchiveError::io("read", path)(error);
        let mut top = Top::default();
        // Opening a pipe would wait for its other end.
        let status = std::fs::metadata(path).map_err(failed)?;
        if status.is_dir() {
            for entry in std::fs::read_dir(path).map_err(failed)? {
                if top.note(Path::new(&entry.map_err(failed)?.file_name())).is_break() {
                    break;
                }
            }
            return Ok(if top.is_image() { Self::Image } else { Self::Tree });
        }
        if !status.is_file() {
            let why = format!("{} is neither a directory nor a file", path.display());
            return Err(ArchiveError::malformed("the image", why));
        }
        let file = File::open(path).map_err(failed)?;
        let compressed = is_compressed(&file).map_err(failed)?;
        // Whatever is wrong with it, whoever reads it as what it seems to be will say so.
        let _ = if compressed {
            let decoder = Decoder::new(BufReader::new(file), Limits::default())?;
            names_in(decoder, |name| top.note(name))
        } else {
            names(file, status.len(), |name| top.note(name))
        };
        Ok(match (top.is_image(), compressed) {
            (false, _) => Self::Tree,
            (true, false) => Self::Image,
            (true, true) => Self::CompressedImage,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn tar(names: &[&str]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for name in names {
            let mut header = tar::Header::new_gnu();
            header.set_size(3);
            builder.append_data(&mut header, name, &b"abc"[..]).expect("a tar in memory");
        }
        builder.into_inner().expect("a tar in memory")
    }

    fn of(bytes: &[u8]) -> Found {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(bytes).expect("written");
        Found::at(file.path()).expect("readable")
    }

    #[test]
    fn images_are_told_from_roots_by_what_is_at_the_top() {
        let image: [&[&str]; 3] = [
            &["./blobs/sha256/ab", "./index.json", "./oci-layout"],
            &["ab.json", "cd/layer.tar", "manifest.json"],
            &["manifest.json"],
        ];
        let tree: [&[&str]; 5] = [
            &[],
            &["./ctrlz"],
            &["manifest.json", "./usr/bin/sh"],
            &["bin/sh", "oci-layout"],
            &["web/manifest.json", "web/oci-layout"],
        ];
        for (all, found, packed) in [
            (&image[..], Found::Image, Found::CompressedImage),
            (&tree[..], Found::Tree, Found::Tree),
        ] {
            for names in all {
                let bytes = tar(names);
                assert_eq!(of(&bytes), found, "{names:?}");
                assert_eq!(
                    of(&zstd::encode_all(&bytes[..], 1).expect("zstd")),
                    packed,
                    "{names:?}"
                );
                let directory = tempfile::tempdir().expect("a directory");
                tar::Archive::new(&bytes[..]).unpack(directory.path()).expect("unpacked");
                assert_eq!(Found::at(directory.path()).expect("readable"), found, "{names:?}");
            }
        }
    }

    #[test]
    fn what_is_no_tar_is_left_to_those_who_read_it() {
        for bytes in [&b""[..], b"no tar", &[0x1f, 0x8b, 8, 0], &tar(&["manifest.json"])[..700]] {
            let found = of(bytes);
            assert!(matches!(found, Found::Tree | Found::Image), "{bytes:?}");
        }
        let error = Found::at(Path::new("/dev/null")).expect_err("a device");
        assert!(error.to_string().contains("neither a directory nor a file"), "{error}");
    }
}

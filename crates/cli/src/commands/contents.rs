//! What lies in the files that a command names, as the command would see them: who approves
//! `sh script.sh` approves the script as it is now.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use ctrlz_core::changeset::Changeset;
use ctrlz_core::path::RelPath;
use ctrlz_core::sandbox::{Root, Sandbox};
use rustix::fs::{Mode, OFlags};

/// How many bytes are read of all files together. Of what is beyond, the kernel's word counts
/// that nobody wrote to it.
const MOST_BYTES: u64 = 256 << 20;
/// How many symbolic links are followed.
const MOST_LINKS: usize = 40;

/// What a command sees: the base, and above it what its sandbox changed.
pub(super) struct View<'a> {
    pub(super) root: &'a Root,
    pub(super) base: &'a Path,
    pub(super) changes: &'a Changeset,
}

/// A digest of what lies in `files` as a command in `sandbox` sees them.
pub(crate) fn seen(files: &[PathBuf], sandbox: &Sandbox, changes: &Changeset) -> String {
    View { root: &sandbox.root, base: &sandbox.base, changes }.digest(files)
}

/// What a path leads to.
enum Seen {
    /// Content on this host.
    Content(PathBuf),
    Link(PathBuf),
    /// What has no content to read, in words.
    Other(String),
    Nothing,
}

impl View<'_> {
    /// A digest of what lies in `files`, in hexadecimal digits.
    pub(super) fn digest(&self, files: &[PathBuf]) -> String {
        let mut hasher = blake3::Hasher::new_derive_key("ctrlz contents of named files, format 1");
        let mut left = MOST_BYTES;
        for file in files {
            let mut add = |text: &[u8]| {
                hasher.update(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_le_bytes());
                hasher.update(text);
            };
            add(file.as_os_str().as_bytes());
            match self.followed(file) {
                Seen::Content(content) => add(&told(&content, &mut left)),
                Seen::Other(words) => add(words.as_bytes()),
                Seen::Link(_) | Seen::Nothing => add(b""),
            }
        }
        hasher.finalize().to_hex().to_string()
    }

    /// What `file` leads to, links followed.
    fn followed(&self, file: &Path) -> Seen {
        let mut path = file.to_owned();
        for _ in 0..MOST_LINKS {
            match self.seen(&path) {
                Seen::Link(target) => path = path.parent().unwrap_or(&path).join(target),
                seen => return seen,
            }
        }
        Seen::Nothing
    }

    fn seen(&self, path: &Path) -> Seen {
        let mut path = path.to_owned();
        if matches!(self.root, Root::Host | Root::Overlay)
            && let (Some(folder), Some(name)) = (path.parent(), path.file_name())
            && let Ok(folder) = folder.canonicalize()
        {
            path = folder.join(name);
        }
        let top = if *self.root == Root::Host { self.base } else { Path::new("/") };
        let inside = path.strip_prefix(top).ok().and_then(|inside| RelPath::parse(inside).ok());
        let changed = inside.as_ref().and_then(|inside| {
            // The nearest that changed: what lies in a folder that is gone is gone, too.
            std::iter::once(inside.clone()).chain(inside.ancestors()).find_map(|above| {
                let at = self.changes.changes.binary_search_by(|one| one.path.cmp(&above)).ok()?;
                let change = self.changes.changes.get(at)?;
                (above == *inside || change.after.is_none()).then_some(change)
            })
        });
        if let Some(change) = changed {
            let Some(after) = &change.after else { return Seen::Nothing };
            return match &change.new_content {
                Some(content) => Seen::Content(content.clone()),
                // A link of the sandbox's own is not followed.
                None => Seen::Other(format!("{after:?}")),
            };
        }
        let on_host = match (self.root, inside) {
            (Root::Host | Root::Overlay, _) => path,
            (Root::Directory { path: root }, Some(inside))
                if root.is_dir() && !root.join("oci-layout").exists() =>
            {
                inside.below(root)
            }
            // An image is known by its file.
            _ => return Seen::Nothing,
        };
        match on_host.symlink_metadata() {
            Ok(found) if found.is_symlink() => {
                fs::read_link(&on_host).map_or(Seen::Nothing, Seen::Link)
            }
            Ok(_) => Seen::Content(on_host),
            Err(_) => Seen::Nothing,
        }
    }
}

/// What tells the content of a file from every other.
fn told(path: &Path, left: &mut u64) -> Vec<u8> {
    let Ok(found) = path.symlink_metadata() else { return b"gone".to_vec() };
    if !found.is_file() {
        // What is in a folder, a pipe or a device is no content of its own.
        return format!("{:o}", found.mode()).into_bytes();
    }
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let opened = rustix::fs::open(path, flags, Mode::empty()).map(File::from);
    if found.len() <= *left
        && let Ok(file) = opened
    {
        let mut hasher = blake3::Hasher::new();
        if std::io::copy(&mut file.take(found.len() + 1), &mut hasher).is_ok() {
            *left -= found.len();
            return format!("{:o} {}", found.mode(), hasher.finalize()).into_bytes();
        }
    }
    let changed = (found.ctime(), found.ctime_nsec());
    format!("{:o} {}:{} {} {changed:?}", found.mode(), found.dev(), found.ino(), found.len())
        .into_bytes()
}

/// The program that a name means under a `PATH`.
pub(super) fn program(name: &OsStr, path: Option<&OsStr>) -> Option<PathBuf> {
    if name.as_bytes().contains(&b'/') {
        return None;
    }
    let runs = |file: &PathBuf| {
        file.metadata()
            .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    std::env::split_paths(path?)
        .filter(|folder| folder.is_absolute())
        .map(|f| f.join(name))
        .find(runs)
}

#[cfg(test)]
mod tests {
    use ctrlz_core::changeset::{Change, ChangeKind, FileType, Metadata};
    use ctrlz_core::time::Timestamp;

    use super::*;

    fn change(path: &str, file_type: Option<FileType>, content: Option<PathBuf>) -> Change {
        let after = file_type.map(|file_type| Metadata {
            file_type,
            mode: 0o644,
            uid: 0,
            gid: 0,
            size: 1,
            mtime: Timestamp(0),
        });
        Change {
            path: RelPath::parse(path).unwrap(),
            kind: ChangeKind::Modified,
            before: None,
            after,
            old_content: None,
            new_content: content,
        }
    }

    #[test]
    fn content_counts_and_what_the_sandbox_changed_lies_above_the_base() {
        let scene = tempfile::tempdir().unwrap();
        let base = scene.path().canonicalize().unwrap().join("base");
        let layer = scene.path().join("layer");
        fs::create_dir_all(base.join("d")).unwrap();
        fs::create_dir_all(&layer).unwrap();
        for file in ["s", "d/t"] {
            fs::write(base.join(file), "one").unwrap();
        }
        std::os::unix::fs::symlink("s", base.join("link")).unwrap();
        fs::write(layer.join("s"), "two").unwrap();
        let nothing = Changeset::default();
        let digest = |changes: &Changeset, file: &str| {
            View { root: &Root::Host, base: &base, changes }.digest(&[base.join(file)])
        };
        let changed = |change: Change| Changeset { changes: vec![change] };
        let two = changed(change("s", Some(FileType::File), Some(layer.join("s"))));
        let before: Vec<String> =
            ["s", "link", "d/t", "none"].iter().map(|file| digest(&nothing, file)).collect();
        assert_ne!(digest(&two, "s"), before[0], "the sandbox changed it");
        assert_ne!(digest(&two, "link"), before[1], "and what leads to it");
        assert_eq!(digest(&two, "d/t"), before[2]);
        assert_ne!(digest(&changed(change("d", None, None)), "d/t"), before[2], "it is gone");
        fs::write(base.join("s"), "six").unwrap();
        assert_ne!(digest(&nothing, "s"), before[0], "as long as before, and another");
        assert_eq!(digest(&two, "s"), digest(&two, "s"));
        fs::write(base.join("s"), "one").unwrap();
        assert_eq!(digest(&nothing, "s"), before[0], "the same again is the same");
        fs::write(base.join("none"), "").unwrap();
        assert_ne!(digest(&nothing, "none"), before[3], "empty is not nothing");
    }
}

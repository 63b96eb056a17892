//! Unpacking one layer (OCI image specification 1.1, layer.md) or one plain archive.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use sha2::{Digest, Sha256};

/// A file with a layer.
#[derive(Debug)]
pub(super) struct Blob {
    pub(super) path: PathBuf,
    /// `sha256:HEX`, checked before anything is unpacked.
    pub(super) digest: Option<String>,
}

/// Unpacks `blob` over what lies in `root`.
pub(super) fn apply(blob: &Blob, root: &Path) -> io::Result<()> {
    let context = |error: io::Error| io::Error::other(format!("{}: {error}", blob.path.display()));
    check_digest(blob).map_err(context)?;
    // What a layer removes is removed before anything of it is added.
    remove_whited_out(blob, root).map_err(context)?;
    add_entries(blob, root).map_err(context)
}

fn check_digest(blob: &Blob) -> io::Result<()> {
    let Some(expected) = blob.digest.as_deref().and_then(|d| d.strip_prefix("sha256:")) else {
        return Ok(());
    };
    let mut file = BufReader::new(File::open(&blob.path)?);
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let length = file.read(&mut buffer)?;
        if length == 0 {
            break;
        }
        hasher.update(buffer.get(..length).unwrap_or_default());
    }
    let found: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    if found == expected.to_ascii_lowercase() {
        return Ok(());
    }
    Err(io::Error::other("its content does not match its digest"))
}

/// The archive in `path`, decompressed.
fn open(path: &Path) -> io::Result<tar::Archive<Box<dyn Read>>> {
    let mut file = File::open(path)?;
    let mut magic = [0; 4];
    let length = file.read(&mut magic)?;
    file.rewind()?;
    let file = BufReader::new(file);
    let reader: Box<dyn Read> = match magic.get(..length) {
        Some([0x1f, 0x8b, ..]) => Box::new(flate2::read::MultiGzDecoder::new(file)),
        Some([0x28, 0xb5, 0x2f, 0xfd]) => {
            Box::new(ruzstd::decoding::StreamingDecoder::new(file).map_err(io::Error::other)?)
        }
        _ => Box::new(file),
    };
    Ok(tar::Archive::new(reader))
}

fn remove_whited_out(blob: &Blob, root: &Path) -> io::Result<()> {
    for entry in open(&blob.path)?.entries()? {
        let entry = entry?;
        let path = entry.path()?.into_owned();
        let Some(hidden) = path.file_name().and_then(|n| n.as_bytes().strip_prefix(b".wh.")) else {
            continue;
        };
        let Some(folder) = below(root, path.parent().unwrap_or(Path::new("")))? else { continue };
        if hidden == b".wh..opq" {
            for entry in fs::read_dir(folder)? {
                remove(&entry?.path())?;
            }
        } else if !hidden.is_empty() && hidden != b"." && hidden != b".." {
            remove(&folder.join(OsStr::from_bytes(hidden)))?;
        }
    }
    Ok(())
}

/// The folder `path` in `root` when it exists without a symbolic link on the way.
fn below(root: &Path, path: &Path) -> io::Result<Option<PathBuf>> {
    let mut folder = root.to_owned();
    for component in path.components() {
        match component {
            Component::CurDir | Component::RootDir => continue,
            Component::Normal(name) => folder.push(name),
            Component::ParentDir | Component::Prefix(_) => {
                return Err(io::Error::other(format!("{} leaves the root", path.display())));
            }
        }
        match fs::symlink_metadata(&folder) {
            Ok(status) if status.is_dir() => {}
            _ => return Ok(None),
        }
    }
    Ok(Some(folder))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(status) if status.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => Ok(()),
    }
}

fn add_entries(blob: &Blob, root: &Path) -> io::Result<()> {
    let is_root = rustix::process::geteuid().is_root();
    let mut archive = open(&blob.path)?;
    archive.set_preserve_permissions(true);
    archive.set_preserve_mtime(true);
    archive.set_preserve_ownerships(is_root);
    archive.set_unpack_xattrs(true);
    archive.set_overwrite(true);
    // Directories come last, so that a read-only one can still be filled.
    let mut directories = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let is_whiteout = path.file_name().is_some_and(|name| name.as_bytes().starts_with(b".wh."));
        let kind = entry.header().entry_type();
        let is_device = kind.is_block_special() || kind.is_character_special();
        if is_whiteout || is_device && !is_root {
            continue;
        }
        if kind.is_dir() {
            if let Some(folder) = make_folder(root, &path)? {
                directories.push((folder, entry.header().clone()));
            }
            continue;
        }
        if !entry.unpack_in(root)? {
            return Err(io::Error::other(format!("{} leaves the root", path.display())));
        }
    }
    directories.into_iter().rev().try_for_each(|(folder, header)| finish(&folder, &header, is_root))
}

/// Makes the folder `path` in `root`; one that is there stays, a file there makes way.
fn make_folder(root: &Path, path: &Path) -> io::Result<Option<PathBuf>> {
    let parent = path.parent().unwrap_or(Path::new(""));
    let Some(name) = path.file_name() else { return Ok(Some(root.to_owned())) };
    if below(root, parent)?.is_none() {
        make_folder(root, parent)?;
    }
    let Some(parent) = below(root, parent)? else {
        return Err(io::Error::other(format!("{} leads through a link", path.display())));
    };
    let folder = parent.join(name);
    match fs::symlink_metadata(&folder) {
        Ok(status) if status.is_dir() => {}
        // A link to a folder stays one: merged roots have `bin -> usr/bin` in a lower layer.
        Ok(status) if status.is_symlink() && folder.is_dir() => return Ok(None),
        Ok(_) => {
            fs::remove_file(&folder)?;
            fs::create_dir(&folder)?;
        }
        Err(_) => fs::create_dir(&folder)?,
    }
    Ok(Some(folder))
}

fn finish(folder: &Path, header: &tar::Header, is_root: bool) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if is_root {
        let (uid, gid) = (header.uid()? as u32, header.gid()? as u32);
        std::os::unix::fs::chown(folder, Some(uid), Some(gid))?;
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(header.mode()? & 0o7777))?;
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(header.mtime()?);
    File::open(folder).and_then(|folder| folder.set_modified(time)).or(Ok(()))
}

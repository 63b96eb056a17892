//! Images and tar files as roots: unpacked once into the store, and a base from then on.
//!
//! ```text
//! STORE/images/NAME           the files of one content
//! STORE/images/NAME.id        the id of the image that it was
//! STORE/images/NAME.lock      held while they are being made
//! STORE/images/NAME.partial/  what is there of them meanwhile
//! STORE/images/NAME.layout/   an image of a registry while it is fetched: see `reference`
//! STORE/images/NAME.ref       which files a reference stood for
//! STORE/images/NAME.used      its time is that of the last use: see `unused`
//! ```

use std::fs::{self, DirBuilder, File};
use std::io::{self, BufReader};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use ctrlz_archive::codec::Decoder;
use ctrlz_archive::image::{Foreign, Found, ImageConfig, Platform};
use ctrlz_archive::unpack::{Devices, IdMap, IdRange, Ownership, Restored};
use ctrlz_archive::{ArchiveError, Limits, Losses, Restore, Target};
use ctrlz_core::digest::Digest;

use super::named::Named;
use super::unused;
use crate::failure::{Failure, OWN_FAILURE};
use crate::places;
use crate::show::plain;

/// What stands behind a directory's name in that of the file with its image's id.
const ID: &str = "id";

/// How many of the things that are not kept are named.
const TOLD: usize = 5;

/// The directory with the files of an image or a tar, which are unpacked unless they are there, and
/// the image's id. A tar has none.
pub(super) fn unpacked(source: &Named) -> Result<(PathBuf, Option<Digest>), Failure> {
    let failed = |error: ArchiveError| unusable(source, &error);
    let (path, image) = (source.path.as_path(), source.image.as_deref());
    let of_file = name_of_file(source).map_err(io_error("look at", path)).map_err(failed)?;
    // A file that was read before is not read again, be it only to see what it is.
    if let Some(there) = there(&of_file)? {
        let id = known_id(&there);
        return Ok((there, id));
    }
    let host = Platform::host();
    match Found::at(path).map_err(failed)? {
        Found::Tree if image.is_some() => {
            let message = format!("{} is no image but a tar of files", path.display());
            Err(Failure::new(OWN_FAILURE, "root", message)
                .hint("leave out the name that follows the file"))
        }
        Found::Tree => {
            let unpack = |target| one_tar(path, target);
            Ok((once(&of_file, &source.shown(), failed, unpack)?, None))
        }
        Found::Image => {
            let image = Foreign::open(path, image, &host).map_err(failed)?;
            let unpacked = once(&name_of(&image.config), &source.shown(), failed, |target| {
                tell_platform(&source.shown(), &image, &host);
                image.restore(target)
            })?;
            Ok((unpacked, Some(image.id)))
        }
        Found::CompressedImage => {
            let unpacked = once(&of_file, &source.shown(), failed, |target| {
                let tar = decompressed(path, &target.directory.with_extension("tar"))?;
                let image = Foreign::open_tar(tar, path, image, &host)?;
                tell_platform(&source.shown(), &image, &host);
                let at = target.directory.with_extension(ID);
                let restored = image.restore(target)?;
                // The file is not read again. What cannot be written down is not known later.
                let _ = fs::write(at, image.id.to_string());
                Ok(restored)
            })?;
            let id = known_id(&unpacked);
            Ok((unpacked, id))
        }
    }
}

/// The id of the image that lies unpacked there, where that was written down.
fn known_id(unpacked: &Path) -> Option<Digest> {
    fs::read_to_string(unpacked.with_extension(ID)).ok()?.trim().parse().ok()
}

fn unusable(source: &Named, error: &ArchiveError) -> Failure {
    let message = format!("{} cannot be a root: {error}", source.shown());
    let failure = Failure::new(OWN_FAILURE, "root", message);
    match error {
        ArchiveError::Several { .. } => {
            failure.hint(format!("say which one: --root {}:NAME", source.path.display()))
        }
        _ => failure,
    }
}

/// The directory of that name in the store's images. Where it is not there, `make` restores it,
/// once, however many ask for it at a time; what could not be kept of `what` is told.
///
/// # Errors
/// What `failed` makes of the error of `make`, after which nothing is left; a failed file operation.
pub(crate) fn once(
    name: &Path,
    what: &str,
    failed: impl Fn(ArchiveError) -> Failure,
    make: impl FnOnce(Target) -> Result<Restored, ArchiveError>,
) -> Result<PathBuf, Failure> {
    if let Some(there) = there(name)? {
        return Ok(there);
    }
    let images = images()?;
    // The store is its owner's alone, whoever makes it.
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&images);
    made.map_err(io_error("create", &images)).map_err(&failed)?;
    let directory = images.join(name);
    let lock = directory.with_extension("lock");
    let held = locked(&lock).map_err(io_error("lock", &lock)).map_err(&failed)?;
    let answer = match there(name)? {
        // Somebody else made it meanwhile.
        Some(there) => Ok(there),
        None => make(target(directory.clone())).map_err(&failed).map(|restored| {
            tell_losses(what, &restored.losses);
            directory
        }),
    };
    // Before it is let go: whoever waits for it sees that it is gone, and takes a new one.
    let _ = fs::remove_file(&lock);
    drop(held);
    answer
}

pub(super) fn images() -> Result<PathBuf, Failure> {
    Ok(places::store()?.join("images"))
}

pub(super) fn there(name: &Path) -> Result<Option<PathBuf>, Failure> {
    let directory = images()?.join(name);
    unused::note_use(&directory);
    Ok(Some(directory).filter(|directory| directory.is_dir()))
}

/// Locks `path`, a file that whoever holds it may remove.
pub(super) fn locked(path: &Path) -> io::Result<File> {
    loop {
        let file = File::options().create(true).truncate(false).write(true).open(path)?;
        match file.lock() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            taken => taken?,
        }
        let held = file.metadata()?;
        match fs::symlink_metadata(path) {
            Ok(there) if (there.dev(), there.ino()) == (held.dev(), held.ino()) => return Ok(file),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
}

/// How a root is restored: as it was written where that is possible.
fn target(directory: PathBuf) -> Target {
    if is_root() {
        return Target { devices: Devices::Make, ..Target::new(directory) };
    }
    let ownership = all_of_the_user();
    Target { devices: Devices::Skip, ownership, ..Target::new(directory) }
}

/// For an ordinary user who has no further ids: what is root's or the user's own becomes the user's,
/// who is root inside.
pub(crate) fn all_of_the_user() -> Ownership {
    let own =
        |id: u32| [0, id].map(|archived| IdRange { archived, restored: id, count: 1 }).to_vec();
    Ownership::Mapped(IdMap {
        users: own(rustix::process::geteuid().as_raw()),
        groups: own(rustix::process::getegid().as_raw()),
    })
}

/// Also of a user namespace in which ids are mapped.
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A tar with the files of a root, compressed or not.
fn one_tar(path: &Path, target: Target) -> Result<Restored, ArchiveError> {
    let mut file = open(path)?;
    let mut restore = Restore::begin(target)?;
    restore.apply(&mut file, &Limits::default(), None)?;
    restore.finish()
}

fn open(path: &Path) -> Result<File, ArchiveError> {
    File::open(path).map_err(io_error("open", path))
}

pub(super) fn io_error(
    action: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> ArchiveError {
    let path = path.to_owned();
    move |error| ArchiveError::of(error, |source| ArchiveError::Io { action, path, source })
}

/// What is in a compressed file, in a file at `scratch` that has no name any more: it is gone with
/// this process.
fn decompressed(path: &Path, scratch: &Path) -> Result<File, ArchiveError> {
    let mut decoder = Decoder::new(BufReader::new(open(path)?), Limits::default())?;
    let made = File::options().create(true).truncate(true).read(true).write(true).open(scratch);
    let mut file = made.map_err(io_error("create", scratch))?;
    fs::remove_file(scratch).map_err(io_error("remove", scratch))?;
    io::copy(&mut decoder, &mut file).map_err(io_error("decompress", path))?;
    Ok(file)
}

/// A name that another content cannot have.
pub(super) fn name_of(image: &ImageConfig) -> PathBuf {
    let mut hasher = hasher();
    for layer in &image.rootfs.diff_ids {
        hasher.update(layer.to_string().as_bytes());
    }
    short(&hasher)
}

/// The same for a file, by which one it is and when it was changed: to read all of it would take
/// too long each time. For a directory, a name that nothing has.
fn name_of_file(source: &Named) -> io::Result<PathBuf> {
    let mut hasher = hasher();
    let status = fs::metadata(&source.path)?;
    for number in [status.dev(), status.ino(), status.len()] {
        hasher.update(&number.to_le_bytes());
    }
    for number in [status.mtime(), status.mtime_nsec(), status.ctime(), status.ctime_nsec()] {
        hasher.update(&number.to_le_bytes());
    }
    hasher.update(source.image.as_deref().unwrap_or_default().as_bytes());
    Ok(short(&hasher))
}

/// The same files have other owners for root.
pub(super) fn hasher() -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new();
    hasher.update(if is_root() { b"all owners" } else { b"one owner " });
    hasher
}

pub(super) fn short(hasher: &blake3::Hasher) -> PathBuf {
    hasher.finalize().to_hex().chars().take(32).collect::<String>().into()
}

fn tell_losses(what: &str, losses: &Losses) {
    if losses.is_empty() {
        return;
    }
    eprintln!("ctrlz: {} cannot be kept as it is: {} losses", plain(what), losses.total);
    for loss in losses.first.iter().take(TOLD) {
        eprintln!("  {}", plain(&loss.to_string()));
    }
    let more = losses.total.saturating_sub(TOLD as u64);
    if more > 0 {
        eprintln!("  and {more} more");
    }
}

pub(super) fn tell_platform(what: &str, image: &Foreign, host: &Platform) {
    let of = image.config.platform();
    if !of.fits(host) {
        let what = plain(what);
        let of = plain(&of.to_string());
        eprintln!("ctrlz: {what} is for {of}, this host is {host}: its programs may not run here");
    }
}

//! The threads that make a layer: one walks and reads, one computes the digest of the tar archive,
//! one compresses (with further threads of zstd's own), one writes, and encrypts where that is wanted.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use ctrlz_core::archive::{Dialect, Stratum};
use ctrlz_core::digest::Digest;
use rustix::fs::{CWD, Mode, OFlags};

use super::chunks::{Chunk, Chunks};
use super::options::{Counts, LayerOptions, LayerWritten};
use super::pack::{Pack, Then};
use crate::codec::Encoder;
use crate::descent::Closed;
use crate::error::ArchiveError;
use crate::loss::Losses;
use crate::sha256::Sha256;
use crate::source::{Step, Walk};

/// Writes all of `stratum` as one layer to `out`, and its listing to `listing`.
///
/// # Errors
/// When something cannot be read or kept and the options do not allow for that, or a stream fails.
/// What was written until then is of no use.
pub fn write_layer(
    stratum: &Stratum,
    options: &LayerOptions,
    out: &mut (dyn Write + Send),
    listing: &mut dyn Write,
) -> Result<LayerWritten, ArchiveError> {
    run(stratum, options, out, listing, |pack| {
        let overlay = stratum.dialect == Dialect::Overlay;
        let top = open_stratum(stratum)?;
        let mut walk = Walk::new(top, stratum_closed(stratum), stratum.hidden.clone(), overlay);
        pack.root(walk.descent())?;
        loop {
            let step = walk.step().map_err(|errno| {
                let path = walk.path().below(&stratum.directory);
                ArchiveError::io("read the directory", path)(errno)
            })?;
            match step {
                None => return Ok(()),
                Some(Step::Devices) => pack.whiteouts(&mut walk)?,
                Some(Step::Entry(file_type)) => {
                    let (at, path) = (walk.descent(), walk.path());
                    match pack.entry(at, path, walk.name(), file_type)? {
                        Then::GoOn => {}
                        Then::Offer(open) => walk.offer(open),
                        Then::StayOut => walk.stay_out(),
                    }
                }
            }
        }
    })
}

/// Opens the directory of a part.
pub(crate) fn open_stratum(stratum: &Stratum) -> Result<OwnedFd, ArchiveError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, &stratum.directory, flags, Mode::empty())
        .map_err(ArchiveError::io("open", &stratum.directory))
}

/// What the modes in a sealed layer close to us is ours to open; the live base is the user's.
pub(crate) fn stratum_closed(stratum: &Stratum) -> Closed {
    if stratum.id.is_some() && !rustix::process::geteuid().is_root() {
        Closed::Unseal
    } else {
        Closed::Refuse
    }
}

struct Written {
    digest: Option<Digest>,
    size: u64,
}

/// Has `fill` give the entries of a layer, which are those of a directory.
pub(crate) fn run(
    stratum: &Stratum,
    options: &LayerOptions,
    out: &mut (dyn Write + Send),
    listing: &mut dyn Write,
    fill: impl FnOnce(&mut Pack<'_>) -> Result<(), ArchiveError>,
) -> Result<LayerWritten, ArchiveError> {
    through(options, out, |chunks| {
        let mut pack = Pack::new(stratum, options, chunks, listing)?;
        fill(&mut pack)?;
        pack.finish()
    })
}

/// Has `fill` write a tar archive; answers what it answers, and what became of it.
pub(super) fn through(
    options: &LayerOptions,
    out: &mut (dyn Write + Send),
    fill: impl FnOnce(Chunks) -> Result<(Counts, Losses, u64), ArchiveError>,
) -> Result<LayerWritten, ArchiveError> {
    let (chunks, full, back) = Chunks::new();
    let (hashed, to_compress) = sync_channel(2);
    let (compressed, to_write, written) = Chunks::new();
    std::thread::scope(|scope| {
        let hashing = scope.spawn(move || hash(&full, &hashed));
        let compressing = scope.spawn(move || compress(options, &to_compress, &back, compressed));
        let writing = scope.spawn(move || write(options, &to_write, &written, out));
        let packed = fill(chunks);
        let diff_id = hashing.join();
        let compressed =
            compressing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let written = writing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let diff_id = diff_id.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        // When a later thread fails, the ones before it see only that nobody listens.
        let written = written?;
        compressed?;
        let (counts, losses, size) = packed?;
        Ok(LayerWritten {
            diff_id,
            size,
            compressed_digest: written.digest,
            compressed_size: written.size,
            counts,
            losses,
        })
    })
}

fn hash(full: &Receiver<Chunk>, hashed: &SyncSender<Chunk>) -> Digest {
    let mut hasher = Sha256::new();
    while let Ok(chunk) = full.recv() {
        hasher.update(chunk.bytes());
        if hashed.send(chunk).is_err() {
            break;
        }
    }
    hasher.finish()
}

fn compress(
    options: &LayerOptions,
    chunks: &Receiver<Chunk>,
    back: &SyncSender<Chunk>,
    out: Chunks,
) -> Result<(), ArchiveError> {
    let failed = |error| ArchiveError::stream("write", error);
    let mut encoder = Encoder::new(options.compression, options.cores, out).map_err(failed)?;
    while let Ok(chunk) = chunks.recv() {
        encoder.write_all(chunk.bytes()).map_err(failed)?;
        // The reader may be through and want no more of them.
        let _ = back.send(chunk);
    }
    encoder.finish().and_then(Chunks::finish).map(drop).map_err(failed)
}

fn write(
    options: &LayerOptions,
    chunks: &Receiver<Chunk>,
    back: &SyncSender<Chunk>,
    out: &mut (dyn Write + Send),
) -> Result<Written, ArchiveError> {
    let failed = |error| ArchiveError::stream("write", error);
    let mut hasher = options.digest.then(Sha256::new);
    let mut size = 0;
    while let Ok(chunk) = chunks.recv() {
        out.write_all(chunk.bytes()).map_err(failed)?;
        if let Some(hasher) = &mut hasher {
            hasher.update(chunk.bytes());
        }
        size += chunk.bytes().len() as u64;
        let _ = back.send(chunk);
    }
    out.flush().map_err(failed)?;
    Ok(Written { digest: hasher.map(Sha256::finish), size })
}

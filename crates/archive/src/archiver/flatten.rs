//! A tree as one directory, or as one tar file, without an archive in between.

use std::io::{PipeReader, PipeWriter, Write, sink};
use std::path::Path;

use ctrlz_core::archive::{Dialect, Stratum};

use crate::codec::Compression;
use crate::layer::{LayerOptions, LayerWritten, write_layer};
use crate::unpack::Restored;
use crate::{ArchiveError, Limits, Restore, Target};

/// Copies the tree that `strata` make, lowest first, to a directory.
///
/// # Errors
/// When something cannot be read or made. Nothing lies at the target then.
pub fn flatten(
    strata: &[Stratum],
    options: &LayerOptions,
    target: Target,
) -> Result<Restored, ArchiveError> {
    let options = LayerOptions { compression: Compression::None, digest: false, ..options.clone() };
    let mut restore = Restore::begin(target)?;
    for stratum in strata {
        let (mut reader, mut writer): (PipeReader, PipeWriter) =
            std::io::pipe().map_err(|error| ArchiveError::stream("make a pipe for", error))?;
        std::thread::scope(|scope| {
            let options = &options;
            let writing = scope
                .spawn(move || write_layer(stratum, options, &mut writer, &mut sink()).map(drop));
            let applied = restore.apply(&mut reader, &Limits::default(), None);
            // Whoever writes must not wait for a reader that has gone.
            drop(reader);
            let written = writing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            match (written, applied) {
                // A broken pipe follows from what went wrong at the other end.
                (Err(error), Ok(_)) => Err(error),
                (Ok(()), Err(error)) => Err(error),
                (Err(ArchiveError::Stream { .. }), Err(error)) => Err(error),
                (Err(error), Err(_)) => Err(error),
                (Ok(()), Ok(_)) => Ok(()),
            }
        })?;
    }
    restore.finish()
}

/// Writes a directory as one tar archive.
///
/// # Errors
/// When something cannot be read or written.
pub fn pack(
    directory: &Path,
    options: &LayerOptions,
    out: &mut (dyn Write + Send),
) -> Result<LayerWritten, ArchiveError> {
    let stratum = Stratum {
        id: None,
        directory: directory.to_owned(),
        dialect: Dialect::Plain,
        root: true,
        hidden: Vec::new(),
        record: None,
    };
    write_layer(&stratum, options, out, &mut sink())
}

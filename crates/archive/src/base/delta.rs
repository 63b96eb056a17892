//! A layer of what differs.

use std::io::Write;

use ctrlz_core::archive::Stratum;
use ctrlz_core::path::RelPath;
use rustix::io::Errno;

use super::survey::Changed;
use crate::descent::Descent;
use crate::error::ArchiveError;
use crate::layer::{LayerOptions, LayerWritten, open_stratum, run, stratum_closed};

/// An entry of the layer.
#[derive(Debug)]
enum Event<'a> {
    Gone(&'a RelPath),
    Changed(&'a Changed),
}

impl Event<'_> {
    /// Entries come in the order of their paths; the whiteouts of a directory before all else in
    /// it (OCI image specification 1.1, layer.md).
    fn key(&self) -> Vec<u8> {
        match self {
            Self::Changed(changed) => changed.path.as_bytes().to_vec(),
            Self::Gone(path) => {
                let above = path.parent().unwrap_or_default();
                let name = std::os::unix::ffi::OsStrExt::as_bytes(path.file_name());
                match above.is_root() {
                    true => [b"\0", name].concat(),
                    false => [above.as_bytes(), b"/\0", name].concat(),
                }
            }
        }
    }
}

/// Writes `changed` as it is now, and `gone` as whiteouts.
pub(super) fn write(
    stratum: &Stratum,
    changed: &[Changed],
    gone: &[RelPath],
    options: &LayerOptions,
    out: &mut (dyn Write + Send),
    listing: &mut dyn Write,
) -> Result<LayerWritten, ArchiveError> {
    let mut events: Vec<Event<'_>> = gone.iter().map(Event::Gone).collect();
    events.extend(changed.iter().map(Event::Changed));
    events.sort_by_cached_key(Event::key);
    run(stratum, options, out, listing, |pack| {
        let mut at = Descent::new(open_stratum(stratum)?, stratum_closed(stratum));
        let mut lines = gone.iter().peekable();
        for event in events {
            let Changed { path, file_type } = match event {
                Event::Changed(changed) => changed,
                Event::Gone(path) => {
                    pack.whiteout(path)?;
                    continue;
                }
            };
            while let Some(gone) = lines.next_if(|gone| *gone < path) {
                pack.whiteout_line(gone)?;
            }
            let above = path.parent().unwrap_or_default();
            match at.go(above.as_bytes(), |_, _, errno| Err(errno)) {
                Ok(()) => {}
                // Gone since the survey; the next one will see that.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
                Err(errno) => {
                    let path = above.below(&stratum.directory);
                    return Err(ArchiveError::io("open", path)(errno));
                }
            }
            if path.is_root() {
                pack.root(&at)?;
            } else {
                let name = std::os::unix::ffi::OsStrExt::as_bytes(path.file_name());
                pack.entry(&at, path.clone(), name, *file_type)?;
            }
        }
        lines.try_for_each(|gone| pack.whiteout_line(gone))
    })
}

//! What went wrong with an archive, as the user meets it.

use std::io::ErrorKind;
use std::path::Path;

use ctrlz_archive::ArchiveError;
use ctrlz_core::archive::Stratum;

use crate::failure::{Failure, OWN_FAILURE, REFUSED};

/// What is encrypted, and no key at hand opens it.
pub(super) const NO_KEY: &str = "archive-key";

/// What is archived is damaged, and cannot be made once more.
pub(super) const IRREPLACEABLE: &str = "archive-irreplaceable";

impl From<ArchiveError> for Failure {
    fn from(error: ArchiveError) -> Self {
        let failed = |kind| Self::caused(OWN_FAILURE, kind, &error);
        let refused = |kind| Self::caused(REFUSED, kind, &error);
        match &error {
            ArchiveError::Damaged { .. } | ArchiveError::Missing(_) => failed("archive-damaged").hint(
                "`ctrlz verify --discard` takes damaged blobs out, and the next push brings them \
                 again; `ctrlz pull --from` restores from a copy elsewhere",
            ),
            ArchiveError::Misnamed { of, .. } => failed("archive-damaged").hint(format!(
                "somebody changed the archive's index; `ctrlz pull --from` restores `{of}` from a copy \
                 elsewhere"
            )),
            ArchiveError::Malformed { .. } | ArchiveError::Refused { .. } => {
                failed("archive-malformed")
            }
            ArchiveError::Unnamed { .. } => {
                refused("no-archive").hint("`ctrlz archive ls` lists what is there")
            }
            ArchiveError::Taken { name, .. } => refused("archive-taken").hint(format!(
                "`ctrlz archive rm {name}` takes that one out, or `place:` in archive.yaml names \
                 another archive"
            )),
            ArchiveError::Irreplaceable { name, .. } => refused(IRREPLACEABLE).hint(format!(
                "`ctrlz pull --from` restores from a copy elsewhere; `ctrlz archive rm {name}` takes what \
                 is left out, and `ctrlz push` archives the folder as it is now"
            )),
            ArchiveError::Busy { .. } | ArchiveError::Moved { .. } => refused("archive-busy"),
            ArchiveError::Sealed { .. } | ArchiveError::Key { .. } => refused(NO_KEY).hint(
                "`identities:` and `passphrase:` in archive.yaml, --identity and \
                 --passphrase-file say what opens it",
            ),
            ArchiveError::Changing { .. } => failed("archive-changing")
                .hint("try again when nothing writes to it"),
            _ => failed("archive"),
        }
    }
}

/// Why the tree of `strata` could not be archived, for the commands that have `--skip-unreadable`: it
/// helps where something in the live folder cannot be read.
pub(super) fn while_reading(strata: &[Stratum]) -> impl Fn(ArchiveError) -> Failure + '_ {
    let is_live = |path: &Path| {
        let mut live = strata.iter().filter(|stratum| stratum.id.is_none());
        live.any(|stratum| match path.strip_prefix(&stratum.directory) {
            Ok(inside) => !stratum.hidden.iter().any(|hidden| inside.starts_with(hidden.as_path())),
            Err(_) => false,
        })
    };
    move |error| {
        let helps = matches!(&error, ArchiveError::Io { source, path, .. }
            if source.kind() == ErrorKind::PermissionDenied && is_live(path));
        let failure = Failure::from(error);
        match helps {
            true => failure.hint("--skip-unreadable leaves out what cannot be read, and tells it"),
            false => failure,
        }
    }
}

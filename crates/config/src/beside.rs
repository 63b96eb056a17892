//! Files beside `ctrlz.yaml` of the host and of the user, in which a project has no say.

use std::path::{Path, PathBuf};

use ctrlz_core::sink::SecretSource;

use crate::error::ConfigError;
use crate::file::{self, Found};
use crate::places::Places;
use crate::reader::Field;

/// Calls `take` with each key of the files of that name, the host's first, and the folder that the
/// file is in. No file is no error.
pub(crate) fn each_field(
    places: &Places,
    name: &str,
    limits: ctrlz_yaml::Limits,
    mut take: impl FnMut(&Field<'_>, &Path) -> Result<(), ConfigError>,
) -> Result<(), ConfigError> {
    for beside in [Some(places.etc.as_path()), places.user.as_deref()].into_iter().flatten() {
        let Found::Text(found) = file::read(&beside.with_file_name(name), |_| true)? else {
            continue;
        };
        let document = ctrlz_yaml::parse(&found.text, limits)
            .map_err(|error| ConfigError::syntax(&found.path, error))?;
        let folder = found.path.parent().unwrap_or(Path::new("/"));
        for field in Field::root(&found.path, &document).fields()? {
            take(&field, folder)?;
        }
    }
    Ok(())
}

/// A text that says something.
pub(crate) fn nonempty(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("expected more than nothing".to_owned()) } else { Ok(text.to_owned()) }
}

/// Where a `what` is read from, which does not stand in the file itself: `{ file: PATH }` or
/// `{ env: NAME }`.
pub(crate) fn secret(
    field: &Field<'_>,
    what: &str,
    path: impl FnOnce(&Field<'_>) -> Result<PathBuf, ConfigError>,
) -> Result<SecretSource, ConfigError> {
    let fields = field.fields()?;
    let [source] = fields.as_slice() else {
        let reason =
            format!("expected either `file` or `env`: a {what} does not stand here itself");
        return Err(field.bad_value(reason));
    };
    match source.name {
        "file" => Ok(SecretSource::File(path(source)?)),
        "env" => Ok(SecretSource::Variable(source.value("a name", nonempty)?.value)),
        _ => Err(source.unknown(&["file", "env"])),
    }
}

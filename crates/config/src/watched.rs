//! The files that hold the configuration of a host and of its user.

use std::path::{Path, PathBuf};

use crate::places::Places;
use crate::policy_files::{FOLDER, files_of};
use crate::{archive, sinks};

/// Every file whose change changes what ctrlz does, but for those of projects: those that are
/// there, and those that would count if they were. Sorted.
#[must_use]
pub fn watched_files(places: &Places) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for file in [Some(places.etc.as_path()), places.user.as_deref()].into_iter().flatten() {
        files.push(file.to_owned());
        files.push(file.with_file_name(sinks::FILE_NAME));
        files.push(file.with_file_name(archive::FILE_NAME));
        let packs = file.parent().unwrap_or(Path::new("/")).join(FOLDER);
        // A folder that cannot be read is told by whoever needs its packs.
        files.extend(files_of(&packs).unwrap_or_default());
    }
    files.sort();
    files.dedup();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_the_host_and_the_user_say_is_watched() {
        let temp = tempfile::tempdir().expect("a folder");
        let top = temp.path();
        for packs in ["etc/policy", "user/policy"] {
            std::fs::create_dir_all(top.join(packs)).expect("create");
            std::fs::write(top.join(packs).join("mine.yaml"), "").expect("write");
        }
        let places = Places {
            etc: top.join("etc/ctrlz.yaml"),
            user: Some(top.join("user/ctrlz.yaml")),
            workdir: top.to_owned(),
            home: None,
        };
        let watched = watched_files(&places);
        let names = ["archive.yaml", "ctrlz.yaml", "policy/mine.yaml", "sinks.yaml"];
        let expected = ["etc", "user"].map(|place| names.map(|name| top.join(place).join(name)));
        assert_eq!(watched, expected.concat(), "whether they are there or not");
    }
}

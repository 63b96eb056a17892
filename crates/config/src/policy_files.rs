//! Finding the packs of rules that a user, a host's administrator and a project wrote.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ctrlz_core::event::ConfigurationFile;

use crate::error::ConfigError;
use crate::file::{self, Found};
use crate::places::Places;

/// The folder of packs beside `ctrlz.yaml` in `/etc/ctrlz` and the user's configuration.
pub(crate) const FOLDER: &str = "policy";
/// The folder of packs in a project.
const PROJECT_FOLDER: &str = ".ctrlz/policy";
/// More packs than anybody has in one folder.
const MOST: usize = 256;

/// Who wrote a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyOrigin {
    /// The host's administrator.
    Host,
    /// The user.
    User,
    /// Whoever wrote the project: nobody vouches for it.
    Project,
}

/// The text of a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyFile {
    /// Where it stands.
    pub path: PathBuf,
    /// What it holds.
    pub text: String,
    /// Who wrote it.
    pub origin: PolicyOrigin,
}

impl PolicyFile {
    /// Which file it is, and the SHA-256 of what stands in it.
    #[must_use]
    pub fn recorded(&self) -> ConfigurationFile {
        file::recorded(&self.path, &self.text)
    }
}

/// All packs in force.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyFiles {
    /// The host's, the user's, and the project's.
    pub files: Vec<PolicyFile>,
    /// Files that do not count, since they belong to a stranger.
    pub passed_over: Vec<PathBuf>,
}

/// Reads every `*.yaml` and `*.yml` in `/etc/ctrlz/policy`, in `policy` of the user's configuration,
/// and in `.ctrlz/policy` of the working folder and those above it in the project. A nearer folder
/// does not hide one above it, so that nothing in a project can take its rules away.
///
/// # Errors
/// When a folder or a file exists but cannot be read. No folder is no error.
pub fn policy_files(places: &Places) -> Result<PolicyFiles, ConfigError> {
    let mut found = PolicyFiles::default();
    let mut known = Vec::new();
    let mut read = |folder: PathBuf, origin, has_a_say: &dyn Fn(u32) -> bool| {
        for path in files_of(&folder)? {
            match file::read(&path, has_a_say)? {
                Found::Nothing => {}
                Found::Strangers => found.passed_over.push(path),
                Found::Text(file) if known.contains(&file.id) => {}
                Found::Text(file) => {
                    known.push(file.id);
                    found.files.push(PolicyFile { path, text: file.text, origin });
                }
            }
        }
        Ok::<(), ConfigError>(())
    };
    let beside = |file: &Path| file.parent().map(|folder| folder.join(FOLDER));
    let trusted = [
        (beside(&places.etc), PolicyOrigin::Host),
        (places.user.as_deref().and_then(beside), PolicyOrigin::User),
    ];
    for (folder, origin) in trusted {
        if let Some(folder) = folder {
            read(folder, origin, &|_| true)?;
        }
    }
    // As for `ctrlz.yaml`.
    let has_a_say = |owner: u32| {
        owner == 0
            || owner == rustix::process::geteuid().as_raw()
            || places.workdir.metadata().is_ok_and(|folder| folder.uid() == owner)
    };
    for folder in places.project_folders() {
        read(folder.join(PROJECT_FOLDER), PolicyOrigin::Project, &has_a_say)?;
    }
    Ok(found)
}

/// The packs in a folder, in the order of their names.
pub(crate) fn files_of(folder: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let cannot = |source: io::Error| ConfigError::Read { path: folder.to_owned(), source };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        // Something on the way is no folder.
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(Vec::new()),
        Err(error) => return Err(cannot(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(cannot)?.path();
        if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            files.push(path);
        }
        if files.len() > MOST {
            return Err(cannot(io::Error::other(format!("it holds more than {MOST} packs"))));
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_packs_of_the_host_the_user_and_the_whole_project() {
        let temp = tempfile::tempdir().unwrap();
        let top = temp.path().canonicalize().unwrap();
        let deep = top.join("repo/src");
        for folder in [
            "etc/policy",
            "user/policy",
            "repo/.ctrlz/policy",
            "repo/.git",
            "repo/src/.ctrlz/policy",
            ".ctrlz/policy",
        ] {
            fs::create_dir_all(top.join(folder)).unwrap();
            fs::write(top.join(folder).join("b.yaml"), folder).unwrap();
            fs::write(top.join(folder).join("notes.txt"), "no pack").unwrap();
        }
        fs::write(top.join("user/policy/a.yml"), "first").unwrap();
        let places = Places {
            etc: top.join("etc/ctrlz.yaml"),
            user: Some(top.join("user/ctrlz.yaml")),
            workdir: deep,
            home: None,
        };
        let found = policy_files(&places).unwrap();
        let told: Vec<_> =
            found.files.iter().map(|file| (file.text.as_str(), file.origin)).collect();
        assert_eq!(
            told,
            [
                ("etc/policy", PolicyOrigin::Host),
                ("first", PolicyOrigin::User),
                ("user/policy", PolicyOrigin::User),
                ("repo/src/.ctrlz/policy", PolicyOrigin::Project),
                ("repo/.ctrlz/policy", PolicyOrigin::Project),
            ]
        );
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        let temp = tempfile::tempdir().unwrap();
        let top = temp.path().canonicalize().unwrap();
        fs::create_dir_all(top.join("policy/a.yaml")).unwrap();
        let places = Places { etc: top.join("ctrlz.yaml"), user: None, workdir: top, home: None };
        assert!(policy_files(&places).unwrap_err().to_string().contains("a.yaml"));
    }
}

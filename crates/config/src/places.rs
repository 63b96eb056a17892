//! Where configuration files lie.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The name of a project's file.
pub(crate) const FILE_NAME: &str = "ctrlz.yaml";

/// Where to look for configuration files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// The host's file, `/etc/ctrlz/ctrlz.yaml`.
    pub etc: PathBuf,
    /// The user's file; `None` when neither `XDG_CONFIG_HOME` nor `HOME` tell where it is.
    pub user: Option<PathBuf>,
    /// The working folder, absolute. The project's file is looked for here and above.
    pub workdir: PathBuf,
    /// The home folder: where `~/` leads, and where the search above the working folder ends.
    pub home: Option<PathBuf>,
}

impl Places {
    /// The usual places for a process whose working folder is `workdir`, given its variables
    /// `XDG_CONFIG_HOME` and `HOME`. A variable that is not an absolute path counts as unset, as
    /// the XDG base directory specification asks.
    #[must_use]
    pub fn of_process(
        workdir: PathBuf,
        xdg_config_home: Option<OsString>,
        home: Option<OsString>,
    ) -> Self {
        let absolute =
            |value: Option<OsString>| value.map(PathBuf::from).filter(|path| path.is_absolute());
        let home = absolute(home);
        let config_home =
            absolute(xdg_config_home).or_else(|| home.as_ref().map(|home| home.join(".config")));
        Self {
            etc: PathBuf::from("/etc/ctrlz").join(FILE_NAME),
            user: config_home.map(|folder| folder.join("ctrlz").join(FILE_NAME)),
            workdir,
            home,
        }
    }

    /// The folders that may hold the project's file, nearest first.
    pub(crate) fn project_folders(&self) -> impl Iterator<Item = &Path> {
        let home = self.home.as_deref();
        // The working folder has no symbolic links in it when the kernel names it, `HOME` may.
        let home_id = home.and_then(folder_id);
        let mut above_the_end = false;
        self.workdir.ancestors().take_while(move |folder| {
            if above_the_end {
                return false;
            }
            above_the_end = Some(*folder) == home
                || (home_id.is_some() && folder_id(folder) == home_id)
                || folder.join(".git").symlink_metadata().is_ok();
            true
        })
    }
}

/// The device and the inode of a folder.
fn folder_id(folder: &Path) -> Option<(u64, u64)> {
    folder.metadata().ok().map(|data| (data.dev(), data.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(xdg: Option<&str>, home: Option<&str>) -> Places {
        Places::of_process(PathBuf::from("/w"), xdg.map(OsString::from), home.map(OsString::from))
    }

    #[test]
    fn follows_the_xdg_specification() {
        let user = |xdg, home| places(xdg, home).user;
        assert_eq!(user(Some("/x"), Some("/h")), Some(PathBuf::from("/x/ctrlz/ctrlz.yaml")));
        assert_eq!(user(None, Some("/h")), Some(PathBuf::from("/h/.config/ctrlz/ctrlz.yaml")));
        assert_eq!(user(Some("x"), Some("/h")), Some(PathBuf::from("/h/.config/ctrlz/ctrlz.yaml")));
        assert_eq!(user(Some(""), None), None);
        assert_eq!(user(None, Some("h")), None);
        assert_eq!(places(None, None).etc, PathBuf::from("/etc/ctrlz/ctrlz.yaml"));
    }

    #[test]
    fn ends_at_git_home_or_the_root() {
        let temp = tempfile::tempdir().unwrap();
        let top = temp.path().canonicalize().unwrap();
        let deep = top.join("home/repo/src/deep");
        std::fs::create_dir_all(&deep).unwrap();
        let mut places = places(None, None);
        places.workdir.clone_from(&deep);
        let folders =
            |places: &Places| places.project_folders().map(Path::to_path_buf).collect::<Vec<_>>();
        assert_eq!(folders(&places).last(), Some(&PathBuf::from("/")));
        std::os::unix::fs::symlink(top.join("home"), top.join("link")).unwrap();
        for home in ["home", "link"] {
            places.home = Some(top.join(home));
            assert_eq!(folders(&places).last(), Some(&top.join("home")), "{home}");
        }
        // In a worktree `.git` is a file.
        std::fs::write(top.join("home/repo/.git"), "gitdir: elsewhere").unwrap();
        assert_eq!(folders(&places), [deep, top.join("home/repo/src"), top.join("home/repo")]);
    }
}

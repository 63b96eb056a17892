//! A host with an `/etc`, a home and a project, in a temporary folder.

use std::error::Error as _;
use std::path::{Path, PathBuf};

use ctrlz_config::{Config, ConfigError, Flags, Places, load};

/// The places for one test. The project's folder is `home/project`.
pub(crate) struct Scene {
    temp: tempfile::TempDir,
    pub(crate) places: Places,
    pub(crate) flags: Flags,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let top = temp.path().canonicalize().unwrap();
        let home = top.join("home");
        let workdir = home.join("project");
        for folder in ["etc", "home/.config/ctrlz", "home/project/.git"] {
            std::fs::create_dir_all(top.join(folder)).unwrap();
        }
        let places = Places {
            etc: top.join("etc/ctrlz.yaml"),
            user: Some(home.join(".config/ctrlz/ctrlz.yaml")),
            workdir,
            home: Some(home),
        };
        Self { temp, places, flags: Flags::default() }
    }

    pub(crate) fn etc(self, text: &str) -> Self {
        std::fs::write(&self.places.etc, text).unwrap();
        self
    }

    pub(crate) fn user(self, text: &str) -> Self {
        std::fs::write(self.places.user.as_ref().unwrap(), text).unwrap();
        self
    }

    pub(crate) fn project(self, text: impl AsRef<[u8]>) -> Self {
        std::fs::write(self.project_file(), text).unwrap();
        self
    }

    pub(crate) fn flags(mut self, set: impl FnOnce(&mut Flags)) -> Self {
        set(&mut self.flags);
        self
    }

    pub(crate) fn project_file(&self) -> PathBuf {
        self.places.workdir.join("ctrlz.yaml")
    }

    pub(crate) fn top(&self) -> PathBuf {
        self.temp.path().canonicalize().unwrap()
    }

    pub(crate) fn try_load(&self) -> Result<Config, ConfigError> {
        load(&self.places, &self.flags)
    }

    #[track_caller]
    pub(crate) fn load(&self) -> Config {
        self.try_load().unwrap_or_else(|error| panic!("{error}"))
    }

    /// The error with its causes; TOP stands for the temporary folder.
    #[track_caller]
    pub(crate) fn error(&self) -> String {
        let error = self.try_load().expect_err("an error");
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        self.short(&format!("{error}{cause}"))
    }

    /// The value of `key` and its source.
    #[track_caller]
    pub(crate) fn entry(&self, key: &str) -> String {
        let entries = self.load().entries();
        let found: Vec<String> = entries
            .iter()
            .filter(|entry| entry.key == key)
            .map(|entry| self.short(&format!("{} ({})", entry.value, entry.source)))
            .collect();
        found.join(", ")
    }

    fn short(&self, text: &str) -> String {
        text.replace(&*self.top().to_string_lossy(), "TOP")
    }
}

/// `path` below the scene's home.
pub(crate) fn below_home(scene: &Scene, path: &str) -> PathBuf {
    scene.places.home.as_deref().unwrap_or(Path::new("/")).join(path)
}

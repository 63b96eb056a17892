//! Notices that the configuration is another than before.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ctrlz_config::Places;
use ctrlz_core::digest::Digest;
use ctrlz_core::event::{
    ConfigurationChanged, ConfigurationFile, Happening, HealthChanged, Severity,
};
use ctrlz_core::store::Store;
use ctrlz_engine::background::{Task, TaskError};
use sha2::{Digest as _, Sha256};

use crate::places;

const EVERY: Duration = Duration::from_secs(5);

pub(super) struct Configuration {
    store: PathBuf,
    places: Places,
    /// Whether the files were looked at since the daemon was started.
    begun: bool,
}

impl Configuration {
    pub(super) fn new(store: &Path) -> Self {
        // A project's configuration is told with each of its commands, in the verdict.
        Self {
            store: store.to_owned(),
            places: places::configuration(Path::new("/")),
            begun: false,
        }
    }

    /// Where it is kept what was seen last.
    fn memory(&self) -> PathBuf {
        self.store.join("configuration.json")
    }

    fn remembered(&self) -> Result<Option<Vec<ConfigurationFile>>, TaskError> {
        match std::fs::read(self.memory()) {
            Ok(text) => Ok(serde_json::from_slice(&text).ok()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes down what is to be remembered, beside what is remembered. A full disk shows here,
    /// before anything is told, which would else be told again and again.
    fn prepare(&self, files: &[ConfigurationFile]) -> Result<(), TaskError> {
        Ok(std::fs::write(self.prepared(), serde_json::to_vec(files)?)?)
    }

    fn prepared(&self) -> PathBuf {
        self.store.join("configuration.partial")
    }

    fn seen(&self) -> Result<Vec<ConfigurationFile>, TaskError> {
        let mut seen = Vec::new();
        for path in ctrlz_config::watched_files(&self.places) {
            let digest = match std::fs::read(&path) {
                Ok(content) => Some(Digest::sha256(Sha256::digest(content).into())),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                // What cannot be read is not known to be the same.
                Err(_) => None,
            };
            seen.push(ConfigurationFile { path: path.to_string_lossy().into_owned(), digest });
        }
        Ok(seen)
    }
}

/// What to do when these files are others than before. Commands read all of them each time, and so is
/// archive.yaml; what the daemon itself goes by, it has read when it began.
fn remedy(paths: &[&str]) -> &'static str {
    let is_read_once = |path: &&str| path.ends_with("/ctrlz.yaml") || path.ends_with("/sinks.yaml");
    match paths.iter().any(is_read_once) {
        true => "look at the change, then start the daemon again",
        false => "look at the change, which counts already",
    }
}

impl Task for Configuration {
    fn name(&self) -> String {
        "configuration".to_owned()
    }

    fn turn(&mut self) -> Result<Duration, TaskError> {
        let (seen, before) = (self.seen()?, self.remembered()?);
        if before.as_ref() != Some(&seen) {
            self.prepare(&seen)?;
            let store = super::open(&self.store, "configuration")?;
            let mut files = seen.clone();
            let gone =
                before.iter().flatten().filter(|old| !seen.iter().any(|f| f.path == old.path));
            files.extend(gone.map(|old| ConfigurationFile { digest: None, ..old.clone() }));
            let paths: Vec<&str> = files
                .iter()
                .filter(|file| !before.iter().flatten().any(|old| old == *file))
                .map(|file| file.path.as_str())
                .collect();
            let remedy = remedy(&paths).to_owned();
            let evidence = format!("changed under the running daemon: {}", paths.join(", "));
            store.emit(None, Happening::ConfigurationChanged(ConfigurationChanged { files }))?;
            if self.begun {
                let check = "configuration".to_owned();
                let found = HealthChanged { check, severity: Severity::Warning, evidence, remedy };
                store.emit(None, Happening::HealthChanged(found))?;
            }
            std::fs::rename(self.prepared(), self.memory())?;
        }
        self.begun = true;
        Ok(EVERY)
    }

    fn reset(&mut self) {
        // What it has seen is written down, and nothing is open.
    }
}

#[cfg(test)]
mod tests {
    use super::remedy;

    #[test]
    fn what_is_read_each_time_needs_no_new_daemon() {
        for (paths, again) in [
            (&["/etc/ctrlz/archive.yaml", "/etc/ctrlz/policy/mine.yaml"][..], false),
            (&["/etc/ctrlz/archive.yaml", "/home/u/.config/ctrlz/sinks.yaml"], true),
            (&["/etc/ctrlz/ctrlz.yaml"], true),
        ] {
            assert_eq!(remedy(paths).contains("start the daemon again"), again, "{paths:?}");
        }
    }
}

//! SandboxInitializer: making sandboxes.

use std::path::{Path, PathBuf};

use ctrlz_core::event::MadeOf;
use ctrlz_core::lifecycle::{Life, Setup};
use ctrlz_core::name::SandboxName;
use ctrlz_core::sandbox::{Root, Sandbox};
use ctrlz_core::store::{NewSandbox, StoreError};

use crate::core::{Held, SandboxCore};
use crate::error::EngineError;
use crate::setup;

/// Where a sandbox's root and workspace come from. Paths are absolute and canonical.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseChoice {
    /// The root.
    pub root: Root,
    /// The base of the workspace.
    pub base: PathBuf,
    /// What is known of what these are made of.
    pub made_of: MadeOf,
}

/// A sandbox to be made by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewNamed {
    /// Its name.
    pub name: SandboxName,
    /// Its root and base.
    pub choice: BaseChoice,
}

impl SandboxCore<'_> {
    /// The sandbox of `folder`: the one that was used last, or with `choice` the one with that
    /// root and base.
    ///
    /// # Errors
    /// A failure to read the store.
    pub fn sandbox_of_folder(
        &self,
        folder: &Path,
        choice: Option<&BaseChoice>,
    ) -> Result<Option<Sandbox>, EngineError> {
        let all = self.store.sandboxes_of_folder(folder)?.into_iter();
        let mut all = all.filter(|s| self.chosen.is_none_or(|driver| s.driver == driver));
        Ok(match choice {
            None => all.next(),
            Some(choice) => all.find(|s| s.root == choice.root && s.base == choice.base),
        })
    }

    /// The sandbox of `folder` with that root and base; made when there is none.
    ///
    /// # Errors
    /// When the base cannot be used, or the store cannot be written.
    pub fn open_folder(
        &self,
        folder: &Path,
        choice: &BaseChoice,
        made: Option<&Sandbox>,
    ) -> Result<Sandbox, EngineError> {
        if let Some(sandbox) = self.sandbox_of_folder(folder, Some(choice))? {
            return Ok(sandbox);
        }
        // Two first runs in one folder may race for the name; the loser finds the winner's.
        for attempt in 1..100 {
            let Ok(name) = name_for(folder, attempt).parse() else { break };
            match self.create(name, Some(folder), choice, made) {
                Err(EngineError::Store(StoreError::NameTaken(name))) => {
                    if let Some(sandbox) = self.sandbox_of_folder(folder, Some(choice))? {
                        return Ok(sandbox);
                    }
                    if attempt == 99 {
                        return Err(StoreError::NameTaken(name).into());
                    }
                }
                other => return other,
            }
        }
        Err(StoreError::NoSandbox(folder.display().to_string()).into())
    }

    /// Makes a sandbox by name.
    ///
    /// # Errors
    /// When the name is taken, the base cannot be used, or the store cannot be written.
    pub fn create_named(
        &self,
        new: &NewNamed,
        made: Option<&Sandbox>,
    ) -> Result<Sandbox, EngineError> {
        self.create(new.name.clone(), None, &new.choice, made)
    }

    /// Makes a sandbox that begins where the setup in `made` ended, or else at its bare base.
    fn create(
        &self,
        name: SandboxName,
        folder: Option<&Path>,
        choice: &BaseChoice,
        made: Option<&Sandbox>,
    ) -> Result<Sandbox, EngineError> {
        let Some((made, setup)) = made.and_then(|made| Some((made, setup::from(made)?))) else {
            return self.create_with(name, folder, choice, Life::default());
        };
        let tree = made.life.origin().cloned().unwrap_or_else(|| made.point.tree.clone());
        // What the setup left may have been damaged since.
        self.driver_of(made)?.verify(&tree, false)?;
        let new = NewSandbox {
            name,
            folder: folder.map(Path::to_owned),
            root: choice.root.clone(),
            base: choice.base.clone(),
            driver: made.driver.clone(),
            tree,
            made_of: MadeOf { setup: Some(*setup.digest()), ..choice.made_of.clone() },
            life: Life { setup: Some(setup), ..Life::default() },
        };
        Ok(self.store.create_sandbox(&new, None)?)
    }

    pub(crate) fn create_with(
        &self,
        name: SandboxName,
        folder: Option<&Path>,
        choice: &BaseChoice,
        life: Life,
    ) -> Result<Sandbox, EngineError> {
        let mut refusal = None;
        for driver in self.candidates() {
            match driver.create(&choice.base) {
                Ok(tree) => {
                    let new = NewSandbox {
                        name,
                        folder: folder.map(Path::to_owned),
                        root: choice.root.clone(),
                        base: choice.base.clone(),
                        driver: driver.name().to_owned(),
                        tree,
                        made_of: choice.made_of.clone(),
                        life,
                    };
                    return Ok(self.store.create_sandbox(&new, None)?);
                }
                Err(error) => refusal = refusal.or(Some(error)),
            }
        }
        match refusal {
            Some(error) => Err(error.into()),
            None => Err(EngineError::NoDriver {
                sandbox: name.to_string(),
                driver: self.chosen.unwrap_or("any").to_owned(),
            }),
        }
    }

    /// Makes `name` a copy of `source` as it is now, sharing all its layers.
    ///
    /// # Errors
    /// When the name is taken, or the store cannot be written.
    pub fn fork(&self, source: &Sandbox, name: SandboxName) -> Result<Sandbox, EngineError> {
        let held = self.hold(source)?;
        let from = &held.sandbox;
        let new = NewSandbox {
            name,
            folder: None,
            root: from.root.clone(),
            base: from.base.clone(),
            driver: from.driver.clone(),
            tree: from.point.tree.clone(),
            // The event of its source says it.
            made_of: MadeOf::default(),
            life: Life { setup: fork_of(&from.life), ..Life::default() },
        };
        Ok(self.store.create_sandbox(&new, Some((from.id, &from.point)))?)
    }

    /// Whether a sandbox stands where it began, with nothing under way.
    ///
    /// # Errors
    /// When its tree is not one of its driver.
    pub fn is_clean(&self, sandbox: &Sandbox) -> Result<bool, EngineError> {
        let tree = &sandbox.point.tree;
        Ok(sandbox.open_operation.is_none() && *tree == self.start_of(sandbox)?)
    }

    /// Removes a sandbox and what only it needed; answers the bytes freed, about.
    ///
    /// # Errors
    /// [`EngineError::Uncommitted`] when it holds changes and `force` is false.
    pub fn remove(&self, sandbox: &Sandbox, force: bool) -> Result<u64, EngineError> {
        let held = self.hold_to_remove(sandbox, force)?;
        self.drop_held(&held)
    }

    /// The same, but what nothing needs any more stays until [`Self::collect_all`], which looks at
    /// everything that there is.
    ///
    /// # Errors
    /// As [`Self::remove`].
    pub fn forget(&self, sandbox: &Sandbox, force: bool) -> Result<(), EngineError> {
        let held = self.hold_to_remove(sandbox, force)?;
        self.forget_held(&held)
    }

    /// Holds a sandbox that may go.
    fn hold_to_remove(&self, sandbox: &Sandbox, force: bool) -> Result<Held<'_>, EngineError> {
        // Looked at before anything is ended: a refusal leaves it as it is.
        let now = self.store.sandbox(sandbox.id)?;
        if now.life.suspended().is_some() || self.not_frozen(&now).is_err() {
            if !force && !self.is_clean(&now)? {
                return Err(EngineError::Uncommitted { sandbox: now.name.to_string() });
            }
            self.end_suspended(&now)?;
        }
        let held = self.hold(sandbox)?;
        let tree = &held.sandbox.point.tree;
        if !force && *tree != self.start_of(&held.sandbox)? {
            return Err(EngineError::Uncommitted { sandbox: held.sandbox.name.to_string() });
        }
        Ok(held)
    }

    /// Removes a sandbox that is held, whatever is in it.
    pub(crate) fn drop_held(&self, held: &Held<'_>) -> Result<u64, EngineError> {
        self.forget_held(held)?;
        self.collect(held.driver, &|| true)
    }

    fn forget_held(&self, held: &Held<'_>) -> Result<(), EngineError> {
        held.driver.abandon(held.sandbox.id)?;
        self.store.remove_sandbox(held.sandbox.id)?;
        self.isolation.tidy();
        Ok(())
    }
}

/// A copy of the sandbox in which a setup ran is one that began where it ended.
fn fork_of(life: &Life) -> Option<Setup> {
    match &life.setup {
        Some(Setup::Made { digest, origin }) => {
            Some(Setup::From { digest: *digest, origin: origin.clone(), moves: Vec::new() })
        }
        Some(Setup::Making { .. }) | None => None,
        from => from.clone(),
    }
}

/// A name after the folder's own, with a number from the second attempt on.
fn name_for(folder: &Path, attempt: u32) -> String {
    let raw = folder.file_name().map(|name| name.to_string_lossy().into_owned());
    let mut text: String = raw
        .unwrap_or_else(|| "root".to_owned())
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' })
        .take(SandboxName::MAX - 4)
        .collect();
    if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        text.insert(0, 'x');
    }
    if attempt > 1 {
        text.push_str(&format!("-{attempt}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_give_names() {
        for (folder, attempt, name) in [
            ("/home/u/my app", 1, "my-app"),
            ("/", 1, "root"),
            ("/x/.config", 2, "x.config-2"),
            ("/x/é", 1, "x-"),
        ] {
            let built = name_for(Path::new(folder), attempt);
            assert_eq!(built, name);
            assert!(built.parse::<SandboxName>().is_ok());
        }
    }
}

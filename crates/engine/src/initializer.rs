//! SandboxInitializer: making sandboxes.

use std::path::{Path, PathBuf};

use ctrlz_core::name::SandboxName;
use ctrlz_core::sandbox::{Root, Sandbox};
use ctrlz_core::store::{NewSandbox, StoreError};

use crate::core::SandboxCore;
use crate::error::EngineError;

/// Where a sandbox's root and workspace come from. Paths are absolute and canonical.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseChoice {
    /// The root.
    pub root: Root,
    /// The base of the workspace.
    pub base: PathBuf,
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
        let mut all = self.store.sandboxes_of_folder(folder)?.into_iter();
        Ok(match choice {
            None => all.next(),
            Some(choice) => all.find(|s| s.root == choice.root && s.base == choice.base),
        })
    }

    /// The sandbox of `folder` with that root and base; made when there is none.
    ///
    /// # Errors
    /// When the base cannot be used, or the store cannot be written.
    pub fn open_folder(&self, folder: &Path, choice: &BaseChoice) -> Result<Sandbox, EngineError> {
        if let Some(sandbox) = self.sandbox_of_folder(folder, Some(choice))? {
            return Ok(sandbox);
        }
        // Two first runs in one folder may race for the name; the loser finds the winner's.
        for attempt in 1..100 {
            let Ok(name) = name_for(folder, attempt).parse() else { break };
            match self.create(name, Some(folder), choice) {
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
    pub fn create_named(&self, new: &NewNamed) -> Result<Sandbox, EngineError> {
        self.create(new.name.clone(), None, &new.choice)
    }

    fn create(
        &self,
        name: SandboxName,
        folder: Option<&Path>,
        choice: &BaseChoice,
    ) -> Result<Sandbox, EngineError> {
        let mut refusal = None;
        for driver in self.workspaces {
            match driver.create(&choice.base) {
                Ok(tree) => {
                    let new = NewSandbox {
                        name,
                        folder: folder.map(Path::to_owned),
                        root: choice.root.clone(),
                        base: choice.base.clone(),
                        driver: driver.name().to_owned(),
                        tree,
                    };
                    return Ok(self.store.create_sandbox(&new, None)?);
                }
                Err(error) => refusal = refusal.or(Some(error)),
            }
        }
        match refusal {
            Some(error) => Err(error.into()),
            None => {
                Err(EngineError::NoDriver { sandbox: name.to_string(), driver: "any".to_owned() })
            }
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
        };
        Ok(self.store.create_sandbox(&new, Some((from.id, &from.point)))?)
    }

    /// Removes a sandbox and what only it needed; answers the bytes freed, about.
    ///
    /// # Errors
    /// [`EngineError::Uncommitted`] when it holds changes and `force` is false.
    pub fn remove(&self, sandbox: &Sandbox, force: bool) -> Result<u64, EngineError> {
        let held = self.hold(sandbox)?;
        let tree = &held.sandbox.point.tree;
        if !force && *tree != held.driver.base_tree(tree)? {
            return Err(EngineError::Uncommitted { sandbox: held.sandbox.name.to_string() });
        }
        held.driver.abandon(held.sandbox.id)?;
        self.store.remove_sandbox(held.sandbox.id)?;
        self.collect(held.driver)
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

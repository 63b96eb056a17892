//! Parts of trees that are missing or damaged, fetched from an archive.

use std::path::Path;

use ctrlz_core::archive::Arrival;
use ctrlz_core::id::SandboxId;
use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::snapshot::Tree;
use ctrlz_core::store::SandboxLock;
use ctrlz_core::workspace::{WorkspaceDriver, WorkspaceError};

use crate::core::{Held, SandboxCore};
use crate::error::EngineError;

/// Restores the part of that name below a directory; `None` when no archive has it.
///
/// The error is why an archive that has it cannot give it, in words.
pub type Lost<'a> = dyn Fn(&str, &Path) -> Result<Option<Arrival>, String> + 'a;

/// A sandbox whose tree was damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mended {
    /// Which one.
    pub sandbox: Sandbox,
    /// The parts that came from an archive; none when it could not be mended.
    pub parts: Vec<String>,
    /// What is still wrong, in words.
    pub left: Option<String>,
}

impl SandboxCore<'_> {
    /// Looks at where each sandbox stands, and mends what is damaged there. Sandboxes in use are
    /// left alone.
    ///
    /// # Errors
    /// A failure to use the store.
    pub fn mend_all(&self) -> Result<Vec<Mended>, EngineError> {
        let mut mended = Vec::new();
        for sandbox in self.store.sandboxes()? {
            let Ok(driver) = self.driver_of(&sandbox) else { continue };
            if driver.verify(&sandbox.point.tree, false).is_ok() {
                continue;
            }
            let Ok(held) = self.hold_asking(&sandbox, &|_, _| false) else { continue };
            let mut parts = Vec::new();
            let result = self.mend(&held, &held.sandbox.point.tree, false, &mut parts);
            let left = result.err().map(|error| crate::in_full(&error));
            mended.push(Mended { sandbox: held.sandbox, parts, left });
        }
        Ok(mended)
    }

    /// Checks a tree; what is missing or damaged of it is fetched from an archive, where there is
    /// one. The names of such parts are added to `mended`.
    pub(crate) fn mend(
        &self,
        held: &Held<'_>,
        tree: &Tree,
        thorough: bool,
        mended: &mut Vec<String>,
    ) -> Result<(), EngineError> {
        let driver = held.driver;
        loop {
            let (what, path) = match driver.verify(tree, thorough) {
                Err(WorkspaceError::Damaged { what, path }) => (what, path),
                other => return Ok(other?),
            };
            let damaged =
                || EngineError::from(WorkspaceError::Damaged { what, path: path.clone() });
            let parts = driver.parts(tree)?;
            let named = |part: &&String| {
                path.components().any(|component| {
                    let name = component.as_os_str().to_string_lossy();
                    name == part.as_str()
                        || name
                            .strip_prefix(part.as_str())
                            .is_some_and(|rest| rest.starts_with('.'))
                })
            };
            let Some(part) = parts.iter().find(named) else { return Err(damaged()) };
            // What was mended a moment ago and is damaged again, no archive has whole.
            let (Some(lost), false) = (self.lost, mended.contains(part)) else {
                return Err(damaged());
            };
            self.fetch(held, part, lost, damaged)?;
            mended.push(part.clone());
        }
    }

    fn fetch(
        &self,
        held: &Held<'_>,
        part: &str,
        lost: &Lost<'_>,
        damaged: impl Fn() -> EngineError,
    ) -> Result<(), EngineError> {
        let driver = held.driver;
        // No other sandbox that has the part may use it meanwhile.
        let _locks = self.lock_sharers(held.sandbox.id, driver, part)?;
        let landing = driver.landing()?;
        let fetched = match lost(part, &landing) {
            Ok(Some(arrival)) => driver.mend(&arrival).map_err(EngineError::from),
            Ok(None) => Err(damaged()),
            Err(why) => Err(EngineError::NotMended { part: part.to_owned(), why }),
        };
        // What cannot be removed now, a collection removes.
        let _ = driver.clear_landing(&landing);
        fetched
    }

    /// Locks the other sandboxes of the driver that have a part, now.
    fn lock_sharers(
        &self,
        but: SandboxId,
        driver: &dyn WorkspaceDriver,
        part: &str,
    ) -> Result<Vec<Box<dyn SandboxLock>>, EngineError> {
        let mut locks = Vec::new();
        for sandbox in self.store.sandboxes()? {
            if sandbox.id == but || sandbox.driver != driver.name() {
                continue;
            }
            let parts = driver.parts(&sandbox.point.tree)?;
            if parts.iter().any(|has| has == part) {
                locks.push(self.store.lock(sandbox.id, &mut |_| false)?);
            }
        }
        Ok(locks)
    }
}

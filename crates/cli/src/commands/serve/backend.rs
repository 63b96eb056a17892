//! The tenants' stores: that of the service's owner is the user's own, the others lie in it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ctrlz_core::actor::Actor;
use ctrlz_core::tenancy::TenantName;
use ctrlz_isolation::launcher::LauncherDriver;
use ctrlz_server::{Backend, Check, Problem, Session};

use super::collecting::Collections;
use super::pool::{Lease, Pool};
use super::session::Desk;
use super::upkeep::Used;
use super::{foreign, problem};
use crate::context::Context;
use crate::failure::{Failure, OWN_FAILURE};
use crate::isolation::Isolation;
use crate::places;

/// Where the stores of tenants lie, in that of the owner.
pub(super) const TENANTS: &str = "tenants";

/// All stores, and what launches for them.
pub(super) struct Stores {
    directory: PathBuf,
    driver: Arc<LauncherDriver>,
    pool: Pool,
    collections: Collections,
    used: Used,
    /// What tenants do not see of the host, as it was when the service began.
    foreign: Vec<PathBuf>,
}

impl Stores {
    pub(super) fn new(directory: PathBuf, driver: Arc<LauncherDriver>, used: Used) -> Self {
        Self {
            directory,
            driver,
            pool: Pool::default(),
            collections: Collections::default(),
            used,
            foreign: foreign::paths(),
        }
    }

    /// Closes stores that nobody used for long.
    pub(super) fn close_unused(&self) {
        self.pool.close_unused();
    }

    pub(super) fn collections(&self) -> &Collections {
        &self.collections
    }

    fn directory_of(&self, tenant: &TenantName) -> PathBuf {
        directory_of(&self.directory, tenant)
    }

    /// A tenant's store, open; one that is open already where there is one.
    fn lease(&self, tenant: &TenantName, actor: Actor) -> Result<Lease<'_>, Failure> {
        self.used.note(&self.directory_of(tenant));
        self.open_or_make(tenant, actor)
    }

    /// The same for the service's own sake, which does not count as use; nothing when there is no store.
    pub(super) fn lease_unnoticed(
        &self,
        tenant: &TenantName,
        actor: Actor,
    ) -> Result<Option<Lease<'_>>, Failure> {
        let is_there = self.directory_of(tenant).join("store.db").exists();
        is_there.then(|| self.open_or_make(tenant, actor)).transpose()
    }

    fn open_or_make(&self, tenant: &TenantName, actor: Actor) -> Result<Lease<'_>, Failure> {
        self.pool.lease(self.directory_of(tenant), actor, |directory, actor| {
            make(&directory)?;
            mark(&directory, tenant)?;
            Context::open_at(directory, Isolation::Launcher(Arc::clone(&self.driver)), actor)
        })
    }
}

/// Where a tenant's store lies.
pub(super) fn directory_of(all: &Path, tenant: &TenantName) -> PathBuf {
    match tenant.is_owner() {
        true => all.to_owned(),
        false => all.join(TENANTS).join(tenant.as_str()),
    }
}

/// Makes a store's directory for its owner alone, when there is none.
fn make(directory: &Path) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::caused(OWN_FAILURE, "store", &error);
    if !directory.exists() {
        std::fs::create_dir_all(directory).map_err(failed)?;
        let mode = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(directory, mode).map_err(failed)?;
    }
    Ok(())
}

/// Writes down whose store it is, so that every process that opens it keeps its archive apart.
fn mark(directory: &Path, tenant: &TenantName) -> Result<(), Failure> {
    if tenant.is_owner() || places::tenant_of(directory)?.is_some() {
        return Ok(());
    }
    // By a rename: half a name would be another tenant's.
    let (file, new) = (directory.join(places::TENANT), directory.join("tenant.new"));
    let written = std::fs::write(&new, format!("{tenant}\n"));
    let placed = written.and_then(|()| std::fs::rename(&new, &file));
    placed.map_err(|error| Failure::caused(OWN_FAILURE, "store", &error))
}

impl Backend for Stores {
    fn open(&self, tenant: &TenantName, actor: Actor) -> Result<Box<dyn Session + '_>, Problem> {
        Ok(Box::new(Desk {
            context: self.lease(tenant, actor.clone()).map_err(problem)?,
            all: &self.directory,
            foreign: &self.foreign,
            collections: &self.collections,
            tenant: tenant.clone(),
            actor,
        }))
    }

    fn store_of(&self, tenant: &TenantName) -> Option<PathBuf> {
        Some(self.directory_of(tenant)).filter(|directory| directory.exists())
    }

    fn check(&self) -> Vec<Check> {
        let owner = TenantName::owner();
        let store = self.lease(&owner, Actor::system("health"));
        let store = store.and_then(|context| Ok(context.store().log_head().map(drop)?));
        let space = crate::commands::space::require(&self.directory);
        let trouble = |result: Result<(), Failure>| result.err().map(|failure| failure.in_words());
        vec![
            Check { name: "store", trouble: trouble(store) },
            Check { name: "space", trouble: trouble(space) },
        ]
    }
}

//! How much of the disk each tenant takes, measured now and then: to measure it is to walk over all of it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use ctrlz_core::tenancy::{Quotas, TenantName};

use crate::port::Session;
use crate::problem::Problem;

/// For how many times as long as it took a measurement holds.
const HOLDS: u32 = 20;

/// What was measured last.
#[derive(Debug, Default)]
pub(crate) struct Disk(Mutex<HashMap<TenantName, Measured>>);

#[derive(Debug, Clone, Copy)]
struct Measured {
    used: u64,
    at: Instant,
    took: Duration,
}

impl Measured {
    fn holds(&self) -> bool {
        self.at.elapsed() < self.took.saturating_mul(HOLDS)
    }
}

impl Disk {
    /// How many bytes more the tenant's data may take; `None` for as many as there are.
    ///
    /// # Errors
    /// When it may take none, or cannot be measured.
    pub(crate) fn room(
        &self,
        session: &dyn Session,
        tenant: &TenantName,
        quotas: &Quotas,
    ) -> Result<Option<u64>, Problem> {
        let Some(most) = quotas.disk else { return Ok(None) };
        let known = self.measured().get(tenant).copied().filter(Measured::holds);
        let measured = match known {
            // What was removed meanwhile makes room at once.
            Some(known) if known.used < most => known,
            _ => self.measure(session, tenant)?,
        };
        match most.checked_sub(measured.used).filter(|room| *room > 0) {
            Some(room) => Ok(Some(room)),
            None => {
                let used = measured.used;
                let title =
                    format!("this tenant may take {most} bytes of the disk, and takes {used}");
                Err(Problem::new(StatusCode::INSUFFICIENT_STORAGE, "quota", title)
                    .hint("remove sandboxes, snapshots or what is archived"))
            }
        }
    }

    fn measure(&self, session: &dyn Session, tenant: &TenantName) -> Result<Measured, Problem> {
        let at = Instant::now();
        let used = session.disk_used()?;
        let measured = Measured { used, at, took: at.elapsed() };
        self.measured().insert(tenant.clone(), measured);
        Ok(measured)
    }

    fn measured(&self) -> MutexGuard<'_, HashMap<TenantName, Measured>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Places that each tenant has so many of: what one tenant fills up is its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use ctrlz_core::tenancy::TenantName;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places of all tenants.
#[derive(Debug)]
pub(crate) struct Places {
    /// How many each of them has.
    each: usize,
    /// Of those that use any.
    tenants: Mutex<HashMap<TenantName, Weak<Semaphore>>>,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _permit: Option<OwnedSemaphorePermit>,
    /// The tenant's places are known as long as one of them is used.
    _of: Arc<Semaphore>,
}

impl Places {
    pub(crate) fn new(each: usize) -> Self {
        Self { each, tenants: Mutex::default() }
    }

    /// Waits until the tenant has a place left.
    pub(crate) async fn take(&self, tenant: &TenantName) -> Place {
        let of = self.of(tenant);
        // It is never closed.
        Place { _permit: Arc::clone(&of).acquire_owned().await.ok(), _of: of }
    }

    /// A place, when the tenant has one left.
    pub(crate) fn try_take(&self, tenant: &TenantName) -> Option<Place> {
        let of = self.of(tenant);
        let permit = Arc::clone(&of).try_acquire_owned().ok()?;
        Some(Place { _permit: Some(permit), _of: of })
    }

    fn of(&self, tenant: &TenantName) -> Arc<Semaphore> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = tenants.get(tenant).and_then(Weak::upgrade) {
            return known;
        }
        tenants.retain(|_, places| places.strong_count() > 0);
        let new = Arc::new(Semaphore::new(self.each));
        tenants.insert(tenant.clone(), Arc::downgrade(&new));
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_tenant_has_its_places_and_waits_for_no_other() {
        let tenant = |name: &str| name.parse::<TenantName>().expect("a name");
        let (places, a, b) = (Arc::new(Places::new(2)), tenant("a"), tenant("b"));
        let (first, _second) = (places.take(&a).await, places.take(&a).await);
        assert!(places.try_take(&a).is_none());
        assert!(places.try_take(&b).is_some());
        let third = tokio::spawn({
            let (places, a) = (Arc::clone(&places), a.clone());
            async move { places.take(&a).await }
        });
        tokio::task::yield_now().await;
        assert!(!third.is_finished());
        drop(first);
        let _third = third.await.expect("a place");
        assert!(places.try_take(&a).is_none(), "it is the same two places");
    }
}

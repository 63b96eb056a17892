//! What is done to one sandbox is done one after the other, in the order in which they came. The engine sees to
//! the first by a lock; whoever waits for that holds a thread.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use ctrlz_core::tenancy::TenantName;
use tokio::sync::OwnedMutexGuard;

type Door = tokio::sync::Mutex<()>;

/// The sandboxes in which something runs, or waits for that.
#[derive(Debug, Default)]
pub(crate) struct Sandboxes(Mutex<HashMap<(TenantName, String), Weak<Door>>>);

impl Sandboxes {
    /// Waits until nothing else of the service is done to the sandbox of that name.
    pub(crate) async fn alone(&self, tenant: &TenantName, sandbox: &str) -> OwnedMutexGuard<()> {
        let door = {
            let mut doors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            doors.retain(|_, door| door.strong_count() > 0);
            let door = doors.entry((tenant.clone(), sandbox.to_owned())).or_default();
            door.upgrade().unwrap_or_else(|| {
                let new = Arc::new(Door::default());
                *door = Arc::downgrade(&new);
                new
            })
        };
        door.lock_owned().await
    }
}

//! How far each tenant's event log has come: looked for once for all who follow it, since another process
//! may have written to it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use ctrlz_core::tenancy::TenantName;
use tokio::sync::watch;

use crate::auth::Caller;
use crate::problem::Problem;
use crate::service::Service;

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(100);

/// The number of a log's last event.
type Head = watch::Sender<i64>;

/// The logs that somebody follows.
#[derive(Debug, Default)]
pub(crate) struct Tidings(Mutex<HashMap<TenantName, Weak<Head>>>);

/// One who follows a log.
pub(crate) struct Follower {
    head: watch::Receiver<i64>,
    /// The log is looked at as long as somebody holds it.
    _held: Arc<Head>,
}

impl Follower {
    /// The number of the last event that is known of.
    pub(crate) fn newest(&self) -> i64 {
        *self.head.borrow()
    }

    /// Waits until there are events behind that number; not for ever.
    pub(crate) async fn wait_past(&mut self, number: i64, most: Duration) {
        // One that ended is followed anew, and a time that is over is looked at again.
        let _ = tokio::time::timeout(most, self.head.wait_for(|head| *head > number)).await;
    }
}

/// Follows the log of the caller's tenant.
///
/// # Errors
/// When it cannot be read.
pub(crate) async fn follow(service: &Arc<Service>, caller: &Caller) -> Result<Follower, Problem> {
    let first = head(service, caller).await?;
    let mut is_new = false;
    let held = {
        let mut all = service.tidings.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, head| head.strong_count() > 0);
        let found = all.entry(caller.tenant.clone()).or_default();
        found.upgrade().unwrap_or_else(|| {
            is_new = true;
            let head = Arc::new(Head::new(first));
            *found = Arc::downgrade(&head);
            head
        })
    };
    if is_new {
        tokio::spawn(look(Arc::downgrade(service), caller.clone(), Arc::downgrade(&held)));
    }
    Ok(Follower { head: held.subscribe(), _held: held })
}

/// The number of the last event.
pub(crate) async fn head(service: &Arc<Service>, caller: &Caller) -> Result<i64, Problem> {
    service.with_core(caller, |core| Ok(core.store().log_head()?.last)).await
}

/// Looks again and again, as long as somebody follows.
async fn look(service: Weak<Service>, caller: Caller, followed: Weak<Head>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let (Some(service), Some(followed)) = (service.upgrade(), followed.upgrade()) else {
            return;
        };
        // What cannot be read now may be readable next time; who follows reads it by itself.
        if let Ok(last) = head(&service, &caller).await {
            followed.send_if_modified(|head| std::mem::replace(head, last) != last);
        }
    }
}

//! The end of a service: what runs may end.

use std::time::Duration;

use crate::processes::{GRACE, end};
use crate::routes::attach::ATTACHED;
use crate::service::Service;

/// How long operations may go on after the service was asked to stop.
const DRAIN: Duration = Duration::from_secs(30);

/// Waits until no operation runs any more, and those who are attached to one have learnt of its end.
pub(super) async fn drain(service: &Service) {
    end_operations(service).await;
    service.processes.stored().await;
    // Who does not take it has had its time.
    let all = service.attached.acquire_many(ATTACHED);
    let _ = tokio::time::timeout(GRACE, all).await;
}

/// Waits until no operation runs any more. Those that do not end within half a minute are told to,
/// and then ended.
async fn end_operations(service: &Service) {
    let ended = async {
        for process in service.processes.running() {
            process.wait().await;
        }
    };
    if tokio::time::timeout(DRAIN, ended).await.is_err() {
        end(&service.processes.running()).await;
    }
}

//! The end of a service: what runs may end.

use std::time::Duration;

use crate::routes::attach::ATTACHED;
use crate::service::Service;

/// How long operations may go on after the service was asked to stop.
const DRAIN: Duration = Duration::from_secs(30);
/// How long those that do not end may take to end once they are told to.
const GRACE: Duration = Duration::from_secs(5);

/// Waits until no operation runs any more, and those who are attached to one have learnt of its end.
pub(super) async fn drain(service: &Service) {
    end_operations(service).await;
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
    if tokio::time::timeout(DRAIN, ended).await.is_ok() {
        return;
    }
    for signal in [15, 9] {
        let running = service.processes.running();
        for process in &running {
            // One that has ended meanwhile needs none.
            let _ = process.signal(signal);
        }
        let ended = async {
            for process in &running {
                process.wait().await;
            }
        };
        if tokio::time::timeout(GRACE, ended).await.is_ok() {
            return;
        }
    }
}

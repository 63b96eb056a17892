//! Ending commands from outside.

use std::sync::Arc;
use std::time::Duration;

use super::Process;

/// How long a command may take to end once it is told to, and once it is killed.
pub(crate) const GRACE: Duration = Duration::from_secs(5);

/// Ends commands: SIGTERM, and SIGKILL for those that go on. Comes back when all have ended and what came
/// of them is journaled, or when that takes long.
pub(crate) async fn end(processes: &[Arc<Process>]) {
    for signal in [15, 9] {
        for process in processes {
            // One that has ended meanwhile needs none.
            let _ = process.signal(signal);
        }
        let ended = async {
            for process in processes {
                process.wait().await;
            }
        };
        if tokio::time::timeout(GRACE, ended).await.is_ok() {
            return;
        }
    }
}

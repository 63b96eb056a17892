//! Removing containers whose launcher was killed together with the process that speaks for the container.

use super::client::{self, Calls};
use super::grpc::CallError;
use super::place::{self, Note};

/// What containers are found by.
pub(super) const LABEL: &str = "ctrlz.launcher";

/// Removes what launchers of this user that are gone left.
pub(crate) fn tidy() {
    for (folder, note) in place::abandoned() {
        let done = match &note {
            Some(note) => removed(note),
            // It was killed before it asked for anything.
            None => true,
        };
        if done {
            place::remove(&folder);
        }
    }
}

/// Whether the container is gone. A containerd that does not run is asked again the next time.
pub(super) fn removed(note: &Note) -> bool {
    client::block_on(async {
        let calls = Calls::open(&note.socket).await?;
        match calls.container(&note.name).await {
            Ok(container) => {
                // Somebody else's by now, whatever its name.
                let launcher = container.labels.get(LABEL);
                if launcher.is_none_or(|launcher| !note.name.contains(launcher.as_str())) {
                    return Ok(());
                }
            }
            Err(error) if error.is_absent() => return Ok(()),
            Err(error) => return Err(error),
        }
        remove(&calls, &note.name).await
    })
    .is_ok_and(|removed| removed.is_ok())
}

/// Ends a container with all that runs in it, and has it forgotten.
pub(super) async fn remove(calls: &Calls, name: &str) -> Result<(), CallError> {
    let gone = |done: Result<(), CallError>| match done {
        Err(error) if error.is_absent() => Ok(()),
        done => done,
    };
    // A task that has ended cannot be ended; one that has not cannot be deleted, which tells why.
    let _ = calls.kill_task(name, 9).await;
    if calls.has_task(name).await? {
        let _ = calls.wait_task(name).await;
    }
    gone(calls.delete_task(name).await)?;
    gone(calls.delete(name).await)
}

//! Removing containers whose launcher was killed. Most are gone already: they end with their launcher,
//! and the engine removes what has ended. Those that never began, or whose engine was killed, too, stay.

use std::fs;

use bollard::query_parameters::RemoveContainerOptions;

use super::client::{Client, is_absent};
use super::container::LABEL;
use super::place::{self, Note};

/// Removes what launchers of this user that are gone left with any engine.
pub(crate) fn tidy() {
    for (directory, note) in place::abandoned() {
        let done = match &note {
            Some(note) => removed(note),
            // It was killed before it asked the engine for anything.
            None => true,
        };
        if done {
            let _ = fs::remove_dir_all(directory);
        }
    }
}

/// Whether the container is gone. An engine that does not run is asked again the next time.
fn removed(note: &Note) -> bool {
    let Ok(client) = Client::connect(note.engine, std::slice::from_ref(&note.socket)) else {
        return false;
    };
    let found = client.wait(client.docker.inspect_container(&note.name, None));
    let labels = match found {
        Ok(found) => found.config.and_then(|config| config.labels).unwrap_or_default(),
        Err(error) => return is_absent(&error),
    };
    // Somebody else's by now, whatever its name.
    if labels.get(LABEL).is_none_or(|launcher| !note.name.contains(launcher.as_str())) {
        return true;
    }
    let options = RemoveContainerOptions { force: true, v: true, ..Default::default() };
    match client.wait(client.docker.remove_container(&note.name, Some(options))) {
        Ok(()) => true,
        Err(error) => is_absent(&error),
    }
}

//! The folder of one launch: the socket at which process 1 of the container arrives, and a note of
//! the container, for whoever tidies up when this process was killed.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, listen, socket_with,
};
use serde::{Deserialize, Serialize};

use super::client::Engine;
use crate::folder::{self, Folder};

/// How the names of these folders begin.
const PREFIX: &str = "ctrlz-engine-";

/// A folder that goes when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    directory: PathBuf,
    launcher: String,
    /// `None` once process 1 was met.
    listener: Option<OwnedFd>,
}

/// Which container belongs to a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    pub(super) engine: Engine,
    pub(super) socket: PathBuf,
    /// The container's name.
    pub(super) name: String,
}

impl Place {
    /// Makes the folder, for a container of that engine.
    pub(super) fn make(engine: Engine, socket: &Path) -> io::Result<(Self, Note)> {
        let folder = Folder::make(PREFIX)?;
        let made = (|| {
            let (socket, name) = (socket.to_owned(), folder.container.clone());
            let note = Note { engine, socket, name };
            folder.note(&note)?;
            let flags = SocketFlags::CLOEXEC;
            let listener = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
            bind(&listener, &SocketAddrUnix::new(folder.path.join("socket"))?)?;
            listen(&listener, 1)?;
            Ok((listener, note))
        })();
        let Folder { path: directory, launcher, .. } = folder;
        match made {
            Ok((listener, note)) => {
                Ok((Self { directory, launcher, listener: Some(listener) }, note))
            }
            Err(error) => {
                let _ = fs::remove_dir_all(&directory);
                Err(error)
            }
        }
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.directory.join("socket")
    }

    /// Whether somebody arrives in that time, which is less than a second.
    pub(super) fn is_reached(&self, within: Duration) -> io::Result<bool> {
        let Some(listener) = &self.listener else { return Ok(false) };
        let within = Timespec { tv_sec: 0, tv_nsec: i64::from(within.subsec_nanos()) };
        let mut ready = [PollFd::new(listener, PollFlags::IN)];
        Ok(retry_on_intr(|| poll(&mut ready, Some(&within)))? > 0)
    }

    /// Takes the connection of who arrived. From then on nobody else can.
    pub(super) fn accept(&mut self) -> io::Result<OwnedFd> {
        let listener = self.listener.take().ok_or(Errno::INVAL)?;
        let socket = accept_with(&listener, SocketFlags::CLOEXEC)?;
        fs::remove_file(self.socket())?;
        Ok(socket)
    }

    /// Lets the folder stay for whoever tidies up.
    pub(super) fn leave(mut self) {
        self.directory = PathBuf::new();
    }

    /// This process, by a name that no other one ever has.
    pub(super) fn launcher(&self) -> &str {
        &self.launcher
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.directory.as_os_str().is_empty() {
            // What stays, `tidy` removes.
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}

/// The folders of this user whose processes are gone, each with its note if it has one.
pub(super) fn abandoned() -> Vec<(PathBuf, Option<Note>)> {
    folder::abandoned(PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_kept_while_its_process_lives() {
        let (place, note) = Place::make(Engine::Podman, Path::new("/s")).expect("make");
        let directory = place.directory.clone();
        assert!(abandoned().iter().all(|(path, _)| *path != directory));
        // As if another process had made it, which is gone.
        let name = directory.file_name().expect("name").to_str().expect("text");
        let gone = name.replace(&format!("{PREFIX}{}", std::process::id()), &format!("{PREFIX}1"));
        let gone = directory.with_file_name(gone);
        fs::rename(&directory, &gone).expect("rename");
        let found = abandoned();
        assert!(found.contains(&(gone.clone(), Some(note))), "{found:?}");
        fs::remove_dir_all(gone).expect("remove");
    }
}

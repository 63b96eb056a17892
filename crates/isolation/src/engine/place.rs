//! The folder of one launch: the socket at which process 1 of the container arrives, and a note of
//! the container, for whoever tidies up when this process was killed.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, listen, socket_with,
};
use serde::{Deserialize, Serialize};

use super::client::Engine;

/// How the names of these folders begin.
const PREFIX: &str = "ctrlz-engine-";
/// The note of the container.
const NOTE: &str = "container.json";

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
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let launcher = this_process()?;
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = base().join(format!("{PREFIX}{launcher}-{count}"));
        DirBuilder::new().mode(0o700).create(&directory)?;
        let made = (|| {
            let note = Note {
                engine,
                socket: socket.to_owned(),
                name: format!("ctrlz-{launcher}-{count}"),
            };
            fs::write(directory.join(NOTE), serde_json::to_vec(&note)?)?;
            let flags = SocketFlags::CLOEXEC;
            let listener = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
            bind(&listener, &SocketAddrUnix::new(directory.join("socket"))?)?;
            listen(&listener, 1)?;
            Ok((listener, note))
        })();
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

/// Where the folders are: on a file system of memory, where there is one.
fn base() -> PathBuf {
    let own = match rustix::process::geteuid().is_root() {
        true => Some(PathBuf::from("/run")),
        false => std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from),
    };
    own.filter(|path| path.is_dir()).unwrap_or_else(std::env::temp_dir)
}

/// The id of this process, the time when it began, and the namespace in which the id is its own.
fn this_process() -> io::Result<String> {
    let id = std::process::id();
    let begun = begun(id).ok_or_else(|| io::Error::other("this process is not in /proc"))?;
    Ok(format!("{id}-{begun}-{}", namespace()?))
}

fn namespace() -> io::Result<u64> {
    Ok(File::open("/proc/self/ns/pid")?.metadata()?.ino())
}

/// When a process began, in ticks since the machine did (proc_pid_stat(5)).
fn begun(id: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// The folders of this user whose processes are gone, each with its note if it has one.
pub(super) fn abandoned() -> Vec<(PathBuf, Option<Note>)> {
    let Ok(own) = namespace() else { return Vec::new() };
    let user = rustix::process::geteuid().as_raw();
    let mut found = Vec::new();
    for entry in fs::read_dir(base()).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(rest) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else { continue };
        let numbers: Option<Vec<u64>> = rest.split('-').map(|part| part.parse().ok()).collect();
        let Some([id, time, namespace, _]) = numbers.as_deref() else { continue };
        let is_alive = u32::try_from(*id).is_ok_and(|id| begun(id) == Some(*time));
        let is_mine = entry.metadata().is_ok_and(|status| status.is_dir() && status.uid() == user);
        if *namespace != own || is_alive || !is_mine {
            continue;
        }
        let path = entry.path();
        let note = fs::read(path.join(NOTE)).ok();
        let note = note.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        found.push((path, note));
    }
    found
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

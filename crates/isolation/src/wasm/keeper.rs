//! The launcher's end of the socket over which the engine asks for compiled code.
//!
//! Which entry is meant is settled before the engine looks into the module: the launcher reads the module
//! itself, from a file that nobody can change, and makes the entry's name of it. What the engine sends
//! afterwards is kept under that name or not at all, once, and the engine closes its end before the
//! guest's first instruction.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use ctrlz_core::size::ByteSize;
use ctrlz_core::wasm::{Found, Told};
use ctrlz_sys::passing::{receive_with, send_with};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{SealFlags, fcntl_get_seals};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::cache::{Cache, Looked, MOST_OF_ONE, Name, copy_at};

/// Answers one engine.
#[derive(Debug)]
pub(crate) struct Keeper {
    socket: OwnedFd,
    cache: Cache,
    /// Stands for the file of the engine.
    engine: [u8; 32],
    /// What the engine is making code of.
    compiling: Option<Name>,
}

/// A message that no engine sends.
#[derive(Debug)]
struct Unexpected;

impl Keeper {
    /// A keeper of what is in `folder`, and the end for the engine that `engine` stands for.
    pub(super) fn of(
        folder: &Path,
        least_free: Option<ByteSize>,
        engine: [u8; 32],
    ) -> io::Result<(Self, OwnedFd)> {
        let cache = Cache::open(folder, least_free)?;
        let (socket, theirs) = pair()?;
        Ok((Self { socket, cache, engine, compiling: None }, theirs))
    }

    /// What to wait for.
    pub(crate) fn event(&self) -> PollFd<'_> {
        PollFd::new(&self.socket, PollFlags::IN)
    }

    /// Answers what was asked, without waiting for more; whether more may come.
    pub(crate) fn serve(&mut self) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        while poll(&mut [self.event()], Some(&now)).is_ok_and(|ready| ready > 0) {
            let mut message = [0; Told::MOST + 1];
            let Ok((length, files)) = receive_with(self.socket.as_fd(), &mut message) else {
                return false;
            };
            let told = Told::from_bytes(message.get(..length).unwrap_or_default());
            match told.zip(only(files)) {
                Some((told, file)) => {
                    if let Ok(true) = self.answer(told, &file) {
                        continue;
                    }
                    return false;
                }
                None => return false,
            }
        }
        true
    }

    /// Answers one message; whether more may come.
    fn answer(&mut self, told: Told, file: &File) -> Result<bool, Unexpected> {
        let length = length_of(file).ok_or(Unexpected)?;
        match (told, self.compiling) {
            (Told::Module { fingerprint, for_calls }, None) => {
                let name = self.name(fingerprint, for_calls, (file, length));
                let name = name.map_err(|_| Unexpected)?;
                let (found, code) = match self.cache.find(name) {
                    Looked::Nothing => (Found::Nothing, None),
                    Looked::Refused(why) => (Found::Refused(why), None),
                    Looked::Code(code) => (Found::Code, Some(code)),
                };
                let descriptors: Vec<BorrowedFd<'_>> = code.iter().map(AsFd::as_fd).collect();
                // One that is gone asks no more.
                let sent = send_with(self.socket.as_fd(), &found.to_bytes(), &descriptors);
                self.compiling = Some(name);
                Ok(sent.is_ok() && code.is_none())
            }
            (Told::Code, Some(name)) => {
                // A disk that is full loses the cache, and nothing else.
                let _ = self.cache.keep(name, file);
                Ok(false)
            }
            _ => Err(Unexpected),
        }
    }

    /// The entry of a module: of these bytes, compiled by this engine of this ctrlz in that way.
    fn name(
        &self,
        fingerprint: [u8; 32],
        for_calls: bool,
        (module, length): (&File, u64),
    ) -> io::Result<Name> {
        let mut content = blake3::Hasher::new();
        copy_at(module, length, |part| {
            content.update(part);
            Ok(())
        })?;
        let mut name = blake3::Hasher::new_derive_key("ctrlz 2026 name of compiled WebAssembly");
        name.update(&self.engine).update(&fingerprint).update(&[u8::from(for_calls)]);
        name.update(content.finalize().as_bytes());
        Ok(Name(*name.finalize().as_bytes()))
    }
}

/// A connected pair of sockets.
pub(super) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// The one file that came, if it was one.
fn only(files: Vec<OwnedFd>) -> Option<File> {
    let [file] = <[OwnedFd; 1]>::try_from(files).ok()?;
    Some(File::from(file))
}

/// The length of a file in memory, when nobody can change it any more: others could answer a read
/// late, or differently the second time.
fn length_of(file: &File) -> Option<u64> {
    let all = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK;
    let is_settled = fcntl_get_seals(file).is_ok_and(|seals| seals.contains(all));
    let length = file.metadata().ok()?.len();
    (is_settled && length <= MOST_OF_ONE).then_some(length)
}

#[cfg(test)]
#[path = "keeper_tests.rs"]
mod tests;

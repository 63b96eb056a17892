//! Loading machine code that was made of WebAssembly before.
//!
//! wasmtime takes it as it is: whoever can choose these bytes decides what the process does. Here they come
//! from the one who started this process, who kept them where nobody else writes and checked that they
//! are what was kept, and from nobody else.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{SealFlags, fcntl_get_seals};
use rustix::io::Errno;
use wasmtime::component::Component;
use wasmtime::{Engine, Module};

use crate::passed;
use crate::passing::{receive_with, send_with};

/// The socket that this process was started with, at whose other end machine code is kept. It is the only
/// source of [`Kept`].
#[derive(Debug)]
pub struct Keeper(OwnedFd);

/// Machine code from the keeper: a file in memory that nobody can change.
#[derive(Debug)]
pub struct Kept(File);

impl Keeper {
    /// The socket of the kind `SOCK_SEQPACKET` that whoever started this process handed to it as
    /// descriptor 3. To be called before anything else is opened.
    ///
    /// # Errors
    /// When there is none, or it was taken before.
    pub fn handed() -> io::Result<Self> {
        passed::take(1)?.pop().map(Self).ok_or_else(|| Errno::BADF.into())
    }

    /// Sends a message with a file.
    ///
    /// # Errors
    /// As sendmsg(2), `EPIPE` when nothing is kept.
    pub fn tell(&self, message: &[u8], file: &impl AsFd) -> io::Result<()> {
        send_with(self.0.as_fd(), message, &[file.as_fd()]).map(drop)
    }

    /// Waits for a message of `most` bytes at most, and for the machine code that comes with it, if any.
    ///
    /// # Errors
    /// As recvmsg(2), and where what came with it can be changed.
    pub fn hear(&self, most: usize) -> io::Result<(Vec<u8>, Option<Kept>)> {
        let mut message = vec![0; most];
        let (length, mut files) = receive_with(self.0.as_fd(), &mut message)?;
        message.truncate(length);
        let kept = files.pop().map(|file| match is_settled(&file) {
            true => Ok(Kept(File::from(file))),
            false => Err(io::Error::other("machine code came that can be changed")),
        });
        Ok((message, kept.transpose()?))
    }
}

/// Whether nobody can change it any more (memfd_create(2)).
fn is_settled(file: &impl AsFd) -> bool {
    let all = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK;
    fcntl_get_seals(file).is_ok_and(|seals| seals.contains(all))
}

impl Kept {
    /// It as a module.
    ///
    /// # Errors
    /// When another version of the engine, or one with other settings, made it.
    pub fn module(self, engine: &Engine) -> wasmtime::Result<Module> {
        // SAFETY: the file is sealed, so that what is mapped never changes. It came over the socket
        // that whoever started this process handed to it, who answers only with what an engine of
        // these settings made, and decides what this process executes anyway.
        unsafe { Module::deserialize_open_file(engine, self.0) }
    }

    /// It as a component.
    ///
    /// # Errors
    /// As [`Self::module`]
    pub fn component(self, engine: &Engine) -> wasmtime::Result<Component> {
        let mut bytes = Vec::new();
        // Whoever wrote it left the position at its end.
        (&self.0).rewind()?;
        (&self.0).read_to_end(&mut bytes)?;
        // SAFETY: as for a module; these bytes are this process's own.
        unsafe { Component::deserialize(engine, bytes) }
    }
}

//! The way of the tar archive's bytes from thread to thread: in pieces of one size, whose memory
//! goes round.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};

/// The size of a piece.
pub(crate) const CHUNK: usize = 1 << 18;
/// How many pieces there are.
const CHUNKS: usize = 10;

/// A piece: its memory, and how much of it is used.
#[derive(Debug)]
pub(crate) struct Chunk {
    memory: Vec<u8>,
    length: usize,
}

impl Chunk {
    pub(crate) fn bytes(&self) -> &[u8] {
        self.memory.get(..self.length).unwrap_or_default()
    }
}

/// Gathers what is written into pieces.
#[derive(Debug)]
pub(crate) struct Chunks {
    full: SyncSender<Chunk>,
    empty: Receiver<Chunk>,
    made: usize,
    current: Option<Chunk>,
    /// Bytes that were written.
    pub(crate) written: u64,
}

/// The other end has gone; it says why.
fn gone<T>(_: T) -> io::Error {
    io::Error::from(io::ErrorKind::BrokenPipe)
}

impl Chunks {
    /// The writer, where its pieces come out, and where they are given back.
    pub(crate) fn new() -> (Self, Receiver<Chunk>, SyncSender<Chunk>) {
        let (full, out) = sync_channel(CHUNKS);
        let (back, empty) = sync_channel(CHUNKS);
        (Self { full, empty, made: 0, current: None, written: 0 }, out, back)
    }

    fn current(&mut self) -> io::Result<&mut Chunk> {
        if self.current.is_none() {
            let chunk = match self.empty.try_recv() {
                Ok(chunk) => chunk,
                Err(TryRecvError::Empty) if self.made < CHUNKS => {
                    self.made += 1;
                    Chunk { memory: vec![0; CHUNK], length: 0 }
                }
                Err(_) => self.empty.recv().map_err(gone)?,
            };
            self.current = Some(Chunk { length: 0, ..chunk });
        }
        self.current.as_mut().ok_or_else(|| gone(()))
    }

    /// Has `read` fill room of at most `most` bytes; answers how many it filled.
    pub(crate) fn fill<E: From<io::Error>>(
        &mut self,
        most: u64,
        mut read: impl FnMut(&mut [u8]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        let chunk = self.current()?;
        let room = chunk.memory.get_mut(chunk.length..).unwrap_or_default();
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(room.len());
        let length = read(room.get_mut(..most).unwrap_or_default())?;
        chunk.length += length;
        let full = chunk.length == chunk.memory.len();
        self.written += length as u64;
        if full {
            self.pass_on()?;
        }
        Ok(length)
    }

    fn pass_on(&mut self) -> io::Result<()> {
        match self.current.take() {
            Some(chunk) if chunk.length > 0 => self.full.send(chunk).map_err(gone),
            _ => Ok(()),
        }
    }

    /// Passes on what is left.
    pub(crate) fn finish(mut self) -> io::Result<u64> {
        self.pass_on()?;
        Ok(self.written)
    }
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.fill(bytes.len() as u64, |room| {
            room.copy_from_slice(bytes.get(..room.len()).unwrap_or_default());
            Ok(room.len())
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

//! Reading ahead: bytes that another thread reads, in pieces whose memory goes round.

use std::io::{self, BufRead, ErrorKind, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// The size of a piece.
const CHUNK: usize = 1 << 18;
/// How many pieces there are.
pub(crate) const CHUNKS: usize = 10;

/// A piece of the archive, or why there is none.
pub(crate) type Piece = Result<Vec<u8>, io::Error>;

/// Reads `from` to its end, piece by piece.
pub(crate) fn pump(mut from: impl Read, to: &SyncSender<Piece>, back: &Receiver<Vec<u8>>) {
    let mut made = 0;
    loop {
        let memory = match back.try_recv() {
            Ok(memory) => Ok(memory),
            Err(_) if made < CHUNKS => {
                made += 1;
                Ok(Vec::new())
            }
            Err(_) => back.recv(),
        };
        // Nobody listens any more.
        let Ok(mut memory) = memory else { return };
        memory.resize(CHUNK, 0);
        match fill(&mut from, &mut memory) {
            Ok(0) => return,
            Ok(length) => {
                memory.truncate(length);
                if to.send(Ok(memory)).is_err() {
                    return;
                }
            }
            Err(error) => {
                let _ = to.send(Err(error));
                return;
            }
        }
    }
}

fn fill(from: &mut impl Read, to: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while done < to.len() {
        match from.read(to.get_mut(done..).unwrap_or_default()) {
            Ok(0) => break,
            Ok(length) => done += length,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// The pieces as a stream.
#[derive(Debug)]
pub(crate) struct Feed {
    from: Receiver<Piece>,
    back: SyncSender<Vec<u8>>,
    piece: Vec<u8>,
    at: usize,
    ended: bool,
}

impl Feed {
    pub(crate) fn new(from: Receiver<Piece>, back: SyncSender<Vec<u8>>) -> Self {
        Self { from, back, piece: Vec::new(), at: 0, ended: false }
    }
}

impl Read for Feed {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let length = self.fill_buf()?.read(to)?;
        self.consume(length);
        Ok(length)
    }
}

impl BufRead for Feed {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.piece.len() && !self.ended {
            let old = std::mem::take(&mut self.piece);
            self.at = 0;
            if old.capacity() > 0 {
                // The other end may be through.
                let _ = self.back.try_send(old);
            }
            match self.from.recv() {
                Ok(piece) => self.piece = piece.inspect_err(|_| self.ended = true)?,
                Err(_) => self.ended = true,
            }
        }
        Ok(self.piece.get(self.at..).unwrap_or_default())
    }

    fn consume(&mut self, length: usize) {
        self.at = (self.at + length).min(self.piece.len());
    }
}

/// A reader that another thread reads from, so that what this one computes of its bytes does not
/// wait for what that one does with them.
#[derive(Debug)]
pub(crate) struct Ahead<R> {
    feed: Feed,
    thread: JoinHandle<R>,
}

impl<R: Read + Send + 'static> Ahead<R> {
    /// # Errors
    /// When there can be no further thread.
    pub(crate) fn new(mut reader: R) -> io::Result<Self> {
        let (to, from) = sync_channel(CHUNKS);
        let (back, empty) = sync_channel(CHUNKS);
        let thread = std::thread::Builder::new().spawn(move || {
            pump(&mut reader, &to, &empty);
            reader
        })?;
        Ok(Self { feed: Feed::new(from, back), thread })
    }

    /// The reader, which has been read further than this one, or to its end.
    pub(crate) fn into_inner(self) -> R {
        // The thread sees that nobody listens any more.
        drop(self.feed);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl<R> Read for Ahead<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.feed.read(buffer)
    }
}

//! The layer's bytes on their way from the decompressing thread.

use std::io::{self, BufRead, ErrorKind, Read};
use std::sync::mpsc::{Receiver, SyncSender};

use crate::error::ArchiveError;
use crate::sha256::Sha256;

/// The size of a piece.
const CHUNK: usize = 1 << 18;
/// How many pieces there are.
pub(super) const CHUNKS: usize = 10;

/// A piece of the archive, or why there is none.
pub(super) type Piece = Result<Vec<u8>, io::Error>;

/// Reads `from` to its end, piece by piece.
pub(super) fn pump(mut from: impl Read, to: &SyncSender<Piece>, back: &Receiver<Vec<u8>>) {
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

/// Passes pieces on and computes the digest of them all.
pub(super) fn hash(from: &Receiver<Piece>, to: &SyncSender<Piece>) -> Sha256 {
    let mut hasher = Sha256::new();
    while let Ok(piece) = from.recv() {
        if let Ok(bytes) = &piece {
            hasher.update(bytes);
        }
        if to.send(piece).is_err() {
            break;
        }
    }
    hasher
}

/// The pieces as a stream.
#[derive(Debug)]
pub(super) struct Feed {
    from: Receiver<Piece>,
    back: SyncSender<Vec<u8>>,
    piece: Vec<u8>,
    at: usize,
    ended: bool,
}

impl Feed {
    pub(super) fn new(from: Receiver<Piece>, back: SyncSender<Vec<u8>>) -> Self {
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

/// The digest of a stream that was passed on whole is not the expected one.
pub(super) fn check(
    found: Sha256,
    expected: Option<&ctrlz_core::digest::Digest>,
) -> Result<ctrlz_core::digest::Digest, ArchiveError> {
    let found = found.finish();
    match expected {
        Some(expected) if *expected != found => Err(ArchiveError::Damaged {
            digest: *expected,
            what: format!("decompressed, its digest is {found}"),
        }),
        _ => Ok(found),
    }
}

//! A writer on a thread of its own.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

/// How much goes over at once.
const PIECE: usize = 256 << 10;

/// How many pieces may wait. With the one that grows and the one that is written: 1.5 MiB.
const WAITING: usize = 4;

/// Hands what is written to a thread that writes it on, so that the caller can go on. Compression
/// and the digest of a blob take about the same time; on two threads they take half.
#[derive(Debug)]
pub struct Background<W: Write + Send + 'static> {
    /// `None` once the thread has gone.
    thread: Option<JoinHandle<io::Result<W>>>,
    full: Option<SyncSender<Vec<u8>>>,
    empty: Receiver<Vec<u8>>,
    piece: Vec<u8>,
}

impl<W: Write + Send + 'static> Background<W> {
    /// Starts the thread that writes to `inner`.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(mut inner: W) -> io::Result<Self> {
        let (full, pieces) = sync_channel::<Vec<u8>>(WAITING);
        let (back, empty) = sync_channel(WAITING + 2);
        let write = move || {
            for mut piece in pieces {
                inner.write_all(&piece)?;
                piece.clear();
                // Nobody waits for it when the caller has ended.
                let _ = back.try_send(piece);
            }
            Ok(inner)
        };
        let thread = thread::Builder::new().name("ctrlz-blob".to_owned()).spawn(write)?;
        let piece = Vec::with_capacity(PIECE);
        Ok(Self { thread: Some(thread), full: Some(full), empty, piece })
    }

    /// Waits until all is written; hands back what it was written to.
    ///
    /// # Errors
    /// When something could not be written.
    pub fn finish(mut self) -> io::Result<W> {
        self.hand_over()?;
        self.full = None;
        self.join()
    }

    fn hand_over(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let next = self.empty.try_recv().unwrap_or_else(|_| Vec::with_capacity(PIECE));
        let piece = std::mem::replace(&mut self.piece, next);
        let taken = self.full.as_ref().is_some_and(|full| full.send(piece).is_ok());
        if taken {
            return Ok(());
        }
        // The thread ends early only with an error.
        self.full = None;
        match self.join() {
            Err(error) => Err(error),
            Ok(_) => Err(io::Error::other("the thread that writes has ended")),
        }
    }

    fn join(&mut self) -> io::Result<W> {
        let gone = || io::Error::other("the thread that writes has failed before");
        let thread = self.thread.take().ok_or_else(gone)?;
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread that writes panicked")))
    }
}

impl<W: Write + Send + 'static> Write for Background<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.piece.len() >= PIECE {
            self.hand_over()?;
        }
        let room = PIECE.saturating_sub(self.piece.len());
        let taken = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        self.piece.extend_from_slice(taken);
        Ok(taken.len())
    }

    /// Hands over what there is; whether it was written is known with [`Background::finish`].
    fn flush(&mut self) -> io::Result<()> {
        self.hand_over()
    }
}

impl<W: Write + Send + 'static> Drop for Background<W> {
    fn drop(&mut self) {
        self.full = None;
        // So that nothing writes on when its maker has given up.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_everything_in_order() {
        let mut writer = Background::start(Vec::new()).expect("a thread");
        let mut expected = Vec::new();
        for number in 0..200_000u32 {
            writer.write_all(&number.to_le_bytes()).expect("taken");
            expected.extend_from_slice(&number.to_le_bytes());
        }
        assert!(writer.finish().expect("written") == expected);
        assert!(
            Background::start(Vec::new()).expect("a thread").finish().expect("none").is_empty()
        );
    }

    /// Takes some bytes, then none.
    struct Full(usize);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_error_reaches_the_caller() {
        let mut writer = Background::start(Full(2 * PIECE)).expect("a thread");
        let error = (0..20).find_map(|_| writer.write_all(&[0; PIECE]).err()).expect("full");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(writer.write_all(&[0; PIECE]).and_then(|()| writer.finish()).is_err());
        let mut late = Background::start(Full(10)).expect("a thread");
        late.write_all(&[0; 100]).expect("waits");
        assert!(late.finish().is_err());
    }
}

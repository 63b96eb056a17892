//! What a command wrote, as far back as is kept.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

/// How much is kept of one command's output. Of a longer one the beginning is dropped, and whoever
/// reads learns how much.
const MOST: usize = 1 << 20;
/// Of how many pieces, since each takes room by itself, however short it is.
const PIECES: usize = 8192;
/// Up to this size what is written to one stream becomes one piece.
const SMALL: usize = 1 << 10;

/// How long a command waits for somebody to go on following its output.
const UNHEARD: Duration = Duration::from_secs(60);

/// Which stream something was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Output,
    Error,
}

impl Stream {
    /// The word for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Output => "stdout",
            Self::Error => "stderr",
        }
    }
}

/// What was written at once.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    pub(crate) stream: Stream,
    /// How many bytes were written before it, to both streams.
    pub(crate) offset: u64,
    pub(crate) bytes: Bytes,
}

impl Piece {
    /// What of it lies from `offset` on.
    fn behind(&self, offset: u64) -> Self {
        let skip = usize::try_from(offset.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        let skip = skip.min(self.bytes.len());
        Self {
            stream: self.stream,
            offset: self.offset + skip as u64,
            bytes: self.bytes.slice(skip..),
        }
    }
}

#[derive(Debug, Default)]
struct Kept {
    pieces: VecDeque<Piece>,
    size: usize,
    /// Where the next piece begins.
    end: u64,
}

/// The output of a command.
#[derive(Debug)]
pub(crate) struct Log {
    kept: Mutex<Kept>,
    /// How many bytes were written; nobody can add more once it is closed.
    end: watch::Sender<u64>,
    /// Up to where it was told to those who follow it.
    told: watch::Sender<u64>,
    /// Whether who writes waits for those who follow, and for how long.
    is_held: AtomicBool,
    patience: Duration,
}

impl Default for Log {
    fn default() -> Self {
        let (end, told) = (watch::Sender::new(0), watch::Sender::new(0));
        let is_held = AtomicBool::new(false);
        Self { kept: Mutex::default(), end, told, is_held, patience: UNHEARD }
    }
}

impl Log {
    /// One for which a command waits that writes faster than it is followed, as at a pipe.
    pub(crate) fn held(is_held: bool) -> Self {
        Self { is_held: AtomicBool::new(is_held), ..Self::default() }
    }

    /// Notes up to where it was told.
    pub(crate) fn note_told(&self, offset: u64) {
        self.told.send_if_modified(|told| {
            let is_more = offset > *told;
            *told = (*told).max(offset);
            is_more
        });
    }

    /// Waits until there is room for what was not told yet. When nobody follows for a while, nothing is
    /// held any more.
    pub(crate) async fn room(&self) {
        let mut told = self.told.subscribe();
        while self.is_held.load(Ordering::Relaxed) {
            let behind = self.kept().end.saturating_sub(*told.borrow_and_update());
            if behind < MOST as u64 / 2 {
                return;
            }
            if tokio::time::timeout(self.patience, told.changed()).await.is_err() {
                self.is_held.store(false, Ordering::Relaxed);
            }
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what was written.
    pub(crate) fn add(&self, stream: Stream, bytes: Bytes) {
        let end = {
            let mut kept = self.kept();
            let offset = kept.end;
            kept.end += bytes.len() as u64;
            kept.size += bytes.len();
            match kept.pieces.back_mut() {
                Some(last) if last.stream == stream && last.bytes.len() + bytes.len() <= SMALL => {
                    last.bytes = [&*last.bytes, &*bytes].concat().into();
                }
                _ => kept.pieces.push_back(Piece { stream, offset, bytes }),
            }
            let has_too_much = |kept: &Kept| kept.size > MOST || kept.pieces.len() > PIECES;
            while has_too_much(&kept) && kept.pieces.len() > 1 {
                let dropped = kept.pieces.pop_front();
                kept.size -= dropped.map_or(0, |piece| piece.bytes.len());
            }
            kept.end
        };
        self.end.send_replace(end);
    }

    /// How many bytes are kept.
    pub(crate) fn size(&self) -> usize {
        self.kept().size
    }

    /// The first piece of what was written from `offset` on, as far as it is kept.
    pub(crate) fn next(&self, offset: u64) -> Option<Piece> {
        let kept = self.kept();
        let first =
            kept.pieces.partition_point(|piece| piece.offset + piece.bytes.len() as u64 <= offset);
        kept.pieces.get(first).map(|piece| piece.behind(offset))
    }

    /// Learns when there is more.
    pub(crate) fn follow(&self) -> watch::Receiver<u64> {
        self.end.subscribe()
    }

    /// All that is kept of one stream, at most `most` bytes from its end; and whether that is all that
    /// was written to it.
    pub(crate) fn tail(&self, stream: Stream, most: usize) -> (Vec<u8>, bool) {
        let kept = self.kept();
        let of_stream = kept.pieces.iter().filter(|piece| piece.stream == stream);
        let mut bytes: Vec<u8> = of_stream.flat_map(|piece| piece.bytes.iter().copied()).collect();
        let cut = bytes.len().saturating_sub(most);
        bytes.drain(..cut);
        let is_whole = kept.pieces.front().is_none_or(|first| first.offset == 0);
        (bytes, cut == 0 && is_whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was written from `offset` on, as far as it is kept.
    fn from(log: &Log, offset: u64) -> Vec<Piece> {
        let mut at = offset;
        let next = || {
            let piece = log.next(at)?;
            at = piece.offset + piece.bytes.len() as u64;
            Some(piece)
        };
        std::iter::from_fn(next).collect()
    }

    fn text(pieces: &[Piece]) -> String {
        pieces.iter().map(|piece| String::from_utf8_lossy(&piece.bytes).into_owned()).collect()
    }

    #[test]
    fn what_was_written_is_read_from_any_place_on() {
        let log = Log::default();
        log.add(Stream::Output, Bytes::from_static(b"one "));
        log.add(Stream::Error, Bytes::from_static(b"two "));
        log.add(Stream::Output, Bytes::from_static(b"three"));
        assert_eq!(text(&from(&log, 0)), "one two three");
        assert_eq!(text(&from(&log, 4)), "two three");
        assert_eq!(text(&from(&log, 6)), "o three");
        assert_eq!(from(&log, 6)[0].offset, 6);
        assert_eq!(text(&log.next(6).into_iter().collect::<Vec<_>>()), "o ");
        assert!(log.next(13).is_none());
        assert!(from(&log, 13).is_empty() && from(&log, 99).is_empty());
        assert_eq!(log.tail(Stream::Output, 100), (b"one three".to_vec(), true));
        assert_eq!(log.tail(Stream::Output, 5), (b"three".to_vec(), false));
        assert_eq!(*log.follow().borrow(), 13);
    }

    #[test]
    fn of_much_output_the_end_is_kept() {
        let log = Log::default();
        let piece = Bytes::from(vec![b'x'; 1 << 16]);
        for _ in 0..40 {
            log.add(Stream::Output, piece.clone());
        }
        let kept = from(&log, 0);
        assert_eq!(kept.iter().map(|piece| piece.bytes.len()).sum::<usize>(), MOST);
        assert_eq!(kept[0].offset, (40 << 16) - MOST as u64);
        assert!(!log.tail(Stream::Output, usize::MAX).1);
    }

    #[test]
    fn what_is_written_byte_by_byte_takes_no_more_room() {
        let log = Log::default();
        for number in 0..MOST + 5 {
            log.add(Stream::Output, Bytes::copy_from_slice(&[b'a' + (number % 26) as u8]));
        }
        let kept = from(&log, 0);
        assert!(kept.len() <= MOST / SMALL + 1, "{} pieces", kept.len());
        assert_eq!(text(&from(&log, (MOST + 2) as u64)).len(), 3);
        assert!(log.size() > MOST - SMALL, "{}", log.size());
        // Nor when it goes to both streams by turns.
        for _ in 0..PIECES {
            log.add(Stream::Output, Bytes::from_static(b"o"));
            log.add(Stream::Error, Bytes::from_static(b"e"));
        }
        assert_eq!(from(&log, 0).len(), PIECES);
        assert_eq!(*log.follow().borrow(), (MOST + 5 + 2 * PIECES) as u64);
    }

    #[tokio::test]
    async fn who_writes_waits_for_who_follows_unless_nobody_does() {
        let log = Log { patience: Duration::from_millis(1), ..Log::held(true) };
        let piece = Bytes::from(vec![b'x'; MOST / 2]);
        log.room().await;
        log.add(Stream::Output, piece.clone());
        log.note_told(1);
        log.room().await;
        assert!(log.is_held.load(Ordering::Relaxed), "somebody follows");
        log.add(Stream::Output, piece);
        // Nobody follows any more.
        log.room().await;
        assert!(!log.is_held.load(Ordering::Relaxed));
    }
}

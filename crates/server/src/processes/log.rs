//! What a process wrote: the newest of it in memory, what it outgrows on disk.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::segments;
use crate::problem::Problem;
use crate::service::blocking;

/// How much is kept in memory of one process's output.
pub(super) const MOST: usize = 64 << 10;
/// How far a command may be ahead of the disk, or of those for whom it waits.
const AHEAD: u64 = 256 << 10;
/// Of how many pieces, since each takes room by itself, however short it is.
const PIECES: usize = 8192;
/// Up to this size what is written to one stream becomes one piece.
const SMALL: usize = 1 << 10;
/// How much whoever reads is given at once: what waits for a slow client is in the log, and not with each.
const READ: usize = 16 << 10;

/// How long a command waits for somebody to go on following its output.
const UNHEARD: Duration = Duration::from_secs(60);

/// Which stream something was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stream {
    #[serde(rename = "stdout")]
    Output,
    #[serde(rename = "stderr")]
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
    pub(super) fn behind(&self, offset: u64) -> Self {
        let skip = usize::try_from(offset.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        let skip = skip.min(self.bytes.len());
        Self {
            stream: self.stream,
            offset: self.offset + skip as u64,
            bytes: self.bytes.slice(skip..),
        }
    }

    /// How many bytes were written up to its end, to both streams.
    pub(crate) fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }
}

/// What is in memory.
#[derive(Debug, Default)]
struct Kept {
    pieces: VecDeque<Piece>,
    size: usize,
    /// Where the next piece begins.
    end: u64,
    /// Up to where it was written to the disk, or could not be.
    stored: u64,
    /// Where the rest lies, if it lies anywhere.
    folder: Option<PathBuf>,
    /// Whether the disk takes it before it goes from memory.
    is_stored: bool,
}

impl Kept {
    /// Where what is in memory begins.
    fn first(&self) -> u64 {
        self.pieces.front().map_or(self.end, |piece| piece.offset)
    }

    fn drop_oldest(&mut self) {
        while (self.size > MOST || self.pieces.len() > PIECES) && self.pieces.len() > 1 {
            let is_needed = |first: &Piece| self.is_stored && first.end() > self.stored;
            if self.pieces.front().is_none_or(is_needed) {
                return;
            }
            let dropped = self.pieces.pop_front();
            self.size -= dropped.map_or(0, |piece| piece.bytes.len());
        }
    }

    fn from(&self, offset: u64) -> Vec<Piece> {
        let first = self.pieces.partition_point(|piece| piece.end() <= offset);
        self.pieces.iter().skip(first).map(|piece| piece.behind(offset)).collect()
    }
}

/// The end of both streams.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Tails {
    pub(crate) output: Vec<u8>,
    pub(crate) error: Vec<u8>,
    /// Whether that is all that was written.
    pub(crate) is_whole: bool,
}

/// The output of a process.
#[derive(Debug)]
pub(crate) struct Log {
    kept: Mutex<Kept>,
    /// How many bytes were written.
    end: watch::Sender<u64>,
    /// Whether no more can come.
    closed: watch::Sender<bool>,
    /// Up to where the disk has it.
    stored: watch::Sender<u64>,
    /// Up to where it was told to those who follow it.
    told: watch::Sender<u64>,
    /// Whether who writes waits for those who follow, and for how long.
    is_held: AtomicBool,
    patience: Duration,
}

impl Default for Log {
    fn default() -> Self {
        Self::of(Kept::default())
    }
}

impl Log {
    fn of(kept: Kept) -> Self {
        let end = kept.end;
        Self {
            kept: Mutex::new(kept),
            end: watch::Sender::new(end),
            closed: watch::Sender::new(false),
            stored: watch::Sender::new(end),
            told: watch::Sender::new(0),
            is_held: AtomicBool::new(false),
            patience: UNHEARD,
        }
    }

    /// One of which nothing goes from memory before it is stored. With `is_held` a command waits that
    /// writes faster than it is followed, as at a pipe.
    pub(crate) fn stored(is_held: bool) -> Self {
        let log = Self::of(Kept { is_stored: true, ..Kept::default() });
        Self { is_held: AtomicBool::new(is_held), ..log }
    }

    /// One of which nothing is in memory, and to which no more comes.
    pub(super) fn in_folder(folder: PathBuf, end: u64) -> Self {
        Self::of(Kept { end, stored: end, folder: Some(folder), ..Kept::default() })
    }

    /// One of a process that has ended, with all that is kept of it.
    pub(super) fn with(pieces: Vec<Piece>, end: u64) -> Self {
        let size = pieces.iter().map(|piece| piece.bytes.len()).sum();
        Self::of(Kept { pieces: pieces.into(), size, end, stored: end, ..Kept::default() })
    }

    /// Notes up to where it was told.
    pub(crate) fn note_told(&self, offset: u64) {
        self.told.send_if_modified(|told| {
            let is_more = offset > *told;
            *told = (*told).max(offset);
            is_more
        });
    }

    /// Waits until there is room for more: the disk has nearly all of it, and so have those who follow, if
    /// it is held for them. When nobody follows for a while, nothing is held any more.
    pub(crate) async fn room(&self) {
        let mut stored = self.stored.subscribe();
        let is_near = |stored: &u64| {
            let kept = self.kept();
            let is_near = kept.end.saturating_sub(*stored) < AHEAD;
            !kept.is_stored || is_near && kept.pieces.len() <= 2 * PIECES
        };
        // Who sends lives as long as this.
        let _ = stored.wait_for(is_near).await;
        let mut told = self.told.subscribe();
        while self.is_held.load(Ordering::Relaxed) {
            let behind = self.kept().end.saturating_sub(*told.borrow_and_update());
            if behind < AHEAD {
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
            kept.drop_oldest();
            kept.end
        };
        self.end.send_replace(end);
    }

    /// No more can come.
    pub(crate) fn close(&self) {
        self.closed.send_replace(true);
    }

    /// Learns when no more can come.
    pub(super) fn closed(&self) -> watch::Receiver<bool> {
        self.closed.subscribe()
    }

    /// What the disk does not have, from its beginning, and up to where all of it goes.
    pub(super) fn unstored(&self, most: usize) -> Vec<Piece> {
        let kept = self.kept();
        let mut size = 0;
        let mut fits = |piece: &Piece| {
            let is_first = size == 0;
            size += piece.bytes.len();
            is_first || size <= most
        };
        kept.from(kept.stored).into_iter().take_while(|piece| fits(piece)).collect()
    }

    /// Notes up to where the disk has it, or could not take it.
    pub(super) fn note_stored(&self, until: u64, folder: Option<PathBuf>) {
        {
            let mut kept = self.kept();
            kept.stored = until;
            kept.folder = folder;
            kept.drop_oldest();
        }
        self.stored.send_replace(until);
    }

    /// Nothing is stored any more: what does not fit in memory goes.
    pub(super) fn forgo(&self) {
        {
            let mut kept = self.kept();
            kept.is_stored = false;
            kept.drop_oldest();
        }
        // Whoever waits for the disk looks again.
        self.stored.send_modify(|_| {});
    }

    /// How many bytes are in memory.
    pub(crate) fn size(&self) -> usize {
        self.kept().size
    }

    /// What is in memory.
    pub(super) fn in_memory(&self) -> Vec<Piece> {
        self.kept().from(0)
    }

    /// What comes next of what was written from `offset` on, as far as it is kept; nothing when that is all
    /// for now. An empty piece stands for the end of what is not kept.
    pub(crate) async fn read(&self, offset: u64) -> Vec<Piece> {
        let (folder, first, end) = {
            let kept = self.kept();
            match &kept.folder {
                Some(folder) if offset < kept.first() => (folder.clone(), kept.first(), kept.end),
                _ => return or_lost(few(kept.from(offset)), offset, kept.end),
            }
        };
        let read = blocking(move || {
            segments::read(&folder, offset, first, READ)
                .map_err(|error| Problem::internal(format!("cannot read the log: {error}")))
        });
        match read.await {
            Ok(pieces) if !pieces.is_empty() => pieces,
            // Dropped meanwhile, or lost: what comes behind it is in memory.
            Ok(_) | Err(_) => or_lost(few(self.kept().from(first)), offset, end),
        }
    }

    /// Learns when there is more.
    pub(crate) fn follow(&self) -> watch::Receiver<u64> {
        self.end.subscribe()
    }

    /// What the last `most` bytes of each stream are in, as far as it is kept.
    pub(crate) async fn last(&self, most: usize) -> Vec<Piece> {
        let (folder, in_memory, first) = {
            let kept = self.kept();
            (kept.folder.clone(), kept.from(0), kept.first())
        };
        let Some(folder) = folder.filter(|_| first > 0) else { return in_memory };
        let read = blocking(move || {
            segments::tail(&folder, first, most)
                .map_err(|error| Problem::internal(format!("cannot read the log: {error}")))
        });
        // What cannot be read is told as what is kept no more.
        let mut pieces = read.await.unwrap_or_default();
        pieces.extend(in_memory);
        pieces
    }

    /// The end of each stream, as far as it is kept: at most `most` bytes.
    pub(crate) async fn tails(&self, most: usize) -> Tails {
        let end = *self.end.borrow();
        let mut tails = Tails::default();
        for piece in self.last(most).await {
            match piece.stream {
                Stream::Output => tails.output.extend_from_slice(&piece.bytes),
                Stream::Error => tails.error.extend_from_slice(&piece.bytes),
            }
        }
        for bytes in [&mut tails.output, &mut tails.error] {
            bytes.drain(..bytes.len().saturating_sub(most));
        }
        tails.is_whole = (tails.output.len() + tails.error.len()) as u64 == end;
        tails
    }
}

/// Of these pieces as many as are given at once.
fn few(mut pieces: Vec<Piece>) -> Vec<Piece> {
    let mut size = 0;
    let many = pieces.iter().take_while(|piece| {
        let is_room = size < READ;
        size += piece.bytes.len();
        is_room
    });
    let many = many.count();
    pieces.truncate(many);
    // What is held of them is no more than they are.
    pieces.iter_mut().for_each(|piece| piece.bytes = Bytes::copy_from_slice(&piece.bytes));
    pieces
}

/// These pieces or, when there are none up to the end, what tells so.
fn or_lost(pieces: Vec<Piece>, offset: u64, end: u64) -> Vec<Piece> {
    match pieces.is_empty() && offset < end {
        true => vec![Piece { stream: Stream::Output, offset: end, bytes: Bytes::new() }],
        false => pieces,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(pieces: &[Piece]) -> String {
        pieces.iter().map(|piece| String::from_utf8_lossy(&piece.bytes).into_owned()).collect()
    }

    impl Log {
        /// All that is kept from there on.
        async fn read_all(&self, mut offset: u64) -> Vec<Piece> {
            let mut all = Vec::new();
            loop {
                let pieces = self.read(offset).await;
                let Some(last) = pieces.last() else { return all };
                offset = last.end();
                all.extend(pieces);
            }
        }
    }

    fn tails(output: &[u8], error: &[u8], is_whole: bool) -> Tails {
        Tails { output: output.to_vec(), error: error.to_vec(), is_whole }
    }

    #[tokio::test]
    async fn what_was_written_is_read_from_any_place_on() {
        let log = Log::default();
        log.add(Stream::Output, Bytes::from_static(b"one "));
        log.add(Stream::Error, Bytes::from_static(b"two "));
        log.add(Stream::Output, Bytes::from_static(b"three"));
        assert_eq!(text(&log.read(0).await), "one two three");
        assert_eq!(text(&log.read(4).await), "two three");
        assert_eq!(text(&log.read(6).await), "o three");
        assert_eq!(log.read(6).await[0].offset, 6);
        assert!(log.read(13).await.is_empty() && log.read(99).await.is_empty());
        assert_eq!(log.tails(100).await, tails(b"one three", b"two ", true));
        assert_eq!(log.tails(5).await, tails(b"three", b"two ", false));
        assert_eq!(*log.follow().borrow(), 13);
    }

    #[tokio::test]
    async fn without_a_disk_the_end_is_kept_and_the_gap_told() {
        let log = Log::default();
        let piece = Bytes::from(vec![b'x'; 1 << 14]);
        for _ in 0..40 {
            log.add(Stream::Output, piece.clone());
        }
        let kept = log.read_all(0).await;
        assert_eq!(kept.iter().map(|piece| piece.bytes.len()).sum::<usize>(), MOST);
        assert_eq!(kept[0].offset, (40 << 14) - MOST as u64);
        assert!(!log.tails(usize::MAX).await.is_whole);
    }

    #[tokio::test]
    async fn what_the_disk_does_not_have_stays_in_memory_and_the_rest_is_read_from_both() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().to_owned();
        let mut writer = segments::Writer::new(path.clone(), 1 << 20);
        let log = Log::stored(false);
        let piece = Bytes::from(vec![b'x'; 1 << 14]);
        for _ in 0..10 {
            log.add(Stream::Output, piece.clone());
        }
        assert_eq!(log.size(), 10 << 14);
        let batch = log.unstored(3 << 14);
        assert_eq!(batch.len(), 3);
        writer.append(&batch, false).expect("written");
        log.note_stored(3 << 14, Some(path.clone()));
        assert_eq!(log.size(), 7 << 14);
        let batch = log.unstored(usize::MAX);
        assert_eq!(batch[0].offset, 3 << 14);
        // These a full disk did not take.
        log.note_stored(10 << 14, Some(path.clone()));
        assert_eq!(log.size(), MOST);
        let mut offset = 0;
        let mut seen = Vec::new();
        loop {
            let pieces = log.read(offset).await;
            let Some(last) = pieces.last() else { break };
            offset = last.end();
            seen.extend(pieces.iter().map(|piece| (piece.offset, piece.end())));
        }
        let parts = [(0, 1), (1, 2), (2, 3), (6, 7), (7, 8), (8, 9), (9, 10)];
        assert_eq!(seen, parts.map(|(from, to)| (from << 14, to << 14)), "the gap is seen");
        assert_eq!(offset, 10 << 14);
        assert_eq!(log.tails(usize::MAX).await.output.len(), 7 << 14);
        // Once nothing is in memory, the end is told all the same.
        let ended = Log::in_folder(path, 10 << 14);
        let last = ended.read(3 << 14).await;
        assert_eq!(
            last.iter().map(|one| (one.offset, one.bytes.len())).collect::<Vec<_>>(),
            [(10 << 14, 0)]
        );
        assert!(ended.read(10 << 14).await.is_empty());
    }

    #[tokio::test]
    async fn what_is_on_disk_and_in_memory_is_told_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().to_owned();
        let mut writer = segments::Writer::new(path.clone(), 1 << 20);
        let log = Log::stored(false);
        for number in 0..10 {
            log.add(Stream::Output, Bytes::from(vec![b'0' + number; 1 << 14]));
        }
        // As larger records, of which one is in memory in part.
        writer.append(&log.unstored(usize::MAX), false).expect("written");
        log.note_stored(10 << 14, Some(path));
        assert_eq!(log.size(), MOST);
        let whole: Vec<u8> = (0..10).flat_map(|number| vec![b'0' + number; 1 << 14]).collect();
        assert_eq!(log.tails(usize::MAX).await, tails(&whole, b"", true));
        let (mut offset, mut read) = (0, Vec::new());
        while let Some(last) = log.read(offset).await.pop() {
            let pieces = log.read(offset).await;
            read.extend(pieces.iter().flat_map(|piece| piece.bytes.to_vec()));
            offset = last.end();
        }
        assert!(read == whole, "{} bytes", read.len());
    }

    #[tokio::test]
    async fn who_writes_waits_for_the_disk() {
        let log = Log::stored(false);
        log.add(Stream::Output, Bytes::from(vec![b'x'; AHEAD as usize]));
        let waits = tokio::time::timeout(Duration::from_millis(20), log.room()).await;
        assert!(waits.is_err(), "it went on");
        log.note_stored(1, None);
        log.room().await;
    }

    #[tokio::test]
    async fn what_is_written_byte_by_byte_takes_no_more_room() {
        let log = Log::default();
        for number in 0..MOST + 5 {
            log.add(Stream::Output, Bytes::copy_from_slice(&[b'a' + (number % 26) as u8]));
        }
        let kept = log.read_all(0).await;
        assert!(kept.len() <= MOST / SMALL + 1, "{} pieces", kept.len());
        assert_eq!(text(&log.read_all((MOST + 2) as u64).await).len(), 3);
        assert!(log.size() > MOST - SMALL, "{}", log.size());
        // Nor when it goes to both streams by turns.
        for _ in 0..PIECES {
            log.add(Stream::Output, Bytes::from_static(b"o"));
            log.add(Stream::Error, Bytes::from_static(b"e"));
        }
        assert_eq!(log.read_all(0).await.len(), PIECES);
        assert_eq!(*log.follow().borrow(), (MOST + 5 + 2 * PIECES) as u64);
    }

    #[tokio::test]
    async fn who_writes_waits_for_who_follows_unless_nobody_does() {
        let log = Log { patience: Duration::from_millis(1), ..Log::of(Kept::default()) };
        log.is_held.store(true, Ordering::Relaxed);
        let piece = Bytes::from(vec![b'x'; AHEAD as usize]);
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

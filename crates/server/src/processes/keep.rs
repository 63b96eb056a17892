//! When what a process writes goes to disk: at once for what nobody waits for, else when it grows or takes
//! its time. What is short and small is written down once it has ended, beside the way of its answer.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ctrlz_core::id::OperationId;

use super::shelf::{About, End, Entry, Shelf};
use super::{Ended, Piece, Process};
use crate::service::blocking;

/// How much a process may write, and how long it may take, before it has a folder.
const SMALL: u64 = 16 << 10;
const SHORT: Duration = Duration::from_secs(1);
/// How much goes to the disk at once.
const BATCH: usize = 128 << 10;

/// What is stored of a process.
struct Storing {
    shelf: Arc<Shelf>,
    about: About,
    entry: Option<Entry>,
    /// The operation that is written down.
    operation: Option<OperationId>,
}

impl Storing {
    fn store(&mut self, operation: Option<OperationId>, pieces: &[Piece]) -> io::Result<()> {
        if self.entry.is_none() {
            self.entry = Some(self.shelf.begin(self.about.clone())?);
        }
        let Some(entry) = &mut self.entry else { return Ok(()) };
        if let Some(id) = operation.filter(|id| self.operation != Some(*id)) {
            entry.journaled(id)?;
            self.operation = operation;
        }
        entry.append(pieces)
    }
}

/// Stores what a process writes until its log is closed; answers with what its end is written down,
/// unless it was short and small. What the disk does not take is lost, and the process goes on.
pub(crate) async fn keep(process: Arc<Process>, shelf: Arc<Shelf>, at_once: bool) -> Option<Entry> {
    if !at_once && is_short(&process).await {
        return None;
    }
    let (mut operation, mut closed) = (process.operation.subscribe(), process.log.closed());
    let mut written = process.log.follow();
    let about = process.about();
    let mut storing = Storing { shelf, about, entry: None, operation: None };
    let (mut seen, mut is_first, mut is_told) = (None, true, false);
    loop {
        // In this order: what was written before it was closed is seen.
        let is_closed = *closed.borrow_and_update();
        written.borrow_and_update();
        let batch = process.log.unstored(BATCH);
        let journaled = *operation.borrow_and_update();
        if batch.is_empty() && journaled == seen && !is_first {
            if is_closed {
                return storing.entry;
            }
            tokio::select! {
                _ = written.changed() => {}
                _ = operation.changed() => {}
                _ = closed.changed() => {}
            }
            continue;
        }
        let until = batch.last().map(Piece::end);
        let stored = blocking(move || {
            let result = storing.store(journaled, &batch);
            Ok((storing, result))
        });
        let Ok((still, result)) = stored.await else {
            process.log.forgo();
            process.kept.send_replace(true);
            return None;
        };
        storing = still;
        if let Err(error) = result
            && !std::mem::replace(&mut is_told, true)
        {
            tracing::error!(process = process.id, error = error.to_string(), "output not kept");
        }
        (seen, is_first) = (journaled, false);
        if let Some(until) = until {
            let folder = storing.entry.as_ref().map(|entry| entry.folder.clone());
            process.log.note_stored(until, folder);
        }
        process.kept.send_replace(true);
    }
}

/// Waits until a process has ended, or is no short and small one any more.
async fn is_short(process: &Process) -> bool {
    let (mut written, mut closed) = (process.log.follow(), process.log.closed());
    tokio::select! {
        biased;
        _ = closed.wait_for(|closed| *closed) => *process.log.follow().borrow() <= SMALL,
        _ = written.wait_for(|written| *written > SMALL) => false,
        () = tokio::time::sleep(SHORT) => false,
    }
}

/// Writes down how a process without a folder ended.
pub(crate) fn add_short(process: &Process, shelf: &Shelf, ended: &Ended) -> io::Result<()> {
    let end = End { written: *process.log.follow().borrow(), outcome: ended.into() };
    shelf.add_short(process.about(), *process.operation.borrow(), end, &process.log.in_memory())
}

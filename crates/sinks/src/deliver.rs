//! Bringing a sink up to date.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ctrlz_core::sink::SinkConfig;
use ctrlz_core::store::{LogHead, LoggedEvent, Store, StoreError};

use crate::dead::{self, DeadLetter};
use crate::discreet::Redact;
use crate::pause;
use crate::position::{self, Desk, Position, SinkError};
use crate::send::{Letter, Refused, Sender};

/// Events that are read at once.
const PAGE: u32 = 256;
/// What all types begin with.
const PREFIX: &str = "io.github.ctrlz.";

/// Why nothing could be delivered.
#[derive(Debug, thiserror::Error)]
pub enum Delivery {
    /// The log.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The sink's own files.
    #[error(transparent)]
    Sink(#[from] SinkError),
}

/// What the sinks of one store have in common.
#[derive(Clone, Copy)]
pub struct Office<'o> {
    /// The store with the log.
    pub store: &'o dyn Store,
    /// The folder in the store where sinks keep their positions.
    pub sinks: &'o Path,
    /// Takes secrets out of what is told of a failure.
    pub redact: &'o Redact<'o>,
}

impl std::fmt::Debug for Office<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Office").field("sinks", &self.sinks).finish_non_exhaustive()
    }
}

/// What one round did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Delivered {
    /// Where the sink stands now.
    pub position: Position,
    /// Events that it took in this round.
    pub taken: u64,
    /// Events that became dead letters in this round.
    pub died: u64,
    /// Events that are still to be delivered.
    pub pending: i64,
    /// Whether another process delivers to it.
    pub busy: bool,
}

/// The clock that a test has set.
#[cfg(feature = "faults")]
static CLOCK: std::sync::OnceLock<fn() -> i64> = std::sync::OnceLock::new();

/// Lets this process take the time, in seconds since 1970, from `clock`. For tests.
#[cfg(feature = "faults")]
pub fn set_clock(clock: fn() -> i64) {
    let _ = CLOCK.set(clock);
}

fn now() -> i64 {
    #[cfg(feature = "faults")]
    if let Some(clock) = CLOCK.get() {
        return clock();
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Delivers what `sink` has not got yet, for about as long as `budget`. A new sink begins with what
/// happens from then on.
///
/// # Errors
/// When the log or the sink's own files cannot be read or written. That the sink fails is no error:
/// the answer tells it.
pub fn deliver(
    office: Office<'_>,
    sink: &SinkConfig,
    budget: Duration,
) -> Result<Delivered, Delivery> {
    let Office { store, sinks, .. } = office;
    let begun = Instant::now();
    let mut all: Option<Delivered> = None;
    loop {
        let Some(desk) = Desk::take(sinks, &sink.name)? else {
            // Whoever has it now goes on from where this process came to.
            return match all {
                Some(all) => Ok(all),
                None => Ok(Delivered { busy: true, ..status(store, sinks, sink)? }),
            };
        };
        let mut round = Round::begin(office, &desk, sink)?;
        let is_through = round.run(store, begun, budget)?;
        let mut done = round.end()?;
        drop(desk);
        let last = store.log_head()?.last;
        done.pending = last - done.position.number;
        if let Some(before) = all {
            done.taken += before.taken;
            done.died += before.died;
        }
        // What happened just before the desk was free again: whoever let it happen found the
        // desk in use and went away.
        if !is_through || done.pending == 0 || begun.elapsed() >= budget {
            return Ok(done);
        }
        all = Some(done);
    }
}

/// The position of `sink` in the log with that head, which is a new one when there is none.
fn position(desk: &Desk, head: &LogHead) -> Result<Position, SinkError> {
    match desk.read()? {
        Some(position) if position.source == head.source => Ok(position),
        // Another log: that of a store that was made anew.
        found => {
            let known = found.unwrap_or_default();
            let number = if known.source.is_empty() { head.last } else { 0 };
            let dead = known.dead;
            let source = head.source.clone();
            let position = Position { source, number, dead, ..Position::default() };
            desk.write(&position)?;
            Ok(position)
        }
    }
}

/// One time at the desk.
struct Round<'r> {
    desk: &'r Desk,
    sink: &'r SinkConfig,
    sender: Sender<'r>,
    position: Position,
    /// The position as it is written.
    written: Position,
    /// What lies beside it, ready to be put in its place.
    prepared: Option<Position>,
    done: Delivered,
}

impl<'r> Round<'r> {
    fn begin(office: Office<'r>, desk: &'r Desk, sink: &'r SinkConfig) -> Result<Self, Delivery> {
        let position = position(desk, &office.store.log_head()?)?;
        let (written, done) = (position.clone(), Delivered::default());
        let sender = Sender::new(sink, office.redact);
        Ok(Self { desk, sink, sender, position, written, prepared: None, done })
    }

    /// Answers whether nothing was left to deliver.
    fn run(
        &mut self,
        store: &dyn Store,
        begun: Instant,
        budget: Duration,
    ) -> Result<bool, Delivery> {
        loop {
            if self.position.number >= store.log_head()?.last {
                return Ok(true);
            }
            if is_pausing(&self.position, now()) {
                return Ok(false);
            }
            let page = store.events(self.position.number, PAGE)?;
            if page.is_empty() {
                return Ok(false);
            }
            for event in page {
                // Numbers have no gaps but where the log's beginning was removed.
                let missing = event.number - self.position.number - 1;
                self.position.lost += u64::try_from(missing).unwrap_or(0);
                self.position.number += missing;
                if !is_wanted(self.sink, &event) {
                    self.position.number = event.number;
                } else if !self.step(&event)? {
                    return Ok(false);
                }
                if begun.elapsed() >= budget {
                    return Ok(false);
                }
            }
            if !self.settle()? {
                return Ok(false);
            }
        }
    }

    /// One attempt. Answers whether the next event may follow.
    fn step(&mut self, event: &LoggedEvent) -> Result<bool, SinkError> {
        let source = self.position.source.clone();
        let letter =
            Letter { source: &source, number: event.number, text: &event.text, now: now() };
        if self.sender.must_settle(letter) && !self.settle()? {
            return Ok(false);
        }
        if self.sender.is_written_each() {
            // A full disk shows here, and not when it was sent: it would be sent again and again.
            let mut next = self.position.clone();
            next.number = letter.number;
            next.delivered += 1;
            works(&mut next);
            self.prepared = None;
            self.desk.prepare(&next)?;
            self.prepared = Some(next);
        }
        match self.sender.send(letter) {
            Ok(()) => {
                self.position.number = letter.number;
                self.position.delivered += 1;
                works(&mut self.position);
                self.done.taken += 1;
                if self.sender.is_written_each() { self.settle() } else { Ok(true) }
            }
            Err(Refused { reason, for_good }) => {
                // What it took before is not to be forgotten over this one.
                if !self.settle()? {
                    return Ok(false);
                }
                self.position.failures += 1;
                self.position.error.clone_from(&reason);
                if !for_good && self.position.failures < self.sink.attempts {
                    self.pause();
                    return Ok(false);
                }
                let dead = DeadLetter {
                    number: letter.number,
                    error: reason,
                    attempts: self.position.failures,
                    time: letter.now,
                    event: letter.text.to_owned(),
                };
                dead::keep(&self.desk.dead_letters(), &dead)?;
                self.position.number = letter.number;
                self.position.dead += 1;
                // The next one gets all its attempts, but a sink that is gone is not run down.
                (self.position.failures, self.position.not_before) = (0, 0);
                self.done.died += 1;
                self.settle()
            }
        }
    }

    fn pause(&mut self) {
        let now = now();
        let spread = u64::try_from(now).unwrap_or(0) ^ (self.position.number + 1).unsigned_abs();
        let pause = pause::after(self.position.failures, spread).as_secs().max(1);
        self.position.not_before = now.saturating_add(i64::try_from(pause).unwrap_or(i64::MAX));
    }

    /// Makes sure of what was sent, then writes the position. Answers whether that went well: if
    /// not, what is not sure is sent again.
    fn settle(&mut self) -> Result<bool, SinkError> {
        let settled = self.sender.settle();
        if let Err(refused) = &settled {
            self.done.taken -= self.position.delivered - self.written.delivered;
            self.position = self.written.clone();
            self.position.failures += 1;
            self.position.error.clone_from(&refused.reason);
            self.pause();
        }
        // A sink that is up to date is looked at twice a second; that writes nothing.
        if self.position != self.written {
            match self.prepared.take() {
                Some(prepared) if prepared == self.position => self.desk.put()?,
                _ => self.desk.write(&self.position)?,
            }
            self.written.clone_from(&self.position);
        }
        Ok(settled.is_ok())
    }

    fn end(mut self) -> Result<Delivered, SinkError> {
        self.settle()?;
        Ok(Delivered { position: self.position, ..self.done })
    }
}

/// Whether the sink is not to be tried yet. A pause that is longer than any was begun by a clock
/// that was wrong.
fn is_pausing(position: &Position, now: i64) -> bool {
    let left = position.not_before.saturating_sub(now);
    left > 0 && left <= i64::try_from(pause::MOST.as_secs()).unwrap_or(i64::MAX)
}

/// It took something.
fn works(position: &mut Position) {
    (position.failures, position.not_before) = (0, 0);
    position.error.clear();
}

fn is_wanted(sink: &SinkConfig, event: &LoggedEvent) -> bool {
    if sink.types.is_empty() {
        return true;
    }
    let parsed: Option<serde_json::Value> = serde_json::from_str(&event.text).ok();
    let kind = parsed.as_ref().and_then(|event| event.get("type")?.as_str());
    // What cannot be understood is somebody's business all the same.
    kind.is_none_or(|kind| {
        let kind = kind.strip_prefix(PREFIX).unwrap_or(kind);
        sink.types
            .iter()
            .any(|wanted| kind.starts_with(wanted.strip_prefix(PREFIX).unwrap_or(wanted)))
    })
}

/// Where `sink` stands, without delivering anything.
///
/// # Errors
/// When the log or the sink's own files cannot be read.
pub fn status(store: &dyn Store, sinks: &Path, sink: &SinkConfig) -> Result<Delivered, Delivery> {
    let head = store.log_head()?;
    let found = position::read(&sinks.join(&sink.name))?;
    let position = match found {
        Some(position) if position.source == head.source => position,
        Some(old) => Position { source: head.source, dead: old.dead, ..Position::default() },
        None => Position { source: head.source, number: head.last, ..Position::default() },
    };
    let pending = head.last - position.number;
    Ok(Delivered { position, pending, ..Delivered::default() })
}

/// The events that the sink `name` would not take.
///
/// # Errors
/// When the file cannot be read, or holds something else.
pub fn dead_letters(sinks: &Path, name: &str) -> Result<Vec<DeadLetter>, SinkError> {
    dead::read(&sinks.join(name).join(dead::FILE))
}

/// What became of an event that was sent out of turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probed {
    /// The sink took it.
    Taken,
    /// It did not, with the reason.
    Refused(String),
    /// Another process delivers to it.
    Busy,
}

/// Sends the event `number` alone to `sink`: now, whether it pauses and whichever types it wants.
/// When it takes it, its pause is over.
///
/// # Errors
/// When the log or the sink's own files cannot be read or written.
pub fn probe(office: Office<'_>, sink: &SinkConfig, number: i64) -> Result<Probed, Delivery> {
    let Office { store, sinks, redact } = office;
    let Some(desk) = Desk::take(sinks, &sink.name)? else { return Ok(Probed::Busy) };
    let head = store.log_head()?;
    let mut position = position(&desk, &head)?;
    let events = store.events(number - 1, 1)?;
    let Some(event) = events.first().filter(|event| event.number == number) else {
        return Ok(Probed::Refused(format!("the log no longer has the event {number}")));
    };
    let letter = Letter { source: &head.source, number, text: &event.text, now: now() };
    let mut sender = Sender::new(sink, redact);
    if let Err(refused) = sender.send(letter).and_then(|()| sender.settle()) {
        return Ok(Probed::Refused(refused.reason));
    }
    works(&mut position);
    // Not delivered once more, when its turn has come anyway.
    if position.number == number - 1 {
        position.number = number;
        position.delivered += 1;
    }
    desk.write(&position)?;
    Ok(Probed::Taken)
}

/// What sending dead letters again did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Retried {
    /// Dead letters that it took.
    pub sent: usize,
    /// Dead letters that are left.
    pub left: usize,
    /// Why it did not take the first of them.
    pub error: String,
    /// Events that were counted as lost, and are no longer: nothing is left that brings them back.
    pub lost: u64,
}

/// Sends the dead letters of `sink` again, oldest first, until one fails. When all went, it counts
/// no event as lost any more. Answers nothing when another process delivers to it.
///
/// # Errors
/// When the sink's own files cannot be read or written.
pub fn retry(office: Office<'_>, sink: &SinkConfig) -> Result<Option<Retried>, Delivery> {
    let Office { store, sinks, redact } = office;
    let head = store.log_head()?;
    let Some(desk) = Desk::take(sinks, &sink.name)? else { return Ok(None) };
    let path = desk.dead_letters();
    let letters = dead::read(&path)?;
    let mut done = Retried { left: letters.len(), ..Retried::default() };
    let mut sender = Sender::new(sink, redact);
    for dead in &letters {
        // It may be from a log before this one.
        let parsed: Option<serde_json::Value> = serde_json::from_str(&dead.event).ok();
        let source = parsed.as_ref().and_then(|event| event.get("source")?.as_str());
        let source = source.unwrap_or(&head.source);
        let letter = Letter { source, number: dead.number, text: &dead.event, now: now() };
        if let Err(refused) = sender.send(letter).and_then(|()| sender.settle()) {
            done.error = refused.reason;
            break;
        }
        done.sent += 1;
        done.left -= 1;
        dead::replace(&path, letters.get(done.sent..).unwrap_or_default())?;
    }
    if let Some(mut position) = desk.read()?
        && done.left == 0
        && position.lost > 0
    {
        done.lost = std::mem::take(&mut position.lost);
        desk.write(&position)?;
    }
    Ok(Some(done))
}

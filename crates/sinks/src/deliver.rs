//! Bringing a sink up to date.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ctrlz_core::sink::SinkConfig;
use ctrlz_core::store::{LoggedEvent, Store, StoreError};

use crate::dead::{self, DeadLetter};
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

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Delivers what `sink` has not got yet, for about as long as `budget`. `sinks` is the folder in
/// the store where sinks keep their positions. A new sink begins with what happens from then on.
///
/// # Errors
/// When the log or the sink's own files cannot be read or written. That the sink fails is no error:
/// the answer tells it.
pub fn deliver(
    store: &dyn Store,
    sinks: &Path,
    sink: &SinkConfig,
    budget: Duration,
) -> Result<Delivered, Delivery> {
    let head = store.log_head()?;
    let Some(desk) = Desk::take(sinks, &sink.name)? else {
        return Ok(Delivered { busy: true, ..status(store, sinks, sink)? });
    };
    let mut position = match desk.read()? {
        Some(position) if position.source == head.source => position,
        // Another log: that of a store that was made anew.
        found => {
            let known = found.unwrap_or_default();
            let number = if known.source.is_empty() { head.last } else { 0 };
            let position = Position { source: head.source.clone(), number, ..Position::default() };
            desk.write(&position)?;
            position
        }
    };
    let (begun, mut done) = (Instant::now(), Delivered::default());
    let mut sender = Sender::new(sink);
    'all: while position.number < head.last && position.not_before <= now() {
        let page = store.events(position.number, PAGE)?;
        if page.is_empty() {
            break;
        }
        for event in page {
            // Numbers have no gaps but where the log's beginning was removed.
            let missing = event.number - position.number - 1;
            position.lost += u64::try_from(missing).unwrap_or(0);
            position.number += missing;
            if is_wanted(sink, &event) {
                let letter = Letter {
                    source: &head.source,
                    number: event.number,
                    text: &event.text,
                    now: now(),
                };
                if !step(&mut sender, letter, sink, &mut position, &desk, &mut done)? {
                    break 'all;
                }
            } else {
                position.number = event.number;
            }
            if begun.elapsed() >= budget {
                break 'all;
            }
        }
        desk.write(&position)?;
    }
    desk.write(&position)?;
    done.pending = head.last - position.number;
    done.position = position;
    Ok(done)
}

/// One attempt. Answers whether the next event may follow.
fn step(
    sender: &mut Sender<'_>,
    letter: Letter<'_>,
    sink: &SinkConfig,
    position: &mut Position,
    desk: &Desk,
    done: &mut Delivered,
) -> Result<bool, SinkError> {
    match sender.send(letter) {
        Ok(()) => {
            position.number = letter.number;
            position.delivered += 1;
            (position.failures, position.not_before) = (0, 0);
            position.error.clear();
            done.taken += 1;
        }
        Err(Refused { reason, for_good }) => {
            position.failures += 1;
            position.error.clone_from(&reason);
            if !for_good && position.failures < sink.attempts {
                let spread = u64::try_from(letter.now).unwrap_or(0) ^ letter.number.unsigned_abs();
                let pause = pause::after(position.failures, spread);
                position.not_before = letter
                    .now
                    .saturating_add(i64::try_from(pause.as_secs().max(1)).unwrap_or(i64::MAX));
                return Ok(false);
            }
            let dead = DeadLetter {
                number: letter.number,
                error: reason,
                attempts: position.failures,
                time: letter.now,
                event: letter.text.to_owned(),
            };
            dead::keep(&desk.dead_letters(), &dead)?;
            position.number = letter.number;
            position.dead += 1;
            // The next one gets all its attempts, but a sink that is gone is not run down.
            (position.failures, position.not_before) = (0, 0);
            done.died += 1;
        }
    }
    // After each event, so that as few as possible come twice.
    desk.write(position)?;
    Ok(true)
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
        Some(_) => Position { source: head.source, ..Position::default() },
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

/// Sends the dead letters of `sink` again, oldest first, until one fails. Answers how many went
/// and how many are left; nothing when another process delivers to it.
///
/// # Errors
/// When the sink's own files cannot be read or written.
pub fn retry(
    store: &dyn Store,
    sinks: &Path,
    sink: &SinkConfig,
) -> Result<Option<(usize, usize, String)>, Delivery> {
    let source = store.log_head()?.source;
    let Some(desk) = Desk::take(sinks, &sink.name)? else { return Ok(None) };
    let path = desk.dead_letters();
    let letters = dead::read(&path)?;
    let (mut sent, mut error) = (0, String::new());
    let mut sender = Sender::new(sink);
    for dead in &letters {
        let letter = Letter { source: &source, number: dead.number, text: &dead.event, now: now() };
        if let Err(refused) = sender.send(letter) {
            error = refused.reason;
            break;
        }
        sent += 1;
        dead::replace(&path, letters.get(sent..).unwrap_or_default())?;
    }
    Ok(Some((sent, letters.len() - sent, error)))
}

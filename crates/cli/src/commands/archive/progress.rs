//! How far something has come, on a terminal only.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use ctrlz_core::size::ByteSize;

use crate::show::plain;

/// How often the line is written anew.
const EVERY: Duration = Duration::from_millis(100);

/// A line on standard error that is written anew as bytes go by, and taken away at the end.
pub(super) struct Progress {
    what: String,
    shown: bool,
    state: Mutex<State>,
}

struct State {
    done: u64,
    total: Option<u64>,
    last: Instant,
    written: bool,
}

impl Progress {
    pub(super) fn new(what: &str) -> Self {
        let state = State { done: 0, total: None, last: Instant::now(), written: false };
        Self { what: plain(what), shown: std::io::stderr().is_terminal(), state: Mutex::new(state) }
    }

    /// How many bytes it will be.
    pub(super) fn of(&self, total: u64) {
        if let Ok(mut state) = self.state.lock() {
            state.total = Some(total);
        }
    }

    pub(super) fn add(&self, bytes: u64) {
        let Ok(mut state) = self.state.lock() else { return };
        state.done = state.done.saturating_add(bytes);
        if !self.shown || state.last.elapsed() < EVERY {
            return;
        }
        state.last = Instant::now();
        state.written = true;
        let done = ByteSize(state.done);
        let line = match state.total.filter(|total| *total > 0) {
            Some(total) => {
                let percent = state.done.min(total).saturating_mul(100) / total;
                format!("{percent:3} %  {done} of {} {}", ByteSize(total), self.what)
            }
            None => format!("{done} {}", self.what),
        };
        let _ = write!(std::io::stderr(), "\r\x1b[K{line}");
    }

    /// Something to tell meanwhile, also without a terminal.
    pub(super) fn note(&self, text: &str) {
        let start = if self.shown { "\r\x1b[K" } else { "" };
        let _ = writeln!(std::io::stderr(), "{start}ctrlz: {}", plain(text));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.state.lock().is_ok_and(|state| state.written) {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

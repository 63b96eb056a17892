//! By which time the past ages.
//!
//! A clock that jumps ahead makes everything old at once, and retention would let go what is young.
//! So the file `clock` in the store says, once for each time that the machine was started, what the
//! clock told and how long the machine had run by then (CLOCK_BOOTTIME, which nobody sets). While
//! the machine runs on, no more time has passed than it has run: what the clock says beyond that is
//! not believed, until somebody says that it is right or the machine is started anew.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ctrlz_core::event::{Happening, HealthChanged, Severity};
use ctrlz_core::span::Span;
use ctrlz_core::store::Store;
use ctrlz_core::time::Timestamp;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::clock;

const FILE: &str = "clock";

/// By so much a clock may be corrected.
const SLACK: i64 = 3600 * 1_000_000_000;

/// 2024-01-01. A clock that tells less was not set yet.
const UNSET: Timestamp = Timestamp(1_704_067_200_000_000_000);

/// What was written down of the clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Anchor {
    /// Which run of the machine it is about.
    boot: String,
    /// How long it had run, in nanoseconds.
    ran: i64,
    /// What the clock said.
    clock: Timestamp,
    /// Whether somebody was told that the clock jumped.
    #[serde(default)]
    told: bool,
}

/// The time for whoever lets go what is old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Aging {
    /// Not later than the clock says.
    pub(crate) now: Timestamp,
    /// By how much the clock is ahead of it, when it is not believed.
    pub(crate) ahead: Option<Span>,
}

impl Aging {
    /// In words, when the clock is not believed.
    pub(crate) fn warning(&self) -> Option<String> {
        let ahead = Span(Duration::from_secs(self.ahead?.0.as_secs()));
        Some(format!(
            "the clock is {ahead} ahead of the time that has passed: nothing ages by that much"
        ))
    }
}

/// Which run of the machine this is, and for how long it has lasted; nothing where that is not told.
fn running() -> Option<(String, i64)> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let ran = clock_gettime(ClockId::Boottime);
    let ran = Timestamp::from_parts(ran.tv_sec, ran.tv_nsec).0;
    Some((boot.trim().to_owned(), ran))
}

/// What `anchor` says of a clock that says `now` when the machine has run for `ran`.
fn judge(anchor: &Anchor, now: Timestamp, ran: i64) -> Aging {
    let passed = ran.saturating_sub(anchor.ran).max(0);
    let expected = Timestamp(anchor.clock.0.saturating_add(passed));
    let ahead = now.0.saturating_sub(expected.0);
    if ahead <= SLACK || anchor.clock < UNSET {
        return Aging { now, ahead: None };
    }
    let ahead = Duration::from_nanos(u64::try_from(ahead).unwrap_or(0));
    Aging { now: expected, ahead: Some(Span(ahead)) }
}

/// The time for whoever lets go what is old in the store in `directory`; tells in its event log, once,
/// that the clock is not believed. With `trust` it is, from now on.
pub(crate) fn time(directory: &Path, store: &dyn Store, trust: bool) -> Aging {
    let now = clock::now();
    let believed = Aging { now, ahead: None };
    let Some((boot, ran)) = running() else { return believed };
    let path = directory.join(FILE);
    let known = std::fs::read(&path).ok();
    let known: Option<Anchor> = known.and_then(|text| serde_json::from_slice(&text).ok());
    let known = known.filter(|known| known.boot == boot && known.clock >= UNSET && !trust);
    let Some(anchor) = known else {
        // Without it, the next one believes the clock as this one does.
        let _ = remember(&path, &Anchor { boot, ran, clock: now, told: false });
        return believed;
    };
    let aging = judge(&anchor, now, ran);
    let jumped = aging.ahead.is_some();
    if jumped != anchor.told && store.emit(None, change(&aging)).is_ok() {
        let _ = remember(&path, &Anchor { told: jumped, ..anchor });
    }
    aging
}

/// That the clock is not believed, or is again.
fn change(aging: &Aging) -> Happening {
    let warning = aging.warning();
    let remedy = "set the clock; when it is right, `ctrlz gc --trust-clock` believes it";
    Happening::HealthChanged(HealthChanged {
        check: "clock".to_owned(),
        severity: if warning.is_some() { Severity::Warning } else { Severity::Ok },
        remedy: warning.as_ref().map_or(String::new(), |_| remedy.to_owned()),
        evidence: warning.unwrap_or_else(|| "it says what has passed".to_owned()),
    })
}

/// Writes beside it and renames: a crash leaves it whole or not at all.
fn remember(path: &Path, anchor: &Anchor) -> std::io::Result<()> {
    let beside: PathBuf = path.with_extension(std::process::id().to_string());
    let written = std::fs::write(&beside, serde_json::to_vec(anchor)?)
        .and_then(|()| std::fs::rename(&beside, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3600 * 1_000_000_000;
    const DAY: i64 = 24 * HOUR;

    fn anchor(clock: Timestamp) -> Anchor {
        Anchor { boot: "this".to_owned(), ran: 5 * HOUR, clock, told: false }
    }

    #[test]
    fn a_clock_that_goes_on_or_back_is_believed_and_one_that_jumps_ahead_is_not() {
        let start = Timestamp(UNSET.0 + DAY);
        let anchor = anchor(start);
        let at = |clock: i64, ran: i64| judge(&anchor, Timestamp(start.0 + clock), 5 * HOUR + ran);
        for (clock, ran) in [(0, 0), (DAY, DAY), (DAY + HOUR, DAY), (-400 * DAY, DAY), (0, -HOUR)] {
            let aging = at(clock, ran);
            assert_eq!(aging, Aging { now: Timestamp(start.0 + clock), ahead: None });
            assert_eq!(aging.warning(), None);
        }
        let aging = at(400 * DAY, DAY);
        assert_eq!(aging.now, Timestamp(start.0 + DAY), "what has passed");
        assert_eq!(aging.ahead, Some(Span(Duration::from_secs(399 * 86_400))));
        assert!(aging.warning().is_some());
    }

    #[test]
    fn a_clock_that_was_not_set_yet_says_nothing() {
        let now = Timestamp(UNSET.0 + 700 * DAY);
        assert_eq!(judge(&anchor(Timestamp(DAY)), now, 6 * HOUR), Aging { now, ahead: None });
    }
}

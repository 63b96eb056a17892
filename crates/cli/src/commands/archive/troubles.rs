//! What was to be done with the archive by itself and could not be, and when what comes now and then
//! was done last.

use std::collections::BTreeMap;
use std::time::Duration;

use ctrlz_core::time::Timestamp;
use serde::{Deserialize, Serialize};

/// How long something is left alone after it failed first; each time twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
/// And how long at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(6 * 3600);

/// What passes by itself is told once it failed so often.
const OFTEN: u32 = 4;

/// How long after a collection the next one comes at the earliest, when something was taken out of
/// the archive, and when only somebody who was interrupted can have left something.
const AFTER_REMOVAL: Duration = Duration::from_secs(3600);
const AFTER_INTERRUPTION: Duration = Duration::from_secs(86_400);

/// What could not be done, in words, by what it was.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Troubles(BTreeMap<String, Trouble>);

#[derive(Debug, Serialize, Deserialize)]
struct Trouble {
    /// When it was tried last.
    at: Timestamp,
    tries: u32,
    why: String,
    /// Whether it was only that somebody stood in the way.
    passing: bool,
}

impl Troubles {
    /// Whether it is time to try something, again or for the first time.
    pub(super) fn may_try(&self, what: &str, now: Timestamp) -> bool {
        self.0.get(what).is_none_or(|trouble| {
            let doubled = FIRST_PAUSE.saturating_mul(1 << trouble.tries.saturating_sub(1).min(16));
            // A clock that went back would make it wait for long.
            now < trouble.at || since(trouble.at, now) >= doubled.min(LONGEST_PAUSE)
        })
    }

    pub(super) fn failed(&mut self, what: &str, (why, passing): (String, bool), at: Timestamp) {
        let tries = self.0.get(what).map_or(0, |trouble| trouble.tries).saturating_add(1);
        self.0.insert(what.to_owned(), Trouble { at, tries, why, passing });
    }

    pub(super) fn over(&mut self, what: &str) {
        self.0.remove(what);
    }

    /// Forgets those that nobody asks for any more.
    pub(super) fn retain(&mut self, is_wanted: impl Fn(&str) -> bool) {
        self.0.retain(|what, _| is_wanted(what));
    }

    /// Those that somebody should know of.
    pub(super) fn told(&self) -> Vec<(String, String)> {
        let is_told = |trouble: &Trouble| !trouble.passing || trouble.tries >= OFTEN;
        let told = self.0.iter().filter(|(_, trouble)| is_told(trouble));
        told.map(|(what, trouble)| (what.clone(), trouble.why.clone())).collect()
    }
}

/// When the archive was collected last without being asked, and whether there is a reason to.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Collections {
    last: Option<Timestamp>,
    /// Something was taken out since.
    removed: bool,
    /// Something was begun and not ended, so that layers may lie there which nothing names.
    unfinished: bool,
}

impl Collections {
    pub(super) fn removed(&mut self) {
        self.removed = true;
    }

    pub(super) fn begun(&mut self) {
        self.unfinished = true;
    }

    pub(super) fn ended(&mut self) {
        self.unfinished = false;
    }

    /// That it was collected; `left` says whether something was too young to go.
    pub(super) fn done(&mut self, now: Timestamp, left: bool) {
        let (removed, unfinished) = (self.removed && left, self.unfinished && left);
        *self = Self { last: Some(now), removed, unfinished };
    }

    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        let pause = match (self.removed, self.unfinished) {
            (true, _) => AFTER_REMOVAL,
            (false, true) => AFTER_INTERRUPTION,
            (false, false) => return false,
        };
        self.last.is_none_or(|last| now < last || since(last, now) >= pause)
    }
}

fn since(then: Timestamp, now: Timestamp) -> Duration {
    Duration::from_nanos(u64::try_from(now.0.saturating_sub(then.0)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_parts(1_000_000 + seconds, 0)
    }

    #[test]
    fn what_fails_is_left_alone_for_longer_each_time() {
        let mut troubles = Troubles::default();
        let mut now = 0;
        let mut pauses = Vec::new();
        for _ in 0..12 {
            assert!(troubles.may_try("x", at(now)));
            troubles.failed("x", ("no luck".to_owned(), false), at(now));
            let pause = (1..).find(|pause| troubles.may_try("x", at(now + pause))).expect("once");
            pauses.push(pause);
            now += pause;
        }
        let expected = [60, 120, 240, 480, 960, 1920, 3840, 7680, 15360, 21600, 21600, 21600];
        assert_eq!(pauses, expected);
        assert!(troubles.may_try("x", at(-1)), "a clock that went back");
        assert!(troubles.may_try("y", at(now)), "something else");
        troubles.over("x");
        assert!(troubles.may_try("x", at(now)));
    }

    #[test]
    fn what_passes_by_itself_is_told_when_it_does_not() {
        let mut troubles = Troubles::default();
        troubles.failed("a", ("no luck".to_owned(), false), at(0));
        let told = |troubles: &Troubles| troubles.told().into_iter().map(|one| one.0).collect();
        for _ in 1..OFTEN {
            troubles.failed("b", ("in use".to_owned(), true), at(0));
            let told: Vec<String> = told(&troubles);
            assert_eq!(told, ["a"]);
        }
        troubles.failed("b", ("in use".to_owned(), true), at(0));
        let both: Vec<String> = told(&troubles);
        assert_eq!(both, ["a", "b"]);
        troubles.retain(|what| what == "b");
        assert_eq!(troubles.told(), [("b".to_owned(), "in use".to_owned())]);
    }

    #[test]
    fn a_collection_is_due_where_there_is_a_reason_after_an_hour_or_a_day() {
        let mut collections = Collections::default();
        assert!(!collections.is_due(at(0)), "nothing was done");
        collections.begun();
        assert!(collections.is_due(at(0)));
        collections.ended();
        assert!(!collections.is_due(at(0)));
        collections.begun();
        collections.done(at(0), true);
        assert!(!collections.is_due(at(86_399)) && collections.is_due(at(86_400)));
        collections.removed();
        assert!(!collections.is_due(at(3599)) && collections.is_due(at(3600)));
        collections.done(at(3600), true);
        assert!(collections.is_due(at(7200)), "something was too young");
        collections.done(at(7200), false);
        assert!(!collections.is_due(at(700_000)));
    }
}

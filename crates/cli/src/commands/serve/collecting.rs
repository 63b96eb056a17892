//! When to look for what removed sandboxes left in a store: that looks at everything in it, however little
//! went, so that many removals after each other would take the square of the time.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A pause is so many times as long as what it comes after.
const SHARE: u32 = 20;
/// A store that was not looked through for so long is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(3600);

/// When each store was looked through.
#[derive(Debug, Default)]
pub(super) struct Collections(Mutex<HashMap<PathBuf, Looked>>);

#[derive(Debug, Clone, Copy)]
struct Looked {
    ended: Instant,
    /// `None` while it is done.
    took: Option<Duration>,
}

impl Collections {
    /// Looks through a store by `collect`, unless that is being done, or was done a moment ago; what is left
    /// then goes with a later removal, or with the retention of each hour. Answers what `collect` answers.
    pub(super) fn now_and_then<T: Default, E>(
        &self,
        store: &Path,
        collect: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let begun = Instant::now();
        if !self.begin(store, begun) {
            return Ok(T::default());
        }
        let collected = collect();
        let ended = Instant::now();
        let looked = Looked { ended, took: Some(ended.duration_since(begun)) };
        self.looked().insert(store.to_owned(), looked);
        collected
    }

    fn begin(&self, store: &Path, now: Instant) -> bool {
        let mut looked = self.looked();
        let since = |one: &Looked| now.saturating_duration_since(one.ended);
        looked.retain(|_, one| since(one) < FORGOTTEN);
        let is_time = |one: &Looked| one.took.is_some_and(|took| since(one) >= took * SHARE);
        if !looked.get(store).is_none_or(is_time) {
            return false;
        }
        looked.insert(store.to_owned(), Looked { ended: now, took: None });
        true
    }

    fn looked(&self) -> MutexGuard<'_, HashMap<PathBuf, Looked>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(collections: &Collections, store: &str, least: Duration) -> bool {
        let collect = || {
            std::thread::sleep(least);
            Ok::<bool, ()>(true)
        };
        collections.now_and_then(Path::new(store), collect).expect("looked")
    }

    #[test]
    fn a_store_that_takes_long_is_looked_through_seldom_and_others_do_not_wait() {
        let collections = Collections::default();
        assert!(look(&collections, "large", Duration::from_millis(500)));
        assert!(!look(&collections, "large", Duration::ZERO));
        assert!(look(&collections, "small", Duration::ZERO));
    }

    #[test]
    fn one_at_a_time() {
        let collections = Collections::default();
        let inner = collections.now_and_then(Path::new("one"), || {
            collections.now_and_then(Path::new("one"), || Ok::<bool, ()>(true))
        });
        assert_eq!(inner, Ok(false));
    }

    #[test]
    fn it_is_done_again_after_a_while_and_after_a_failure() {
        let collections = Collections::default();
        let (store, now) = (Path::new("one"), Instant::now());
        assert!(collections.now_and_then(store, || Err::<bool, ()>(())).is_err());
        assert!(collections.begin(store, now + FORGOTTEN / 2));
    }
}

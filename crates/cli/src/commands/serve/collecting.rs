//! When to look for what removed sandboxes left in a store: that looks at everything in it, however little
//! went, so that many removals after each other would take the square of the time.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use ctrlz_core::actor::Actor;
use ctrlz_core::tenancy::TenantName;

use super::backend::Stores;
use crate::commands::gc;
use crate::context::WhenBusy;
use crate::failure::Failure;

/// A pause is so many times as long as what it comes after.
const SHARE: u32 = 20;
/// The longest pause: what was removed gives its space back.
const LONGEST: Duration = Duration::from_secs(60);
/// How often it is looked which stores wait.
const LOOK: Duration = Duration::from_secs(1);

/// When each tenant's store was looked through, as long as that has anything to say, and those that retention
/// is to be applied to.
#[derive(Debug, Default)]
pub(super) struct Collections {
    looked: Mutex<BTreeMap<TenantName, Looked>>,
    to_keep_up: Mutex<BTreeSet<TenantName>>,
}

#[derive(Debug, Clone, Copy)]
struct Looked {
    /// When it may be looked through again; `None` while that is done.
    again: Option<Instant>,
    /// Whether something was removed since it was begun.
    waits: bool,
}

impl Collections {
    /// Looks through a tenant's store by `collect` after a removal; unless that is being done, or was done a
    /// moment ago: then it waits. `collect` asks before each thing that it removes. Answers what it answers.
    pub(super) fn now_or_later<T: Default, E>(
        &self,
        tenant: &TenantName,
        collect: impl FnOnce(&dyn Fn() -> bool) -> Result<T, E>,
    ) -> Result<T, E> {
        let begun = Instant::now();
        if !self.begin(tenant, begun) {
            return Ok(T::default());
        }
        // Removing is no waste of time: the pause comes after looking.
        let found = Cell::new(None);
        let more = || {
            found.set(found.get().or_else(|| Some(Instant::now())));
            true
        };
        let collected = collect(&more);
        let ended = Instant::now();
        self.end(tenant, found.get().unwrap_or(ended) - begun, ended);
        collected
    }

    fn begin(&self, tenant: &TenantName, now: Instant) -> bool {
        let mut looked = self.looked();
        let one = looked.entry(tenant.clone());
        let one = one.or_insert(Looked { again: Some(now), waits: false });
        let is_time = one.again.is_some_and(|again| again <= now);
        if is_time {
            one.again = None;
        }
        one.waits = !is_time;
        is_time
    }

    fn end(&self, tenant: &TenantName, took: Duration, ended: Instant) {
        if let Some(one) = self.looked().get_mut(tenant) {
            one.again = Some(ended + (took * SHARE).min(LONGEST));
        }
    }

    /// Those that wait no longer. What nothing waits for is forgotten.
    fn due(&self, now: Instant) -> Vec<TenantName> {
        let mut looked = self.looked();
        let is_over = |one: &Looked| one.again.is_some_and(|again| again <= now);
        looked.retain(|_, one| one.waits || !is_over(one));
        let due = looked.iter().filter(|(_, one)| is_over(one));
        due.map(|(tenant, _)| tenant.clone()).collect()
    }

    fn looked(&self) -> MutexGuard<'_, BTreeMap<TenantName, Looked>> {
        self.looked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has retention applied to a tenant's store, which takes longer than an operation should.
    pub(super) fn keep_up_soon(&self, tenant: &TenantName) {
        self.to_keep_up().insert(tenant.clone());
    }

    fn to_keep_up(&self) -> MutexGuard<'_, BTreeSet<TenantName>> {
        self.to_keep_up.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Begins to look through those that wait, and to close those that nobody uses, on a thread that ends with
/// them.
pub(super) fn begin(stores: &Arc<Stores>) -> std::io::Result<()> {
    let stores = Arc::downgrade(stores);
    let thread = std::thread::Builder::new().name("collecting".to_owned());
    thread.spawn(move || go_on(&stores)).map(drop)
}

fn go_on(stores: &Weak<Stores>) {
    loop {
        std::thread::sleep(LOOK);
        let Some(stores) = stores.upgrade() else { return };
        stores.close_unused();
        for tenant in stores.collections().due(Instant::now()) {
            if let Err(failure) = collect(&stores, &tenant) {
                let words = failure.in_words();
                eprintln!("ctrlz: cannot look through the store of `{tenant}`: {words}");
            }
        }
        let to_keep_up = std::mem::take(&mut *stores.collections().to_keep_up());
        for tenant in to_keep_up {
            if let Err(failure) = keep_up(&stores, &tenant) {
                let words = failure.in_words();
                eprintln!("ctrlz: cannot apply retention to the store of `{tenant}`: {words}");
            }
        }
    }
}

fn keep_up(stores: &Stores, tenant: &TenantName) -> Result<(), Failure> {
    match stores.lease_unnoticed(tenant, Actor::system("retention"))? {
        Some(context) => context.with_core(WhenBusy::WaitSilently, |core| {
            gc::keep_up(&context, core, &|| true);
            Ok(())
        }),
        None => Ok(()),
    }
}

fn collect(stores: &Stores, tenant: &TenantName) -> Result<u64, Failure> {
    stores.collections().now_or_later(tenant, |more| {
        let context = stores.lease_unnoticed(tenant, Actor::system("collection"))?;
        context.map_or(Ok(0), |context| {
            context.with_core(WhenBusy::WaitSilently, |core| Ok(core.collect_all(more)?))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> TenantName {
        name.parse().expect("a name")
    }

    #[test]
    fn what_takes_long_is_done_seldom_and_others_do_not_wait() {
        let collections = Collections::default();
        let (large, small, now) = (tenant("large"), tenant("small"), Instant::now());
        let second = Duration::from_secs(1);
        assert!(collections.begin(&large, now));
        collections.end(&large, second, now + second);
        assert!(!collections.begin(&large, now + second * 20));
        assert!(collections.begin(&small, now));
        assert!(collections.begin(&large, now + second * 21));
    }

    #[test]
    fn one_at_a_time_and_what_came_meanwhile_waits() {
        let collections = Collections::default();
        let (one, now) = (tenant("one"), Instant::now());
        assert!(collections.begin(&one, now));
        assert!(!collections.begin(&one, now));
        assert_eq!(collections.due(now), []);
        collections.end(&one, Duration::ZERO, now);
        assert_eq!(collections.due(now), [one]);
    }

    #[test]
    fn what_waits_is_done_once_and_then_forgotten() {
        let collections = Collections::default();
        let (one, now) = (tenant("one"), Instant::now());
        let second = Duration::from_secs(1);
        assert!(collections.begin(&one, now));
        collections.end(&one, second, now + second);
        assert!(!collections.begin(&one, now + second));
        assert_eq!(collections.due(now + second), []);
        let later = now + second * 21;
        assert_eq!(collections.due(later), std::slice::from_ref(&one));
        assert!(collections.begin(&one, later));
        collections.end(&one, Duration::ZERO, later);
        assert_eq!(collections.due(later), []);
        assert!(collections.looked().is_empty());
    }

    #[test]
    fn what_it_takes_to_remove_lengthens_no_pause() {
        let (collections, one) = (Collections::default(), tenant("one"));
        let second = Duration::from_secs(1);
        let removed: Result<u32, ()> = collections.now_or_later(&one, |more| {
            assert!(more());
            std::thread::sleep(second);
            assert!(more());
            Ok(1)
        });
        assert_eq!(removed, Ok(1));
        assert!(collections.begin(&one, Instant::now() + second * SHARE / 2));
    }

    #[test]
    fn a_failure_is_told_and_tried_again() {
        let collections = Collections::default();
        let one = tenant("one");
        assert!(collections.now_or_later(&one, |_| Err::<u64, ()>(())).is_err());
        assert!(collections.looked().get(&one).is_some_and(|one| one.again.is_some()));
    }
}

//! Keys and answers for which the disk has no room. They are as good as those that are stored, until the
//! service ends; and are stored when there is room again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use axum::http::StatusCode;
use ctrlz_core::store::StoreError;
use ctrlz_core::tenancy::{Answered, Registry, Replay, TenantName};
use ctrlz_core::time::Timestamp;

use super::{KEPT, Kept};
use crate::problem::Problem;

/// How many are held for each tenant. Of more, the oldest that was answered is let go.
const MOST: usize = 256;
/// The largest answer that is held as it is, in bytes.
const LARGEST: usize = 16 << 10;

/// The calls that give space back, end something, or write next to nothing. They go on when their key cannot be
/// stored; any other would only fill the disk further.
const WITHOUT_ROOM: [&str; 13] = [
    "/v1/sandboxes/{sandbox}/undo",
    "/v1/sandboxes/{sandbox}/redo",
    "/v1/sandboxes/{sandbox}/discard",
    "/v1/sandboxes/{sandbox}/rollback",
    "/v1/sandboxes/{sandbox}/suspend",
    "/v1/sandboxes/{sandbox}/resume",
    "/v1/archive/remove",
    "/v1/archive/collect",
    "/v1/processes/{process}/input",
    "/v1/processes/{process}/resize",
    "/v1/processes/{process}/signal",
    "/v1/processes/{process}/wait",
    "/v1/policy/check",
];

/// Whether what is posted there goes on when its key cannot be stored.
pub(super) fn needs_no_room(route: &str) -> bool {
    WITHOUT_ROOM.contains(&route)
}

/// A token and its key.
pub(super) type Key = (String, String);

/// What is held in memory.
#[derive(Debug, Default)]
pub(crate) struct Unstored {
    tenants: Mutex<HashMap<TenantName, HashMap<Key, One>>>,
    /// How many answers wait to be stored, so that nobody looks for them in vain.
    answered: AtomicUsize,
}

#[derive(Debug)]
struct One {
    request: [u8; 32],
    created: Timestamp,
    answer: Option<Kept>,
}

impl Unstored {
    /// What is held under a key.
    pub(super) fn find(&self, tenant: &TenantName, key: &Key, now: Timestamp) -> Option<Replay> {
        let tenants = self.tenants();
        let one = tenants.get(tenant)?.get(key)?;
        (one.created >= oldest(now)).then(|| one.replay())
    }

    /// Begins an answer, unless there is one: then it answers that. Until it is known whether it can be stored.
    pub(super) fn begin(
        &self,
        tenant: &TenantName,
        key: &Key,
        (request, now): ([u8; 32], Timestamp),
    ) -> Option<Replay> {
        let mut tenants = self.tenants();
        let held = tenants.entry(tenant.clone()).or_default();
        if let Some(one) = held.get(key).filter(|one| one.created >= oldest(now)) {
            return Some(one.replay());
        }
        held.insert(key.clone(), One { request, created: now, answer: None });
        self.count(&tenants);
        None
    }

    /// Goes on to hold one that was begun and cannot be stored.
    ///
    /// # Errors
    /// When too many of the tenant's are being carried out.
    pub(super) fn hold(&self, tenant: &TenantName, key: &Key) -> Result<(), Problem> {
        let mut tenants = self.tenants();
        let made = tenants.get_mut(tenant).is_none_or(make_room);
        if !made {
            drop(tenants);
            self.forget(tenant, key);
            let title = format!("{MOST} requests whose keys cannot be stored are under way");
            let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate-limited", title);
            return Err(problem.retry_after(5));
        }
        self.count(&tenants);
        Ok(())
    }

    /// Holds an answer, whether it was begun here or is stored as begun.
    pub(super) fn answer(
        &self,
        tenant: &TenantName,
        key: &Key,
        (request, now): ([u8; 32], Timestamp),
        answer: &Kept,
    ) {
        let mut tenants = self.tenants();
        let held = tenants.entry(tenant.clone()).or_default();
        let answer = Some(answer.small());
        held.insert(key.clone(), One { request, created: now, answer });
        // One at least can go: this one.
        make_room(held);
        self.count(&tenants);
    }

    /// Lets a key go.
    pub(super) fn forget(&self, tenant: &TenantName, key: &Key) {
        let mut tenants = self.tenants();
        if let Some(held) = tenants.get_mut(tenant) {
            held.remove(key);
            if held.is_empty() {
                tenants.remove(tenant);
            }
        }
        self.count(&tenants);
    }

    /// Stores what was answered. What cannot be stored yet stays.
    pub(crate) fn store(&self, registry: &dyn Registry, now: Timestamp) {
        if self.answered.load(Ordering::Relaxed) == 0 {
            return;
        }
        let tenants = self.tenants();
        let answered = tenants.iter().flat_map(|(tenant, held)| {
            let ended = held.iter().filter_map(|(key, one)| Some((key, one, one.answer.as_ref()?)));
            ended.map(|(key, one, answer)| {
                (tenant.clone(), key.clone(), (one.request, one.created), answer.clone())
            })
        });
        let answered: Vec<_> = answered.collect();
        drop(tenants);
        for (tenant, key, (request, created), answer) in answered {
            if created >= oldest(now)
                && write(registry, &key, (&request, created), &answer).is_err()
            {
                return;
            }
            self.forget(&tenant, &key);
        }
    }

    fn count(&self, tenants: &HashMap<TenantName, HashMap<Key, One>>) {
        let all = tenants.values().flat_map(HashMap::values);
        let answered = all.filter(|one| one.answer.is_some()).count();
        self.answered.store(answered, Ordering::Relaxed);
    }

    fn tenants(&self) -> MutexGuard<'_, HashMap<TenantName, HashMap<Key, One>>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets the oldest that were answered go, while there are too many; false when those that are left are.
fn make_room(held: &mut HashMap<Key, One>) -> bool {
    while held.len() > MOST {
        let answered = held.iter().filter(|(_, one)| one.answer.is_some());
        let first = answered.min_by_key(|(_, one)| one.created).map(|(key, _)| key.clone());
        let Some(first) = first else { return false };
        held.remove(&first);
    }
    true
}

/// Stores one that was answered.
pub(super) fn write(
    registry: &dyn Registry,
    (token, key): &Key,
    (request, created): (&[u8; 32], Timestamp),
    answer: &Kept,
) -> Result<(), StoreError> {
    // It may be there, without its answer.
    registry.begin_answer((token, key), request, (created, oldest(created)))?;
    registry.end_answer((token, key), Some(answer.answered()))
}

/// Before when nothing is known any more.
pub(super) fn oldest(now: Timestamp) -> Timestamp {
    Timestamp(now.0.saturating_sub(KEPT))
}

impl One {
    fn replay(&self) -> Replay {
        let (status, headers, body) = match &self.answer {
            Some(Kept { status, headers, body }) => (Some(*status), headers.clone(), body.to_vec()),
            None => (None, Vec::new(), Vec::new()),
        };
        Replay { request: self.request, status, headers, body }
    }
}

impl Kept {
    /// What is stored of it.
    pub(super) fn answered(&self) -> Answered<'_> {
        Answered { status: self.status, headers: &self.headers, body: &self.body }
    }

    /// The same, or that it was too large to be held.
    fn small(&self) -> Self {
        if self.body.len() <= LARGEST {
            return self.clone();
        }
        let title =
            format!("it was carried out and answered {}, which could not be kept", self.status);
        let problem = Problem::new(StatusCode::INSUFFICIENT_STORAGE, "answer-lost", title)
            .hint("the disk was full; `GET` what it was about, or ask again with another key");
        let body = serde_json::to_vec(&problem).map(Bytes::from).unwrap_or_default();
        Self { status: problem.status().as_u16(), headers: self.headers.clone(), body }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant() -> TenantName {
        "a".parse().expect("a name")
    }

    fn key(number: usize) -> Key {
        ("token".to_owned(), number.to_string())
    }

    fn kept(size: usize) -> Kept {
        Kept { status: 200, headers: Vec::new(), body: vec![b'x'; size].into() }
    }

    #[test]
    fn a_key_is_begun_once_and_answered_from_then_on() {
        let (held, of) = (Unstored::default(), ([1; 32], Timestamp(5)));
        assert_eq!(held.begin(&tenant(), &key(0), of), None);
        let under_way = held.begin(&tenant(), &key(0), of).expect("begun");
        assert_eq!((under_way.request, under_way.status), ([1; 32], None));
        held.answer(&tenant(), &key(0), of, &kept(3));
        let again = held.find(&tenant(), &key(0), Timestamp(6)).expect("answered");
        assert_eq!((again.status, again.body.as_slice()), (Some(200), &b"xxx"[..]));
        let other = "b".parse().expect("a name");
        assert_eq!(held.find(&other, &key(0), Timestamp(6)), None);
        assert_eq!(held.find(&tenant(), &key(0), Timestamp(6 + KEPT)), None);
        held.forget(&tenant(), &key(0));
        assert_eq!(held.find(&tenant(), &key(0), Timestamp(6)), None);
    }

    #[test]
    fn a_tenant_holds_so_many_and_what_is_under_way_is_never_let_go() {
        let held = Unstored::default();
        let at = |number: usize| ([0; 32], Timestamp(i64::try_from(number).expect("small")));
        let begin = |number| {
            assert_eq!(held.begin(&tenant(), &key(number), at(number)), None);
            held.hold(&tenant(), &key(number))
        };
        for number in 0..MOST {
            begin(number).expect("room");
        }
        let refused = begin(MOST).expect_err("too many");
        assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(held.find(&tenant(), &key(MOST), Timestamp(0)), None);
        for number in [7, 8] {
            held.answer(&tenant(), &key(number), at(number), &kept(1));
        }
        begin(MOST).expect("room");
        let now = Timestamp(0);
        assert_eq!(held.find(&tenant(), &key(7), now), None, "the oldest that was answered");
        assert!(held.find(&tenant(), &key(8), now).is_some());
        assert!(held.find(&tenant(), &key(0), now).is_some());
    }

    #[test]
    fn of_a_large_answer_it_is_told_that_it_was_given() {
        let (held, of) = (Unstored::default(), ([0; 32], Timestamp(0)));
        held.answer(&tenant(), &key(0), of, &kept(LARGEST + 1));
        let told = held.find(&tenant(), &key(0), Timestamp(0)).expect("held");
        assert_eq!(told.status, Some(507));
        let problem: Problem = serde_json::from_slice(&told.body).expect("a problem");
        assert_eq!(problem.kind(), "answer-lost");
    }

    #[test]
    fn calls_that_need_no_room_are_calls() {
        let document: serde_json::Value =
            serde_json::from_str(crate::openapi::document()).expect("a document");
        for route in WITHOUT_ROOM {
            assert!(!document["paths"][route]["post"].is_null(), "{route}");
        }
    }
}

//! Sessions over HTTP, of the revisions of the protocol that have them. A session belongs to the token that made it.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rmcp::transport::streamable_http_server::session::SessionManager as _;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;

use crate::auth::{Caller, is_still_let_in};
use crate::service::Service;

/// How many a token may have. Another one ends the one that was not used for longest.
const MOST: usize = 32;
/// For how long nobody may be connected to one.
const IDLE: Duration = Duration::from_secs(1800);
/// How often it is looked whether those who have sessions may still have them.
const LOOK: Duration = Duration::from_secs(2);

/// All sessions.
#[derive(Debug)]
pub(crate) struct Sessions {
    pub(super) manager: Arc<LocalSessionManager>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    by_id: HashMap<String, Session>,
    /// Whether somebody looks after them.
    is_watched: bool,
}

#[derive(Debug)]
struct Session {
    caller: Caller,
    used: Instant,
    /// How many answers are under way.
    busy: usize,
}

impl Default for Sessions {
    fn default() -> Self {
        let mut manager = LocalSessionManager::default();
        // Whether one is idle is known here: a command may run for longer than its client says anything.
        manager.session_config.keep_alive = None;
        Self { manager: Arc::new(manager), known: Mutex::default() }
    }
}

impl Sessions {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Uses a session for as long as the answer lasts; `None` when the caller has none of that id.
    pub(super) fn enter(self: &Arc<Self>, caller: &Caller, id: &str) -> Option<Using> {
        let mut known = self.known();
        let session = known.by_id.get_mut(id).filter(|one| one.caller.token == caller.token)?;
        session.used = Instant::now();
        session.busy += 1;
        Some(Using { sessions: Arc::clone(self), id: id.to_owned() })
    }

    /// Notes a session that was made, and ends the one of the caller that has to go for it.
    pub(super) async fn add(self: &Arc<Self>, service: &Arc<Service>, caller: &Caller, id: String) {
        let (gone, begin) = {
            let mut known = self.known();
            let gone = known.make_room(&caller.token);
            let session = Session { caller: caller.clone(), used: Instant::now(), busy: 0 };
            known.by_id.insert(id, session);
            (gone, !std::mem::replace(&mut known.is_watched, true))
        };
        self.end(gone).await;
        if begin {
            tokio::spawn(watch(Arc::clone(self), Arc::clone(service)));
        }
    }

    /// Forgets a session that its client ended.
    pub(super) fn forget(&self, id: &str) {
        self.known().by_id.remove(id);
    }

    /// Ends all, since the service does.
    pub(crate) async fn close(&self) {
        let all = self.known().by_id.drain().map(|(id, _)| id).collect::<Vec<_>>();
        self.end(all).await;
    }

    /// Ends those sessions. What runs on behalf of one goes on.
    async fn end(&self, ids: impl IntoIterator<Item = String>) {
        for id in ids {
            // One that ended by itself needs no end.
            let _ = self.manager.close_session(&id.into()).await;
        }
    }
}

impl Known {
    /// Takes out the session of a token that was not used for longest, when it has as many as it may.
    fn make_room(&mut self, token: &str) -> Option<String> {
        let own = || self.by_id.iter().filter(|(_, one)| one.caller.token == token);
        if own().count() < MOST {
            return None;
        }
        let (id, _) = own().min_by_key(|(_, one)| (one.busy > 0, one.used))?;
        let id = id.clone();
        self.by_id.remove(&id);
        Some(id)
    }

    /// Takes out what nobody was connected to for long.
    fn idle(&mut self, now: Instant) -> Vec<String> {
        let is_idle =
            |one: &Session| one.busy == 0 && now.saturating_duration_since(one.used) > IDLE;
        self.take(is_idle)
    }

    fn take(&mut self, is_meant: impl Fn(&Session) -> bool) -> Vec<String> {
        let meant = self.by_id.iter().filter(|(_, one)| is_meant(one));
        let ids: Vec<String> = meant.map(|(id, _)| id.clone()).collect();
        for id in &ids {
            self.by_id.remove(id);
        }
        ids
    }
}

/// Looks after the sessions until there are none.
async fn watch(sessions: Arc<Sessions>, service: Arc<Service>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let (mut gone, callers) = {
            let mut known = sessions.known();
            let gone = known.idle(Instant::now());
            if known.by_id.is_empty() {
                known.is_watched = false;
            }
            let mut tokens = BTreeSet::new();
            let all = known.by_id.values().map(|one| one.caller.clone());
            let callers: Vec<Caller> =
                all.filter(|caller| tokens.insert(caller.token.clone())).collect();
            (gone, callers)
        };
        let is_over = callers.is_empty();
        for caller in callers {
            if !is_still_let_in(&service, &caller).await {
                gone.extend(sessions.known().take(|one| one.caller.token == caller.token));
            }
        }
        sessions.end(gone).await;
        if is_over {
            return;
        }
    }
}

/// An answer that is under way in a session.
#[derive(Debug)]
pub(super) struct Using {
    sessions: Arc<Sessions>,
    id: String,
}

impl Drop for Using {
    fn drop(&mut self) {
        if let Some(session) = self.sessions.known().by_id.get_mut(&self.id) {
            session.busy -= 1;
            session.used = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use ctrlz_core::tenancy::{Role, TenantName};

    use super::*;

    fn caller(token: &str) -> Caller {
        let (tenant, role) = (TenantName::owner(), Role::Operator);
        Caller { token: token.to_owned(), tenant, role, local: None }
    }

    fn add(sessions: &Sessions, token: &str, id: &str, used: Instant) {
        let session = Session { caller: caller(token), used, busy: 0 };
        sessions.known().by_id.insert(id.to_owned(), session);
    }

    #[test]
    fn a_session_is_there_for_its_token_alone() {
        let (sessions, now) = (Arc::new(Sessions::default()), Instant::now());
        add(&sessions, "a", "1", now);
        assert!(sessions.enter(&caller("b"), "1").is_none());
        assert!(sessions.enter(&caller("a"), "2").is_none());
        let using = sessions.enter(&caller("a"), "1").expect("its own");
        let later = now + IDLE + Duration::from_secs(60);
        assert!(sessions.known().idle(later).is_empty(), "somebody is connected");
        drop(using);
        assert!(sessions.known().idle(now).is_empty());
        assert_eq!(sessions.known().idle(later), ["1"]);
        assert!(sessions.enter(&caller("a"), "1").is_none());
    }

    #[test]
    fn a_token_has_so_many_and_another_one_ends_the_oldest_that_is_free() {
        let (sessions, now) = (Arc::new(Sessions::default()), Instant::now());
        for number in 0..MOST as u64 {
            assert_eq!(sessions.known().make_room("a"), None);
            add(&sessions, "a", &number.to_string(), now + Duration::from_secs(number));
        }
        assert_eq!(sessions.known().make_room("b"), None, "another's are not counted");
        let _using = sessions.enter(&caller("a"), "0").expect("its own");
        assert_eq!(sessions.known().make_room("a").as_deref(), Some("1"));
        assert_eq!(sessions.known().make_room("a"), None);
    }
}

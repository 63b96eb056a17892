//! What commands write while they run: looked at once for all who watch a sandbox, only while somebody
//! does and a command runs there.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use ctrlz_core::changeset::{ChangeKind, Changeset, Metadata};
use ctrlz_core::id::{OperationId, SandboxId};
use ctrlz_core::operation::OperationKind;
use ctrlz_core::path::RelPath;
use ctrlz_core::tenancy::TenantName;
use tokio::sync::watch;

use crate::auth::Caller;
use crate::problem::Problem;
use crate::service::Service;
use crate::tidings::{self, Follower};

/// The time from one look to the next is this, or so many times what the last one took; at most [`SELDOM`].
const OFTEN: Duration = Duration::from_millis(500);
const TIMES: u32 = 10;
const SELDOM: Duration = Duration::from_secs(30);
/// How long it may take to see that nobody watches any more.
const WAIT: Duration = Duration::from_secs(1);
/// How many entries one look is at.
const MOST: usize = 10_000;

/// How a path differs from what was there before the command.
pub(crate) type Seen = BTreeMap<RelPath, (ChangeKind, Option<Metadata>)>;

/// What was seen at last.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) enum Glance {
    /// No command runs.
    #[default]
    Nothing,
    /// What the command has changed so far.
    Seen(OperationId, Arc<Seen>),
    /// That would be more than is looked at; it is not looked again until the command has ended.
    TooMuch(OperationId),
}

type Eye = watch::Sender<Glance>;

/// The sandboxes that somebody watches.
#[derive(Debug, Default)]
pub(crate) struct Glances(Mutex<HashMap<(TenantName, SandboxId), Weak<Eye>>>);

/// One who watches a sandbox.
pub(crate) struct Watcher {
    pub(crate) glance: watch::Receiver<Glance>,
    /// It is looked as long as somebody holds it.
    _held: Arc<Eye>,
}

/// Watches what commands write in a sandbox of the caller's tenant.
///
/// # Errors
/// When the tenant's log cannot be read.
pub(crate) async fn watch(
    service: &Arc<Service>,
    caller: &Caller,
    sandbox: SandboxId,
) -> Result<Watcher, Problem> {
    let follower = tidings::follow(service, caller).await?;
    let mut is_new = false;
    let held = {
        let mut all = service.glances.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, eye| eye.strong_count() > 0);
        let found = all.entry((caller.tenant.clone(), sandbox)).or_default();
        found.upgrade().unwrap_or_else(|| {
            is_new = true;
            let eye = Arc::new(Eye::default());
            *found = Arc::downgrade(&eye);
            eye
        })
    };
    if is_new {
        let looking =
            Looking { service: Arc::downgrade(service), caller: caller.clone(), sandbox, follower };
        tokio::spawn(looking.look(Arc::downgrade(&held)));
    }
    Ok(Watcher { glance: held.subscribe(), _held: held })
}

struct Looking {
    service: Weak<Service>,
    caller: Caller,
    sandbox: SandboxId,
    follower: Follower,
}

impl Looking {
    async fn look(mut self, eye: Weak<Eye>) {
        loop {
            let (known, begun) = (self.follower.newest(), Instant::now());
            let (Some(service), Some(watched)) = (self.service.upgrade(), eye.upgrade()) else {
                return;
            };
            // What cannot be looked at now has just ended, or is told by those who read it.
            let glance = self.glance(&service).await.unwrap_or_default();
            if let Some(glance) = glance {
                watched.send_if_modified(|last| {
                    let is_other = *last != glance;
                    *last = glance;
                    is_other
                });
            }
            let runs = matches!(*watched.borrow(), Glance::Seen(..));
            drop((service, watched));
            if runs {
                let pause = begun.elapsed().saturating_mul(TIMES).clamp(OFTEN, SELDOM);
                tokio::time::sleep(pause).await;
                continue;
            }
            while self.follower.newest() == known && eye.strong_count() > 0 {
                self.follower.wait_past(known, WAIT).await;
            }
        }
    }

    /// What is to be seen now; `None` when it cannot be told.
    async fn glance(&self, service: &Arc<Service>) -> Result<Option<Glance>, Problem> {
        let sandbox = self.sandbox;
        let looked = service.with_core(&self.caller, move |core| {
            let sandbox = core.store().sandbox(sandbox)?;
            let Some(open) = sandbox.open_operation else { return Ok(Some(Glance::Nothing)) };
            if core.store().operation(open)?.request.kind != OperationKind::Run {
                return Ok(Some(Glance::Nothing));
            }
            Ok(match core.written_so_far(&sandbox, MOST) {
                Ok(Some(changes)) => Some(Glance::Seen(open, Arc::new(seen(changes)))),
                Ok(None) => Some(Glance::TooMuch(open)),
                // It begins or ends just now.
                Err(_) => None,
            })
        });
        looked.await
    }
}

fn seen(changes: Changeset) -> Seen {
    let changes = changes.changes.into_iter();
    changes.map(|change| (change.path, (change.kind, change.after))).collect()
}

/// How a path has become another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    Created,
    Modified,
    Removed,
}

impl Turn {
    pub(crate) fn of(kind: ChangeKind) -> Self {
        match kind {
            ChangeKind::Added => Self::Created,
            ChangeKind::Deleted => Self::Removed,
            ChangeKind::Modified | ChangeKind::TypeChanged | ChangeKind::MetadataChanged => {
                Self::Modified
            }
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Modified => "modified",
            Self::Removed => "removed",
        }
    }
}

/// What happened from one look to the next, by path.
pub(crate) fn turns<'a>(
    last: &'a Seen,
    now: &'a Seen,
) -> impl Iterator<Item = (&'a RelPath, Turn)> {
    let came = now.iter().filter_map(|(path, new)| match last.get(path) {
        Some(old) if old == new => None,
        None => Some((path, Turn::of(new.0))),
        Some(_) if new.0 == ChangeKind::Deleted => Some((path, Turn::Removed)),
        Some(old) if old.0 == ChangeKind::Deleted => Some((path, Turn::Created)),
        Some(_) => Some((path, Turn::Modified)),
    });
    // What is as it was before the command.
    let went = last.iter().filter(|(path, _)| !now.contains_key(path));
    let went = went.map(|(path, old)| match old.0 {
        ChangeKind::Added => (path, Turn::Removed),
        ChangeKind::Deleted => (path, Turn::Created),
        _ => (path, Turn::Modified),
    });
    came.chain(went)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_between_two_looks_is_told() {
        let all = |entries: &[(&str, ChangeKind)]| -> Seen {
            let entry = |(path, kind): &(&str, ChangeKind)| {
                (RelPath::parse(path).expect("a path"), (*kind, None))
            };
            entries.iter().map(entry).collect()
        };
        use ChangeKind::{Added, Deleted, MetadataChanged, Modified, TypeChanged};
        let last = all(&[
            ("same", Added),
            ("gone", Added),
            ("back", Deleted),
            ("other", Modified),
            ("first-changed", Modified),
            ("first-removed", Deleted),
        ]);
        let now = all(&[
            ("same", Added),
            ("new", Added),
            ("mode", MetadataChanged),
            ("old", Deleted),
            ("first-changed", Deleted),
            ("first-removed", TypeChanged),
        ]);
        let mut told: Vec<_> =
            turns(&last, &now).map(|(path, turn)| format!("{} {path}", turn.word())).collect();
        told.sort();
        assert_eq!(
            told,
            [
                "created back",
                "created first-removed",
                "created new",
                "modified mode",
                "modified other",
                "removed first-changed",
                "removed gone",
                "removed old",
            ]
        );
    }
}

//! Commands that run, or ran: what they write, how they end. They belong to no request: who asked
//! for one may go and come again.

mod end;
mod log;
mod pump;
mod signals;
mod terminal;

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ctrlz_core::id::OperationId;
use ctrlz_core::tenancy::TenantName;
use ctrlz_core::time::Timestamp;
use serde_json::Value;
use tokio::sync::watch;

pub(crate) use end::{GRACE, end};
pub(crate) use log::{Log, Piece, Stream};
pub(crate) use pump::{Ends, pipes};
pub(crate) use signals::number as signal_number;

use crate::problem::Problem;

/// How many that have ended are remembered, and how much of what they wrote, in bytes.
const REMEMBERED: usize = 512;
const KEPT: usize = 64 << 20;

/// What came of one: what a waiting client is answered.
pub(crate) type Ended = Result<Value, Problem>;

/// One command.
#[derive(Debug)]
pub(crate) struct Process {
    /// Its id, which cannot be guessed.
    pub(crate) id: String,
    pub(crate) tenant: TenantName,
    /// The sandbox's name.
    pub(crate) sandbox: String,
    /// One line for people, without secrets.
    pub(crate) title: String,
    pub(crate) started: Timestamp,
    /// Under which operation it is journaled, once it is.
    pub(crate) operation: watch::Sender<Option<OperationId>>,
    /// What it wrote.
    pub(crate) log: Log,
    /// What came of it, once it has ended and all of its output is in the log.
    pub(crate) ended: watch::Sender<Option<Arc<Ended>>>,
    /// Whether it has a terminal.
    pub(crate) has_terminal: bool,
    /// Where its input and its signals go.
    pub(crate) ends: Ends,
    /// Whether it was asked to end before it began.
    pub(crate) is_given_up: AtomicBool,
}

impl Process {
    /// Waits for its end.
    pub(crate) async fn wait(&self) -> Arc<Ended> {
        let mut ended = self.ended.subscribe();
        let seen = ended.wait_for(Option::is_some).await.ok().and_then(|found| found.clone());
        // The sender lives as long as the process.
        seen.unwrap_or_else(|| Arc::new(Err(Problem::internal("the process was forgotten"))))
    }

    /// Sends a signal. One that asks a process to end keeps one that waits from beginning.
    pub(crate) fn signal(&self, number: u8) -> Result<(), Problem> {
        if self.operation.borrow().is_none() && matches!(number, 1 | 2 | 3 | 9 | 15) {
            self.is_given_up.store(true, Ordering::Relaxed);
        }
        self.ends.signal(number)
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.borrow().is_some()
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Processes(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    by_id: BTreeMap<String, Arc<Process>>,
    /// The oldest first.
    order: VecDeque<String>,
}

impl Known {
    /// The oldest that has ended of the tenant whose shares are the most: a tenant that runs much forgets its own.
    fn least_needed(&self, share: impl Fn(&Process) -> usize) -> Option<usize> {
        let mut shares: BTreeMap<&TenantName, usize> = BTreeMap::new();
        for one in self.by_id.values().filter(|one| one.has_ended()) {
            *shares.entry(&one.tenant).or_default() += share(one);
        }
        let (most, _) = shares.into_iter().max_by_key(|(_, share)| *share)?;
        let is_one = |one: &Arc<Process>| one.has_ended() && one.tenant == *most;
        self.order.iter().position(|id| self.by_id.get(id).is_some_and(is_one))
    }
}

impl Processes {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, process: &Arc<Process>) {
        let mut known = self.known();
        known.by_id.insert(process.id.clone(), Arc::clone(process));
        known.order.push_back(process.id.clone());
        let mut kept: usize = known.by_id.values().map(|one| one.log.size()).sum();
        while known.by_id.len() > REMEMBERED || kept > KEPT {
            let share = |one: &Process| if kept > KEPT { one.log.size() } else { 1 };
            let Some(at) = known.least_needed(share) else { break };
            let gone = known.order.remove(at).and_then(|id| known.by_id.remove(&id));
            kept -= gone.map_or(0, |one| one.log.size());
        }
    }

    /// One of a tenant's.
    pub(crate) fn get(&self, tenant: &TenantName, id: &str) -> Result<Arc<Process>, Problem> {
        let found = self.known().by_id.get(id).filter(|found| found.tenant == *tenant).cloned();
        found.ok_or_else(|| Problem::not_found("process", id))
    }

    /// A tenant's, in one sandbox or in all, the oldest first.
    pub(crate) fn list(&self, tenant: &TenantName, sandbox: Option<&str>) -> Vec<Arc<Process>> {
        let known = self.known();
        let all = known.order.iter().filter_map(|id| known.by_id.get(id));
        let wanted = all.filter(|process| {
            process.tenant == *tenant && sandbox.is_none_or(|name| process.sandbox == name)
        });
        wanted.cloned().collect()
    }

    /// Those that run.
    pub(crate) fn running(&self) -> Vec<Arc<Process>> {
        self.known().by_id.values().filter(|process| !process.has_ended()).cloned().collect()
    }
}

/// A descriptor that is closed when nothing more is to be said through it.
pub(crate) type Closable = Mutex<Option<OwnedFd>>;

#[cfg(test)]
mod tests {
    use super::*;

    fn process(tenant: &str, id: &str, written: usize) -> Arc<Process> {
        let (ends, _, _) = pipes(None).expect("pipes");
        let process = Process {
            id: id.to_owned(),
            tenant: tenant.parse().expect("a name"),
            sandbox: "box".to_owned(),
            title: "true".to_owned(),
            started: Timestamp(0),
            operation: watch::Sender::new(None),
            log: Log::default(),
            ended: watch::Sender::new(Some(Arc::new(Ok(Value::Null)))),
            has_terminal: false,
            ends,
            is_given_up: AtomicBool::new(false),
        };
        process.log.add(Stream::Output, vec![b'x'; written].into());
        Arc::new(process)
    }

    #[tokio::test]
    async fn what_a_tenant_runs_makes_nobody_else_s_forgotten() {
        let processes = Processes::default();
        let (quiet, loud) = ("quiet".parse().expect("a name"), "loud".parse().expect("a name"));
        processes.add(&process("quiet", "first", 1 << 20));
        for number in 0..REMEMBERED + 8 {
            processes.add(&process("loud", &format!("small-{number}"), 1));
        }
        assert!(processes.get(&quiet, "first").is_ok());
        assert!(processes.get(&loud, "small-0").is_err());
        assert_eq!(processes.known().by_id.len(), REMEMBERED);
        for number in 0..(KEPT >> 20) + 8 {
            processes.add(&process("loud", &format!("large-{number}"), 1 << 20));
        }
        assert!(processes.get(&quiet, "first").is_ok());
        assert!(processes.get(&loud, &format!("large-{}", (KEPT >> 20) + 7)).is_ok());
        let kept: usize = processes.known().by_id.values().map(|one| one.log.size()).sum();
        assert!(kept <= KEPT, "{kept}");
    }
}

//! Commands that run, or ran: what they write, how they end. They belong to no request: who asked
//! for one may go and come again.

mod end;
mod find;
mod keep;
mod log;
mod prune;
mod pump;
mod segments;
mod shelf;
mod signals;
mod terminal;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ctrlz_core::id::OperationId;
use ctrlz_core::limits::LimitKind;
use ctrlz_core::operation::{CommandReport, Exit, Stopped};
use ctrlz_core::tenancy::TenantName;
use ctrlz_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use utoipa::ToSchema;

pub(crate) use end::{GRACE, end};
pub(crate) use find::{INTERRUPTED, find, list};
pub(crate) use keep::{add_short, keep};
pub(crate) use log::{Log, Piece, Stream};
use log::{MOST, Tails};
pub(crate) use prune::prune_all;
pub(crate) use pump::{Ends, pipes};
use shelf::About;
pub use shelf::LogBounds;
pub(crate) use shelf::{Entry, Shelf};
pub(crate) use signals::number as signal_number;

use crate::halt::Halt;
use crate::problem::Problem;

/// How many that have ended are in memory, and how much of what they wrote, in bytes. All are on disk.
const REMEMBERED: usize = 512;
const KEPT: usize = 8 << 20;
/// How many places are made when there is none: all have to be looked at for that.
const ROOM: usize = 64;
/// How much of each stream stands in an answer.
const TOLD: usize = 256 << 10;

/// What came of one: what a waiting client is answered, but for the output.
pub(crate) type Ended = Result<Value, Problem>;

/// What a process is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// A command in a sandbox.
    #[default]
    Operation,
    /// What another process of ctrlz does: it writes nothing, takes no input, and of signals those that ask it
    /// to end.
    Errand,
}

/// A command, or an errand.
#[derive(Debug)]
pub(crate) struct Process {
    /// Its id, which cannot be guessed.
    pub(crate) id: String,
    pub(crate) kind: Kind,
    pub(crate) tenant: TenantName,
    /// The sandbox's name; empty where it is about none.
    pub(crate) sandbox: String,
    /// One line for people, without secrets.
    pub(crate) title: String,
    pub(crate) started: Timestamp,
    /// Under which operation it is journaled, once it is.
    pub(crate) operation: watch::Sender<Option<OperationId>>,
    /// What it wrote.
    pub(crate) log: Log,
    /// Whether it was tried to store it.
    pub(crate) kept: watch::Sender<bool>,
    /// What came of it, once it has ended and all of its output is in the log.
    pub(crate) ended: watch::Sender<Option<Arc<Ended>>>,
    /// Whether it has a terminal.
    pub(crate) has_terminal: bool,
    /// Where its input and its signals go.
    pub(crate) ends: Ends,
    /// Whether it was asked to end before it began.
    pub(crate) is_given_up: AtomicBool,
    /// How an errand is asked to end.
    pub(crate) halt: Halt,
}

impl Process {
    /// Waits for its end.
    pub(crate) async fn wait(&self) {
        // The sender lives as long as the process.
        let _ = self.ended.subscribe().wait_for(Option::is_some).await;
    }

    /// Waits for its end; answers what came of it.
    pub(crate) async fn answer(&self) -> Ended {
        self.wait().await;
        let ended = self.ended.borrow().clone();
        match ended {
            Some(ended) => self.with_output(&ended).await,
            None => Err(Problem::internal("the process was forgotten")),
        }
    }

    /// What came of it, with the end of what it wrote.
    pub(crate) async fn with_output(&self, ended: &Ended) -> Ended {
        let mut answer = ended.clone()?;
        if self.kind == Kind::Operation
            && let Some(fields) = answer.as_object_mut()
        {
            let Tails { output, error, is_whole } = self.log.tails(TOLD).await;
            let text = |bytes: Vec<u8>| Value::from(String::from_utf8_lossy(&bytes).into_owned());
            fields.insert("stdout".to_owned(), text(output));
            fields.insert("stderr".to_owned(), text(error));
            fields.insert("truncated".to_owned(), (!is_whole).into());
        }
        Ok(answer)
    }

    /// As it is stored.
    fn about(&self) -> About {
        About {
            id: self.id.clone(),
            kind: self.kind,
            sandbox: self.sandbox.clone(),
            title: self.title.clone(),
            started: self.started,
            terminal: self.has_terminal,
        }
    }

    /// Sends a signal. One that asks a process to end keeps one that waits from beginning.
    pub(crate) fn signal(&self, number: u8) -> Result<(), Problem> {
        if self.kind == Kind::Errand && !self.has_ended() {
            return self.halt.ask(number);
        }
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

/// How many processes may be being stored.
const STORING: u32 = 1 << 20;

/// All of them that are in memory, and where the others are.
#[derive(Debug)]
pub(crate) struct Processes {
    known: Mutex<Known>,
    shelves: Mutex<BTreeMap<TenantName, Arc<Shelf>>>,
    storing: Arc<Semaphore>,
}

impl Default for Processes {
    fn default() -> Self {
        let storing = Arc::new(Semaphore::new(STORING as usize));
        Self { known: Mutex::default(), shelves: Mutex::default(), storing }
    }
}

#[derive(Debug, Default)]
struct Known {
    by_id: BTreeMap<String, Arc<Process>>,
    /// The oldest first.
    order: VecDeque<String>,
    /// How many may be added before all are looked at again.
    room: usize,
}

impl Known {
    /// Forgets of those that have ended until some more may be added, and notes how many. The next is
    /// always the oldest of the tenant whose share is the most: a tenant that runs much forgets its own.
    fn make_room(&mut self) {
        let mut left = self.by_id.len();
        let mut kept: usize = self.by_id.values().map(|one| one.log.size()).sum();
        if left > REMEMBERED || kept > KEPT {
            let is_by_size = kept > KEPT;
            let mut ended: BTreeMap<&TenantName, Share<'_>> = BTreeMap::new();
            for (id, one) in self.order.iter().filter_map(|id| self.by_id.get_key_value(id)) {
                if one.has_ended() {
                    ended.entry(&one.tenant).or_default().add(id, one.log.size());
                }
            }
            let mut gone = BTreeSet::new();
            while left > REMEMBERED - ROOM || kept > KEPT - KEPT / 8 {
                let most = ended.values_mut().max_by_key(|share| share.amount(is_by_size));
                let Some((id, size)) = most.and_then(Share::take_oldest) else { break };
                gone.insert(id.to_owned());
                left -= 1;
                // One that ended just now may have written more since all were added up.
                kept = kept.saturating_sub(size);
            }
            self.by_id.retain(|id, _| !gone.contains(id.as_str()));
            self.order.retain(|id| self.by_id.contains_key(id));
        }
        let (places, bytes) = (REMEMBERED.saturating_sub(left), KEPT.saturating_sub(kept));
        self.room = ROOM.min(places).min(bytes / MOST);
    }
}

/// What a tenant has that could be forgotten.
#[derive(Debug, Default)]
struct Share<'k> {
    /// The oldest first.
    sizes: VecDeque<(&'k str, usize)>,
    size: usize,
}

impl<'k> Share<'k> {
    fn add(&mut self, id: &'k str, size: usize) {
        self.sizes.push_back((id, size));
        self.size += size;
    }

    fn amount(&self, is_by_size: bool) -> usize {
        if is_by_size { self.size } else { self.sizes.len() }
    }

    fn take_oldest(&mut self) -> Option<(&'k str, usize)> {
        let (id, size) = self.sizes.pop_front()?;
        self.size -= size;
        Some((id, size))
    }
}

impl Processes {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a tenant's are stored whose store `find` finds.
    pub(crate) fn shelf(
        &self,
        tenant: &TenantName,
        bounds: LogBounds,
        find: impl FnOnce() -> Option<PathBuf>,
    ) -> Option<Arc<Shelf>> {
        let mut shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shelf) = shelves.get(tenant) {
            return Some(Arc::clone(shelf));
        }
        let shelf = Arc::new(Shelf::of(&find()?, bounds));
        shelves.insert(tenant.clone(), Arc::clone(&shelf));
        Some(shelf)
    }

    /// Held while a process that was told of is stored.
    pub(crate) fn storing(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.storing).try_acquire_owned().ok()
    }

    /// Waits until all that were told of are stored.
    pub(crate) async fn stored(&self) {
        // It is never closed.
        let _ = self.storing.acquire_many(STORING).await;
    }

    pub(crate) fn add(&self, process: &Arc<Process>) {
        let mut known = self.known();
        known.by_id.insert(process.id.clone(), Arc::clone(process));
        known.order.push_back(process.id.clone());
        match known.room.checked_sub(1) {
            Some(room) => known.room = room,
            None => known.make_room(),
        }
    }

    /// One of a tenant's, if it is in memory.
    fn get(&self, tenant: &TenantName, id: &str) -> Option<Arc<Process>> {
        self.known().by_id.get(id).filter(|found| found.tenant == *tenant).cloned()
    }

    /// Forgets one that is stored with all that came of it.
    pub(crate) fn forget(&self, id: &str) {
        let mut known = self.known();
        known.by_id.remove(id);
        known.order.retain(|one| one != id);
    }

    /// A tenant's in memory, in one sandbox or in all, the oldest first.
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

/// As a shell tells how a command ended: 124 when its time was up, 128 and the signal's number when one
/// ended it.
pub(crate) fn exit_code(command: &CommandReport) -> i64 {
    match (command.stopped, command.exit) {
        (Some(Stopped::Limit(LimitKind::Timeout)), _) => 124,
        (_, Exit::Code(code)) => code.into(),
        (_, Exit::Signal(signal)) => 128 + i64::from(signal),
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
            kind: Kind::Operation,
            tenant: tenant.parse().expect("a name"),
            sandbox: "box".to_owned(),
            title: "true".to_owned(),
            started: Timestamp(0),
            operation: watch::Sender::new(None),
            log: Log::default(),
            kept: watch::Sender::new(true),
            ended: watch::Sender::new(Some(Arc::new(Ok(Value::Null)))),
            has_terminal: false,
            ends,
            is_given_up: AtomicBool::new(false),
            halt: Halt::default(),
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
        assert!(processes.get(&quiet, "first").is_some());
        assert!(processes.get(&loud, "small-0").is_none());
        let left = processes.known().by_id.len();
        assert!((REMEMBERED - ROOM..=REMEMBERED).contains(&left), "{left}");
        let many = KEPT / MOST + 8;
        for number in 0..many {
            processes.add(&process("loud", &format!("large-{number}"), MOST));
        }
        assert!(processes.get(&quiet, "first").is_some());
        assert!(processes.get(&loud, &format!("large-{}", many - 1)).is_some());
        let kept: usize = processes.known().by_id.values().map(|one| one.log.size()).sum();
        assert!(kept <= KEPT, "{kept}");
    }

    #[tokio::test]
    async fn who_wrote_much_makes_room_and_not_who_ran_much() {
        let processes = Processes::default();
        let busy = "busy".parse().expect("a name");
        let (small, large) = (KEPT / MOST + 64, KEPT / MOST + 8);
        assert!(small + large < REMEMBERED);
        for number in 0..small {
            processes.add(&process("busy", &format!("small-{number}"), 1));
        }
        for number in 0..large {
            processes.add(&process("loud", &format!("large-{number}"), MOST));
        }
        assert_eq!(processes.list(&busy, None).len(), small);
        let kept: usize = processes.known().by_id.values().map(|one| one.log.size()).sum();
        assert!(kept <= KEPT, "{kept}");
    }
}

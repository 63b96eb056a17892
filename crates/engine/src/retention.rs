//! Retention: which snapshots stay, of which operations the files stay, and why. A pure function
//! of what is there, the policy and the time.
//!
//! For each sandbox by itself:
//!
//! 1. These stay: snapshots that a user took (`manual`) or tagged (`keep`, `manual`, or what the
//!    policy names), those that are needed (the newest known good one, those that are still to be
//!    archived), and the newest snapshot.
//! 2. Of the others those go that are older than the policy's age, and of each kind all but the
//!    newest few, as many as the policy says.
//! 3. Operations older than the policy's age lose their files, so that undo can take them back no
//!    more; never one of the newest [`KEPT_OPERATIONS`], which a clock that jumps cannot take
//!    either.
//! 4. While what is left of 2 and 3 holds more bytes than the policy allows, the oldest goes. Bytes
//!    that something else needs as well do not count.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ctrlz_core::id::{OperationId, SnapshotId};
use ctrlz_core::operation::{Operation, Status};
use ctrlz_core::size::ByteSize;
use ctrlz_core::snapshot::{Snapshot, SnapshotKind, Tag, Tree};
use ctrlz_core::span::Span;
use ctrlz_core::time::Timestamp;
use serde::Serialize;

/// How many of a sandbox's newest operations can be taken back whatever their age.
pub const KEPT_OPERATIONS: usize = 10;

/// What may stay.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct RetentionPolicy {
    /// How many snapshots of each kind; `None` for any number.
    pub max_snapshots: Option<u32>,
    /// For how long; `None` for ever.
    pub max_age: Option<Span>,
    /// How many bytes a sandbox's past may hold; `None` for any.
    pub max_bytes: Option<ByteSize>,
    /// Tags that keep a snapshot, besides [`Tag::KEPT`].
    pub keep_tags: BTreeSet<Tag>,
}

/// What the trees of one sandbox's past are made of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sizes {
    /// The parts of each tree.
    pub parts: HashMap<Tree, Vec<String>>,
    /// The bytes of each part.
    pub bytes: HashMap<String, u64>,
    /// Parts that something outside of the past needs: the present point, other sandboxes.
    pub shared: BTreeSet<String>,
}

/// One sandbox's past.
#[derive(Debug, Clone, Copy)]
pub struct Past<'a> {
    /// Its snapshots, in any order.
    pub snapshots: &'a [Snapshot],
    /// Its operations, in any order.
    pub operations: &'a [Operation],
    /// Snapshots that are needed, and what for.
    pub needed: &'a BTreeMap<SnapshotId, String>,
    /// What it holds; only asked for bytes.
    pub sizes: &'a Sizes,
}

/// What becomes of one snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// Which one.
    pub snapshot: SnapshotId,
    /// Its kind.
    pub kind: SnapshotKind,
    /// Whether it stays.
    pub kept: bool,
    /// Why.
    pub reason: String,
}

/// What becomes of the files of one sandbox's operations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HistoryDecision {
    /// Operations whose files stay.
    pub kept: usize,
    /// Operations whose files go.
    pub let_go: usize,
    /// The newest of the latter.
    pub up_to: Option<OperationId>,
    /// Why.
    pub reason: String,
}

/// What retention does to one sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RetentionPlan {
    /// One decision for each snapshot, the newest first.
    pub snapshots: Vec<Decision>,
    /// The operations.
    pub history: HistoryDecision,
    /// About how many bytes that frees, as far as sizes are known.
    pub frees: u64,
}

impl RetentionPlan {
    /// Whether nothing goes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.history.up_to.is_none() && self.snapshots.iter().all(|decision| decision.kept)
    }
}

/// What one sandbox keeps of its past.
#[must_use]
pub fn plan(past: &Past<'_>, policy: &RetentionPolicy, now: Timestamp) -> RetentionPlan {
    let mut snapshots: Vec<&Snapshot> = past.snapshots.iter().collect();
    snapshots.sort_unstable_by_key(|snapshot| std::cmp::Reverse(snapshot.id));
    let mut operations: Vec<&Operation> =
        past.operations.iter().filter(|operation| !operation.before.tree.is_none()).collect();
    operations.sort_unstable_by_key(|operation| operation.id);
    let mut choice = Choice::new(past, policy, now, &snapshots, &operations);
    choice.fit_bytes();
    choice.into_plan()
}

/// What is decided of a snapshot so far.
enum Fate {
    /// It stays whatever the bytes.
    Protected(String),
    /// It stays unless bytes are short.
    Kept,
    Gone(String),
}

/// What may go.
#[derive(Clone, Copy)]
enum One {
    /// By its place in [`Choice::snapshots`].
    Snapshot(usize),
    /// By its place in [`Choice::operations`], with all before it.
    Operation(usize),
}

struct Choice<'a> {
    past: &'a Past<'a>,
    policy: &'a RetentionPolicy,
    snapshots: Vec<(&'a Snapshot, Fate)>,
    operations: &'a [&'a Operation],
    /// How many of `operations`, from the oldest on, go, and why.
    gone: usize,
    reason: String,
    /// How many of them may go.
    free: usize,
}

impl<'a> Choice<'a> {
    fn new(
        past: &'a Past<'a>,
        policy: &'a RetentionPolicy,
        now: Timestamp,
        snapshots: &[&'a Snapshot],
        operations: &'a [&'a Operation],
    ) -> Self {
        let is_old = |time: Timestamp| {
            let age = u64::try_from(now.0.saturating_sub(time.0)).unwrap_or(0);
            policy.max_age.is_some_and(|max| u128::from(age) > max.0.as_nanos())
        };
        let too_old = policy.max_age.map(|max| format!("older than {max}")).unwrap_or_default();
        let mut of_kind: HashMap<SnapshotKind, u32> = HashMap::new();
        let mut fates = Vec::with_capacity(snapshots.len());
        for (index, snapshot) in snapshots.iter().enumerate() {
            let fate = match protected(past, policy, snapshot) {
                Some(reason) => Fate::Protected(reason),
                None if index == 0 => {
                    of_kind.insert(snapshot.kind, 1);
                    Fate::Protected("the newest one".to_owned())
                }
                None => {
                    let newer = of_kind.entry(snapshot.kind).or_default();
                    *newer += 1;
                    match policy.max_snapshots {
                        _ if is_old(snapshot.created) => Fate::Gone(too_old.clone()),
                        Some(most) if *newer > most => Fate::Gone(format!(
                            "there are {most} newer ones of kind {}",
                            snapshot.kind.word()
                        )),
                        _ => Fate::Kept,
                    }
                }
            };
            fates.push((*snapshot, fate));
        }
        let open = operations.iter().position(|operation| operation.status == Status::Open);
        let newest = operations.len().saturating_sub(KEPT_OPERATIONS);
        let free = open.unwrap_or(newest).min(newest);
        let gone = operations.iter().take(free).take_while(|operation| is_old(operation.started));
        let gone = gone.count();
        Self { past, policy, snapshots: fates, operations, gone, reason: too_old, free }
    }

    /// Lets the oldest go until the rest fits.
    fn fit_bytes(&mut self) {
        let Some(most) = self.policy.max_bytes else { return };
        let order = self.oldest_first();
        let others = self.needed_parts();
        let shared = &self.past.sizes.shared;
        // What a part belongs to goes when the newest that has it goes.
        let mut last: HashMap<&str, usize> = HashMap::new();
        for (index, one) in order.iter().enumerate() {
            for part in self.parts_of(*one) {
                if !others.contains(part) && !shared.contains(part) {
                    last.insert(part, index);
                }
            }
        }
        let mut with: Vec<u64> = vec![0; order.len()];
        for (part, index) in last {
            let size = self.past.sizes.bytes.get(part).copied().unwrap_or(0);
            if let Some(bytes) = with.get_mut(index) {
                *bytes = bytes.saturating_add(size);
            }
        }
        let mut held = with.iter().fold(0_u64, |sum, bytes| sum.saturating_add(*bytes));
        for (one, bytes) in order.into_iter().zip(with) {
            if held <= most.0 {
                return;
            }
            let reason = format!("the past holds {}, more than {most}", ByteSize(held));
            match one {
                One::Snapshot(index) => {
                    if let Some((_, fate)) = self.snapshots.get_mut(index) {
                        *fate = Fate::Gone(reason);
                    }
                }
                One::Operation(index) => {
                    self.gone = index + 1;
                    self.reason = reason;
                }
            }
            held = held.saturating_sub(bytes);
        }
    }

    /// What may still go, in the order in which it goes.
    fn oldest_first(&self) -> Vec<One> {
        let kept = |(index, (snapshot, fate)): (usize, &(&Snapshot, Fate))| {
            matches!(fate, Fate::Kept).then_some((snapshot.operation, One::Snapshot(index)))
        };
        let operations = self.operations.iter().enumerate().take(self.free).skip(self.gone);
        let mut order: Vec<(OperationId, One)> = self
            .snapshots
            .iter()
            .enumerate()
            .filter_map(kept)
            .chain(operations.map(|(index, operation)| (operation.id, One::Operation(index))))
            .collect();
        // Stable: of one operation, its snapshots go first.
        order.sort_by_key(|(operation, _)| *operation);
        order.into_iter().map(|(_, one)| one).collect()
    }

    fn parts_of(&self, one: One) -> BTreeSet<&'a str> {
        match one {
            One::Snapshot(index) => {
                let snapshot = self.snapshots.get(index).map(|(snapshot, _)| &snapshot.point.tree);
                self.parts(snapshot.into_iter())
            }
            One::Operation(index) => {
                self.parts(self.operations.get(index).into_iter().flat_map(|o| trees_of(o)))
            }
        }
    }

    /// The parts of what stays whatever the bytes.
    fn needed_parts(&self) -> BTreeSet<&'a str> {
        let snapshots = self.snapshots.iter();
        let protected = snapshots.filter(|(_, fate)| matches!(fate, Fate::Protected(_)));
        self.parts(
            protected
                .map(|(snapshot, _)| &snapshot.point.tree)
                .chain(self.operations.iter().skip(self.free).flat_map(|o| trees_of(o))),
        )
    }

    /// The bytes that go as it is decided.
    fn freed(&self) -> u64 {
        let (gone, kept): (Vec<_>, Vec<_>) =
            self.snapshots.iter().partition(|(_, fate)| matches!(fate, Fate::Gone(_)));
        let (go, stay) = self.operations.split_at(self.gone.min(self.operations.len()));
        let parts = |snapshots: &[&(&Snapshot, Fate)], operations: &[&Operation]| {
            let trees = snapshots.iter().map(|(snapshot, _)| &snapshot.point.tree);
            self.parts(trees.chain(operations.iter().flat_map(|operation| trees_of(operation))))
        };
        let (mine, others) = (parts(&gone, go), parts(&kept, stay));
        let Sizes { bytes, shared, .. } = self.past.sizes;
        let alone = mine.iter().filter(|part| !others.contains(*part) && !shared.contains(**part));
        alone.filter_map(|part| bytes.get(*part)).fold(0, |sum, size| sum.saturating_add(*size))
    }

    fn parts<'t>(&self, trees: impl Iterator<Item = &'t Tree>) -> BTreeSet<&'a str> {
        trees
            .filter_map(|tree| self.past.sizes.parts.get(tree))
            .flatten()
            .map(String::as_str)
            .collect()
    }

    fn into_plan(self) -> RetentionPlan {
        let frees = self.freed();
        let up_to = self.gone.checked_sub(1).and_then(|last| self.operations.get(last));
        let history = HistoryDecision {
            kept: self.operations.len() - self.gone,
            let_go: self.gone,
            up_to: up_to.map(|operation| operation.id),
            reason: if up_to.is_some() { self.reason } else { "within the policy".to_owned() },
        };
        let decided = |(snapshot, fate): (&Snapshot, Fate)| {
            let (kept, reason) = match fate {
                Fate::Protected(reason) => (true, reason),
                Fate::Kept => (true, "within the policy".to_owned()),
                Fate::Gone(reason) => (false, reason),
            };
            Decision { snapshot: snapshot.id, kind: snapshot.kind, kept, reason }
        };
        let snapshots = self.snapshots.into_iter().map(decided).collect();
        RetentionPlan { snapshots, history, frees }
    }
}

/// The trees that an operation holds.
fn trees_of(operation: &Operation) -> impl Iterator<Item = &Tree> {
    let after = operation.after.as_ref().map(|point| &point.tree);
    std::iter::once(&operation.before.tree).chain(after)
}

/// Why a snapshot stays whatever its age.
fn protected(past: &Past<'_>, policy: &RetentionPolicy, snapshot: &Snapshot) -> Option<String> {
    let keeps = |tag: &&Tag| Tag::KEPT.contains(&tag.as_str()) || policy.keep_tags.contains(*tag);
    if snapshot.kind == SnapshotKind::Manual {
        return Some("taken by hand".to_owned());
    }
    if let Some(tag) = snapshot.tags.iter().find(keeps) {
        return Some(format!("tagged `{tag}`"));
    }
    past.needed.get(&snapshot.id).cloned()
}

#[cfg(test)]
mod tests;

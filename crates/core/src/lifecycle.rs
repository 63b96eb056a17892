//! The life of a sandbox: in which states it can be, and what leads from one to another.
//!
//! Most of it is not written down but seen: a sandbox runs because a process holds it, and has
//! failed because an operation is open that nobody holds. Only what cannot be seen is kept, in
//! [`Life`].

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::id::OperationId;
use crate::sandbox::Sandbox;
use crate::snapshot::Tree;
use crate::time::Timestamp;

/// Where a sandbox is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lifecycle {
    /// It is being made: the commands of `setup:` run in it.
    Init,
    /// Nothing runs in it, and anything may.
    Ready,
    /// An operation is under way.
    Running,
    /// Nothing runs in it, and nothing may until it is resumed: its processes, if there are any,
    /// are frozen.
    Suspended,
    /// It was suspended, and what was frozen runs again; until its next operation ends or begins.
    Resumed,
    /// A crash left an operation unfinished. The next operation, or `recover`, takes it back.
    Failed,
    /// It is gone.
    Destroyed,
}

/// What leads from one state to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transition {
    /// It has been made.
    Complete,
    /// An operation begins.
    Begin,
    /// The operation ends, well or not.
    End,
    /// A crash cuts the operation short.
    Crash,
    /// What the crash left is finished or taken back.
    Recover,
    /// Its processes are frozen, and none may start.
    Suspend,
    /// They go on.
    Resume,
    /// It is removed with all that is in it.
    Destroy,
}

/// A state from which an action does not lead anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is {from}, and what is {from} cannot {action}{}", instead(*.from))]
pub struct IllegalTransition {
    /// The state.
    pub from: Lifecycle,
    /// The action.
    pub action: Transition,
}

/// Every legal transition.
pub const TRANSITIONS: &[(Lifecycle, Transition, Lifecycle)] = {
    use Lifecycle as L;
    use Transition as T;
    &[
        (L::Init, T::Complete, L::Ready),
        (L::Init, T::Crash, L::Failed),
        (L::Init, T::Destroy, L::Destroyed),
        (L::Ready, T::Begin, L::Running),
        (L::Ready, T::Suspend, L::Suspended),
        (L::Ready, T::Destroy, L::Destroyed),
        (L::Running, T::End, L::Ready),
        (L::Running, T::Crash, L::Failed),
        (L::Running, T::Suspend, L::Suspended),
        (L::Suspended, T::Resume, L::Resumed),
        (L::Suspended, T::Destroy, L::Destroyed),
        (L::Resumed, T::Begin, L::Running),
        (L::Resumed, T::End, L::Ready),
        (L::Resumed, T::Crash, L::Failed),
        (L::Resumed, T::Suspend, L::Suspended),
        (L::Resumed, T::Destroy, L::Destroyed),
        (L::Failed, T::Recover, L::Ready),
        (L::Failed, T::Destroy, L::Destroyed),
    ]
};

impl Lifecycle {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Init,
        Self::Ready,
        Self::Running,
        Self::Suspended,
        Self::Resumed,
        Self::Failed,
        Self::Destroyed,
    ];

    /// Where `action` leads from here.
    ///
    /// # Errors
    /// [`IllegalTransition`] when it leads nowhere.
    pub fn after(self, action: Transition) -> Result<Self, IllegalTransition> {
        let found = TRANSITIONS.iter().find(|(from, by, _)| *from == self && *by == action);
        found.map(|(_, _, to)| *to).ok_or(IllegalTransition { from: self, action })
    }

    /// What is legal here.
    pub fn actions(self) -> impl Iterator<Item = Transition> {
        TRANSITIONS.iter().filter(move |(from, _, _)| *from == self).map(|(_, by, _)| *by)
    }

    /// The word for it in tables and events.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Ready => "ready",
            Self::Running => "running",
            Self::Suspended => "suspended",
            Self::Resumed => "resumed",
            Self::Failed => "failed",
            Self::Destroyed => "destroyed",
        }
    }
}

impl fmt::Display for Lifecycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl Transition {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Complete,
        Self::Begin,
        Self::End,
        Self::Crash,
        Self::Recover,
        Self::Suspend,
        Self::Resume,
        Self::Destroy,
    ];
}

impl fmt::Display for Transition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Complete => "be completed",
            Self::Begin => "begin an operation",
            Self::End => "end an operation",
            Self::Crash => "crash",
            Self::Recover => "be recovered",
            Self::Suspend => "be suspended",
            Self::Resume => "be resumed",
            Self::Destroy => "be removed",
        })
    }
}

fn instead(from: Lifecycle) -> String {
    let legal: Vec<String> = from.actions().map(|action| action.to_string()).collect();
    match legal.as_slice() {
        [] => String::new(),
        legal => format!(" (it can {})", legal.join(", ")),
    }
}

/// What is kept of a sandbox's life.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Life {
    /// Its last suspension, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspension: Option<Suspension>,
    /// What it has to do with the commands of `setup:`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub setup: Option<Setup>,
    /// The digest of the `environment:` that it was found to have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<Digest>,
}

/// That a sandbox was suspended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspension {
    /// Since when.
    pub since: Timestamp,
    /// Why; empty when nobody said.
    pub reason: String,
    /// The process 1 of what was frozen; nothing when nothing ran.
    #[serde(default)]
    pub process: Option<u32>,
    /// Processes that had been stopped before, by a shell or a debugger, and are to stay so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stopped_before: Vec<u32>,
    /// When it was resumed.
    #[serde(default)]
    pub resumed: Option<Timestamp>,
}

impl Life {
    /// Its suspension, when that is not over.
    #[must_use]
    pub fn suspended(&self) -> Option<&Suspension> {
        self.suspension.as_ref().filter(|suspension| suspension.resumed.is_none())
    }

    /// The tree with which it began, when that is not its bare base.
    #[must_use]
    pub fn origin(&self) -> Option<&Tree> {
        match &self.setup {
            Some(Setup::Made { origin, .. } | Setup::From { origin, .. }) => Some(origin),
            _ => None,
        }
    }
}

/// What a sandbox has to do with the commands of `setup:`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Setup {
    /// They run in it, and others are to begin where it ends.
    Making {
        /// What they are, and on what.
        digest: Digest,
    },
    /// They have run in it: others begin where it stands.
    Made {
        /// What they were, and on what.
        digest: Digest,
        /// The tree that they left.
        origin: Tree,
    },
    /// It began where such a one ended.
    From {
        /// What they were, and on what.
        digest: Digest,
        /// The tree with which it began; what was committed since is in the base, too.
        origin: Tree,
        /// The last commits that moved the origin, the newest last.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        moves: Vec<OriginMove>,
    },
}

/// An operation after which a sandbox's origin is another tree: a commit, or a new setup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginMove {
    /// The operation.
    pub operation: OperationId,
    /// The origin before it, and after it was undone.
    pub before: Tree,
    /// The origin after it, and after it was brought back.
    pub after: Tree,
}

/// How many of them are remembered for their undo.
const MOST_MOVES: usize = 256;

impl Setup {
    /// What the commands are, and on what they run.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        match self {
            Self::Making { digest } | Self::Made { digest, .. } | Self::From { digest, .. } => {
                digest
            }
        }
    }

    /// After the commit `operation`, the origin is `after`.
    #[must_use]
    pub fn committed(&self, operation: OperationId, after: Tree) -> Self {
        match self {
            Self::From { digest, origin, moves } => {
                let mut moves = moves.clone();
                moves.push(OriginMove { operation, before: origin.clone(), after: after.clone() });
                let from = moves.len().saturating_sub(MOST_MOVES);
                let moves = moves.split_off(from);
                Self::From { digest: *digest, origin: after, moves }
            }
            other => other.clone(),
        }
    }

    /// The same, with the moves that `earlier` knew, and one more.
    #[must_use]
    pub fn remembering(self, earlier: Option<&Self>, last: OriginMove) -> Self {
        match self {
            Self::From { digest, origin, moves } => {
                let known = match earlier {
                    Some(Self::From { moves, .. }) => moves.as_slice(),
                    _ => &[],
                };
                let mut moves: Vec<OriginMove> = known.iter().cloned().chain(moves).collect();
                moves.push(last);
                let moves = moves.split_off(moves.len().saturating_sub(MOST_MOVES));
                Self::From { digest, origin, moves }
            }
            other => other,
        }
    }

    /// After the operation `operation` was undone, or brought back, the origin is as it was then;
    /// nothing when the commit did not move it.
    #[must_use]
    pub fn moved(&self, operation: OperationId, is_undone: bool) -> Option<Self> {
        let Self::From { digest, moves, .. } = self else { return None };
        let known = moves.iter().find(|one| one.operation == operation)?;
        let origin = if is_undone { known.before.clone() } else { known.after.clone() };
        Some(Self::From { digest: *digest, origin, moves: moves.clone() })
    }
}

/// What becomes of a [`Life`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LifeChange {
    /// It is suspended. What the store holds must be `before`: of two who try at once, one does.
    Suspend {
        /// The suspension that was seen.
        before: Option<Suspension>,
        /// See [`Suspension::reason`].
        reason: String,
        /// See [`Suspension::process`].
        process: Option<u32>,
        /// See [`Suspension::stopped_before`].
        stopped_before: Vec<u32>,
    },
    /// It is resumed.
    Resume {
        /// The suspension that was seen.
        before: Suspension,
    },
    /// The suspension did not come about.
    Forget,
    /// See [`Life::setup`].
    Setup(Option<Setup>),
    /// See [`Life::environment`].
    Environment(Option<Digest>),
}

impl LifeChange {
    /// What `life` is after it, `now`; nothing when it is not what was seen.
    #[must_use]
    pub fn of(&self, life: &Life, now: Timestamp) -> Option<Life> {
        let mut after = life.clone();
        match self {
            Self::Suspend { before, reason, process, stopped_before } => {
                if life.suspension != *before {
                    return None;
                }
                after.suspension = Some(Suspension {
                    since: now,
                    reason: reason.clone(),
                    process: *process,
                    stopped_before: stopped_before.clone(),
                    resumed: None,
                });
            }
            Self::Resume { before } => {
                if life.suspension.as_ref() != Some(before) {
                    return None;
                }
                after.suspension = Some(Suspension { resumed: Some(now), ..before.clone() });
            }
            Self::Forget => after.suspension = None,
            Self::Setup(setup) => after.setup.clone_from(setup),
            Self::Environment(digest) => after.environment.clone_from(digest),
        }
        Some(after)
    }
}

/// What is seen of a sandbox's processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// A process holds the sandbox, or one that was killed has left processes in it.
    pub held: bool,
    /// Whether what runs in it is frozen; nothing when nothing runs in it.
    pub frozen: Option<bool>,
}

/// In which state a sandbox is: what is seen counts more than what is written.
#[must_use]
pub fn lifecycle(sandbox: &Sandbox, seen: Seen) -> Lifecycle {
    let life = &sandbox.life;
    if seen.frozen == Some(true) || life.suspended().is_some() && seen.frozen.is_none() {
        return Lifecycle::Suspended;
    }
    let making = matches!(life.setup, Some(Setup::Making { .. }));
    let resumed = life.suspension.as_ref().and_then(|suspension| suspension.resumed);
    match (sandbox.open_operation.is_some(), seen.held) {
        _ if making && seen.held => Lifecycle::Init,
        _ if making => Lifecycle::Failed,
        (true, false) => Lifecycle::Failed,
        _ if resumed.is_some_and(|at| at >= sandbox.used) => Lifecycle::Resumed,
        (true, true) => Lifecycle::Running,
        (false, _) if seen.frozen.is_some() => Lifecycle::Running,
        (false, _) => Lifecycle::Ready,
    }
}

/// A change of state, as the event log tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifecycleChanged {
    /// The state before.
    pub from: Lifecycle,
    /// The state now.
    pub to: Lifecycle,
    /// Why; empty when nobody said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The process 1 that is frozen or goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<u32>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_state() -> impl Strategy<Value = Lifecycle> {
        proptest::sample::select(Lifecycle::ALL.to_vec())
    }

    fn any_action() -> impl Strategy<Value = Transition> {
        proptest::sample::select(Transition::ALL.to_vec())
    }

    #[test]
    fn every_pair_is_in_the_table_or_a_clear_error() {
        let mut legal = 0;
        for from in Lifecycle::ALL {
            for action in Transition::ALL {
                match from.after(action) {
                    Ok(to) => {
                        legal += 1;
                        assert!(TRANSITIONS.contains(&(from, action, to)));
                    }
                    Err(error) => {
                        assert_eq!(error, IllegalTransition { from, action });
                        let text = error.to_string();
                        assert!(text.contains(from.word()), "{text}");
                        assert!(text.contains(&action.to_string()), "{text}");
                        for other in from.actions() {
                            assert!(text.contains(&other.to_string()), "{text}");
                        }
                    }
                }
            }
        }
        // None stands twice, and none is out of reach.
        assert_eq!(legal, TRANSITIONS.len());
        assert_eq!(Lifecycle::Destroyed.actions().count(), 0, "what is gone stays so");
    }

    #[test]
    fn a_suspended_sandbox_is_only_resumed_or_removed() {
        let legal: Vec<Transition> = Lifecycle::Suspended.actions().collect();
        assert_eq!(legal, [Transition::Resume, Transition::Destroy]);
    }

    proptest! {
        #[test]
        fn no_walk_leaves_the_table_or_comes_back_from_the_dead(
            start in any_state(), walk in prop::collection::vec(any_action(), 0..30)
        ) {
            let mut at = start;
            for action in walk {
                let before = at;
                match at.after(action) {
                    Ok(next) => at = next,
                    Err(error) => prop_assert_eq!(error.from, at),
                }
                prop_assert!(before != Lifecycle::Destroyed || at == Lifecycle::Destroyed);
                prop_assert!(at != Lifecycle::Init || before == Lifecycle::Init);
            }
        }

        #[test]
        fn of_two_changes_that_saw_the_same_one_takes_place(reason in "[a-z]{0,9}", now in 1..9i64) {
            let suspend = |before: Option<Suspension>| LifeChange::Suspend {
                before, reason: reason.clone(), process: None, stopped_before: Vec::new(),
            };
            let idle = Life::default();
            let held = suspend(None).of(&idle, Timestamp(now)).expect("it was idle");
            prop_assert!(held.suspended().is_some());
            prop_assert_eq!(suspend(None).of(&held, Timestamp(now)), None);
            let seen = held.suspension.clone().expect("suspended");
            let resume = LifeChange::Resume { before: seen };
            let free = resume.of(&held, Timestamp(now + 1)).expect("it was suspended");
            prop_assert!(free.suspended().is_none());
            prop_assert_eq!(resume.of(&free, Timestamp(now + 2)), None);
        }
    }
}

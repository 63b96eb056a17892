//! What a sandbox should be after each operation.

/// All that a user can see of a sandbox: each part as a text that can be compared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Visible {
    /// The real folder.
    pub(super) real: String,
    /// The workspace.
    pub(super) view: String,
    /// The state's keys and values.
    pub(super) state: String,
}

/// An operation that the soak asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Operation {
    /// A shell script.
    Run(String),
    Commit,
    Discard,
    Undo,
    Redo,
    Snapshot,
    /// To the remembered snapshot of this index.
    Rollback(usize),
    /// Writes a state key.
    Put(String, String),
}

impl Operation {
    /// The journal's word for it.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Run(_) => "run",
            Self::Commit => "commit",
            Self::Discard => "discard",
            Self::Undo => "undo",
            Self::Redo => "redo",
            Self::Snapshot => "snapshot",
            Self::Rollback(_) => "rollback",
            Self::Put(..) => "state",
        }
    }
}

/// The history as the model remembers it.
#[derive(Debug, Default)]
pub(super) struct Model {
    /// What undo would return to, last of all the nearest.
    done: Vec<Visible>,
    /// What redo would return to.
    undone: Vec<Visible>,
    /// Snapshots by id, with what they hold.
    pub(super) snapshots: Vec<(String, Visible)>,
}

impl Model {
    /// What is visible once `operation` has taken effect on `now`; nothing when it has nothing to
    /// do and must be refused or do nothing. `ran` is the workspace after the script of a run.
    pub(super) fn expect(
        &self,
        operation: &Operation,
        now: &Visible,
        ran: Option<String>,
    ) -> Option<Visible> {
        let now = now.clone();
        match operation {
            Operation::Run(_) => Some(Visible { view: ran?, ..now }),
            Operation::Commit if now.view == now.real => None,
            Operation::Commit => Some(Visible { real: now.view.clone(), ..now }),
            Operation::Discard if now.view == now.real => None,
            Operation::Discard => Some(Visible { view: now.real.clone(), ..now }),
            Operation::Undo => self.done.last().cloned(),
            Operation::Redo => self.undone.last().cloned(),
            Operation::Snapshot => Some(now),
            Operation::Rollback(index) => {
                let (_, then) = self.snapshots.get(*index)?;
                Some(Visible { view: then.view.clone(), state: then.state.clone(), ..now })
            }
            Operation::Put(key, value) => {
                let line = format!("{key}={value}");
                let mut lines: Vec<&str> =
                    now.state.lines().filter(|l| !l.starts_with(&format!("{key}="))).collect();
                lines.push(&line);
                lines.sort_unstable();
                Some(Visible { state: lines.join("\n"), ..now })
            }
        }
    }

    /// Remembers that `operation` took effect on what was visible `before`.
    pub(super) fn took_effect(&mut self, operation: &Operation, before: Visible) {
        match operation {
            Operation::Undo => {
                self.done.pop();
                self.undone.push(before);
            }
            Operation::Redo => {
                self.undone.pop();
                self.done.push(before);
            }
            Operation::Snapshot => {}
            _ => {
                self.done.push(before);
                self.undone.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visible(real: &str, view: &str) -> Visible {
        Visible { real: real.to_owned(), view: view.to_owned(), state: String::new() }
    }

    #[test]
    fn a_commit_and_its_undo() {
        let mut model = Model::default();
        let now = visible("a", "b");
        let after = model.expect(&Operation::Commit, &now, None).unwrap();
        assert_eq!(after, visible("b", "b"));
        model.took_effect(&Operation::Commit, now.clone());
        assert_eq!(model.expect(&Operation::Undo, &after, None), Some(now.clone()));
        model.took_effect(&Operation::Undo, after.clone());
        assert_eq!(model.expect(&Operation::Undo, &now, None), None);
        assert_eq!(model.expect(&Operation::Redo, &now, None), Some(after));
    }

    #[test]
    fn nothing_to_commit_or_discard() {
        let (model, now) = (Model::default(), visible("a", "a"));
        assert_eq!(model.expect(&Operation::Commit, &now, None), None);
        assert_eq!(model.expect(&Operation::Discard, &now, None), None);
    }

    #[test]
    fn state_is_sorted_and_replaced() {
        let model = Model::default();
        let put = |key: &str, value: &str| Operation::Put(key.to_owned(), value.to_owned());
        let now = model.expect(&put("b", "1"), &Visible::default(), None).unwrap();
        let now = model.expect(&put("a", "2"), &now, None).unwrap();
        let now = model.expect(&put("b", "3"), &now, None).unwrap();
        assert_eq!(now.state, "a=2\nb=3");
    }
}

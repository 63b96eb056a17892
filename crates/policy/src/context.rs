//! Where and for whom an operation is judged.

use ctrlz_core::isolation::Network;
use ctrlz_core::limits::Limits;

use crate::history::History;

/// Where and for whom an operation is judged. Paths are absolute and as the operation sees them.
#[derive(Debug, Clone, PartialEq)]
pub struct Context {
    /// The folder that the operation may change: deleting below it is work.
    pub workspace: Vec<u8>,
    /// The folder that it starts in.
    pub directory: Vec<u8>,
    /// The home folder of whoever runs it.
    pub home: Vec<u8>,
    /// Whether root runs it.
    pub by_root: bool,
    /// The sandbox around it; `None` when there is none, or nobody knows.
    pub surroundings: Option<Surroundings>,
    /// What happened in that sandbox before.
    pub history: History,
}

/// The sandbox around an operation: what it holds back, and what it could take back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Surroundings {
    /// The network that its processes see.
    pub network: Network,
    /// What lies around the workspace.
    pub outside: Outside,
    /// The ceilings.
    pub limits: Limits,
    /// Whether, in doubt, an operation counts as the riskier one (the profile's
    /// `validation_level: strict`).
    pub strict: bool,
}

/// What happens to files outside the workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outside {
    /// They are the host's, and can only be read.
    ReadOnly,
    /// The whole root is the sandbox's own, and undo takes back what is changed in it.
    CopyOnWrite,
}

impl Default for Context {
    fn default() -> Self {
        Self {
            workspace: b"/home/user/project".to_vec(),
            directory: b"/home/user/project".to_vec(),
            home: b"/home/user".to_vec(),
            by_root: false,
            surroundings: None,
            history: History::default(),
        }
    }
}

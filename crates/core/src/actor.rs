//! Who acts.

use serde::{Deserialize, Serialize};

/// What kind of somebody acts, in the words of the CloudEvents authentication context extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    /// A user of this host; the id is the user's number.
    User,
    /// A client of the service; the id is its key's name.
    ApiKey,
    /// ctrlz itself: its background tasks and its recovery; the id is the task's name.
    System,
}

/// Who asked for something.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Actor {
    /// What kind.
    pub kind: ActorKind,
    /// Which one.
    pub id: String,
}

impl Actor {
    /// The user with that number.
    #[must_use]
    pub fn user(uid: u32) -> Self {
        Self { kind: ActorKind::User, id: uid.to_string() }
    }

    /// A background task.
    #[must_use]
    pub fn system(task: &str) -> Self {
        Self { kind: ActorKind::System, id: task.to_owned() }
    }
}

//! What a client asked for under a key of its own, and what it was answered.

use serde_json::{Value, json};

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// A command that adds the key to the file `log`, twice.
    Run,
    /// A file of that name with the key in it.
    Write,
    /// A value of that name with the key in it.
    State,
    /// A snapshot with the key as its message.
    Snapshot,
    /// The last of them is taken back.
    Undo,
}

/// What was answered in the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answered {
    /// It was done; under that operation, or as that snapshot, where the answer names one.
    Done(Option<String>),
    /// It was refused, or failed: it was not done.
    Not(String),
    /// Nobody can tell: the service was killed in the middle of it, and says so, or said nothing.
    Unknown,
}

/// One thing that was asked for.
#[derive(Debug, Clone)]
pub(super) struct Deed {
    pub(super) key: String,
    pub(super) what: What,
    pub(super) answered: Answered,
    /// Status and body of the answer, where the same request would be answered so again.
    pub(super) kept: Option<(u16, Vec<u8>)>,
}

/// A request that can be sent again and again.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) method: &'static str,
    pub(super) path: String,
    pub(super) body: Vec<u8>,
}

impl What {
    /// The request for it.
    pub(super) fn request(self, sandbox: &str, key: &str) -> Sent {
        let post = |path: &str, body: Value| Sent {
            method: "POST",
            path: format!("/v1/sandboxes/{sandbox}/{path}"),
            body: body.to_string().into_bytes(),
        };
        let put = |path: String| Sent {
            method: "PUT",
            path: format!("/v1/sandboxes/{sandbox}/{path}"),
            body: key.as_bytes().to_owned(),
        };
        match self {
            Self::Run => {
                let script = format!("echo {key} >> log; sleep 0.02; echo {key} >> log");
                post("operations", json!({ "script": script }))
            }
            Self::Write => put(format!("files?path={key}")),
            Self::State => put(format!("state/{key}")),
            Self::Snapshot => post("snapshots", json!({ "message": key })),
            Self::Undo => post("undo", json!({})),
        }
    }

    /// How the journal calls it.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Write => "write",
            Self::State => "state",
            Self::Snapshot => "snapshot",
            Self::Undo => "undo",
        }
    }
}

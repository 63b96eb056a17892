//! All that a user has at one moment.

use serde_json::Value;

use crate::support::{Scene, Tree};

/// The real folder, the sandbox's changes with their contents, and its state.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Moment {
    live: Tree,
    inside: Vec<String>,
    state: Vec<String>,
}

impl Moment {
    #[track_caller]
    pub(super) fn of(scene: &Scene) -> Self {
        let diff = scene.json(&["diff"]);
        let changes = diff["changes"].as_array().expect("an array");
        let mut inside: Vec<String> = changes.iter().map(described).collect();
        inside.extend(scene.ok(&["diff", "-p"]).lines().map(str::to_owned));
        let listed = scene.json(&["state", "list"]);
        let state = listed["entries"].as_array().expect("an array").iter();
        let state = state
            .filter(|entry| entry["deleted"] != true)
            .map(|entry| {
                let key = entry["key"].as_str().expect("a key");
                format!("{key}={}", scene.ok(&["state", "get", key]))
            })
            .collect();
        Self { live: scene.live(), inside, state }
    }

    /// How `self` differs from `other`, in words.
    pub(super) fn difference(&self, other: &Self) -> String {
        let mut lines = self.live.difference(&other.live);
        for (what, a, b) in
            [("sandbox", &self.inside, &other.inside), ("state", &self.state, &other.state)]
        {
            if a != b {
                lines.push(format!("{what}: {a:#?} | {b:#?}"));
            }
        }
        lines.join("\n")
    }
}

/// A change without what differs from one run of a script to the next: the times of folders.
fn described(change: &Value) -> String {
    let side = |side: &Value| {
        let folder = side["file_type"] == "directory";
        let time = if folder { Value::Null } else { side["mtime"].clone() };
        format!("{} {} {} {time}", side["file_type"], side["mode"], side["size"])
    };
    let (kind, path) = (&change["kind"], &change["path"]);
    format!("{kind} {path} {} | {}", side(&change["before"]), side(&change["after"]))
}

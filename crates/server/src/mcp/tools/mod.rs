//! The tools, by what they are about.

pub(super) mod files;
pub(super) mod history;
pub(super) mod run;
pub(super) mod sandboxes;
pub(super) mod snapshots;

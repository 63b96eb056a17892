//! What the command line sets.

use std::ffi::OsString;
use std::path::PathBuf;

use ctrlz_core::driver::Isolation;
use ctrlz_core::isolation::Network;
use ctrlz_core::size::ByteSize;
use ctrlz_core::span::Span;
use ctrlz_core::workspace_choice::WorkspaceChoice;

use crate::capability::Capability;
use crate::entry::{Source, Sourced};
use crate::env_pattern::EnvPattern;
use crate::limit::Limit;
use crate::profile::Profile;
use crate::settings::{Document, Given};

/// What the command line sets; what is `None` or empty was not given. It overrides every file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Flags {
    /// `--profile`
    pub profile: Option<Profile>,
    /// `--net`
    pub network: Option<Network>,
    /// `--isolation`
    pub isolation: Option<Isolation>,
    /// `--workspace`
    pub workspace: Option<WorkspaceChoice>,
    /// `--timeout`
    pub timeout: Option<Limit<Span>>,
    /// `--memory`
    pub memory: Option<Limit<ByteSize>>,
    /// `--cpus`: processors.
    pub cpus: Option<Limit<f64>>,
    /// `--pids`
    pub pids: Option<Limit<u32>>,
    /// `--disk`
    pub disk: Option<Limit<ByteSize>>,
    /// `--open-files`
    pub open_files: Option<Limit<u64>>,
    /// `--max-output`
    pub max_output: Option<Limit<ByteSize>>,
    /// `--snapshot`, `--no-snapshot`
    pub snapshot: Option<bool>,
    /// `--commit`, `--no-commit`
    pub commit: Option<bool>,
    /// `--hide`: absolute paths to hide as well.
    pub hidden: Vec<PathBuf>,
    /// `--show`: absolute paths to hide no longer; the very paths that are hidden.
    pub shown: Vec<PathBuf>,
    /// `--env NAME=VALUE`
    pub env: Vec<(OsString, OsString)>,
    /// `--env-pass`: variables to pass, whatever the files say.
    pub env_pass: Vec<EnvPattern>,
    /// `--env-deny`: variables not to pass.
    pub env_deny: Vec<EnvPattern>,
    /// `--cap-add`: capabilities to keep as well.
    pub cap_add: Vec<Capability>,
}

impl Flags {
    /// The flags in the form of a file's content.
    pub(crate) fn document(&self) -> Document {
        fn from<T: Clone>(value: &T, flag: &'static str) -> Sourced<T> {
            Sourced { value: value.clone(), source: Source::Flag(flag) }
        }
        fn limit<T: Copy>(
            value: Option<Limit<T>>,
            flag: &'static str,
        ) -> Option<Sourced<Option<T>>> {
            value.map(|limit| from(&limit.into(), flag))
        }
        fn list<T: Clone>(values: &[T], flag: &'static str) -> Vec<Sourced<T>> {
            values.iter().map(|value| from(value, flag)).collect()
        }
        let switch = |value: Option<bool>, on: &'static str, off: &'static str| {
            value.map(|value| from(&value, if value { on } else { off }))
        };
        Document {
            profile: self.profile.map(|profile| from(&profile, "--profile")),
            run: Given {
                network: self.network.map(|network| from(&network, "--net")),
                isolation: self.isolation.as_ref().map(|isolation| from(isolation, "--isolation")),
                workspace: self.workspace.map(|workspace| from(&workspace, "--workspace")),
                timeout: limit(self.timeout, "--timeout"),
                memory: limit(self.memory, "--memory"),
                cpus: limit(self.cpus, "--cpus"),
                pids: limit(self.pids, "--pids"),
                disk: limit(self.disk, "--disk"),
                open_files: limit(self.open_files, "--open-files"),
                max_output: limit(self.max_output, "--max-output"),
                snapshot: switch(self.snapshot, "--snapshot", "--no-snapshot"),
                commit: switch(self.commit, "--commit", "--no-commit"),
                ..Given::default()
            },
            hidden: list(&self.hidden, "--hide"),
            shown: list(&self.shown, "--show"),
            env: self
                .env
                .iter()
                .map(|(name, value)| (name.clone(), from(value, "--env")))
                .collect(),
            env_deny: list(&self.env_deny, "--env-deny"),
            env_pass: list(&self.env_pass, "--env-pass"),
            cap_add: Some(list(&self.cap_add, "--cap-add")),
            ..Document::default()
        }
    }
}

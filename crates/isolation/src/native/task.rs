//! What process 1 is to do, in the form in which the launcher sends it.
//!
//! Process 1 is cloned before the launch is known, so that it makes namespaces and mounts while
//! the launcher reads its store.

use std::ffi::OsString;
use std::path::PathBuf;

use ctrlz_core::isolation::{Launch, RootView};
use ctrlz_core::size::ByteSize;
use ctrlz_core::workspace::WorkspaceMount;

use super::delegate::{Delegated, Keeping};
use super::inside::Rlimits;
use super::protection::Protections;
use crate::bytes::{Reader, Writer};

/// The parts of a [`Launch`] that concern process 1, and what the launcher made of the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Task {
    pub(super) root: RootView,
    pub(super) workspace: WorkspaceMount,
    pub(super) hidden: Vec<PathBuf>,
    /// Socket files of the host on which something listens, when process 1 began long ago.
    pub(super) sockets: Option<Vec<PathBuf>>,
    pub(super) workdir: PathBuf,
    pub(super) argv: Vec<OsString>,
    pub(super) env: Vec<(OsString, OsString)>,
    pub(super) keep_capabilities: Vec<String>,
    /// Limits that process 1 has to hold by itself, since no cgroup does.
    pub(super) rlimits: Rlimits,
    /// Processors are limited by affinity, which the command must not change.
    pub(super) fixed_processors: bool,
    /// What is left to another program.
    pub(super) delegated: Option<Delegated>,
}

impl Task {
    pub(super) fn new(
        launch: Launch,
        sockets: Option<Vec<PathBuf>>,
        rlimits: Rlimits,
        fixed_processors: bool,
        delegated: Option<Delegated>,
    ) -> Self {
        Self {
            root: launch.root,
            workspace: launch.workspace,
            hidden: launch.hidden,
            sockets,
            workdir: launch.workdir,
            argv: launch.argv,
            env: launch.env,
            keep_capabilities: launch.keep_capabilities,
            rlimits,
            fixed_processors,
            delegated,
        }
    }

    /// As bytes.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer(Vec::with_capacity(4096));
        out.root(&self.root).workspace(&self.workspace);
        out.paths(&self.hidden).path(&self.workdir);
        out.number(self.sockets.is_some().into())
            .paths(self.sockets.as_deref().unwrap_or_default());
        out.texts(&self.argv).pairs(&self.env).names(&self.keep_capabilities);
        let limits = &self.rlimits;
        out.maybe(limits.open_files).maybe(limits.processes);
        out.maybe(limits.data.map(|size| size.0)).maybe(limits.file_size.map(|size| size.0));
        out.number(self.fixed_processors.into());
        out.number(self.delegated.is_some().into());
        if let Some(delegated) = &self.delegated {
            out.texts(&delegated.argv).bytes(&delegated.config);
            out.number(delegated.detaches.into())
                .number(delegated.sees_groups.into())
                .number(delegated.joins_processes.into());
            out.number(delegated.protections.bits().into());
            out.number(delegated.keeping.is_some().into());
            if let Some(keeping) = &delegated.keeping {
                out.texts(&keeping.halt).texts(&keeping.write).texts(&keeping.go_on);
                out.bytes(&keeping.remembered);
            }
        }
        out.0
    }

    /// `None` for what [`Self::to_bytes`] did not write.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut from = Reader(bytes);
        let task = Self {
            root: from.root()?,
            workspace: from.workspace()?,
            hidden: from.paths()?,
            workdir: from.path()?,
            sockets: {
                let (is_some, sockets) = (from.flag()?, from.paths()?);
                is_some.then_some(sockets)
            },
            argv: from.texts()?,
            env: from.pairs()?,
            keep_capabilities: from.names()?,
            rlimits: Rlimits {
                open_files: from.maybe()?,
                processes: from.maybe()?,
                data: from.maybe()?.map(ByteSize),
                file_size: from.maybe()?.map(ByteSize),
            },
            fixed_processors: from.flag()?,
            delegated: match from.flag()? {
                false => None,
                true => Some(Delegated {
                    argv: from.texts()?,
                    config: from.bytes()?.to_vec(),
                    detaches: from.flag()?,
                    sees_groups: from.flag()?,
                    joins_processes: from.flag()?,
                    protections: Protections::from_bits(from.number()?.try_into().ok()?),
                    keeping: match from.flag()? {
                        false => None,
                        true => Some(Keeping {
                            halt: from.texts()?,
                            write: from.texts()?,
                            go_on: from.texts()?,
                            remembered: from.bytes()?.to_vec(),
                        }),
                    },
                }),
            },
        };
        from.0.is_empty().then_some(task)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    #[test]
    fn a_task_arrives_as_sent() {
        let odd = OsString::from_vec(b"a\xff b\n".to_vec());
        let mut task = Task {
            root: RootView::Host { workspace_at: PathBuf::from(&odd) },
            workspace: WorkspaceMount::Overlay {
                lower_dirs: vec!["/l1".into(), "/l2".into()],
                upper_dir: "/u".into(),
                work_dir: "/w".into(),
            },
            hidden: vec!["/h".into()],
            sockets: Some(vec!["/run/s".into()]),
            workdir: "/".into(),
            argv: vec!["sh".into(), odd.clone()],
            env: vec![("A".into(), odd), ("B".into(), OsString::new())],
            keep_capabilities: vec!["CHOWN".to_owned()],
            rlimits: Rlimits { open_files: Some(7), data: Some(ByteSize(9)), ..Rlimits::default() },
            fixed_processors: true,
            delegated: Some(Delegated {
                argv: vec!["/bin/runtime".into()],
                config: b"{}".to_vec(),
                detaches: true,
                sees_groups: true,
                joins_processes: false,
                protections: Protections::all(),
                keeping: Some(Keeping {
                    halt: vec!["halt".into()],
                    write: vec!["write".into(), Keeping::FOLDER.into()],
                    go_on: vec!["go".into(), "on".into()],
                    remembered: b"{}".to_vec(),
                }),
            }),
        };
        assert_eq!(Task::from_bytes(&task.to_bytes()), Some(task.clone()));
        task.root = RootView::Workspace { host_mounts: true };
        task.sockets = None;
        task.delegated = None;
        task.workspace = WorkspaceMount::Bind { source: "/s".into() };
        assert_eq!(Task::from_bytes(&task.to_bytes()), Some(task.clone()));
        let reference = "localhost:5000/a@sha256:b".to_owned();
        task.root = RootView::Image { reference, workspace_at: "/w".into() };
        let bytes = task.to_bytes();
        assert_eq!(Task::from_bytes(&bytes), Some(task));
        for length in 0..bytes.len() {
            assert_eq!(Task::from_bytes(&bytes[..length]), None, "{length}");
        }
    }
}

//! What process 1 is to do, in the form in which the launcher sends it.
//!
//! Process 1 is cloned before the launch is known, so that it makes namespaces and mounts while
//! the launcher reads its store.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use ctrlz_core::isolation::{Launch, RootView};
use ctrlz_core::size::ByteSize;
use ctrlz_core::workspace::WorkspaceMount;

use super::inside::Rlimits;

/// The parts of a [`Launch`] that concern process 1, and what the launcher made of the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Task {
    pub(super) root: RootView,
    pub(super) workspace: WorkspaceMount,
    pub(super) hidden: Vec<PathBuf>,
    pub(super) workdir: PathBuf,
    pub(super) argv: Vec<OsString>,
    pub(super) env: Vec<(OsString, OsString)>,
    pub(super) keep_capabilities: Vec<String>,
    /// Limits that process 1 has to hold by itself, since no cgroup does.
    pub(super) rlimits: Rlimits,
    /// Processors are limited by affinity, which the command must not change.
    pub(super) fixed_processors: bool,
}

impl Task {
    pub(super) fn new(launch: Launch, rlimits: Rlimits, fixed_processors: bool) -> Self {
        Self {
            root: launch.root,
            workspace: launch.workspace,
            hidden: launch.hidden,
            workdir: launch.workdir,
            argv: launch.argv,
            env: launch.env,
            keep_capabilities: launch.keep_capabilities,
            rlimits,
            fixed_processors,
        }
    }

    /// As bytes. Both ends are the same program, so there is no version.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer(Vec::with_capacity(4096));
        match &self.root {
            RootView::Host { workspace_at } => out.number(0).path(workspace_at),
            RootView::Workspace { host_mounts } => out.number(1).number((*host_mounts).into()),
        };
        match &self.workspace {
            WorkspaceMount::Overlay { lower_dirs, upper_dir, work_dir } => {
                out.number(0).paths(lower_dirs).path(upper_dir).path(work_dir)
            }
            WorkspaceMount::Bind { source } => out.number(1).path(source),
        };
        out.paths(&self.hidden).path(&self.workdir);
        out.number(self.argv.len() as u64);
        for word in &self.argv {
            out.bytes(word.as_bytes());
        }
        out.number(self.env.len() as u64);
        for (key, value) in &self.env {
            out.bytes(key.as_bytes()).bytes(value.as_bytes());
        }
        out.number(self.keep_capabilities.len() as u64);
        for name in &self.keep_capabilities {
            out.bytes(name.as_bytes());
        }
        let limits = &self.rlimits;
        out.maybe(limits.open_files).maybe(limits.processes);
        out.maybe(limits.data.map(|size| size.0)).maybe(limits.file_size.map(|size| size.0));
        out.number(self.fixed_processors.into());
        out.0
    }

    /// `None` for what [`Self::to_bytes`] did not write.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut from = Reader(bytes);
        let task = Self {
            root: match from.number()? {
                0 => RootView::Host { workspace_at: from.path()? },
                1 => RootView::Workspace { host_mounts: from.number()? == 1 },
                _ => return None,
            },
            workspace: match from.number()? {
                0 => WorkspaceMount::Overlay {
                    lower_dirs: from.list(Reader::path)?,
                    upper_dir: from.path()?,
                    work_dir: from.path()?,
                },
                1 => WorkspaceMount::Bind { source: from.path()? },
                _ => return None,
            },
            hidden: from.list(Reader::path)?,
            workdir: from.path()?,
            argv: from.list(Reader::text)?,
            env: from.list(|from| Some((from.text()?, from.text()?)))?,
            keep_capabilities: from.list(|from| from.text()?.into_string().ok())?,
            rlimits: Rlimits {
                open_files: from.maybe()?,
                processes: from.maybe()?,
                data: from.maybe()?.map(ByteSize),
                file_size: from.maybe()?.map(ByteSize),
            },
            fixed_processors: from.number()? == 1,
        };
        from.0.is_empty().then_some(task)
    }
}

struct Writer(Vec<u8>);

impl Writer {
    fn number(&mut self, number: u64) -> &mut Self {
        self.0.extend_from_slice(&number.to_ne_bytes());
        self
    }

    fn maybe(&mut self, number: Option<u64>) -> &mut Self {
        self.number(number.is_some().into()).number(number.unwrap_or(0))
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    fn path(&mut self, path: &Path) -> &mut Self {
        self.bytes(path.as_os_str().as_bytes())
    }

    fn paths(&mut self, paths: &[PathBuf]) -> &mut Self {
        self.number(paths.len() as u64);
        for path in paths {
            self.path(path);
        }
        self
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn number(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_ne_bytes(*number))
    }

    #[allow(clippy::option_option, reason = "the outer one says whether it could be read")]
    fn maybe(&mut self) -> Option<Option<u64>> {
        let (is_some, number) = (self.number()?, self.number()?);
        Some((is_some == 1).then_some(number))
    }

    fn text(&mut self) -> Option<OsString> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(OsString::from_vec(bytes.to_vec()))
    }

    fn path(&mut self) -> Option<PathBuf> {
        self.text().map(PathBuf::from)
    }

    fn list<T>(&mut self, mut one: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        (0..self.number()?).map(|_| one(self)).collect()
    }
}

#[cfg(test)]
mod tests {
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
            workdir: "/".into(),
            argv: vec!["sh".into(), odd.clone()],
            env: vec![("A".into(), odd), ("B".into(), OsString::new())],
            keep_capabilities: vec!["CHOWN".to_owned()],
            rlimits: Rlimits { open_files: Some(7), data: Some(ByteSize(9)), ..Rlimits::default() },
            fixed_processors: true,
        };
        assert_eq!(Task::from_bytes(&task.to_bytes()), Some(task.clone()));
        task.root = RootView::Workspace { host_mounts: true };
        task.workspace = WorkspaceMount::Bind { source: "/s".into() };
        let bytes = task.to_bytes();
        assert_eq!(Task::from_bytes(&bytes), Some(task));
        for length in 0..bytes.len() {
            assert_eq!(Task::from_bytes(&bytes[..length]), None, "{length}");
        }
    }
}

//! Values as bytes, for messages between processes of this program. Both ends are the same program,
//! so there is no version, and numbers are as the machine has them. Names of files are any bytes.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use ctrlz_core::isolation::RootView;
use ctrlz_core::workspace::WorkspaceMount;

/// Writes values, one after the other.
#[derive(Debug)]
pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    pub(crate) fn number(&mut self, number: u64) -> &mut Self {
        self.0.extend_from_slice(&number.to_ne_bytes());
        self
    }

    pub(crate) fn maybe(&mut self, number: Option<u64>) -> &mut Self {
        self.number(number.is_some().into()).number(number.unwrap_or(0))
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    pub(crate) fn path(&mut self, path: &Path) -> &mut Self {
        self.bytes(path.as_os_str().as_bytes())
    }

    pub(crate) fn paths(&mut self, paths: &[PathBuf]) -> &mut Self {
        self.list(paths, |out, path| {
            out.path(path);
        })
    }

    pub(crate) fn texts(&mut self, texts: &[OsString]) -> &mut Self {
        self.list(texts, |out, text| {
            out.bytes(text.as_bytes());
        })
    }

    pub(crate) fn names(&mut self, names: &[String]) -> &mut Self {
        self.list(names, |out, name| {
            out.bytes(name.as_bytes());
        })
    }

    pub(crate) fn pairs(&mut self, pairs: &[(OsString, OsString)]) -> &mut Self {
        self.list(pairs, |out, (key, value)| {
            out.bytes(key.as_bytes()).bytes(value.as_bytes());
        })
    }

    pub(crate) fn root(&mut self, root: &RootView) -> &mut Self {
        match root {
            RootView::Host { workspace_at } => self.number(0).path(workspace_at),
            RootView::Workspace { host_mounts } => self.number(1).number((*host_mounts).into()),
            RootView::Image { reference, workspace_at } => {
                self.number(2).bytes(reference.as_bytes()).path(workspace_at)
            }
        }
    }

    pub(crate) fn workspace(&mut self, workspace: &WorkspaceMount) -> &mut Self {
        match workspace {
            WorkspaceMount::Overlay { lower_dirs, upper_dir, work_dir } => {
                self.number(0).paths(lower_dirs).path(upper_dir).path(work_dir)
            }
            WorkspaceMount::Bind { source } => self.number(1).path(source),
        }
    }

    fn list<T>(&mut self, values: &[T], one: impl Fn(&mut Self, &T)) -> &mut Self {
        self.number(values.len() as u64);
        for value in values {
            one(self, value);
        }
        self
    }
}

/// Reads what a [`Writer`] wrote. Every answer is `None` for anything else.
#[derive(Debug)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn number(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_ne_bytes(*number))
    }

    pub(crate) fn flag(&mut self) -> Option<bool> {
        Some(self.number()? == 1)
    }

    #[allow(clippy::option_option, reason = "the outer one says whether it could be read")]
    pub(crate) fn maybe(&mut self) -> Option<Option<u64>> {
        let (is_some, number) = (self.number()?, self.number()?);
        Some((is_some == 1).then_some(number))
    }

    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    pub(crate) fn text(&mut self) -> Option<OsString> {
        Some(OsString::from_vec(self.bytes()?.to_vec()))
    }

    pub(crate) fn name(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }

    pub(crate) fn path(&mut self) -> Option<PathBuf> {
        self.text().map(PathBuf::from)
    }

    pub(crate) fn paths(&mut self) -> Option<Vec<PathBuf>> {
        self.list(Self::path)
    }

    pub(crate) fn texts(&mut self) -> Option<Vec<OsString>> {
        self.list(Self::text)
    }

    pub(crate) fn names(&mut self) -> Option<Vec<String>> {
        self.list(Self::name)
    }

    pub(crate) fn pairs(&mut self) -> Option<Vec<(OsString, OsString)>> {
        self.list(|from| Some((from.text()?, from.text()?)))
    }

    pub(crate) fn root(&mut self) -> Option<RootView> {
        match self.number()? {
            0 => Some(RootView::Host { workspace_at: self.path()? }),
            1 => Some(RootView::Workspace { host_mounts: self.flag()? }),
            2 => Some(RootView::Image { reference: self.name()?, workspace_at: self.path()? }),
            _ => None,
        }
    }

    pub(crate) fn workspace(&mut self) -> Option<WorkspaceMount> {
        match self.number()? {
            0 => Some(WorkspaceMount::Overlay {
                lower_dirs: self.paths()?,
                upper_dir: self.path()?,
                work_dir: self.path()?,
            }),
            1 => Some(WorkspaceMount::Bind { source: self.path()? }),
            _ => None,
        }
    }

    fn list<T>(&mut self, mut one: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        (0..self.number()?).map(|_| one(self)).collect()
    }
}

//! A place in a tree that moves down and up one step at a time, no link followed, so that neither
//! a planted link nor the depth of the tree nor the length of its paths matters.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

/// How many of the deepest directories stay open. Those above are found again by `..`.
const OPEN: usize = 24;

/// What to do with a directory that its own mode closes to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closed {
    /// It is an error.
    Refuse,
    /// Open it while we are in it, then give it its mode back. Only for what is ours alone.
    Unseal,
}

#[derive(Debug)]
struct Step {
    name: Vec<u8>,
    fd: Option<Arc<OwnedFd>>,
    /// Device and inode, known once the descriptor was given up.
    id: (u64, u64),
    /// The mode that it gets back.
    mode: Option<Mode>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Descent {
    top: Arc<OwnedFd>,
    steps: Vec<Step>,
    closed: Closed,
}

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The path by which calls without a form for descriptors reach exactly this inode.
pub(crate) fn through(fd: impl AsFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd()))
}

/// Opens what is ours and closed to us by its mode; answers with the mode to give back. `wanted`
/// are the bits that are needed.
pub(crate) fn unseal(
    directory: impl AsFd,
    name: &[u8],
    flags: OFlags,
    wanted: Mode,
) -> Result<(OwnedFd, Mode), Errno> {
    let place = rustix::fs::openat(
        directory,
        name,
        OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let stat = rustix::fs::fstat(&place)?;
    if stat.st_uid != rustix::process::geteuid().as_raw() {
        return Err(Errno::ACCESS);
    }
    let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
    let path = through(&place);
    rustix::fs::chmod(&path, mode | wanted)?;
    match rustix::fs::open(&path, flags.difference(OFlags::NOFOLLOW), Mode::empty()) {
        Ok(fd) => Ok((fd, mode)),
        Err(errno) => {
            // The first error is the one to tell.
            let _ = rustix::fs::chmod(&path, mode);
            Err(errno)
        }
    }
}

impl Descent {
    /// Stands in the open directory `top`.
    pub(crate) fn new(top: OwnedFd, closed: Closed) -> Self {
        Self { top: Arc::new(top), steps: Vec::new(), closed }
    }

    /// The directory that it stands in.
    pub(crate) fn here(&self) -> BorrowedFd<'_> {
        self.steps.last().and_then(|step| step.fd.as_ref()).unwrap_or(&self.top).as_fd()
    }

    /// The same, to be held by others.
    pub(crate) fn shared(&self) -> Arc<OwnedFd> {
        Arc::clone(self.steps.last().and_then(|step| step.fd.as_ref()).unwrap_or(&self.top))
    }

    /// How many steps below the top it stands.
    pub(crate) fn depth(&self) -> usize {
        self.steps.len()
    }

    /// Goes down into the directory `name`.
    pub(crate) fn enter(&mut self, name: &[u8]) -> Result<(), Errno> {
        let (fd, mode) = match rustix::fs::openat(self.here(), name, DIRECTORY, Mode::empty()) {
            Ok(fd) => {
                // A directory that may be listed but not searched fails only at the first child.
                let search = || {
                    rustix::fs::accessat(&fd, ".", rustix::fs::Access::EXEC_OK, AtFlags::EACCESS)
                };
                if self.closed == Closed::Unseal && search() == Err(Errno::ACCESS) {
                    let (fd, mode) = unseal(self.here(), name, DIRECTORY, Mode::RWXU)?;
                    (fd, Some(mode))
                } else {
                    (fd, None)
                }
            }
            Err(Errno::ACCESS) if self.closed == Closed::Unseal => {
                let (fd, mode) = unseal(self.here(), name, DIRECTORY, Mode::RWXU)?;
                (fd, Some(mode))
            }
            Err(errno) => return Err(errno),
        };
        self.push(name, fd, mode);
        Ok(())
    }

    /// Goes down into `fd`, which is the directory `name` here.
    pub(crate) fn enter_open(&mut self, name: &[u8], fd: OwnedFd) {
        self.push(name, fd, None);
    }

    fn push(&mut self, name: &[u8], fd: OwnedFd, mode: Option<Mode>) {
        let step = Step { name: name.to_vec(), fd: Some(Arc::new(fd)), id: (0, 0), mode };
        self.steps.push(step);
        let Some(far) = self.steps.len().checked_sub(OPEN + 1) else { return };
        if let Some(step) = self.steps.get_mut(far)
            && let Some(fd) = &step.fd
            // Without its identity it could not be told from another, so it stays open.
            && let Ok(stat) = rustix::fs::fstat(fd)
        {
            step.id = (stat.st_dev as _, stat.st_ino as _);
            step.fd = None;
        }
    }

    /// Goes up one step.
    pub(crate) fn leave(&mut self) -> Result<(), Errno> {
        let Some(step) = self.steps.pop() else { return Ok(()) };
        if self.steps.last().is_none_or(|above| above.fd.is_some()) {
            return close(&step);
        }
        let fd = step.fd.as_ref().ok_or(Errno::STALE)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let up = match rustix::fs::openat(fd, "..", flags, Mode::empty()) {
            // Its own mode closes the way up as well, so it is gone down once more.
            Err(Errno::ACCESS) => {
                let mut up = rustix::io::fcntl_dupfd_cloexec(&self.top, 0)?;
                for step in &self.steps {
                    up = rustix::fs::openat(&up, step.name.as_slice(), DIRECTORY, Mode::empty())?;
                }
                up
            }
            up => up?,
        };
        let stat = rustix::fs::fstat(&up)?;
        match self.steps.last_mut() {
            Some(above) if above.id == (stat.st_dev as _, stat.st_ino as _) => {
                above.fd = Some(Arc::new(up));
            }
            // Someone moved the directory meanwhile.
            _ => return Err(Errno::STALE),
        }
        close(&step)
    }

    /// Goes to the directory `path`, up as far as need be and down again; `missing` is called for
    /// each step down that fails, stands where it failed, and may make the directory.
    pub(crate) fn go(
        &mut self,
        path: &[u8],
        mut missing: impl FnMut(&mut Self, &[u8], Errno) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let mut common = 0;
        let mut rest = path;
        for step in &self.steps {
            let Some(after) = rest.strip_prefix(step.name.as_slice()) else { break };
            match after.split_first() {
                None => rest = after,
                Some((b'/', after)) => rest = after,
                Some(_) => break,
            }
            common += 1;
            if rest.is_empty() {
                break;
            }
        }
        while self.steps.len() > common {
            self.leave()?;
        }
        for name in rest.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            if let Err(errno) = self.enter(name) {
                missing(self, name, errno)?;
                self.enter(name)?;
            }
        }
        Ok(())
    }
}

fn close(step: &Step) -> Result<(), Errno> {
    match (&step.fd, step.mode) {
        (Some(fd), Some(mode)) => rustix::fs::fchmod(fd, mode),
        _ => Ok(()),
    }
}

impl Drop for Descent {
    fn drop(&mut self) {
        while !self.steps.is_empty() {
            if self.leave().is_err() {
                // The way up is lost; those that are still open get their modes back.
                for step in self.steps.drain(..).rev() {
                    let _ = close(&step);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &std::path::Path) -> OwnedFd {
        rustix::fs::open(path, DIRECTORY, Mode::empty()).expect("open")
    }

    #[test]
    fn goes_to_any_depth_and_back() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let mut descent = Descent::new(open(dir.path()), Closed::Refuse);
        let name = [b'n'; 200];
        let deep = vec![name.as_slice(); 100].join(&b'/');
        let made =
            descent.go(&deep, |at, name, _| rustix::fs::mkdirat(at.here(), name, Mode::RWXU));
        made.expect("down, beyond PATH_MAX");
        assert_eq!(descent.depth(), 100);
        rustix::fs::mkdirat(descent.here(), "end", Mode::RWXU).expect("mkdir");
        for _ in 0..100 {
            descent.leave().expect("up");
        }
        assert_eq!(
            rustix::fs::fstat(descent.here()).expect("stat").st_ino,
            rustix::fs::stat(dir.path()).expect("stat").st_ino
        );
        descent.go(&deep, |_, _, errno| Err(errno)).expect("down again");
        descent.enter(b"end").expect("the same place");
    }

    #[test]
    fn common_steps_are_names_not_prefixes() {
        let dir = tempfile::tempdir().expect("temporary directory");
        for path in ["a/b", "a/bc", "ab"] {
            std::fs::create_dir_all(dir.path().join(path)).expect("mkdir");
        }
        let mut descent = Descent::new(open(dir.path()), Closed::Refuse);
        for path in ["a/b", "a/bc", "ab", "a", "", "a/b"] {
            descent.go(path.as_bytes(), |_, _, errno| Err(errno)).expect("go");
            let expected = rustix::fs::stat(dir.path().join(path)).expect("stat").st_ino;
            assert_eq!(rustix::fs::fstat(descent.here()).expect("stat").st_ino, expected, "{path}");
        }
    }

    #[test]
    fn a_link_is_not_followed() {
        let dir = tempfile::tempdir().expect("temporary directory");
        std::fs::create_dir(dir.path().join("real")).expect("mkdir");
        std::os::unix::fs::symlink("real", dir.path().join("link")).expect("link");
        let mut descent = Descent::new(open(dir.path()), Closed::Refuse);
        assert!(descent.enter(b"link").is_err());
        descent.enter(b"real").expect("enter");
    }
}

//! Output that is kept instead of being shown.

use std::io::{Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::path::Path;

use ctrlz_policy::redact;
use rustix::fs::{Mode, OFlags};

use crate::failure::{Failure, OWN_FAILURE};

/// How much of it is told.
const MOST_LINES: usize = 30;
const MOST_BYTES: u64 = 1 << 16;

/// Standard output and error, kept instead of being shown.
pub(super) struct Captured {
    kept: std::fs::File,
    saved: [OwnedFd; 2],
}

impl Captured {
    /// The file lies in `store` and has no name. Memory files will not do: Landlock has no rule for
    /// what lies in no file system.
    pub(super) fn begin(store: &Path) -> Result<Self, Failure> {
        let failed = |error: rustix::io::Errno| Failure::caused(OWN_FAILURE, "output", &error);
        let path = store.join(format!("output-{}", std::process::id()));
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let kept = rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR).map_err(failed)?;
        rustix::fs::unlink(&path).map_err(failed)?;
        let keep = |fd| rustix::io::fcntl_dupfd_cloexec(fd, 3).map_err(failed);
        let saved = [keep(rustix::stdio::stdout())?, keep(rustix::stdio::stderr())?];
        rustix::stdio::dup2_stdout(&kept).map_err(failed)?;
        rustix::stdio::dup2_stderr(&kept).map_err(failed)?;
        Ok(Self { kept: kept.into(), saved })
    }

    /// The last lines, without secrets.
    pub(super) fn end(self) -> Result<Vec<String>, Failure> {
        let text = self.text()?;
        let lines: Vec<&str> = text.lines().collect();
        let from = lines.len().saturating_sub(MOST_LINES);
        Ok(lines.iter().skip(from).map(|line| redact(line).into_owned()).collect())
    }

    /// The last part of it as text.
    pub(super) fn text(self) -> Result<String, Failure> {
        let failed = |error: std::io::Error| Failure::caused(OWN_FAILURE, "output", &error);
        let mut kept = self.kept.try_clone().map_err(failed)?;
        drop(self);
        let length = kept.metadata().map_err(failed)?.len();
        kept.seek(SeekFrom::Start(length.saturating_sub(MOST_BYTES))).map_err(failed)?;
        let mut bytes = Vec::new();
        kept.take(MOST_BYTES).read_to_end(&mut bytes).map_err(failed)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

impl Drop for Captured {
    fn drop(&mut self) {
        let [stdout, stderr] = &self.saved;
        let _ = rustix::stdio::dup2_stdout(stdout);
        let _ = rustix::stdio::dup2_stderr(stderr);
    }
}

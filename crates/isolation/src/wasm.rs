//! The driver `wasm`: the sandbox is the native one, and what runs in it is the WebAssembly engine.
//!
//! The engine is a program of its own, `ctrlz-wasm`: linked into ctrlz, it made every start of every command
//! slower. It follows ctrlz in the same file (`cat ctrlz ctrlz-wasm`), or lies beside it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use ctrlz_core::isolation::{IsolationError, Launch, Network, RootView};
use ctrlz_core::wasm::{PROGRAM, Surroundings};
use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags, fcntl_add_seals, memfd_create, sendfile};
use rustix::io::Errno;

/// The launch of the engine that runs the module which `launch` names.
pub(crate) fn inside(launch: Launch) -> Launch {
    let workspace = match &launch.root {
        // The native driver, which is next, refuses an image.
        RootView::Host { workspace_at } | RootView::Image { workspace_at, .. } => {
            workspace_at.clone()
        }
        RootView::Workspace { .. } => "/".into(),
    };
    let around = Surroundings {
        workspace,
        network: launch.network == Network::Host,
        memory: launch.limits.memory,
    };
    Launch { argv: around.command(launch.argv), ..launch }
}

/// The engine of this ctrlz, to be executed by its descriptor: no path of a root of its own leads to it.
pub(crate) fn program() -> Result<OwnedFd, IsolationError> {
    let own = Path::new("/proc/self/exe");
    find(own).map_err(|reason| IsolationError::Unenforceable {
        what: "--isolation wasm".to_owned(),
        reason,
    })
}

/// The engine that belongs to the program at `own`; why there is none.
fn find(own: &Path) -> Result<OwnedFd, String> {
    let unread = |error: io::Error| format!("{}: {error}", own.display());
    let file = File::open(own).map_err(unread)?;
    let length = file.metadata().map_err(unread)?.len();
    if let Some(begin) = end_of_program(&file).map_err(unread)?.filter(|end| *end < length) {
        return in_memory(&file, begin, length)
            .map_err(|error| format!("its engine cannot be taken out of ctrlz: {error}"));
    }
    let own = own.canonicalize().map_err(unread)?;
    let beside = own.with_file_name(PROGRAM);
    let missing = |why: &str| {
        format!(
            "its engine is not in {} and cannot be taken beside it: {}: {why}",
            own.display(),
            beside.display()
        )
    };
    check_folder(&beside).map_err(|why| missing(&why))?;
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    rustix::fs::open(&beside, flags, Mode::empty())
        .map_err(|errno| missing(&io::Error::from(errno).to_string()))
}

/// Where others may add files but not replace those of their neighbours, as in `/tmp`, what lies beside
/// ctrlz need not have come with it.
fn check_folder(beside: &Path) -> Result<(), String> {
    const STICKY: u32 = 0o1000;
    let folder = beside.parent().map(PathBuf::from).unwrap_or_default();
    let status = folder.metadata().map_err(|error| error.to_string())?;
    match status.mode() & STICKY {
        0 => Ok(()),
        _ => Err("anybody may have put it into a folder with the sticky bit".to_owned()),
    }
}

/// Where an executable in the format ELF (elf(5)) ends: linkers put the section headers last. `None` for
/// anything else.
fn end_of_program(file: &File) -> io::Result<Option<u64>> {
    let mut header = [0; 64];
    match file.read_exact_at(&mut header, 0) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    // e_shoff, e_shentsize and e_shnum of a program of 64 bits.
    let [
        0x7f,
        b'E',
        b'L',
        b'F',
        2,
        ..,
        s0,
        s1,
        s2,
        s3,
        s4,
        s5,
        s6,
        s7,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        e0,
        e1,
        n0,
        n1,
        _,
        _,
    ] = header
    else {
        return Ok(None);
    };
    let sections = u64::from_ne_bytes([s0, s1, s2, s3, s4, s5, s6, s7]);
    let size = u64::from(u16::from_ne_bytes([e0, e1])) * u64::from(u16::from_ne_bytes([n0, n1]));
    Ok(sections.checked_add(size).filter(|_| sections > 0))
}

/// The bytes of `file` from `begin` to `end` as a program in memory, which nobody can change.
fn in_memory(file: &File, begin: u64, end: u64) -> io::Result<OwnedFd> {
    let mut magic = [0; 4];
    file.read_exact_at(&mut magic, begin)?;
    if magic != *b"\x7fELF" {
        return Err(io::Error::other("what follows ctrlz in its file is no program"));
    }
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Before Linux 6.3 a kernel knows no flag for what is to be executed, and needs none.
    let memory = match memfd_create(PROGRAM, flags | MemfdFlags::EXEC) {
        Err(Errno::INVAL) => memfd_create(PROGRAM, flags)?,
        made => made?,
    };
    let mut at = begin;
    while at < end {
        let left = usize::try_from(end - at).unwrap_or(usize::MAX);
        if sendfile(memory.as_fd(), file, Some(&mut at), left)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let all = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    fcntl_add_seals(&memory, all)?;
    Ok(memory)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// This test: a program whose section headers are at its end.
    fn whole() -> Vec<u8> {
        fs::read("/proc/self/exe").expect("this program")
    }

    fn content(fd: OwnedFd) -> Vec<u8> {
        fs::read(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&fd))).expect("read")
    }

    #[test]
    fn what_follows_the_program_is_the_engine() {
        let folder = tempfile::tempdir().expect("a folder");
        let own = folder.path().join("ctrlz");
        let engine = b"\x7fELF and so on";
        fs::write(&own, [whole().as_slice(), engine].concat()).expect("write");
        let found = find(&own).expect("found");
        assert!(rustix::io::write(&found, b"x").is_err(), "it can be changed");
        assert_eq!(content(found), engine);
        fs::write(&own, [whole().as_slice(), b"something"].concat()).expect("write");
        assert!(find(&own).expect_err("no program").contains("is no program"));
    }

    #[test]
    fn what_lies_beside_the_program_is_the_engine() {
        let folder = tempfile::tempdir().expect("a folder");
        let own = folder.path().join("ctrlz");
        fs::write(&own, whole()).expect("write");
        let none = find(&own).expect_err("nothing there");
        assert!(none.contains("ctrlz-wasm: No such file"), "{none}");
        fs::write(folder.path().join(PROGRAM), "beside").expect("write");
        assert_eq!(content(find(&own).expect("found")), b"beside");
        fs::set_permissions(folder.path(), Permissions::from_mode(0o1777)).expect("chmod");
        assert!(find(&own).expect_err("a stranger's").contains("sticky"));
        // What is no executable ends nowhere.
        fs::write(&own, "#!/bin/sh").expect("write");
        assert!(find(&own).is_err());
    }
}

//! The driver `wasm`: the sandbox is the native one, and what runs in it is the WebAssembly engine.
//!
//! The engine is a program of its own, `ctrlz-wasm`: linked into ctrlz, it made every start of every command
//! slower. It follows ctrlz in the same file (`cat ctrlz ctrlz-wasm`), or lies beside it.

mod cache;
mod keeper;

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use ctrlz_core::isolation::{IsolationError, Launch, Network, RootView};
use ctrlz_core::size::ByteSize;
use ctrlz_core::wasm::{PROGRAM, Surroundings};
use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags, fcntl_add_seals, memfd_create, sendfile};
use rustix::io::Errno;

pub use self::cache::{Collected, collect};
pub(crate) use self::keeper::Keeper;

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
        keeps_code: launch.compiled.is_some(),
    };
    Launch { argv: around.command(launch.argv), ..launch }
}

/// The program that is the engine.
#[derive(Debug)]
pub(crate) struct Engine {
    /// To be executed by its descriptor: no path of a root of its own leads to it.
    pub(crate) program: OwnedFd,
    /// Stands for the program; `None` for one that parts of the sandbox could go into.
    identity: Option<[u8; 32]>,
}

impl Engine {
    /// Who answers what this engine asks for in the launch, and the end of the socket that it is handed.
    /// Where nothing can be kept, that end is closed: code is compiled anew each time.
    pub(crate) fn keeper(
        &self,
        compiled: &Path,
        least_free: Option<ByteSize>,
    ) -> Result<(Option<Keeper>, OwnedFd), IsolationError> {
        let keeper = self.identity.and_then(|engine| Keeper::of(compiled, least_free, engine).ok());
        if let Some((keeper, theirs)) = keeper {
            return Ok((Some(keeper), theirs));
        }
        match keeper::pair() {
            Ok((_, theirs)) => Ok((None, theirs)),
            Err(source) => {
                let step = "make a socket for the engine".to_owned();
                Err(IsolationError::Setup { step, source })
            }
        }
    }
}

/// The engine of this ctrlz.
pub(crate) fn program() -> Result<Engine, IsolationError> {
    let own = Path::new("/proc/self/exe");
    find(own).map_err(|reason| IsolationError::Unenforceable {
        what: "--isolation wasm".to_owned(),
        reason,
    })
}

/// The engine that belongs to the program at `own`; why there is none.
fn find(own: &Path) -> Result<Engine, String> {
    let unread = |error: io::Error| format!("{}: {error}", own.display());
    let file = File::open(own).map_err(unread)?;
    let status = file.metadata().map_err(unread)?;
    let length = status.len();
    if let Some(begin) = end_of_program(&file).map_err(unread)?.filter(|end| *end < length) {
        let program = in_memory(&file, begin, length)
            .map_err(|error| format!("its engine cannot be taken out of ctrlz: {error}"))?;
        let is_static = is_static(&file, begin).unwrap_or(false);
        return Ok(Engine { program, identity: is_static.then(|| identity(&status, begin)) });
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
    let program = rustix::fs::open(&beside, flags, Mode::empty())
        .map_err(|errno| missing(&io::Error::from(errno).to_string()))?;
    // The same file, whatever lies there by now. One that may not be read keeps nothing.
    let read = || -> io::Result<Option<[u8; 32]>> {
        let file = File::open(format!("/proc/self/fd/{}", program.as_raw_fd()))?;
        Ok(is_static(&file, 0)?.then_some(identity(&file.metadata()?, 0)))
    };
    let identity = read().ok().flatten();
    Ok(Engine { program, identity })
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

/// The header of an executable in the format ELF for 64 bits (elf(5)) that begins at `at`; `None` for
/// anything else.
fn header(file: &File, at: u64) -> io::Result<Option<[u8; 64]>> {
    let mut header = [0; 64];
    match file.read_exact_at(&mut header, at) {
        Ok(()) => Ok(header.starts_with(b"\x7fELF\x02").then_some(header)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

/// The number of `N` bytes at `at`.
fn number<const N: usize>(header: &[u8], at: usize) -> u64 {
    let bytes = header.get(at..at + N).unwrap_or_default();
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Where an executable ends: linkers put the section headers last. `None` for what is none.
fn end_of_program(file: &File) -> io::Result<Option<u64>> {
    let Some(header) = header(file, 0)? else { return Ok(None) };
    // e_shoff, e_shentsize and e_shnum.
    let sections = number::<8>(&header, 40);
    let size = number::<2>(&header, 58) * number::<2>(&header, 60);
    Ok(sections.checked_add(size).filter(|_| sections > 0))
}

/// Whether the executable at `begin` asks for no other program to load it and its libraries: that would come
/// from the root of the sandbox, and so would what it does.
fn is_static(file: &File, begin: u64) -> io::Result<bool> {
    const INTERPRETER: u64 = 3;
    let Some(header) = header(file, begin)? else { return Ok(false) };
    // e_phoff, e_phentsize and e_phnum, and of each p_type.
    let (first, size) = (number::<8>(&header, 32), number::<2>(&header, 54));
    for at in 0..number::<2>(&header, 56) {
        let mut kind = [0; 4];
        let at = first.checked_add(at * size).and_then(|at| at.checked_add(begin));
        file.read_exact_at(&mut kind, at.ok_or(io::ErrorKind::InvalidData)?)?;
        if number::<4>(&kind, 0) == INTERPRETER {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Stands for a program as it is now: another one, or a change of it, has another status (stat(2)), of which
/// nobody sets the time of the last change.
fn identity(status: &Metadata, begin: u64) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(env!("CARGO_PKG_VERSION").as_bytes());
    for number in [status.dev(), status.ino(), status.size(), begin] {
        hasher.update(&number.to_le_bytes());
    }
    for time in [status.mtime(), status.mtime_nsec(), status.ctime(), status.ctime_nsec()] {
        hasher.update(&time.to_le_bytes());
    }
    *hasher.finalize().as_bytes()
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
        assert!(rustix::io::write(&found.program, b"x").is_err(), "it can be changed");
        assert_eq!(content(found.program), engine);
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
        assert_eq!(content(find(&own).expect("found").program), b"beside");
        fs::set_permissions(folder.path(), Permissions::from_mode(0o1777)).expect("chmod");
        assert!(find(&own).expect_err("a stranger's").contains("sticky"));
        // What is no executable ends nowhere.
        fs::write(&own, "#!/bin/sh").expect("write");
        assert!(find(&own).is_err());
    }
}

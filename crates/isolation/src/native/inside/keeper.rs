//! Keeping the memory of a container, for whoever asks at a socket beside the bundle.
//!
//! This is a process of its own in the namespaces of process 1, and dies with it. Who asks sends the folder
//! in which the memory is to lie, is told when it does, and while it stays connected the container is
//! halted: when the asker dies, the container goes on.

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use ctrlz_sys::clone::{Namespaces, spawn};
use ctrlz_sys::exec;
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with,
    bind, listen, recv, send, socket_with,
};
use rustix::process::{Signal, WaitOptions, waitpid};

use super::handing_over::{PATH, told};
use crate::native::delegate::{Bundle, Keeping};
use crate::native::keeping::{DONE, MOST_WORDS, REFUSED};
use ctrlz_sys::passing::receive_with;

/// Starts it; `config` is that of the bundle.
pub(super) fn start(keeping: &Keeping, (bundle, config): (&Bundle, &[u8])) -> io::Result<()> {
    let socket =
        socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    bind(&socket, &SocketAddrUnix::new(Bundle::keeper())?)?;
    listen(&socket, 1)?;
    spawn(Namespaces::default(), None, || match live(&socket, keeping, (bundle, config)) {
        Ok(()) => 0,
        Err(error) => error.raw_os_error().unwrap_or(1),
    })?;
    Ok(())
}

fn live(socket: &OwnedFd, keeping: &Keeping, bundle: (&Bundle, &[u8])) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    // Those of the terminal are the command's, and must not end this between halting it and letting it go on.
    let _blocked = ctrlz_sys::signal::take_all()?;
    // Streams that it keeps would keep whoever reads them waiting.
    ctrlz_sys::descriptors::keep_only(&[socket.as_fd()])?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR, Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    loop {
        match accept_with(socket, SocketFlags::CLOEXEC) {
            Ok(asker) => {
                // Whoever is gone needs no answer.
                let _ = serve(&asker, keeping, bundle);
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

fn serve(asker: &OwnedFd, keeping: &Keeping, bundle: (&Bundle, &[u8])) -> io::Result<()> {
    let (_, folders) = receive_with(asker.as_fd(), &mut [0])?;
    let [folder] = folders.as_slice() else { return Ok(()) };
    let (bundle, config) = bundle;
    let halted = run(&keeping.halt, bundle);
    let kept = halted.and_then(|()| {
        let kept = write(folder.as_fd(), keeping, (bundle, config));
        if kept.is_err() {
            run(&keeping.go_on, bundle)?;
        }
        kept
    });
    let is_halted = kept.is_ok();
    let told = answer(asker, kept);
    if !is_halted {
        return told;
    }
    // Its word, or its end; one that died earlier could not be told.
    if told.is_ok() {
        let _ = rustix::io::retry_on_intr(|| recv(asker, &mut [0_u8; 1], RecvFlags::empty()));
    }
    answer(asker, run(&keeping.go_on, bundle))
}

fn answer(asker: &OwnedFd, came: io::Result<()>) -> io::Result<()> {
    let mut message = vec![if came.is_ok() { DONE } else { REFUSED }];
    if let Err(error) = came {
        message.extend(error.to_string().bytes().take(MOST_WORDS));
    }
    send(asker, &message, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Writes the memory, and what has to be known to go on from it.
fn write(
    folder: BorrowedFd<'_>,
    keeping: &Keeping,
    (bundle, config): (&Bundle, &[u8]),
) -> io::Result<()> {
    // The program inherits this one.
    let inherited = rustix::io::dup(folder)?;
    let path = OsString::from(format!("/proc/self/fd/{}", inherited.as_raw_fd()));
    let is_folder = |word: &OsString| word.as_os_str() == OsStr::new(Keeping::FOLDER);
    let words: Vec<OsString> = (keeping.write.iter())
        .map(|word| if is_folder(word) { path.clone() } else { word.clone() })
        .collect();
    run(&words, bundle)?;
    for (name, bytes) in
        [(Keeping::CONFIG, config), (Keeping::REMEMBERED, keeping.remembered.as_slice())]
    {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = openat(folder, name, flags, Mode::RUSR | Mode::WUSR)?;
        File::from(file).write_all(bytes)?;
    }
    Ok(())
}

/// Runs one of the commands to its end.
fn run(words: &[OsString], bundle: &Bundle) -> io::Result<()> {
    let text = |word: &OsString| Ok(CString::new(word.as_bytes())?);
    let arguments = words.iter().map(text).collect::<io::Result<Vec<_>>>()?;
    let program = arguments.first().ok_or(Errno::NOENT)?;
    // What it logged before is no answer to this.
    let _ = std::fs::remove_file(&bundle.keeping_log);
    let process = exec::start(program, &arguments, &[CString::new(PATH)?], None, None)?;
    let ended = rustix::io::retry_on_intr(|| waitpid(Some(process), WaitOptions::empty()))?;
    if ended.is_some_and(|(_, status)| status.exit_status() == Some(0)) {
        return Ok(());
    }
    let why = told(&bundle.keeping_log).unwrap_or_else(|| "it does not tell why".to_owned());
    let name = words.first().map(|word| Path::new(word).display().to_string());
    Err(io::Error::other(format!("{}: {why}", name.unwrap_or_default())))
}

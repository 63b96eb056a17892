//! What a service manager and the service tell each other: sockets that it passes (sd_listen_fds(3)),
//! and what becomes of the service (sd_notify(3)).

use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::failure::{Failure, OWN_FAILURE};

/// What is meant for this process and none that it starts.
pub(super) const VARIABLES: [&str; 6] = [
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
];

/// A socket that was passed.
pub(super) struct Passed {
    pub(super) socket: OwnedFd,
    /// As the unit calls it.
    pub(super) name: String,
}

/// The sockets that were passed to this process: nothing else may have been opened by now.
pub(super) fn passed() -> Result<Vec<Passed>, Failure> {
    let set = |name| std::env::var(name).ok();
    let is_ours = set("LISTEN_PID").is_some_and(|pid| pid == std::process::id().to_string());
    let Some(number) = set("LISTEN_FDS").filter(|_| is_ours) else { return Ok(Vec::new()) };
    let failed = |why: String| {
        let message = format!("cannot use the sockets that were passed: {why}");
        Failure::new(OWN_FAILURE, "listen", message)
    };
    let number = number.parse().map_err(|_| failed(format!("LISTEN_FDS is `{number}`")))?;
    let sockets = ctrlz_sys::passed::take(number).map_err(|error| failed(error.to_string()))?;
    let names = set("LISTEN_FDNAMES").unwrap_or_default();
    let names = names.split(':').map(str::to_owned).chain(std::iter::repeat(String::new()));
    Ok(sockets.into_iter().zip(names).map(|(socket, name)| Passed { socket, name }).collect())
}

/// What is told to the service manager, if there is one that listens.
#[derive(Debug, Default)]
pub(super) struct Manager {
    to: Option<(UnixDatagram, SocketAddr)>,
}

impl Manager {
    /// The one that started this process.
    pub(super) fn new() -> Self {
        let address = std::env::var_os("NOTIFY_SOCKET").and_then(|name| {
            match name.as_bytes().split_first() {
                Some((b'@', name)) => SocketAddr::from_abstract_name(name).ok(),
                Some((b'/', _)) => SocketAddr::from_pathname(Path::new(&name)).ok(),
                _ => None,
            }
        });
        Self { to: address.and_then(|address| Some((UnixDatagram::unbound().ok()?, address))) }
    }

    fn tell(&self, text: &str) {
        if let Some((socket, address)) = &self.to {
            // One that does not listen is not in the service's way.
            let _ = socket.send_to_addr(text.as_bytes(), address);
        }
    }

    /// Clients are served.
    pub(super) fn ready(&self, at: &[String]) {
        self.tell(&format!("READY=1\nSTATUS=serves at {}\n", at.join(" and ")));
    }

    /// The configuration is read again; [`Self::ready`] says that it has been.
    pub(super) fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let now = now.tv_sec.saturating_mul(1_000_000).saturating_add(now.tv_nsec / 1000);
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={now}\n"));
    }

    /// Nothing new begins.
    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=waits for what runs\n");
    }

    /// Says, as often as it is asked to, that the service goes on. Who polls this is what goes on.
    pub(super) async fn watchdog(&self) {
        let set = |name| std::env::var(name).ok();
        let is_ours = set("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
        let every = set("WATCHDOG_USEC").and_then(|every| every.parse::<u64>().ok());
        match every.filter(|every| is_ours && *every > 0) {
            None => std::future::pending().await,
            Some(every) => loop {
                self.tell("WATCHDOG=1\n");
                tokio::time::sleep(Duration::from_micros(every / 2)).await;
            },
        }
    }
}

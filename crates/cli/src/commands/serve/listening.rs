//! Where the service listens: nowhere that another machine can reach, unless somebody says so.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use ctrlz_server::{Bound, Listener, Tls};

use super::systemd::Passed;
use crate::arguments::ServeArguments;
use crate::failure::{Failure, OWN_FAILURE, REFUSED};

/// The socket's name in the store, when nobody says another.
const SOCKET: &str = "service.sock";

/// Places to listen at.
pub(super) enum Places {
    /// These are made.
    Made(Vec<Bound>),
    /// These were passed. Whether other machines can reach them is seen when they are looked at.
    Passed {
        /// The sockets.
        sockets: Vec<Passed>,
        /// Whether other machines may reach them without TLS.
        insecure: bool,
    },
}

/// Where to listen. Sockets that were passed take the place of those that arguments name.
pub(super) fn places(
    arguments: &ServeArguments,
    directory: &Path,
    passed: Vec<Passed>,
    has_tls: bool,
) -> Result<Places, Failure> {
    if !passed.is_empty() {
        return Ok(Places::Passed { sockets: passed, insecure: arguments.insecure });
    }
    let socket = arguments.socket.clone().unwrap_or_else(|| directory.join(SOCKET));
    let mut bounds = vec![Bound::Unix(socket)];
    if arguments.listen == "none" {
        return Ok(Places::Made(bounds));
    }
    let address: SocketAddr = arguments.listen.parse().map_err(|_| {
        let message = format!("`{}` is no address and port", arguments.listen);
        Failure::new(OWN_FAILURE, "listen", message).hint("write 127.0.0.1:7070, or [::1]:7070")
    })?;
    let bound = if has_tls { Bound::Tls(address) } else { Bound::Tcp(address) };
    require_safe(&bound, arguments.insecure)?;
    bounds.push(bound);
    Ok(Places::Made(bounds))
}

/// Listens there.
pub(super) async fn listen(
    places: Places,
    tls: Option<&Arc<Tls>>,
) -> Result<Vec<Listener>, Failure> {
    let failed = |place: String, error: std::io::Error| {
        Failure::new(OWN_FAILURE, "listen", format!("cannot listen at {place}: {error}"))
    };
    let mut listeners = Vec::new();
    match places {
        Places::Made(bounds) => {
            for bound in &bounds {
                let listener = Listener::bind(bound, tls).await;
                listeners.push(listener.map_err(|error| failed(bound.to_string(), error))?);
            }
        }
        Places::Passed { sockets, insecure } => {
            for (number, Passed { socket, name }) in sockets.into_iter().enumerate() {
                let failed =
                    |error| failed(format!("the socket {number} `{name}` that was passed"), error);
                let listener = Listener::given(socket, tls).map_err(failed)?;
                require_safe(&listener.bound().map_err(failed)?, insecure)?;
                listeners.push(listener);
            }
        }
    }
    Ok(listeners)
}

fn require_safe(bound: &Bound, insecure: bool) -> Result<(), Failure> {
    match bound {
        Bound::Tcp(address) if !address.ip().is_loopback() && !insecure => {
            let message = format!("{address} can be reached from other machines, without TLS");
            Err(Failure::new(REFUSED, "listen", message).hint(
                "add --tls-cert and --tls-key, listen at 127.0.0.1 behind a proxy that has TLS, \
                 or add --insecure",
            ))
        }
        _ => Ok(()),
    }
}

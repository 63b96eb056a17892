//! What a client can hold at most, and for how long.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bounds of connections.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    /// How long a client may take for the handshake of TLS.
    pub(super) handshake: Duration,
    /// How many handshakes go on at once.
    pub(super) handshakes: usize,
    /// How long a new connection may take until the headers of its first request are there.
    pub(super) first: Duration,
    /// How long a connection may be kept without a request, with the headers of the next one.
    pub(super) idle: Duration,
    /// How long a client may pause while it sends a body.
    pub(super) pause: Duration,
    /// How many bytes of a body a client sends each second at least, on average, once it has taken
    /// longer than a pause.
    pub(super) rate: u64,
    /// How long a client may not take what it is sent.
    pub(super) stalled: Duration,
    /// How many clients may be connected to one address of the service at once.
    pub(super) clients: usize,
    /// How many of them may come from one address: of IPv6 from one network of 64 bits.
    pub(super) per_address: usize,
    /// How many requests of one connection may be under way at once (HTTP/2).
    pub(super) streams: u32,
    /// How large the headers of a request may be.
    pub(super) headers: usize,
    /// How long connections may go on when the service has ended.
    pub(super) grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            // More than one address can hold: nobody alone keeps others from theirs.
            handshakes: 2048,
            first: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            pause: Duration::from_secs(30),
            rate: 8 << 10,
            stalled: Duration::from_secs(60),
            clients: 4096,
            per_address: 1024,
            streams: 128,
            headers: 64 << 10,
            grace: Duration::from_secs(5),
        }
    }
}

/// Connections, counted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Connections {
    /// Those that are open.
    pub(crate) open: Gauge,
    /// Those that were closed at once, since their address had too many.
    pub(crate) refused: Counter,
    /// Those that ended before a request since TLS was not agreed on.
    pub(crate) unagreed: Counter,
    /// Those that were closed since the client stalled.
    pub(crate) stalled: Counter,
}

impl Connections {
    /// Tells them to whoever asks for metrics.
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("ctrlz_connections", "Connections that are open", self.open.clone());
        let closed = [
            (
                "ctrlz_connections_refused",
                "Connections beyond what one address may have",
                &self.refused,
            ),
            (
                "ctrlz_connections_unagreed",
                "Connections without a handshake of TLS",
                &self.unagreed,
            ),
            ("ctrlz_connections_stalled", "Connections whose client took nothing", &self.stalled),
        ];
        for (name, help, counter) in closed {
            registry.register(name, help, counter.clone());
        }
    }
}

/// How many connections each address has.
type Taken = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// The room for connections to an address of the service.
#[derive(Debug)]
pub(super) struct Room {
    places: Arc<Semaphore>,
    taken: Taken,
    per_address: usize,
    counted: Connections,
}

/// A connection's place, held as long as the connection is open.
#[derive(Debug)]
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    from: Option<(IpAddr, Taken)>,
    counted: Connections,
}

impl Room {
    pub(super) fn new(limits: &Limits, counted: Connections) -> Self {
        Self {
            places: Arc::new(Semaphore::new(limits.clients)),
            taken: Arc::default(),
            per_address: limits.per_address,
            counted,
        }
    }

    /// Waits until there is room for one more.
    pub(super) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        // It is never closed.
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    /// Gives the place to a client at this address, unless that has too many.
    pub(super) fn give(&self, permit: OwnedSemaphorePermit, from: Option<IpAddr>) -> Option<Place> {
        let from = match from.map(network) {
            None => None,
            Some(network) => {
                let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
                let count = taken.entry(network).or_insert(0);
                if *count >= self.per_address {
                    self.counted.refused.inc();
                    return None;
                }
                *count += 1;
                Some((network, Arc::clone(&self.taken)))
            }
        };
        self.counted.open.inc();
        Some(Place { _permit: permit, from, counted: self.counted.clone() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.counted.open.dec();
        let Some((network, taken)) = &self.from else { return };
        let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(network) {
            *count -= 1;
            if *count == 0 {
                taken.remove(network);
            }
        }
    }
}

/// What counts as one address: who has an IPv6 address has 2^64 of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_has_its_share_and_gets_it_back() {
        let limits = Limits { clients: 8, per_address: 2, ..Limits::default() };
        let room = Room::new(&limits, Connections::default());
        let from = async |address: &str| {
            let permit = room.place().await.expect("room");
            room.give(permit, Some(address.parse().expect("an address")))
        };
        let (first, second) = (from("10.0.0.1").await, from("::ffff:10.0.0.1").await);
        assert!(first.is_some() && second.is_some());
        assert!(from("10.0.0.1").await.is_none());
        let other = from("10.0.0.2").await;
        let (a, b) = (from("2001:db8::1").await, from("2001:db8::2").await);
        assert!(other.is_some() && a.is_some() && b.is_some());
        assert!(from("2001:db8::3").await.is_none());
        assert!(from("2001:db8:0:1::3").await.is_some());
        drop(first);
        assert!(from("10.0.0.1").await.is_some());
        drop((second, other, a, b));
        assert!(room.taken.lock().expect("unpoisoned").is_empty());
        assert_eq!((room.places.available_permits(), room.counted.open.get()), (8, 0));
    }
}

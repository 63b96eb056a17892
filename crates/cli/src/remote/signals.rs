//! Signals that are meant for the command that runs at the service.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::{Failure, OWN_FAILURE};

/// Those that a terminal or somebody else sends, by signal(7).
const FORWARDED: [u8; 7] = [HUP, INT, QUIT, 10, 12, TERM, WINCH];
const HUP: u8 = 1;
const INT: u8 = 2;
const QUIT: u8 = 3;
/// That nobody reads any more.
pub(super) const PIPE: u8 = 13;
const TERM: u8 = 15;
/// That the terminal has another size.
pub(super) const WINCH: u8 = 28;

/// They end this process no more.
pub(super) struct Signals(Vec<(u8, Signal)>);

impl Signals {
    pub(super) fn begin() -> Result<Self, Failure> {
        let failed = |error: std::io::Error| Failure::caused(OWN_FAILURE, "server", &error);
        let one = |number: u8| Ok((number, signal(SignalKind::from_raw(number.into()))?));
        FORWARDED.into_iter().map(one).collect::<Result<_, _>>().map(Self).map_err(failed)
    }

    /// The next one.
    pub(super) async fn next(&mut self) -> u8 {
        std::future::poll_fn(|context| {
            for (number, signal) in &mut self.0 {
                if signal.poll_recv(context).is_ready() {
                    return std::task::Poll::Ready(*number);
                }
            }
            std::task::Poll::Pending
        })
        .await
    }

    /// Whether it ends whoever waits for a service that does not answer.
    pub(super) fn ends_us(&self, number: u8) -> bool {
        matches!(number, HUP | INT | QUIT | TERM)
    }
}

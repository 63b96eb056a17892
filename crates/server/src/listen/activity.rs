//! Whether a connection is used. hyper keeps one for as long as its client likes; this tells when that
//! is too long.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::limits::{Limits, Place};

/// What goes on at a connection.
#[derive(Debug)]
pub(super) struct Activity(Mutex<State>);

#[derive(Debug)]
struct State {
    /// How many requests are under way: from their headers to the end of their answers.
    under_way: usize,
    /// Whether there was a request at all.
    was_asked: bool,
    /// Since when nothing has been under way.
    since: Instant,
    /// Since when the client has not taken what is written to it.
    blocked: Option<Instant>,
    /// The answers of which something was handed over and more was not asked for, and since when. With
    /// HTTP/2 a client can stop taking one answer while the connection goes on.
    owed: HashMap<u64, Instant>,
    next: u64,
}

/// Why a connection should end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TooLong {
    /// There was no request.
    Idle,
    /// The client does not take what it is sent.
    Stalled,
}

impl Activity {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            under_way: 0,
            was_asked: false,
            since: Instant::now(),
            blocked: None,
            owed: HashMap::new(),
            next: 0,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request begins; it is over when the answer is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> UnderWay {
        let mut state = self.state();
        state.under_way += 1;
        state.was_asked = true;
        state.next += 1;
        UnderWay { activity: Arc::clone(self), number: state.next, owes: false }
    }

    /// Waits until the connection should end.
    pub(super) async fn too_long(&self, limits: &Limits) -> TooLong {
        loop {
            match self.look(Instant::now(), limits) {
                Ok(wait) => tokio::time::sleep(wait).await,
                Err(why) => return why,
            }
        }
    }

    /// After how long it is worth looking again, or why that is not worth it.
    fn look(&self, now: Instant, limits: &Limits) -> Result<Duration, TooLong> {
        let state = self.state();
        let left = |since: Instant, most: Duration| {
            most.checked_sub(now - since).filter(|left| !left.is_zero())
        };
        let oldest = state.owed.values().copied().chain(state.blocked).min();
        if let Some(oldest) = oldest {
            return left(oldest, limits.stalled).ok_or(TooLong::Stalled);
        }
        match (state.under_way, state.was_asked) {
            (0, false) => left(state.since, limits.first).ok_or(TooLong::Idle),
            (0, true) => left(state.since, limits.idle).ok_or(TooLong::Idle),
            _ => Ok(limits.stalled.min(limits.idle)),
        }
    }
}

/// A request that is under way.
#[derive(Debug)]
pub(super) struct UnderWay {
    activity: Arc<Activity>,
    number: u64,
    owes: bool,
}

impl UnderWay {
    /// A piece of the answer was handed over: the client has to take it.
    pub(super) fn hands_over(&mut self) {
        self.owes = true;
        self.activity.state().owed.insert(self.number, Instant::now());
    }

    /// There is room for more of the answer.
    pub(super) fn may_go_on(&mut self) {
        if std::mem::take(&mut self.owes) {
            self.activity.state().owed.remove(&self.number);
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut state = self.activity.state();
        state.owed.remove(&self.number);
        state.under_way -= 1;
        if state.under_way == 0 {
            state.since = Instant::now();
        }
    }
}

/// A connection of any kind.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection with its place, and an eye on whether the client takes what it is sent.
pub(super) struct Watched {
    pub(super) stream: Box<dyn Stream>,
    pub(super) activity: Arc<Activity>,
    /// It goes with the stream, which may be used for something else after HTTP.
    pub(super) _place: Place,
}

impl Watched {
    fn note<T>(&self, polled: Poll<T>) -> Poll<T> {
        let mut state = self.activity.state();
        match (&polled, state.blocked) {
            (Poll::Pending, None) => state.blocked = Some(Instant::now()),
            (Poll::Ready(_), Some(_)) => {
                state.blocked = None;
                // Until now the last answer was under way to the client.
                state.since = Instant::now();
            }
            _ => {}
        }
        drop(state);
        polled
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.note(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(context);
        self.note(polled)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

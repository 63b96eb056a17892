//! Bodies that neither end can hold open for as long as it likes.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::BoxError;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use super::activity::UnderWay;
use super::limits::Limits;
use crate::observed::Observer;

/// The body of a request, which has to come at some pace.
pub(super) struct Paced<B> {
    body: B,
    pause: Duration,
    rate: u64,
    /// How long it was waited for pieces, and how much came.
    waited: Duration,
    received: u64,
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
    is_late: Arc<AtomicBool>,
}

impl<B> Paced<B> {
    /// A body, and whether it was given up.
    pub(super) fn new(body: B, limits: &Limits) -> (Self, Arc<AtomicBool>) {
        let is_late = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&is_late);
        let (pause, rate) = (limits.pause, limits.rate);
        let (waited, received, waiting) = (Duration::ZERO, 0, None);
        (Self { body, pause, rate, waited, received, waiting, is_late }, told)
    }

    fn late(&self) -> BoxError {
        self.is_late.store(true, Ordering::Relaxed);
        "the body comes too slowly".into()
    }
}

impl<B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Unpin> HttpBody for Paced<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        let Poll::Ready(found) = polled else {
            let pause = self.pause;
            // The time begins when somebody waits for it: the service may take its own.
            let (_, timer) = self
                .waiting
                .get_or_insert_with(|| (Instant::now(), Box::pin(tokio::time::sleep(pause))));
            ready!(timer.as_mut().poll(context));
            return Poll::Ready(Some(Err(self.late())));
        };
        if let Some((since, _)) = self.waiting.take() {
            self.waited += since.elapsed();
        }
        if let Some(Ok(frame)) = &found {
            self.received += frame.data_ref().map_or(0, |data| data.len() as u64);
            let least = u128::from(self.rate) * self.waited.as_millis() / 1000;
            if self.waited > self.pause && u128::from(self.received) < least {
                return Poll::Ready(Some(Err(self.late())));
            }
        }
        Poll::Ready(found.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The request is under way until its answer is gone.
impl Observer for UnderWay {
    fn asked(&mut self) {
        self.may_go_on();
    }

    fn handed_over(&mut self, _piece: &Frame<Bytes>) {
        self.hands_over();
    }
}

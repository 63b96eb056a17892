//! What a call leaves unread of the body of its request. A connection that is closed with bytes that nobody took
//! is reset, and a client that is being answered loses what has not arrived (RFC 9112, section 9.6).

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::BoxError;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

/// How much is taken from a body that no call wants, in bytes, and how long it is waited for.
const MOST: usize = 64 << 10;
const PATIENCE: Duration = Duration::from_secs(2);

/// A body that a call may drop before its end.
pub(super) struct Shared<B>(Arc<Mutex<B>>);

/// What is left of it afterwards.
pub(super) struct Unread<B>(Arc<Mutex<B>>);

/// The body for the call, and for what comes after it.
pub(super) fn shared<B>(body: B) -> (Shared<B>, Unread<B>) {
    let body = Arc::new(Mutex::new(body));
    (Shared(Arc::clone(&body)), Unread(body))
}

impl<B> Shared<B> {
    fn body(&self) -> MutexGuard<'_, B> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B> HttpBody for Shared<B>
where
    B: HttpBody<Data = Bytes, Error = BoxError> + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut *self.body()).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body().size_hint()
    }
}

impl<B> Unread<B>
where
    B: HttpBody<Data = Bytes, Error = BoxError> + Unpin,
{
    /// Takes what is left, if the call let go of it and it is not much.
    pub(super) async fn take(self) {
        // The call still reads it.
        let Some(body) = Arc::into_inner(self.0) else { return };
        let mut body = body.into_inner().unwrap_or_else(PoisonError::into_inner);
        let rest = async {
            let mut left = MOST;
            while let Some(Ok(frame)) =
                poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await
            {
                let length = frame.data_ref().map_or(0, Bytes::len);
                let Some(less) = left.checked_sub(length) else { return };
                left = less;
            }
        };
        let _ = tokio::time::timeout(PATIENCE, rest).await;
    }
}

//! A body of an answer that something goes along with until all of it is sent, or nobody wants it any more.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

/// What goes along with a body; it is dropped with it.
pub(crate) trait Observer: Unpin {
    /// Somebody asks for the next piece.
    fn asked(&mut self) {}

    /// A piece is handed over.
    fn handed_over(&mut self, _piece: &Frame<Bytes>) {}
}

/// A body, and what goes along with it.
pub(crate) struct Observed<O> {
    body: Body,
    observer: O,
}

impl<O: Observer + Send + 'static> Observed<O> {
    pub(crate) fn body(body: Body, observer: O) -> Body {
        Body::new(Self { body, observer })
    }
}

impl<O: Observer> HttpBody for Observed<O> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.observer.asked();
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(piece))) = &polled {
            self.observer.handed_over(piece);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

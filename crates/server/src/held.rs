//! How much memory each tenant has taken by what it sends: bodies of requests, and what operations that wait
//! for their turn are to write or to read.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};

use axum::BoxError;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use ctrlz_core::tenancy::TenantName;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use crate::auth::Caller;
use crate::problem::Problem;
use crate::service::Service;

/// The most that one tenant may take, in bytes.
const MOST: usize = 512 << 20;

/// What all tenants have taken.
#[derive(Debug, Default)]
pub(crate) struct Memory(Mutex<HashMap<TenantName, Weak<AtomicUsize>>>);

/// A part of what a tenant has taken, until it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    all: Arc<AtomicUsize>,
    own: AtomicUsize,
}

impl Memory {
    /// Nothing yet of what that tenant may take.
    fn of(&self, tenant: &TenantName) -> Held {
        let mut tenants = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all = tenants.get(tenant).and_then(Weak::upgrade).unwrap_or_else(|| {
            tenants.retain(|_, all| all.strong_count() > 0);
            let new = Arc::<AtomicUsize>::default();
            tenants.insert(tenant.clone(), Arc::downgrade(&new));
            new
        });
        Held { all, own: AtomicUsize::new(0) }
    }

    /// Takes so many bytes.
    ///
    /// # Errors
    /// When the tenant has taken too many already.
    pub(crate) fn take(&self, tenant: &TenantName, bytes: usize) -> Result<Held, Problem> {
        let held = self.of(tenant);
        if held.add(bytes) { Ok(held) } else { Err(too_much()) }
    }
}

impl Held {
    /// Takes so many bytes more; false when that is too much.
    fn add(&self, bytes: usize) -> bool {
        let more = |taken: usize| taken.checked_add(bytes).filter(|taken| *taken <= MOST);
        let added = self.all.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok();
        if added {
            self.own.fetch_add(bytes, Ordering::Relaxed);
        }
        added
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.fetch_sub(*self.own.get_mut(), Ordering::Relaxed);
    }
}

fn too_much() -> Problem {
    let title = format!("what this tenant sent and what of it waits takes {} MiB", MOST >> 20);
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate-limited", title)
        .hint("send it again when something of it has ended")
        .retry_after(1)
}

/// Counts the body of a request for as long as the request is answered.
pub(crate) async fn count(
    State(service): State<Arc<Service>>,
    caller: Caller,
    request: Request,
    next: Next,
) -> Response {
    let held = Arc::new(service.memory.of(&caller.tenant));
    let is_too_much = Arc::new(AtomicBool::new(false));
    let (parts, body) = request.into_parts();
    let counted = (Arc::clone(&held), Arc::clone(&is_too_much));
    let request = Request::from_parts(parts, Body::new(Counted { body, counted }));
    let response = next.run(request).await;
    drop(held);
    match is_too_much.load(Ordering::Relaxed) {
        false => response,
        true => too_much().into_response(),
    }
}

/// A body of which each piece is taken from what the tenant may have.
struct Counted {
    body: Body,
    counted: (Arc<Held>, Arc<AtomicBool>),
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            let (held, is_too_much) = &self.counted;
            if !held.add(frame.data_ref().map_or(0, Bytes::len)) {
                is_too_much.store(true, Ordering::Relaxed);
                return Poll::Ready(Some(Err("the tenant sends too much at once".into())));
            }
        }
        polled.map(|frame| frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_takes_so_much_and_gives_it_back() {
        let memory = Memory::default();
        let (a, b) = ("a".parse().expect("a name"), "b".parse().expect("a name"));
        let first = memory.take(&a, MOST - 1).expect("room");
        assert_eq!(memory.take(&a, 2).expect_err("too much").status().as_u16(), 429);
        let _second = memory.take(&a, 1).expect("room");
        assert!(memory.take(&b, MOST).is_ok(), "another's is another's");
        assert!(memory.take(&a, 1).is_err());
        drop(first);
        assert!(memory.take(&a, MOST - 1).is_ok());
        assert!(memory.take(&a, usize::MAX).is_err());
    }
}

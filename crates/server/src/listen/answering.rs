//! What stands between a connection and the calls.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::IntoResponse as _;
use hyper::body::Incoming;
use hyper::{Request, Response};
use tower::ServiceExt as _;

use super::activity::Activity;
use super::body::Paced;
use super::limits::Limits;
use super::unread;
use crate::observed::Observed;
use crate::problem::Problem;

/// For how long a client should come with TLS alone, once it has: a year.
const STRICT: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Answers the requests of one connection.
pub(super) struct Answering {
    pub(super) router: Router,
    pub(super) activity: Arc<Activity>,
    pub(super) limits: Arc<Limits>,
    pub(super) has_tls: bool,
}

impl hyper::service::Service<Request<Incoming>> for Answering {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let under_way = self.activity.begin();
        let (parts, body) = request.into_parts();
        let (body, is_late) = Paced::new(body, &self.limits);
        // Who waits for leave to send it is not asked for what nobody wants.
        let waits = parts.headers.contains_key(header::EXPECT);
        let (body, unread) = unread::shared(body);
        let request = Request::from_parts(parts, Body::new(body));
        let (router, has_tls) = (self.router.clone(), self.has_tls);
        Box::pin(async move {
            let Ok(mut response) = router.oneshot(request).await;
            if is_late.load(Ordering::Relaxed) {
                let title = "the body of the request came too slowly";
                response = Problem::new(StatusCode::REQUEST_TIMEOUT, "timeout", title)
                    .hint("nothing was done; send it again")
                    .into_response();
                // What is left of the body is not waited for.
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
            } else if !waits {
                unread.take().await;
            }
            if has_tls {
                response.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, STRICT);
            }
            Ok(response.map(|body| Observed::body(body, under_way)))
        })
    }
}

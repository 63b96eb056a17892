//! The request that is being answered, for whatever its task does.

use std::future::Future;
use std::sync::Arc;

use axum::http::HeaderMap;
use opentelemetry::Context;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::propagation::TraceContextPropagator;

tokio::task_local! {
    static CURRENT: Current;
}

/// What is known of a request wherever something is done for it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Current {
    /// Its id, fit for a log.
    pub(crate) id: Arc<str>,
    /// The trace that its client is in (W3C Trace Context).
    pub(crate) parent: Context,
}

impl Current {
    /// A request with these headers. The client's trace counts when there are `traces`.
    pub(crate) fn new(id: &str, headers: &HeaderMap, has_traces: bool) -> Self {
        let parent = match has_traces {
            true => TraceContextPropagator::new()
                .extract_with_context(&Context::new(), &HeaderExtractor(headers)),
            false => Context::new(),
        };
        Self { id: id.into(), parent }
    }
}

/// The request that this task answers.
pub(crate) fn current() -> Current {
    CURRENT.try_with(Clone::clone).unwrap_or_default()
}

/// Does something for a request.
pub(crate) fn with<F: Future>(current: Current, act: F) -> impl Future<Output = F::Output> {
    CURRENT.scope(current, act)
}

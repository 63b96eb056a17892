//! Traces of operations, sent by OTLP over HTTP as protobuf. An operation is one trace: what it waits for
//! before it runs, and what it then does.
//!
//! Nothing waits for the collector: spans go into a bounded queue that a thread sends from; what does not
//! fit is dropped.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::http::{Request, Response};
use bytes::Bytes;
use opentelemetry::trace::{
    Span as _, SpanKind, Status, TraceContextExt as _, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, Span};

use super::current::Current;

/// How long the collector may take for what one answer needs.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long the end of the service waits for what was not sent yet.
const END: Duration = Duration::from_secs(5);
/// How much of the collector's answer is read, in bytes.
const ANSWER: u64 = 64 << 10;

/// Why there are no traces.
#[derive(Debug, thiserror::Error)]
#[error("traces cannot be sent")]
pub struct TraceError(#[source] ExporterBuildError);

/// Where traces go.
#[derive(Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

impl Traces {
    /// As the environment has it (`OTEL_…`, see the OpenTelemetry specification): none without an
    /// endpoint.
    ///
    /// # Errors
    /// When the endpoint is none.
    pub fn from_environment() -> Result<Option<Arc<Self>>, TraceError> {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let endpoints = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];
        let is_off = set("OTEL_SDK_DISABLED")
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
            || set("OTEL_TRACES_EXPORTER").is_some_and(|value| value == "none");
        if is_off || !endpoints.into_iter().any(|name| set(name).is_some()) {
            return Ok(None);
        }
        let exporter = SpanExporter::builder().with_http().with_http_client(Client::new());
        let exporter = exporter.build().map_err(TraceError)?;
        let resource = Resource::builder();
        let resource = match set("OTEL_SERVICE_NAME") {
            Some(_) => resource,
            None => resource.with_service_name("ctrlz"),
        };
        let provider = SdkTracerProvider::builder()
            .with_resource(resource.build())
            .with_batch_exporter(exporter)
            .build();
        let tracer = provider.tracer("ctrlz");
        Ok(Some(Arc::new(Self { provider, tracer })))
    }

    /// Sends what was not sent yet. It blocks, for a few seconds at most.
    pub fn end(&self) {
        // What a collector does not take by now is lost.
        let _ = self.provider.shutdown_with_timeout(END);
    }
}

/// HTTP for the exporter, which has a thread for it.
#[derive(Debug)]
struct Client(ureq::Agent);

impl Client {
    fn new() -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("ctrlz/", env!("CARGO_PKG_VERSION")));
        Self(config.build().into())
    }
}

#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (parts, body) = request.into_parts();
        let answer = self.0.run(Request::from_parts(parts, body.to_vec()))?;
        let (parts, mut body) = answer.into_parts();
        let body = body.with_config().limit(ANSWER).read_to_vec()?;
        Ok(Response::from_parts(parts, body.into()))
    }
}

/// What an operation goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The validator looks at it.
    Validate,
    /// It waits for the sandbox, and for its tenant's turn.
    Wait,
    /// The point before it is kept, and it is journaled.
    Snapshot,
    /// The command runs.
    Run,
    /// What it did is looked at.
    Grade,
    /// What came of it is written down.
    Record,
}

impl Phase {
    fn name(self) -> &'static str {
        match self {
            Self::Validate => "validate",
            Self::Wait => "wait",
            Self::Snapshot => "snapshot",
            Self::Run => "run",
            Self::Grade => "grade",
            Self::Record => "record",
        }
    }
}

/// The trace of one operation, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Trace(Option<Open>);

#[derive(Debug)]
struct Open {
    traces: Arc<Traces>,
    context: Context,
    phase: Option<Span>,
}

impl Trace {
    /// An operation begins for a request.
    pub(crate) fn begin(traces: Option<&Arc<Traces>>, current: &Current, tenant: &str) -> Self {
        let Some(traces) = traces else { return Self(None) };
        let attributes = [("ctrlz.tenant", tenant), ("ctrlz.request_id", &current.id)]
            .map(|(key, value)| KeyValue::new(key, value.to_owned()));
        let span = traces
            .tracer
            .span_builder("operation")
            .with_kind(SpanKind::Server)
            .with_attributes(attributes)
            .start_with_context(&traces.tracer, &current.parent);
        let context = Context::new().with_span(span);
        Self(Some(Open { traces: Arc::clone(traces), context, phase: None }))
    }

    /// One phase ends and the next one begins.
    pub(crate) fn enter(&mut self, phase: Phase) {
        if let Some(open) = &mut self.0 {
            let now = SystemTime::now();
            if let Some(mut before) = open.phase.take() {
                before.end_with_timestamp(now);
            }
            let tracer = &open.traces.tracer;
            let builder = tracer.span_builder(phase.name()).with_start_time(now);
            open.phase = Some(builder.start_with_context(tracer, &open.context));
        }
    }

    /// Something is known of it.
    pub(crate) fn learn(&self, key: &'static str, value: impl Into<Value>) {
        if let Some(open) = &self.0 {
            open.context.span().set_attribute(KeyValue::new(key, value));
        }
    }

    /// It is over, with what kind of failure.
    pub(crate) fn end(mut self, failure: Option<&str>) {
        let Some(open) = &mut self.0 else { return };
        let now = SystemTime::now();
        let span = open.context.span();
        if let Some(kind) = failure {
            span.set_attribute(KeyValue::new("error.type", kind.to_owned()));
            span.set_status(Status::error(kind.to_owned()));
            if let Some(phase) = &mut open.phase {
                phase.set_status(Status::error(kind.to_owned()));
            }
        }
        if let Some(mut phase) = open.phase.take() {
            phase.end_with_timestamp(now);
        }
        span.end_with_timestamp(now);
    }
}

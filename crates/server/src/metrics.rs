//! What is counted, for Prometheus (OpenMetrics 1.0 text). Label values are words of ours: nothing that
//! a client names becomes one.

mod used;

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use ctrlz_engine::RunReport;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use self::used::Used;
use crate::listen::{Connections, Tls};

/// What an operation was and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Operation {
    r#type: &'static str,
    status: &'static str,
}

/// What an operation was.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Type {
    r#type: &'static str,
}

/// What was not let run.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Violation {
    risk: &'static str,
    decision: &'static str,
}

/// An HTTP request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Http {
    method: &'static str,
    code: u16,
}

/// The service's metrics.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Mutex<Registry>,
    operations: Family<Operation, Counter>,
    durations: Family<Type, Histogram>,
    violations: Family<Violation, Counter>,
    rollbacks: Histogram,
    requests: Family<Http, Counter>,
    running: Gauge,
    waiting: Gauge,
    pub(crate) connections: Connections,
    used: Used,
    certificates_loaded: Gauge,
    certificates_stale: Gauge,
    certificates_end: Gauge,
}

/// From a millisecond on, each bucket twice as long as the one before: up to half an hour.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 21))
}

impl Default for Metrics {
    fn default() -> Self {
        let (operations, violations) = (Family::default(), Family::default());
        let requests = Family::default();
        let durations = Family::<Type, Histogram>::new_with_constructor(seconds);
        let (rollbacks, running, waiting) = (seconds(), Gauge::default(), Gauge::default());
        let mut registry = Registry::default();
        registry.register("sandbox_operations", "Operations that ended", operations.clone());
        registry.register_with_unit(
            "sandbox_operation_duration",
            "How long operations took, from the request to the answer",
            Unit::Seconds,
            durations.clone(),
        );
        registry.register(
            "sandbox_safety_violations",
            "Commands that were blocked or had to be confirmed",
            violations.clone(),
        );
        registry.register_with_unit(
            "sandbox_rollback_duration",
            "How long rollbacks took",
            Unit::Seconds,
            rollbacks.clone(),
        );
        let used = Used::register(&mut registry);
        let connections = Connections::default();
        connections.register(&mut registry);
        let (certificates_loaded, certificates_stale) = (Gauge::default(), Gauge::default());
        let certificates_end = Gauge::default();
        registry.register(
            "ctrlz_tls_certificates_expire_timestamp_seconds",
            "Until when the certificate in use holds, in seconds since 1970; 0 where there is none",
            certificates_end.clone(),
        );
        registry.register(
            "ctrlz_tls_certificates_loaded",
            "How often the files of the certificate were taken into use since the start",
            certificates_loaded.clone(),
        );
        registry.register(
            "ctrlz_tls_certificates_stale",
            "1 while the files of the certificate as they are now cannot be used",
            certificates_stale.clone(),
        );
        registry.register("ctrlz_http_requests", "HTTP requests answered", requests.clone());
        registry.register("ctrlz_operations_running", "Operations that run", running.clone());
        registry.register("ctrlz_operations_waiting", "Operations that wait", waiting.clone());
        Self {
            registry: Mutex::new(registry),
            operations,
            durations,
            violations,
            rollbacks,
            requests,
            running,
            waiting,
            connections,
            used,
            certificates_loaded,
            certificates_stale,
            certificates_end,
        }
    }
}

impl Metrics {
    /// An operation ended.
    pub(crate) fn operation(&self, kind: &'static str, took: std::time::Duration, success: bool) {
        let status = if success { "success" } else { "failure" };
        self.operations.get_or_create(&Operation { r#type: kind, status }).inc();
        self.durations.get_or_create(&Type { r#type: kind }).observe(took.as_secs_f64());
        if kind == "rollback" {
            self.rollbacks.observe(took.as_secs_f64());
        }
    }

    /// A snapshot was taken whose layers take so many bytes.
    pub(crate) fn snapshot(&self, size: u64) {
        self.used.snapshot(size);
    }

    /// A command was not let run at once.
    pub(crate) fn violation(&self, risk: &'static str, decision: &'static str) {
        self.violations.get_or_create(&Violation { risk, decision }).inc();
    }

    /// A request was answered.
    pub(crate) fn request(&self, method: &axum::http::Method, code: u16) {
        let method = match method.as_str() {
            "GET" => "GET",
            "POST" => "POST",
            "PUT" => "PUT",
            "DELETE" => "DELETE",
            _ => "other",
        };
        self.requests.get_or_create(&Http { method, code }).inc();
    }

    /// All of them, as text.
    pub(crate) fn text(&self, (running, waiting): (usize, usize), tls: Option<&Tls>) -> String {
        if let Some(tls) = tls {
            self.certificates_loaded.set(i64::try_from(tls.loaded()).unwrap_or(i64::MAX));
            self.certificates_stale.set(tls.trouble().is_some().into());
            self.certificates_end.set(tls.end().map_or(0, |end| end.0 / 1_000_000_000));
        }
        self.running.set(i64::try_from(running).unwrap_or(i64::MAX));
        self.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        // Writing to a text cannot fail.
        if prometheus_client::encoding::text::encode(&mut text, &registry).is_err() {
            let _ = write!(text, "# EOF");
        }
        text
    }
}

/// How long something took, told when it is over.
pub(crate) struct Timing {
    metrics: Arc<crate::Service>,
    kind: &'static str,
    begun: std::time::Instant,
}

impl Timing {
    pub(crate) fn begin(service: &Arc<crate::Service>, kind: &'static str) -> Self {
        Self { metrics: Arc::clone(service), kind, begun: std::time::Instant::now() }
    }

    /// What the command used and changed that it is about.
    pub(crate) fn command(&self, report: &RunReport) {
        self.metrics.metrics.used.command(report);
    }

    pub(crate) fn end(self, success: bool) {
        self.metrics.metrics.operation(self.kind, self.begun.elapsed(), success);
    }
}

//! What is told to anybody: health, the description of the calls; and metrics, to who may look.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router, middleware};
use ctrlz_core::event::Severity;
use ctrlz_core::time::Timestamp;
use serde_json::{Map, Value, json};

use crate::auth::{Looking, authenticate};
use crate::listen::{Expiry, Tls};
use crate::openapi;
use crate::problem::Problem;
use crate::service::{Service, blocking};

/// The calls.
pub(super) fn router(service: &Arc<Service>) -> Router<Arc<Service>> {
    let metrics = Router::new()
        .route("/metrics", get(metrics))
        .route_layer(middleware::from_fn_with_state(Arc::clone(service), authenticate));
    Router::new()
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/openapi.json", get(document))
        .route("/docs", get(page))
        .merge(metrics)
}

fn timestamp(service: &Service) -> f64 {
    service.now().0 as f64 / 1e9
}

/// The process answers.
async fn live(State(service): State<Arc<Service>>) -> Json<Value> {
    Json(json!({ "status": "healthy", "timestamp": timestamp(&service) }))
}

/// Operations can be carried out.
async fn ready(State(service): State<Arc<Service>>) -> Result<Response, Problem> {
    let asked = Arc::clone(&service);
    let found = blocking(move || Ok(asked.parts.backend.check())).await?;
    let mut checks = Map::new();
    let mut ready = !service.is_draining();
    checks.insert("accepting".to_owned(), json!({ "healthy": ready }));
    for check in found {
        ready &= check.trouble.is_none();
        let told = match check.trouble {
            None => json!({ "healthy": true }),
            Some(trouble) => json!({ "healthy": false, "reason": trouble }),
        };
        checks.insert(check.name.to_owned(), told);
    }
    if let Some(tls) = &service.parts.tls {
        // Clients are still served, with the certificate that was there before.
        let told = certificate(tls, service.now());
        ready &= told.get("healthy") != Some(&Value::Bool(false));
        checks.insert("certificate".to_owned(), told.into());
    }
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let status = if ready { "ready" } else { "not_ready" };
    let body = json!({ "status": status, "checks": checks, "timestamp": timestamp(&service) });
    Ok((code, Json(body)).into_response())
}

/// How the certificate is. When it has expired, nobody can come who looks at it.
fn certificate(tls: &Tls, now: Timestamp) -> Map<String, Value> {
    let Expiry { severity, words } = Expiry::at(tls.end(), now);
    let has_expired = severity == Severity::Critical;
    let mut told = Map::new();
    told.insert("healthy".to_owned(), (!has_expired).into());
    if let Some(end) = tls.end() {
        told.insert("expires".to_owned(), end.rfc3339().into());
    }
    if severity == Severity::Warning {
        told.insert("warning".to_owned(), words.clone().into());
    }
    let trouble = tls.trouble();
    if trouble.is_some() {
        told.insert("stale".to_owned(), true.into());
    }
    let reasons: Vec<String> = has_expired.then_some(words).into_iter().chain(trouble).collect();
    if !reasons.is_empty() {
        told.insert("reason".to_owned(), reasons.join("; ").into());
    }
    told
}

async fn metrics(State(service): State<Arc<Service>>, Looking(_): Looking) -> Response {
    let text = service.metrics.text(service.quota.load(), service.parts.tls.as_deref());
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

async fn document() -> Response {
    let kind = "application/json";
    ([(header::CONTENT_TYPE, kind)], openapi::document()).into_response()
}

async fn page(State(service): State<Arc<Service>>) -> Response {
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
    let html = Html(openapi::page(service.parts.version));
    ([(header::CONTENT_SECURITY_POLICY, policy)], html).into_response()
}

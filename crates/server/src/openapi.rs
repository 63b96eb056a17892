//! The description of the calls (OpenAPI 3.1), made from their code.

use std::fmt::Write as _;
use std::sync::OnceLock;

use serde_json::Value;
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};

use crate::routes;

/// What is not told by single calls.
#[derive(OpenApi)]
#[openapi(info(
    title = "ctrlz",
    description = "Runs anything as a transaction: checked before it runs, isolated while it runs, \
        graded by what it did, and undone. Errors are problem details (RFC 9457). The scope of a \
        call's `token` is the least role that it needs; with `default` behind it, in that tenant alone.",
))]
struct Whole;

/// The description, as JSON.
pub(crate) fn document() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| {
        let (_, calls) = routes::documented().split_for_parts();
        let mut whole = Whole::openapi();
        whole.merge(calls);
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("a token of `ctrlz token new` or `POST /v1/tokens`"))
            .build();
        let components = whole.components.get_or_insert_default();
        components.security_schemes.insert("token".to_owned(), SecurityScheme::Http(scheme).into());
        whole.to_json().unwrap_or_default()
    })
}

/// The description as a page that needs nothing from anywhere else.
pub(crate) fn page(version: &str) -> String {
    let document: Value = serde_json::from_str(document()).unwrap_or_default();
    let mut calls = String::new();
    for (path, methods) in document.get("paths").and_then(Value::as_object).into_iter().flatten() {
        for (method, call) in methods.as_object().into_iter().flatten() {
            let text = |name: &str| call.get(name).and_then(Value::as_str).unwrap_or_default();
            let words = [text("summary"), text("description")].join(" ");
            let scopes = call.pointer("/security/0/token").and_then(Value::as_array);
            let scopes = scopes.into_iter().flatten().filter_map(Value::as_str);
            let role = scopes.collect::<Vec<_>>().join(" of ");
            let _ = write!(
                calls,
                "<h3><code>{} {}</code> <small>{}</small></h3><p>{}</p>",
                escaped(&method.to_uppercase()),
                escaped(path),
                escaped(if role.is_empty() { "anybody" } else { &role }),
                escaped(words.trim()),
            );
        }
    }
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>ctrlz</title>\
         <style>body{{font:16px/1.5 sans-serif;max-width:50em;margin:2em auto;padding:0 1em}}\
         small{{color:#666}}code{{font-size:1em}}</style>\
         <h1>ctrlz {}</h1><p>Send <code>Authorization: Bearer TOKEN</code>. Beside each call stands \
         the least role that it needs. The whole description: <a href=/openapi.json>openapi.json\
         </a>.</p>{calls}",
        escaped(version),
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

//! `audit` at a service.

use hyper::Method;
use serde::Deserialize;
use serde_json::json;

use super::client::{Call, Client, query};
use super::not_remote;
use super::problem::not_understood;
use crate::Answer;
use crate::arguments::{AuditAction, AuditArguments};
use crate::commands::audit::{self, Shown};

#[derive(Deserialize)]
struct Note {
    note: String,
}

#[derive(Deserialize)]
struct Key {
    key: String,
}

/// A part of the log, as a query.
fn part(from: Option<i64>, to: Option<i64>) -> String {
    let fields = [("from", from), ("to", to)];
    let fields = fields.into_iter().filter_map(|(name, number)| Some((name, number?.to_string())));
    query(&fields.collect::<Vec<_>>())
}

pub(super) fn audit(client: &Client, arguments: &AuditArguments, json: bool) -> Answer {
    match &arguments.action {
        AuditAction::Verify { file: Some(_), .. } | AuditAction::Verify { key: Some(_), .. } => {
            Err(not_remote("`ctrlz audit verify` of a file or by a key", "both are of this host")
                .hint("without --server and CTRLZ_SERVER an export is verified here"))
        }
        AuditAction::Verify { from, to, .. } => {
            let shown: Shown = client.get(&format!("/v1/audit/verify{}", part(*from, *to)))?;
            shown.tell(None, json)
        }
        AuditAction::Export { file, from, to } => {
            let call = Call::new(Method::GET, format!("/v1/audit/export{}", part(*from, *to)));
            let answer = client.wait(client.ask(call))?;
            let text = std::str::from_utf8(&answer.body)
                .map_err(|error| not_understood(env!("CARGO_PKG_VERSION"), &error.to_string()))?;
            audit::tell_export(text, file.as_deref(), json)
        }
        AuditAction::Sign => {
            let Note { note } = client.post("/v1/audit/sign", &json!({}))?;
            audit::tell_note(&note, json)
        }
        AuditAction::Key => {
            let Key { key } = client.get("/v1/audit/key")?;
            audit::tell_key(&key, json)
        }
    }
}

//! What the user reads: text with colour on a terminal, or one JSON object.

mod changes;
mod effects;
mod excerpt;
mod outline;
mod patch;
mod plain;
mod style;
mod table;
mod verdict;
mod visible;

pub(crate) use changes::{counts_in_words, print_tree};
pub(crate) use effects::print_effects;
pub(crate) use excerpt::print_excerpts;
pub(crate) use outline::Read;
pub(crate) use patch::{patch_text, print_painted, print_patch, print_text_diff};
pub(crate) use plain::plain;
pub(crate) use style::Style;
pub(crate) use table::{columns, print_table};
pub(crate) use verdict::{ToldVerdict, print_verdict, rules, told_verdict, verdict_fields};
pub(crate) use visible::visible;

use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};

use crate::Answer;
use crate::failure::{Failure, OWN_FAILURE};

/// Prints `{"ok": true, KEY: VALUE, ...}`.
pub(crate) fn print_json(fields: &[(&str, Value)]) {
    print_with(json!({ "ok": true }), fields);
}

/// Prints a failure that has more to tell: `{"ok": false, ..., KEY: VALUE, ...}`.
pub(crate) fn print_failure_json(failure: &Failure, fields: &[(&str, Value)]) {
    print_with(failure.to_json(), fields);
}

fn print_with(mut object: Value, fields: &[(&str, Value)]) {
    if let Some(map) = object.as_object_mut() {
        for (key, value) in fields {
            map.insert((*key).to_owned(), value.clone());
        }
    }
    println!("{object}");
}

/// A value as JSON.
pub(crate) fn to_json(value: &impl Serialize) -> Result<Value, Failure> {
    serde_json::to_value(value).map_err(|error| Failure::caused(OWN_FAILURE, "json", &error))
}

/// A path as JSON: text, or its bytes where it is not UTF-8.
pub(crate) fn path_to_json(path: &Path) -> Result<Value, Failure> {
    ctrlz_core::path::host::serialize(path, serde_json::value::Serializer)
        .map_err(|error| Failure::caused(OWN_FAILURE, "json", &error))
}

/// Success.
pub(crate) fn done() -> Answer {
    Ok(0)
}

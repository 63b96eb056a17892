//! Texts in JSON as values: what a program reads from its own text is known.

use super::value::Value;

/// The longest text that is read.
const LONGEST: usize = 16 << 10;

/// The value that a text stands for, if it is JSON.
pub(super) fn value(text: &[u8]) -> Option<Value> {
    // The parser of a well kept crate goes 128 levels deep at most.
    let text = text.get(..).filter(|text| text.len() <= LONGEST)?;
    Some(known(&serde_json::from_slice(text).ok()?))
}

fn known(json: &serde_json::Value) -> Value {
    use serde_json::Value as Json;
    match json {
        Json::String(text) => Value::text(text.as_bytes()),
        Json::Number(number) => number.as_i64().map_or_else(Value::default, Value::number),
        Json::Array(items) => Value::list(items.iter().map(known).collect()),
        Json::Object(entries) => Value::map(
            entries.iter().map(|(key, one)| (key.as_bytes().to_vec(), known(one))).collect(),
        ),
        Json::Null | Json::Bool(_) => Value::default(),
    }
}

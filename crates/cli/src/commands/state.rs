//! `ctrlz state`.

use std::io::{Read, Write};

use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::state::{Expected, MAX_VALUE, StateEntry, StateKey};

use crate::Answer;
use crate::arguments::{StateAction, StateArguments};
use crate::context::{Context, WhenBusy};
use crate::failure::{Failure, OWN_FAILURE, REFUSED};
use crate::show::{self, print_table};

pub(crate) fn state(arguments: StateArguments, json: bool) -> Answer {
    let context = Context::open()?;
    let sandbox = context.sandbox(arguments.sandbox.as_ref())?;
    match arguments.action {
        StateAction::Get { key, version } => get(&context, &sandbox, &parse(&key)?, version, json),
        StateAction::Put { key, value, expect } => {
            let key = parse(&key)?;
            let value = value.map_or_else(|| read_value(&key), |text| Ok(text.into_bytes()))?;
            write(&context, &sandbox, &key, Some(&value), expect, json)
        }
        StateAction::Delete { key, expect } => {
            write(&context, &sandbox, &parse(&key)?, None, expect, json)
        }
        StateAction::List { version } => {
            let entries = context.store().list(sandbox.id, version)?;
            list(&entries, json)
        }
        StateAction::History { key } => {
            let entries = context.store().history(sandbox.id, &parse(&key)?)?;
            list(&entries, json)
        }
    }
}

fn parse(key: &str) -> Result<StateKey, Failure> {
    key.parse().map_err(|error| Failure::caused(OWN_FAILURE, "state-key", &error))
}

/// Reads one byte more than is allowed, so that the store can refuse it by its size.
fn read_value(key: &StateKey) -> Result<Vec<u8>, Failure> {
    let mut value = Vec::new();
    std::io::stdin()
        .take(MAX_VALUE as u64 + 1)
        .read_to_end(&mut value)
        .map_err(|error| Failure::caused(OWN_FAILURE, "input", &error).hint(key.to_string()))?;
    Ok(value)
}

fn get(
    context: &Context,
    sandbox: &Sandbox,
    key: &StateKey,
    version: Option<u64>,
    json: bool,
) -> Answer {
    let Some(entry) = context.store().get(sandbox.id, key, version)? else {
        let message = format!("there is no value of `{key}` in sandbox `{}`", sandbox.name);
        return Err(Failure::new(REFUSED, "no-value", message));
    };
    let value = entry.value.clone().unwrap_or_default();
    if json {
        let value = match String::from_utf8(value) {
            Ok(text) => serde_json::json!(text),
            Err(error) => serde_json::json!({ "bytes": error.into_bytes() }),
        };
        show::print_json(&[("entry", show::to_json(&entry)?), ("value", value)]);
        return show::done();
    }
    let written = std::io::stdout().write_all(&value);
    written.map_err(|error| Failure::caused(OWN_FAILURE, "output", &error))?;
    show::done()
}

fn write(
    context: &Context,
    sandbox: &Sandbox,
    key: &StateKey,
    value: Option<&[u8]>,
    expect: Option<u64>,
    json: bool,
) -> Answer {
    let expected = match expect {
        None => Expected::Any,
        Some(0) => Expected::Absent,
        Some(version) => Expected::Version(version),
    };
    let version = context
        .with_core(WhenBusy::Wait, |core| Ok(core.put_state(sandbox, key, value, expected)?))?;
    if json {
        show::print_json(&[("key", show::to_json(key)?), ("version", version.into())]);
    } else {
        println!("{key} at version {version}");
    }
    show::done()
}

fn list(entries: &[StateEntry], json: bool) -> Answer {
    if json {
        show::print_json(&[("entries", show::to_json(&entries)?)]);
        return show::done();
    }
    let rows: Vec<Vec<String>> = entries
        .iter()
        .map(|entry| {
            let size = if entry.deleted { "deleted".to_owned() } else { entry.size.to_string() };
            vec![entry.key.to_string(), entry.version.to_string(), size, entry.written.rfc3339()]
        })
        .collect();
    print_table(&["KEY", "VERSION", "BYTES", "WRITTEN"], &rows, "no values");
    show::done()
}

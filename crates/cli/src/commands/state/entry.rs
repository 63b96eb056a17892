//! Reading and writing single values.

use std::io::{Read, Write};

use ctrlz_config::KeySource;
use ctrlz_core::name::SandboxName;
use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::state::{Expected, MAX_VALUE, StateEntry, StateKey};
use ctrlz_core::state_store::SealedValue;
use ctrlz_engine::StateChange;

use crate::Answer;
use crate::context::{Context, WhenBusy};
use crate::failure::{Failure, OWN_FAILURE, REFUSED};
use crate::show::{self, plain, print_table};
use crate::state_key;

pub(super) fn get(
    context: &Context,
    sandbox: &Sandbox,
    key: &StateKey,
    version: Option<u64>,
    with: Option<&KeySource>,
    json: bool,
) -> Answer {
    let Some(entry) = context.store().get(sandbox.id, key, version)? else {
        return Err(no_value(key, &sandbox.name));
    };
    let stored = entry.value.clone().unwrap_or_default();
    let value = match entry.sealed {
        None => stored,
        Some(wanted) => {
            let version = entry.version;
            let secret = state_key::configured(with).map_err(|failure| {
                let detail = format!("`{key}` at version {version} is encrypted with key {wanted}");
                failure.detail(detail)
            })?;
            secret.open(key, &stored, wanted).map_err(|error| {
                let message = format!("cannot open the value of `{key}` at version {version}");
                Failure::new(REFUSED, "wrong-key", message).detail(error.to_string())
            })?
        }
    };
    tell_value(&entry, value, json)
}

pub(crate) fn no_value(key: &StateKey, sandbox: &SandboxName) -> Failure {
    let message = format!("there is no value of `{key}` in sandbox `{sandbox}`");
    Failure::new(REFUSED, "no-value", message)
}

pub(crate) fn tell_value(entry: &StateEntry, value: Vec<u8>, json: bool) -> Answer {
    if json {
        let value = match String::from_utf8(value) {
            Ok(text) => serde_json::json!(text),
            Err(error) => serde_json::json!({ "bytes": error.into_bytes() }),
        };
        show::print_json(&[("entry", show::to_json(entry)?), ("value", value)]);
        return show::done();
    }
    let written = std::io::stdout().write_all(&value);
    written.map_err(|error| Failure::caused(OWN_FAILURE, "output", &error))?;
    show::done()
}

/// A value to be written.
pub(super) struct Put<'a> {
    pub(super) sandbox: Sandbox,
    pub(super) key: StateKey,
    /// Standard input when nothing.
    pub(super) value: Option<&'a str>,
    pub(super) expect: Option<u64>,
    pub(super) sensitive: bool,
    pub(super) with: Option<&'a KeySource>,
}

pub(super) fn put(context: &Context, put: &Put<'_>, json: bool) -> Answer {
    let Put { sandbox, key, .. } = put;
    let value = match put.value {
        Some(text) => text.as_bytes().to_vec(),
        None => read_value(key)?,
    };
    // Too large a value is refused by the store, which says so.
    if !is_sensitive(context, put)? || value.len() > MAX_VALUE {
        return write(context, sandbox, key, StateChange::Plain(&value), put.expect, json);
    }
    let secret = state_key::configured(put.with)?;
    let sealed = secret
        .seal(key, &value)
        .map_err(|error| Failure::caused(OWN_FAILURE, "state-secret", &error))?;
    let size = u64::try_from(value.len()).unwrap_or(u64::MAX);
    let sealed = SealedValue { bytes: &sealed, size, sealed: secret.id() };
    write(context, sandbox, key, StateChange::Sealed(sealed), put.expect, json)
}

/// Whether the value is to be encrypted: it is asked for, the configuration says so of the key, or
/// the value that is replaced is.
fn is_sensitive(context: &Context, put: &Put<'_>) -> Result<bool, Failure> {
    if put.sensitive {
        return Ok(true);
    }
    let config = state_key::configuration()?;
    if config.sensitive.iter().any(|pattern| pattern.matches(put.key.as_str())) {
        return Ok(true);
    }
    let newest = context.store().history(put.sandbox.id, &put.key)?;
    Ok(newest.first().is_some_and(|entry| entry.sealed.is_some()))
}

pub(super) fn delete(
    context: &Context,
    sandbox: &Sandbox,
    key: &StateKey,
    expect: Option<u64>,
    json: bool,
) -> Answer {
    write(context, sandbox, key, StateChange::Deleted, expect, json)
}

/// Reads one byte more than is allowed, so that the store can refuse it by its size.
pub(crate) fn read_value(key: &StateKey) -> Result<Vec<u8>, Failure> {
    let mut value = Vec::new();
    std::io::stdin()
        .take(MAX_VALUE as u64 + 1)
        .read_to_end(&mut value)
        .map_err(|error| Failure::caused(OWN_FAILURE, "input", &error).hint(key.to_string()))?;
    Ok(value)
}

fn write(
    context: &Context,
    sandbox: &Sandbox,
    key: &StateKey,
    change: StateChange<'_>,
    expect: Option<u64>,
    json: bool,
) -> Answer {
    let expected = match expect {
        None => Expected::Any,
        Some(0) => Expected::Absent,
        Some(version) => Expected::Version(version),
    };
    let version = context
        .with_core(WhenBusy::Wait, |core| Ok(core.put_state(sandbox, key, change, expected)?))?;
    tell_written(key, version, json)
}

pub(crate) fn tell_written(key: &StateKey, version: u64, json: bool) -> Answer {
    if json {
        show::print_json(&[("key", show::to_json(key)?), ("version", version.into())]);
    } else {
        println!("{} at version {version}", plain(key.as_str()));
    }
    show::done()
}

pub(crate) fn list(entries: &[StateEntry], json: bool) -> Answer {
    if json {
        show::print_json(&[("entries", show::to_json(&entries)?)]);
        return show::done();
    }
    let rows: Vec<Vec<String>> = entries
        .iter()
        .map(|entry| {
            let size = if entry.deleted { "deleted".to_owned() } else { entry.size.to_string() };
            let sealed = entry.sealed.map(|id| format!("key {id}")).unwrap_or_default();
            let version = entry.version.to_string();
            vec![entry.key.to_string(), version, size, entry.written.rfc3339(), sealed]
        })
        .collect();
    let heading = ["KEY", "VERSION", "BYTES", "WRITTEN", "ENCRYPTED"];
    print_table(&heading, &rows, "no values");
    show::done()
}

//! `state` at a service.

use ctrlz_core::name::SandboxName;
use ctrlz_core::state::{StateEntry, StateKey};
use hyper::Method;
use serde::Deserialize;

use super::client::{Call, Client, query, segment};
use super::not_remote;
use super::sandboxes::{named, path};
use crate::Answer;
use crate::arguments::{StateAction, StateArguments};
use crate::commands::state::{entry, parse};
use crate::failure::Failure;

#[derive(Deserialize)]
struct Written {
    version: u64,
}

#[derive(Deserialize)]
struct Page {
    items: Vec<StateEntry>,
}

pub(super) fn state(client: &Client, arguments: &StateArguments, json: bool) -> Answer {
    if arguments.with_key.is_some() {
        return Err(not_remote("`ctrlz state --with-key`", "it opens values with its own key")
            .hint("leave --with-key out, or do it where the store lies"));
    }
    let namespace = || match arguments.global {
        true => Ok(Namespace(None)),
        false => named(arguments.sandbox.as_ref()).map(|name| Namespace(Some(name))),
    };
    match &arguments.action {
        StateAction::Get { key, version, at } => {
            let (namespace, key) = (namespace()?, parse(key)?);
            get(client, &namespace, &key, &as_of(*version, at.as_deref()), json)
        }
        StateAction::Put { key, value, expect, sensitive } => {
            let (namespace, key) = (namespace()?, parse(key)?);
            let value = match value {
                Some(text) => text.as_bytes().to_vec(),
                None => entry::read_value(&key)?,
            };
            let how = if *sensitive { "?sensitive=true" } else { "" };
            let call = Call::new(Method::PUT, namespace.of(&key, how)).bytes(value);
            write(client, call, &key, *expect, json)
        }
        StateAction::Delete { key, expect } => {
            let (namespace, key) = (namespace()?, parse(key)?);
            let call = Call::new(Method::DELETE, namespace.of(&key, ""));
            write(client, call, &key, *expect, json)
        }
        StateAction::List { version, at } => {
            let as_of = as_of(*version, at.as_deref());
            let page: Page = client.get(&namespace()?.all(&as_of))?;
            entry::list(&page.items, json)
        }
        StateAction::History { key } => {
            let page: Page = client.get(&namespace()?.of(&parse(key)?, "/history"))?;
            entry::list(&page.items, json)
        }
        StateAction::Rotate { .. }
        | StateAction::Verify { .. }
        | StateAction::Repair { .. }
        | StateAction::Rebuild { .. }
        | StateAction::Export { .. }
        | StateAction::Import { .. } => {
            Err(not_remote("this", "it is about the files of a store, or of this host")
                .hint("do it where the store lies"))
        }
    }
}

/// Values of a sandbox, or of none.
struct Namespace<'a>(Option<&'a SandboxName>);

impl Namespace<'_> {
    fn all(&self, rest: &str) -> String {
        match self.0 {
            Some(name) => path(name, &format!("/state{rest}")),
            None => format!("/v1/state{rest}"),
        }
    }

    fn of(&self, key: &StateKey, rest: &str) -> String {
        self.all(&format!("/{}{rest}", segment(key.as_str())))
    }

    fn no_value(&self, key: &StateKey) -> Failure {
        let global = SandboxName::of_no_sandbox();
        entry::no_value(key, self.0.unwrap_or(&global))
    }
}

fn get(
    client: &Client,
    namespace: &Namespace<'_>,
    key: &StateKey,
    as_of: &str,
    json: bool,
) -> Answer {
    let call = Call::new(Method::GET, namespace.of(key, as_of));
    let answer = match client.wait(client.ask_told(call))? {
        Ok(answer) => answer,
        Err(refusal) if refusal.kind == "no-value" => return Err(namespace.no_value(key)),
        Err(refusal) => return Err(refusal.into_failure()),
    };
    // What it is beside its value, tells its history.
    let tag = answer.etag.as_deref().unwrap_or_default().trim_matches('"').parse::<u64>().ok();
    let page: Page = client.get(&namespace.of(key, "/history"))?;
    let entry = page.items.iter().find(|entry| Some(entry.version) == tag);
    let entry = entry.ok_or_else(|| namespace.no_value(key))?;
    entry::tell_value(entry, answer.body.to_vec(), json)
}

fn write(client: &Client, call: Call, key: &StateKey, expect: Option<u64>, json: bool) -> Answer {
    let call = match expect {
        None => call,
        Some(0) => call.header("if-none-match", "*"),
        Some(version) => call.header("if-match", format!("\"{version}\"")),
    };
    let written: Written = client.wait(client.ask(call))?.read()?;
    entry::tell_written(key, written.version, json)
}

/// The version that `--version` or `--at` names, as a query.
fn as_of(version: Option<u64>, at: Option<&str>) -> String {
    let version = version.map(|version| ("version", version.to_string()));
    let at = at.map(|at| ("at", at.to_owned()));
    query(&version.into_iter().chain(at).collect::<Vec<_>>())
}

//! `new`, `ls`, `rm`, `fork`, `suspend` and `resume` at a service.

use ctrlz_core::name::SandboxName;
use ctrlz_core::sandbox::Sandbox;
use ctrlz_engine::Moved;
use ctrlz_policy::redact;
use hyper::Method;
use serde::Deserialize;
use serde_json::json;

use super::NOT_REMOTE;
use super::client::{Call, Client, query, segment};
use crate::Answer;
use crate::arguments::{
    ForkArguments, NewArguments, RemoveArguments, ResumeArguments, SandboxArgument,
    SuspendArguments,
};
use crate::commands::{lifecycle, manage};
use crate::failure::{Failure, OWN_FAILURE, REFUSED};

/// The path of what belongs to a sandbox.
pub(super) fn path(name: &SandboxName, rest: &str) -> String {
    format!("/v1/sandboxes/{}{rest}", segment(name.as_str()))
}

/// The sandbox of that name.
pub(super) fn sandbox(client: &Client, name: &SandboxName) -> Result<Sandbox, Failure> {
    client.get(&path(name, ""))
}

/// The name that was given: a service knows nothing of this folder.
pub(super) fn named(argument: Option<&SandboxName>) -> Result<&SandboxName, Failure> {
    argument.ok_or_else(|| {
        let message = "name the sandbox: a service knows nothing of the folder that you stand in";
        Failure::new(REFUSED, "no-sandbox", message).hint("`ctrlz ls` lists the sandboxes")
    })
}

/// The same for those whose only argument it is.
pub(super) fn of(argument: &SandboxArgument) -> Result<&SandboxName, Failure> {
    named(argument.sandbox.as_ref())
}

pub(super) fn new(client: &Client, arguments: &NewArguments, json: bool) -> Answer {
    let absolute = |path: &std::path::Path| match (path.is_absolute(), path.to_str()) {
        (true, Some(path)) => Ok(path.to_owned()),
        _ => {
            let message = format!("{} is no absolute path in UTF-8", path.display());
            Err(Failure::new(OWN_FAILURE, "path", message)
                .hint("it is a path of the service's host; leave it out for an empty folder"))
        }
    };
    let (mut base, mut image) = (None, None);
    match &arguments.root {
        None => {}
        Some(root) if root.as_os_str() == "host" => {}
        Some(root) if root.as_os_str() == "overlay" => {
            let message = "a service offers no sandboxes with the root of its host";
            return Err(Failure::new(REFUSED, NOT_REMOTE, message)
                .hint("--root names an image there, or make it where the service runs"));
        }
        Some(root) => image = Some(absolute(root)?),
    }
    if let Some(folder) = &arguments.base {
        base = Some(absolute(folder)?);
    }
    let workspace = arguments.workspace;
    let body =
        json!({ "name": arguments.name, "base": base, "image": image, "workspace": workspace });
    manage::tell_new(&client.post::<Sandbox>("/v1/sandboxes", &body)?, json)
}

pub(super) fn list(client: &Client, json: bool) -> Answer {
    manage::tell_list(&client.list("/v1/sandboxes", usize::MAX)?, json)
}

#[derive(Deserialize)]
struct Freed {
    freed_bytes: u64,
}

pub(super) fn remove(client: &Client, arguments: &RemoveArguments, json: bool) -> Answer {
    let force = query(&[("force", arguments.force.to_string())]);
    let freed: Freed = client.delete(&path(&arguments.sandbox, &force))?.read()?;
    manage::tell_removed(&arguments.sandbox, freed.freed_bytes, json)
}

pub(super) fn fork(client: &Client, arguments: &ForkArguments, json: bool) -> Answer {
    let ForkArguments { sandbox, name } = arguments;
    let made: Sandbox = client.post(&path(sandbox, "/fork"), &json!({ "name": name }))?;
    manage::tell_fork(sandbox, &made, json)
}

pub(super) fn suspend(client: &Client, arguments: &SuspendArguments, json: bool) -> Answer {
    let reason = redact(arguments.reason.as_deref().unwrap_or_default()).into_owned();
    let rest = format!("/suspend{}", query(&[("reason", reason)]));
    let moved = moved(client, &path(&arguments.sandbox, &rest))?;
    lifecycle::tell_suspended(&arguments.sandbox, &moved, json)
}

pub(super) fn resume(client: &Client, arguments: &ResumeArguments, json: bool) -> Answer {
    let moved = moved(client, &path(&arguments.sandbox, "/resume"))?;
    lifecycle::tell_resumed(&arguments.sandbox, &moved, json)
}

fn moved(client: &Client, path: &str) -> Result<Moved, Failure> {
    client.wait(client.ask(Call::new(Method::POST, path).once()?))?.read()
}

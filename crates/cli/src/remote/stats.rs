//! `stats` and `health` at a service.

use ctrlz_core::health::Finding;
use ctrlz_core::time::Timestamp;
use ctrlz_engine::tracker::SandboxStats;
use serde::Deserialize;

use super::client::{Client, query};
use super::not_remote;
use super::sandboxes::{named, path};
use crate::Answer;
use crate::arguments::{HealthArguments, StatsArguments};
use crate::clock;
use crate::commands::{health, stats};

pub(super) fn stats(client: &Client, arguments: &StatsArguments, json: bool) -> Answer {
    let name = named(arguments.sandbox.as_ref())?;
    let since = match &arguments.since {
        Some(text) => clock::moment(text)?,
        None => Timestamp(0),
    };
    let since_told = query(&[("since", since.0.to_string())]);
    let found: SandboxStats = client.get(&path(name, &format!("/stats{since_told}")))?;
    stats::tell((name, since), &found, json)
}

#[derive(Deserialize)]
struct Found {
    findings: Vec<Finding>,
}

pub(super) fn health(client: &Client, arguments: &HealthArguments, json: bool) -> Answer {
    if arguments.fix {
        return Err(not_remote("`ctrlz health --fix`", "it changes things on its host")
            .hint("run it there, or leave --fix out"));
    }
    let found: Found = client.get("/v1/health")?;
    health::tell(&found.findings, &[], json)
}

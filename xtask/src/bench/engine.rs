//! Snapshot and rollback inside the engine, by the example `engine_cost`.

use std::process::Command;

use serde_json::Value;

use super::Rounds;
use super::scene::Scene;
use super::table::{Row, median};
use super::trees;
use crate::failure::{Answer, Failure};
use crate::{program, project};

pub(super) fn rows(scene: &Scene, rounds: Rounds) -> Answer<Vec<Row>> {
    let mut build = project::cargo();
    build.args(["build", "--release", "--locked", "--package", "xtask"]);
    let messages = project::artifacts(build.args(["--example", "engine_cost"]))?;
    let example = messages.iter().find_map(|message| project::text(message, "/executable"));
    let example = example.ok_or_else(|| Failure::told("cargo built no example"))?;
    let base = scene.make("engine-base")?;
    trees::fill(&base, 100, 1024)?;
    let mut command = Command::new(example);
    command.arg(scene.folder().join("engine-store")).arg(&base).arg((rounds.short / 2).to_string());
    let output = program::capture(&mut command)?;
    let times: Value = serde_json::from_slice(&output.stdout)
        .map_err(|source| Failure::Output { program: "engine_cost".to_owned(), source })?;
    let row = |what: &str| {
        let times = times.get(what).and_then(Value::as_array).into_iter().flatten();
        let times: Vec<f64> = times.filter_map(Value::as_f64).collect();
        Row::absolute(&format!("{what} in the engine, median"), median(&times), "ms", 3.0)
    };
    Ok(vec![row("snapshot"), row("rollback"), row("fork")])
}

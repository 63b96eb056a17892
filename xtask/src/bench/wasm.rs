//! WebAssembly: a warm call, by the example `warm_call` of crates/wasm, and a command.

use std::fs;
use std::process::Command;

use serde_json::Value;

use super::Rounds;
use super::scene::Scene;
use super::start::ctrlz_true;
use super::table::{Row, median};
use crate::failure::{Answer, Failure};
use crate::{program, project};

/// A module whose `_start` does nothing.
const NOTHING: &[u8] = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x07\x0a\x01\x06_start\0\0\x0a\x04\x01\x02\0\x0b";

pub(super) fn rows(scene: &Scene, rounds: Rounds) -> Answer<Vec<Row>> {
    let mut rows = vec![warm(rounds)?];
    for player in scene.players()? {
        let folder = player.make("wasm")?;
        let path = folder.join("nothing.wasm");
        fs::write(&path, NOTHING).map_err(Failure::io("write", &path))?;
        let words = ["run", "--isolation", "wasm", "--", "nothing.wasm"];
        let commands = [player.ctrlz(&folder, &words), ctrlz_true(&player)?];
        let what = format!("`ctrlz run --isolation wasm` of an empty module as {}", player.label);
        let against = "`ctrlz run -- true`, same user";
        // What it costs more is another start of ctrlz, and compiling.
        rows.push(match player.time(&commands, rounds.short)?.as_slice() {
            [ours, peer] => Row::told(&what, against, ours, peer),
            _ => Row::skipped(&what, against, "nothing was measured"),
        });
    }
    Ok(rows)
}

fn warm(rounds: Rounds) -> Answer<Row> {
    let mut build = project::cargo();
    build.args(["build", "--release", "--locked", "--package", "ctrlz-wasm"]);
    let messages = project::artifacts(build.args(["--example", "warm_call"]))?;
    let example = messages.iter().find_map(|message| project::text(message, "/executable"));
    let example = example.ok_or_else(|| Failure::told("cargo built no example"))?;
    let output = program::capture(Command::new(example).arg((rounds.short * 10).to_string()))?;
    let times: Value = serde_json::from_slice(&output.stdout)
        .map_err(|source| Failure::Output { program: "warm_call".to_owned(), source })?;
    let times = times.get("call").and_then(Value::as_array).into_iter().flatten();
    let times: Vec<f64> = times.filter_map(Value::as_f64).collect();
    Ok(Row::absolute("warm WASM call, median", median(&times), "µs", 100.0))
}

//! What a call of a function costs that is compiled and started already.
//!
//! `warm_call ROUNDS` prints microseconds as JSON: `{"call": [..]}`.
#![forbid(unsafe_code)]

use std::error::Error;
use std::time::Instant;

use ctrlz_wasm::{Engine, Limits, Metering, Program, Session, Settings, Value, World};

/// Writes to its memory and answers with what was there, so that nothing of it can be left out.
const COUNTER: &str = r#"(module (memory 16) (func (export "count") (param i32) (result i32)
    (i32.store (i32.const 8) (i32.add (i32.load (i32.const 8)) (local.get 0)))
    (i32.load (i32.const 8))))"#;

fn main() -> Result<(), Box<dyn Error>> {
    let rounds = std::env::args().nth(1).ok_or("usage: warm_call ROUNDS")?;
    let rounds: usize = rounds.parse()?;
    // As an agent's tool would be run: with fuel, so that no call can last for ever.
    let engine = Engine::new(Settings { metering: Metering::Fuel, ..Settings::default() })?;
    let program = Program::compile_for_calls(&engine, &wat::parse_str(COUNTER)?)?;
    let limits = Limits { fuel: Some(1_000_000), ..Limits::default() };
    let mut session = Session::start(&program, &World::default(), limits)?;
    let mut calls = Vec::new();
    for _ in 0..rounds {
        let begun = Instant::now();
        session.call("count", &[Value::I32(1)])?;
        calls.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    println!("{{\"call\": {calls:?}}}");
    Ok(())
}

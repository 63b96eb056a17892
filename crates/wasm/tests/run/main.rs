//! Modules and components, run by the library.
#![forbid(unsafe_code)]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking, in its own functions, too"
)]

mod bad;
mod calls;
mod components;
mod guests;
mod limits;
mod memory;
mod network;
mod same;

use ctrlz_wasm::{Engine, Limits, Program, Session, Settings, WasmError, World};

/// A module from its text.
fn module(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("a module")
}

/// A started session of a module, with nothing of the world.
fn session(settings: Settings, text: &str, limits: Limits) -> Result<Session, WasmError> {
    let engine = Engine::new(settings).expect("an engine");
    let program = Program::compile_for_calls(&engine, &module(text))?;
    Session::start(&program, &World::default(), limits)
}

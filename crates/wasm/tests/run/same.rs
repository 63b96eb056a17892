//! The deterministic mode.

use ctrlz_wasm::{Engine, Limits, Metering, Program, Session, Settings, Value, World};

use crate::module;

/// Looks at clocks and random numbers, and computes with NaN.
const LOOKS: &str = r#"(module
    (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "clock_time_get"
        (func $clock (param i32 i64 i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "random") (result i64)
        (drop (call $random (i32.const 0) (i32.const 8))) (i64.load (i32.const 0)))
    (func (export "clock") (param i32) (result i64)
        (drop (call $clock (local.get 0) (i64.const 1) (i32.const 8))) (i64.load (i32.const 8)))
    (func (export "nan") (param i32) (result i32)
        (i32.reinterpret_f32 (f32.add (f32.reinterpret_i32 (local.get 0)) (f32.const 1))))
    (func (export "spin") (loop
        (i32.store (i32.const 16) (i32.add (i32.load (i32.const 16)) (i32.const 1))) (br 0)))
    (func (export "spun") (result i32) (i32.load (i32.const 16))))"#;

fn deterministic(seed: u64) -> Session {
    let engine = Engine::new(Settings { metering: Metering::Fuel, deterministic: true });
    let engine = engine.expect("an engine");
    let program = Program::compile_for_calls(&engine, &module(LOOKS)).expect("a program");
    let limits = Limits { fuel: Some(12_345), ..Limits::default() };
    let world = World { seed: Some(seed), ..World::default() };
    Session::start(&program, &world, limits).expect("a session")
}

fn looks(session: &mut Session) -> Vec<Value> {
    let mut call = |name: &str, words: &[Value]| session.call(name, words).expect("a look")[0];
    let (wall, steady) = (Value::I32(0), Value::I32(1));
    vec![
        call("random", &[]),
        call("random", &[]),
        call("clock", &[wall]),
        call("clock", &[steady]),
        call("clock", &[wall]),
    ]
}

#[test]
fn two_runs_see_the_same() {
    let (mut one, mut two, mut other) = (deterministic(1), deterministic(1), deterministic(2));
    let seen = looks(&mut one);
    assert_eq!(seen, looks(&mut two));
    assert_ne!(seen[0], seen[1], "random numbers repeat");
    assert_ne!(seen[..2], looks(&mut other)[..2], "the seed does nothing");
    // 2000-01-01, and a microsecond for each look.
    assert_eq!(
        seen[2..],
        [
            Value::I64(946_684_800_000_000_000),
            Value::I64(1_000),
            Value::I64(946_684_800_000_002_000)
        ]
    );
}

#[test]
fn fuel_ends_at_the_same_instruction() {
    let spun = || {
        let mut session = deterministic(0);
        session.call("spin", &[]).expect_err("out of fuel");
        session.call("spun", &[]).expect("a number")
    };
    assert_eq!(spun(), spun());
    assert_ne!(spun(), [Value::I32(0)]);
}

#[test]
fn every_nan_has_the_same_bits() {
    // A signalling NaN with a payload and a sign.
    let nan = Value::I32(0xff80_1234_u32.cast_signed());
    assert_eq!(deterministic(0).call("nan", &[nan]).expect("bits"), [Value::I32(0x7fc0_0000)]);
}

#[test]
fn restored_sessions_see_the_same_again() {
    let mut session = deterministic(3);
    let image = session.snapshot().expect("an image");
    let seen = looks(&mut session);
    session.restore(&image).expect("restored");
    assert_eq!(looks(&mut session), seen);
}

//! Guests that take more than they may.

use std::time::Duration;

use ctrlz_core::size::ByteSize;
use ctrlz_wasm::{Limit, Limits, Metering, Settings, Value, WasmError};

use crate::session;

const HOSTILE: &str = r#"(module
    (memory 1)
    (table $t 1 funcref)
    (func (export "loop") (loop br 0))
    (func $deep (export "deep") (param i64) (result i64)
        (i64.add (call $deep (i64.add (local.get 0) (i64.const 1))) (i64.const 1)))
    (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
    (func (export "bomb") (loop (br_if 0 (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
        unreachable)
    (func (export "table") (param i32) (result i32)
        (table.grow $t (ref.null func) (local.get 0)))
    (func (export "fine") (result i32) (i32.const 1)))"#;

fn limit(result: Result<Vec<Value>, WasmError>) -> Limit {
    match result {
        Err(WasmError::Limit(limit) | WasmError::Trap { after: Some(limit), .. }) => limit,
        other => panic!("no limit was met: {other:?}"),
    }
}

#[test]
fn endless_loops_run_out_of_fuel_or_time() {
    let fuel = Settings { metering: Metering::Fuel, ..Settings::default() };
    let limits = Limits { fuel: Some(100_000), ..Limits::default() };
    let mut guest = session(fuel, HOSTILE, limits).expect("a session");
    assert_eq!(limit(guest.call("loop", &[])), Limit::Fuel(100_000));
    // Each call has its own.
    assert_eq!(guest.call("fine", &[]).expect("fine"), [Value::I32(1)]);

    let time = Settings { metering: Metering::Time, ..Settings::default() };
    let span = Duration::from_millis(30);
    let limits = Limits { time: Some(span), ..Limits::default() };
    let mut guest = session(time, HOSTILE, limits).expect("a session");
    assert_eq!(limit(guest.call("loop", &[])), Limit::Time(span));
    assert_eq!(guest.call("fine", &[]).expect("fine"), [Value::I32(1)]);
}

#[test]
fn a_limit_that_the_engine_does_not_count_is_no_limit() {
    for limits in [
        Limits { fuel: Some(1), ..Limits::default() },
        Limits { time: Some(Duration::from_secs(1)), ..Limits::default() },
    ] {
        let error = session(Settings::default(), HOSTILE, limits).expect_err("refused");
        assert!(error.to_string().contains("does not count"), "{error}");
    }
}

#[test]
fn recursion_ends_at_the_stack() {
    let mut guest = session(Settings::default(), HOSTILE, Limits::default()).expect("a session");
    assert!(matches!(limit(guest.call("deep", &[Value::I64(0)])), Limit::Stack(_)));
    assert_eq!(guest.call("fine", &[]).expect("fine"), [Value::I32(1)]);
}

#[test]
fn memory_ends_at_the_limit() {
    let memory = ByteSize(4 << 16);
    let limits = Limits { memory, ..Limits::default() };
    let mut guest = session(Settings::default(), HOSTILE, limits).expect("a session");
    let mut grow = |pages| guest.call("grow", &[Value::I32(pages)]).expect("an answer");
    assert_eq!(grow(3), [Value::I32(1)]);
    assert_eq!(grow(1), [Value::I32(-1)], "all four pages are taken");
    assert_eq!(grow(0), [Value::I32(4)]);
    assert_eq!(limit(guest.call("bomb", &[])), Limit::Memory(memory));

    // Two memories share it, and it holds from the beginning.
    for text in ["(module (memory 5))", "(module (memory 3) (memory 2))"] {
        let error = session(Settings::default(), text, limits).expect_err("refused");
        assert!(matches!(error, WasmError::Limit(Limit::Memory(_))), "{error}");
    }
}

#[test]
fn tables_end_at_the_limit() {
    let limits = Limits { table_elements: 10, ..Limits::default() };
    let mut guest = session(Settings::default(), HOSTILE, limits).expect("a session");
    let mut grow = |by| guest.call("table", &[Value::I32(by)]).expect("an answer");
    assert_eq!(grow(9), [Value::I32(1)]);
    assert_eq!(grow(1), [Value::I32(-1)]);
    let huge = "(module (table 4000000000 funcref))";
    let error = session(Settings::default(), huge, Limits::default()).expect_err("refused");
    assert!(matches!(error, WasmError::Limit(Limit::Table(1_000_000))), "{error}");
}

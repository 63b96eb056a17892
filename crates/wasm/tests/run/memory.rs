//! Memory that is kept and brought back.

use ctrlz_core::size::ByteSize;
use ctrlz_wasm::{Engine, Image, Limits, Program, Session, Settings, Value, WasmError, World};

use crate::module;

/// Counts in a memory and in globals that it exports to nobody; its start function counts too.
const COUNTER: &str = r#"(module
    (memory 1 20)
    (global $calls (mut i64) (i64.const 0))
    (global $half (mut f64) (f64.const 0))
    (func $start (i32.store (i32.const 0) (i32.const 100)))
    (start $start)
    (func (export "_initialize") (i32.store (i32.const 4) (i32.const 7)))
    (func (export "count") (result i32)
        (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))
        (global.set $calls (i64.add (global.get $calls) (i64.const 1)))
        (global.set $half (f64.add (global.get $half) (f64.const 0.5)))
        (i32.load (i32.const 0)))
    (func (export "state") (result i32 i64 f64 i32 i32)
        (i32.load (i32.const 0)) (global.get $calls) (global.get $half)
        (i32.load (i32.const 4)) (memory.size))
    (func (export "grow") (drop (memory.grow (i32.const 2)))
        (i32.store (i32.const 131072) (i32.const 9))))"#;

fn compiled(text: &str) -> Program {
    let engine = Engine::new(Settings::default()).expect("an engine");
    Program::compile_for_calls(&engine, &module(text)).expect("a program")
}

fn started(program: &Program) -> Session {
    Session::start(program, &World::default(), Limits::default()).expect("a session")
}

fn state(session: &mut Session) -> String {
    let values = session.call("state", &[]).expect("the state");
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_restore_brings_memory_and_globals_back() {
    let program = compiled(COUNTER);
    let mut session = started(&program);
    session.call("count", &[]).expect("a count");
    let image = session.snapshot().expect("an image");
    let before = state(&mut session);
    assert_eq!(before, "101 1 0.5 7 1");
    session.call("count", &[]).expect("a count");
    session.call("grow", &[]).expect("growth");
    assert_eq!(state(&mut session), "102 2 1 7 3");
    let grown = session.snapshot().expect("an image");
    // A memory never shrinks, and yet it is as it was.
    session.restore(&image).expect("restored");
    assert_eq!(state(&mut session), before);
    session.restore(&grown).expect("restored");
    assert_eq!(state(&mut session), "102 2 1 7 3");
    assert_eq!(session.snapshot().expect("an image"), grown);
}

#[test]
fn another_process_goes_on_from_the_bytes_of_an_image() {
    let mut session = started(&compiled(COUNTER));
    session.call("count", &[]).expect("a count");
    session.call("grow", &[]).expect("growth");
    let bytes = session.snapshot().expect("an image").to_bytes().expect("bytes");
    assert!(bytes.len() < 1000, "{} bytes", bytes.len());
    drop(session);
    let image = Image::from_bytes(&bytes, ByteSize(3 << 16)).expect("an image");
    let (world, limits) = (World::default(), Limits::default());
    let mut again = Session::resume(&compiled(COUNTER), &world, limits, &image).expect("resumed");
    // Neither the start function nor `_initialize` ran again.
    assert_eq!(state(&mut again), "101 1 0.5 7 3");
    assert_eq!(again.call("count", &[]).expect("a count"), [Value::I32(102)]);
}

#[test]
fn a_damaged_image_is_refused() {
    let mut session = started(&compiled(COUNTER));
    let bytes = session.snapshot().expect("an image").to_bytes().expect("bytes");
    let most = ByteSize(1 << 20);
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x40;
        let read = Image::from_bytes(&damaged, most);
        // The digest of the module is checked when it meets a module.
        let refused = read.and_then(|image| session.restore(&image));
        let error = refused.expect_err("refused");
        assert!(matches!(error, WasmError::Image { .. }), "byte {at}: {error}");
    }
    for length in 0..bytes.len() {
        let read = Image::from_bytes(&bytes[..length], most);
        assert!(matches!(read, Err(WasmError::Image { .. })), "{length} bytes");
    }
    assert_eq!(state(&mut session), "100 0 0 7 1");
}

#[test]
fn an_image_is_bounded_by_the_limit_of_memory() {
    let mut session = started(&compiled("(module (memory 16))"));
    let bytes = session.snapshot().expect("an image").to_bytes().expect("bytes");
    let error = Image::from_bytes(&bytes, ByteSize((1 << 20) - 1)).expect_err("refused");
    assert!(error.to_string().contains("more memory than the limit allows"), "{error}");
    let image = Image::from_bytes(&bytes, ByteSize(1 << 20)).expect("an image");
    let mut grown = started(&compiled("(module (memory 16))"));
    grown.restore(&image).expect("restored");
}

#[test]
fn another_modules_image_is_refused() {
    let image = started(&compiled(COUNTER)).snapshot().expect("an image");
    let other = COUNTER.replace("const 100", "const 99");
    let mut session = started(&compiled(&other));
    let error = session.restore(&image).expect_err("refused");
    assert!(error.to_string().contains("another module"), "{error}");
    assert_eq!(state(&mut session), "99 0 0 7 1");
}

#[test]
fn what_no_image_holds_is_told() {
    for (text, why) in [
        (
            r#"(module (table 1 funcref) (func (export "f")
                (table.set (i32.const 0) (ref.null func))))"#,
            "it changes its tables while it runs",
        ),
        (
            r#"(module (memory 1) (data $d "x") (func (export "f") (data.drop $d)))"#,
            "it drops segments while it runs",
        ),
        (
            r#"(module (global (mut funcref) (ref.null func)))"#,
            "it has a global that holds a reference",
        ),
    ] {
        let error = started(&compiled(text)).snapshot().expect_err("refused");
        assert!(error.to_string().ends_with(why), "{error}");
    }
    let engine = Engine::new(Settings::default()).expect("an engine");
    let component = Program::compile_for_calls(&engine, &module("(component)")).expect("one");
    let error = Session::start(&component, &World::default(), Limits::default());
    let error = error.expect_err("refused");
    assert!(error.to_string().contains("component"), "{error}");
}

#[test]
fn vectors_and_several_memories_are_kept() {
    let text = r#"(module (memory $a 1) (memory $b 1)
        (global $v (mut v128) (v128.const i64x2 1 2))
        (func (export "set") (param i64)
            (global.set $v (i64x2.splat (local.get 0)))
            (i64.store $b (i32.const 8) (local.get 0)))
        (func (export "get") (result i64 i64)
            (i64x2.extract_lane 1 (global.get $v)) (i64.load $b (i32.const 8))))"#;
    let mut session = started(&compiled(text));
    session.call("set", &[Value::I64(5)]).expect("set");
    let image = session.snapshot().expect("an image");
    session.call("set", &[Value::I64(6)]).expect("set");
    session.restore(&image).expect("restored");
    assert_eq!(session.call("get", &[]).expect("get"), [Value::I64(5), Value::I64(5)]);
}

//! Calling functions by name.

use ctrlz_wasm::{Limits, Settings, Value, WasmError};

use crate::session;

const NUMBERS: &str = r#"(module
    (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add)
    (func (export "all") (param i32 i64 f32 f64) (result f64 f32 i64 i32)
        local.get 3 local.get 2 local.get 1 local.get 0)
    (func (export "vector") (param v128)))"#;

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn arguments_are_read_as_the_function_wants_them() {
    let mut session = session(Settings::default(), NUMBERS, Limits::default()).expect("a session");
    let sum = session.call("add", &[Value::I32(40), Value::I32(2)]).expect("a sum");
    assert_eq!(sum, [Value::I32(42)]);
    let texts = words(&["4294967295", "-9", "0.5", "1e3"]);
    let results = session.call_with("all", &texts).expect("results");
    let told: Vec<String> = results.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["1000", "0.5", "-9", "-1"]);
}

#[test]
fn what_does_not_suit_is_told() {
    let mut session = session(Settings::default(), NUMBERS, Limits::default()).expect("a session");
    let mut told = |name: &str, texts: &[&str]| {
        session.call_with(name, &words(texts)).expect_err("refused").to_string()
    };
    assert_eq!(told("sub", &[]), "it exports no function `sub`");
    assert_eq!(told("add", &["1"]), "`add` takes (i32, i32)");
    assert_eq!(told("add", &["1", "x"]), "`x` is no i32");
    assert_eq!(told("add", &["1", "4294967296"]), "`4294967296` is no i32");
    assert_eq!(told("vector", &["1"]), "v128 is no number, and cannot be given or told as one");
    let wrong = session.call("add", &[Value::I32(1), Value::I64(1)]).expect_err("refused");
    assert!(matches!(wrong, WasmError::Value { .. }), "{wrong}");
}

#[test]
fn a_session_goes_on_after_a_trap() {
    let text = r#"(module (global $n (mut i32) (i32.const 0))
        (func $bad (export "bad") (global.set $n (i32.const 5)) unreachable)
        (func (export "n") (result i32) global.get $n))"#;
    let mut session = session(Settings::default(), text, Limits::default()).expect("a session");
    let error = session.call("bad", &[]).expect_err("a trap").to_string();
    assert!(error.starts_with("trap: wasm `unreachable` instruction executed\n"), "{error}");
    assert!(error.contains("<unknown>!bad"), "{error}");
    assert_eq!(session.call("n", &[]).expect("a number"), [Value::I32(5)]);
}

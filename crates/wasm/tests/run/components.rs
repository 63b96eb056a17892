//! Calling functions of components by name.

use ctrlz_wasm::{Engine, Limits, Program, Settings, WasmError, World, call_component};

use crate::module;

const FUNCTIONS: &str = r#"(component
    (core module $m
        (memory (export "memory") 1)
        (global $free (mut i32) (i32.const 1024))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32)
            (global.get $free)
            (global.set $free (i32.add (global.get $free) (local.get 3))))
        (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add)
        (func (export "same") (param i32 i32) (result i32)
            (i32.store (i32.const 16) (local.get 0))
            (i32.store (i32.const 20) (local.get 1))
            (i32.const 16))
        (func (export "spin") (loop $l br $l))
        (func (export "bad") unreachable))
    (core instance $i (instantiate $m))
    (func (export "add") (param "a" u8) (param "b" s32) (result s32) (canon lift (core func $i "add")))
    (func $same (param "text" string) (result string)
        (canon lift (core func $i "same") (memory $i "memory") (realloc (func $i "realloc"))))
    (func (export "list") (param "items" (list u8)) (result (list u8))
        (canon lift (core func $i "same") (memory $i "memory") (realloc (func $i "realloc"))))
    (func (export "spin") (canon lift (core func $i "spin")))
    (func (export "bad") (canon lift (core func $i "bad")))
    (instance $texts (export "same" (func $same)))
    (export "my:own/texts@1.0.0" (instance $texts)))"#;

fn call(settings: Settings, limits: Limits, words: &[&str]) -> Result<Vec<String>, WasmError> {
    let engine = Engine::new(settings).expect("an engine");
    let program = Program::compile_for_calls(&engine, &module(FUNCTIONS)).expect("a component");
    assert!(program.is_component());
    let texts: Vec<String> = words[1..].iter().map(|word| (*word).to_owned()).collect();
    call_component(&program, &World::default(), limits, (words[0], &texts))
}

fn simply(words: &[&str]) -> Result<Vec<String>, WasmError> {
    call(Settings::default(), Limits::default(), words)
}

#[test]
fn arguments_and_results_are_in_the_notation_of_the_component_model() {
    assert_eq!(simply(&["add", "200", "-7"]).expect("a sum"), ["193"]);
    assert_eq!(simply(&["list", "[1, 2, 255]"]).expect("a list"), ["[1, 2, 255]"]);
    // A string is taken as it is, and told in quotes.
    let same = "my:own/texts@1.0.0#same";
    assert_eq!(simply(&[same, "né \"it\""]).expect("a text"), [r#""né \"it\"""#]);
    assert_eq!(simply(&[same, ""]).expect("a text"), ["\"\""]);
}

#[test]
fn what_does_not_suit_is_told() {
    let told = |words: &[&str]| simply(words).expect_err("refused").to_string();
    let there = "`add`, `bad`, `list`, `my:own/texts@1.0.0#same`, `spin`";
    assert_eq!(told(&["sub"]), format!("there is no function `sub`: it exports {there}"));
    assert!(told(&["add#add"]).starts_with("there is no function `add#add`"));
    assert_eq!(told(&["add", "1"]), "`add` takes (a, b)");
    for (word, number) in [("256", "a"), ("x", "a"), ("", "a")] {
        let told = told(&["add", word, "1"]);
        assert!(
            told.starts_with(&format!("`{word}` cannot be the argument `{number}`: ")),
            "{told}"
        );
    }
    assert!(told(&["bad"]).starts_with("trap: wasm `unreachable`"));
}

#[test]
fn limits_hold_for_a_call() {
    let settings = Settings { metering: ctrlz_wasm::Metering::Fuel, ..Settings::default() };
    let limits = Limits { fuel: Some(10_000), ..Limits::default() };
    let error = call(settings, limits, &["spin"]).expect_err("a limit");
    assert!(matches!(error, WasmError::Limit(ctrlz_wasm::Limit::Fuel(10_000))), "{error}");
    let limits = Limits { memory: ctrlz_core::size::ByteSize(100), ..Limits::default() };
    let error = call(Settings::default(), limits, &["add", "1", "2"]).expect_err("a limit");
    assert!(matches!(error, WasmError::Limit(ctrlz_wasm::Limit::Memory(_))), "{error}");
}

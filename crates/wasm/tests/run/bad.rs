//! Files that are no modules, or none that can be run here.

use std::fs;

use ctrlz_core::size::ByteSize;
use ctrlz_wasm::{Engine, Limits, Program, Settings, WasmError, World, is_wasm, run};

use crate::module;

fn compile(bytes: &[u8]) -> Result<Program, WasmError> {
    Program::compile(&Engine::new(Settings::default()).expect("an engine"), bytes)
}

const SMALL: &str = r#"(module (memory 1) (table 2 funcref) (elem (i32.const 0) $f)
    (func $f (export "_start")) (data (i32.const 0) "hello") (global (mut i32) (i32.const 1)))"#;

#[test]
fn what_is_no_module_is_told() {
    for (bytes, why) in [
        (b"".as_slice(), "the file is empty"),
        (b"\x7fELF", "it does not begin as one"),
        (b"\0asm", "unexpected end"),
        (b"\0asm\x09\0\0\0", "unknown binary version"),
    ] {
        let error = compile(bytes).expect_err("refused").to_string();
        assert!(error.contains(why), "{error}");
    }
    assert!(is_wasm(&module(SMALL)) && !is_wasm(b"#!/bin/sh"));
}

#[test]
fn damage_is_refused_or_does_no_harm() {
    let engine = Engine::new(Settings::default()).expect("an engine");
    let bytes = module(SMALL);
    for length in 0..bytes.len() {
        // A module that ends behind a section is one, too.
        let _ = Program::compile_for_calls(&engine, &bytes[..length]);
    }
    for at in 0..bytes.len() {
        for bit in [0x01, 0x08, 0x80] {
            let mut damaged = bytes.clone();
            damaged[at] ^= bit;
            if let Ok(program) = Program::compile_for_calls(&engine, &damaged) {
                let limits = Limits { memory: ByteSize(1 << 20), ..Limits::default() };
                let _ = ctrlz_wasm::Session::start(&program, &World::default(), limits);
            }
        }
    }
}

#[test]
fn a_file_that_is_too_large_is_not_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("large.wasm");
    fs::File::create(&path).and_then(|file| file.set_len(1 << 40)).expect("a sparse file");
    let error = Program::read(&path, &Limits::default()).expect_err("refused");
    assert_eq!(error.to_string(), "the module has 1.0 TiB; modules may have 256 MiB");
    let error = Program::read(folder.path(), &Limits::default()).expect_err("refused");
    assert!(matches!(error, WasmError::File { .. }), "{error}");
}

#[test]
fn what_nobody_offers_is_named() {
    for (text, what) in [
        (r#"(module (import "env" "fork" (func)) (func (export "_start")))"#, "env::fork"),
        (
            r#"(module (import "wasi_snapshot_preview1" "proc_exec" (func))
                (func (export "_start")))"#,
            "proc_exec",
        ),
        (r#"(component (import "wasi:http/handler" (func)))"#, "wasi:http/handler"),
    ] {
        let program = compile(&module(text)).expect("a program");
        let error = run(&program, &World::default(), Limits::default()).expect_err("refused");
        assert!(matches!(error, WasmError::Import { .. }), "{error}");
        assert!(error.to_string().contains(what), "{error}");
    }
}

#[test]
fn what_is_no_command_is_told() {
    for text in ["(module)", "(component)"] {
        let program = compile(&module(text)).expect("a program");
        let error = run(&program, &World::default(), Limits::default()).expect_err("refused");
        assert!(matches!(error, WasmError::Export { .. }), "{error}");
        assert!(error.to_string().contains("no command"), "{error}");
    }
}

//! Sockets, which only components can ask for.

use ctrlz_wasm::{Engine, Limits, Program, Settings, World, run};

use crate::module;

/// Fails unless it gets a TCP socket.
const SOCKET: &str = r#"(component
    (import "wasi:sockets/network@0.2.0" (instance $network
        (type $code (enum "unknown" "access-denied" "not-supported" "invalid-argument"
            "out-of-memory" "timeout" "concurrency-conflict" "not-in-progress" "would-block"
            "invalid-state" "new-socket-limit" "address-not-bindable" "address-in-use"
            "remote-unreachable" "connection-refused" "connection-reset" "connection-aborted"
            "datagram-too-large" "name-unresolvable" "temporary-resolver-failure"
            "permanent-resolver-failure"))
        (export "error-code" (type (eq $code)))
        (type $family (enum "ipv4" "ipv6"))
        (export "ip-address-family" (type (eq $family)))))
    (import "wasi:sockets/tcp@0.2.0" (instance $tcp
        (export "tcp-socket" (type (sub resource)))))
    (alias export $network "error-code" (type $code))
    (alias export $network "ip-address-family" (type $family))
    (alias export $tcp "tcp-socket" (type $socket))
    (import "wasi:sockets/tcp-create-socket@0.2.0" (instance $create
        (alias outer 1 $code (type $c))
        (export "error-code" (type $code (eq $c)))
        (alias outer 1 $family (type $f))
        (export "ip-address-family" (type $family (eq $f)))
        (alias outer 1 $socket (type $s))
        (export "tcp-socket" (type $socket (eq $s)))
        (export "create-tcp-socket" (func (param "address-family" $family)
            (result (result (own $socket) (error $code)))))))
    (core module $memory (memory (export "memory") 1))
    (core instance $memory (instantiate $memory))
    (core func $create (canon lower (func $create "create-tcp-socket")
        (memory $memory "memory")))
    (core module $main
        (import "host" "memory" (memory 1))
        (import "host" "create" (func $create (param i32 i32)))
        (func (export "run") (result i32)
            (call $create (i32.const 0) (i32.const 16)) (i32.load8_u (i32.const 16))))
    (core instance $main (instantiate $main (with "host" (instance
        (export "memory" (memory $memory "memory"))
        (export "create" (func $create))))))
    (func $run (result (result)) (canon lift (core func $main "run")))
    (instance $command (export "run" (func $run)))
    (export "wasi:cli/run@0.2.0" (instance $command)))"#;

#[test]
fn there_are_sockets_only_where_they_are_allowed() {
    let engine = Engine::new(Settings::default()).expect("an engine");
    let program = Program::compile(&engine, &module(SOCKET)).expect("a program");
    for (network, code) in [(false, 1), (true, 0)] {
        let world = World { network, ..World::default() };
        assert_eq!(run(&program, &world, Limits::default()).expect("an exit code"), code);
    }
}

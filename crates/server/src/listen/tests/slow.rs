//! Clients that take their time.

use std::io::Write as _;
use std::time::Duration;

use super::{Limits, MUCH, PATIENCE, Stage, answer, rest};

/// Longer than a good client may be held up by a busy machine.
const SHORT: Duration = Duration::from_secs(1);
const GOOD: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

/// Sends bytes, one after the other with a pause, until nobody takes them any more.
fn trickle(mut stream: std::net::TcpStream, pause: Duration) {
    let begun = std::time::Instant::now();
    while begun.elapsed() < PATIENCE && stream.write_all(b"x").is_ok() {
        std::thread::sleep(pause);
    }
    assert!(begun.elapsed() < PATIENCE, "it is taken for ever");
}

#[test]
fn headers_that_never_end_are_not_waited_for() {
    let limits = Limits { first: SHORT, grace: SHORT, ..Limits::default() };
    let stage = Stage::new(limits);
    for begin in ["", "P", "PRI * HT", "GET / HT", "GET / HTTP/1.1\r\nhost: x\r\nx: "] {
        let mut stream = stage.connect();
        stream.write_all(begin.as_bytes()).expect("sent");
        let sender = stream.try_clone().expect("the same");
        match begin {
            "" => assert_eq!(rest(&mut stream), ""),
            _ => trickle(sender, Duration::from_millis(20)),
        }
        stage.has_open(0);
        stage.serves();
    }
}

#[test]
fn headers_of_a_later_request_are_not_waited_for_either() {
    let limits = Limits { idle: SHORT, grace: SHORT, ..Limits::default() };
    let stage = Stage::new(limits);
    let mut stream = stage.connect();
    stream.write_all(GOOD).expect("sent");
    answer(&mut stream, "well");
    stream.write_all(b"GET / HTTP/1.1\r\nx: ").expect("sent");
    trickle(stream, Duration::from_millis(20));
    stage.has_open(0);
    stage.serves();
}

#[test]
fn a_connection_without_a_request_is_closed_and_one_with_a_long_one_is_not() {
    let limits = Limits { idle: SHORT, stalled: SHORT, grace: SHORT, ..Limits::default() };
    let stage = Stage::new(limits);
    let mut long = stage.connect();
    long.write_all(b"GET /late HTTP/1.1\r\nhost: x\r\n\r\n").expect("sent");
    let mut silent = stage.connect();
    silent.write_all(b"GET /silent HTTP/1.1\r\nhost: x\r\n\r\n").expect("sent");
    let mut idle = stage.connect();
    idle.write_all(GOOD).expect("sent");
    answer(&mut idle, "well");
    assert_eq!(rest(&mut idle), "");
    stage.has_open(2);
    // It has waited longer than one may be idle: it is not idle while it waits for an answer.
    stage.late.notify_one();
    answer(&mut long, "late");
    // Nothing was sent for all that time but the headers, which the client took.
    assert_eq!(rest(&mut long), "");
    stage.has_open(1);
    answer(&mut silent, "\r\n\r\n");
    stage.serves();
    drop(silent);
    stage.has_open(0);
}

#[test]
fn a_body_that_does_not_come_is_told_and_closed() {
    let limits = Limits { pause: SHORT, ..Limits::default() };
    let stage = Stage::new(limits);
    let heard =
        stage.until_the_end(b"POST /size HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nabc");
    assert!(heard.starts_with("HTTP/1.1 408") && heard.contains("too slowly"), "{heard}");
    stage.serves();
    // The same in pieces: never a long pause, and yet never an end.
    let mut stream = stage.connect();
    let head = b"POST /size HTTP/1.1\r\nhost: x\r\ncontent-length: 900000\r\n\r\n";
    stream.write_all(head).expect("sent");
    trickle(stream.try_clone().expect("the same"), Duration::from_millis(20));
    stage.has_open(0);
    stage.serves();
}

#[test]
fn a_body_at_a_fair_pace_is_taken() {
    let limits = Limits { pause: 2 * SHORT, rate: 5, ..Limits::default() };
    let stage = Stage::new(limits);
    let mut stream = stage.connect();
    stream
        .write_all(b"POST /size HTTP/1.1\r\nhost: x\r\ncontent-length: 40\r\n\r\n")
        .expect("sent");
    for _ in 0..40 {
        stream.write_all(b"x").expect("taken");
        std::thread::sleep(Duration::from_millis(75));
    }
    assert!(answer(&mut stream, "40").starts_with("HTTP/1.1 200"));
}

#[test]
fn who_takes_nothing_is_dropped() {
    let limits = Limits { stalled: SHORT, ..Limits::default() };
    let stage = Stage::new(limits);
    // Over TCP the kernel may find it first.
    let endless = b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n";
    let (mut tcp, mut socket) = (stage.connect(), stage.connect_by_socket());
    tcp.write_all(endless).expect("sent");
    socket.write_all(endless).expect("sent");
    stage.has_open(2);
    stage.has_open(0);
    assert!(stage.counted.stalled.get() >= 1);
    stage.serves();
}

#[test]
fn who_takes_nothing_of_one_answer_is_dropped_though_the_connection_is_alive() {
    let limits = Limits { stalled: SHORT, ..Limits::default() };
    let stage = Stage::new(limits);
    let mut stream = stage.connect_by_socket();
    let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    // GET http /endless with `:authority: x` (HPACK).
    let headers = b"\x82\x86\x04\x08/endless\x41\x01x";
    sent.extend([0, 0, headers.len() as u8, 1, 5, 0, 0, 0, 1]);
    sent.extend(headers);
    stream.write_all(&sent).expect("sent");
    // All that comes is read, but no window is given for more.
    let heard = rest(&mut stream);
    assert!(heard.len() >= 60_000, "{heard}");
    assert_eq!(stage.counted.stalled.get(), 1);
    stage.serves();
}

#[test]
fn who_has_gone_without_a_word_holds_nothing() {
    let limits = Limits { idle: SHORT, grace: SHORT, ..Limits::default() };
    let stage = Stage::new(limits);
    let kept: Vec<_> = (0..20)
        .map(|_| {
            let mut stream = stage.connect();
            stream.write_all(GOOD).expect("sent");
            answer(&mut stream, "well");
            stream
        })
        .collect();
    // None of them says anything any more.
    stage.has_open(0);
    stage.serves();
    drop(kept);
}

#[test]
fn one_address_does_not_take_all_places() {
    let limits = Limits { per_address: 3, ..Limits::default() };
    let stage = Stage::new(limits);
    let kept: Vec<_> = (0..3)
        .map(|_| {
            let mut stream = stage.connect();
            stream.write_all(GOOD).expect("sent");
            answer(&mut stream, "well");
            stream
        })
        .collect();
    assert_eq!(stage.until_the_end(GOOD), "");
    assert_eq!(stage.counted.refused.get(), 1);
    drop(kept);
    stage.has_open(0);
    stage.serves();
}

#[test]
fn a_body_that_nobody_wants_and_comes_late_costs_nothing_of_the_answer() {
    let stage = Stage::new(Limits::default());
    for _ in 0..20 {
        let mut client = stage.connect();
        let head =
            b"POST /much HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 4\r\n\r\n";
        client.write_all(head).expect("sent");
        std::thread::sleep(Duration::from_millis(20));
        client.write_all(b"null").expect("sent");
        let told = rest(&mut client);
        let (_, body) = told.split_once("\r\n\r\n").expect("an answer");
        assert_eq!(body.len(), MUCH);
    }
    // More than is taken, or none at all: it is answered, and nobody is waited for for long.
    for length in [0, 1 << 30] {
        let head = format!("POST /much HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n");
        let mut client = stage.connect();
        client.write_all(head.as_bytes()).expect("sent");
        assert!(answer(&mut client, "xxx").starts_with("HTTP/1.1 200"));
    }
    stage.serves();
}

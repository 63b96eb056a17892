//! Requests that are none, or that two readers would read in two ways.

use std::io::Write as _;
use std::time::Duration;

use super::{Limits, Stage, answer, rest};

#[test]
fn what_is_no_request_is_refused_and_others_are_served() {
    let stage = Stage::new(Limits { first: Duration::from_secs(2), ..Limits::default() });
    let many: String = (0..10_000).map(|number| format!("x{number}: y\r\n")).collect();
    let huge = "x".repeat(1 << 20);
    let shapes: Vec<Vec<u8>> = vec![
        b"\0\0\0\0\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1\r\nhost: x\r\nna\0me: y\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1\r\nhost: x\r\nname: a\0b\r\n\r\n".to_vec(),
        b"GET /\xff\xfe HTTP/9.9\r\nhost: x\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1\r\nhost: x\r\n folded: y\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1\r\nhost : x\r\n\r\n".to_vec(),
        format!("GET / HTTP/1.1\r\nhost: x\r\n{many}\r\n").into_bytes(),
        format!("GET / HTTP/1.1\r\nhost: x\r\nname: {huge}\r\n\r\n").into_bytes(),
        format!("GET /{huge} HTTP/1.1\r\nhost: x\r\n\r\n").into_bytes(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a hello of TLS\r\n\r\n".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nand then garbage, and more of it".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".to_vec(),
    ];
    for shape in shapes {
        let heard = stage.until_the_end(&shape);
        let is_refused =
            ["400", "414", "431"].iter().any(|code| heard.starts_with(&format!("HTTP/1.1 {code}")));
        // HTTP/2 says it in frames.
        assert!(is_refused || !heard.contains("200 OK"), "{}: {heard}", shape.escape_ascii());
        stage.serves();
    }
}

#[test]
fn nothing_is_smuggled_behind_a_length_that_can_be_read_in_two_ways() {
    let stage = Stage::new(Limits { pause: Duration::from_secs(1), ..Limits::default() });
    let smuggled = "GET /late HTTP/1.1\r\nhost: x\r\n\r\n";
    for lengths in [
        "content-length: 5\r\ncontent-length: 6",
        "content-length: 5, 6",
        "content-length: +5",
        "content-length: -1",
        "content-length: 99999999999999999999999",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity",
        "transfer-encoding: xchunked",
        "transfer-encoding: chunked, gzip",
    ] {
        let sent =
            format!("POST /size HTTP/1.1\r\nhost: x\r\n{lengths}\r\n\r\n0\r\n\r\n{smuggled}");
        let heard = stage.until_the_end(sent.as_bytes());
        assert!(heard.starts_with("HTTP/1.1 400"), "{lengths}: {heard}");
        assert_eq!(heard.matches("HTTP/1.1 ").count(), 1, "{lengths}: {heard}");
        stage.serves();
    }
    // Both: chunks count (RFC 9112, 6.3), and the connection is not used for anything else.
    let both = "content-length: 4\r\ntransfer-encoding: chunked";
    let sent = format!("POST /size HTTP/1.1\r\nhost: x\r\n{both}\r\n\r\n0\r\n\r\n{smuggled}");
    let mut stream = stage.connect();
    stream.write_all(sent.as_bytes()).expect("sent");
    let heard = rest(&mut stream);
    assert!(!heard.contains("late"), "{heard}");
    stage.serves();
    for chunks in [
        "fffffffffffffffff\r\nx",
        "-1\r\nx",
        "0x5\r\nabcde\r\n0\r\n\r\n",
        "5;\r\r\nabcde\r\n0\r\n\r\n",
        "5\r\nabcdeXX0\r\n\r\n",
    ] {
        let head = "POST /size HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
        let heard = stage.until_the_end(format!("{head}{chunks}").as_bytes());
        assert!(!heard.contains(" 200 "), "{chunks}: {heard}");
        stage.serves();
    }
}

#[test]
fn requests_behind_each_other_are_answered_in_turn() {
    let stage = Stage::new(Limits::default());
    let mut stream = stage.connect();
    let post = "POST /size HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc";
    let last = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(format!("{}{last}", post.repeat(50)).as_bytes()).expect("sent");
    let heard = rest(&mut stream);
    assert_eq!(heard.matches("HTTP/1.1 200 OK").count(), 51, "{heard}");
    assert!(heard.ends_with("well"), "{heard}");
}

#[test]
fn requests_of_http2_that_are_begun_and_reset_end_the_connection() {
    let stage = Stage::new(Limits::default());
    let mut stream = stage.connect();
    let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let frame = |kind: u8, flags: u8, stream: u32, load: &[u8]| {
        let length = u32::try_from(load.len()).expect("short").to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), load].concat()
    };
    sent.extend(frame(4, 0, 0, b""));
    for number in 0..5000_u32 {
        let id = 2 * number + 1;
        // GET http / and `:authority: x`, by HPACK's static table, then RST_STREAM with CANCEL.
        sent.extend(frame(1, 5, id, b"\x82\x86\x84\x41\x01x"));
        sent.extend(frame(3, 0, id, &[0, 0, 0, 8]));
    }
    let _ = stream.write_all(&sent);
    rest(&mut stream);
    stage.has_open(0);
    stage.serves();
    let mut good = stage.connect();
    good.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").expect("sent");
    answer(&mut good, "well");
}

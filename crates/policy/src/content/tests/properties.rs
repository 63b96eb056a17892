//! What holds for any bytes. The texts are put together from the parts that matchers look for, so
//! that they meet each other.

use super::super::{ContentKind, inspect, redact, redact_bytes, skeleton};
use proptest::prelude::*;
use std::borrow::Cow;
use std::collections::HashSet;

const PARTS: [&str; 48] = [
    "password",
    "=",
    ":",
    " ",
    "\"",
    "'",
    "\\",
    "\n",
    "hunter2",
    "--token",
    "-p",
    "mysql",
    "curl",
    "-u",
    "user:pw12",
    "://",
    "@",
    "/",
    concat!("gh", "p_"),
    "aB3dE5fG7hJ9kL1mN3pQ5rS7",
    concat!("AK", "IA"),
    "Z7QK3M5P2R4T6V8X",
    "-----BEGIN PRIVATE KEY-----",
    "-----END PRIVATE KEY-----",
    "eyJhbGciOiJIUzI1NiJ9",
    ".",
    "4111 1111 1111 1111",
    "DE89370400440532013000",
    "ssn 123-45-6789",
    "‹redacted: password›",
    "‹redacted: ",
    "›",
    "é",
    "\u{202e}",
    "\u{200b}",
    "ｒｍ",
    "rм",
    "$",
    "${jndi:",
    "%3D",
    "\\n",
    "../../../etc/",
    "Authorization: Bearer ",
    "sig=",
    "key: ",
    "() { :;};",
    "echo x:y1 | sudo chpasswd",
    "https://h/?token=",
];

fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(&PARTS[..]), 0..24).prop_map(|parts| parts.concat())
}

fn check(bytes: &[u8]) {
    for finding in inspect(bytes, 64) {
        assert!(finding.range.start <= finding.range.end && finding.range.end <= bytes.len());
        assert!(finding.risk <= finding.kind.risk() || finding.kind == ContentKind::MixedScript);
        assert!(!finding.excerpt.chars().any(char::is_control));
    }
    let once = redact_bytes(bytes);
    let twice = redact_bytes(&once);
    assert_eq!(once, twice, "not idempotent: {:?}", String::from_utf8_lossy(bytes));
    let private =
        inspect(bytes, usize::MAX).iter().any(|finding| finding.kind.redaction().is_some());
    assert_eq!(private, matches!(once, Cow::Owned(_)));
}

proptest! {
    #[test]
    fn any_bytes_are_inspected_and_redacted(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        check(&bytes);
    }

    #[test]
    fn parts_that_meet_are_inspected_and_redacted(text in text()) {
        check(text.as_bytes());
        let redacted = redact(&text);
        prop_assert_eq!(redacted.as_bytes(), &*redact_bytes(text.as_bytes()));
    }

    #[test]
    fn what_redaction_keeps_stands_in_the_text_in_order(text in text()) {
        let redacted = redact(&text).into_owned();
        let mut rest = text.as_str();
        let mut kept = redacted.as_str();
        // Marks of the text itself are passed over like those that redaction put there.
        while let Some(mark) = kept.find("‹redacted: ") {
            let (before, after) = kept.split_at(mark);
            let at = rest.find(before);
            prop_assert!(at.is_some(), "{before:?} of {redacted:?}");
            rest = &rest[at.unwrap() + before.len()..];
            let name = &after["‹redacted: ".len()..];
            kept = name.trim_start_matches(|c: char| c.is_ascii_lowercase() || c == '-');
            kept = kept.strip_prefix('›').unwrap_or(kept);
        }
        prop_assert!(rest.ends_with(kept), "{kept:?} of {redacted:?}");
    }

    #[test]
    fn plain_words_are_left_alone(text in "[a-z ]{0,80}") {
        prop_assert_eq!(inspect(text.as_bytes(), 1000).len(), 0);
        prop_assert!(matches!(redact(&text), Cow::Borrowed(_)));
    }

    #[test]
    fn a_skeleton_is_ascii(word in "\\PC{0,20}") {
        prop_assert!(skeleton(&word).is_none_or(|plain| plain.is_ascii()));
    }
}

#[test]
fn every_kind_has_a_name_of_its_own() {
    let kinds = [
        ContentKind::TooLarge,
        ContentKind::NotUtf8,
        ContentKind::NulByte,
        ContentKind::TerminalColour,
        ContentKind::TerminalEscape,
        ContentKind::OverwritingCharacter,
        ContentKind::ControlCharacter,
        ContentKind::BidirectionalControl,
        ContentKind::DirectionMark,
        ContentKind::HiddenCharacter,
        ContentKind::InvisibleCharacter,
        ContentKind::UnusualSpace,
        ContentKind::ImitatedProgram,
        ContentKind::ImitatedHost,
        ContentKind::MixedScript,
        ContentKind::PaymentCard,
        ContentKind::BankAccount,
        ContentKind::SocialSecurityNumber,
        ContentKind::EmailAddresses,
        ContentKind::LookupPayload,
        ContentKind::FunctionImportPayload,
        ContentKind::TraversalChain,
        ContentKind::EncodedTraversal,
        ContentKind::EncodedLineBreak,
        ContentKind::EncodedNul,
    ];
    let names: HashSet<_> = kinds.iter().map(|kind| kind.name()).collect();
    assert_eq!(names.len(), kinds.len());
    for kind in kinds {
        assert!(
            kind.name()
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'-' || byte == b'8')
        );
        assert!(!kind.reason().is_empty() && !kind.hint().is_empty());
    }
}

/// Prints what a typical command and the worst megabytes cost; asserts nothing about time.
#[test]
#[ignore = "measures; run it with --release --ignored --nocapture"]
fn speed() {
    use std::hint::black_box;
    // Time on a processor, since other work shares the machine.
    let now = || -> u64 {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        text.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0)
    };
    for command in [
        "ls -la",
        "git commit -m 'fix the parser' && git push origin main",
        "docker run --rm -v $PWD:/src -e NODE_ENV=production -p 8080:80 node:20 npm run build",
        "curl -H 'Authorization: Bearer abcdef0123456789' https://api.example.org/v1/items?limit=10",
        "echo \"привет, мир\" | grep -v м",
    ] {
        let begin = now();
        for _ in 0..20_000 {
            black_box(inspect(black_box(command.as_bytes()), 1 << 20));
        }
        println!("{:>8} ns  {command}", (now() - begin) / 20_000);
    }
    let megabyte = |part: &str| part.repeat((1 << 20) / part.len() + 1);
    let mut seed = 1_u32;
    let noise: Vec<u8> = (0..1 << 20)
        .map(|_| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 24) as u8
        })
        .collect();
    let mut worst = vec![("noise".to_owned(), noise)];
    for part in PARTS.into_iter().chain([
        "a",
        "a ",
        "A ",
        "S",
        "-",
        "=",
        "eyJa.",
        "eyJ-",
        "hvs.",
        "password=",
        "password=$x",
        "password='",
        "\"password\":\"",
        "--password ",
        "--password x",
        "mysql -p",
        "mysql -p'",
        "://a",
        "://a:b",
        "discord.com/api/webhooks/",
        "1 ",
        "1111 ",
        "a@",
        "a@b.c",
        "../",
        "%2e%2e%2f",
        "%0a",
        "-----BEGIN PRIVATE KEY-----a",
        "key=",
        "key=aB3dE5fG7hJ9kL1mN3pQ5rS7 ",
        "aа ",
        "rм ",
        "п",
        "ｒ",
        "\u{2066}",
        "א\u{2066}\n",
        "\u{1b}[",
        "\r",
        "\u{1b}[0m",
        "sudo -S ",
        "echo a|sudo -S ",
        "() { :;}; ",
        "DE89 ",
        "sk-a-",
        "\\nsk-",
        "token: ",
        "Authorization: ",
        "‹redacted: a› ",
        "\u{200b}",
        "\u{e0041}",
        "例",
        "e\u{301}",
    ]) {
        worst.push((part.to_owned(), megabyte(part).into_bytes()));
    }
    for (part, bytes) in worst {
        let begin = now();
        black_box(inspect(black_box(&bytes), 1 << 30));
        let inspected = (now() - begin) / 1000;
        let begin = now();
        black_box(redact_bytes(black_box(&bytes)));
        let redacted = (now() - begin) / 1000;
        if inspected > 4_000 || redacted > 8_000 {
            println!("{inspected:>8} µs {redacted:>8} µs  {part:?}");
        }
    }
}

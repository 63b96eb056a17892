//! Secrets with a shape of their own around a sign: armour, addresses, bot tokens.

use super::super::{ContentKind, Hit};
use super::SecretKind;
use super::placeholder::is_placeholder;
use super::randomness::is_varied;
use crate::source_range::SourceRange;
use ctrlz_core::verdict::Risk;

/// The longest label between `BEGIN` and the dashes that is read.
const LABEL_MAX: usize = 48;
/// The longest user name and password in an address.
const USER_INFO_MAX: usize = 512;

fn hit(kind: SecretKind, start: usize, end: usize) -> Hit {
    Hit::new(ContentKind::Secret(kind), start, end)
}

/// At a `-`: a private key in armour, from its first dash to its last.
pub(in super::super) fn private_key(text: &[u8], start: usize) -> Option<Hit> {
    let rest = text.get(start..)?.strip_prefix(b"-----BEGIN ")?;
    let label = rest.get(..rest.len().min(LABEL_MAX))?;
    let label = label.get(..label.iter().position(|byte| *byte == b'-')?)?;
    if !label.windows(11).any(|part| part == b"PRIVATE KEY") {
        return None;
    }
    let body = rest.get(label.len()..)?.strip_prefix(b"-----")?;
    // What armour holds: base64, headers (`Proc-Type: 4,ENCRYPTED`), line breaks, also as `\n`.
    let mut length = 0;
    let mut letters = 0;
    while let Some(&byte) = body.get(length) {
        match byte {
            // The footer, or the header of the next one.
            b'-' if body.get(length + 1) == Some(&b'-') => break,
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'+' | b'/' | b'=' => letters += 1,
            b'\n' | b'\r' | b'\t' | b' ' | b'\\' | b':' | b',' | b'-' | b'.' | b'(' | b')' => {}
            _ => break,
        }
        length += 1;
    }
    let tail = body.get(length..)?;
    let closed = tail.strip_prefix(b"-----END ").and_then(|tail| {
        let label = tail.iter().take(LABEL_MAX).position(|byte| *byte == b'-')?;
        tail.get(label..)?.starts_with(b"-----").then_some(label + 14)
    });
    // A search for the header, or a text that mentions it, holds no key.
    if letters < 16 || (closed.is_none() && !is_varied(body.get(..length)?)) {
        return None;
    }
    let begin = text.len() - body.len();
    let end = match closed {
        Some(footer) => begin + length + footer,
        // Cut off: up to the last letter of the key, not to the spaces behind it.
        None => {
            begin + body.get(..length)?.iter().rposition(|byte| !byte.is_ascii_whitespace())? + 1
        }
    };
    // `-----BEGIN PRIVATE KEY----- in a file` is prose: no word of a key is so short.
    let first_line = body
        .iter()
        .skip_while(|byte| matches!(byte, b'\n' | b'\r' | b' ' | b'\\'))
        .take_while(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'=')
        })
        .take(64)
        .count();
    let key = hit(SecretKind::PrivateKey, start, end);
    (closed.is_some() || first_line >= 16).then_some(key)
}

/// At a `:` that `//` follows: the password in `scheme://user:password@host`.
pub(in super::super) fn url_password(text: &[u8], colon: usize) -> Option<Hit> {
    let authority = text.get(colon..)?.strip_prefix(b"://")?;
    let length = authority
        .iter()
        .take(USER_INFO_MAX)
        .take_while(|byte| {
            !byte.is_ascii_whitespace()
                && !matches!(byte, b'/' | b'\'' | b'"' | b'`' | b'>' | b'?' | b'#')
        })
        .count();
    let authority = authority.get(..length)?;
    let at = authority.iter().rposition(|byte| *byte == b'@')?;
    let user_info = authority.get(..at)?;
    let begin = colon + 3;
    match user_info.iter().position(|byte| *byte == b':') {
        Some(separator) => {
            let password = user_info.get(separator + 1..)?;
            // A token of a known shape is told by its own name.
            if is_placeholder(password) || starts_token(password) {
                return None;
            }
            let start = begin + separator + 1;
            Some(hit(SecretKind::UrlPassword, start, begin + at))
        }
        // `https://TOKEN@host`.
        None => {
            let long = user_info.len() >= 20 && user_info.iter().any(u8::is_ascii_digit);
            if !long || is_placeholder(user_info) || starts_token(user_info) {
                return None;
            }
            Some(hit(SecretKind::UrlPassword, begin, begin + at))
        }
    }
}

/// Whether a token of a known shape stands at the start.
pub(super) fn starts_token(text: &[u8]) -> bool {
    super::token::at(text, 0).is_some()
}

/// At the `:` of a Telegram bot's token: digits before it, 35 letters after it.
pub(in super::super) fn bot_token(text: &[u8], colon: usize) -> Option<Hit> {
    let id = text
        .get(colon.saturating_sub(12)..colon)?
        .iter()
        .rev()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    if !(8..=10).contains(&id) {
        return None;
    }
    let rest = text.get(colon + 1..)?;
    let length = rest
        .iter()
        .take(40)
        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
        .count();
    let secret = rest.get(..length)?;
    let fits = (34..=36).contains(&length) && is_varied(secret);
    // From the colon: the number before it is the bot's public name.
    fits.then(|| hit(SecretKind::TelegramToken, colon + 1, colon + 1 + length))
}

/// The same hit, less alarming if what it covers says that it is an example.
pub(super) fn weighed(text: &[u8], found: Hit) -> Hit {
    let SourceRange { start, end } = found.range;
    if found.kind == ContentKind::Secret(SecretKind::AwsSecretKey) {
        return found;
    }
    let value = text.get(start..end.min(start + 128)).unwrap_or_default();
    if super::token::is_example(value) { found.at_risk(Risk::Low) } else { found }
}

//! The value that is given to a name, and whether it is a secret.

use super::SecretKind;
use super::name::Name;
use super::placeholder::is_placeholder;
use super::randomness::is_random;

/// How a value is given, which says how much of what can stand there is code or prose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// `NAME=value`, `--name=value`, `--name value`.
    Argument,
    /// `name=value` in small letters without dashes: an argument, a field of a form, or code.
    Field,
    /// `name: value`, `name = value`: a file of settings, code or prose.
    Setting,
}

/// A value as it stands in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) quoted: bool,
}

/// The longest value that is looked at; a longer one is read to its end once it counts as secret.
const VALUE_MAX: usize = 1024;

/// Reads the value at `start`. `spaces` allows them inside quotes. The second part is how far the
/// text was read.
pub(super) fn read(text: &[u8], start: usize, spaces: bool) -> (Option<Value>, usize) {
    let rest = text.get(start..).unwrap_or_default();
    let (quote, open) = match rest {
        [quote @ (b'"' | b'\''), ..] => (Some(*quote), 1),
        [b'\\', quote @ (b'"' | b'\''), ..] => (Some(*quote), 2),
        [b'$', b'\'', ..] => (Some(b'\''), 2),
        _ => (None, 0),
    };
    let body = rest.get(open..).unwrap_or_default();
    let begin = start + open;
    let Some(quote) = quote else {
        let ends = |byte: &u8| {
            byte.is_ascii_whitespace()
                || matches!(byte, b'"' | b'\'' | b'`' | b';' | b'&' | b'|' | b'>' | b'<' | b',')
                || (*byte == b'\\')
        };
        let length = body.iter().position(ends).unwrap_or(body.len());
        let value = Value { start: begin, end: begin + length, quoted: false };
        return (Some(value), begin + length);
    };
    let stops = |byte: &u8| *byte == quote || *byte == b'\n' || (!spaces && *byte == b' ');
    let sample = body.get(..body.len().min(VALUE_MAX)).unwrap_or_default();
    let Some(length) = sample.iter().position(stops) else {
        return (None, begin + sample.len());
    };
    if body.get(length) != Some(&quote) {
        return (None, begin + length);
    }
    // The backslash of a closing `\"` is no part of it.
    let escaped = open == 2 && length > 0 && body.get(length - 1) == Some(&b'\\');
    let end = begin + length - usize::from(escaped);
    (Some(Value { start: begin, end, quoted: true }), begin + length)
}

/// Whose secret a value is, given to such a name in such a manner.
pub(super) fn judge(name: Name, manner: Manner, value: &[u8], quoted: bool) -> Option<SecretKind> {
    let least = match name {
        Name::Password | Name::Authorization => 3,
        Name::Token => 8,
        Name::Weak => 20,
        Name::AwsSecretKey => 16,
        Name::AzureKey => 32,
        Name::Signature => 40,
    };
    // What has exactly the form of a key is none of the words that stand for one.
    let formed = name == Name::AwsSecretKey && is_aws_secret(value);
    if value.len() < least || !formed && (is_placeholder(value) || is_path(value)) {
        return None;
    }
    // `password=getpass()`, `token: Option<String>`, `secret = settings["key"]`.
    let code = |byte: &u8| matches!(byte, b'(' | b')' | b'{' | b'}' | b'[' | b']');
    if !quoted && value.iter().take(VALUE_MAX).any(code) {
        return None;
    }
    let plain = quoted || manner == Manner::Argument;
    match name {
        Name::Password => {
            let telling = match manner {
                Manner::Argument => true,
                _ if quoted => true,
                Manner::Field => value.len() >= 4 && (has_digit(value) || !is_identifier(value)),
                Manner::Setting => value.len() >= 6 && has_letter(value) && !is_word(value),
            };
            telling.then_some(SecretKind::Password)
        }
        Name::Token => {
            let telling = !value.contains(&b' ')
                && (has_digit(value)
                    || (plain && has_both_cases(value))
                    || (plain && value.len() >= 16))
                && (has_digit(value) || has_both_cases(value) || !is_word(value) || plain);
            telling.then_some(SecretKind::NamedSecret)
        }
        Name::Weak => (is_random(value) && !is_checksum(value)).then_some(SecretKind::HighEntropy),
        Name::AwsSecretKey => Some(SecretKind::AwsSecretKey),
        Name::AzureKey => Some(SecretKind::AzureKey),
        Name::Signature => Some(SecretKind::AzureSignature),
        Name::Authorization => None,
    }
}

/// Forty letters of base64, of both cases and digits.
fn is_aws_secret(value: &[u8]) -> bool {
    value.len() == 40
        && value.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
        && has_digit(value)
        && has_both_cases(value)
}

/// Whether the credentials after `Bearer` and the like are some.
pub(super) fn is_credential(value: &[u8]) -> bool {
    value.len() >= 8 && !is_placeholder(value) && !value.contains(&b'(')
}

fn is_path(value: &[u8]) -> bool {
    let begins: [&[u8]; 6] = [b"/", b"./", b"../", b"~/", b"file:", b"@/"];
    let random = value.len() >= 20 && is_random(value) && !value.iter().skip(1).any(|b| *b == b'.');
    (begins.iter().any(|begin| value.starts_with(begin)) && !random)
        || value.starts_with(b"http://")
        || value.starts_with(b"https://")
        || value.starts_with(b"env:")
        || value.starts_with(b"arn:")
        || value.starts_with(b"vault:")
        || value.starts_with(b"op://")
}

/// `sha256:…`, `sha512-…`, `md5:…`.
fn is_checksum(value: &[u8]) -> bool {
    value.starts_with(b"sha") || value.starts_with(b"md5")
}

fn has_digit(value: &[u8]) -> bool {
    value.iter().any(u8::is_ascii_digit)
}

fn has_letter(value: &[u8]) -> bool {
    value.iter().any(u8::is_ascii_alphabetic)
}

fn has_both_cases(value: &[u8]) -> bool {
    value.iter().any(u8::is_ascii_uppercase) && value.iter().any(u8::is_ascii_lowercase)
}

/// A name as code writes it, possibly of a member: `config.password`.
fn is_identifier(value: &[u8]) -> bool {
    value.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'))
}

/// Letters only, as in prose, with what prose puts behind a word.
fn is_word(value: &[u8]) -> bool {
    value.iter().all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'.' | b'-'))
}

//! Bytes as one word of text, in one way only.

use std::fmt::Write;

/// Adds `bytes` as a word.
pub(super) fn escape(bytes: &[u8], to: &mut String) {
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c == '\\' || c.is_control() || c.is_whitespace() || is_invisible(c) {
                for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                    hex(byte, to);
                }
            } else {
                to.push(c);
            }
        }
        for byte in chunk.invalid() {
            hex(*byte, to);
        }
    }
}

/// Marks that change how the text around them is shown.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

fn hex(byte: u8, to: &mut String) {
    // Writing to a String does not fail.
    let _ = write!(to, "\\x{byte:02x}");
}

/// The bytes of a word; `None` when it was not written by [`escape`].
pub(super) fn unescape(word: &str) -> Option<Vec<u8>> {
    if !word.contains('\\') {
        return Some(word.as_bytes().to_vec());
    }
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let (code, after) = rest.split_at_checked(3)?;
        let digits = std::str::from_utf8(code.strip_prefix(b"x")?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = after;
    }
    let mut again = String::with_capacity(word.len());
    escape(&bytes, &mut again);
    (again == word).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_come_back(bytes in any::<Vec<u8>>()) {
            let mut word = String::new();
            escape(&bytes, &mut word);
            prop_assert!(!word.contains(|c: char| c.is_whitespace() || c.is_control()));
            prop_assert_eq!(unescape(&word), Some(bytes));
        }
    }

    #[test]
    fn there_is_one_way_to_write_a_word() {
        for other in [r"\x61", r"\x4", r"\y41", "\\", r"\xC3\xBC", r"\xc3\xbc"] {
            assert_eq!(unescape(other), None, "{other}");
        }
    }
}

//! Encodings that programs use to carry other programs.

/// Base64 with either alphabet, as lenient as those who decode it: other characters are skipped.
pub(super) fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3 + 3);
    let (mut bits, mut count) = (0_u32, 0_u32);
    for byte in text {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            b'=' => break,
            0 => return None,
            _ => continue,
        };
        bits = (bits << 6 | u32::from(value)) & 0x00ff_ffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count).to_le_bytes()[0]);
        }
    }
    Some(out)
}

/// Base32 (RFC 4648).
pub(super) fn base32(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 8 * 5 + 5);
    let (mut bits, mut count) = (0_u32, 0_u32);
    for byte in text {
        let value = match byte.to_ascii_uppercase() {
            letter @ b'A'..=b'Z' => letter - b'A',
            digit @ b'2'..=b'7' => digit - b'2' + 26,
            b'=' => break,
            _ => return None,
        };
        bits = (bits << 5 | u32::from(value)) & 0x000f_ffff;
        count += 5;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count).to_le_bytes()[0]);
        }
    }
    Some(out)
}

/// Ascii85 as `base64.a85decode` reads it, and base 85 as `b85decode` does.
pub(super) fn base85(text: &[u8], ascii: bool) -> Option<Vec<u8>> {
    const ALPHABET: &[u8] =
        b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~";
    let mut digits = Vec::with_capacity(text.len());
    for byte in text {
        match (ascii, byte) {
            (true, b'!'..=b'u') => digits.push(u64::from(byte - b'!')),
            (true, b'z') => digits.extend([0; 5]),
            (_, b' ' | b'\n' | b'\t' | b'\r') => {}
            (false, _) => {
                digits.push(ALPHABET.iter().position(|one| one == byte)?.try_into().ok()?);
            }
            (true, _) => return None,
        }
    }
    let mut out = Vec::with_capacity(digits.len() / 5 * 4 + 4);
    for group in digits.chunks(5) {
        let padded = group.iter().copied().chain(std::iter::repeat(84)).take(5);
        let number = padded.fold(0_u64, |number, digit| number * 85 + digit);
        let bytes = u32::try_from(number).ok()?.to_be_bytes();
        out.extend(bytes.iter().take(group.len().saturating_sub(1)));
    }
    Some(out)
}

/// Two digits a byte; white space between them is skipped.
pub(super) fn hexadecimal(text: &[u8]) -> Option<Vec<u8>> {
    let mut digits = Vec::with_capacity(text.len());
    for byte in text.iter().filter(|byte| !byte.is_ascii_whitespace()) {
        let digit = char::from(*byte).to_digit(16)?;
        digits.push(digit.to_le_bytes()[0]);
    }
    let pairs = digits.chunks_exact(2);
    Some(pairs.filter_map(|pair| Some(pair.first()? << 4 | pair.last()?)).collect())
}

/// Letters turned by thirteen places.
pub(super) fn rot13(text: &[u8]) -> Vec<u8> {
    let turned = |byte: u8, first: u8| (byte - first + 13) % 26 + first;
    text.iter()
        .map(|byte| match byte {
            b'a'..=b'z' => turned(*byte, b'a'),
            b'A'..=b'Z' => turned(*byte, b'A'),
            _ => *byte,
        })
        .collect()
}

/// `%41` is `A`.
pub(super) fn percent(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        let decoded = match (byte, after.split_at_checked(2)) {
            (b'%', Some((digits, behind))) => hexadecimal(digits)
                .and_then(|bytes| bytes.first().copied())
                .map(|byte| (byte, behind)),
            _ => None,
        };
        match decoded {
            Some((byte, behind)) => {
                out.push(byte);
                rest = behind;
            }
            None => out.push(*byte),
        }
    }
    out
}

/// The most that is unpacked.
const LONGEST_UNPACKED: u64 = 64 << 10;

/// What zlib, gzip or deflate packed; what is no text stays unknown.
pub(super) fn inflated(bytes: &[u8]) -> Option<Vec<u8>> {
    use std::io::Read;
    let read = |reader: &mut dyn Read| {
        let mut out = Vec::new();
        reader.take(LONGEST_UNPACKED).read_to_end(&mut out).ok()?;
        (!out.is_empty() && !out.contains(&0)).then_some(out)
    };
    match bytes {
        [0x1f, 0x8b, ..] => read(&mut flate2::read::GzDecoder::new(bytes)),
        _ => read(&mut flate2::read::ZlibDecoder::new(bytes))
            .or_else(|| read(&mut flate2::read::DeflateDecoder::new(bytes))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_encoding_is_read() {
        assert_eq!(base64(b"cm0gLXJmIC8=").as_deref(), Some(&b"rm -rf /"[..]));
        assert_eq!(base32(b"OJWSALLSMYQC6===").as_deref(), Some(&b"rm -rf /"[..]));
        assert_eq!(hexadecimal(b"726d 202d").as_deref(), Some(&b"rm -"[..]));
        assert_eq!(base85(b"BOu!rDZ", true).as_deref(), Some(&b"hello"[..]));
        assert_eq!(base85(b"Xk~0{Zv", false).as_deref(), Some(&b"hello"[..]));
        assert_eq!(rot13(b"ez -es"), b"rm -rf");
        assert_eq!(percent(b"a%20b%zz%4"), b"a b%zz%4");
        let packed = base64(b"eJwrylXQLUpT0AcAC50CVA==").unwrap_or_default();
        assert_eq!(inflated(&packed).as_deref(), Some(&b"rm -rf /"[..]));
    }

    #[test]
    fn what_is_not_encoded_is_not_read() {
        assert_eq!(base32(b"0189"), None);
        assert_eq!(hexadecimal(b"xyz"), None);
        assert_eq!(base64(b"a\0b"), None);
    }
}

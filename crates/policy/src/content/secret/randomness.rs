//! Whether letters look drawn at random.

/// Bytes of a value that are looked at: more do not change the answer.
const SAMPLE: usize = 256;

/// Whether so many different letters stand in a token's body that it is no placeholder such as
/// `xxxxxxxx` or `0123`.
pub(super) fn is_varied(body: &[u8]) -> bool {
    let seen = body.iter().take(SAMPLE).fold(0_u128, |seen, byte| seen | 1 << (byte & 127));
    seen.count_ones() >= 6
}

/// Shannon's entropy of the first bytes, in bits a byte.
pub(super) fn entropy(text: &[u8]) -> f32 {
    let mut counts = [0_u16; 256];
    let sample = text.get(..text.len().min(SAMPLE)).unwrap_or_default();
    for byte in sample {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count += 1;
        }
    }
    let length = sample.len() as f32;
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| {
            let share = f32::from(*count) / length;
            -share * share.log2()
        })
        .sum()
}

/// Whether a value is long and random enough to be a key: base64 or hexadecimal letters only,
/// but no UUID, no checksum that says so, and no words.
pub(super) fn is_random(value: &[u8]) -> bool {
    if value.len() < 20 || is_uuid(value) {
        return false;
    }
    let mut digit = false;
    let mut upper = false;
    let mut lower = false;
    let mut hex = true;
    for byte in value.iter().take(SAMPLE) {
        match byte {
            b'0'..=b'9' => digit = true,
            b'a'..=b'f' => lower = true,
            b'A'..=b'F' => upper = true,
            b'g'..=b'z' => (lower, hex) = (true, false),
            b'G'..=b'Z' => (upper, hex) = (true, false),
            b'+' | b'/' | b'=' | b'_' | b'-' | b'.' | b'~' => hex = false,
            _ => return false,
        }
    }
    if hex {
        return digit && (upper || lower) && entropy(value) >= 3.0;
    }
    digit && lower && (upper || !value.contains(&b'-')) && entropy(value) >= 3.5
}

/// `8-4-4-4-12` hexadecimal digits.
pub(super) fn is_uuid(value: &[u8]) -> bool {
    value.len() == 36
        && value.iter().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// The bytes that base64 letters of either alphabet stand for, up to the first other letter.
pub(super) fn decode_base64_url(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bits = 0_u32;
    let mut count = 0;
    for byte in text {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'-' | b'+' => 62,
            b'_' | b'/' => 63,
            _ => break,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            decoded.push((bits >> count) as u8);
        }
    }
    decoded
}

//! base64, base32, hexadecimal dumps and openssl: what they decode.

use crate::evaluate::Evaluator;
use crate::evaluate::call::Call;
use crate::evaluate::expand::Field;
use crate::evaluate::value::{Taint, Value};

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

impl Evaluator<'_> {
    pub(super) fn based(&mut self, call: &Call) -> Value {
        let options = call.options("w", &["wrap"]);
        let files: Vec<Field> = options.operands.iter().map(|field| (*field).clone()).collect();
        let input = self.contents(&files, call);
        let bits = match (call.name.as_str(), options.has("base32"), options.has("base16")) {
            ("base32", ..) | (_, true, _) => 5,
            ("base16", ..) | (_, _, true) => 4,
            _ => 6,
        };
        if options.has("d|D|decode") {
            return decoded(&input, |text| match bits {
                5 => bits_of(text, |byte| position(BASE32, byte.to_ascii_uppercase()), 5),
                4 => hex(text),
                _ => base64(text),
            });
        }
        super::limited(&input, |text| match bits {
            6 => encode(text),
            _ => vec![0],
        })
    }

    pub(super) fn hexed(&mut self, call: &Call) -> Value {
        let options = call.options("clsgo", &[]);
        let files: Vec<Field> =
            options.operands.iter().take(1).map(|field| (*field).clone()).collect();
        let input = self.contents(&files, call);
        if call.name == "xxd" && options.has("r|revert") {
            let plain =
                options.has("p|ps|plain|postscript") || options.names().any(|name| name == b"p");
            return decoded(&input, |text| if plain { hex(text) } else { hex(&dumped(text)) });
        }
        Value::unknown(input.taint)
    }

    /// `openssl base64 -d`, `openssl enc -base64 -d`; everything else is not a filter.
    pub(super) fn openssl(&mut self, call: &Call) -> bool {
        let words: Vec<&[u8]> = call.arguments.iter().map(Field::text).collect();
        let has = |word: &str| words.contains(&word.as_bytes());
        let based = words.first() == Some(&b"base64".as_slice())
            || words.first() == Some(&b"enc".as_slice())
                && (has("-base64") || has("-a") || has("-A"));
        if !based && words.first() != Some(&b"enc".as_slice()) {
            return false;
        }
        let file = words
            .iter()
            .position(|word| *word == b"-in")
            .and_then(|at| call.arguments.get(at + 1))
            .cloned();
        let input = self.contents(file.as_slice(), call);
        let only_based = based
            && !words
                .iter()
                .any(|word| word.starts_with(b"-aes") || *word == b"-k" || *word == b"-pass");
        let output = match (has("-d"), only_based) {
            (true, true) => decoded(&input, base64),
            (true, false) => Value::unknown(input.taint.with(Taint::DECODED)),
            (false, _) => Value::unknown(input.taint.with(Taint::OUTPUT)),
        };
        self.write(&output);
        true
    }
}

/// What a compressed text holds: gzip and zlib are read, other forms stay unknown.
pub(super) fn decompressed(input: &Value) -> Value {
    decoded(input, |text| {
        let mut result = Vec::new();
        let most = u64::try_from(super::LONGEST).unwrap_or(u64::MAX);
        std::io::Read::read_to_end(
            &mut std::io::Read::take(flate2::read::GzDecoder::new(text), most),
            &mut result,
        )
        .ok()?;
        Some(result)
    })
}

/// What decoding makes of `input`; what is no text stays unknown.
fn decoded(input: &Value, decode: impl FnOnce(&[u8]) -> Option<Vec<u8>>) -> Value {
    let taint = input.taint.with(Taint::DECODED);
    // What was decoded before may be binary: it is kept beside the text.
    let bytes = match &input.binary {
        Some(bytes) => bytes.as_ref(),
        None if input.is_known() => input.text.as_slice(),
        None => return Value::unknown(taint),
    };
    if bytes.len() > super::LONGEST {
        return Value::unknown(taint);
    }
    match decode(bytes) {
        Some(text) if !text.contains(&0) => Value { text, taint, binary: None },
        Some(bytes) => Value { binary: Some(bytes.into()), ..Value::unknown(taint) },
        None => Value::unknown(taint),
    }
}

fn position(alphabet: &[u8], byte: u8) -> Option<u32> {
    alphabet.iter().position(|letter| *letter == byte).and_then(|at| u32::try_from(at).ok())
}

pub(crate) fn base64(text: &[u8]) -> Option<Vec<u8>> {
    bits_of(
        text,
        |byte| match byte {
            b'-' => Some(62),
            b'_' => Some(63),
            byte => position(BASE64, byte),
        },
        6,
    )
}

/// Puts groups of bits together; padding ends them, white space is skipped.
fn bits_of(text: &[u8], value: impl Fn(u8) -> Option<u32>, width: u32) -> Option<Vec<u8>> {
    let (mut buffer, mut held, mut result) = (0_u32, 0_u32, Vec::with_capacity(text.len()));
    for byte in text.iter().filter(|byte| !byte.is_ascii_whitespace()) {
        if *byte == b'=' {
            // Padding ends a group; another may follow.
            held = 0;
            continue;
        }
        buffer = buffer << width | value(*byte)?;
        held += width;
        if held >= 8 {
            held -= 8;
            result.push(u8::try_from(buffer >> held & 0xff).ok()?);
        }
    }
    Some(result)
}

fn hex(text: &[u8]) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text
        .iter()
        .filter(|byte| !byte.is_ascii_whitespace() && **byte != b':')
        .map(|byte| char::from(*byte).to_digit(16))
        .collect();
    digits?
        .chunks_exact(2)
        .map(|pair| match pair {
            [high, low] => u8::try_from(high * 16 + low).ok(),
            _ => None,
        })
        .collect()
}

/// The hexadecimal columns of a dump of xxd.
fn dumped(text: &[u8]) -> Vec<u8> {
    let mut digits = Vec::new();
    for line in text.split(|byte| *byte == b'\n') {
        let after = line.iter().position(|byte| *byte == b':').map_or(0, |at| at + 1);
        let columns = line.get(after..).unwrap_or_default();
        let end = columns.windows(2).position(|two| two == b"  ").unwrap_or(columns.len());
        digits.extend_from_slice(columns.get(..end).unwrap_or_default());
    }
    digits
}

fn encode(text: &[u8]) -> Vec<u8> {
    let letter =
        |index: u32| BASE64.get(usize::try_from(index & 63).unwrap_or(0)).copied().unwrap_or(b'A');
    let mut result = Vec::with_capacity(text.len() * 4 / 3 + 4);
    for chunk in text.chunks(3) {
        let mut group = 0_u32;
        for at in 0..3 {
            group = group << 8 | chunk.get(at).copied().map_or(0, u32::from);
        }
        for at in 0..4 {
            result.push(if at <= chunk.len() { letter(group >> (18 - 6 * at)) } else { b'=' });
        }
    }
    result.push(b'\n');
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_what_it_encodes() {
        for text in ["", "a", "ab", "abc", "rm -rf /\n"] {
            assert_eq!(base64(&encode(text.as_bytes())).as_deref(), Some(text.as_bytes()));
        }
        assert_eq!(hex(b"726d 20\n2d").as_deref(), Some(b"rm -".as_slice()));
        assert_eq!(hex(&dumped(b"00000000: 726d 202d  rm -")).as_deref(), Some(b"rm -".as_slice()));
        assert_eq!(base64(b"!!"), None);
    }
}

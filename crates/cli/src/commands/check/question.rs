//! One line of `ctrlz check --jsonl`: what is to be judged, and in which language it is written.

use std::fmt;

use ctrlz_policy::{LANGUAGES, knows_language};
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde_json::error::Category;

/// A question that can be answered.
#[derive(Debug, serde::Deserialize)]
#[serde(expecting = "an object with the field `cmd`")]
pub(super) struct Question {
    cmd: Text,
    lang: Option<String>,
}

impl Question {
    /// Reads a line, or says what is wrong with it.
    pub(super) fn read(line: &[u8]) -> Result<Self, String> {
        let question: Self = serde_json::from_slice(line).map_err(|error| told(&error))?;
        match question.language() {
            Some(name) if !knows_language(name) => Err(format!(
                "`lang` is `{name}`, which is none of {}; leave it out for the shell",
                LANGUAGES.join(", ")
            )),
            _ => Ok(question),
        }
    }

    pub(super) fn text(&self) -> &[u8] {
        &self.cmd.0
    }

    pub(super) fn language(&self) -> Option<&str> {
        self.lang.as_deref().map(str::trim).filter(|name| !name.is_empty())
    }
}

/// What serde says of a line without the number that it has for every line.
fn told(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let what = text.strip_suffix(&place).unwrap_or(&text);
    match error.classify() {
        Category::Data => format!("{what}; a line is an object like {{\"cmd\": \"ls\"}}"),
        _ => format!("no JSON, {what} at column {}", error.column()),
    }
}

/// Text as bytes: commands need not be UTF-8, and JSON can hold halves of characters.
#[derive(Debug)]
struct Text(Vec<u8>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(TextVisitor)
    }
}

struct TextVisitor;

impl Visitor<'_> for TextVisitor {
    type Value = Text;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a text in `cmd`")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Text, E> {
        Ok(Text(escaped_bytes(bytes)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
        Ok(Text(text.as_bytes().to_vec()))
    }
}

/// The text with the bytes that Python writes as halves of characters (`\udc80` to `\udcff`, its
/// `surrogateescape`) put back; they arrive as the three bytes of that code point.
fn escaped_bytes(text: &[u8]) -> Vec<u8> {
    let mut result = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        rest = match rest {
            [0xed, high @ (0xb2 | 0xb3), low @ 0x80..=0xbf, after @ ..] => {
                result.push(if *high == 0xb2 { *low } else { *low | 0x40 });
                after
            }
            _ => {
                result.push(*byte);
                after
            }
        };
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_command_can_be_asked_about() {
        let text = |line: &[u8]| Question::read(line).map(|question| question.text().to_vec());
        assert_eq!(text(br#"{"cmd": "a\u00e9\ud83d\ude00"}"#), Ok("aé😀".into()));
        assert_eq!(text(b"{\"cmd\": \"rm \xff\"}"), Ok(b"rm \xff".to_vec()));
        assert_eq!(
            text(br#"{"cmd": "\udc80 \udcbf \udcc0 \udcff"}"#),
            Ok(b"\x80 \xbf \xc0 \xff".to_vec())
        );
        // Halves that stand for no byte stay what they are, and are no UTF-8.
        assert_eq!(text(br#"{"cmd": "\ud800"}"#), Ok(vec![0xed, 0xa0, 0x80]));
    }

    #[test]
    fn what_is_wrong_with_a_line_is_told_in_words() {
        for (line, told) in [
            ("nonsense", "no JSON, expected ident at column 2"),
            (
                "[]",
                "invalid length 0, expected an object with the field `cmd`; a line is an object like {\"cmd\": \"ls\"}",
            ),
            ("{}", "missing field `cmd`; a line is an object like {\"cmd\": \"ls\"}"),
            (
                r#"{"cmd": 3}"#,
                "invalid type: integer `3`, expected a text in `cmd`; a line is an object like {\"cmd\": \"ls\"}",
            ),
            (
                r#"{"cmd": "x", "lang": "klingon"}"#,
                "`lang` is `klingon`, which is none of shell, python, javascript, perl, ruby, php, lua, awk; leave it out for the shell",
            ),
        ] {
            assert_eq!(Question::read(line.as_bytes()).expect_err(line), told);
        }
        for lang in ["null", "\"\"", "\"Bash\"", "\"py\"", "\"TypeScript\""] {
            let line = format!("{{\"cmd\": \"x\", \"lang\": {lang}}}");
            assert!(Question::read(line.as_bytes()).is_ok(), "{lang}");
        }
    }
}

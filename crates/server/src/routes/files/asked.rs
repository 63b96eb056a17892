//! What a call about files asks for. Names of files are any bytes, so that the query is read as bytes.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::problem::Problem;

/// The longest path, as Linux takes one (`PATH_MAX`).
const LONGEST: usize = 4095;

/// The query of a call.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) path: Option<PathBuf>,
    pub(crate) from: Option<PathBuf>,
    pub(crate) to: Option<PathBuf>,
    pub(crate) mode: Option<u32>,
    pub(crate) stat: bool,
    pub(crate) parents: bool,
    pub(crate) recursive: bool,
    pub(crate) overwrite: bool,
    pub(crate) live: bool,
    pub(crate) limit: Option<u32>,
    pub(crate) cursor: Option<OsString>,
}

impl Asked {
    fn parse(query: &str) -> Result<Self, Problem> {
        let mut asked = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let bytes = decoded(value);
            let bytes = bytes.ok_or_else(|| wrong(name, "has a `%` without two hex digits"))?;
            let text = || std::str::from_utf8(&bytes).unwrap_or_default();
            let flag = || match text() {
                "true" => Ok(true),
                "false" => Ok(false),
                _ => Err(wrong(name, "is true or false")),
            };
            let path = || match bytes.as_slice() {
                [] => Err(wrong(name, "is empty")),
                bytes if bytes.contains(&0) => Err(wrong(name, "has a NUL")),
                bytes if bytes.len() > LONGEST => Err(wrong(name, "has more than 4095 bytes")),
                bytes => Ok(Some(PathBuf::from(OsString::from_vec(bytes.to_vec())))),
            };
            match name {
                "path" => asked.path = path()?,
                "from" => asked.from = path()?,
                "to" => asked.to = path()?,
                "mode" => {
                    let mode = mode(text()).ok_or_else(|| wrong(name, "is octal, such as 0644"))?;
                    asked.mode = Some(mode);
                }
                "stat" => asked.stat = flag()?,
                "parents" => asked.parents = flag()?,
                "recursive" => asked.recursive = flag()?,
                "overwrite" => asked.overwrite = flag()?,
                "live" => asked.live = flag()?,
                "limit" => {
                    let limit = text().parse().ok().filter(|limit| (1..=1000).contains(limit));
                    asked.limit = Some(limit.ok_or_else(|| wrong(name, "must be 1 to 1000"))?);
                }
                "cursor" => asked.cursor = Some(OsString::from_vec(bytes)),
                _ => return Err(wrong(name, "is not known here")),
            }
        }
        Ok(asked)
    }

    /// The path that every call but a move has.
    pub(super) fn path(&self) -> Result<PathBuf, Problem> {
        self.path.clone().ok_or_else(|| wrong("path", "is missing"))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::parse(parts.uri.query().unwrap_or_default())
    }
}

pub(super) fn wrong(name: &str, how: &str) -> Problem {
    Problem::bad_request(format!("`{name}` of the query {how}"))
}

/// Permissions in octal.
pub(crate) fn mode(text: &str) -> Option<u32> {
    u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777)
}

/// The bytes of a part of a query.
pub(crate) fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                let digit = |digit: u8| char::from(digit).to_digit(16);
                let [high, low] = digits.map(digit);
                u8::try_from(high? * 16 + low?).ok()?
            }
            b'+' => b' ',
            other => other,
        });
    }
    Some(bytes)
}

/// A path as a query has it.
pub(super) fn encoded(path: &Path) -> String {
    let mut text = String::new();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                text.push(char::from(*byte));
            }
            other => text.push_str(&format!("%{other:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn any_name_comes_through_a_query() {
        let all: Vec<u8> = (1..=255).collect();
        let path = Path::new(OsStr::from_bytes(&all));
        let query = format!("path={}&stat=true&mode=0750", encoded(path));
        let asked = Asked::parse(&query).expect("a query");
        assert_eq!(asked.path.as_deref(), Some(path));
        assert_eq!((asked.stat, asked.mode, asked.parents), (true, Some(0o750), false));
        assert_eq!(Asked::parse("path=a+b%2B").expect("one").path, Some("a b+".into()));
    }

    #[test]
    fn what_is_no_query_is_told() {
        for wrong in [
            "path=",
            "path=%0",
            "path=%zz",
            "path=a%00",
            "mode=9",
            "mode=10000",
            "stat=1",
            "limit=0",
            "limit=1001",
            "pth=a",
            "%FF=a",
        ] {
            assert!(Asked::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Asked::parse(&format!("path={}", "a".repeat(LONGEST))).is_ok());
        assert!(Asked::parse(&format!("path={}", "a".repeat(LONGEST + 1))).is_err());
        assert!(Asked::parse("").expect("nothing").path().is_err());
    }
}

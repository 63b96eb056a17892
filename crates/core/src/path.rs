//! A path inside a workspace.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// A path inside a workspace, relative to its root: no leading or trailing `/`, no empty, `.` or
/// `..` component, no NUL. The root itself is the empty path. Any other bytes are allowed, since
/// Linux allows them.
///
/// As JSON it is a string when it is UTF-8, else `{"bytes": [..]}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct RelPath(OsString);

/// Why a path cannot lie in a workspace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The path leaves the workspace by `..`.
    #[error("`{}` leaves the workspace", path.display())]
    Leaves {
        /// The offending path.
        path: PathBuf,
    },
    /// The path holds a NUL byte.
    #[error("`{}` holds a NUL byte", path.display())]
    Nul {
        /// The offending path.
        path: PathBuf,
    },
}

impl RelPath {
    /// The workspace's root.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// Normalizes `path` lexically: `a//./b/../c` becomes `a/c`; a leading `/` is dropped.
    ///
    /// # Errors
    /// When the path climbs above the root or holds a NUL.
    pub fn parse(path: impl AsRef<Path>) -> Result<Self, PathError> {
        let path = path.as_ref();
        let bytes = path.as_os_str().as_bytes();
        if bytes.contains(&0) {
            return Err(PathError::Nul { path: path.to_owned() });
        }
        let mut parts: Vec<&[u8]> = Vec::new();
        for part in bytes.split(|b| *b == b'/') {
            match part {
                b"" | b"." => {}
                b".." => {
                    if parts.pop().is_none() {
                        return Err(PathError::Leaves { path: path.to_owned() });
                    }
                }
                _ => parts.push(part),
            }
        }
        Ok(Self(OsString::from_vec(parts.join(&b'/'))))
    }

    /// This path with one more component. `name` must be a directory entry's name, as readdir
    /// gives it.
    #[must_use]
    pub fn child(&self, name: &OsStr) -> Self {
        if self.0.is_empty() {
            return Self(name.to_owned());
        }
        let mut joined = OsString::with_capacity(self.0.len() + 1 + name.len());
        joined.push(&self.0);
        joined.push("/");
        joined.push(name);
        Self(joined)
    }

    /// The path one level up; `None` for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let bytes = self.0.as_bytes();
        if bytes.is_empty() {
            return None;
        }
        let end = bytes.iter().rposition(|b| *b == b'/').unwrap_or(0);
        Some(Self(OsStr::from_bytes(bytes.get(..end).unwrap_or_default()).to_owned()))
    }

    /// The last component; empty for the root.
    #[must_use]
    pub fn file_name(&self) -> &OsStr {
        self.0.as_bytes().rsplit(|b| *b == b'/').next().map_or(OsStr::new(""), OsStr::from_bytes)
    }

    /// Whether this is the root.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `self` is `other` or lies below it.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        if other.is_root() {
            return true;
        }
        match self.0.as_bytes().strip_prefix(other.0.as_bytes()) {
            Some(rest) => rest.is_empty() || rest.first() == Some(&b'/'),
            None => false,
        }
    }

    /// Whether `self` lies in `directory`, and not deeper.
    #[must_use]
    pub fn is_child_of(&self, directory: &Self) -> bool {
        let bytes = self.0.as_bytes();
        let name = match directory.is_root() {
            true => Some(bytes),
            false => bytes.strip_prefix(directory.as_bytes()).and_then(|b| b.strip_prefix(b"/")),
        };
        name.is_some_and(|name| !name.is_empty() && !name.contains(&b'/'))
    }

    /// All paths above this one, from the root's child down, without the path itself and the
    /// root.
    pub fn ancestors(&self) -> impl Iterator<Item = Self> + '_ {
        let bytes = self.0.as_bytes();
        bytes.iter().enumerate().filter(|(_, b)| **b == b'/').map(move |(at, _)| {
            Self(OsStr::from_bytes(bytes.get(..at).unwrap_or_default()).to_owned())
        })
    }

    /// As a relative [`Path`]; the root is the empty path.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }

    /// The path's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// This path below `directory`. The root gives `directory` itself, without a trailing `/`.
    #[must_use]
    pub fn below(&self, directory: &Path) -> PathBuf {
        if self.is_root() { directory.to_owned() } else { directory.join(&self.0) }
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() { f.write_str(".") } else { write!(f, "{}", self.as_path().display()) }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Wire {
    Text(String),
    Raw { bytes: Vec<u8> },
}

impl Serialize for RelPath {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self.0.to_str() {
            Some(text) => s.serialize_str(text),
            None => Wire::Raw { bytes: self.0.as_bytes().to_vec() }.serialize(s),
        }
    }
}

impl<'de> Deserialize<'de> for RelPath {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let path = match Wire::deserialize(d)? {
            Wire::Text(text) => OsString::from(text),
            Wire::Raw { bytes } => OsString::from_vec(bytes),
        };
        Self::parse(&path).map_err(serde::de::Error::custom)
    }
}

/// Serde for host paths that need not be UTF-8, in the same form as [`RelPath`]'s: use it as
/// `#[serde(with = "ctrlz_core::path::host")]`.
pub mod host {
    use std::ffi::OsString;
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    use std::path::{Path, PathBuf};

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Wire;

    /// Writes a string when the path is UTF-8, else its bytes.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(path: &Path, s: S) -> Result<S::Ok, S::Error> {
        match path.to_str() {
            Some(text) => s.serialize_str(text),
            None => Wire::Raw { bytes: path.as_os_str().as_bytes().to_vec() }.serialize(s),
        }
    }

    /// Reads what [`serialize`] writes.
    ///
    /// # Errors
    /// When the value is neither a string nor bytes.
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<PathBuf, D::Error> {
        Ok(match Wire::deserialize(d)? {
            Wire::Text(text) => PathBuf::from(text),
            Wire::Raw { bytes } => PathBuf::from(OsString::from_vec(bytes)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RelPath {
        RelPath::parse(text).expect("valid")
    }

    #[test]
    fn normalizes() {
        assert_eq!(path("/a//./b/../c/"), path("a/c"));
        assert!(path("a/..").is_root());
        assert_eq!(path("").to_string(), ".");
    }

    #[test]
    fn refuses_to_leave() {
        for bad in ["..", "a/../..", "../a", "a\0b"] {
            assert!(RelPath::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn knows_its_relatives() {
        let p = path("a/b/c");
        assert_eq!(p.parent(), Some(path("a/b")));
        assert_eq!(path("a").parent(), Some(RelPath::root()));
        assert_eq!(RelPath::root().parent(), None);
        assert_eq!(p.file_name(), "c");
        assert_eq!(p.ancestors().collect::<Vec<_>>(), [path("a"), path("a/b")]);
        assert!(p.is_within(&path("a/b")) && p.is_within(&p) && p.is_within(&RelPath::root()));
        assert!(!path("a/bc").is_within(&path("a/b")));
        assert!(p.is_child_of(&path("a/b")) && path("a").is_child_of(&RelPath::root()));
        for other in ["", "a", "a/b/c", "a/b/c/d", "b", "a/bb"] {
            assert!(!p.is_child_of(&path(other)), "{other}");
        }
        assert!(!path("ab/c").is_child_of(&path("a")));
        assert!(!RelPath::root().is_child_of(&RelPath::root()));
        assert_eq!(RelPath::root().child(OsStr::new("x")), path("x"));
    }
}

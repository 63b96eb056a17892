//! What is in force and where it comes from.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::error::{Position, shown};
use crate::profile::Profile;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Built in.
    Default,
    /// Built in, as this profile has it.
    Profile(Profile),
    /// A file.
    File(Position),
    /// This option of the command line.
    Flag(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("built-in default"),
            Self::Profile(profile) => write!(f, "profile {profile}"),
            Self::File(at) => write!(f, "{}:{}", shown(&at.path), at.line),
            Self::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

impl Source {
    /// Whether it is a place in the file `path`.
    pub(crate) fn is_in(&self, path: &Arc<Path>) -> bool {
        matches!(self, Self::File(at) if at.path == *path)
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "kebab-case", tag = "kind")]
        enum Wire {
            Default,
            Profile {
                profile: Profile,
            },
            File {
                #[serde(with = "ctrlz_core::path::host")]
                path: PathBuf,
                line: usize,
                column: usize,
            },
            Flag {
                flag: &'static str,
            },
        }
        match self {
            Self::Default => Wire::Default,
            Self::Profile(profile) => Wire::Profile { profile: *profile },
            Self::File(at) => {
                Wire::File { path: at.path.to_path_buf(), line: at.line, column: at.column }
            }
            Self::Flag(flag) => Wire::Flag { flag },
        }
        .serialize(s)
    }
}

/// One value that is in force. A key that holds a list has an entry for each item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The path of the key, such as `run.memory` or `security_config.validation_level`. Limits
    /// are under `run`, whichever section they were set in; the other sections are those of the
    /// profile in force.
    pub key: String,
    /// The value as it may be written in a file; control characters are escaped.
    pub value: String,
    /// Where it comes from.
    pub source: Source,
}

/// A value and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sourced<T> {
    pub(crate) value: T,
    pub(crate) source: Source,
}

//! Passphrases, from where nobody else sees them.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use age::secrecy::SecretString;
use zeroize::{Zeroize, Zeroizing};

use crate::ArchiveError;

/// The longest passphrase, in bytes.
const LONGEST: usize = 4096;

/// Where a passphrase comes from. Never from a command line, which every process can read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PassphraseSource {
    /// The first line of a file.
    File(PathBuf),
    /// The first line of what an open file descriptor gives.
    Descriptor(u32),
    /// A variable of the environment, by its name. Every process of the same user can read it.
    Environment(String),
}

/// A passphrase.
#[derive(Clone)]
pub struct Passphrase(pub(super) SecretString);

impl std::fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passphrase")
    }
}

impl std::fmt::Display for PassphraseSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "the passphrase in {}", path.display()),
            Self::Descriptor(number) => write!(f, "the passphrase from descriptor {number}"),
            Self::Environment(name) => write!(f, "the passphrase in ${name}"),
        }
    }
}

impl Passphrase {
    /// Reads a passphrase. A line break at its end is no part of it.
    ///
    /// # Errors
    /// When there is none, or it is empty, too long or no UTF-8.
    pub fn read(source: &PassphraseSource) -> Result<Self, ArchiveError> {
        let refuse = |why: String| ArchiveError::Key { what: source.to_string(), why };
        let text = match source {
            PassphraseSource::Environment(name) => {
                let value = std::env::var(name).map_err(|error| refuse(error.to_string()))?;
                Zeroizing::new(value.into_bytes())
            }
            PassphraseSource::File(path) => {
                first_line(File::open(path).map_err(|error| refuse(error.to_string()))?)
                    .map_err(|error| refuse(error.to_string()))?
            }
            // A descriptor may only be borrowed by unsafe code; its name in /proc leads to the
            // same pipe or file.
            PassphraseSource::Descriptor(number) => {
                let path = format!("/proc/self/fd/{number}");
                first_line(File::open(path).map_err(|error| refuse(error.to_string()))?)
                    .map_err(|error| refuse(error.to_string()))?
            }
        };
        if text.len() > LONGEST {
            return Err(refuse(format!("it has more than {LONGEST} bytes")));
        }
        let mut text = std::str::from_utf8(&text)
            .map_err(|_| refuse("it is no UTF-8".to_owned()))?
            .trim_end_matches(['\r', '\n'])
            .to_owned();
        if text.is_empty() {
            text.zeroize();
            return Err(refuse("it is empty".to_owned()));
        }
        Ok(Self::new(text))
    }

    /// A passphrase from memory, which is taken over without a copy.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(SecretString::from(text))
    }
}

/// Reads up to the first line break, without leaving copies behind.
fn first_line(mut from: impl Read) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let mut line = Zeroizing::new(Vec::with_capacity(LONGEST + 1));
    let mut byte = Zeroizing::new([0; 1]);
    while line.len() <= LONGEST && from.read(byte.as_mut_slice())? == 1 {
        if byte.contains(&b'\n') {
            break;
        }
        line.extend_from_slice(byte.as_slice());
    }
    Ok(line)
}

//! How the driver `wasm` asks for a module to be run inside a sandbox.
//!
//! The command is the engine, a program of its own that comes with ctrlz: what it weighs, no other command has
//! to carry.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::size::ByteSize;

/// The file name of the program that runs modules.
pub const PROGRAM: &str = "ctrlz-wasm";

/// What the first argument has to be: an engine serves the ctrlz that it was built with.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What the program inside is told of the sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Surroundings {
    /// Where the workspace lies.
    pub workspace: PathBuf,
    /// Whether sockets are allowed.
    pub network: bool,
    /// The most memory of the sandbox.
    pub memory: Option<ByteSize>,
    /// Whether descriptor 3 is a socket over which compiled code is asked for and kept.
    pub keeps_code: bool,
}

impl Surroundings {
    /// The program and its arguments that run `argv`, a module's path and arguments after options, if any.
    #[must_use]
    pub fn command(&self, argv: Vec<OsString>) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec![PROGRAM.into(), VERSION.into()];
        words.extend(["--workspace".into(), self.workspace.clone().into_os_string()]);
        if self.network {
            words.push("--network".into());
        }
        if let Some(memory) = self.memory {
            words.extend(["--memory".into(), memory.0.to_string().into()]);
        }
        if self.keeps_code {
            words.push("--keeps-code".into());
        }
        words.push("--".into());
        words.extend(argv);
        words
    }

    /// Reads what [`Self::command`] wrote after [`PROGRAM`], up to `--` and that included.
    ///
    /// # Errors
    /// What it did not write, in words.
    pub fn read(words: &mut impl Iterator<Item = OsString>) -> Result<Self, String> {
        let mut found = Self::default();
        match words.next() {
            Some(version) if version == VERSION => {}
            Some(_) => return Err(format!("it serves ctrlz {VERSION}")),
            None => return Err("it has no arguments".to_owned()),
        }
        loop {
            let word = words.next().ok_or("it ends before --")?;
            let mut value = || words.next().ok_or("an option has no value");
            match word.to_str() {
                Some("--") => return Ok(found),
                Some("--workspace") => found.workspace = value()?.into(),
                Some("--network") => found.network = true,
                Some("--keeps-code") => found.keeps_code = true,
                Some("--memory") => {
                    let value = value()?;
                    let size = value.to_str().and_then(|text| text.parse().ok());
                    found.memory = Some(size.ok_or(format!("{} is no size", value.display()))?);
                }
                _ => return Err(format!("{} is unknown", word.display())),
            }
        }
    }
}

/// What the engine says to the launcher over the socket for compiled code. Each comes with a file in memory
/// that is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// The file is the module, which the engine has not looked into: is there code of it?
    Module {
        /// Stands for all but the module that decides what compiling it answers.
        fingerprint: [u8; 32],
        /// Whether the code is for calls by name, with memory that is kept.
        for_calls: bool,
    },
    /// The file is the code that was made of that module.
    Code,
}

impl Told {
    /// No message is longer.
    pub const MOST: usize = 34;

    /// As bytes.
    #[must_use]
    pub fn to_bytes(self) -> Vec<u8> {
        match self {
            Self::Module { fingerprint, for_calls } => {
                [[1, u8::from(for_calls)].as_slice(), &fingerprint].concat()
            }
            Self::Code => vec![2],
        }
    }

    /// `None` for what [`Self::to_bytes`] did not write.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [1, for_calls @ 0..=1, fingerprint @ ..] => Some(Self::Module {
                fingerprint: fingerprint.try_into().ok()?,
                for_calls: *for_calls == 1,
            }),
            [2] => Some(Self::Code),
            _ => None,
        }
    }
}

/// What the launcher answers to a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// No code of it is kept.
    Nothing,
    /// The code comes along.
    Code,
    /// What is kept cannot be used, for this reason.
    Refused(String),
}

impl Found {
    /// No message is longer.
    pub const MOST: usize = 512;

    /// As bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = match self {
            Self::Nothing => vec![0],
            Self::Code => vec![1],
            Self::Refused(why) => [&[2], why.as_bytes()].concat(),
        };
        bytes.truncate(Self::MOST);
        bytes
    }

    /// `None` for what [`Self::to_bytes`] did not write.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0] => Some(Self::Nothing),
            [1] => Some(Self::Code),
            [2, why @ ..] => Some(Self::Refused(String::from_utf8_lossy(why).into_owned())),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_code_is_understood() {
        for for_calls in [false, true] {
            let told = Told::Module { fingerprint: [7; 32], for_calls };
            assert_eq!(told.to_bytes().len(), Told::MOST);
            assert_eq!(Told::from_bytes(&told.to_bytes()), Some(told));
        }
        assert_eq!(Told::from_bytes(&Told::Code.to_bytes()), Some(Told::Code));
        for wrong in [[].as_slice(), &[2, 2], &[1, 2], &[1, 1, 3], &[3]] {
            assert_eq!(Told::from_bytes(wrong), None);
        }
        for found in [Found::Nothing, Found::Code, Found::Refused("why".to_owned())] {
            assert_eq!(Found::from_bytes(&found.to_bytes()), Some(found));
        }
        assert!(Found::Refused("é".repeat(900)).to_bytes().len() <= Found::MOST);
        assert_eq!(Found::from_bytes(&[]), None);
    }

    #[test]
    fn what_is_written_is_read() {
        let full = Surroundings {
            workspace: "/work".into(),
            network: true,
            memory: Some(ByteSize(1 << 20)),
            keeps_code: true,
        };
        for around in [Surroundings::default(), full] {
            let argv = vec!["--fuel".into(), "1".into(), "--".into(), "a".into()];
            let mut words = around.command(argv.clone()).into_iter().skip(1);
            assert_eq!(Surroundings::read(&mut words), Ok(around));
            assert!(words.eq(argv));
        }
        for words in [vec![], vec!["--workspace"], vec!["--memory", "x", "--"], vec!["x", "--"]] {
            let mut words = [VERSION].into_iter().chain(words).map(OsString::from);
            assert!(Surroundings::read(&mut words).is_err());
        }
        let mut of_another = ["0.0.1", "--"].into_iter().map(OsString::from);
        assert!(Surroundings::read(&mut of_another).is_err());
    }
}

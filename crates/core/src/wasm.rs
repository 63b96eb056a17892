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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let full = Surroundings {
            workspace: "/work".into(),
            network: true,
            memory: Some(ByteSize(1 << 20)),
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

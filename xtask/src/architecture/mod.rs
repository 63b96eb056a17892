//! The rules of docs/architecture.md that a program can check.

mod arrows;
mod code;
mod sources;

use std::fmt;
use std::path::PathBuf;

use crate::failure::{Answer, Failure};
use crate::project;

/// A place where a rule is broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    /// The file, relative to the project's folder.
    file: PathBuf,
    /// The line, from 1; 0 when it is about the whole file.
    line: usize,
    /// What is wrong.
    what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        write!(f, ": {}", self.what)
    }
}

/// Checks all rules; prints every place that breaks one.
pub(crate) fn check() -> Answer {
    let mut violations = arrows::check(&project::metadata()?)?;
    let files = sources::read(&project::root())?;
    for file in &files {
        violations.extend(sources::check(file));
    }
    for violation in &violations {
        println!("{violation}");
    }
    match violations.len() {
        0 => {
            println!("{} source files keep the rules", files.len());
            Ok(())
        }
        count => Err(Failure::told(format!("{count} places break the architecture's rules"))),
    }
}

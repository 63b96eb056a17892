//! How a process ended and what it wrote.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Output};

use serde_json::Value;

/// The end of a process.
pub(crate) struct Outcome {
    command: String,
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

impl Outcome {
    /// Runs `command` to its end, with nothing on its standard input unless it says otherwise.
    #[track_caller]
    pub(crate) fn of(command: &mut Command) -> Self {
        let output = command.output();
        Self::new(command, output.unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    pub(crate) fn new(command: &Command, output: Output) -> Self {
        let Output { status, stdout, stderr } = output;
        Self { command: format!("{command:?}"), status, stdout, stderr }
    }

    /// Fails unless it ended with `code`.
    #[track_caller]
    pub(crate) fn code(self, code: i32) -> Self {
        assert_eq!(self.status.code(), Some(code), "{self}");
        self
    }

    /// Fails unless it ended well.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        self.code(0)
    }

    /// Fails unless `signal` ended it.
    #[track_caller]
    pub(crate) fn signal(self, signal: i32) -> Self {
        assert_eq!(self.status.signal(), Some(signal), "{self}");
        self
    }

    /// Standard output as text.
    pub(crate) fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text.
    pub(crate) fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Fails unless standard error holds each of `texts`.
    #[track_caller]
    pub(crate) fn says(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.err().contains(text), "`{text}` is not told\n{self}");
        }
        self
    }

    /// Fails unless standard error is empty.
    #[track_caller]
    pub(crate) fn says_nothing(self) -> Self {
        assert_eq!(self.err(), "", "{self}");
        self
    }

    /// Standard output, which must be one JSON object.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        let text = self.out();
        let value: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}\n{self}"));
        assert!(value.is_object(), "{self}");
        value
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (out, err) = (self.out(), self.err());
        write!(f, "{}\n{}\n--- stdout\n{out}\n--- stderr\n{err}", self.command, self.status)
    }
}

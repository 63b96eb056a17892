//! The log: lines on standard error, as JSON or as text.

use std::str::FromStr;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::writer::Lines;

/// What is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing.
    Off,
    /// What went wrong.
    Error,
    /// The same, each request, each operation, and the service's own life.
    Info,
    /// The same, and what is of use to who looks for a fault.
    Debug,
}

impl FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            "error" => Ok(Self::Error),
            "info" => Ok(Self::Info),
            "debug" => Ok(Self::Debug),
            _ => Err("expected off, error, info or debug".to_owned()),
        }
    }
}

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A JSON object.
    Json,
    /// Text for people.
    Text,
}

/// A log that is being written. What was not written yet is when this goes.
#[derive(Debug)]
pub struct Logging(Option<Lines>);

impl Drop for Logging {
    fn drop(&mut self) {
        if let Some(lines) = &self.0 {
            lines.finish();
        }
    }
}

/// Begins to log what this process does, to standard error. What other libraries have to say stays
/// with them: it is about their insides, and may have what clients send in it.
#[must_use]
pub fn log(level: Level, form: Form) -> Logging {
    let filter = match level {
        Level::Off => return Logging(None),
        // A warning is something that went wrong, too.
        Level::Error => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
    };
    let lines = Lines::to_standard_error();
    let writer = lines.clone();
    let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(writer);
    let registry = tracing_subscriber::registry();
    let ours = Targets::new().with_target("ctrlz", filter);
    // Whoever set another one before hears what this one would.
    let _ = match form {
        Form::Json => registry.with(ours).with(layer.json().flatten_event(true)).try_init(),
        Form::Text => registry.with(ours).with(layer.with_target(false)).try_init(),
    };
    Logging(Some(lines))
}

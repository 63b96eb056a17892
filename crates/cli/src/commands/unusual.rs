//! What is told of a command that was unusual for its sandbox.

use ctrlz_core::monitor::Anomaly;
use ctrlz_core::sandbox::Sandbox;
use serde_json::Value;

use crate::failure::Failure;
use crate::show::{self, Style, plain};

/// The anomalies, each with its reason.
pub(super) fn to_json(anomalies: &[Anomaly]) -> Result<Value, Failure> {
    let told = |anomaly: &Anomaly| {
        let mut value = show::to_json(anomaly)?;
        if let Some(object) = value.as_object_mut() {
            object.insert("reason".to_owned(), anomaly.to_string().into());
        }
        Ok(value)
    };
    anomalies.iter().map(told).collect::<Result<Vec<Value>, Failure>>().map(Value::from)
}

/// The lines below a command's summary.
pub(super) fn summarize(
    sandbox: &Sandbox,
    (anomalies, contained): (&[Anomaly], bool),
    style: Style,
) {
    for anomaly in anomalies {
        eprintln!("{}", style.yellow(&format!("  unusual: {anomaly}")));
    }
    if contained {
        let name = &sandbox.name;
        let text = format!(
            "  contained: nothing runs in it with a network until `ctrlz release {name}`, and \
             nothing was committed"
        );
        eprintln!("{}", style.yellow(&text));
    }
}

/// Tells what went wrong with watching a command, which did it no harm.
pub(crate) fn tell_trouble(trouble: Option<&str>) {
    if let Some(trouble) = trouble {
        eprintln!("ctrlz: not all that the command used was noted: {}", plain(trouble));
        eprintln!("  hint: the command and its changes are not affected; see docs/monitoring.md");
    }
}

/// Tells that a command was suspended, and how it goes on.
pub(crate) fn tell_frozen(anomaly: &Anomaly) {
    let pid = std::process::id();
    eprintln!("ctrlz: unusual: {anomaly}; the command is frozen and its sandbox suspended");
    eprintln!("  hint: `ctrlz resume` lets it go on, `kill {pid}` ends it");
}

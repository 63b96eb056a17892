//! What is found, what is left alone, and what holds for any bytes.

mod characters;
mod payloads;
mod properties;
mod secrets;

use super::{ContentFinding, DEFAULT_SIZE_LIMIT, inspect};
use ctrlz_core::verdict::Risk;

/// Each finding's name and risk.
fn told(text: &str) -> Vec<(&'static str, Risk)> {
    found(text).iter().map(|finding| (finding.kind.name(), finding.risk)).collect()
}

fn found(text: &str) -> Vec<ContentFinding> {
    inspect(text.as_bytes(), DEFAULT_SIZE_LIMIT)
}

fn worst(text: &str) -> Risk {
    found(text).iter().map(|finding| finding.risk).max().unwrap_or(Risk::Low)
}

//! What awk's functions do; pipes and files of awk are marks, which the scan reads.

use super::scan::Meaning;

pub(super) fn meaning(name: &str) -> Option<Meaning> {
    match name {
        "system" => Some(Meaning::Run),
        _ => None,
    }
}

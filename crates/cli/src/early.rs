//! Beginning to make the sandbox before the command line is understood.

use std::ffi::OsStr;

use ctrlz_core::isolation::Network;
use ctrlz_isolation::Isolator;

/// Options with which another sandbox, or none, is likely.
const OTHERWISE: [&str; 7] =
    ["--root", "--net", "--isolation", "--json", "--help", "-h", "--server"];

/// The isolation driver. When the first word announces a command to run, its process 1 is already
/// entering its namespaces.
pub(crate) fn isolation() -> Isolator {
    let driver = Isolator::default();
    let mut words = std::env::args_os().skip(1);
    let runs = words.next().is_some_and(|word| word == "run" || word == "exec" || word == "shell");
    let is_here = || crate::remote::from_environment().is_none();
    if runs && is_here() && !words.take_while(|word| word != "--").any(|word| is_otherwise(&word)) {
        driver.expect(Network::None, true);
    }
    driver
}

fn is_otherwise(word: &OsStr) -> bool {
    let option = word.as_encoded_bytes().split(|byte| *byte == b'=').next().unwrap_or_default();
    OTHERWISE.iter().any(|known| known.as_bytes() == option)
}

//! Asking before something is done.

use std::io::{BufRead, IsTerminal, Read, Write};

/// Whether there is a terminal to ask on.
pub(crate) fn can_ask() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks a question that has no for its answer unless somebody says yes. `None` without a terminal
/// to ask on.
pub(crate) fn ask(question: &str) -> Option<bool> {
    let (stdin, mut stderr) = (std::io::stdin(), std::io::stderr());
    if !can_ask() {
        return None;
    }
    let _ = write!(stderr, "{question} [y/N] ");
    let _ = stderr.flush();
    let mut answer = String::new();
    // A closed terminal says no.
    let _ = stdin.lock().take(256).read_line(&mut answer);
    Some(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

//! seccomp(2): filters as small decision trees, and user notification.

mod install;
mod notify;
mod program;

pub use install::{install, install_with_listener};
pub use notify::{Listener, Notification};
pub use program::{Action, ArgumentTest, Program, Rule};

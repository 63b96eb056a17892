//! The grammar of `ctrlz events`, `ctrlz sinks` and `ctrlz audit`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use ctrlz_core::name::SandboxName;

#[derive(Debug, Args)]
pub(crate) struct EventsArguments {
    /// Only those of this sandbox
    pub(crate) sandbox: Option<SandboxName>,
    /// Go on with what happens from now on, one JSON object a line with --json
    #[arg(long, short = 'f')]
    pub(crate) follow: bool,
    /// Begin after the event with this number, instead of with the newest few
    #[arg(long, value_name = "N")]
    pub(crate) after: Option<i64>,
    /// At most this many; the newest ones unless --after is given
    #[arg(long, short = 'n', value_name = "N", default_value_t = 50)]
    pub(crate) limit: u32,
    /// Only types that begin like this, such as `operation` or `rollback.done`
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) kind: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct HealthArguments {
    /// Do what ctrlz can do about it
    #[arg(long)]
    pub(crate) fix: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DaemonArguments {
    /// Only tell what is wrong, do nothing about it
    #[arg(long)]
    pub(crate) no_remedies: bool,
    /// End as after SIGTERM when standard input ends: for whoever starts it and may be killed
    #[arg(long, hide = true)]
    pub(crate) while_stdin: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SinksArguments {
    #[command(subcommand)]
    pub(crate) action: Option<SinksAction>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SinksAction {
    /// Deliver what happened to all sinks, once
    Deliver,
    /// Let an event happen that says so, and deliver it to a sink
    Test {
        /// The sink
        name: String,
    },
    /// Send the dead letters of a sink again
    Retry {
        /// The sink
        name: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct AuditArguments {
    #[command(subcommand)]
    pub(crate) action: AuditAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditAction {
    /// Check that the event log is as it was written: this store's, or an export
    ///
    /// A changed, dropped, repeated or swapped event and a cut end are found. The exit code is 1
    /// when something is wrong. An export must end with a signed checkpoint.
    Verify {
        /// An export, `-` for standard input; this store's log when left out
        file: Option<PathBuf>,
        /// The first event
        #[arg(long, value_name = "N")]
        from: Option<i64>,
        /// The last event
        #[arg(long, value_name = "N")]
        to: Option<i64>,
        /// The public key, or a file with it; this store's when left out
        #[arg(long, value_name = "KEY")]
        key: Option<String>,
    },
    /// Write the event log with its signed checkpoints as JSON lines
    Export {
        /// The file, which must not exist; standard output when left out
        file: Option<PathBuf>,
        /// The first event
        #[arg(long, value_name = "N")]
        from: Option<i64>,
        /// The last event
        #[arg(long, value_name = "N")]
        to: Option<i64>,
    },
    /// Sign how far the event log has come, and print the signed note
    Sign,
    /// Print the public key with which checkpoints are verified
    Key,
}

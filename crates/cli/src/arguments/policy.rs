//! The grammar of `ctrlz policy`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Args)]
pub(crate) struct PolicyArguments {
    #[command(subcommand)]
    pub(crate) action: PolicyAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyAction {
    /// List all rules, or show one in full
    Show {
        /// The rule's name, such as `push-force`, or `team/deploy` for one of a pack
        rule: Option<String>,
    },
    /// Check packs of rules and their examples; all that are in force when none is named
    Test {
        /// Files
        #[arg(value_name = "PACK")]
        packs: Vec<PathBuf>,
    },
    /// Begin a pack of rules in this project
    New {
        /// The pack's name
        name: String,
    },
    /// Translate the rules of another tool and print them as a pack
    Import {
        /// The tool
        tool: Tool,
        /// Its file: a `.rules` file of Codex, `settings.json` of Claude Code; `-` for standard input
        file: PathBuf,
    },
}

/// A tool whose rules can be translated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Tool {
    /// `prefix_rule(…)` of Codex
    Codex,
    /// `permissions` of Claude Code
    Claude,
}

//! The grammar of `ctrlz check`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use ctrlz_core::name::SandboxName;

/// `ctrlz check`
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub(crate) struct CheckArguments {
    /// Judge a file instead; `-` is standard input
    #[arg(long, value_name = "FILE", group = "what")]
    pub(crate) file: Option<PathBuf>,
    /// Judge one JSON object `{"cmd", "lang"}` a line of standard input, and answer one a line; the
    /// exit code is 0 when all were understood
    #[arg(long, group = "what")]
    pub(crate) jsonl: bool,
    /// The language; told by the file's name or its `#!` line when left out
    #[arg(long, value_enum, value_name = "LANGUAGE", conflicts_with = "command")]
    pub(crate) lang: Option<LanguageWord>,
    /// Show the text with what was found underlined, how it was read, and what it would do
    #[arg(long, conflicts_with = "jsonl")]
    pub(crate) explain: bool,
    /// The folder to judge it in, which is its workspace
    #[arg(long, short = 'w', value_name = "FOLDER")]
    pub(crate) workdir: Option<PathBuf>,
    /// Judge it as `ctrlz exec` would in this sandbox: with its root, what happened in it before, and
    /// the limits and the network of the configuration in force
    #[arg(long, value_name = "SANDBOX", conflicts_with = "workdir")]
    pub(crate) sandbox: Option<SandboxName>,
    /// The command and its arguments, or one text of the shell
    #[arg(last = true, value_name = "COMMAND", group = "what")]
    pub(crate) command: Vec<OsString>,
}

/// `--lang`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LanguageWord {
    /// sh, bash and their kin
    Shell,
    /// Python
    Python,
    /// JavaScript
    Javascript,
    /// Perl
    Perl,
    /// Ruby
    Ruby,
    /// PHP
    Php,
    /// Lua
    Lua,
    /// awk
    Awk,
}

impl LanguageWord {
    /// The validator's name for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Shell => "shell",
            Self::Python => "python",
            Self::Javascript => "javascript",
            Self::Perl => "perl",
            Self::Ruby => "ruby",
            Self::Php => "php",
            Self::Lua => "lua",
            Self::Awk => "awk",
        }
    }
}

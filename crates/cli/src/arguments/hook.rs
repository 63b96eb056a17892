//! The grammar of `ctrlz hook`.

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Args)]
pub(crate) struct HookArguments {
    #[command(subcommand)]
    pub(crate) action: HookAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum HookAction {
    /// Answer Claude Code's PreToolUse or PermissionRequest event on standard input
    Claude(HookOptions),
    /// Answer Codex's PreToolUse event on standard input
    Codex(HookOptions),
    /// Add the hook to an agent's settings, after showing the change
    Install(InstallArguments),
    /// Take the hook out of an agent's settings, after showing the change
    Uninstall(UninstallArguments),
}

/// What the hook answers. Critical operations are denied in any case.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct HookOptions {
    /// What to do with an operation of high risk
    #[arg(long, value_enum, default_value_t = OnHigh::Wrap, value_name = "ANSWER")]
    pub(crate) on_high: OnHigh,
    /// What to answer to low and medium risk
    #[arg(long, value_enum, default_value_t = OnLow::Silence, value_name = "ANSWER")]
    pub(crate) on_low: OnLow,
    /// Judge in this process instead of in one that is watched
    #[arg(long, hide = true)]
    pub(crate) unguarded: bool,
}

/// `--on-high`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnHigh {
    /// Let a command run as a transaction of `ctrlz run`, which can be undone; what is no command
    /// is asked about, or denied where the agent cannot ask
    Wrap,
    /// Ask the user (not with Codex)
    Ask,
    /// Deny it
    Deny,
}

/// `--on-low`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnLow {
    /// No opinion: the agent's own rules decide
    Silence,
    /// Allow it without a question (not with Codex)
    Allow,
}

#[derive(Debug, Args)]
pub(crate) struct InstallArguments {
    #[command(flatten)]
    pub(crate) place: SettingsArguments,
    /// What to do with an operation of high risk
    #[arg(long, value_enum, value_name = "ANSWER")]
    pub(crate) on_high: Option<OnHigh>,
    /// What to answer to low and medium risk
    #[arg(long, value_enum, value_name = "ANSWER")]
    pub(crate) on_low: Option<OnLow>,
}

#[derive(Debug, Args)]
pub(crate) struct UninstallArguments {
    #[command(flatten)]
    pub(crate) place: SettingsArguments,
}

/// Which settings.
#[derive(Debug, Args)]
pub(crate) struct SettingsArguments {
    /// The agent
    #[arg(value_enum)]
    pub(crate) agent: Agent,
    /// The settings of the project in this folder (the default)
    #[arg(long)]
    pub(crate) project: bool,
    /// The user's settings, for all projects
    #[arg(long, conflicts_with = "project")]
    pub(crate) user: bool,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
}

/// A coding agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Agent {
    /// Claude Code
    Claude,
    /// Codex
    Codex,
}

impl Agent {
    /// Its word on the command line.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Claude => "claude",
            Self::Codex => "codex",
        }
    }
}

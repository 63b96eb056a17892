//! What a command would do: effects, not names.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::path_class::PathClass;
use crate::source_range::SourceRange;

/// The byte that stands, in an evaluated text, for a part that cannot be known beforehand. No
/// argument of a program can hold it.
pub(crate) const UNKNOWN: u8 = 0;

/// One thing that a command would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    /// What is done.
    pub kind: EffectKind,
    /// To what.
    pub target: Target,
    /// How.
    #[serde(default, skip_serializing_if = "Qualities::is_empty")]
    pub qualities: Qualities,
    /// The words that ask for it.
    pub range: SourceRange,
    /// How many programs had been called when it was met: the last of them at its place has it.
    #[serde(skip)]
    pub(crate) calls: usize,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EffectKind {
    /// Reads a file.
    Read,
    /// Creates a file or adds to it.
    Write,
    /// Replaces or truncates what a file holds.
    Overwrite,
    /// Deletes files.
    Delete,
    /// Writes a device or makes a file system.
    Wipe,
    /// Changes permissions or access lists.
    Permission,
    /// Changes the owner.
    Owner,
    /// Runs code that comes from the network.
    NetworkCode,
    /// Runs code that was decoded from data and could not be read.
    DecodedCode,
    /// Runs code that is computed in a way that could not be followed.
    ComputedCode,
    /// Lets a program that is no shell start a shell or a command.
    ShellEscape,
    /// Hands a shell to another machine.
    ReverseShell,
    /// Offers a shell to whoever connects.
    BindShell,
    /// Waits for connections.
    Listen,
    /// Sends data out.
    Send,
    /// Fetches data.
    Fetch,
    /// Connects to another machine.
    Connect,
    /// Looks for machines or open ports.
    Scan,
    /// Gains privileges.
    Privilege,
    /// Arranges to be run again: cron, units, start-up files, authorized keys.
    Persist,
    /// Ends processes.
    Kill,
    /// Halts, suspends or restarts the machine.
    Halt,
    /// Rewrites or drops version history.
    History,
    /// Changes data or machines elsewhere.
    Remote,
    /// Installs packages.
    Install,
    /// Uses up processes, memory, disk, processors or output.
    Exhaust,
    /// Removes traces: logs, histories, times.
    Conceal,
    /// Switches a protection off.
    Weaken,
    /// Changes the running kernel.
    Kernel,
    /// Mounts or unmounts.
    Mount,
    /// Changes users, groups or passwords.
    Account,
    /// Puts code into other programs.
    Inject,
    /// Leaves a container or a namespace, or takes its walls away.
    Breakout,
    /// Stops, removes or replaces services.
    Service,
    /// Reads or shows secrets.
    Secret,
}

/// What an effect is done to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// Nothing that has a name.
    #[default]
    None,
    /// A file, as it was resolved (a NUL byte stands for what could not be known), and its class.
    Path {
        /// The absolute path.
        path: String,
        /// What kind of place it is.
        class: PathClass,
    },
    /// A machine or an address.
    Host(String),
    /// Anything else: a process, a service, a package, a table.
    Name(String),
}

/// How an effect is done: a set of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Qualities(u32);

macro_rules! qualities {
    ($($(#[$doc:meta])* $name:ident = $bit:literal, $word:literal;)*) => {
        impl Qualities {
            $($(#[$doc])* pub const $name: Self = Self(1 << $bit);)*

            /// Every quality and its word.
            pub const ALL: &'static [(Self, &'static str)] = &[$((Self::$name, $word)),*];
        }
    };
}

qualities! {
    /// Whole trees.
    RECURSIVE = 0, "recursive";
    /// Without asking back.
    FORCED = 1, "forced";
    /// By root: sudo, doas, su and the like stand before it.
    PRIVILEGED = 2, "privileged";
    /// On another machine.
    REMOTE = 3, "remote";
    /// In a container that has nothing of the host.
    CONFINED = 4, "confined";
    /// It goes on when the command has ended.
    DETACHED = 5, "detached";
    /// For everybody: mode 777, o+w, 0.0.0.0.
    PUBLIC = 6, "public";
    /// The set-user-id or set-group-id bit, or a capability.
    SETUID = 7, "setuid";
    /// Nothing ends it.
    ENDLESS = 8, "endless";
    /// All of a kind: every process, every branch, every row.
    ALL_OF_THEM = 9, "all";
    /// It was hidden: encoded, put together from pieces, or spelled so that nobody reads it.
    HIDDEN = 10, "hidden";
    /// Data that is secret goes along.
    WITH_SECRETS = 11, "with-secrets";
    /// The data or the code comes from the network.
    FROM_NETWORK = 12, "from-network";
    /// Without encryption or without checking the other side.
    INSECURE = 13, "insecure";
    /// Only shown or tried: a dry run.
    DRY_RUN = 14, "dry-run";
    /// Asks before it acts.
    ASKS = 15, "asks";
    /// By a program that usually does something else.
    UNUSUAL = 16, "unusual";
    /// Nothing but an address stands for the other machine.
    BARE_ADDRESS = 17, "bare-address";
    /// Data of a production system.
    PRODUCTION = 18, "production";
    /// As every introduction shows it: a loopback name in /etc/hosts.
    USUAL = 19, "usual";
    /// Only what has a certain name, of a tree.
    SELECTED = 20, "selected";
}

impl Qualities {
    /// None.
    pub const NONE: Self = Self(0);

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0 == 0
    }

    /// Whether all of `others` are there.
    #[must_use]
    pub const fn has(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// Whether one of `others` is there.
    #[must_use]
    pub const fn has_any(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }

    /// Both.
    #[must_use]
    pub const fn with(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// `others`, if `condition` holds, besides these.
    #[must_use]
    pub const fn with_if(self, condition: bool, others: Self) -> Self {
        if condition { self.with(others) } else { self }
    }

    /// The words.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::ALL.iter().filter(move |(one, _)| self.has(*one)).map(|(_, name)| *name)
    }

    /// The quality that `word` names.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, name)| *name == word).map(|(one, _)| *one)
    }
}

impl Serialize for Qualities {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(self.names())
    }
}

/// Words that are none of these are passed over.
impl<'de> Deserialize<'de> for Qualities {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let words = Vec::<String>::deserialize(deserializer)?;
        let known = words.iter().filter_map(|word| Self::named(word));
        Ok(known.fold(Self::NONE, Self::with))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            // What is unknown is shown as a shell would show a pattern.
            Self::Path { path, .. } => f.write_str(&path.replace('\0', "…")),
            Self::Host(name) | Self::Name(name) => f.write_str(&name.replace('\0', "…")),
        }
    }
}

impl EffectKind {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::Read,
        Self::Write,
        Self::Overwrite,
        Self::Delete,
        Self::Wipe,
        Self::Permission,
        Self::Owner,
        Self::NetworkCode,
        Self::DecodedCode,
        Self::ComputedCode,
        Self::ShellEscape,
        Self::ReverseShell,
        Self::BindShell,
        Self::Listen,
        Self::Send,
        Self::Fetch,
        Self::Connect,
        Self::Scan,
        Self::Privilege,
        Self::Persist,
        Self::Kill,
        Self::Halt,
        Self::History,
        Self::Remote,
        Self::Install,
        Self::Exhaust,
        Self::Conceal,
        Self::Weaken,
        Self::Kernel,
        Self::Mount,
        Self::Account,
        Self::Inject,
        Self::Breakout,
        Self::Service,
        Self::Secret,
    ];

    /// The word for it in rules, in the journal and as JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Overwrite => "overwrite",
            Self::Delete => "delete",
            Self::Wipe => "wipe",
            Self::Permission => "permission",
            Self::Owner => "owner",
            Self::NetworkCode => "network-code",
            Self::DecodedCode => "decoded-code",
            Self::ComputedCode => "computed-code",
            Self::ShellEscape => "shell-escape",
            Self::ReverseShell => "reverse-shell",
            Self::BindShell => "bind-shell",
            Self::Listen => "listen",
            Self::Send => "send",
            Self::Fetch => "fetch",
            Self::Connect => "connect",
            Self::Scan => "scan",
            Self::Privilege => "privilege",
            Self::Persist => "persist",
            Self::Kill => "kill",
            Self::Halt => "halt",
            Self::History => "history",
            Self::Remote => "remote",
            Self::Install => "install",
            Self::Exhaust => "exhaust",
            Self::Conceal => "conceal",
            Self::Weaken => "weaken",
            Self::Kernel => "kernel",
            Self::Mount => "mount",
            Self::Account => "account",
            Self::Inject => "inject",
            Self::Breakout => "breakout",
            Self::Service => "service",
            Self::Secret => "secret",
        }
    }

    /// The kind that `word` names.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.word() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_rules() {
        for kind in EffectKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.word());
            assert_eq!(EffectKind::named(kind.word()), Some(*kind));
        }
        assert_eq!(EffectKind::named("destroy"), None);
    }
}

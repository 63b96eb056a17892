//! The four profiles, their sections, and their built-in values.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use ctrlz_core::driver::Level;
use ctrlz_core::limits::Limits;
use ctrlz_core::monitor::AnomalyPolicy;
use ctrlz_core::size::ByteSize;
use ctrlz_core::snapshot::Tag;
use ctrlz_core::span::Span;
use ctrlz_core::verdict::Risk;
use serde::Serialize;

use crate::error::quoted;

/// How careful ctrlz is, from the laxest to the strictest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// Relaxed: no limits, nothing is asked.
    #[default]
    Development,
    /// Strict validation under moderate limits.
    Testing,
    /// Encrypted snapshots, confirmation, audit, limits.
    Production,
    /// The strictest, under tight limits.
    HighSecurity,
}

/// How strictly operations are validated, from the laxest to the strictest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ValidationLevel {
    /// Only what is certainly dangerous is held up.
    Relaxed,
    /// The rules as they are.
    Standard,
    /// In doubt, an operation counts as the riskier one.
    Strict,
}

/// Whether commands sign how far the event log has come, which is written in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuditLogging {
    /// Only where somebody has begun to, and now and then.
    Disabled,
    /// They do, from the first on.
    Enabled,
}

/// Who starts an emergency recovery, from the laxest to the strictest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EmergencyStart {
    /// A person, with `ctrlz recover --emergency`.
    #[default]
    Manual,
    /// Whatever is unusual, fails a health check, or asks for a rollback.
    Auto,
}

/// A word that is none of those that a key can take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{word} is none of {known}{}", suggestion(meant))]
pub struct UnknownWord {
    word: String,
    known: String,
    meant: Option<&'static str>,
}

fn suggestion(meant: &Option<&'static str>) -> String {
    meant.map(|word| format!("; did you mean `{word}`?")).unwrap_or_default()
}

/// Reads one of the `known` words.
pub(crate) fn one_of<T: Copy>(text: &str, known: &[(&'static str, T)]) -> Result<T, UnknownWord> {
    known.iter().find(|(word, _)| *word == text).map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<&'static str> = known.iter().map(|(word, _)| *word).collect();
        UnknownWord {
            word: quoted(text),
            known: words.join(", "),
            meant: nearest(text, words.into_iter()),
        }
    })
}

/// The word that was probably meant by `text`.
pub(crate) fn nearest<'a>(text: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // The comparison takes time in the square of the length, and no key is longer.
    const LONGEST: usize = 40;
    if text.len() > LONGEST {
        return None;
    }
    let text = text.to_lowercase();
    known
        .map(|word| (strsim::jaro_winkler(&text, word), word))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, word)| word)
}

macro_rules! words {
    ($kind:ident: $($variant:ident = $word:literal),*) => {
        impl $kind {
            /// All of them, from the laxest to the strictest.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The word for it in files and on the command line.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),*
                }
            }
        }

        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.word())
            }
        }

        impl FromStr for $kind {
            type Err = UnknownWord;
            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                one_of(text, &[$(($word, Self::$variant)),*])
            }
        }
    };
}

words!(Profile: Development = "development", Testing = "testing", Production = "production",
    HighSecurity = "high-security");
words!(ValidationLevel: Relaxed = "relaxed", Standard = "standard", Strict = "strict");
words!(AuditLogging: Disabled = "disabled", Enabled = "enabled");
words!(EmergencyStart: Manual = "manual", Auto = "auto");

/// Which snapshots are kept, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SafetyConstraints {
    /// How many snapshots a sandbox keeps, at least 1; `None` keeps all.
    pub max_snapshots: Option<u32>,
    /// Whether archived snapshots are compressed.
    pub compress_snapshots: bool,
    /// Whether archived snapshots are encrypted.
    pub encrypt_snapshots: bool,
    /// Hours after which a snapshot may be removed, at least 1; `None` for never.
    pub auto_cleanup_hours: Option<u32>,
}

/// What of a sandbox's past stays, besides what [`SafetyConstraints`] say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Retention {
    /// How many bytes a sandbox's past may hold; `None` for any.
    pub max_bytes: Option<ByteSize>,
    /// Tags that keep a snapshot, besides `keep` and `manual`.
    pub keep: Vec<Tag>,
}

/// When snapshots are taken without being asked for; `None` for never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct AutomaticSnapshots {
    /// After a command, when the last one is so old.
    pub every: Option<Span>,
    /// After so many operations.
    pub every_operations: Option<u32>,
    /// After so many bytes were added or changed.
    pub changed_bytes: Option<ByteSize>,
    /// Before a command of that risk, or more.
    pub before_risk: Option<Risk>,
    /// When the risk of the last commands rises.
    pub predictive: bool,
}

/// What follows from what is seen of operations and of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Monitoring {
    /// When an operation is far from what is usual for its sandbox.
    pub anomaly: AnomalyPolicy,
    /// Whether the daemon does what ctrlz can do about findings of health.
    pub remedies: bool,
    /// The least time between two remedies of one check.
    pub remedy_interval: Span,
    /// How much longer than its limit an operation may take before it counts as stuck.
    pub stuck_after: Span,
    /// With fewer free bytes for the store, nothing begins that only writes more; `None` for never.
    /// Of a small disk a 64th counts, when that is less.
    pub read_only_below: Option<ByteSize>,
    /// For how long what operations used is kept.
    pub history: History,
}

/// For how long the history of usage is kept, in which detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct History {
    /// Each sample, which then becomes part of its minute.
    pub samples: Span,
    /// Sums and peaks of each minute, which then become part of their hour.
    pub minutes: Span,
    /// Those of each hour, and of each operation.
    pub hours: Span,
}

/// What follows when something is badly wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Recovery {
    /// Who starts an emergency recovery.
    pub emergency: EmergencyStart,
    /// How many operations are followed by the health checks after one.
    pub watched: u32,
}

/// How often sandboxes and the host are looked at, and what is critical.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MonitoringConfig {
    /// Time between two collections of metrics, at least a second.
    pub collection_interval: Span,
    /// Time between two health checks, at least a second.
    pub health_check_interval: Span,
    /// What is critical.
    pub critical_thresholds: CriticalThresholds,
}

/// From which use of the host on its health is critical.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CriticalThresholds {
    /// Percent of all the host's processors, 1 to 100.
    pub cpu_percent: u8,
    /// Percent of the host's memory, 1 to 100.
    pub memory_percent: u8,
    /// Percent of the store's disk, 1 to 100.
    pub disk_percent: u8,
    /// Percent of the inodes of the store's disk, 1 to 100.
    pub inodes_percent: u8,
    /// Percent of the files that the kernel lets be open, 1 to 100.
    pub open_files_percent: u8,
    /// Percent of the processes and threads that the kernel lets be, 1 to 100.
    pub tasks_percent: u8,
}

/// How operations are validated and recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SecurityConfig {
    /// How strictly operations are validated.
    pub validation_level: ValidationLevel,
    /// Whether a risky operation waits for a confirmation.
    pub require_confirmation: bool,
    /// Whether commands sign the event log.
    pub audit_logging: AuditLogging,
}

/// What a profile sets by itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BuiltIn {
    pub(crate) limits: Limits,
    pub(crate) safety: SafetyConstraints,
    pub(crate) monitoring: MonitoringConfig,
    pub(crate) security: SecurityConfig,
}

const MIB: u64 = 1 << 20;

pub(crate) const fn seconds(count: u64) -> Span {
    Span(Duration::from_secs(count))
}

impl Profile {
    /// The built-in values. Each profile is at least as strict as the one before it in every
    /// protection; only how long snapshots are kept is a matter of its own.
    pub(crate) fn built_in(self) -> BuiltIn {
        let unlimited = Limits::default();
        let limits = |memory: u64, cpus: f64, disk: u64| Limits {
            memory: Some(ByteSize(memory * MIB)),
            cpus: Some(cpus),
            disk: Some(ByteSize(disk * MIB)),
            ..unlimited
        };
        match self {
            Self::Development => BuiltIn {
                limits: unlimited,
                safety: safety(Some(10), false, Some(168)),
                monitoring: monitoring(60, 60, 95),
                security: security(ValidationLevel::Relaxed, false, AuditLogging::Disabled),
            },
            Self::Testing => BuiltIn {
                limits: limits(4096, 2.0, 8192),
                safety: safety(Some(10), false, Some(168)),
                monitoring: monitoring(15, 30, 90),
                security: security(ValidationLevel::Strict, false, AuditLogging::Disabled),
            },
            Self::Production => BuiltIn {
                limits: limits(2048, 0.75, 4096),
                safety: safety(Some(20), true, Some(72)),
                monitoring: monitoring(15, 30, 90),
                security: security(ValidationLevel::Strict, true, AuditLogging::Enabled),
            },
            Self::HighSecurity => BuiltIn {
                limits: Limits {
                    pids: Some(256),
                    open_files: Some(1024),
                    max_output: Some(ByteSize(64 * MIB)),
                    timeout: Some(seconds(600)),
                    ..limits(1024, 0.5, 2048)
                },
                safety: safety(Some(50), true, Some(168)),
                monitoring: monitoring(5, 10, 80),
                security: security(ValidationLevel::Strict, true, AuditLogging::Enabled),
            },
        }
    }
}

const fn safety(snapshots: Option<u32>, encrypt: bool, hours: Option<u32>) -> SafetyConstraints {
    SafetyConstraints {
        max_snapshots: snapshots,
        compress_snapshots: true,
        encrypt_snapshots: encrypt,
        auto_cleanup_hours: hours,
    }
}

const fn monitoring(collection: u64, health: u64, critical: u8) -> MonitoringConfig {
    MonitoringConfig {
        collection_interval: seconds(collection),
        health_check_interval: seconds(health),
        critical_thresholds: CriticalThresholds {
            cpu_percent: critical,
            memory_percent: critical,
            disk_percent: FULL,
            inodes_percent: FULL,
            open_files_percent: FULL,
            tasks_percent: FULL,
        },
    }
}

/// From which use on there is next to nothing left of what does not come back by itself.
const FULL: u8 = 98;

const fn security(
    level: ValidationLevel,
    require_confirmation: bool,
    audit_logging: AuditLogging,
) -> SecurityConfig {
    SecurityConfig { validation_level: level, require_confirmation, audit_logging }
}

/// Key files that every profile hides; those below the home folder start with `~/`.
pub(crate) const HIDDEN: &[&str] = &[
    "~/.ssh",
    "~/.gnupg",
    "~/.password-store",
    "~/.local/share/keyrings",
    "~/.aws",
    "~/.azure",
    "~/.config/gcloud",
    "~/.kube",
    "~/.docker/config.json",
    "~/.config/gh",
    "~/.git-credentials",
    "~/.netrc",
    "~/.pypirc",
    "~/.cargo/credentials.toml",
];

/// Variables that testing and production keep from commands.
const CREDENTIALS: &[(&str, bool)] = &[
    ("*_TOKEN", false),
    ("*_SECRET", false),
    ("*_SECRET_*", false),
    ("*_PASSWORD", false),
    ("*_API_KEY", false),
    ("*_PRIVATE_KEY", false),
    ("AWS_*", false),
    ("SSH_AUTH_SOCK", false),
    ("GPG_AGENT_INFO", false),
];

/// High security passes only what a terminal program needs.
const TERMINAL_ONLY: &[(&str, bool)] = &[
    ("*", false),
    ("PATH", true),
    ("HOME", true),
    ("USER", true),
    ("LOGNAME", true),
    ("SHELL", true),
    ("LANG", true),
    ("LC_*", true),
    ("TERM", true),
    ("TZ", true),
];

impl Profile {
    /// How strongly commands are isolated where nothing is named.
    #[must_use]
    pub const fn level(self) -> Level {
        match self {
            Self::Development | Self::Testing => Level::Dev,
            Self::Production => Level::Standard,
            Self::HighSecurity => Level::Strict,
        }
    }

    /// The zstd level of snapshots at rest. While somebody develops, they wait for it; in production
    /// an archive is kept for long and sent far.
    pub const fn archive_level(self) -> i32 {
        match self {
            Self::Development | Self::Testing => 3,
            Self::Production | Self::HighSecurity => 7,
        }
    }

    /// The built-in rules for the environment, as in [`crate::EnvRule`].
    pub(crate) fn env_rules(self) -> &'static [(&'static str, bool)] {
        match self {
            // Builds, tests and logins on a developer's machine depend on any of them.
            Self::Development => &[],
            Self::Testing | Self::Production => CREDENTIALS,
            Self::HighSecurity => TERMINAL_ONLY,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn production_is_as_the_architecture_has_it() {
        let production = Profile::Production.built_in();
        assert_eq!(
            production.safety,
            SafetyConstraints {
                max_snapshots: Some(20),
                compress_snapshots: true,
                encrypt_snapshots: true,
                auto_cleanup_hours: Some(72),
            }
        );
        assert_eq!(
            production.limits,
            Limits {
                memory: Some(ByteSize(2048 << 20)),
                cpus: Some(0.75),
                disk: Some(ByteSize(4096 << 20)),
                ..Limits::default()
            }
        );
        assert_eq!(
            production.monitoring,
            MonitoringConfig {
                collection_interval: seconds(15),
                health_check_interval: seconds(30),
                critical_thresholds: CriticalThresholds {
                    cpu_percent: 90,
                    memory_percent: 90,
                    disk_percent: 98,
                    inodes_percent: 98,
                    open_files_percent: 98,
                    tasks_percent: 98,
                },
            }
        );
        assert_eq!(
            production.security,
            SecurityConfig {
                validation_level: ValidationLevel::Strict,
                require_confirmation: true,
                audit_logging: AuditLogging::Enabled,
            }
        );
    }

    #[test]
    fn development_has_no_limits() {
        assert_eq!(Profile::Development.built_in().limits, Limits::default());
    }

    #[test]
    fn words_go_both_ways() {
        for profile in Profile::ALL {
            assert_eq!(profile.word().parse(), Ok(*profile));
        }
        assert_eq!(
            "Prodcution".parse::<Profile>().unwrap_err().to_string(),
            "`Prodcution` is none of development, testing, production, high-security; \
             did you mean `production`?"
        );
        assert_eq!(
            "x".parse::<AuditLogging>().unwrap_err().to_string(),
            "`x` is none of disabled, enabled"
        );
    }
}

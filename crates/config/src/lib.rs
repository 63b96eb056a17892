//! Configuration files and profiles.
//!
//! # Where a value comes from
//!
//! From the weakest to the strongest; a later one overrides an earlier one key by key:
//!
//! 1. the built-in defaults,
//! 2. the built-in values of the chosen [`Profile`],
//! 3. `/etc/ctrlz/ctrlz.yaml`,
//! 4. the user's `$XDG_CONFIG_HOME/ctrlz/ctrlz.yaml` (`~/.config/ctrlz/ctrlz.yaml` by default),
//! 5. the project's `ctrlz.yaml`: the nearest one in the working folder or above it, up to and
//!    including the folder that holds `.git`, the home folder, or `/`,
//! 6. the command line's [`Flags`].
//!
//! Within one file, `run:`, `retention:` and `snapshots:` are stronger than the profile's section;
//! `retention.max_age` is the same setting as `auto_cleanup_hours`. `hidden`, `env_deny`,
//! `env_pass` and `state.sensitive` add to what earlier sources list; `env` merges by name;
//! `cap_add` replaces, except on the command line, where it adds.
//!
//! The profile is the flag's, else the strongest file's `profile:`, else development.
//!
//! # What a file holds
//!
//! YAML without anchors, tags, directives and several documents, in at most 1 MiB of UTF-8. Each
//! key may be left out; a key that does not exist or that stands twice is an error.
//!
#![doc = concat!("```yaml\n", include_str!("../ctrlz.example.yaml"), "```")]
//!
//! `~/` is the home folder. In a project's file, a path may also be relative to the file's folder.
//!
//! # What a project's file may do
//!
//! It may come with a cloned repository, so nobody vouches for it. The rule: **with it, every
//! protection is at least as strict as it is without it.** Both results are computed and compared
//! key by key; a laxer value is an error that names the file, the line, the key, and where the
//! same value may be set instead, never a value that is dropped in silence. A key that the command
//! line sets is exempt, since the file has no say in it.
//!
//! | key | a project's file may not |
//! |---|---|
//! | `profile` | choose a laxer one (development < testing < production < high-security) |
//! | `network` | turn `none` into `host` |
//! | `isolation` | choose another driver or level than holds without it, but for that of the profile that it chooses |
//! | limits, in `run` or in `resource_limits` | raise one, or lift it |
//! | `shown` | show what is hidden |
//! | `cap_add` | name a capability that is not kept without it |
//! | `snapshot`, `commit` | switch snapshots off; switch commit on |
//! | `env_pass` | pass a variable that is not passed without it |
//! | `env` | set a variable that steers the loader or the shells: `PATH`, `LD_*`, `IFS`, `ENV`, `BASH_ENV`, `BASHOPTS`, `SHELLOPTS`, `PS4` |
//! | `max_snapshots`, `auto_cleanup_hours` | lower below both what holds without it and what the profile that it chooses has: fewer or younger snapshots are less to return to |
//! | `max_bytes` | lower it likewise |
//! | `snapshots` | let fewer be taken |
//! | `encrypt_snapshots`, `require_confirmation`, `audit_logging` | switch off |
//! | `validation_level` | lower |
//! | `monitoring` | let more pass (`anomaly`: off < report < freeze < rollback), do less or later about what is wrong |
//! | `recovery` | leave an emergency to a person, or watch less after one |
//! | `monitoring_config` | look less often, or tolerate more |
//!
//! | `state.key` | say where the key of encrypted state comes from |
//!
//! `state.sensitive` and `retention.keep` only add. `compress_snapshots`, `health`, `setup`, `environment` and
//! every other variable in `env` are free: they reach only what runs inside the sandbox, as the project's own scripts do.
//!
//! A project's file counts only when it belongs to the user, to root, or to whoever owns the
//! working folder; another one, such as a stranger's in `/tmp`, is passed over and listed in
//! [`Config::passed_over`].
//!
//! # Packs of rules
//!
//! [`policy_files()`] finds the packs that the validator asks besides its built-in rules: `*.yaml` in
//! `/etc/ctrlz/policy`, in `policy` beside the user's file, and in `.ctrlz/policy` of the working
//! folder and those above it in the project. The rule above holds for them, too: a project's pack
//! adds rules and tightens others, and never loosens one.
//!
//! # Sinks
//!
//! [`sinks()`] reads `sinks.yaml` beside the user's and the host's file, and [`archive()`] `archive.yaml`.
//!
//! # Cost
//!
//! Where no file exists, [`load`] makes a few stat calls and parses nothing.
#![forbid(unsafe_code)]

mod archive;
mod beside;
mod capability;
mod config;
mod document;
mod entry;
mod env_pattern;
mod environment;
mod error;
mod file;
mod flags;
mod limit;
mod places;
mod policy_files;
mod profile;
mod reader;
mod scalar;
mod settings;
mod sinks;
mod state_key;
mod trust;
mod watched;

pub use archive::{ArchiveConfig, Archived, BeforeHighRisk, Compression, archive};
pub use capability::{Capability, CapabilityError};
pub use config::{Config, load};
pub use entry::{Entry, Source};
pub use env_pattern::{EnvPattern, EnvPatternError, EnvRule};
pub use environment::{Environment, Version, VersionRange, VersionRangeError};
pub use error::{ConfigError, Loosening, Position};
pub use flags::Flags;
pub use limit::{Amount, Limit, LimitError};
pub use places::Places;
pub use policy_files::{PolicyFile, PolicyFiles, PolicyOrigin, policy_files};
pub use profile::{
    AuditLogging, AutomaticSnapshots, CriticalThresholds, EmergencyStart, History, Monitoring,
    MonitoringConfig, Profile, Recovery, Retention, SafetyConstraints, SecurityConfig, UnknownWord,
    ValidationLevel,
};
pub use sinks::sinks;
pub use state_key::{KeyPattern, KeyPatternError, KeySource, KeySourceError};
pub use watched::watched_files;

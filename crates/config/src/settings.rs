//! All settings as a table: the type of each, its key, its option, and what a project's file may
//! do with it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use ctrlz_core::driver::{Isolation, Level};
use ctrlz_core::isolation::Network;
use ctrlz_core::monitor::AnomalyPolicy;
use ctrlz_core::size::ByteSize;
use ctrlz_core::snapshot::Tag;
use ctrlz_core::span::Span;
use ctrlz_core::verdict::Risk;
use ctrlz_core::workspace_choice::WorkspaceChoice;

use crate::capability::Capability;
use crate::entry::{Entry, Source, Sourced};
use crate::env_pattern::{EnvPattern, EnvRule};
use crate::environment::GivenEnvironment;
use crate::error::escaped;
use crate::profile::{AuditLogging, EmergencyStart, HIDDEN, Profile, ValidationLevel, seconds};
use crate::scalar::Shown;
use crate::state_key::{KeyPattern, KeySource};

/// How the value with a project's file may differ from the one without it.
enum Trust<T: 'static> {
    /// In any way.
    Free,
    /// It may not be laxer: the function says whether its first argument is laxer than its second.
    Keep(fn(&T, &T) -> bool),
    /// The same, but it may be as lax as the profile that the file chooses: the profiles' values
    /// are no stricter from one to the next.
    KeepOrAsProfile(fn(&T, &T) -> bool),
}

/// A setting that is laxer with a project's file than without it.
pub(crate) struct Laxer {
    pub(crate) key: &'static str,
    pub(crate) flag: Option<&'static str>,
    pub(crate) without: String,
    pub(crate) without_source: Source,
    pub(crate) with: String,
    pub(crate) with_source: Source,
}

macro_rules! settings {
    ($($field:ident: $kind:ty = $key:literal, $flag:expr, $trust:expr;)*) => {
        /// The settings with one value each, as far as one source gives them.
        #[derive(Debug, Default)]
        pub(crate) struct Given {
            $(pub(crate) $field: Option<Sourced<$kind>>,)*
        }

        /// The settings with one value each.
        #[derive(Debug, Clone, PartialEq)]
        pub(crate) struct Values {
            $(pub(crate) $field: Sourced<$kind>,)*
        }

        impl Values {
            fn apply(&mut self, given: &Given) {
                $(if let Some(stronger) = &given.$field {
                    self.$field = stronger.clone();
                })*
            }

            fn entries(&self) -> Vec<Entry> {
                vec![$(Entry {
                    key: $key.to_owned(),
                    value: self.$field.value.shown(),
                    source: self.$field.source.clone(),
                },)*]
            }

            /// The first setting that is laxer than `without` the project's file. `chosen` are the
            /// values without the file under the profile that it chooses.
            pub(crate) fn first_laxer(&self, without: &Self, chosen: &Self) -> Option<Laxer> {
                $({
                    let (with, without) = (&self.$field, &without.$field);
                    let trust: Trust<$kind> = $trust;
                    let laxer = match trust {
                        // The command line decides for itself.
                        _ if matches!(with.source, Source::Flag(_)) => false,
                        Trust::Free => false,
                        Trust::Keep(is_laxer) => is_laxer(&with.value, &without.value),
                        Trust::KeepOrAsProfile(is_laxer) => {
                            is_laxer(&with.value, &without.value)
                                && is_laxer(&with.value, &chosen.$field.value)
                        }
                    };
                    if laxer {
                        return Some(Laxer {
                            key: $key,
                            flag: $flag,
                            without: without.value.shown(),
                            without_source: without.source.clone(),
                            with: with.value.shown(),
                            with_source: with.source.clone(),
                        });
                    }
                })*
                None
            }
        }
    };
}

settings! {
    network: Network = "run.network", Some("--network host"), Trust::Keep(opened);
    isolation: Isolation = "run.isolation", Some("--isolation"), Trust::KeepOrAsProfile(other);
    workspace: WorkspaceChoice = "run.workspace", Some("--workspace"), Trust::Free;
    timeout: Option<Span> = "run.timeout", Some("--timeout"), Trust::Keep(limit_raised);
    memory: Option<ByteSize> = "run.memory", Some("--memory"), Trust::Keep(limit_raised);
    cpus: Option<f64> = "run.cpus", Some("--cpus"), Trust::Keep(limit_raised);
    pids: Option<u32> = "run.pids", Some("--pids"), Trust::Keep(limit_raised);
    disk: Option<ByteSize> = "run.disk", Some("--disk"), Trust::Keep(limit_raised);
    open_files: Option<u64> = "run.open_files", Some("--open-files"), Trust::Keep(limit_raised);
    max_output: Option<ByteSize> = "run.max_output", Some("--max-output"),
        Trust::Keep(limit_raised);
    snapshot: bool = "run.snapshot", Some("--no-snapshot"), Trust::Keep(lowered);
    commit: bool = "run.commit", Some("--commit"), Trust::Keep(raised);
    max_snapshots: Option<u32> = "safety_constraints.max_snapshots", None,
        Trust::KeepOrAsProfile(limit_lowered);
    compress_snapshots: bool = "safety_constraints.compress_snapshots", None, Trust::Free;
    encrypt_snapshots: bool = "safety_constraints.encrypt_snapshots", None, Trust::Keep(lowered);
    auto_cleanup_hours: Option<u32> = "safety_constraints.auto_cleanup_hours", None,
        Trust::KeepOrAsProfile(limit_lowered);
    max_bytes: Option<ByteSize> = "retention.max_bytes", None,
        Trust::KeepOrAsProfile(limit_lowered);
    snapshot_every: Option<Span> = "snapshots.every", None, Trust::Keep(limit_raised);
    snapshot_every_operations: Option<u32> = "snapshots.every_operations", None,
        Trust::Keep(limit_raised);
    snapshot_changed_bytes: Option<ByteSize> = "snapshots.changed_bytes", None,
        Trust::Keep(limit_raised);
    snapshot_before_risk: Option<Risk> = "snapshots.before_risk", None, Trust::Keep(limit_raised);
    snapshot_predictive: bool = "snapshots.predictive", None, Trust::Keep(lowered);
    anomaly: AnomalyPolicy = "monitoring.anomaly", None, Trust::Keep(lowered);
    remedies: bool = "monitoring.remedies", None, Trust::Keep(lowered);
    remedy_interval: Span = "monitoring.remedy_interval", None, Trust::Keep(raised);
    stuck_after: Span = "monitoring.stuck_after", None, Trust::Keep(raised);
    read_only_below: Option<ByteSize> = "monitoring.read_only_below", None,
        Trust::Keep(floor_lowered);
    history_samples: Span = "monitoring.history.samples", None, Trust::Keep(lowered);
    history_minutes: Span = "monitoring.history.minutes", None, Trust::Keep(lowered);
    history_hours: Span = "monitoring.history.hours", None, Trust::Keep(lowered);
    emergency: EmergencyStart = "recovery.emergency", None, Trust::Keep(lowered);
    watched: u32 = "recovery.watched", None, Trust::Keep(lowered);
    collection_interval: Span = "monitoring_config.collection_interval", None,
        Trust::Keep(raised);
    health_check_interval: Span = "monitoring_config.health_check_interval", None,
        Trust::Keep(raised);
    critical_cpu_percent: u8 = "monitoring_config.critical_thresholds.cpu_percent", None,
        Trust::Keep(raised);
    critical_memory_percent: u8 = "monitoring_config.critical_thresholds.memory_percent", None,
        Trust::Keep(raised);
    critical_disk_percent: u8 = "monitoring_config.critical_thresholds.disk_percent", None,
        Trust::Keep(raised);
    critical_inodes_percent: u8 = "monitoring_config.critical_thresholds.inodes_percent", None,
        Trust::Keep(raised);
    critical_tasks_percent: u8 = "monitoring_config.critical_thresholds.tasks_percent", None,
        Trust::Keep(raised);
    critical_open_files_percent: u8 = "monitoring_config.critical_thresholds.open_files_percent",
        None, Trust::Keep(raised);
    validation_level: ValidationLevel = "security_config.validation_level", None,
        Trust::Keep(lowered);
    require_confirmation: bool = "security_config.require_confirmation", None,
        Trust::Keep(lowered);
    audit_logging: AuditLogging = "security_config.audit_logging", None, Trust::Keep(lowered);
}

fn opened(with: &Network, without: &Network) -> bool {
    *with == Network::Host && *without != Network::Host
}

/// Which of two drivers is the stricter one is no matter of order.
fn other(with: &Isolation, without: &Isolation) -> bool {
    with != without
}

fn raised<T: PartialOrd>(with: &T, without: &T) -> bool {
    with > without
}

fn lowered<T: PartialOrd>(with: &T, without: &T) -> bool {
    with < without
}

fn limit_raised<T: PartialOrd>(with: &Option<T>, without: &Option<T>) -> bool {
    match (with, without) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(with), Some(without)) => with > without,
    }
}

fn limit_lowered<T: PartialOrd>(with: &Option<T>, without: &Option<T>) -> bool {
    limit_raised(without, with)
}

/// None is no floor at all.
fn floor_lowered<T: PartialOrd>(with: &Option<T>, without: &Option<T>) -> bool {
    with < without
}

/// What one source says: a file, or the command line.
#[derive(Debug, Default)]
pub(crate) struct Document {
    pub(crate) profile: Option<Sourced<Profile>>,
    pub(crate) run: Given,
    pub(crate) hidden: Vec<Sourced<PathBuf>>,
    pub(crate) shown: Vec<Sourced<PathBuf>>,
    pub(crate) env: Vec<(OsString, Sourced<OsString>)>,
    pub(crate) env_deny: Vec<Sourced<EnvPattern>>,
    pub(crate) env_pass: Vec<Sourced<EnvPattern>>,
    pub(crate) cap_add: Option<Vec<Sourced<Capability>>>,
    pub(crate) keep_tags: Vec<Sourced<Tag>>,
    pub(crate) health: Option<Vec<Sourced<String>>>,
    pub(crate) setup: Option<Vec<Sourced<String>>>,
    pub(crate) environment: GivenEnvironment,
    pub(crate) profiles: BTreeMap<Profile, Given>,
    pub(crate) sensitive: Vec<Sourced<KeyPattern>>,
    pub(crate) state_key: Option<Sourced<KeySource>>,
}

/// Everything that is in force, with its sources.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    pub(crate) profile: Sourced<Profile>,
    pub(crate) values: Values,
    pub(crate) hidden: Vec<Sourced<PathBuf>>,
    pub(crate) env: BTreeMap<OsString, Sourced<OsString>>,
    pub(crate) env_rules: Vec<Sourced<EnvRule>>,
    pub(crate) cap_add: Vec<Sourced<Capability>>,
    pub(crate) keep_tags: Vec<Sourced<Tag>>,
    pub(crate) health: Vec<Sourced<String>>,
    pub(crate) setup: Vec<Sourced<String>>,
    pub(crate) environment: GivenEnvironment,
    pub(crate) sensitive: Vec<Sourced<KeyPattern>>,
    pub(crate) state_key: Option<Sourced<KeySource>>,
}

impl Settings {
    /// What is in force for `profile` when no file says anything.
    pub(crate) fn built_in(profile: Sourced<Profile>, home: Option<&Path>) -> Self {
        let built_in = profile.value.built_in();
        let of_profile = Source::Profile(profile.value);
        let hidden = HIDDEN
            .iter()
            .filter_map(|path| match path.strip_prefix("~/") {
                Some(below) => home.map(|home| home.join(below)),
                None => Some(PathBuf::from(path)),
            })
            .map(|value| Sourced { value, source: Source::Default })
            .collect();
        let env_rules = profile.value.env_rules().iter().filter_map(|(pattern, pass)| {
            let pattern = pattern.parse().ok()?;
            let value = EnvRule { pattern, pass: *pass };
            Some(Sourced { value, source: of_profile.clone() })
        });
        Self {
            env_rules: env_rules.collect(),
            values: Values::built_in(&built_in, profile.value.level(), &of_profile),
            hidden,
            env: BTreeMap::new(),
            cap_add: Vec::new(),
            keep_tags: Vec::new(),
            health: Vec::new(),
            setup: Vec::new(),
            environment: GivenEnvironment::default(),
            sensitive: Vec::new(),
            state_key: None,
            profile,
        }
    }

    /// Lets a stronger source override. `cap_add` replaces the list unless `adds_capabilities`.
    pub(crate) fn apply(&mut self, stronger: &Document, adds_capabilities: bool) {
        if let Some(section) = stronger.profiles.get(&self.profile.value) {
            self.values.apply(section);
        }
        self.values.apply(&stronger.run);
        self.hidden.retain(|hidden| !stronger.shown.iter().any(|path| path.value == hidden.value));
        for path in &stronger.hidden {
            if !self.hidden.iter().any(|hidden| hidden.value == path.value) {
                self.hidden.push(path.clone());
            }
        }
        self.env.extend(stronger.env.iter().cloned());
        for (patterns, pass) in [(&stronger.env_deny, false), (&stronger.env_pass, true)] {
            self.env_rules.extend(patterns.iter().map(|pattern| Sourced {
                value: EnvRule { pattern: pattern.value.clone(), pass },
                source: pattern.source.clone(),
            }));
        }
        for tag in &stronger.keep_tags {
            if !self.keep_tags.iter().any(|kept| kept.value == tag.value) {
                self.keep_tags.push(tag.clone());
            }
        }
        if let Some(commands) = &stronger.health {
            self.health.clone_from(commands);
        }
        if let Some(commands) = &stronger.setup {
            self.setup.clone_from(commands);
        }
        self.environment.apply(&stronger.environment);
        for pattern in &stronger.sensitive {
            if !self.sensitive.iter().any(|known| known.value == pattern.value) {
                self.sensitive.push(pattern.clone());
            }
        }
        if let Some(key) = &stronger.state_key {
            self.state_key = Some(key.clone());
            self.keep_inside_from(key);
        }
        if let Some(capabilities) = &stronger.cap_add {
            if !adds_capabilities {
                self.cap_add.clear();
            }
            for capability in capabilities {
                if !self.cap_add.iter().any(|kept| kept.value == capability.value) {
                    self.cap_add.push(capability.clone());
                }
            }
        }
    }

    /// What runs inside has no business with the key of encrypted state.
    fn keep_inside_from(&mut self, key: &Sourced<KeySource>) {
        let source = key.source.clone();
        match &key.value {
            KeySource::File(path) if !self.hidden.iter().any(|hidden| hidden.value == *path) => {
                self.hidden.push(Sourced { value: path.clone(), source });
            }
            KeySource::Env(name) => {
                if let Ok(pattern) = name.parse() {
                    self.env_rules
                        .push(Sourced { value: EnvRule { pattern, pass: false }, source });
                }
            }
            _ => {}
        }
    }

    /// Whether the caller's variable `name` is passed to commands.
    pub(crate) fn env_passes(&self, name: &std::ffi::OsStr) -> bool {
        let last = self.env_rules.iter().rev().find(|rule| rule.value.pattern.matches(name));
        last.is_none_or(|rule| rule.value.pass)
    }

    /// Everything that is in force, in the order in which it is shown.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let mut values = self.values.entries();
        let sections = values.split_off(values.partition_point(|e| e.key.starts_with("run.")));
        let mut entries = vec![entry("profile", self.profile.value.word(), &self.profile.source)];
        entries.append(&mut values);
        for path in &self.hidden {
            entries.push(entry("run.hidden", &path.value.to_string_lossy(), &path.source));
        }
        for (name, value) in &self.env {
            let key = format!("run.env.{}", name.to_string_lossy());
            entries.push(entry(&key, &value.value.to_string_lossy(), &value.source));
        }
        for rule in &self.env_rules {
            let key = if rule.value.pass { "run.env_pass" } else { "run.env_deny" };
            entries.push(entry(key, rule.value.pattern.as_str(), &rule.source));
        }
        for capability in &self.cap_add {
            entries.push(entry("run.cap_add", capability.value.name(), &capability.source));
        }
        for pattern in &self.sensitive {
            entries.push(entry("state.sensitive", pattern.value.as_str(), &pattern.source));
        }
        if let Some(key) = &self.state_key {
            entries.push(entry("state.key", &key.value.to_string(), &key.source));
        }
        entries.extend(sections);
        for tag in &self.keep_tags {
            entries.push(entry("retention.keep", tag.value.as_str(), &tag.source));
        }
        for command in &self.health {
            entries.push(entry("health", &command.value, &command.source));
        }
        for command in &self.setup {
            entries.push(entry("setup", &command.value, &command.source));
        }
        for tool in self.environment.tools.iter().flatten() {
            entries.push(entry("environment.tools", &tool.value, &tool.source));
        }
        for (program, range) in self.environment.interpreters.iter().flatten() {
            let key = format!("environment.interpreters.{program}");
            entries.push(entry(&key, &range.value.to_string(), &range.source));
        }
        if let Some(locale) = &self.environment.locale {
            entries.push(entry("environment.locale", &locale.value, &locale.source));
        }
        for place in self.environment.writable.iter().flatten() {
            entries.push(entry("environment.writable", &place.value, &place.source));
        }
        entries
    }
}

fn entry(key: &str, value: &str, source: &Source) -> Entry {
    Entry { key: escaped(key), value: escaped(value), source: source.clone() }
}

impl Values {
    fn built_in(profile: &crate::profile::BuiltIn, level: Level, source: &Source) -> Self {
        fn from<T>(value: T, source: &Source) -> Sourced<T> {
            Sourced { value, source: source.clone() }
        }
        let (limits, safety) = (&profile.limits, &profile.safety);
        let (monitoring, security) = (&profile.monitoring, &profile.security);
        Self {
            network: from(Network::None, &Source::Default),
            isolation: from(Isolation::Level(level), source),
            workspace: from(WorkspaceChoice::default(), &Source::Default),
            timeout: from(limits.timeout, source),
            memory: from(limits.memory, source),
            cpus: from(limits.cpus, source),
            pids: from(limits.pids, source),
            disk: from(limits.disk, source),
            open_files: from(limits.open_files, source),
            max_output: from(limits.max_output, source),
            snapshot: from(true, &Source::Default),
            commit: from(false, &Source::Default),
            max_snapshots: from(safety.max_snapshots, source),
            compress_snapshots: from(safety.compress_snapshots, source),
            encrypt_snapshots: from(safety.encrypt_snapshots, source),
            auto_cleanup_hours: from(safety.auto_cleanup_hours, source),
            max_bytes: from(None, &Source::Default),
            snapshot_every: from(None, &Source::Default),
            snapshot_every_operations: from(None, &Source::Default),
            snapshot_changed_bytes: from(None, &Source::Default),
            snapshot_before_risk: from(None, &Source::Default),
            snapshot_predictive: from(false, &Source::Default),
            anomaly: from(AnomalyPolicy::default(), &Source::Default),
            remedies: from(true, &Source::Default),
            remedy_interval: from(seconds(600), &Source::Default),
            stuck_after: from(seconds(60), &Source::Default),
            read_only_below: from(Some(ByteSize(64 << 20)), &Source::Default),
            history_samples: from(seconds(3600), &Source::Default),
            history_minutes: from(seconds(48 * 3600), &Source::Default),
            history_hours: from(seconds(90 * 24 * 3600), &Source::Default),
            emergency: from(EmergencyStart::default(), &Source::Default),
            watched: from(10, &Source::Default),
            collection_interval: from(monitoring.collection_interval, source),
            health_check_interval: from(monitoring.health_check_interval, source),
            critical_cpu_percent: from(monitoring.critical_thresholds.cpu_percent, source),
            critical_memory_percent: from(monitoring.critical_thresholds.memory_percent, source),
            critical_disk_percent: from(monitoring.critical_thresholds.disk_percent, source),
            critical_inodes_percent: from(monitoring.critical_thresholds.inodes_percent, source),
            critical_tasks_percent: from(monitoring.critical_thresholds.tasks_percent, source),
            critical_open_files_percent: from(
                monitoring.critical_thresholds.open_files_percent,
                source,
            ),
            validation_level: from(security.validation_level, source),
            require_confirmation: from(security.require_confirmation, source),
            audit_logging: from(security.audit_logging, source),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built_in(profile: Profile) -> Settings {
        let profile = Sourced { value: profile, source: Source::Default };
        Settings::built_in(profile, Some(Path::new("/home/u")))
    }

    #[test]
    fn each_profile_is_at_least_as_strict_as_the_one_before() {
        for pair in Profile::ALL.windows(2) {
            let (laxer, stricter) = (built_in(pair[0]), built_in(pair[1]));
            let found = stricter.values.first_laxer(&laxer.values, &stricter.values);
            assert!(found.is_none(), "{} has a laxer {}", pair[1], found.unwrap().key);
            let back = laxer.values.first_laxer(&stricter.values, &laxer.values);
            assert!(back.is_some(), "{} is not stricter than {}", pair[1], pair[0]);
            for name in ["GH_TOKEN", "PATH", "SSH_AUTH_SOCK", "CC", "LC_ALL", "AWS_REGION"] {
                let name = std::ffi::OsStr::new(name);
                assert!(laxer.env_passes(name) || !stricter.env_passes(name), "{name:?}");
            }
        }
    }

    #[test]
    fn built_in_patterns_are_all_valid() {
        for profile in Profile::ALL {
            let built_in = built_in(*profile);
            assert_eq!(built_in.env_rules.len(), profile.env_rules().len());
            assert_eq!(built_in.hidden.len(), HIDDEN.len());
        }
    }

    #[test]
    fn entries_are_in_sections() {
        let entries = built_in(Profile::Production).entries();
        let mut sections: Vec<&str> =
            entries.iter().map(|e| e.key.split('.').next().unwrap()).collect();
        sections.dedup();
        assert_eq!(
            sections,
            [
                "profile",
                "run",
                "safety_constraints",
                "retention",
                "snapshots",
                "monitoring",
                "recovery",
                "monitoring_config",
                "security_config"
            ]
        );
    }
}

//! Finding, reading and merging the sources.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ctrlz_core::driver::Isolation;
use ctrlz_core::event::ConfigurationFile;
use ctrlz_core::isolation::Network;
use ctrlz_core::limits::Limits;
use ctrlz_core::workspace_choice::WorkspaceChoice;
use serde::{Serialize, Serializer};

use crate::capability::Capability;
use crate::document::{self, PathRoots};
use crate::entry::{Entry, Source, Sourced};
use crate::env_pattern::EnvRule;
use crate::environment::Environment;
use crate::error::ConfigError;
use crate::file::{self, FileText, Found};
use crate::flags::Flags;
use crate::places::{FILE_NAME, Places};
use crate::profile::{
    AutomaticSnapshots, CriticalThresholds, History, Monitoring, MonitoringConfig, Profile,
    Recovery, Retention, SafetyConstraints, SecurityConfig,
};
use crate::settings::{Document, Settings};
use crate::state_key::{KeyPattern, KeySource};
use crate::trust::Project;

/// The configuration in force.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Config {
    /// The profile.
    pub profile: Profile,
    /// The limits of an operation.
    pub limits: Limits,
    /// The network of an operation.
    pub network: Network,
    /// What isolates an operation.
    pub isolation: Isolation,
    /// Whether that is the profile's wish, and nobody asked for it by name.
    #[serde(skip)]
    pub isolation_of_profile: bool,
    /// What keeps new sandboxes.
    pub workspace: WorkspaceChoice,
    /// Host paths to hide, whether they exist or not: absolute, without `.`, `..` and `//`.
    #[serde(serialize_with = "host_paths")]
    pub hidden: Vec<PathBuf>,
    /// Variables to set, whatever [`Config::env_passes`] says of them.
    #[serde(serialize_with = "variables")]
    pub env: BTreeMap<OsString, OsString>,
    /// Which of the caller's variables are passed; see [`Config::env_passes`].
    pub env_rules: Vec<EnvRule>,
    /// Capabilities to keep.
    pub cap_add: Vec<Capability>,
    /// Whether a snapshot is taken before an operation.
    pub snapshot: bool,
    /// Whether an operation's changes are committed at once when it succeeds.
    pub commit: bool,
    /// Which snapshots are kept, and how.
    pub safety_constraints: SafetyConstraints,
    /// What more may stay of the past.
    pub retention: Retention,
    /// When snapshots are taken without being asked for.
    pub snapshots: AutomaticSnapshots,
    /// What follows from what is seen of operations.
    pub monitoring: Monitoring,
    /// What follows when something is badly wrong.
    pub recovery: Recovery,
    /// Commands of the shell, run inside, that tell whether a sandbox is as it should be.
    pub health: Vec<String>,
    /// Commands of the shell, run inside once: new sandboxes start from what they leave.
    pub setup: Vec<String>,
    /// What must be there inside.
    pub environment: Environment,
    /// Monitoring.
    pub monitoring_config: MonitoringConfig,
    /// Validation, confirmation, audit.
    pub security_config: SecurityConfig,
    /// The keys of state whose values are encrypted.
    pub sensitive: Vec<KeyPattern>,
    /// Where the key that they are encrypted with comes from.
    pub state_key: Option<KeySource>,
    /// The files that were read, the weakest first.
    #[serde(serialize_with = "host_paths")]
    pub files: Vec<PathBuf>,
    /// The same with the digests of what was read.
    #[serde(skip)]
    pub recorded: Vec<ConfigurationFile>,
    /// Files with a project file's name that do not count, since they belong to a stranger.
    #[serde(serialize_with = "host_paths")]
    pub passed_over: Vec<PathBuf>,
    #[serde(skip)]
    settings: Settings,
}

/// Reads the files at `places` and merges them with `flags`.
///
/// # Errors
/// When a file exists but cannot be read or understood, holds a key or a value that does not
/// exist, or is a project's file that weakens a protection. No file is no error.
pub fn load(places: &Places, flags: &Flags) -> Result<Config, ConfigError> {
    let etc = trusted(&places.etc)?;
    let user = places.user.as_deref().map(trusted).transpose()?.flatten();
    let read: Vec<FileText> = etc.into_iter().chain(user).collect();
    let (project, passed_over) = find_project(places, &read)?;

    let home = places.home.as_deref();
    let trusted: Vec<Document> = read
        .iter()
        .map(|file| document::read(file, PathRoots { home, project: None }))
        .collect::<Result<_, _>>()?;
    let flags = flags.document();

    let profile = trusted
        .iter()
        .chain([&flags])
        .rev()
        .find_map(|source| source.profile.clone())
        .unwrap_or(Sourced { value: Profile::default(), source: Source::Default });
    let merge = |profile: Sourced<Profile>| {
        let mut settings = Settings::built_in(profile, home);
        trusted.iter().for_each(|document| settings.apply(document, false));
        settings
    };

    let mut settings = merge(profile.clone());
    let Some(file) = project else {
        settings.apply(&flags, true);
        return Ok(Config::new(settings, &read, passed_over));
    };

    let roots = PathRoots { home, project: file.path.parent() };
    let document = document::read(&file, roots)?;
    let user_file = places.user.as_deref().unwrap_or(&places.etc);
    let project = Project { path: &file.path, document: &document, flags: &flags, user_file };
    project.check_profile(&profile)?;
    let without = settings;
    let chosen = flags.profile.as_ref().or(document.profile.as_ref()).unwrap_or(&profile);
    let chosen = merge(chosen.clone());
    let mut with = chosen.clone();
    with.apply(&document, false);
    with.apply(&flags, true);
    project.check(&with, &without, &chosen)?;
    let read: Vec<FileText> = read.into_iter().chain([file]).collect();
    Ok(Config::new(with, &read, passed_over))
}

/// Reads a file that the user or the host's administrator wrote.
fn trusted(path: &Path) -> Result<Option<FileText>, ConfigError> {
    Ok(match file::read(path, |_| true)? {
        Found::Text(file) => Some(file),
        Found::Nothing | Found::Strangers => None,
    })
}

/// Looks for the project's file, which is none of the files `read` so far. Also gives the
/// strangers' files that were met on the way.
fn find_project(
    places: &Places,
    read: &[FileText],
) -> Result<(Option<FileText>, Vec<PathBuf>), ConfigError> {
    let has_a_say = |owner: u32| {
        owner == 0
            || owner == rustix::process::geteuid().as_raw()
            || places.workdir.metadata().is_ok_and(|folder| folder.uid() == owner)
    };
    let mut passed_over = Vec::new();
    for folder in places.project_folders() {
        let path = folder.join(FILE_NAME);
        match file::read(&path, has_a_say)? {
            Found::Text(file) if read.iter().any(|known| known.id == file.id) => {}
            Found::Text(file) => return Ok((Some(file), passed_over)),
            Found::Strangers => passed_over.push(path),
            Found::Nothing => {}
        }
    }
    Ok((None, passed_over))
}

impl Config {
    fn new(settings: Settings, read: &[FileText], passed_over: Vec<PathBuf>) -> Self {
        fn plain<T: Clone>(list: &[Sourced<T>]) -> Vec<T> {
            list.iter().map(|item| item.value.clone()).collect()
        }
        let values = &settings.values;
        Self {
            profile: settings.profile.value,
            limits: Limits {
                memory: values.memory.value,
                cpus: values.cpus.value,
                pids: values.pids.value,
                disk: values.disk.value,
                open_files: values.open_files.value,
                max_output: values.max_output.value,
                timeout: values.timeout.value,
            },
            network: values.network.value,
            isolation: values.isolation.value.clone(),
            isolation_of_profile: matches!(values.isolation.source, Source::Profile(_)),
            workspace: values.workspace.value,
            hidden: plain(&settings.hidden),
            env: settings.env.iter().map(|(k, v)| (k.clone(), v.value.clone())).collect(),
            env_rules: plain(&settings.env_rules),
            cap_add: plain(&settings.cap_add),
            snapshot: values.snapshot.value,
            commit: values.commit.value,
            safety_constraints: SafetyConstraints {
                max_snapshots: values.max_snapshots.value,
                compress_snapshots: values.compress_snapshots.value,
                encrypt_snapshots: values.encrypt_snapshots.value,
                auto_cleanup_hours: values.auto_cleanup_hours.value,
            },
            retention: Retention {
                max_bytes: values.max_bytes.value,
                keep: plain(&settings.keep_tags),
            },
            snapshots: AutomaticSnapshots {
                every: values.snapshot_every.value,
                every_operations: values.snapshot_every_operations.value,
                changed_bytes: values.snapshot_changed_bytes.value,
                before_risk: values.snapshot_before_risk.value,
                predictive: values.snapshot_predictive.value,
            },
            monitoring: Monitoring {
                anomaly: values.anomaly.value,
                remedies: values.remedies.value,
                remedy_interval: values.remedy_interval.value,
                stuck_after: values.stuck_after.value,
                read_only_below: values.read_only_below.value,
                history: History {
                    samples: values.history_samples.value,
                    minutes: values.history_minutes.value,
                    hours: values.history_hours.value,
                },
            },
            recovery: Recovery { emergency: values.emergency.value, watched: values.watched.value },
            health: plain(&settings.health),
            setup: plain(&settings.setup),
            environment: settings.environment.plain(),
            monitoring_config: MonitoringConfig {
                collection_interval: values.collection_interval.value,
                health_check_interval: values.health_check_interval.value,
                critical_thresholds: CriticalThresholds {
                    cpu_percent: values.critical_cpu_percent.value,
                    memory_percent: values.critical_memory_percent.value,
                    disk_percent: values.critical_disk_percent.value,
                    inodes_percent: values.critical_inodes_percent.value,
                    open_files_percent: values.critical_open_files_percent.value,
                    tasks_percent: values.critical_tasks_percent.value,
                },
            },
            security_config: SecurityConfig {
                validation_level: values.validation_level.value,
                require_confirmation: values.require_confirmation.value,
                audit_logging: values.audit_logging.value,
            },
            sensitive: plain(&settings.sensitive),
            state_key: settings.state_key.as_ref().map(|key| key.value.clone()),
            files: read.iter().map(|file| file.path.to_path_buf()).collect(),
            recorded: read.iter().map(FileText::recorded).collect(),
            passed_over,
            settings,
        }
    }

    /// Every value that is in force and where it comes from, in a fixed order: `profile`, `run`,
    /// then the profile's sections.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        self.settings.entries()
    }

    /// Whether the caller's variable `name` is passed to commands. A variable that [`Config::env`]
    /// sets is set in any case.
    #[must_use]
    pub fn env_passes(&self, name: &OsStr) -> bool {
        self.settings.env_passes(name)
    }
}

#[derive(Serialize)]
#[serde(transparent)]
struct HostPath(#[serde(with = "ctrlz_core::path::host")] PathBuf);

fn host_paths<S: Serializer>(paths: &[PathBuf], s: S) -> Result<S::Ok, S::Error> {
    s.collect_seq(paths.iter().map(|path| HostPath(path.clone())))
}

/// Names and values need not be UTF-8 any more than paths.
fn variables<S: Serializer>(env: &BTreeMap<OsString, OsString>, s: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Variable {
        name: HostPath,
        value: HostPath,
    }
    let text = |text: &OsStr| HostPath(PathBuf::from(text));
    s.collect_seq(env.iter().map(|(k, v)| Variable { name: text(k), value: text(v) }))
}

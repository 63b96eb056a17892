//! The keys of a configuration file.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use crate::entry::Sourced;
use crate::environment;
use crate::error::{ConfigError, quoted};
use crate::file::FileText;
use crate::profile::Profile;
use crate::reader::Field;
use crate::scalar;
use crate::settings::{Document, Given};
use crate::state_key::KeySource;
use ctrlz_yaml::Limits;

/// More values than any configuration has.
const LIMITS: Limits = Limits { noun: "configuration", most_nodes: 20_000 };

const TOP: &[&str] = &[
    "profile",
    "run",
    "retention",
    "snapshots",
    "monitoring",
    "recovery",
    "health",
    "setup",
    "environment",
    "state",
    "profiles",
    "development",
    "testing",
    "production",
    "high-security",
];
const PROFILES: &[&str] = &["development", "testing", "production", "high-security"];
const RUN: &[&str] = &[
    "network",
    "isolation",
    "workspace",
    "timeout",
    "memory",
    "cpus",
    "pids",
    "disk",
    "open_files",
    "max_output",
    "hidden",
    "shown",
    "env",
    "env_pass",
    "env_deny",
    "cap_add",
    "snapshot",
    "commit",
];
const SECTIONS: &[&str] =
    &["safety_constraints", "resource_limits", "monitoring_config", "security_config"];
const SAFETY: &[&str] =
    &["max_snapshots", "compress_snapshots", "encrypt_snapshots", "auto_cleanup_hours"];
const RETENTION: &[&str] = &["max_snapshots", "max_age", "max_bytes", "keep"];
const SNAPSHOTS: &[&str] =
    &["every", "every_operations", "changed_bytes", "before_risk", "predictive"];
const RESOURCES: &[&str] = &[
    "memory_mb",
    "cpu_percent",
    "disk_mb",
    "pids",
    "open_files",
    "max_output_mb",
    "timeout_seconds",
];
const WATCHING: &[&str] =
    &["anomaly", "remedies", "remedy_interval", "stuck_after", "read_only_below", "history"];
const HISTORY: &[&str] = &["samples", "minutes", "hours"];
const RECOVERY: &[&str] = &["emergency", "watched"];
const MONITORING: &[&str] =
    &["collection_interval", "health_check_interval", "critical_thresholds"];
const THRESHOLDS: &[&str] = &[
    "cpu_percent",
    "memory_percent",
    "disk_percent",
    "inodes_percent",
    "open_files_percent",
    "tasks_percent",
];
const SECURITY: &[&str] = &["validation_level", "require_confirmation", "audit_logging"];

const STATE: &[&str] = &["sensitive", "key"];
const STATE_KEY: &[&str] = &["file", "env", "command", "keyring"];

const SIZE: &str = "a size such as 512M, or none";
const COUNT: &str = "a whole number, or none";

/// What the paths of a file may start from.
#[derive(Clone, Copy)]
pub(crate) struct PathRoots<'p> {
    /// Where `~/` leads.
    pub(crate) home: Option<&'p Path>,
    /// The folder of a project's file: relative paths start here.
    pub(crate) project: Option<&'p Path>,
}

/// Reads a file's keys.
pub(crate) fn read(file: &FileText, roots: PathRoots<'_>) -> Result<Document, ConfigError> {
    let root = ctrlz_yaml::parse(&file.text, LIMITS)
        .map_err(|error| ConfigError::syntax(&file.path, error))?;
    let mut document = Document::default();
    for field in Field::root(&file.path, &root).fields()? {
        match field.name {
            "profile" => document.profile = Some(field.value("a profile", scalar::word)?),
            "run" => run(&field, roots, &mut document)?,
            "retention" => retention(&field, &mut document)?,
            "snapshots" => snapshots(&field, &mut document.run)?,
            "monitoring" => monitoring(&field, &mut document.run)?,
            "recovery" => recovery(&field, &mut document.run)?,
            "health" => document.health = Some(commands(&field)?),
            "setup" => document.setup = Some(commands(&field)?),
            "environment" => document.environment = environment::read(&field)?,
            "state" => state(&field, roots, &mut document)?,
            "profiles" => {
                for field in field.fields()? {
                    let Ok(profile) = field.name.parse() else {
                        return Err(field.unknown(PROFILES));
                    };
                    profile_sections(&field, profile, &mut document)?;
                }
            }
            name if RUN.contains(&name) => {
                return Err(field.unknown_with(format!("did you mean `run.{name}`?")));
            }
            name if SECTIONS.contains(&name) => {
                let advice = format!("it belongs to a profile, such as `production.{name}`");
                return Err(field.unknown_with(advice));
            }
            name => match name.parse() {
                Ok(profile) => profile_sections(&field, profile, &mut document)?,
                Err(_) => return Err(field.unknown(TOP)),
            },
        }
    }
    Ok(document)
}

fn run(section: &Field<'_>, roots: PathRoots<'_>, to: &mut Document) -> Result<(), ConfigError> {
    for field in section.fields()? {
        let run = &mut to.run;
        match field.name {
            "network" => run.network = Some(field.value("none or host", scalar::network)?),
            "isolation" => {
                run.isolation = Some(field.value("a driver or a level", scalar::word)?);
            }
            "workspace" => {
                run.workspace = Some(field.value("a workspace driver, or auto", scalar::word)?);
            }
            "timeout" => {
                run.timeout = Some(field.value("a time such as 10m, or none", scalar::limit)?);
            }
            "memory" => run.memory = Some(field.value(SIZE, scalar::limit)?),
            "cpus" => {
                let expected = "a number of processors, or none";
                run.cpus = Some(field.value(expected, scalar::limit)?);
            }
            "pids" => run.pids = Some(field.value(COUNT, scalar::limit)?),
            "disk" => run.disk = Some(field.value(SIZE, scalar::limit)?),
            "open_files" => run.open_files = Some(field.value(COUNT, scalar::limit)?),
            "max_output" => run.max_output = Some(field.value(SIZE, scalar::limit)?),
            "snapshot" => run.snapshot = Some(field.switch()?),
            "commit" => run.commit = Some(field.switch()?),
            "hidden" => to.hidden = paths(&field, roots)?,
            "shown" => to.shown = paths(&field, roots)?,
            "env" => to.env = env(&field)?,
            "env_pass" => to.env_pass = words(&field, "the name of a variable")?,
            "env_deny" => to.env_deny = words(&field, "the name of a variable")?,
            "cap_add" => to.cap_add = Some(words(&field, "a capability")?),
            _ => return Err(field.unknown(RUN)),
        }
    }
    Ok(())
}

fn commands(list: &Field<'_>) -> Result<Vec<Sourced<String>>, ConfigError> {
    list.items()?.iter().map(|item| item.value("a command", scalar::shell)).collect()
}

/// What holds whatever the profile.
fn retention(section: &Field<'_>, to: &mut Document) -> Result<(), ConfigError> {
    for field in section.fields()? {
        let run = &mut to.run;
        match field.name {
            "max_snapshots" => run.max_snapshots = Some(field.value(COUNT, scalar::limit)?),
            "max_age" => {
                let expected = "whole hours or days such as 7d, or none";
                run.auto_cleanup_hours = Some(field.value(expected, scalar::hours)?);
            }
            "max_bytes" => run.max_bytes = Some(field.value(SIZE, scalar::limit)?),
            "keep" => to.keep_tags = words(&field, "a tag")?,
            _ => return Err(field.unknown(RETENTION)),
        }
    }
    Ok(())
}

fn state(section: &Field<'_>, roots: PathRoots<'_>, to: &mut Document) -> Result<(), ConfigError> {
    for field in section.fields()? {
        match field.name {
            "sensitive" => to.sensitive = words(&field, "a pattern for keys of state")?,
            "key" => {
                for source in field.fields()? {
                    let found = key_source(&source, roots)?;
                    if to.state_key.is_some() {
                        let reason = "another place is named already; a key has one";
                        return Err(source.bad_value(reason.to_owned()));
                    }
                    to.state_key = Some(found);
                }
            }
            _ => return Err(field.unknown(STATE)),
        }
    }
    Ok(())
}

/// When snapshots are taken without being asked for.
fn snapshots(section: &Field<'_>, to: &mut Given) -> Result<(), ConfigError> {
    for field in section.fields()? {
        match field.name {
            "every" => {
                let expected = "a time such as 10m, or none";
                to.snapshot_every = Some(field.value(expected, scalar::limit)?);
            }
            "every_operations" => {
                to.snapshot_every_operations = Some(field.value(COUNT, scalar::limit)?);
            }
            "changed_bytes" => {
                to.snapshot_changed_bytes = Some(field.value(SIZE, scalar::limit)?);
            }
            "before_risk" => {
                let expected = "medium, high, critical or none";
                to.snapshot_before_risk = Some(field.value(expected, scalar::risk)?);
            }
            "predictive" => to.snapshot_predictive = Some(field.switch()?),
            _ => return Err(field.unknown(SNAPSHOTS)),
        }
    }
    Ok(())
}

/// What follows from what is seen.
fn monitoring(section: &Field<'_>, to: &mut Given) -> Result<(), ConfigError> {
    for field in section.fields()? {
        match field.name {
            "anomaly" => {
                let expected = "off, report, freeze or rollback";
                to.anomaly = Some(field.value(expected, scalar::anomaly)?);
            }
            "remedies" => to.remedies = Some(field.switch()?),
            "remedy_interval" => {
                to.remedy_interval = Some(field.value("a time such as 10m", scalar::interval)?);
            }
            "stuck_after" => {
                to.stuck_after = Some(field.value("a time such as 1m", scalar::interval)?);
            }
            "read_only_below" => to.read_only_below = Some(field.value(SIZE, scalar::limit)?),
            "history" => history(&field, to)?,
            _ => return Err(field.unknown(WATCHING)),
        }
    }
    Ok(())
}

/// For how long what was used is kept in which detail.
fn history(section: &Field<'_>, to: &mut Given) -> Result<(), ConfigError> {
    for field in section.fields()? {
        let slot = match field.name {
            "samples" => &mut to.history_samples,
            "minutes" => &mut to.history_minutes,
            "hours" => &mut to.history_hours,
            _ => return Err(field.unknown(HISTORY)),
        };
        field.put(slot, field.value("a time such as 2d", scalar::interval)?)?;
    }
    Ok(())
}

/// What follows when something is badly wrong.
fn recovery(section: &Field<'_>, to: &mut Given) -> Result<(), ConfigError> {
    for field in section.fields()? {
        match field.name {
            "emergency" => to.emergency = Some(field.value("manual or auto", scalar::word)?),
            "watched" => {
                let read = |text: &str| text.parse::<u32>().map_err(|error| error.to_string());
                to.watched = Some(field.value("a number of operations", read)?);
            }
            _ => return Err(field.unknown(RECOVERY)),
        }
    }
    Ok(())
}

fn key_source(field: &Field<'_>, roots: PathRoots<'_>) -> Result<Sourced<KeySource>, ConfigError> {
    let read = |text: &str| {
        format!("{}:{text}", field.name)
            .parse()
            .map_err(|_| format!("{} cannot be it", quoted(text)))
    };
    match field.name {
        "file" => field.value("a path", |text| path(text, roots).map(KeySource::File)),
        "env" => field.value("the name of a variable", read),
        "command" => field.value("a command of the shell", read),
        "keyring" => field.value("the name of a key in the kernel's keyrings", read),
        _ => Err(field.unknown(STATE_KEY)),
    }
}

fn profile_sections(
    of: &Field<'_>,
    profile: Profile,
    to: &mut Document,
) -> Result<(), ConfigError> {
    let given = to.profiles.entry(profile).or_default();
    for field in of.fields()? {
        match field.name {
            "safety_constraints" => safety_constraints(&field, given)?,
            "resource_limits" => resource_limits(&field, given)?,
            "monitoring_config" => monitoring_config(&field, given)?,
            "security_config" => security_config(&field, given)?,
            _ => return Err(field.unknown(SECTIONS)),
        }
    }
    Ok(())
}

fn safety_constraints(section: &Field<'_>, to: &mut Given) -> Result<(), ConfigError> {
    for field in section.fields()? {
        match field.name {
            "max_snapshots" => {
                field.put(&mut to.max_snapshots, field.value(COUNT, scalar::limit)?)?;
            }
            "compress_snapshots" => field.put(&mut to.compress_snapshots, field.switch()?)?,
            "encrypt_snapshots" => field.put(&mut to.encrypt_snapshots, field.switch()?)?,
            "auto_cleanup_hours" => {
                field.put(&mut to.auto_cleanup_hours, field.value(COUNT, scalar::limit)?)?;
            }
            _ => return Err(field.unknown(SAFETY)),
        }
    }
    Ok(())
}

fn resource_limits(section: &Field<'_>, to: &mut Given) -> Result<(), ConfigError> {
    let mebibytes = |field: &Field<'_>| field.value("a number of MiB, or none", scalar::mebibytes);
    for field in section.fields()? {
        match field.name {
            "memory_mb" => field.put(&mut to.memory, mebibytes(&field)?)?,
            "cpu_percent" => {
                let expected = "a number of percent of one processor, or none";
                field.put(&mut to.cpus, field.value(expected, scalar::cpu_percent)?)?;
            }
            "disk_mb" => field.put(&mut to.disk, mebibytes(&field)?)?,
            "pids" => field.put(&mut to.pids, field.value(COUNT, scalar::limit)?)?,
            "open_files" => field.put(&mut to.open_files, field.value(COUNT, scalar::limit)?)?,
            "max_output_mb" => field.put(&mut to.max_output, mebibytes(&field)?)?,
            "timeout_seconds" => {
                let expected = "a number of seconds, or none";
                field.put(&mut to.timeout, field.value(expected, scalar::seconds)?)?;
            }
            _ => return Err(field.unknown(RESOURCES)),
        }
    }
    Ok(())
}

fn monitoring_config(section: &Field<'_>, to: &mut Given) -> Result<(), ConfigError> {
    let interval = |field: &Field<'_>| field.value("a time such as 15s", scalar::interval);
    for field in section.fields()? {
        match field.name {
            "collection_interval" => field.put(&mut to.collection_interval, interval(&field)?)?,
            "health_check_interval" => {
                field.put(&mut to.health_check_interval, interval(&field)?)?;
            }
            "critical_thresholds" => critical_thresholds(&field, to)?,
            _ => return Err(field.unknown(MONITORING)),
        }
    }
    Ok(())
}

fn critical_thresholds(section: &Field<'_>, to: &mut Given) -> Result<(), ConfigError> {
    for field in section.fields()? {
        let slot = match field.name {
            "cpu_percent" => &mut to.critical_cpu_percent,
            "memory_percent" => &mut to.critical_memory_percent,
            "disk_percent" => &mut to.critical_disk_percent,
            "inodes_percent" => &mut to.critical_inodes_percent,
            "open_files_percent" => &mut to.critical_open_files_percent,
            "tasks_percent" => &mut to.critical_tasks_percent,
            _ => return Err(field.unknown(THRESHOLDS)),
        };
        field.put(slot, field.value("a number from 1 to 100", scalar::threshold)?)?;
    }
    Ok(())
}

fn security_config(section: &Field<'_>, to: &mut Given) -> Result<(), ConfigError> {
    for field in section.fields()? {
        match field.name {
            "validation_level" => {
                let level = field.value("relaxed, standard or strict", scalar::word)?;
                field.put(&mut to.validation_level, level)?;
            }
            "require_confirmation" => field.put(&mut to.require_confirmation, field.switch()?)?,
            "audit_logging" => {
                let logging = field.value("enabled or disabled", scalar::word)?;
                field.put(&mut to.audit_logging, logging)?;
            }
            _ => return Err(field.unknown(SECURITY)),
        }
    }
    Ok(())
}

fn words<T: std::str::FromStr>(
    list: &Field<'_>,
    expected: &'static str,
) -> Result<Vec<Sourced<T>>, ConfigError>
where
    T::Err: std::fmt::Display,
{
    list.items()?.iter().map(|item| item.value(expected, scalar::word)).collect()
}

fn env(section: &Field<'_>) -> Result<Vec<(OsString, Sourced<OsString>)>, ConfigError> {
    let mut variables = Vec::new();
    for field in section.fields()? {
        if field.name.is_empty() || field.name.contains(['=', '\0']) {
            let reason = "the name of a variable may neither be empty nor hold `=` or NUL";
            return Err(field.bad_value(reason.to_owned()));
        }
        let value = field.value("a text ('' for the empty one)", |text| {
            if text.contains('\0') {
                return Err("the value of a variable may not hold NUL".to_owned());
            }
            Ok(OsString::from(text))
        })?;
        variables.push((OsString::from(field.name), value));
    }
    Ok(variables)
}

fn paths(list: &Field<'_>, roots: PathRoots<'_>) -> Result<Vec<Sourced<PathBuf>>, ConfigError> {
    list.items()?.iter().map(|item| item.value("a path", |text| path(text, roots))).collect()
}

/// Reads a path of the host: absolute, below the home folder, or below a project's folder.
fn path(text: &str, roots: PathRoots<'_>) -> Result<PathBuf, String> {
    let wrong = |why: &str| format!("{} {why}", quoted(text));
    if text.is_empty() || text.contains('\0') {
        return Err(wrong("is not a path"));
    }
    let joined = if text == "~" || text.starts_with("~/") {
        let home = roots.home.ok_or_else(|| wrong("needs HOME, which is not set"))?;
        home.join(text.trim_start_matches('~').trim_start_matches('/'))
    } else if text.starts_with('~') {
        return Err(wrong("names another user's home; write the path out"));
    } else if text.starts_with('/') {
        PathBuf::from(text)
    } else {
        let folder = roots.project.ok_or_else(|| {
            wrong("is relative; only a project's file may hold such, write `/…` or `~/…` here")
        })?;
        folder.join(text)
    };
    if joined.components().any(|part| part == Component::ParentDir) {
        return Err(wrong("holds `..`; write the path without it"));
    }
    // Collecting drops `.`, double and trailing slashes, so that equal paths compare as equal.
    let normal: PathBuf = joined.components().collect();
    if normal.parent().is_none() {
        return Err(wrong("is the root of everything"));
    }
    Ok(normal)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn parse(text: &str) -> Result<Document, ConfigError> {
        let path = Arc::from(Path::new("f"));
        let file = FileText { path, text: text.to_owned(), id: (0, 0) };
        read(&file, PathRoots { home: None, project: None })
    }

    /// Every key that an error lists is a key that is read.
    #[test]
    fn listed_keys_exist() {
        let sections = [
            ("run", RUN),
            ("retention", RETENTION),
            ("snapshots", SNAPSHOTS),
            ("monitoring", WATCHING),
            ("monitoring: {history", HISTORY),
            ("recovery", RECOVERY),
            ("state", STATE),
            ("state: {key", STATE_KEY),
            ("production", SECTIONS),
            ("production: {safety_constraints", SAFETY),
            ("production: {resource_limits", RESOURCES),
            ("production: {monitoring_config", MONITORING),
            ("production: {monitoring_config: {critical_thresholds", THRESHOLDS),
            ("production: {security_config", SECURITY),
            ("profiles", PROFILES),
        ];
        for (section, keys) in sections {
            for key in keys {
                // A nested list is of no key's type.
                let closing = "}".repeat(section.matches('{').count());
                let text = format!("{section}: {{{key}: [[x]]}}{closing}");
                let error = parse(&text).expect_err(&text);
                assert!(matches!(error, ConfigError::WrongType { .. }), "{text}: {error}");
            }
        }
        for key in TOP {
            assert!(matches!(parse(&format!("{key}: [[x]]")), Err(ConfigError::WrongType { .. })));
        }
    }

    #[test]
    fn reads_paths() {
        let roots = PathRoots { home: Some(Path::new("/home/u")), project: Some(Path::new("/p")) };
        let read = |text: &str| path(text, roots);
        assert_eq!(read("~/.ssh/"), Ok(PathBuf::from("/home/u/.ssh")));
        assert_eq!(read("~"), Ok(PathBuf::from("/home/u")));
        assert_eq!(read("/a//b/./c"), Ok(PathBuf::from("/a/b/c")));
        assert_eq!(read("./.env"), Ok(PathBuf::from("/p/.env")));
        assert_eq!(
            read("~bob/x").unwrap_err(),
            "`~bob/x` names another user's home; write the path out"
        );
        assert_eq!(read("~/../x").unwrap_err(), "`~/../x` holds `..`; write the path without it");
        assert_eq!(read("//").unwrap_err(), "`//` is the root of everything");
        let nowhere = PathRoots { home: None, project: None };
        assert_eq!(path("~/x", nowhere).unwrap_err(), "`~/x` needs HOME, which is not set");
        assert!(path("x", nowhere).unwrap_err().contains("is relative"));
    }
}

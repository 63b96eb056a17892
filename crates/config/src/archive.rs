//! `archive.yaml`: where snapshots are archived, and how.
//!
//! It stands beside `ctrlz.yaml` of the user and of the host, and nowhere else: it sends what is in
//! sandboxes elsewhere and names keys, so a project has no say in it. Each key is the user's where
//! both files have it.
//!
//! ```yaml
//! place: /backup/ctrlz            # a directory; `archive` in the store when left out
//! copies: [s3://bucket/prefix]    # where each snapshot is sent as well: gs://, az://, registry://HOST/NAME
//! compression: zstd:3             # zstd:1 to 19, gzip:1 to 9, or none
//! identities: [~/.ssh/id_ed25519] # what opens an encrypted archive: files of age or SSH keys
//! passphrase: { file: /etc/ctrlz/archive.passphrase }   # or { env: NAME }
//! before_high_risk: changes       # what is archived before a command of high risk: changes, full or off
//! snapshots: none                 # which ones are archived by themselves: none, all, or some of
//!                                 # [tagged, manual, known-good]
//! drill_every: off                # how often the newest one of each sandbox is drilled by itself
//! keep_automatic: 20              # of each sandbox, so many that nobody asked for stay; or none: all
//! ```

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use ctrlz_core::sink::SecretSource;
use ctrlz_core::span::Span;

use crate::beside::{each_field, nonempty, secret};
use crate::error::ConfigError;
use crate::places::Places;
use crate::reader::Field;
use crate::scalar::interval;

/// The file's name.
pub(crate) const FILE_NAME: &str = "archive.yaml";
const LIMITS: ctrlz_yaml::Limits =
    ctrlz_yaml::Limits { noun: "archive's settings", most_nodes: 4096 };
const KEYS: [&str; 9] = [
    "place",
    "copies",
    "compression",
    "identities",
    "passphrase",
    "before_high_risk",
    "snapshots",
    "drill_every",
    "keep_automatic",
];

/// How many snapshots that nobody asked for stay in the archive, of each sandbox.
const KEEP_AUTOMATIC: NonZeroU32 = NonZeroU32::new(20).unwrap();

/// Where and how snapshots are archived, as far as somebody said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveConfig {
    /// The directory.
    pub place: Option<PathBuf>,
    /// Addresses of further places.
    pub copies: Vec<String>,
    /// How layers are compressed.
    pub compression: Option<Compression>,
    /// Files with keys that open an encrypted archive.
    pub identities: Vec<PathBuf>,
    /// The passphrase of an encrypted archive.
    pub passphrase: Option<SecretSource>,
    /// What is archived before a command of high risk.
    pub before_high_risk: BeforeHighRisk,
    /// Which snapshots are archived by themselves: those that one of these words is for.
    pub snapshots: BTreeSet<Archived>,
    /// How often the newest archived snapshot of each sandbox is drilled by itself.
    pub drill_every: Option<Span>,
    /// How many snapshots that were archived without being asked for stay in the archive, of each
    /// sandbox; `None` for any number.
    pub keep_automatic: Option<NonZeroU32>,
}

impl Default for ArchiveConfig {
    fn default() -> Self {
        Self {
            place: None,
            copies: Vec::new(),
            compression: None,
            identities: Vec::new(),
            passphrase: None,
            before_high_risk: BeforeHighRisk::default(),
            snapshots: BTreeSet::new(),
            drill_every: None,
            keep_automatic: Some(KEEP_AUTOMATIC),
        }
    }
}

/// Which snapshots are archived by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Archived {
    /// Those with a tag, whichever.
    Tagged,
    /// Those that a user took.
    Manual,
    /// Those that are known to be good.
    KnownGood,
    /// Each one.
    All,
}

impl std::str::FromStr for Archived {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "tagged" => Ok(Self::Tagged),
            "manual" => Ok(Self::Manual),
            "known-good" => Ok(Self::KnownGood),
            "all" => Ok(Self::All),
            _ => {
                Err("expected tagged, manual, known-good or all, or a list of them; or none"
                    .to_owned())
            }
        }
    }
}

/// What is archived, and verified, before a command of high risk begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BeforeHighRisk {
    /// What the sandbox changed, and its state; the folder, too, when the command's changes go to
    /// it at once.
    #[default]
    Changes,
    /// The folder, too.
    Full,
    /// Nothing.
    Off,
}

/// How layers are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// zstd, level 1 to 19.
    Zstd(i32),
    /// gzip, level 1 to 9.
    Gzip(u32),
    /// Not at all.
    None,
}

impl std::str::FromStr for Compression {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let refuse =
            || "expected zstd, zstd:1 to zstd:19, gzip, gzip:1 to gzip:9, or none".to_owned();
        let (word, level) = match text.split_once(':') {
            Some((word, level)) => (word, Some(level.parse::<u8>().map_err(|_| refuse())?)),
            None => (text, None),
        };
        match (word, level) {
            ("none", None) => Ok(Self::None),
            ("zstd", None) => Ok(Self::Zstd(3)),
            ("zstd", Some(level @ 1..=19)) => Ok(Self::Zstd(level.into())),
            ("gzip", None) => Ok(Self::Gzip(6)),
            ("gzip", Some(level @ 1..=9)) => Ok(Self::Gzip(level.into())),
            _ => Err(refuse()),
        }
    }
}

/// Reads what the host and the user say about the archive.
///
/// # Errors
/// When a file exists but cannot be read, or holds something else. No file is no error.
pub fn archive(places: &Places) -> Result<ArchiveConfig, ConfigError> {
    let mut config = ArchiveConfig::default();
    let home = places.home.as_deref();
    each_field(places, FILE_NAME, LIMITS, |field, folder| {
        read(field, (folder, home), &mut config)
    })?;
    Ok(config)
}

fn read(
    field: &Field<'_>,
    (folder, home): (&Path, Option<&Path>),
    config: &mut ArchiveConfig,
) -> Result<(), ConfigError> {
    let path = |field: &Field<'_>| -> Result<PathBuf, ConfigError> {
        let text = field.value("a path", nonempty)?.value;
        match text.strip_prefix("~/") {
            Some(rest) => match home {
                Some(home) => Ok(home.join(rest)),
                None => Err(field.bad_value("HOME is not set, so `~` leads nowhere".to_owned())),
            },
            // A relative one is beside the file, wherever somebody stands.
            None => Ok(folder.join(text)),
        }
    };
    match field.name {
        "place" => config.place = Some(path(field)?),
        "copies" => {
            config.copies.clear();
            for item in field.items()? {
                config.copies.push(item.value("an address", nonempty)?.value);
            }
        }
        "compression" => {
            let read = |text: &str| text.parse::<Compression>();
            config.compression = Some(field.value("a compression", read)?.value);
        }
        "before_high_risk" => {
            let read = |text: &str| match text {
                "changes" => Ok(BeforeHighRisk::Changes),
                "full" => Ok(BeforeHighRisk::Full),
                "off" => Ok(BeforeHighRisk::Off),
                _ => Err("expected changes, full or off".to_owned()),
            };
            config.before_high_risk = field.value("a word", read)?.value;
        }
        "snapshots" => config.snapshots = archived(field)?,
        "drill_every" => {
            let read = |text: &str| match text {
                "off" => Ok(None),
                text => interval(text).map(Some),
            };
            config.drill_every = field.value("a time such as 7d, or off", read)?.value;
        }
        "keep_automatic" => {
            let read = |text: &str| match (text, text.parse()) {
                ("none", _) => Ok(None),
                (_, Ok(number)) => Ok(Some(number)),
                _ => Err("expected a number from 1 on, or none to keep all".to_owned()),
            };
            config.keep_automatic = field.value("a number", read)?.value;
        }
        "identities" => {
            config.identities.clear();
            for item in field.items()? {
                config.identities.push(path(&item)?);
            }
        }
        "passphrase" => config.passphrase = Some(secret(field, "passphrase", path)?),
        _ => return Err(field.unknown(&KEYS)),
    }
    Ok(())
}

/// A word, or a list of words.
fn archived(field: &Field<'_>) -> Result<BTreeSet<Archived>, ConfigError> {
    let read = |text: &str| match text {
        "none" => Ok(None),
        text => text.parse().map(Some),
    };
    let item = |item: &Field<'_>| Ok(item.value("a word", str::parse)?.value);
    match field.items() {
        Ok(items) => items.iter().map(item).collect(),
        Err(_) => Ok(field.value("a word or a list of words", read)?.value.into_iter().collect()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn read(text: &str) -> Result<ArchiveConfig, ConfigError> {
        let dir = tempfile::tempdir().expect("temporary directory");
        std::fs::write(dir.path().join(FILE_NAME), text).expect("write");
        archive(&Places {
            etc: dir.path().join("none/ctrlz.yaml"),
            user: Some(dir.path().join("ctrlz.yaml")),
            workdir: dir.path().to_owned(),
            home: Some("/home/me".into()),
        })
    }

    #[test]
    fn everything_is_read() {
        let text = "
place: /backup
copies: [s3://bucket/x, registry://localhost:5000/y]
compression: gzip:9
identities: [~/.ssh/id_ed25519]
passphrase: { env: SECRET }
before_high_risk: full
snapshots: [manual, known-good]
drill_every: 7d
keep_automatic: 3
";
        let found = read(text).expect("good");
        assert_eq!(found.place.as_deref(), Some(Path::new("/backup")));
        assert_eq!(found.copies, ["s3://bucket/x", "registry://localhost:5000/y"]);
        assert_eq!(found.compression, Some(Compression::Gzip(9)));
        assert_eq!(found.identities, [PathBuf::from("/home/me/.ssh/id_ed25519")]);
        assert_eq!(found.passphrase, Some(SecretSource::Variable("SECRET".to_owned())));
        assert_eq!(found.before_high_risk, BeforeHighRisk::Full);
        assert_eq!(found.snapshots, BTreeSet::from([Archived::Manual, Archived::KnownGood]));
        assert_eq!(found.drill_every, Some(Span(Duration::from_secs(7 * 86_400))));
        assert_eq!(found.keep_automatic, NonZeroU32::new(3));
        let found = read("passphrase: { file: secret }\ncompression: none").expect("good");
        assert_eq!(found.snapshots, BTreeSet::new());
        assert_eq!((found.drill_every, found.keep_automatic), (None, Some(KEEP_AUTOMATIC)));
        assert_eq!(found.before_high_risk, BeforeHighRisk::Changes);
        let Some(SecretSource::File(file)) = found.passphrase else { panic!("a file") };
        assert!(file.is_absolute() && file.ends_with("secret"), "{file:?}");
        assert_eq!(found.compression, Some(Compression::None));
    }

    #[test]
    fn what_is_archived_by_itself_is_a_word_or_a_list() {
        let snapshots = |text: &str| read(&format!("snapshots: {text}")).expect(text).snapshots;
        assert_eq!(snapshots("none"), BTreeSet::new());
        assert_eq!(snapshots("[]"), BTreeSet::new());
        assert_eq!(snapshots("tagged"), BTreeSet::from([Archived::Tagged]));
        assert_eq!(snapshots("[all, tagged]"), BTreeSet::from([Archived::All, Archived::Tagged]));
        let found = read("drill_every: off\nkeep_automatic: none").expect("good");
        assert_eq!((found.drill_every, found.keep_automatic), (None, None));
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        for (text, expected) in [
            ("plcae: /x", "1:1: plcae: unknown key; did you mean `place`?"),
            ("compression: zstd:20", "zstd:1 to zstd:19"),
            ("compression: none:1", "or none"),
            ("before_high_risk: on", "changes, full or off"),
            ("passphrase: abc", "expected a mapping"),
            ("passphrase: {file: a, env: b}", "expected either"),
            ("place: ''", "expected more than nothing"),
            ("snapshots: some", "1:12: snapshots: expected tagged, manual, known-good or all"),
            ("snapshots: [manual, none]", "1:21: snapshots[1]: expected tagged"),
            ("snapshots: {}", "expected a word or a list of words"),
            ("drill_every: often", "1:14: drill_every"),
            ("drill_every: 10ms", "less than a second"),
            ("keep_automatic: 0", "a number from 1 on, or none to keep all"),
            ("keep_automatic: -1", "1:17: keep_automatic: expected a number"),
        ] {
            let error = read(text).expect_err(text).to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}

//! What a project needs inside: tools, interpreters, a locale, writable places.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::entry::Sourced;
use crate::error::{ConfigError, quoted};
use crate::reader::Field;

/// What must be there inside for commands to be of use.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Environment {
    /// Programs that `PATH` must lead to.
    pub tools: Vec<String>,
    /// Programs that tell a version, and which ones will do.
    pub interpreters: Vec<(String, VersionRange)>,
    /// The locale that must be there.
    pub locale: Option<String>,
    /// Places that must be writable: as seen inside, relative ones from the workspace.
    pub writable: Vec<String>,
}

impl Environment {
    /// Whether nothing is asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Versions that will do: comparisons that must all hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRange(Vec<(Comparison, Version)>);

/// Numbers with dots between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version(Vec<u64>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    AtLeast,
    Above,
    AtMost,
    Below,
    Exactly,
}

impl Comparison {
    const ALL: [(&'static str, Self); 5] = [
        (">=", Self::AtLeast),
        ("<=", Self::AtMost),
        (">", Self::Above),
        ("<", Self::Below),
        ("=", Self::Exactly),
    ];
}

/// Why a text is no range of versions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no range of versions: expected such as 3.10 (or newer), or >=3.10,<4")]
pub struct VersionRangeError(String);

impl Version {
    /// The first version in what a program prints: numbers with at least one dot between them, else
    /// the first number.
    #[must_use]
    pub fn find(text: &str) -> Option<Self> {
        let words = || {
            text.split(|c: char| !c.is_ascii_digit() && c != '.')
                .map(|word| word.trim_matches('.'))
                .filter(|word| !word.is_empty())
        };
        words().filter(|word| word.contains('.')).chain(words()).find_map(|word| word.parse().ok())
    }

    /// Compares as far as `other` tells: 3.10.4 equals 3.10.
    fn compare(&self, other: &Self) -> Ordering {
        let own = self.0.iter().copied().chain(std::iter::repeat(0));
        own.zip(&other.0)
            .map(|(own, other)| own.cmp(other))
            .find(|o| o.is_ne())
            .unwrap_or(Ordering::Equal)
    }
}

impl FromStr for Version {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let numbers = text.split('.').map(|part| part.parse().map_err(drop));
        Ok(Self(numbers.collect::<Result<_, _>>()?))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.0.iter().map(u64::to_string).collect();
        f.write_str(&parts.join("."))
    }
}

impl VersionRange {
    /// Whether `version` will do.
    #[must_use]
    pub fn holds(&self, version: &Version) -> bool {
        self.0.iter().all(|(comparison, wanted)| {
            let order = version.compare(wanted);
            match comparison {
                Comparison::AtLeast => order.is_ge(),
                Comparison::Above => order.is_gt(),
                Comparison::AtMost => order.is_le(),
                Comparison::Below => order.is_lt(),
                Comparison::Exactly => order.is_eq(),
            }
        })
    }
}

impl FromStr for VersionRange {
    type Err = VersionRangeError;
    fn from_str(text: &str) -> Result<Self, VersionRangeError> {
        let refuse = || VersionRangeError(quoted(text));
        let part = |part: &str| {
            let part = part.trim();
            let known = Comparison::ALL.iter().find(|(sign, _)| part.starts_with(sign));
            let (comparison, rest) = match known {
                Some((sign, comparison)) => (*comparison, part.get(sign.len()..)?),
                None => (Comparison::AtLeast, part),
            };
            Some((comparison, rest.trim().parse().ok()?))
        };
        let parts: Option<Vec<_>> = text.split(',').map(part).collect();
        parts.map(Self).ok_or_else(refuse)
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign =
            |wanted| Comparison::ALL.iter().find(|(_, c)| *c == wanted).map_or("", |(s, _)| s);
        let parts: Vec<String> = self.0.iter().map(|(c, v)| format!("{}{v}", sign(*c))).collect();
        f.write_str(&parts.join(","))
    }
}

impl Serialize for VersionRange {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// What one source says of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct GivenEnvironment {
    pub(crate) tools: Option<Vec<Sourced<String>>>,
    pub(crate) interpreters: Option<Vec<(String, Sourced<VersionRange>)>>,
    pub(crate) locale: Option<Sourced<String>>,
    pub(crate) writable: Option<Vec<Sourced<String>>>,
}

const KEYS: &[&str] = &["tools", "interpreters", "locale", "writable"];

/// Reads the section.
pub(crate) fn read(section: &Field<'_>) -> Result<GivenEnvironment, ConfigError> {
    let mut to = GivenEnvironment::default();
    for field in section.fields()? {
        match field.name {
            "tools" => {
                let items = field.items()?;
                let read = items.iter().map(|item| item.value("the name of a program", name));
                to.tools = Some(read.collect::<Result<_, _>>()?);
            }
            "interpreters" => {
                let mut list = Vec::new();
                for field in field.fields()? {
                    let program = name(field.name).map_err(|reason| field.bad_value(reason))?;
                    let range = field.value("a range of versions such as >=3.10", |text| {
                        text.parse().map_err(|error: VersionRangeError| error.to_string())
                    })?;
                    list.push((program, range));
                }
                to.interpreters = Some(list);
            }
            "locale" => to.locale = Some(field.value("a locale such as C.UTF-8", name)?),
            "writable" => {
                let items = field.items()?;
                let read = items.iter().map(|item| item.value("a path", place));
                to.writable = Some(read.collect::<Result<_, _>>()?);
            }
            _ => return Err(field.unknown(KEYS)),
        }
    }
    Ok(to)
}

impl GivenEnvironment {
    /// Lets a stronger source override, key by key.
    pub(crate) fn apply(&mut self, stronger: &Self) {
        fn over<T: Clone>(weaker: &mut Option<T>, stronger: &Option<T>) {
            if stronger.is_some() {
                weaker.clone_from(stronger);
            }
        }
        over(&mut self.tools, &stronger.tools);
        over(&mut self.interpreters, &stronger.interpreters);
        over(&mut self.locale, &stronger.locale);
        over(&mut self.writable, &stronger.writable);
    }

    pub(crate) fn plain(&self) -> Environment {
        let texts = |list: &Option<Vec<Sourced<String>>>| -> Vec<String> {
            list.iter().flatten().map(|item| item.value.clone()).collect()
        };
        let interpreters = self.interpreters.iter().flatten();
        Environment {
            tools: texts(&self.tools),
            interpreters: interpreters.map(|(p, range)| (p.clone(), range.value.clone())).collect(),
            locale: self.locale.as_ref().map(|locale| locale.value.clone()),
            writable: texts(&self.writable),
        }
    }
}

/// A word that means nothing special to a shell.
fn name(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._+-@".contains(c);
    match !text.is_empty() && !text.starts_with('-') && text.chars().all(plain) {
        true => Ok(text.to_owned()),
        false => Err(format!("{} is no name: letters, digits and ._+-@ only", quoted(text))),
    }
}

fn place(text: &str) -> Result<String, String> {
    match text.is_empty() || text.contains(['\0', '\n', '\'']) {
        true => Err(format!("{} is no place", quoted(text))),
        false => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().expect("a version")
    }

    #[test]
    fn ranges_compare_as_far_as_they_tell() {
        for (range, found, expected) in [
            ("3.10", "3.10", true),
            ("3.10", "3.9.19", false),
            ("3.10", "3.11", true),
            (">=3.10,<4", "4.0", false),
            (">=3.10,<4", "3.12.1", true),
            ("=18", "18.4.1", true),
            ("=18", "19", false),
            (">3", "3.9", false),
            ("<=2.1", "2.1.9", true),
            ("1.2.3", "1.2", false),
        ] {
            let parsed: VersionRange = range.parse().expect("a range");
            assert_eq!(parsed.holds(&version(found)), expected, "{range} {found}");
            assert_eq!(parsed.to_string().parse(), Ok(parsed));
        }
        for bad in ["", "x", ">=", "1..2", "1,", "~1"] {
            assert!(bad.parse::<VersionRange>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_version_is_found_in_what_programs_print() {
        for (text, found) in [
            ("Python 3.11.2", "3.11.2"),
            ("v18.19.0", "18.19.0"),
            ("This is perl 5, version 36, subversion 0 (v5.36.0) built", "5.36.0"),
            ("ruby 3.1.2p20 (2022-04-12)", "3.1.2"),
            ("go version go1.22.1 linux/amd64", "1.22.1"),
            ("openjdk 17", "17"),
        ] {
            assert_eq!(Version::find(text), Some(version(found)), "{text}");
        }
        assert_eq!(Version::find("none at all."), None);
    }

    #[test]
    fn names_are_words() {
        assert!(name("g++-12").is_ok() && name("C.UTF-8").is_ok());
        for bad in ["", "a b", "$(x)", "-x", "a;b", "a/b"] {
            assert!(name(bad).is_err(), "{bad}");
        }
    }
}

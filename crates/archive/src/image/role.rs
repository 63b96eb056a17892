//! What ctrlz writes about images and layers, and the names that images may have.

use std::fmt;
use std::str::FromStr;

use crate::{ArchiveError, Descriptor};

/// The names of annotations.
pub mod annotation {
    /// The name of an image in a layout (OCI).
    pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
    /// When the image was made (OCI), RFC 3339.
    pub const CREATED: &str = "org.opencontainers.image.created";
    /// What a layer of a snapshot is: the word of a [`super::Role`].
    pub const LAYER: &str = "dev.ctrlz.layer";
    /// A layer's name in the store.
    pub const LAYER_ID: &str = "dev.ctrlz.layer.id";
    /// Which data key a blob is encrypted to.
    pub const KEY: &str = "dev.ctrlz.key";
    /// How many things could not be kept in a snapshot.
    pub const LOSSES: &str = "dev.ctrlz.losses";
    /// Whether a data key is the one for what is written from now on.
    pub const KEY_CURRENT: &str = "dev.ctrlz.key.current";
}

/// What a layer of a snapshot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// What the snapshot is, and the listing that it is checked with.
    Record,
    /// The state's entries.
    State,
    /// The live folder, or what changed in it since.
    Base,
    /// A sealed layer of the sandbox.
    Sealed,
}

impl Role {
    /// All of them, lowest first.
    pub const ALL: [Self; 4] = [Self::Record, Self::State, Self::Base, Self::Sealed];

    /// Its word in the annotation [`annotation::LAYER`].
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::State => "state",
            Self::Base => "base",
            Self::Sealed => "sealed",
        }
    }

    /// The role that a descriptor tells of; `None` when it is no layer of a snapshot.
    ///
    /// # Errors
    /// When the word is unknown, as that of a newer ctrlz.
    pub fn of(layer: &Descriptor) -> Result<Option<Self>, ArchiveError> {
        let Some(word) = layer.annotations.get(annotation::LAYER) else { return Ok(None) };
        Self::ALL.into_iter().find(|role| role.word() == word).map(Some).ok_or_else(|| {
            let why = format!("layer {} is of a kind unknown here: `{word}`", layer.digest);
            ArchiveError::malformed("the manifest", why)
        })
    }
}

/// The roles of a snapshot's layers, checked: one record, then at most one state, then bases, then
/// sealed layers.
///
/// # Errors
/// When a layer has no role, or they stand in another order.
pub fn roles_in_order(layers: &[Descriptor]) -> Result<Vec<Role>, ArchiveError> {
    let refuse = |why: String| ArchiveError::malformed("the manifest", why);
    let mut roles: Vec<Role> = Vec::with_capacity(layers.len());
    for layer in layers {
        let role = Role::of(layer)?.ok_or_else(|| {
            refuse(format!("layer {} does not say which part of a snapshot it is", layer.digest))
        })?;
        let fits = match (roles.last(), role) {
            (None, role) => role == Role::Record,
            (Some(_), Role::Record) => false,
            (Some(last), Role::State) => *last == Role::Record,
            (Some(last), role) => *last <= role,
        };
        if !fits {
            let word = role.word();
            return Err(refuse(format!(
                "layer {} ({word}) stands in the wrong place",
                layer.digest
            )));
        }
        roles.push(role);
    }
    if roles.is_empty() {
        return Err(refuse("it has no layer with the snapshot's record".to_owned()));
    }
    Ok(roles)
}

/// The name of an image in a place, as registries allow it: a letter, digit or `_`, then up to 127
/// of these, `.` and `-` (OCI distribution specification).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(String);

impl Tag {
    /// The name of snapshot `number` of `sandbox`; characters that no registry allows become `_`.
    ///
    /// # Errors
    /// When it is too long.
    pub fn of_snapshot(sandbox: &str, number: u64) -> Result<Self, ArchiveError> {
        let allowed = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
        let sandbox: String = sandbox.chars().map(allowed).collect();
        let start = if sandbox.starts_with('-') { "_" } else { "" };
        format!("{start}{sandbox}.snap-{number}").parse()
    }

    /// Whether a name looks like one of [`Self::of_snapshot`].
    #[must_use]
    pub fn is_of_snapshot(name: &str) -> bool {
        let number = name.rsplit_once(".snap-").map(|(_, number)| number);
        number.is_some_and(|number| number.parse::<u64>().is_ok())
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tag {
    type Err = ArchiveError;
    fn from_str(text: &str) -> Result<Self, ArchiveError> {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let mut bytes = text.bytes();
        let valid = bytes.next().is_some_and(word)
            && bytes.all(|byte| word(byte) || matches!(byte, b'.' | b'-'))
            && text.len() <= 128;
        if valid {
            return Ok(Self(text.to_owned()));
        }
        let why = "a name has 1 to 128 letters, digits, `_`, `.` and `-` and begins with none of the last two";
        Err(ArchiveError::malformed("a name", format!("`{}`: {why}", text.escape_debug())))
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{describe, media};

    fn told(words: &[&str]) -> String {
        let layer = |word: &&str| {
            let mut layer = describe(media::TAR, word.as_bytes());
            if !word.is_empty() {
                layer.annotations.insert(annotation::LAYER.to_owned(), (*word).to_owned());
            }
            layer
        };
        let layers: Vec<Descriptor> = words.iter().map(layer).collect();
        roles_in_order(&layers).map_or_else(|error| error.to_string(), |_| "taken".to_owned())
    }

    #[test]
    fn layers_stand_in_one_order() {
        for good in [
            &["record"][..],
            &["record", "state"],
            &["record", "sealed", "sealed"],
            &["record", "state", "base", "base", "sealed"],
        ] {
            assert_eq!(told(good), "taken", "{good:?}");
        }
        for bad in [
            &["state", "record"][..],
            &["record", "record"],
            &["record", "state", "state"],
            &["record", "base", "state"],
            &["record", "sealed", "base"],
            &["base"],
        ] {
            assert!(told(bad).contains("stands in the wrong place"), "{bad:?}: {}", told(bad));
        }
        assert!(told(&[]).contains("no layer with the snapshot's record"));
        assert!(told(&["record", ""]).contains("does not say which part"));
        assert!(told(&["record", "new"]).contains("a kind unknown here: `new`"));
    }

    #[test]
    fn names_are_ones_that_registries_allow() {
        let name = |sandbox: &str| Tag::of_snapshot(sandbox, 7).map(|tag| tag.to_string());
        assert_eq!(name("box").expect("a name"), "box.snap-7");
        assert_eq!(name("-my box/ä").expect("a name"), "_-my_box__.snap-7");
        name(&"x".repeat(128)).expect_err("too long");
        for bad in ["", ".a", "-a", "a b", "a/b", "a:b", "ä"] {
            bad.parse::<Tag>().expect_err(bad);
        }
    }
}

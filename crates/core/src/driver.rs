//! Isolation drivers and levels by name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An isolation driver: what keeps a command apart from the rest of the host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Driver {
    /// Namespaces and filters of this kernel, which ctrlz sets up by itself.
    #[default]
    Native,
    /// A runtime of the Open Container Initiative, by its command line.
    Oci(Runtime),
    /// Podman, by its API, with the image that the command sees as its root.
    Podman(Option<Image>),
    /// Docker, by its API, with the image that the command sees as its root.
    Docker(Option<Image>),
    /// A container of containerd, by its API.
    Containerd(Shim),
    /// A WebAssembly virtual machine.
    Wasm,
    /// A transient unit of systemd.
    Systemd,
}

/// The runtimes that are found by their names alone.
pub const RUNTIMES: [&str; 4] = ["runc", "crun", "youki", "runsc"];

/// By what containerd runs a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shim {
    /// runc: namespaces of this kernel.
    Runc,
    /// Kata Containers: a virtual machine for each container.
    Kata,
}

impl Shim {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Runc, Self::Kata];

    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Runc => "runc",
            Self::Kata => "kata",
        }
    }

    /// What containerd calls it.
    #[must_use]
    pub fn runtime(self) -> &'static str {
        match self {
            Self::Runc => "io.containerd.runc.v2",
            Self::Kata => "io.containerd.kata.v2",
        }
    }
}

/// An OCI runtime: one of [`RUNTIMES`], which is looked for in `PATH`, or the absolute path of a program.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Runtime(String);

impl Runtime {
    /// The name or the path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is a program at some place, not one of the known ones by its name.
    #[must_use]
    pub fn is_place(&self) -> bool {
        self.0.starts_with('/')
    }

    /// What the program is called.
    #[must_use]
    pub fn program(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }
}

/// An image of a container engine, as the engine is asked for it: `debian:12`,
/// `localhost:5000/tools@sha256:…`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Image(String);

impl Image {
    /// The reference.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Image {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-/:@+".contains(c);
        let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        let fits = begins && text.len() <= 512 && text.chars().all(is_plain);
        fits.then(|| Self(text.to_owned())).ok_or(())
    }
}

impl Driver {
    /// The image that an engine is to use.
    #[must_use]
    pub fn image(&self) -> Option<&Image> {
        match self {
            Self::Podman(image) | Self::Docker(image) => image.as_ref(),
            _ => None,
        }
    }

    /// Whether its full name ends with an image.
    #[must_use]
    pub fn takes_image(&self) -> bool {
        matches!(self, Self::Podman(_) | Self::Docker(_))
    }
}

/// How strongly a command is isolated, by name. Which driver that is, the host decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// For development: containers without root.
    Dev,
    /// For production: a kernel of its own in a virtual machine.
    Standard,
    /// For what is trusted least: a kernel in user space behind a strict filter.
    Strict,
}

impl Level {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Dev, Self::Standard, Self::Strict];

    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Standard => "standard",
            Self::Strict => "strict",
        }
    }
}

/// What was asked for: a level or a driver.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Isolation {
    /// The best driver of that level which works here.
    Level(Level),
    /// That very driver.
    Driver(Driver),
}

impl Default for Isolation {
    fn default() -> Self {
        Self::Driver(Driver::default())
    }
}

/// A text that names no driver and no level.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no isolation: write native, oci:RUNTIME (runc, crun, youki, runsc or the absolute path of \
     one), engine:podman:IMAGE, engine:docker:IMAGE, containerd:runc, containerd:kata, wasm or systemd, or one of \
     the levels dev, standard and strict"
)]
pub struct UnknownIsolation(String);

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Native => f.write_str("native"),
            Self::Oci(runtime) => write!(f, "oci:{}", runtime.0),
            Self::Podman(None) => f.write_str("engine:podman"),
            Self::Podman(Some(image)) => write!(f, "engine:podman:{}", image.0),
            Self::Docker(None) => f.write_str("engine:docker"),
            Self::Docker(Some(image)) => write!(f, "engine:docker:{}", image.0),
            Self::Containerd(shim) => write!(f, "containerd:{}", shim.word()),
            Self::Wasm => f.write_str("wasm"),
            Self::Systemd => f.write_str("systemd"),
        }
    }
}

impl FromStr for Driver {
    type Err = UnknownIsolation;
    fn from_str(text: &str) -> Result<Self, UnknownIsolation> {
        let unknown = || UnknownIsolation(text.chars().take(60).collect());
        Ok(match text {
            "native" => Self::Native,
            "engine:podman" => Self::Podman(None),
            "engine:docker" => Self::Docker(None),
            "wasm" => Self::Wasm,
            "systemd" => Self::Systemd,
            _ => {
                let image = |text: &str| text.parse().map_err(|()| unknown()).map(Some);
                if let Some(reference) = text.strip_prefix("engine:podman:") {
                    return Ok(Self::Podman(image(reference)?));
                }
                if let Some(reference) = text.strip_prefix("engine:docker:") {
                    return Ok(Self::Docker(image(reference)?));
                }
                if let Some(word) = text.strip_prefix("containerd:") {
                    let shim = Shim::ALL.into_iter().find(|shim| shim.word() == word);
                    return Ok(Self::Containerd(shim.ok_or_else(unknown)?));
                }
                let runtime = text.strip_prefix("oci:").ok_or_else(unknown)?;
                Self::Oci(runtime.parse().map_err(|()| unknown())?)
            }
        })
    }
}

impl FromStr for Runtime {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-/+".contains(c);
        let is_place = text.starts_with('/') && !text.split('/').any(|part| part == "..");
        let ends_in_name = text.ends_with(|c: char| c.is_ascii_alphanumeric());
        let is_program = is_place && ends_in_name && text.chars().all(is_plain);
        (is_program || RUNTIMES.contains(&text)).then(|| Self(text.to_owned())).ok_or(())
    }
}

impl fmt::Display for Isolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Level(level) => f.write_str(level.word()),
            Self::Driver(driver) => driver.fmt(f),
        }
    }
}

impl FromStr for Isolation {
    type Err = UnknownIsolation;
    fn from_str(text: &str) -> Result<Self, UnknownIsolation> {
        match Level::ALL.into_iter().find(|level| level.word() == text) {
            Some(level) => Ok(Self::Level(level)),
            None => Ok(Self::Driver(text.parse()?)),
        }
    }
}

macro_rules! as_text {
    ($kind:ty) => {
        impl Serialize for $kind {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $kind {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

as_text!(Driver);
as_text!(Isolation);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for text in [
            "native",
            "oci:runc",
            "oci:/usr/local/bin/youki",
            "engine:podman",
            "engine:docker",
            "engine:podman:debian:12",
            "engine:docker:localhost:5000/team/tools@sha256:00ff",
            "containerd:runc",
            "containerd:kata",
            "wasm",
            "systemd",
            "dev",
            "standard",
            "strict",
        ] {
            assert_eq!(text.parse::<Isolation>().map(|read| read.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn what_is_no_name_is_told() {
        for text in ["", "oci", "oci:", "oci:a/b", "oci:/a/../b", "oci:-x", "oci:/", "oci:sh", "vm"]
            .into_iter()
            .chain([
                "containerd:",
                "containerd:crun",
                "oci:kata-runtime",
                "engine:",
                "engine:podman:",
                "engine:docker:-x",
                "engine:podman:a b",
            ])
        {
            let error = text.parse::<Isolation>().expect_err(text).to_string();
            assert!(error.starts_with(&format!("`{text}` is no isolation")), "{error}");
        }
    }
}

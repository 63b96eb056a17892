//! Which machine an image is for.

use serde::{Deserialize, Serialize};

/// Which machine an image is for (OCI image index, `platform`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Platform {
    /// The processor, by Go's name: `amd64`, `arm64`, ….
    pub architecture: String,
    /// The operating system, by Go's name.
    pub os: String,
    /// Which kind of the processor: `v8`, ….
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// The one that this program runs on.
    #[must_use]
    pub fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            "riscv64gc" => "riscv64",
            "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
            other => other,
        };
        Self { architecture: architecture.to_owned(), os: "linux".to_owned(), variant: None }
    }

    /// Whether an image for `self` runs on `host`. A variant that only one of both names does not
    /// matter.
    #[must_use]
    pub fn fits(&self, host: &Self) -> bool {
        let variants = self.variant.as_ref().zip(host.variant.as_ref());
        self.architecture == host.architecture
            && self.os == host.os
            && variants.is_none_or(|(own, hosts)| own == hosts)
    }

    /// Whether this marks something that is no image at all: the attestations that build tools lay
    /// beside images.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.architecture == "unknown" && self.os == "unknown"
    }
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

//! Images of registries as roots, by reference: fetched for this host, and then unpacked as those of
//! files are.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use ctrlz_archive::ArchiveError;
use ctrlz_archive::Target;
use ctrlz_archive::image::{Chosen, Foreign, Platform};
use ctrlz_archive::place::{Directory, Registry};
use ctrlz_archive::transfer::{Event, Transfer};
use ctrlz_archive::unpack::Restored;
use ctrlz_core::digest::Digest;

use super::images;
use crate::failure::{Failure, OWN_FAILURE};
use crate::registry;

/// What stands before a reference, as podman, skopeo and buildah write it.
const SCHEME: &str = "docker://";

/// What stands behind a reference's name in that of the file with what it stood for.
const KNOWN: &str = "ref";

/// When a registry is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Pull {
    /// When the reference was not fetched before
    #[default]
    Missing,
    /// Each time: a tag may have moved
    Always,
    /// Not at all
    Never,
}

/// An image of a registry: `docker://HOST[:PORT]/NAME[:TAG][@DIGEST]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    /// `HOST[:PORT]/NAME`
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Whether a text is meant to be one.
pub(super) fn is_one(text: &str) -> bool {
    text.starts_with(SCHEME)
}

impl FromStr for Reference {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let refuse = |why: String| {
            let message = format!("`{text}` is no image of a registry: {why}");
            Failure::new(OWN_FAILURE, "root", message)
                .hint("write docker://HOST[:PORT]/NAME[:TAG][@DIGEST], such as docker://docker.io/library/debian:12")
        };
        let named = text.strip_prefix(SCHEME).unwrap_or(text);
        let (named, digest) = match named.split_once('@') {
            Some((named, digest)) => {
                let digest = digest.parse().map_err(|error| refuse(format!("{error}")))?;
                (named, Some(digest))
            }
            None => (named, None),
        };
        // The host's port stands before the first `/`.
        let last = named.rfind('/').ok_or_else(|| refuse("it names no registry".to_owned()))?;
        let (repository, tag) = match named.get(last..).and_then(|name| name.split_once(':')) {
            Some((name, tag)) => {
                let repository = named.get(..last + name.len()).unwrap_or(named);
                (repository, Some(tag.to_owned()))
            }
            None => (named, None),
        };
        let host = repository.split('/').next().unwrap_or_default();
        if host != "localhost" && !host.contains(['.', ':']) {
            return Err(refuse(format!("`{host}` is no registry's host")));
        }
        Ok(Self { repository: repository.to_owned(), tag, digest })
    }
}

/// As it is read again.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.repository)?;
        self.tag.iter().try_for_each(|tag| write!(f, ":{tag}"))?;
        self.digest.iter().try_for_each(|digest| write!(f, "@{digest}"))
    }
}

/// What a reference stood for when it was fetched.
struct Known {
    unpacked: PathBuf,
    image: Digest,
}

impl Reference {
    /// The directory with the image's files, and its id.
    pub(super) fn unpacked(&self, pull: Pull) -> Result<(PathBuf, Digest), Failure> {
        if pull != Pull::Always
            && let Some(known) = self.known()?
        {
            return Ok((known.unpacked, known.image));
        }
        if pull == Pull::Never {
            let message =
                format!("{self} was not fetched before, and `--pull never` asks no registry");
            return Err(Failure::new(OWN_FAILURE, "root", message));
        }
        let failed = |error: ArchiveError| {
            let message = format!("{self} cannot be a root: {error}");
            let causes = Failure::caused(OWN_FAILURE, "root", &error).into_details();
            Failure::new(OWN_FAILURE, "root", message).details(causes)
        };
        let registry = registry::open(&self.repository)?;
        let host = Platform::host();
        let chosen = self.chosen(&registry, &host).map_err(failed)?;
        let name = images::name_of(&chosen.config);
        let unpacked = images::once(&name, &self.to_string(), failed, |target| {
            self.fetch(&registry, &chosen, &host, target)
        })?;
        self.remember(&name, &chosen.id).map_err(failed)?;
        Ok((unpacked, chosen.id))
    }

    /// Which image it stands for at the registry.
    fn chosen(&self, registry: &Registry, host: &Platform) -> Result<Chosen, ArchiveError> {
        let word = match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, tag) => tag.as_deref().unwrap_or("latest").to_owned(),
        };
        let Some(found) = registry.described(&word)? else {
            let place = ctrlz_archive::place::Place::address(registry);
            return Err(ArchiveError::Unnamed { place, name: word });
        };
        match self.digest {
            Some(digest) if found.digest != digest => Err(ArchiveError::Missing(digest)),
            _ => Chosen::of(registry, found, host),
        }
    }

    /// Fetches the image into a layout beside the target, and unpacks it. What arrived is gone on
    /// with the next time.
    fn fetch(
        &self,
        registry: &Registry,
        chosen: &Chosen,
        host: &Platform,
        target: Target,
    ) -> Result<Restored, ArchiveError> {
        let layout = target.directory.with_extension("layout");
        let to = Directory::create(&layout)?;
        let tell = |event: Event<'_>| {
            if let Event::Again { error, .. } = event {
                eprintln!("ctrlz: {self}: {error}; trying again");
            }
        };
        Transfer::default().described(
            (registry, chosen.manifest.clone()),
            (&to, "image"),
            &tell,
        )?;
        let image = Foreign::open(&layout, None, host)?;
        images::tell_platform(&self.to_string(), &image, host);
        let restored = image.restore(target)?;
        fs::remove_dir_all(&layout).map_err(images::io_error("remove", &layout))?;
        Ok(restored)
    }

    /// Where it is written down what it stood for.
    fn note(&self) -> Result<PathBuf, Failure> {
        let mut hasher = images::hasher();
        hasher.update(self.to_string().as_bytes());
        Ok(images::images()?.join(images::short(&hasher)).with_extension(KNOWN))
    }

    fn known(&self) -> Result<Option<Known>, Failure> {
        let Ok(text) = fs::read_to_string(self.note()?) else { return Ok(None) };
        let mut words = text.split_whitespace();
        let (Some(name), Some(Ok(image))) = (words.next(), words.next().map(str::parse)) else {
            return Ok(None);
        };
        let unpacked = images::there(Path::new(name))?;
        Ok(unpacked.map(|unpacked| Known { unpacked, image }))
    }

    fn remember(&self, name: &Path, image: &Digest) -> Result<(), ArchiveError> {
        let Ok(note) = self.note() else { return Ok(()) };
        let new = note.with_extension(format!("{KNOWN}.{}", std::process::id()));
        let text = format!("{} {image}\n", name.display());
        fs::write(&new, text).map_err(images::io_error("write", &new))?;
        fs::rename(&new, &note).map_err(images::io_error("rename", &new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_read_and_written() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        for (text, repository, tag) in [
            ("docker://localhost:5000/a/b:c", "localhost:5000/a/b", Some("c")),
            ("docker://localhost:5000/a", "localhost:5000/a", None),
            ("docker://registry.test/a:1.0", "registry.test/a", Some("1.0")),
        ] {
            for end in [String::new(), format!("@{digest}")] {
                let whole = format!("{text}{end}");
                let reference: Reference = whole.parse().expect("a reference");
                assert_eq!(
                    (reference.repository.as_str(), reference.tag.as_deref()),
                    (repository, tag)
                );
                assert_eq!(reference.digest.is_some(), !end.is_empty());
                assert_eq!(reference.to_string(), whole);
            }
        }
        for bad in
            ["docker://", "docker://debian", "docker://library/debian", "docker://h.test/a@x"]
        {
            assert!(bad.parse::<Reference>().is_err(), "{bad}");
        }
    }
}

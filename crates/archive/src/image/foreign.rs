//! Images that other tools wrote: `podman save`, `docker save`, `buildah push`, `skopeo copy`.
//!
//! | form | marked by | written by |
//! |---|---|---|
//! | OCI image layout, a directory or a tar | `oci-layout`, `index.json` | `podman save --format oci-*`, `buildah push oci*:`, newer `docker save` |
//! | docker-archive, a tar | `manifest.json`, a list | `docker save`, `podman save` |
//! | docker-dir, a directory | `manifest.json`, an image manifest | `podman save --format docker-dir`, `skopeo copy … dir:` |

use std::fs::File;
use std::io::Read;
use std::path::Path;

use ctrlz_core::digest::Digest;
use serde::Deserialize;

use super::files::{Files, Part};
use super::form::{Coding, LayerForm, media};
use super::index::calls;
use super::{Bounds, ImageConfig, Index, Manifest, Platform, document};
use crate::checked::Checked;
use crate::unpack::Restored;
use crate::{ArchiveError, Descriptor, Limits, MediaType, Restore, Target};

/// An image that another tool wrote.
#[derive(Debug)]
pub struct Foreign {
    /// Its config.
    pub config: ImageConfig,
    /// The SHA-256 of that config's bytes, which other tools call the id of the image.
    pub id: Digest,
    /// Its layers, lowest first.
    pub layers: Vec<ForeignLayer>,
    files: Files,
}

/// A layer of such an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignLayer {
    /// The SHA-256 of its tar.
    pub diff_id: Digest,
    /// What stands around the tar.
    pub coding: Coding,
    /// The blob, where the form tells it.
    pub blob: Option<Descriptor>,
    file: String,
}

/// One image of a docker-archive.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

impl Foreign {
    /// Opens the image in `path`, a directory or a tar file: the one named `name`, or the only one
    /// for `host`.
    ///
    /// # Errors
    /// When `path` holds no image, several that fit, or one that is damaged or malformed. The
    /// layers are checked when they are read.
    pub fn open(path: &Path, name: Option<&str>, host: &Platform) -> Result<Self, ArchiveError> {
        Self::of_files(Files::open(path)?, path, name, host)
    }

    /// As [`Self::open`], of a tar that is open already and not compressed; `path` is for messages.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_tar(
        file: File,
        path: &Path,
        name: Option<&str>,
        host: &Platform,
    ) -> Result<Self, ArchiveError> {
        Self::of_files(Files::tar(file, path)?, path, name, host)
    }

    fn of_files(
        files: Files,
        path: &Path,
        name: Option<&str>,
        host: &Platform,
    ) -> Result<Self, ArchiveError> {
        // A tar by newer versions of docker holds both forms; the OCI one has digests.
        if files.has("index.json") && files.has("oci-layout") {
            return Self::layout(files, name, host);
        }
        if files.has("manifest.json") {
            let bytes = files.small("manifest.json", Bounds::MANIFEST, "manifest.json")?;
            return match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
                Some(b'[') => Self::saved(files, &bytes, name),
                _ => Self::directory(files, &bytes),
            };
        }
        let why = format!(
            "{} has neither `index.json` and `oci-layout` nor `manifest.json`",
            path.display()
        );
        Err(ArchiveError::malformed("the image", why))
    }

    fn layout(files: Files, name: Option<&str>, host: &Platform) -> Result<Self, ArchiveError> {
        let bytes = files.small("index.json", Bounds::INDEX, "index.json")?;
        let mut index = Index::parse(&bytes, Bounds::INDEX)?;
        let mut name = name;
        for _ in 0..Bounds::NESTING {
            let chosen = index.choose(name, host)?.descriptor.clone();
            let bytes = files.blob(&chosen, Bounds::MANIFEST)?;
            if !chosen.media_type.is_index() {
                let manifest = Manifest::parse(&bytes, &chosen.media_type)?;
                return Self::of_manifest(files, &manifest, |digest| blob_path(&digest));
            }
            index = Index::parse(&bytes, Bounds::MANIFEST)?;
            // The name was that of the image; inside are its platforms.
            name = None;
        }
        Err(ArchiveError::malformed("the index", "indexes lie too deep in indexes"))
    }

    /// A directory with a manifest and blobs that are named by their digits alone.
    fn directory(files: Files, bytes: &[u8]) -> Result<Self, ArchiveError> {
        #[derive(Deserialize)]
        struct Typed {
            #[serde(rename = "mediaType")]
            media_type: Option<MediaType>,
        }
        let typed: Typed = document::parse(bytes, Bounds::MANIFEST, "manifest.json")?;
        let media_type = typed.media_type.unwrap_or_else(|| MediaType::from(media::MANIFEST));
        let manifest = Manifest::parse(bytes, &media_type)?;
        Self::of_manifest(files, &manifest, |digest| digest.hex())
    }

    fn of_manifest(
        files: Files,
        manifest: &Manifest,
        path: impl Fn(Digest) -> String,
    ) -> Result<Self, ArchiveError> {
        if manifest.is_sealed() {
            let why = "it is an encrypted snapshot: restore it with its key, it is no base";
            return Err(ArchiveError::malformed("the image", why));
        }
        manifest.forms()?;
        let config = files.checked(&path(manifest.config.digest), &manifest.config)?;
        let config = document::read_limited(config, Bounds::CONFIG, "the image config")?;
        let config = ImageConfig::parse(&config, manifest.layers.len())?;
        let mut layers = Vec::with_capacity(manifest.layers.len());
        for (layer, diff_id) in manifest.layers.iter().zip(&config.rootfs.diff_ids) {
            let file = path(layer.digest);
            // `podman save --format docker-dir` calls plain layers compressed: the bytes decide.
            let coding = files.checked(&file, layer).and_then(|_| files.coding(&file))?;
            layers.push(ForeignLayer {
                diff_id: *diff_id,
                coding,
                blob: Some(layer.clone()),
                file,
            });
        }
        Ok(Self { config, id: manifest.config.digest, layers, files })
    }

    /// A docker-archive: files of any name, of which only the config's digests can be checked.
    fn saved(files: Files, bytes: &[u8], name: Option<&str>) -> Result<Self, ArchiveError> {
        const WHAT: &str = "manifest.json";
        let images: Vec<Saved> = document::parse(bytes, Bounds::MANIFEST, WHAT)?;
        let tags = |image: &Saved| image.repo_tags.clone().unwrap_or_default();
        let called =
            |image: &&Saved| name.is_none_or(|name| tags(image).iter().any(|tag| calls(tag, name)));
        let which = || name.map_or_else(String::new, |name| format!(" named `{name}`"));
        let told = || images.iter().flat_map(tags).take(8).collect::<Vec<_>>().join(", ");
        let mut fitting = images.iter().filter(called);
        let image = match (fitting.next(), fitting.next()) {
            (Some(image), None) => image,
            (Some(_), Some(_)) => {
                let (which, there) = (which(), told());
                return Err(ArchiveError::Several { what: WHAT, which, there });
            }
            (None, _) => {
                let why = format!("it has no image{}; its images: {}", which(), told());
                return Err(ArchiveError::malformed(WHAT, why));
            }
        };
        if image.layers.len() > Bounds::LAYERS {
            return Err(ArchiveError::malformed(WHAT, format!("{} layers", image.layers.len())));
        }
        let config = files.small(&image.config, Bounds::CONFIG, "the image config")?;
        // The file is named by its digest, with or without `.json` behind it.
        let id = super::describe(media::CONFIG, &config).digest;
        let stem = image.config.rsplit('/').next().unwrap_or_default().trim_end_matches(".json");
        if let Ok(named) = format!("sha256:{stem}").parse::<Digest>()
            && id != named
        {
            return Err(ArchiveError::damaged(named, "the image config has other bytes"));
        }
        let config = ImageConfig::parse(&config, image.layers.len())?;
        let mut layers = Vec::with_capacity(image.layers.len());
        for (file, diff_id) in image.layers.iter().zip(&config.rootfs.diff_ids) {
            let coding = files.coding(file)?;
            layers.push(ForeignLayer { diff_id: *diff_id, coding, blob: None, file: file.clone() });
        }
        Ok(Self { config, id, layers, files })
    }

    /// The bytes of a layer as they lie there. Where the form tells the blob's digest, the reader
    /// fails at the end when they are other ones; otherwise the tar within has to be compared with
    /// [`ForeignLayer::diff_id`].
    ///
    /// # Errors
    /// When the file is missing or cannot be opened.
    pub fn read(&self, layer: &ForeignLayer) -> Result<Box<dyn Read + Send>, ArchiveError> {
        match &layer.blob {
            Some(blob) => Ok(Box::new(self.files.checked(&layer.file, blob)?)),
            None => Ok(Box::new(self.files.open_file(&layer.file)?.0)),
        }
    }

    /// Restores all files of the image. Every digest that its documents tell is checked.
    ///
    /// # Errors
    /// When a layer is missing, damaged or refused, or something cannot be made. Nothing lies at
    /// the target then.
    pub fn restore(&self, target: Target) -> Result<Restored, ArchiveError> {
        let limits = Limits::default();
        let mut restore = Restore::begin(target)?;
        for layer in &self.layers {
            let mut blob = self.read(layer)?;
            let applied = restore.apply(&mut blob, &limits, Some(&layer.diff_id));
            // A decoder may stop before the end of the blob, and only there its digest is known.
            let whole = std::io::copy(&mut blob, &mut std::io::sink())
                .map_err(ArchiveError::io("read", &layer.file));
            match applied {
                Ok(_) => whole.map(drop)?,
                // What is wrong with the blob is told before what that led to.
                Err(ArchiveError::Malformed { what, why }) => {
                    whole?;
                    let why = format!("{why} (layer {})", layer.file.escape_debug());
                    return Err(ArchiveError::Malformed { what, why });
                }
                Err(refused @ ArchiveError::Refused { .. }) => {
                    whole?;
                    return Err(refused);
                }
                Err(error) => return Err(error),
            }
        }
        restore.finish()
    }
}

/// `blobs/sha256/HEX`.
fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

impl Files {
    pub(crate) fn small(
        &self,
        name: &str,
        limit: u64,
        what: &'static str,
    ) -> Result<Vec<u8>, ArchiveError> {
        document::read_limited(self.open_file(name)?.0, limit, what)
    }

    fn blob(&self, blob: &Descriptor, limit: u64) -> Result<Vec<u8>, ArchiveError> {
        document::read_limited(self.checked(&blob_path(&blob.digest), blob)?, limit, "a blob")
    }

    fn checked(&self, name: &str, blob: &Descriptor) -> Result<Checked<Part>, ArchiveError> {
        if !self.has(name) {
            return Err(ArchiveError::Missing(blob.digest));
        }
        let (part, size) = self.open_file(name)?;
        if size != blob.size {
            let what = format!("it has {size} bytes, not {}", blob.size);
            return Err(ArchiveError::damaged(blob.digest, what));
        }
        Ok(Checked::new(part, blob.digest, blob.size))
    }

    fn coding(&self, name: &str) -> Result<Coding, ArchiveError> {
        let mut magic = Vec::new();
        let (part, _) = self.open_file(name)?;
        part.take(4).read_to_end(&mut magic).map_err(ArchiveError::io("read", name))?;
        Ok(match magic.as_slice() {
            [0x1f, 0x8b, ..] => Coding::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd] => Coding::Zstd,
            _ => Coding::None,
        })
    }
}

impl ForeignLayer {
    /// Its form.
    #[must_use]
    pub fn form(&self) -> LayerForm {
        LayerForm { coding: self.coding, encrypted: false }
    }
}

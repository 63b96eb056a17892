//! The index of an image layout, or of an image for several platforms.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::form::media;
use super::role::annotation;
use super::{Bounds, Platform, document};
use crate::{ArchiveError, Descriptor, MediaType};

/// The index of an image layout, or of an image for several platforms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// What it is; tools before version 1.1 leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<MediaType>,
    /// What it names.
    pub manifests: Vec<IndexEntry>,
    /// What other tools wrote and ctrlz has no use for. It stays when the index is written again.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// One manifest in an index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexEntry {
    /// Which one.
    #[serde(flatten)]
    pub descriptor: Descriptor,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// What other tools wrote and ctrlz has no use for.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            schema_version: 2,
            media_type: Some(MediaType::from(media::INDEX)),
            manifests: Vec::new(),
            other: BTreeMap::new(),
        }
    }
}

impl Index {
    /// Reads an index of at most `limit` bytes.
    ///
    /// # Errors
    /// When it is larger, no JSON, of another version or kind.
    pub fn parse(bytes: &[u8], limit: u64) -> Result<Self, ArchiveError> {
        const WHAT: &str = "the index";
        let index: Self = document::parse(bytes, limit, WHAT)?;
        let refuse = |why: String| Err(ArchiveError::malformed(WHAT, why));
        if index.schema_version != 2 {
            return refuse(format!("its version is {}, not 2", index.schema_version));
        }
        if let Some(media_type) = index.media_type.as_ref().filter(|m| !m.is_index()) {
            return refuse(format!("it calls itself `{media_type}`"));
        }
        // One document that is an index to one reader and a manifest to another hides what it is.
        if let Some(word) = ["layers", "config"].iter().find(|w| index.other.contains_key(**w)) {
            return refuse(format!("it has `{word}`, which is a manifest's"));
        }
        if let Some(entry) = index.manifests.iter().find(|e| e.descriptor.size > Bounds::MANIFEST) {
            let Descriptor { digest, size, .. } = &entry.descriptor;
            return refuse(format!("manifest {digest} is said to have {size} bytes"));
        }
        Ok(index)
    }

    /// As bytes.
    ///
    /// # Errors
    /// When it grew too large to be read again.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ArchiveError> {
        let bytes = document::to_bytes(self, "the index")?;
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > Bounds::INDEX {
            return Err(ArchiveError::malformed("the index", "it would grow larger than 64 MiB"));
        }
        Ok(bytes)
    }

    /// The entry with that name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&IndexEntry> {
        self.manifests.iter().find(|entry| entry.name() == Some(name))
    }

    /// Gives `name` to `descriptor`. Whoever had the name loses it.
    pub fn set(&mut self, name: &str, mut descriptor: Descriptor) {
        descriptor.annotations.insert(annotation::REF_NAME.to_owned(), name.to_owned());
        let entry = IndexEntry { descriptor, platform: None, other: BTreeMap::new() };
        match self.manifests.iter_mut().find(|entry| entry.name() == Some(name)) {
            Some(old) => *old = entry,
            None => self.manifests.push(entry),
        }
    }

    /// Takes `name` away; whether it was there.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.manifests.len();
        self.manifests.retain(|entry| entry.name() != Some(name));
        self.manifests.len() != before
    }

    /// The one image for `host` among those that are named `name`, or among all.
    ///
    /// # Errors
    /// When none or several fit; the error names what is there.
    pub fn choose(&self, name: Option<&str>, host: &Platform) -> Result<&IndexEntry, ArchiveError> {
        let images = || {
            let named = move |e: &&IndexEntry| name.is_none_or(|name| e.is_called(name));
            let image = |e: &&IndexEntry| !e.platform.as_ref().is_some_and(Platform::is_unknown);
            self.manifests.iter().filter(named).filter(image)
        };
        let mut fitting =
            images().filter(|entry| entry.platform.as_ref().is_none_or(|p| p.fits(host)));
        let what = || name.map_or_else(String::new, |name| format!(" named `{name}`"));
        match (fitting.next(), fitting.next()) {
            (Some(one), None) => Ok(one),
            (Some(one), Some(two)) if one.descriptor.digest == two.descriptor.digest => Ok(one),
            (Some(_), Some(_)) => Err(ArchiveError::Several {
                what: "the index",
                which: format!("{} for {host}", what()),
                there: told(images()),
            }),
            (None, _) if images().next().is_none() => Err(ArchiveError::malformed(
                "the index",
                format!("it has no image{}; it has {}", what(), told(self.manifests.iter())),
            )),
            (None, _) => Err(ArchiveError::malformed(
                "the index",
                format!("it has no image{} for {host}, only {}", what(), told(images())),
            )),
        }
    }
}

/// The first ones of a list, in words.
fn told<'a>(entries: impl Iterator<Item = &'a IndexEntry>) -> String {
    let mut entries = entries.peekable();
    let words: Vec<String> = entries
        .by_ref()
        .take(8)
        .map(|entry| {
            let name =
                entry.name().map_or_else(|| entry.descriptor.digest.to_string(), str::to_owned);
            entry.platform.as_ref().map_or_else(|| name.clone(), |p| format!("{name} ({p})"))
        })
        .collect();
    let more = if entries.peek().is_some() { ", …" } else { "" };
    if words.is_empty() { "nothing".to_owned() } else { words.join(", ") + more }
}

impl IndexEntry {
    /// Its name in the layout.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.descriptor.annotations.get(annotation::REF_NAME).map(String::as_str)
    }

    /// Its descriptor, without the name, which is the layout's and not the manifest's.
    #[must_use]
    pub fn unnamed(self) -> Descriptor {
        let mut descriptor = self.descriptor;
        descriptor.annotations.remove(annotation::REF_NAME);
        descriptor
    }

    fn is_called(&self, name: &str) -> bool {
        let by_image_name = self.descriptor.annotations.get("io.containerd.image.name");
        self.name().into_iter().chain(by_image_name.map(String::as_str)).any(|own| calls(own, name))
    }
}

/// Whether a person would call `name` what is named `own`: by the whole name, by the tag at its
/// end, or without the registry and folders before it, since most tools write
/// `registry/folder/repository:tag`.
pub(super) fn calls(own: &str, name: &str) -> bool {
    own.strip_suffix(name).is_some_and(|before| before.is_empty() || before.ends_with(['/', ':']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::describe;

    fn entry(content: &[u8], platform: Option<(&str, &str)>, name: Option<&str>) -> IndexEntry {
        let mut descriptor = describe(media::MANIFEST, content);
        if let Some(name) = name {
            descriptor.annotations.insert(annotation::REF_NAME.to_owned(), name.to_owned());
        }
        let platform = platform.map(|(os, architecture)| Platform {
            architecture: architecture.to_owned(),
            os: os.to_owned(),
            variant: None,
        });
        IndexEntry { descriptor, platform, other: BTreeMap::new() }
    }

    fn chosen(entries: &[IndexEntry], name: Option<&str>) -> Result<Vec<u8>, String> {
        let index = Index { manifests: entries.to_vec(), ..Index::default() };
        let host = Platform {
            architecture: "arm64".to_owned(),
            os: "linux".to_owned(),
            variant: Some("v8".to_owned()),
        };
        let entry = index.choose(name, &host).map_err(|error| error.to_string())?;
        let contents = [&b"a"[..], b"b", b"c"];
        let same = |c: &&&[u8]| describe("x", c).digest == entry.descriptor.digest;
        Ok(contents.iter().find(same).map(|c| c.to_vec()).unwrap_or_default())
    }

    #[test]
    fn chooses_by_platform_and_name() {
        let (arm, amd) = (Some(("linux", "arm64")), Some(("linux", "amd64")));
        let several = [
            entry(b"a", amd, None),
            entry(b"b", arm, None),
            entry(b"c", Some(("unknown", "unknown")), None),
        ];
        assert_eq!(chosen(&several, None), Ok(b"b".to_vec()));
        let error = chosen(&several[..1], None).expect_err("none fits");
        assert!(error.contains("only") && error.contains("linux/amd64"), "{error}");
        let named =
            [entry(b"a", None, Some("registry.test/image:one")), entry(b"b", None, Some("two"))];
        assert_eq!(chosen(&named, Some("one")), Ok(b"a".to_vec()));
        assert_eq!(chosen(&named, Some("two")), Ok(b"b".to_vec()));
        assert_eq!(chosen(&named, Some("image:one")), Ok(b"a".to_vec()));
        assert!(chosen(&named, Some("age:one")).is_err());
        let error = chosen(&named, None).expect_err("which?");
        assert!(error.contains("several images") && error.contains("two"), "{error}");
        let error = chosen(&named, Some("three")).expect_err("neither");
        assert!(error.contains("no image named `three`; it has"), "{error}");
    }

    #[test]
    fn keeps_what_others_wrote() {
        let text = br#"{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","size":3,"urls":["https://x.test"],"annotations":{"org.opencontainers.image.ref.name":"theirs"}}],"annotations":{"a":"b"}}"#;
        let mut index = Index::parse(text, Bounds::INDEX).expect("an index");
        index.set("ours", describe(media::MANIFEST, b"x"));
        index.set("ours", describe(media::MANIFEST, b"y"));
        assert!(index.remove("ours"));
        let written: Value =
            serde_json::from_slice(&index.to_bytes().expect("bytes")).expect("JSON");
        assert_eq!(written, serde_json::from_slice::<Value>(text).expect("JSON"));
    }
}

//! A snapshot in a place: published, listed, read; plain or encrypted.
//!
//! An encrypted one is a manifest like any other, with encrypted blobs. Its config is an age file
//! with the real manifest, the real config and the real name in it. So nothing but the number, size
//! and kind of the blobs and the time is told to whoever has no key, and blobs that were exchanged
//! for others of the same place are found: the real manifest says which ones they were.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use serde::{Deserialize, Serialize};

use crate::ahead::Ahead;
use crate::crypt::{KEYS, KeyId, Keyring, Opener, Sealer};
use crate::image::{
    Assembled, Bounds, ImageConfig, Manifest, Role, Tag, annotation, describe, media, parse,
    read_limited, roles_in_order, to_bytes,
};
use crate::place::{self, Blob, Bytes, Expect, Named, Place};
use crate::{ArchiveError, Checked, Descriptor, MediaType};

/// A snapshot that lies in a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The name in the place; that of an encrypted snapshot says nothing.
    pub reference: String,
    /// The real name.
    pub name: String,
    /// The manifest, with all that it says of the layers.
    pub manifest: Manifest,
    /// The config.
    pub config: ImageConfig,
    /// The manifest as it lies there; its digest names the snapshot for ever.
    pub descriptor: Descriptor,
}

/// A snapshot in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The name in the place.
    pub reference: String,
    /// The real name; `None` when it is encrypted and no key at hand opens it.
    pub name: Option<String>,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// When it was made, RFC 3339, as the manifest says.
    pub created: Option<String>,
    /// The bytes of all of its blobs.
    pub size: u64,
    /// How many things could not be kept in it; `None` where that is not known.
    pub losses: Option<u64>,
    /// The manifest.
    pub descriptor: Descriptor,
}

/// What a place has.
#[derive(Debug, Default)]
pub struct Listing {
    /// The snapshots that could be looked at.
    pub snapshots: Vec<Listed>,
    /// The names whose manifest or encrypted config is missing, damaged or malformed.
    pub faults: Vec<(String, ArchiveError)>,
}

/// What is in the encrypted config.
#[derive(Serialize, Deserialize)]
struct Envelope {
    name: String,
    reference: String,
    manifest: Manifest,
    config: ImageConfig,
}

/// The plain or encrypted documents of a snapshot, ready to be published.
#[derive(Debug)]
struct Ready {
    reference: String,
    config: Vec<u8>,
    manifest: Manifest,
}

impl Snapshot {
    /// Gives `place` the documents of a snapshot whose layers are there, and a name. With `keys`
    /// the documents are encrypted and the name in the place is a random one; the layers have to be
    /// encrypted already. A [`Place::hold`] has to live since before the layers were written.
    ///
    /// # Errors
    /// When the layers do not fit to `keys`, the name does not mean what was expected, or the place
    /// cannot be written to.
    pub fn publish(
        place: &dyn Place,
        name: &Tag,
        assembled: &Assembled,
        keys: Option<&Keyring>,
        expect: Expect,
    ) -> Result<Self, ArchiveError> {
        let ready = match keys {
            None => plain(name, assembled)?,
            Some(keys) => seal(name, assembled, keys)?,
        };
        let bytes = ready.manifest.to_bytes()?;
        let descriptor = describe(media::MANIFEST, &bytes);
        place::write_small(place, &Blob::from(&ready.manifest.config), &ready.config)?;
        place.publish(&ready.reference, &descriptor, &bytes, expect)?;
        Ok(Self {
            reference: ready.reference,
            name: name.to_string(),
            manifest: assembled.manifest.clone(),
            config: assembled.config.clone(),
            descriptor,
        })
    }

    /// Reads the snapshot that a place has under `reference`, the name in the place.
    ///
    /// # Errors
    /// When it is not there, damaged, malformed, no snapshot, or encrypted to a key that is not
    /// among `keys`.
    pub fn read(
        place: &dyn Place,
        reference: &str,
        keys: Option<&Keyring>,
    ) -> Result<Self, ArchiveError> {
        let descriptor = place::require(place, reference)?;
        Self::read_manifest(place, reference, &descriptor, keys)
    }

    fn read_manifest(
        place: &dyn Place,
        reference: &str,
        descriptor: &Descriptor,
        keys: Option<&Keyring>,
    ) -> Result<Self, ArchiveError> {
        let outer = place::read_manifest(place, descriptor)?;
        let named = |error| place::naming(descriptor, error);
        let (name, manifest, config) = if outer.is_sealed() {
            open_envelope(place, reference, &outer, keys)?
        } else {
            let bytes = place::read_small(place, &Blob::from(&outer.config), Bounds::CONFIG)?;
            let config = ImageConfig::parse(&bytes, outer.layers.len())
                .map_err(|error| place::naming(&outer.config, error))?;
            (reference.to_owned(), outer, config)
        };
        roles_in_order(&manifest.layers).map_err(named)?;
        manifest.forms().map_err(named)?;
        let descriptor = descriptor.clone();
        Ok(Self { reference: reference.to_owned(), name, manifest, config, descriptor })
    }

    /// Finds the snapshot with the real name `name`.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn find(
        place: &dyn Place,
        name: &str,
        keys: Option<&Keyring>,
    ) -> Result<Self, ArchiveError> {
        let listed = match place.resolve(name)? {
            Some(_) => return Self::read(place, name, keys),
            None => list(place, keys)?.snapshots,
        };
        match listed.iter().find(|listed| listed.name.as_deref() == Some(name)) {
            Some(found) => Self::read(place, &found.reference, keys),
            None => Err(ArchiveError::Unnamed {
                place: place.address(),
                name: match listed.iter().filter(|listed| listed.name.is_none()).count() {
                    0 => name.to_owned(),
                    some => {
                        format!("{name}` that opens with the keys at hand ({some} do not): `{name}")
                    }
                },
            }),
        }
    }

    /// The same; `None` when there is none that the keys at hand open.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn find_there(
        place: &dyn Place,
        name: &str,
        keys: Option<&Keyring>,
    ) -> Result<Option<Self>, ArchiveError> {
        match Self::find(place, name, keys) {
            Ok(found) => Ok(Some(found)),
            Err(ArchiveError::Unnamed { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The layers with what they are, lowest first.
    ///
    /// # Errors
    /// Never for a snapshot that was read.
    pub fn layers(&self) -> Result<Vec<(Role, &Descriptor)>, ArchiveError> {
        Ok(roles_in_order(&self.manifest.layers)?.into_iter().zip(&self.manifest.layers).collect())
    }

    /// Opens a layer's blob: what comes out is the compressed tar, decrypted.
    ///
    /// # Errors
    /// When it is missing or the key is.
    pub fn open_layer(
        place: &dyn Place,
        layer: &Descriptor,
        keys: Option<&Keyring>,
    ) -> Result<LayerReader, ArchiveError> {
        open_blob(place, layer, keys)
    }
}

/// The compressed tar of a layer. Its size and digest are checked on the way, and when it was
/// encrypted, each part of it before it is given.
#[derive(Debug)]
pub struct LayerReader(Inner);

#[derive(Debug)]
enum Inner {
    Plain(Source),
    Sealed(Box<Opener<Source>>),
}

impl Read for LayerReader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match &mut self.0 {
            Inner::Plain(reader) => reader.read(buffer),
            Inner::Sealed(reader) => reader.read(buffer),
        }
    }
}

impl LayerReader {
    /// Reads what is left and drops it. A decoder may stop before the end of its input; only here
    /// is it known that all of the blob was right.
    ///
    /// # Errors
    /// When it was not.
    pub fn finish(self) -> Result<(), ArchiveError> {
        match self.0 {
            Inner::Plain(reader) => reader.finish(),
            Inner::Sealed(mut reader) => {
                let digest = reader.digest();
                std::io::copy(&mut reader, &mut std::io::sink()).map_err(|error| {
                    ArchiveError::of(error, |e| ArchiveError::damaged(digest, e.to_string()))
                })?;
                reader.into_inner().into_inner().finish()
            }
        }
    }
}

/// A blob's bytes, checked on the way: those of a large one by a thread of its own.
#[derive(Debug)]
enum Source {
    Here(Box<Checked<Bytes>>),
    Ahead(Ahead<Checked<Bytes>>),
}

/// From how many bytes on a thread is worth its start.
const LARGE: u64 = 1 << 20;

impl Source {
    fn open(place: &dyn Place, blob: &Blob) -> Result<Self, ArchiveError> {
        let checked = place::open_checked(place, blob)?;
        if blob.size < LARGE {
            return Ok(Self::Here(Box::new(checked)));
        }
        let ahead = Ahead::new(checked).map_err(ArchiveError::io("start", "a thread"))?;
        Ok(Self::Ahead(ahead))
    }

    fn finish(self) -> Result<(), ArchiveError> {
        match self {
            Self::Here(checked) => checked.finish(),
            Self::Ahead(ahead) => ahead.into_inner().finish(),
        }
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Here(checked) => checked.read(buffer),
            Self::Ahead(ahead) => ahead.read(buffer),
        }
    }
}

/// Opens a blob, decrypting it when its media type or its descriptor says that it is encrypted.
fn open_blob(
    place: &dyn Place,
    blob: &Descriptor,
    keys: Option<&Keyring>,
) -> Result<LayerReader, ArchiveError> {
    let source = Source::open(place, &Blob::from(blob))?;
    if !is_encrypted(blob) {
        return Ok(LayerReader(Inner::Plain(source)));
    }
    let keys = keys.ok_or_else(|| ArchiveError::Sealed {
        digest: blob.digest,
        why: "it is encrypted, and no key was given".to_owned(),
    })?;
    let id = KeyId::of(blob)?;
    let opener = Opener::new(source, blob.digest, keys, id.as_ref())?;
    Ok(LayerReader(Inner::Sealed(Box::new(opener))))
}

fn is_encrypted(blob: &Descriptor) -> bool {
    blob.media_type.0.ends_with("+age")
}

fn plain(name: &Tag, assembled: &Assembled) -> Result<Ready, ArchiveError> {
    if let Some(layer) = assembled.manifest.layers.iter().find(|layer| is_encrypted(layer)) {
        let why = format!("layer {} is encrypted, the snapshot is not", layer.digest);
        return Err(ArchiveError::malformed("the manifest", why));
    }
    Ok(Ready {
        reference: name.to_string(),
        config: assembled.config_bytes.clone(),
        manifest: assembled.manifest.clone(),
    })
}

fn seal(name: &Tag, assembled: &Assembled, keys: &Keyring) -> Result<Ready, ArchiveError> {
    if let Some(layer) = assembled.manifest.layers.iter().find(|layer| !is_encrypted(layer)) {
        let why = format!("layer {} is not encrypted, the snapshot is", layer.digest);
        return Err(ArchiveError::malformed("the manifest", why));
    }
    let key = keys.current()?;
    let word = crate::random::word();
    let reference =
        format!("e-{}", word.map_err(ArchiveError::io("read random bytes for", "a name"))?);
    let envelope = Envelope {
        name: name.to_string(),
        reference: reference.clone(),
        manifest: assembled.manifest.clone(),
        config: assembled.config.clone(),
    };
    let what = "the encrypted config";
    let plain = to_bytes(&envelope, what)?;
    let sealed = Sealer::new(Vec::new(), key)
        .and_then(|mut sealer| sealer.write_all(&plain).and_then(|()| sealer.finish()))
        .map_err(|error| ArchiveError::malformed(what, error))?;
    let keep = |word: &&str| [annotation::LAYER, annotation::KEY].contains(word);
    let told = |layer: &Descriptor| {
        let words = layer.annotations.iter().filter(|(word, _)| keep(&word.as_str()));
        let annotations = words.map(|(word, value)| (word.clone(), value.clone())).collect();
        Descriptor { annotations, ..layer.clone() }
    };
    let mut config = describe(media::SEALED_CONFIG, &sealed);
    config.annotations.insert(annotation::KEY.to_owned(), key.id().to_string());
    let created = assembled.manifest.annotations.get(annotation::CREATED);
    let created = created.map(|time| (annotation::CREATED.to_owned(), time.clone()));
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(MediaType::from(media::MANIFEST)),
        artifact_type: Some(MediaType::from(media::SEALED_SNAPSHOT)),
        config,
        layers: assembled.manifest.layers.iter().map(told).collect(),
        annotations: created.into_iter().collect(),
        other: BTreeMap::new(),
    };
    Ok(Ready { reference, config: sealed, manifest })
}

fn open_envelope(
    place: &dyn Place,
    reference: &str,
    outer: &Manifest,
    keys: Option<&Keyring>,
) -> Result<(String, Manifest, ImageConfig), ArchiveError> {
    let digest = outer.config.digest;
    let bytes = open_blob(place, &outer.config, keys)
        .and_then(|reader| read_limited(reader, Bounds::CONFIG, "the encrypted config"))?;
    let envelope: Envelope = parse(&bytes, Bounds::CONFIG, "the encrypted config")?;
    let Envelope { name, reference: own, manifest: inner, config } = envelope;
    let refuse = |why: String| Err(ArchiveError::Sealed { digest, why });
    if own != reference {
        return refuse(format!("it belongs to `{own}`, not to `{reference}`: they were exchanged"));
    }
    if inner.layers.len() != outer.layers.len() {
        let (within, around) = (inner.layers.len(), outer.layers.len());
        return refuse(format!("it tells of {within} layers, the manifest of {around}"));
    }
    for (within, around) in inner.layers.iter().zip(&outer.layers) {
        let same = within.digest == around.digest
            && within.size == around.size
            && within.media_type == around.media_type;
        if !same {
            let why = format!("it was exchanged for another; {} belongs there", within.digest);
            return Err(ArchiveError::Sealed { digest: around.digest, why });
        }
    }
    // The documents within are authentic; they have to be ones that we can use all the same.
    let bytes = inner.to_bytes()?;
    let inner = Manifest::parse(&bytes, &MediaType::from(media::MANIFEST))?;
    ImageConfig::parse(&to_bytes(&config, "the image config")?, inner.layers.len())?;
    Ok((name, inner, config))
}

/// The snapshots in a place. What is no snapshot, as images of other tools, is left out; one that is
/// damaged hides no other.
///
/// # Errors
/// When the place does not answer or its index is malformed.
pub fn list(place: &dyn Place, keys: Option<&Keyring>) -> Result<Listing, ArchiveError> {
    let mut listing = Listing::default();
    for named in place.names()? {
        if named.name == KEYS || !named.descriptor.media_type.is_manifest() {
            continue;
        }
        match look_at(place, &named, keys) {
            Ok(Some(listed)) => listing.snapshots.push(listed),
            Ok(None) => {}
            // Without an answer there is none for the next ones either.
            Err(error) if error.is_transient() => return Err(error),
            Err(error) => listing.faults.push((named.name, error)),
        }
    }
    Ok(listing)
}

fn look_at(
    place: &dyn Place,
    named: &Named,
    keys: Option<&Keyring>,
) -> Result<Option<Listed>, ArchiveError> {
    let manifest = place::read_manifest(place, &named.descriptor)?;
    let encrypted = manifest.is_sealed();
    if !manifest.is_snapshot() {
        return Ok(None);
    }
    let lost = |manifest: &Manifest| manifest.annotations.get(annotation::LOSSES)?.parse().ok();
    let (name, losses) = if !encrypted {
        (Some(named.name.clone()), lost(&manifest))
    } else if has_key(&manifest, keys) {
        let (name, within, _) = open_envelope(place, &named.name, &manifest, keys)?;
        (Some(name), lost(&within))
    } else {
        (None, None)
    };
    let blobs = manifest.distinct_blobs();
    Ok(Some(Listed {
        reference: named.name.clone(),
        name,
        encrypted,
        created: manifest.annotations.get(annotation::CREATED).cloned(),
        size: blobs.iter().fold(0, |sum: u64, blob| sum.saturating_add(blob.size)),
        losses,
        descriptor: named.descriptor.clone(),
    }))
}

/// Whether the key of an encrypted snapshot's config is at hand.
fn has_key(manifest: &Manifest, keys: Option<&Keyring>) -> bool {
    let id = KeyId::of(&manifest.config).ok().flatten();
    keys.zip(id).is_some_and(|(keys, id)| keys.get(&id).is_some())
}

//! The data keys of a place.
//!
//! They lie there under the name [`KEYS`]: a manifest whose layers are age files, each with one
//! identity of age in it, encrypted to people. Whoever is one of them gets it by hand:
//! `age -d -i mine BLOB > data.key`, and with it every blob: `age -d -i data.key BLOB`.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::io::Read;
use std::str::FromStr;
use std::sync::Arc;

use age::secrecy::ExposeSecret;
use age::{Decryptor, Encryptor, Identity, Recipient};
use ctrlz_core::digest::Digest;
use zeroize::Zeroizing;

use super::{Identities, Recipients};
use crate::image::{Bounds, Manifest, annotation, describe, media};
use crate::place::{self, Blob, Expect, Place};
use crate::{ArchiveError, Descriptor, MediaType};

/// The name under which a place's data keys lie.
pub const KEYS: &str = "ctrlz-keys";

/// The most bytes of one data key's file: thousands of recipients.
const LARGEST: u64 = 1 << 20;

/// The name of a data key: sixteen hexadecimal digits that say nothing about it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(String);

impl FromStr for KeyId {
    type Err = ArchiveError;
    fn from_str(text: &str) -> Result<Self, ArchiveError> {
        let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() == 16 && text.bytes().all(hex) {
            return Ok(Self(text.to_owned()));
        }
        let why = format!("`{}` is no name of a data key", text.escape_debug());
        Err(ArchiveError::malformed("the manifest", why))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl KeyId {
    /// The data key that a blob's descriptor names.
    ///
    /// # Errors
    /// When what it names can be none.
    pub fn of(blob: &Descriptor) -> Result<Option<Self>, ArchiveError> {
        blob.annotations.get(annotation::KEY).map(|word| word.parse()).transpose()
    }
}

/// A data key.
pub struct DataKey {
    id: KeyId,
    identity: age::x25519::Identity,
    recipient: age::x25519::Recipient,
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataKey({})", self.id)
    }
}

impl DataKey {
    fn generate() -> Result<Self, ArchiveError> {
        let word = crate::random::word()
            .map_err(ArchiveError::io("read random bytes for", "a data key"))?;
        Ok(Self::new(KeyId(word), age::x25519::Identity::generate()))
    }

    fn new(id: KeyId, identity: age::x25519::Identity) -> Self {
        let recipient = identity.to_public();
        Self { id, identity, recipient }
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// What a caller remembers to know the key again. People's public keys are no secret, so
    /// whoever can write to a place can put a key of their own there, encrypted to those people;
    /// nothing new must be encrypted to a key that was not here before.
    #[must_use]
    pub fn fingerprint(&self) -> Digest {
        let key = blake3::derive_key(
            "ctrlz 2026 data key fingerprint",
            self.recipient.to_string().as_bytes(),
        );
        Digest::blake3(key)
    }

    pub(super) fn identity(&self) -> &age::x25519::Identity {
        &self.identity
    }

    pub(super) fn recipient(&self) -> &age::x25519::Recipient {
        &self.recipient
    }
}

/// Data keys at hand.
#[derive(Debug, Clone)]
pub struct Keyring {
    current: KeyId,
    keys: BTreeMap<KeyId, Arc<DataKey>>,
    /// Those of the place that the identities at hand did not open.
    closed: Vec<KeyId>,
}

impl Keyring {
    /// The key for what is written from now on.
    ///
    /// # Errors
    /// When it is among those that could not be opened.
    pub fn current(&self) -> Result<&DataKey, ArchiveError> {
        self.get(&self.current).ok_or_else(|| ArchiveError::Key {
            what: format!("the data key {}", self.current),
            why: "nothing new can be encrypted: it is for others than the identities at hand"
                .into(),
        })
    }

    /// The key of that name.
    #[must_use]
    pub fn get(&self, id: &KeyId) -> Option<&DataKey> {
        self.keys.get(id).map(Arc::as_ref)
    }

    /// All keys at hand.
    pub fn iter(&self) -> impl Iterator<Item = &DataKey> {
        self.keys.values().map(Arc::as_ref)
    }

    /// The names of those that the identities at hand did not open.
    #[must_use]
    pub fn closed(&self) -> &[KeyId] {
        &self.closed
    }
}

/// One data key as it lies there.
#[derive(Clone)]
struct Wrapped {
    id: KeyId,
    descriptor: Descriptor,
    bytes: Vec<u8>,
}

/// All of a place's data keys as they lie there.
struct AtRest {
    manifest: Digest,
    current: KeyId,
    files: Vec<Wrapped>,
}

/// What a change of recipients came to.
#[derive(Debug)]
pub struct Rewrapped {
    /// The keys, with a new current one if that was asked for.
    pub keyring: Keyring,
    /// Keys that the identities at hand did not open. They are for whom they were before.
    pub unchanged: Vec<KeyId>,
}

/// Gives a place its first data key.
///
/// # Errors
/// When it has some, or the recipients are nobody.
pub fn init_keys(place: &dyn Place, recipients: &Recipients) -> Result<Keyring, ArchiveError> {
    if load(place)?.is_some() {
        return Err(ArchiveError::Unsupported {
            place: place.address(),
            what: "get its first keys",
            why: "it is encrypted already; a rotation changes who can open it".to_owned(),
        });
    }
    let key = Arc::new(DataKey::generate()?);
    let keyring = Keyring {
        current: key.id.clone(),
        keys: BTreeMap::from([(key.id.clone(), Arc::clone(&key))]),
        closed: Vec::new(),
    };
    let files = wrap(&key, recipients)?;
    publish(place, &files, &keyring.current, Expect::Absent)?;
    Ok(keyring)
}

/// Opens a place's data keys; `None` when it has none, so that nothing in it is encrypted.
///
/// # Errors
/// When a key is damaged, or the identities open none of them.
pub fn open_keys(
    place: &dyn Place,
    identities: &Identities,
) -> Result<Option<Keyring>, ArchiveError> {
    load(place)?.map(|at_rest| unlock(&at_rest, identities)).transpose()
}

/// Encrypts a place's data keys to other people. No other blob is touched. With `new_key` there is
/// also a new key for what is written from now on: whoever could open a data key before may have
/// kept it, and with it opens what was written under it for ever.
///
/// The files for the people before stay as unnamed blobs until the place is collected.
///
/// # Errors
/// When the identities open none of the keys, the recipients are nobody, or somebody else changed
/// the keys meanwhile. Nothing is changed then.
pub fn rewrap_keys(
    place: &dyn Place,
    identities: &Identities,
    recipients: &Recipients,
    new_key: bool,
) -> Result<Rewrapped, ArchiveError> {
    let at_rest = load(place)?
        .ok_or_else(|| ArchiveError::Unnamed { place: place.address(), name: KEYS.to_owned() })?;
    let mut keyring = unlock(&at_rest, identities)?;
    let mut files = Vec::new();
    for key in keyring.keys.values() {
        files.extend(wrap(key, recipients)?);
    }
    let unchanged = keyring.closed.clone();
    files.extend(at_rest.files.into_iter().filter(|file| unchanged.contains(&file.id)));
    if new_key {
        let key = Arc::new(DataKey::generate()?);
        files.extend(wrap(&key, recipients)?);
        keyring.current = key.id.clone();
        keyring.keys.insert(key.id.clone(), key);
    }
    publish(place, &files, &keyring.current, Expect::Is(at_rest.manifest))?;
    Ok(Rewrapped { keyring, unchanged })
}

/// Brings the data keys of `from` to `to`, for blobs that are copied as they are: whoever opens one of
/// them at `from` opens it at `to` from now on, and nobody else. Other keys of `to` stay as they are.
///
/// # Errors
/// When a key is damaged or somebody else changes those of `to` meanwhile.
pub fn merge_keys(from: &dyn Place, to: &dyn Place) -> Result<(), ArchiveError> {
    let Some(theirs) = load(from)? else { return Ok(()) };
    let Some(own) = load(to)? else {
        return publish(to, &theirs.files, &theirs.current, Expect::Absent);
    };
    let digests = |files: &[Wrapped]| -> HashSet<Digest> {
        files.iter().map(|file| file.descriptor.digest).collect()
    };
    let is_theirs = |id: &KeyId| theirs.files.iter().any(|file| file.id == *id);
    let current = if is_theirs(&own.current) { &theirs.current } else { &own.current };
    let others = own.files.iter().filter(|file| !is_theirs(&file.id));
    let files: Vec<Wrapped> = theirs.files.iter().chain(others).cloned().collect();
    if digests(&files) == digests(&own.files) && *current == own.current {
        return Ok(());
    }
    publish(to, &files, current, Expect::Is(own.manifest))
}

/// The files of one key: one for all public keys, one for the passphrase, with which age mixes
/// nobody else.
fn wrap(key: &DataKey, recipients: &Recipients) -> Result<Vec<Wrapped>, ArchiveError> {
    if recipients.is_empty() {
        return Err(ArchiveError::Key {
            what: "the recipients".to_owned(),
            why: "there are none: nobody could ever read what is written".to_owned(),
        });
    }
    let mut files = Vec::new();
    if !recipients.public.is_empty() {
        let all = recipients.public.iter().map(|r| r.as_ref() as &dyn Recipient);
        files.push(wrap_to(key, Encryptor::with_recipients(all).map_err(unusable)?)?);
    }
    if let Some(passphrase) = &recipients.passphrase {
        let mut recipient = age::scrypt::Recipient::new(passphrase.0.clone());
        if let Some(factor) = recipients.work_factor {
            recipient.set_work_factor(factor);
        }
        let one = std::iter::once(&recipient as &dyn Recipient);
        files.push(wrap_to(key, Encryptor::with_recipients(one).map_err(unusable)?)?);
    }
    Ok(files)
}

fn unusable(error: age::EncryptError) -> ArchiveError {
    ArchiveError::Key { what: "the recipients".to_owned(), why: error.to_string() }
}

fn wrap_to(key: &DataKey, encryptor: Encryptor) -> Result<Wrapped, ArchiveError> {
    use std::io::Write;
    let secret = key.identity.to_string();
    let mut bytes = Vec::new();
    let written = encryptor.wrap_output(&mut bytes).and_then(|mut writer| {
        writeln!(writer, "# ctrlz data key {}", key.id)?;
        writer.write_all(secret.expose_secret().as_bytes())?;
        writer.write_all(b"\n")?;
        writer.finish().map(drop)
    });
    written.map_err(ArchiveError::io("encrypt", format!("data key {}", key.id)))?;
    let mut descriptor = describe(media::KEY, &bytes);
    descriptor.annotations.insert(annotation::KEY.to_owned(), key.id.to_string());
    Ok(Wrapped { id: key.id.clone(), descriptor, bytes })
}

fn publish(
    place: &dyn Place,
    files: &[Wrapped],
    current: &KeyId,
    expect: Expect,
) -> Result<(), ArchiveError> {
    let config = b"{}";
    let layers = files.iter().map(|file| {
        let mut descriptor = file.descriptor.clone();
        descriptor.annotations.remove(annotation::KEY_CURRENT);
        if file.id == *current {
            descriptor.annotations.insert(annotation::KEY_CURRENT.to_owned(), "true".to_owned());
        }
        descriptor
    });
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(MediaType::from(media::MANIFEST)),
        artifact_type: Some(MediaType::from(media::KEYS)),
        config: describe(media::EMPTY, config),
        layers: layers.collect(),
        annotations: BTreeMap::new(),
        other: BTreeMap::new(),
    };
    let bytes = manifest.to_bytes()?;
    let hold = place.hold()?;
    let write_all = || -> Result<(), ArchiveError> {
        place::write_small(place, &Blob::from(&manifest.config), config)?;
        for file in files {
            place::write_small(place, &Blob::from(&file.descriptor), &file.bytes)?;
        }
        Ok(())
    };
    write_all()?;
    place.publish(KEYS, &describe(media::MANIFEST, &bytes), &bytes, expect)?;
    let blobs: Vec<Blob> = manifest.blobs().map(Blob::from).collect();
    while !hold.lost(&blobs)?.is_empty() {
        write_all()?;
    }
    Ok(())
}

fn load(place: &dyn Place) -> Result<Option<AtRest>, ArchiveError> {
    let Some(descriptor) = place.resolve(KEYS)? else { return Ok(None) };
    let manifest = place::read_manifest(place, &descriptor)?;
    let refuse = |why: &str| {
        let error = ArchiveError::malformed("the manifest of the data keys", why);
        place::naming(&descriptor, error)
    };
    if manifest.artifact_type.as_ref().is_none_or(|t| t.0 != media::KEYS) {
        return Err(refuse("something else has their name"));
    }
    let mut files = Vec::with_capacity(manifest.layers.len());
    let mut current = None;
    for layer in &manifest.layers {
        let id = KeyId::of(layer)?.ok_or_else(|| refuse("a key has no name"))?;
        if layer.annotations.contains_key(annotation::KEY_CURRENT) {
            current = Some(id.clone());
        }
        let bytes = place::read_small(place, &Blob::from(layer), LARGEST.min(Bounds::CONFIG))?;
        files.push(Wrapped { id, descriptor: layer.clone(), bytes });
    }
    let current = current.ok_or_else(|| refuse("no key is the current one"))?;
    Ok(Some(AtRest { manifest: descriptor.digest, current, files }))
}

fn unlock(at_rest: &AtRest, identities: &Identities) -> Result<Keyring, ArchiveError> {
    let mut keys = BTreeMap::new();
    let mut closed = Vec::new();
    let mut first = None;
    for file in &at_rest.files {
        if keys.contains_key(&file.id) {
            continue;
        }
        match unwrap(file, identities) {
            Ok(key) => {
                keys.insert(file.id.clone(), Arc::new(key));
            }
            Err(error) => {
                first.get_or_insert(error);
                closed.push(file.id.clone());
            }
        }
    }
    closed.retain(|id| !keys.contains_key(id));
    closed.dedup();
    if let (true, Some(error)) = (keys.is_empty(), first) {
        return Err(error);
    }
    Ok(Keyring { current: at_rest.current.clone(), keys, closed })
}

fn unwrap(file: &Wrapped, identities: &Identities) -> Result<DataKey, ArchiveError> {
    let digest = file.descriptor.digest;
    let sealed = |why: String| ArchiveError::Sealed { digest, why };
    let id = &file.id;
    if identities.is_empty() {
        return Err(sealed(format!(
            "it holds the data key {id}; give an identity file or a passphrase that opens it"
        )));
    }
    let decryptor = Decryptor::new_buffered(file.bytes.as_slice())
        .map_err(|_| sealed(format!("it should hold the data key {id}, but is no age file")))?;
    let all = identities.keys.iter().map(|key| key.as_ref() as &dyn Identity);
    let mut reader = decryptor.decrypt(all).map_err(|error| {
        sealed(match error {
            age::DecryptError::NoMatchingKeys => {
                format!(
                    "it holds the data key {id}, which is for others than the identities at hand"
                )
            }
            age::DecryptError::DecryptionFailed => {
                format!(
                    "it holds the data key {id}; the passphrase is wrong, or the blob was changed"
                )
            }
            error => format!("it holds the data key {id}: {error}"),
        })
    })?;
    // One identity is 75 bytes; the buffer is never moved, so that no copy stays behind.
    let mut text = Zeroizing::new(vec![0; 4096]);
    let mut length = 0;
    while let Some(rest) = text.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match reader.read(rest) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(_) => return Err(sealed(format!("it holds the data key {id} and was changed"))),
        }
    }
    let text = std::str::from_utf8(text.get(..length).unwrap_or_default()).unwrap_or_default();
    let line = text.lines().find(|line| !line.is_empty() && !line.starts_with('#'));
    let identity = line.and_then(|line| line.parse::<age::x25519::Identity>().ok());
    let identity = identity.ok_or_else(|| sealed(format!("it holds no data key {id}")))?;
    // Somebody who can write to the place must not pass one key off as another.
    if text.lines().next() != Some(format!("# ctrlz data key {id}").as_str()) {
        return Err(sealed(format!("it holds another data key than {id}")));
    }
    Ok(DataKey::new(id.clone(), identity))
}

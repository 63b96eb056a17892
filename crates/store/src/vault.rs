//! Encryption of sensitive values: XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03) with a random
//! nonce.
//!
//! A sealed value is one byte, 1, then the nonce (24 bytes), the ciphertext, and the tag (16
//! bytes). What it is bound to, besides its key: the text `ctrlz state 1`, a line feed, the 8 bytes
//! of the key's id, and the name under which it is stored. So one value cannot be put in another
//! one's place. Sandbox and version are left out: forks, rollbacks and imports copy values as they
//! are.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use ctrlz_core::state::{KeyId, StateKey};
use ctrlz_core::state_store::Reseal;
use zeroize::Zeroizing;

const VERSION: u8 = 1;
const NONCE: usize = 24;
const TAG: u64 = 16;

/// By how many bytes a sealed value is longer than the value.
pub const OVERHEAD: u64 = 1 + NONCE as u64 + TAG;

/// What a key's id is derived from it for (BLAKE3, derive_key).
const ID_CONTEXT: &str = "ctrlz 2026-11-22 id of a state key";

/// Why something cannot be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The text is no key.
    #[error(
        "not a key: expected 32 bytes as they are, as 64 hexadecimal digits, or in base64; found {found} bytes"
    )]
    NotAKey {
        /// How many bytes there were.
        found: usize,
    },
    /// 32 bytes that are all letters, digits and signs: a password, or half a key in hexadecimal
    /// digits.
    #[error(
        "not a key: 32 readable characters are too easy to guess; make one with `head -c 32 /dev/urandom`"
    )]
    Guessable,
    /// The kernel gives no random bytes.
    #[error("no random bytes for a nonce")]
    Random(#[source] rustix::io::Errno),
    /// The value was sealed with another key.
    #[error("it is encrypted with key {wanted}; the key that was given is {given}")]
    OtherKey {
        /// The key's id that it needs.
        wanted: KeyId,
        /// The one that was given.
        given: KeyId,
    },
    /// It is no sealed value, or it was sealed under another name, or changed since.
    #[error("it is not what was encrypted for `{0}` with this key")]
    Forged(StateKey),
    /// It has a form that this ctrlz does not know.
    #[error("it is encrypted in form {0}, which this ctrlz does not know")]
    Form(u8),
}

/// A secret key. Its memory is cleared when it is dropped.
pub struct SecretKey(Zeroizing<[u8; 32]>);

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SecretKey({})", self.id())
    }
}

impl SecretKey {
    /// A key of these bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Reads what a file, a variable or a command holds: 32 bytes as they are, or as text with
    /// white space around it, in hexadecimal digits or base64.
    ///
    /// # Errors
    /// [`VaultError::NotAKey`], [`VaultError::Guessable`]
    pub fn read(bytes: &[u8]) -> Result<Self, VaultError> {
        if let Ok(raw) = <[u8; 32]>::try_from(bytes) {
            return match bytes.iter().all(|byte| byte.is_ascii_graphic()) {
                true => Err(VaultError::Guessable),
                false => Ok(Self::new(raw)),
            };
        }
        let text = bytes.trim_ascii();
        let decoded = match text.len() {
            64 => from_hex(text),
            43 | 44 => from_base64(text),
            32 if text.iter().all(u8::is_ascii_graphic) => return Err(VaultError::Guessable),
            _ => None,
        };
        decoded.map(Self::new).ok_or(VaultError::NotAKey { found: bytes.len() })
    }

    /// What names it.
    #[must_use]
    pub fn id(&self) -> KeyId {
        let derived = blake3::derive_key(ID_CONTEXT, self.0.as_slice());
        let mut id = [0; 8];
        id.iter_mut().zip(derived).for_each(|(to, from)| *to = from);
        KeyId(id)
    }

    /// Encrypts a value that is stored under `name`.
    ///
    /// # Errors
    /// [`VaultError::Random`]
    pub fn seal(&self, name: &StateKey, value: &[u8]) -> Result<Vec<u8>, VaultError> {
        let mut nonce = [0; NONCE];
        let mut filled = 0;
        while let Some(rest) = nonce.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let flags = rustix::rand::GetRandomFlags::empty();
            filled += rustix::io::retry_on_intr(|| rustix::rand::getrandom(&mut *rest, flags))
                .map_err(VaultError::Random)?;
        }
        let bound = self.bound(name);
        let payload = Payload { msg: value, aad: &bound };
        let sealed = self
            .cipher()
            .encrypt(&XNonce::from(nonce), payload)
            .map_err(|_| VaultError::Forged(name.clone()))?;
        let mut bytes = Vec::with_capacity(1 + NONCE + sealed.len());
        bytes.push(VERSION);
        bytes.extend_from_slice(&nonce);
        bytes.extend_from_slice(&sealed);
        Ok(bytes)
    }

    /// Decrypts a value that is stored under `name` and was sealed with the key `wanted`.
    ///
    /// # Errors
    /// [`VaultError::OtherKey`], [`VaultError::Forged`], [`VaultError::Form`]
    pub fn open(
        &self,
        name: &StateKey,
        bytes: &[u8],
        wanted: KeyId,
    ) -> Result<Vec<u8>, VaultError> {
        let given = self.id();
        if given != wanted {
            return Err(VaultError::OtherKey { wanted, given });
        }
        let forged = || VaultError::Forged(name.clone());
        let (form, rest) = bytes.split_first().ok_or_else(forged)?;
        if *form != VERSION {
            return Err(VaultError::Form(*form));
        }
        let (nonce, sealed) = rest.split_first_chunk::<NONCE>().ok_or_else(forged)?;
        let bound = self.bound(name);
        let payload = Payload { msg: sealed, aad: &bound };
        self.cipher().decrypt(&XNonce::from(*nonce), payload).map_err(|_| forged())
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&Key::from(*self.0))
    }

    fn bound(&self, name: &StateKey) -> Vec<u8> {
        let mut bound = b"ctrlz state 1\n".to_vec();
        bound.extend_from_slice(&self.id().0);
        bound.extend_from_slice(name.as_str().as_bytes());
        bound
    }
}

fn from_hex(text: &[u8]) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        if !pair.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

fn from_base64(text: &[u8]) -> Option<[u8; 32]> {
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
    let text = text.strip_suffix(b"=").unwrap_or(text);
    let bytes = STANDARD_NO_PAD.decode(text).or_else(|_| URL_SAFE_NO_PAD.decode(text)).ok()?;
    bytes.try_into().ok()
}

/// From one key to another.
#[derive(Debug)]
pub struct Rotation {
    /// The key that opens the values.
    pub from: SecretKey,
    /// The key that they are sealed with.
    pub to: SecretKey,
}

impl Reseal for Rotation {
    fn from(&self) -> KeyId {
        self.from.id()
    }

    fn to(&self) -> KeyId {
        self.to.id()
    }

    fn reseal(
        &self,
        key: &StateKey,
        bytes: &[u8],
    ) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        let value = Zeroizing::new(self.from.open(key, bytes, self.from.id())?);
        Ok(self.to.seal(key, &value)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> StateKey {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_sealed_opens_under_its_name_and_key_alone() {
        let key = SecretKey::new([7; 32]);
        for value in [&b""[..], b"v", &[0; 1000]] {
            let sealed = key.seal(&name("token"), value).unwrap();
            assert_eq!(sealed.len() as u64, value.len() as u64 + OVERHEAD);
            assert_eq!(key.open(&name("token"), &sealed, key.id()).unwrap(), value);
            let elsewhere = key.open(&name("other"), &sealed, key.id());
            assert!(matches!(elsewhere, Err(VaultError::Forged(_))));
            let stranger = SecretKey::new([8; 32]);
            let refused = stranger.open(&name("token"), &sealed, key.id()).unwrap_err();
            let text = refused.to_string();
            assert!(text.contains(&key.id().to_string()), "{text}");
            assert!(text.contains(&stranger.id().to_string()), "{text}");
        }
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let key = SecretKey::new([7; 32]);
        let sealed = key.seal(&name("token"), b"secret").unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut bytes = sealed.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(key.open(&name("token"), &bytes, key.id()).is_err(), "bit {bit}");
        }
        for end in 0..sealed.len() {
            assert!(key.open(&name("token"), &sealed[..end], key.id()).is_err(), "{end} bytes");
        }
    }

    #[test]
    fn equal_values_are_sealed_to_unequal_bytes() {
        let key = SecretKey::new([7; 32]);
        let seal = || key.seal(&name("token"), b"secret").unwrap();
        assert_ne!(seal(), seal());
    }

    #[test]
    fn keys_are_read_in_three_forms_and_no_other() {
        use base64::Engine;
        let raw: [u8; 32] = std::array::from_fn(|at| u8::try_from(at * 8).unwrap());
        let hex: String = raw.iter().map(|byte| format!("{byte:02x}")).collect();
        let base64 = base64::engine::general_purpose::STANDARD.encode(raw);
        let id = SecretKey::new(raw).id();
        let forms = [raw.to_vec(), hex.clone().into(), format!("{base64}\n").into()];
        for form in forms {
            assert_eq!(SecretKey::read(&form).unwrap().id(), id);
        }
        let upper = hex.to_uppercase();
        assert_eq!(SecretKey::read(upper.as_bytes()).unwrap().id(), id);
        for bad in ["", "secret", "0123456789abcdef0123456789abcdef", &hex[..63], &base64[..40]] {
            assert!(SecretKey::read(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}

//! Ed25519 keys in the text forms of C2SP signed notes.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer as _, SigningKey as Secret, VerifyingKey};
use sha2::{Digest as _, Sha256};

/// The algorithm byte of Ed25519 in a signed note's keys.
const ED25519: u8 = 1;

/// Why a text is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It has not the form.
    #[error("this is no {0}")]
    Form(&'static str),
    /// Its name would break a note.
    #[error("`{0}` is no key's name: it must not be empty, and has no spaces and no `+`")]
    Name(String),
    /// The checksum in it is of another key.
    #[error("the key of `{0}` is damaged: its hash does not match")]
    Hash(String),
}

fn check_name(name: &str) -> Result<(), KeyError> {
    let bad = |c: char| c.is_whitespace() || c.is_control() || c == '+';
    if name.is_empty() || name.contains(bad) {
        return Err(KeyError::Name(name.to_owned()));
    }
    Ok(())
}

/// The first four bytes of the SHA-256 of name, line feed, algorithm and public key.
fn hash(name: &str, public: &[u8; 32]) -> [u8; 4] {
    let mut hasher = Sha256::new();
    hasher.update(name.as_bytes());
    hasher.update([b'\n', ED25519]);
    hasher.update(public);
    let [a, b, c, d, ..] = <[u8; 32]>::from(hasher.finalize());
    [a, b, c, d]
}

/// The parts of `name+hash+base64`, of which the last holds the algorithm and 32 bytes.
fn parts(text: &str, what: &'static str) -> Result<(String, [u8; 4], [u8; 32]), KeyError> {
    let form = || KeyError::Form(what);
    let mut parts = text.trim().splitn(3, '+');
    let (Some(name), Some(hash), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(form());
    };
    check_name(name)?;
    if hash.len() != 8 || !hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(form());
    }
    let hash = u32::from_str_radix(hash, 16).map_err(|_| form())?.to_be_bytes();
    let key = STANDARD.decode(key).map_err(|_| form())?;
    let (algorithm, key) = key.split_first().ok_or_else(form)?;
    if *algorithm != ED25519 {
        return Err(form());
    }
    Ok((name.to_owned(), hash, key.try_into().map_err(|_| form())?))
}

fn encoded(key: &[u8; 32]) -> String {
    let mut bytes = vec![ED25519];
    bytes.extend_from_slice(key);
    STANDARD.encode(bytes)
}

/// A private key. Its text is a secret.
pub struct SigningKey {
    name: String,
    secret: Secret,
}

const PRIVATE: &str = "PRIVATE+KEY+";

impl SigningKey {
    /// The key with that seed, which must be 32 random bytes.
    ///
    /// # Errors
    /// [`KeyError::Name`]
    pub fn new(name: &str, seed: &[u8; 32]) -> Result<Self, KeyError> {
        check_name(name)?;
        Ok(Self { name: name.to_owned(), secret: Secret::from_bytes(seed) })
    }

    /// Reads `PRIVATE+KEY+NAME+HASH+BASE64`.
    ///
    /// # Errors
    /// When it is none, or was changed.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        const WHAT: &str = "private key of a signed note";
        let rest = text.trim().strip_prefix(PRIVATE).ok_or(KeyError::Form(WHAT))?;
        let (name, hash, seed) = parts(rest, WHAT)?;
        let key = Self::new(&name, &seed)?;
        if key.verifier().hash() != hash {
            return Err(KeyError::Hash(name));
        }
        Ok(key)
    }

    /// The secret text that [`Self::parse`] reads.
    #[must_use]
    pub fn secret_text(&self) -> String {
        let hash = u32::from_be_bytes(self.verifier().hash());
        format!("{PRIVATE}{}+{hash:08x}+{}", self.name, encoded(self.secret.as_bytes()))
    }

    /// The public half.
    #[must_use]
    pub fn verifier(&self) -> Verifier {
        Verifier { name: self.name.clone(), public: self.secret.verifying_key() }
    }

    pub(super) fn sign(&self, text: &str) -> [u8; 64] {
        self.secret.sign(text.as_bytes()).to_bytes()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A public key. Its text is `NAME+HASH+BASE64`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verifier {
    name: String,
    public: VerifyingKey,
}

impl Verifier {
    /// Whose it is.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn hash(&self) -> [u8; 4] {
        hash(&self.name, self.public.as_bytes())
    }

    pub(super) fn accepts(&self, text: &str, signature: &[u8; 64]) -> bool {
        // Strict: no two encodings of one signature.
        self.public.verify_strict(text.as_bytes(), &Signature::from_bytes(signature)).is_ok()
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hash = u32::from_be_bytes(self.hash());
        write!(f, "{}+{hash:08x}+{}", self.name, encoded(self.public.as_bytes()))
    }
}

impl FromStr for Verifier {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, KeyError> {
        const WHAT: &str = "public key of a signed note (NAME+HASH+KEY)";
        let (name, expected, public) = parts(text, WHAT)?;
        let public = VerifyingKey::from_bytes(&public).map_err(|_| KeyError::Form(WHAT))?;
        let key = Self { name, public };
        if key.hash() != expected {
            return Err(KeyError::Hash(key.name));
        }
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_back_and_a_changed_one_is_refused() {
        let key = SigningKey::new("log.test", &[7; 32]).unwrap();
        let (secret, public) = (key.secret_text(), key.verifier().to_string());
        assert_eq!(SigningKey::parse(&secret).unwrap().verifier(), key.verifier());
        assert_eq!(public.parse(), Ok(key.verifier()));
        assert!(!format!("{key:?}").contains(&secret[secret.len() - 20..]));
        let renamed = public.replacen("log", "lag", 1);
        assert_eq!(renamed.parse::<Verifier>(), Err(KeyError::Hash("lag.test".to_owned())));
        assert!(secret.parse::<Verifier>().is_err(), "a secret is not taken for a public key");
        for bad in ["", "a", "a+b+c", "a b+00000000+AA==", "+00000000+AA=="] {
            assert!(bad.parse::<Verifier>().is_err(), "{bad}");
        }
        for name in ["", "a b", "a+b", "a\nb"] {
            assert!(SigningKey::new(name, &[7; 32]).is_err(), "{name}");
        }
    }

    /// The example of the C2SP specification.
    #[test]
    fn reads_the_keys_of_the_specification() {
        let text = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let key: Verifier = text.parse().unwrap();
        assert_eq!((key.name(), key.to_string().as_str()), ("PeterNeumann", text));
    }
}

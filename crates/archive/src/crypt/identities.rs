//! What opens data keys: identity files, SSH keys, passphrases.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use age::secrecy::SecretString;
use age::{Callbacks, Decryptor, Identity, IdentityFile};
use zeroize::Zeroizing;

use super::Passphrase;
use crate::ArchiveError;

/// The largest identity file, in bytes.
const LARGEST: usize = 256 << 10;

/// The most that trying a passphrase may cost, as scrypt's power of two: some ten seconds and 4 GiB
/// of memory would be 22. An archive decides what it asks for, so there is a limit.
const MOST_WORK: u8 = 20;

/// What opens data keys.
#[derive(Default)]
pub struct Identities {
    pub(super) keys: Vec<Box<dyn Identity + Send + Sync>>,
}

impl std::fmt::Debug for Identities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identities({})", self.keys.len())
    }
}

/// Answers a question for a passphrase with the one that was given before.
#[derive(Clone)]
struct Given(Option<SecretString>);

impl Callbacks for Given {
    fn display_message(&self, _: &str) {}

    fn confirm(&self, _: &str, _: &str, _: Option<&str>) -> Option<bool> {
        None
    }

    fn request_public_string(&self, _: &str) -> Option<String> {
        None
    }

    fn request_passphrase(&self, _: &str) -> Option<SecretString> {
        self.0.clone()
    }
}

impl Identities {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file with identities of age, such an encrypted file, or a private key of SSH. What is
    /// encrypted is opened with `passphrase`.
    ///
    /// # Errors
    /// When it cannot be read, is none of these, or the passphrase is missing or wrong.
    pub fn add_file(
        &mut self,
        path: &Path,
        passphrase: Option<&Passphrase>,
    ) -> Result<(), ArchiveError> {
        let what = format!("the identity file {}", path.display());
        let file = File::open(path).map_err(|e| refused(&what, e))?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(LARGEST + 1));
        let limit = u64::try_from(LARGEST).unwrap_or(u64::MAX) + 1;
        file.take(limit).read_to_end(&mut bytes).map_err(|e| refused(&what, e))?;
        if bytes.len() > LARGEST {
            return Err(refused(&what, format!("larger than {LARGEST} bytes")));
        }
        self.add(&bytes, &what, passphrase)
    }

    /// Adds what [`Identities::add_file`] would find in a file with these bytes. `what` is where
    /// they come from, for errors.
    ///
    /// # Errors
    /// The same.
    pub fn add(
        &mut self,
        bytes: &[u8],
        what: &str,
        passphrase: Option<&Passphrase>,
    ) -> Result<(), ArchiveError> {
        let given = Given(passphrase.map(|p| p.0.clone()));
        if bytes.starts_with(b"-----BEGIN AGE") || bytes.starts_with(b"age-encryption.org/") {
            return self.add_encrypted(bytes, what, given);
        }
        if bytes.trim_ascii_start().starts_with(b"-----BEGIN ") {
            return self.add_ssh(bytes, what, given);
        }
        let found = IdentityFile::from_buffer(bytes)
            .map_err(|e| refused(what, e))?
            .into_identities()
            .map_err(|e| refused(what, e))?;
        if found.is_empty() {
            return Err(refused(what, "no identity is in it"));
        }
        self.keys.extend(found);
        Ok(())
    }

    /// Adds the passphrase that a place's data keys are encrypted to.
    pub fn add_passphrase(&mut self, passphrase: &Passphrase) {
        let mut identity = age::scrypt::Identity::new(passphrase.0.clone());
        identity.set_max_work_factor(MOST_WORK);
        self.keys.push(Box::new(identity));
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    fn add_encrypted(
        &mut self,
        bytes: &[u8],
        what: &str,
        given: Given,
    ) -> Result<(), ArchiveError> {
        if given.0.is_none() {
            return Err(refused(what, "it is encrypted, and no passphrase was given for it"));
        }
        let plain = age::armor::ArmoredReader::new(bytes);
        let decryptor =
            Decryptor::new_buffered(BufReader::new(plain)).map_err(|e| refused(what, e))?;
        let encrypted =
            age::encrypted::EncryptedIdentity::new(decryptor, given, Some(MOST_WORK))
                .ok_or_else(|| refused(what, "it is encrypted, but not with a passphrase"))?;
        let found = encrypted
            .decrypt(None)
            .and_then(IdentityFile::into_identities)
            .map_err(|_| refused(what, "the passphrase is wrong, or the file is damaged"))?;
        self.keys.extend(found);
        Ok(())
    }

    fn add_ssh(&mut self, bytes: &[u8], what: &str, given: Given) -> Result<(), ArchiveError> {
        use age::ssh::Identity as Ssh;
        let key = Ssh::from_buffer(bytes, None)
            .map_err(|_| refused(what, "neither identities of age nor a private key of SSH"))?;
        let key = match key {
            Ssh::Encrypted(encrypted) => {
                let Some(passphrase) = given.0 else {
                    return Err(refused(
                        what,
                        "it is encrypted, and no passphrase was given for it",
                    ));
                };
                // Now, so that a wrong passphrase is told as such and not as a missing key.
                let opened = encrypted.decrypt(passphrase).map_err(|_| {
                    refused(what, "the passphrase is wrong, or the file is damaged")
                })?;
                Ssh::from(opened)
            }
            Ssh::Unsupported(_) => {
                return Err(refused(what, "age cannot decrypt with this kind of SSH key"));
            }
            plain @ Ssh::Unencrypted(_) => plain,
        };
        self.keys.push(Box::new(key));
        Ok(())
    }
}

fn refused(what: &str, why: impl std::fmt::Display) -> ArchiveError {
    ArchiveError::Key { what: what.to_owned(), why: why.to_string() }
}

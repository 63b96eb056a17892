//! Learning the file key that age's own code makes or finds.
//!
//! Headers are written and read by the crate `age`. The payload, which is all of the work, is
//! encrypted by `ring`, which takes less than half the time. Between the two stands the file key.

use std::cell::RefCell;
use std::collections::HashSet;

use age::{DecryptError, EncryptError, Identity, Recipient};
use age_core::format::{FILE_KEY_BYTES, FileKey, Stanza};
use age_core::secrecy::ExposeSecret;
use zeroize::Zeroizing;

/// A recipient or an identity, and the file key that went through it.
pub(super) struct Catch<'a, T: ?Sized> {
    inner: &'a T,
    caught: RefCell<Option<Zeroizing<[u8; FILE_KEY_BYTES]>>>,
}

impl<'a, T: ?Sized> Catch<'a, T> {
    pub(super) fn new(inner: &'a T) -> Self {
        Self { inner, caught: RefCell::new(None) }
    }

    fn catch(&self, key: &FileKey) {
        *self.caught.borrow_mut() = Some(Zeroizing::new(*key.expose_secret()));
    }

    pub(super) fn take(&self) -> Option<Zeroizing<[u8; FILE_KEY_BYTES]>> {
        self.caught.borrow_mut().take()
    }
}

impl Recipient for Catch<'_, dyn Recipient + '_> {
    fn wrap_file_key(
        &self,
        file_key: &FileKey,
    ) -> Result<(Vec<Stanza>, HashSet<String>), EncryptError> {
        self.catch(file_key);
        self.inner.wrap_file_key(file_key)
    }
}

impl Identity for Catch<'_, dyn Identity + '_> {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        self.unwrap_stanzas(std::slice::from_ref(stanza))
    }

    fn unwrap_stanzas(&self, stanzas: &[Stanza]) -> Option<Result<FileKey, DecryptError>> {
        let found = self.inner.unwrap_stanzas(stanzas);
        if let Some(Ok(key)) = &found {
            self.catch(key);
        }
        found
    }
}

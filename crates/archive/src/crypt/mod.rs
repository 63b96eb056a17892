//! Encryption by age (age-encryption.org/v1).
//!
//! A place has data keys. A blob is encrypted to one of them; each data key is a small age file of
//! its own, encrypted to the people it is for. Their public halves are told to nobody: whoever has
//! no data key can neither read a blob nor make one that would be taken for ours.
//!
//! Secrets are wiped from memory when they are dropped: passphrases, identities, data keys and the
//! file keys of blobs. What `ring` derives from a file key for one blob is not, nor is what the
//! kernel keeps of pages; the caller has to forbid core dumps (`PR_SET_DUMPABLE`) where that matters.

mod catch;
mod identities;
mod keys;
mod opener;
mod passphrase;
mod recipients;
mod sealer;

pub use identities::Identities;
pub use keys::{
    DataKey, KEYS, KeyId, Keyring, Rewrapped, init_keys, merge_keys, open_keys, rewrap_keys,
};
pub use opener::Opener;
pub use passphrase::{Passphrase, PassphraseSource};
pub use recipients::Recipients;
pub use sealer::Sealer;

/// The plain bytes in one chunk of age's payload.
const CHUNK: usize = 64 << 10;

/// What authentication adds to each chunk.
const TAG: usize = 16;

/// The nonce of chunk `number`: an 11-byte counter and whether it is the last one.
fn chunk_nonce(number: u64, last: bool) -> ring::aead::Nonce {
    let mut nonce = [0; 12];
    if let Some(counter) = nonce.get_mut(3..11) {
        counter.copy_from_slice(&number.to_be_bytes());
    }
    if let Some(flag) = nonce.last_mut() {
        *flag = u8::from(last);
    }
    ring::aead::Nonce::assume_unique_for_key(nonce)
}

/// The key of a payload, from the file key and the nonce behind the header.
fn payload_key(
    file_key: &zeroize::Zeroizing<[u8; 16]>,
    nonce: &[u8; 16],
) -> Option<ring::aead::LessSafeKey> {
    let key = age_core::primitives::hkdf(nonce, b"payload", file_key.as_slice());
    let key = zeroize::Zeroizing::new(key);
    let key = ring::aead::UnboundKey::new(&ring::aead::CHACHA20_POLY1305, key.as_slice()).ok()?;
    Some(ring::aead::LessSafeKey::new(key))
}

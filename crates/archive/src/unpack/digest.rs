//! The digest of a layer on its way from the decompressing thread.

use std::sync::mpsc::{Receiver, SyncSender};

use crate::ahead::Piece;
use crate::error::ArchiveError;
use crate::sha256::Sha256;

/// Passes pieces on and computes the digest of them all.
pub(super) fn hash(from: &Receiver<Piece>, to: &SyncSender<Piece>) -> Sha256 {
    let mut hasher = Sha256::new();
    while let Ok(piece) = from.recv() {
        if let Ok(bytes) = &piece {
            hasher.update(bytes);
        }
        if to.send(piece).is_err() {
            break;
        }
    }
    hasher
}

/// The digest of a stream that was passed on whole is not the expected one.
pub(super) fn check(
    found: Sha256,
    expected: Option<&ctrlz_core::digest::Digest>,
) -> Result<ctrlz_core::digest::Digest, ArchiveError> {
    let found = found.finish();
    match expected {
        Some(expected) if *expected != found => Err(ArchiveError::Damaged {
            digest: *expected,
            what: format!("decompressed, its digest is {found}"),
        }),
        _ => Ok(found),
    }
}

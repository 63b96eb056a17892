//! The chain of evidence: checking the event log, and signing how far it has come.
//!
//! All but [`Notary`] works on text alone, so that it holds for an export on a machine that has
//! never seen the store. What it shows: with the public key of the log, that the events up to the newest
//! checkpoint are those that were signed, complete and in order. What no log can show by itself:
//! that events after its newest checkpoint were not dropped, and that who holds the private key
//! did not write a log of his own. For that keep a checkpoint elsewhere.

mod chain;
mod checkpoint;
mod export;
mod journal;
mod keys;
mod notary;
mod note;

pub use chain::{Break, Link, Start, check};
pub use checkpoint::{Checkpoint, CheckpointError};
pub use export::{Bundle, BundleError, Verified, VerifyError, verify};
pub use journal::{Difference, compare};
pub use keys::{KeyError, SigningKey, Verifier};
pub use notary::{Notary, NotaryError};
pub use note::NoteError;

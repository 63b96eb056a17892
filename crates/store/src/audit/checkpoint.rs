//! Checkpoints: how far a log has come, signed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ctrlz_core::digest::Digest;

use super::keys::{SigningKey, Verifier};
use super::note::{self, NoteError};

/// The first line of every checkpoint: what kind of statement is signed.
const KIND: &str = "ctrlz event log v1";

/// Why a checkpoint is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The note around it is not good.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The text is no checkpoint.
    #[error("this is no checkpoint of an event log")]
    Form,
}

/// That the first `number` events of a log end in a certain one. Its text, inside of a C2SP signed
/// note, has five lines: the kind of statement, the log's source, the number, the base64 of the
/// SHA-256 of the event's bytes, and the time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log.
    pub source: String,
    /// The event.
    pub number: i64,
    /// The SHA-256 of its bytes.
    pub hash: Digest,
    /// When it was signed, in RFC 3339.
    pub time: String,
}

impl Checkpoint {
    /// The signed note that says so.
    #[must_use]
    pub fn sign(&self, key: &SigningKey) -> String {
        let hash = STANDARD.encode(self.hash.bytes);
        let text = format!("{KIND}\n{}\n{}\n{hash}\n{}\n", self.source, self.number, self.time);
        note::sign(&text, key)
    }

    /// Reads a note that `key` must have signed.
    ///
    /// # Errors
    /// When it did not, or what it signed is no checkpoint.
    pub fn open(note: &str, key: &Verifier) -> Result<Self, CheckpointError> {
        Self::parse(note::open(note, key)?)
    }

    /// Reads a note and believes it.
    ///
    /// # Errors
    /// When it is no checkpoint.
    pub fn read_unverified(note: &str) -> Result<Self, CheckpointError> {
        Self::parse(note::text(note)?)
    }

    fn parse(text: &str) -> Result<Self, CheckpointError> {
        let mut lines = text.lines();
        let mut line = || lines.next().ok_or(CheckpointError::Form);
        if line()? != KIND {
            return Err(CheckpointError::Form);
        }
        let source = line()?.to_owned();
        let number = line()?;
        let parsed: i64 = number.parse().map_err(|_| CheckpointError::Form)?;
        let hash = STANDARD.decode(line()?).map_err(|_| CheckpointError::Form)?;
        let hash: [u8; 32] = hash.try_into().map_err(|_| CheckpointError::Form)?;
        let time = line()?.to_owned();
        if parsed < 1 || parsed.to_string() != number || lines.next().is_some() {
            return Err(CheckpointError::Form);
        }
        Ok(Self { source, number: parsed, hash: Digest::sha256(hash), time })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_when_it_is_signed() {
        let key = SigningKey::new("log.test", &[1; 32]).unwrap();
        let checkpoint = Checkpoint {
            source: "urn:uuid:x".to_owned(),
            number: 12,
            hash: Digest::sha256([3; 32]),
            time: "2026-01-31T12:00:00Z".to_owned(),
        };
        let note = checkpoint.sign(&key);
        assert_eq!(Checkpoint::open(&note, &key.verifier()), Ok(checkpoint.clone()));
        assert_eq!(Checkpoint::read_unverified(&note), Ok(checkpoint));
        let other = note::sign("something else\n", &key);
        assert_eq!(Checkpoint::open(&other, &key.verifier()), Err(CheckpointError::Form));
        let changed = note.replacen("\n12\n", "\n13\n", 1);
        assert!(matches!(
            Checkpoint::open(&changed, &key.verifier()),
            Err(CheckpointError::Note(NoteError::Forged(_)))
        ));
    }
}

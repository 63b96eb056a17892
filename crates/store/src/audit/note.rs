//! C2SP signed notes: a text, an empty line, and signatures.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::keys::{SigningKey, Verifier};

/// Why a note is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// It has not the form.
    #[error("this is no signed note")]
    Form,
    /// Nobody known signed it.
    #[error("it is not signed by `{0}`")]
    Unsigned(String),
    /// The signature is of another text.
    #[error("the signature by `{0}` does not match: the text was changed")]
    Forged(String),
}

/// `text`, which ends in a line feed, signed.
pub(super) fn sign(text: &str, key: &SigningKey) -> String {
    let verifier = key.verifier();
    let mut signature = verifier.hash().to_vec();
    signature.extend_from_slice(&key.sign(text));
    format!("{text}\n\u{2014} {} {}\n", verifier.name(), STANDARD.encode(signature))
}

/// The text of `note`, when `key` signed it. Signatures by others are passed over.
pub(super) fn open<'a>(note: &'a str, key: &Verifier) -> Result<&'a str, NoteError> {
    let (text, signatures) = split(note)?;
    for line in signatures.lines() {
        let (name, encoded) = line
            .strip_prefix("\u{2014} ")
            .and_then(|rest| rest.split_once(' '))
            .ok_or(NoteError::Form)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| NoteError::Form)?;
        let (hash, signature) = bytes.split_at_checked(4).ok_or(NoteError::Form)?;
        if name != key.name() || hash != key.hash() {
            continue;
        }
        let forged = || NoteError::Forged(name.to_owned());
        let signature: &[u8; 64] = signature.try_into().map_err(|_| forged())?;
        return if key.accepts(text, signature) { Ok(text) } else { Err(forged()) };
    }
    Err(NoteError::Unsigned(key.name().to_owned()))
}

/// The text of a note that nobody's signature is checked of.
pub(super) fn text(note: &str) -> Result<&str, NoteError> {
    split(note).map(|(text, _)| text)
}

/// The text with its last line feed, and the lines of signatures.
fn split(note: &str) -> Result<(&str, &str), NoteError> {
    let at = note.rfind("\n\n").ok_or(NoteError::Form)?;
    let (text, rest) = note.split_at_checked(at + 1).ok_or(NoteError::Form)?;
    let signatures = rest.strip_prefix('\n').ok_or(NoteError::Form)?;
    let control = |c: char| c.is_control() && c != '\n';
    if signatures.is_empty() || !signatures.ends_with('\n') || note.contains(control) {
        return Err(NoteError::Form);
    }
    Ok((text, signatures))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> SigningKey {
        SigningKey::new(name, &[9; 32]).unwrap()
    }

    /// The example of the C2SP specification.
    #[test]
    fn opens_the_note_of_the_specification() {
        let note = "If you think cryptography is the answer to your problem,\n\
            then you don't know what your problem is.\n\n\
            \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNX\
            gKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
        let key: Verifier =
            "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW".parse().unwrap();
        assert!(open(note, &key).unwrap().ends_with("what your problem is.\n"));
        let changed = note.replacen("answer", "Answer", 1);
        assert_eq!(open(&changed, &key), Err(NoteError::Forged("PeterNeumann".to_owned())));
    }

    #[test]
    fn every_changed_byte_is_seen() {
        let note = sign("one\ntwo\n", &key("log.test"));
        let verifier = key("log.test").verifier();
        assert_eq!(open(&note, &verifier), Ok("one\ntwo\n"));
        for at in 0..note.len() {
            let mut bytes = note.clone().into_bytes();
            bytes[at] ^= 1;
            let Ok(bad) = String::from_utf8(bytes) else { continue };
            assert!(open(&bad, &verifier).is_err(), "byte {at}");
            if note.is_char_boundary(at) {
                assert!(open(&note[..at], &verifier).is_err(), "cut at {at}");
            }
        }
    }

    #[test]
    fn another_key_and_another_name_are_strangers() {
        let note = sign("text\n", &key("log.test"));
        let other = key("log.other").verifier();
        assert_eq!(open(&note, &other), Err(NoteError::Unsigned("log.other".to_owned())));
        let twice = format!("{note}{}", sign("text\n", &key("log.other")).lines().last().unwrap());
        assert!(open(&format!("{twice}\n"), &other).is_ok(), "a second signature is looked at");
    }
}

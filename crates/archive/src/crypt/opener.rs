//! Decrypting what is read.

use std::io::{self, BufReader, Read};

use age::{DecryptError, Decryptor, Identity};
use ctrlz_core::digest::Digest;
use ring::aead::{Aad, LessSafeKey};

use super::catch::Catch;
use super::{CHUNK, KeyId, Keyring, TAG, chunk_nonce, payload_key};
use crate::ArchiveError;

/// The most bytes of a header. One recipient takes 200; the limit is for whoever wants us to read
/// on and on.
const HEADER: usize = 4096;

/// A reader that decrypts. Every byte that it gives is authentic; whether it was all of them is
/// known when it has given the last one.
pub struct Opener<R: Read> {
    inner: BufReader<R>,
    digest: Digest,
    key: LessSafeKey,
    number: u64,
    /// Encrypted bytes, then plain ones in the same place.
    buffer: Vec<u8>,
    /// Plain bytes in `buffer` that were not given yet.
    ready: std::ops::Range<usize>,
    /// The first byte of the next chunk, read to know that there is one.
    ahead: Option<u8>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Middle,
    Ended,
    Wrong(&'static str),
}

impl<R: Read> std::fmt::Debug for Opener<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Opener({}, chunk {})", self.digest, self.number)
    }
}

/// Gives at most [`HEADER`] bytes and remembers the last sixteen: the payload's nonce.
struct Header<'a, R> {
    inner: &'a mut BufReader<R>,
    given: usize,
    last: [u8; 16],
}

impl<R: Read> Read for Header<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = HEADER.saturating_sub(self.given).min(buffer.len());
        let length = self.inner.read(buffer.get_mut(..room).unwrap_or_default())?;
        self.given += length;
        for byte in buffer.get(..length).unwrap_or_default() {
            self.last.rotate_left(1);
            if let Some(end) = self.last.last_mut() {
                *end = *byte;
            }
        }
        Ok(length)
    }
}

impl<R: Read> Opener<R> {
    /// Decrypts the blob `digest`, which `inner` gives from its first byte, with the data key
    /// `id`, or with whichever fits when nobody said which.
    ///
    /// # Errors
    /// When the key is missing or wrong, or the blob is no age file.
    pub fn new(
        inner: R,
        digest: Digest,
        keys: &Keyring,
        id: Option<&KeyId>,
    ) -> Result<Self, ArchiveError> {
        let sealed = |why: String| ArchiveError::Sealed { digest, why };
        let missing = || match id {
            Some(id) => format!("it is encrypted to the data key {id}, which is not at hand"),
            None => "none of the data keys at hand opens it".to_owned(),
        };
        let candidates = match id {
            Some(id) => vec![keys.get(id).ok_or_else(|| sealed(missing()))?],
            None => keys.iter().collect(),
        };
        let mut inner = BufReader::new(inner);
        let mut header = Header { inner: &mut inner, given: 0, last: [0; 16] };
        let decryptor = Decryptor::new(&mut header).map_err(|error| unreadable(digest, error))?;
        let identities: Vec<Catch<'_, dyn Identity>> =
            candidates.iter().map(|key| Catch::new(key.identity() as &dyn Identity)).collect();
        let opened = decryptor.decrypt(identities.iter().map(|catch| catch as &dyn Identity));
        match opened.map(drop) {
            Ok(()) => {}
            Err(DecryptError::NoMatchingKeys) => {
                // To age, a wrong key and a changed header are the same.
                return Err(sealed(match id {
                    Some(id) => format!(
                        "the data key {id} does not fit: the blob was changed, or exchanged for another"
                    ),
                    None => missing(),
                }));
            }
            Err(error) => return Err(unreadable(digest, error)),
        }
        let nonce = header.last;
        let key = identities.iter().find_map(Catch::take);
        let key = key.and_then(|key| payload_key(&key, &nonce));
        let key = key.ok_or_else(|| sealed("age found no file key".to_owned()))?;
        Ok(Self {
            inner,
            digest,
            key,
            number: 0,
            buffer: vec![0; CHUNK + TAG],
            ready: 0..0,
            ahead: None,
            state: State::Middle,
        })
    }

    /// The blob that is read.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Where the encrypted bytes came from. Only after the last plain byte has all of it been read.
    pub fn into_inner(self) -> BufReader<R> {
        self.inner
    }

    /// Reads and decrypts the next chunk.
    fn next(&mut self) -> io::Result<()> {
        let mut filled = 0;
        if let Some(byte) = self.ahead.take()
            && let Some(first) = self.buffer.first_mut()
        {
            *first = byte;
            filled = 1;
        }
        filled += read_full(&mut self.inner, self.buffer.get_mut(filled..).unwrap_or_default())?;
        let full = filled == CHUNK + TAG;
        let mut one = [0; 1];
        if full && read_full(&mut self.inner, &mut one)? == 1 {
            self.ahead = one.first().copied();
        }
        let last = self.ahead.is_none();
        if filled < TAG {
            return self.refuse("it ends in the middle");
        }
        let cipher = self.buffer.get_mut(..filled).unwrap_or_default();
        // A failed attempt leaves nothing to try again with.
        let copy = if last && full { Some(cipher.to_vec()) } else { None };
        let nonce = chunk_nonce(self.number, last);
        let plain = match self.key.open_in_place(nonce, Aad::empty(), cipher) {
            Ok(plain) => plain.len(),
            Err(_) => {
                let nonce = chunk_nonce(self.number, false);
                let is_middle = copy.is_some_and(|mut copy| {
                    self.key.open_in_place(nonce, Aad::empty(), &mut copy).is_ok()
                });
                return self.refuse(if is_middle {
                    "it was cut off behind a whole chunk"
                } else {
                    "its bytes were changed, exchanged or cut off"
                });
            }
        };
        if plain == 0 && self.number > 0 {
            return self.refuse("it has an empty chunk at its end");
        }
        self.ready = 0..plain;
        self.number += 1;
        if last {
            self.state = State::Ended;
        }
        Ok(())
    }

    fn refuse(&mut self, why: &'static str) -> io::Result<()> {
        self.state = State::Wrong(why);
        self.ready = 0..0;
        Err(ArchiveError::Sealed { digest: self.digest, why: why.to_owned() }.into())
    }
}

/// What age says of a header that it cannot use.
fn unreadable(digest: Digest, error: DecryptError) -> ArchiveError {
    let sealed = |why: &str| ArchiveError::Sealed { digest, why: why.to_owned() };
    match error {
        DecryptError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            sealed("it ends before its header does")
        }
        DecryptError::Io(error) => {
            ArchiveError::of(error, |e| sealed(&format!("it cannot be read: {e}")))
        }
        DecryptError::InvalidHeader | DecryptError::UnknownFormat => {
            sealed("it does not begin as an age file does")
        }
        DecryptError::InvalidMac => sealed("its header was changed"),
        DecryptError::DecryptionFailed => sealed("the key in its header was changed"),
        other => sealed(&other.to_string()),
    }
}

fn read_full(from: &mut impl Read, mut buffer: &mut [u8]) -> io::Result<usize> {
    let mut total = 0;
    while !buffer.is_empty() {
        match from.read(buffer) {
            Ok(0) => break,
            Ok(length) => {
                total += length;
                buffer = buffer.get_mut(length..).unwrap_or_default();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(total)
}

impl<R: Read> Read for Opener<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.ready.is_empty() {
            match self.state {
                State::Middle => self.next()?,
                State::Ended => return Ok(0),
                State::Wrong(why) => self.refuse(why)?,
            }
        }
        let ready = self.buffer.get(self.ready.clone()).unwrap_or_default();
        let length = ready.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..length), ready.get(..length)) {
            to.copy_from_slice(from);
        }
        self.ready.start += length;
        Ok(length)
    }
}

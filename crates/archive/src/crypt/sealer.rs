//! Encrypting what is written.

use std::io::{self, Write};

use age::{Encryptor, Recipient};
use ring::aead::{Aad, LessSafeKey};

use super::catch::Catch;
use super::{CHUNK, DataKey, TAG, chunk_nonce, payload_key};

/// How many chunks are handed on at once.
const AT_ONCE: usize = 4;

/// A writer that encrypts. What was written is whole only after [`Sealer::finish`].
pub struct Sealer<W: Write> {
    inner: W,
    key: LessSafeKey,
    number: u64,
    /// Plain bytes of the chunk that grows at the end, after encrypted ones.
    buffer: Vec<u8>,
    /// Where that chunk begins.
    start: usize,
}

impl<W: Write> std::fmt::Debug for Sealer<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealer(chunk {})", self.number)
    }
}

impl<W: Write> Sealer<W> {
    /// Encrypts to `key` what is written, and writes it to `inner`.
    ///
    /// # Errors
    /// When `inner` takes no header.
    pub fn new(mut inner: W, key: &DataKey) -> io::Result<Self> {
        let recipient: &dyn Recipient = key.recipient();
        let caught = Catch::new(recipient);
        let encryptor = Encryptor::with_recipients(std::iter::once(&caught as &dyn Recipient))
            .map_err(io::Error::other)?;
        // Header and nonce, for an empty payload that is never finished: the payload is ours.
        let mut header = Vec::with_capacity(256);
        drop(encryptor.wrap_output(&mut header)?);
        let nonce = header.last_chunk::<16>().copied();
        let key = caught.take().zip(nonce).and_then(|(key, nonce)| payload_key(&key, &nonce));
        let key = key.ok_or_else(|| io::Error::other("age made no file key"))?;
        inner.write_all(&header)?;
        let buffer = Vec::with_capacity(AT_ONCE * (CHUNK + TAG));
        Ok(Self { inner, key, number: 0, buffer, start: 0 })
    }

    /// Encrypts the end and hands back where it was written to.
    ///
    /// # Errors
    /// When the end cannot be written.
    pub fn finish(mut self) -> io::Result<W> {
        self.seal(true)?;
        self.inner.write_all(&self.buffer)?;
        Ok(self.inner)
    }

    fn seal(&mut self, last: bool) -> io::Result<()> {
        let chunk = self.buffer.get_mut(self.start..).unwrap_or_default();
        let tag = self
            .key
            .seal_in_place_separate_tag(chunk_nonce(self.number, last), Aad::empty(), chunk)
            .map_err(|_| io::Error::other("a chunk could not be encrypted"))?;
        self.buffer.extend_from_slice(tag.as_ref());
        self.start = self.buffer.len();
        self.number = self
            .number
            .checked_add(1)
            .ok_or_else(|| io::Error::other("too many chunks for one blob"))?;
        Ok(())
    }
}

impl<W: Write> Write for Sealer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        // The last chunk may be a full one, so a full one waits until more comes.
        if self.buffer.len() - self.start == CHUNK {
            self.seal(false)?;
            if self.start >= AT_ONCE * (CHUNK + TAG) {
                self.inner.write_all(&self.buffer)?;
                self.buffer.clear();
                self.start = 0;
            }
        }
        let room = CHUNK - (self.buffer.len() - self.start);
        let taken = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        self.buffer.extend_from_slice(taken);
        Ok(taken.len())
    }

    /// Hands on what is encrypted. The chunk that grows stays: only full ones may stand before the
    /// last.
    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

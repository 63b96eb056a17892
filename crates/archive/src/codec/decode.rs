//! Reading compressed bytes of any of the formats, told apart by their first bytes.

use std::io::{self, BufRead, BufReader, Chain, Cursor, ErrorKind, Read};

use flate2::bufread::MultiGzDecoder;

use crate::error::ArchiveError;
use crate::tar::Limits;

/// How many bytes tell a format.
const MAGIC: usize = 6;

/// Decompresses a stream within limits. Its errors are [`ArchiveError`]s inside of
/// [`io::Error`]s.
pub struct Decoder<R: Read> {
    format: Format<R>,
    limits: Limits,
    /// Bytes that were given out.
    written: u64,
}

enum Format<R: Read> {
    Zstd(zstd::stream::read::Decoder<'static, Input<R>>),
    Gzip(Box<MultiGzDecoder<Input<R>>>),
    Plain(Input<R>),
}

/// The compressed stream, counted. It remembers its errors, which are none of the format's.
struct Input<R> {
    inner: BufReader<Chain<Cursor<Vec<u8>>, R>>,
    read: u64,
    failed: bool,
}

impl<R: Read> Read for Input<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(to).inspect_err(|_| self.failed = true)?;
        self.read += length as u64;
        Ok(length)
    }
}

impl<R: Read> BufRead for Input<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf().inspect_err(|_| self.failed = true)
    }

    fn consume(&mut self, length: usize) {
        self.read += length as u64;
        self.inner.consume(length);
    }
}

fn malformed(why: impl Into<String>) -> ArchiveError {
    ArchiveError::Malformed { what: "a compressed layer", why: why.into() }
}

impl<R: Read> std::fmt::Debug for Decoder<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder").field("written", &self.written).finish_non_exhaustive()
    }
}

impl<R: Read> Decoder<R> {
    /// Looks at the first bytes of `input` and decompresses what they announce.
    ///
    /// # Errors
    /// When the stream fails, or is of a format that is known and not read.
    pub fn new(mut input: R, limits: Limits) -> Result<Self, ArchiveError> {
        let mut magic = Vec::with_capacity(MAGIC);
        match input.by_ref().take(MAGIC as u64).read_to_end(&mut magic) {
            Ok(_) => {}
            Err(error) => return Err(ArchiveError::stream("read", error)),
        }
        let start = magic.clone();
        let inner = BufReader::with_capacity(1 << 17, Cursor::new(magic).chain(input));
        let input = Input { inner, read: 0, failed: false };
        let format = match start.as_slice() {
            // A frame, or one that is to be skipped (RFC 8878, section 3.1).
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(input)
                    .map_err(|error| malformed(error.to_string()))?;
                decoder
                    .window_log_max(limits.window_log)
                    .map_err(|error| malformed(error.to_string()))?;
                Format::Zstd(decoder)
            }
            [0x1f, 0x8b, ..] => Format::Gzip(Box::new(MultiGzDecoder::new(input))),
            b"\xfd7zXZ\0" => return Err(malformed("it is compressed by xz, which is not read")),
            [b'B', b'Z', b'h', ..] => {
                return Err(malformed("it is compressed by bzip2, which is not read"));
            }
            _ => Format::Plain(input),
        };
        Ok(Self { format, limits, written: 0 })
    }

    fn input(&self) -> &Input<R> {
        match &self.format {
            Format::Zstd(zstd) => zstd.get_ref(),
            Format::Gzip(gzip) => gzip.get_ref(),
            Format::Plain(input) => input,
        }
    }

    /// How many compressed bytes were read.
    #[must_use]
    pub fn read_bytes(&self) -> u64 {
        self.input().read
    }

    fn check(&self) -> Result<(), ArchiveError> {
        let limits = &self.limits;
        if self.written > limits.bytes {
            return Err(malformed(format!("it becomes longer than {} bytes", limits.bytes)));
        }
        let most = self.input().read.saturating_mul(limits.ratio);
        if self.written > limits.ratio_from && self.written > most {
            let why = format!("it becomes more than {} times as long, like a bomb", limits.ratio);
            return Err(malformed(why));
        }
        Ok(())
    }
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let result = match &mut self.format {
            Format::Zstd(zstd) => zstd.read(to),
            Format::Gzip(gzip) => gzip.read(to),
            Format::Plain(input) => input.read(to),
        };
        match result {
            Ok(length) => {
                self.written += length as u64;
                self.check().map_err(io::Error::other)?;
                Ok(length)
            }
            Err(error) if self.input().failed || error.kind() == ErrorKind::Interrupted => {
                Err(error)
            }
            Err(error) => {
                let why = match error.kind() {
                    ErrorKind::UnexpectedEof => "it ends too early".to_owned(),
                    _ => error.to_string(),
                };
                Err(io::Error::other(malformed(why)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::{Compression, Encoder};
    use super::*;

    const ALL: [Compression; 3] =
        [Compression::Zstd { level: 3 }, Compression::Gzip { level: 6 }, Compression::None];

    fn packed(compression: Compression, text: &[u8]) -> Vec<u8> {
        let mut encoder = Encoder::new(compression, 1, Vec::new()).expect("encoder");
        encoder.write_all(text).expect("write");
        encoder.finish().expect("finish")
    }

    fn unpack(packed: &[u8], limits: Limits) -> Result<Vec<u8>, ArchiveError> {
        let mut text = Vec::new();
        let mut decoder = Decoder::new(packed, limits)?;
        match decoder.read_to_end(&mut text) {
            Ok(_) => Ok(text),
            Err(error) => Err(ArchiveError::stream("read", error)),
        }
    }

    #[test]
    fn formats_are_told_by_their_first_bytes() {
        let text = b"some text ".repeat(1000);
        for compression in ALL {
            let packed = packed(compression, &text);
            assert!(unpack(&packed, Limits::default()).expect("read") == text, "{compression:?}");
        }
        // Two frames and one to be skipped are one stream.
        let one = packed(ALL[0], b"one ");
        let skipped = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"xyz"].concat();
        let both = [skipped, one.clone(), one].concat();
        assert_eq!(unpack(&both, Limits::default()).expect("read"), b"one one ");
        for (foreign, name) in [(&b"BZh91AY"[..], "bzip2"), (b"\xfd7zXZ\0\0", "xz")] {
            let error = unpack(foreign, Limits::default()).expect_err("refused");
            assert!(error.to_string().contains(name), "{error}");
        }
    }

    #[test]
    fn a_cut_or_changed_stream_is_an_error() {
        let text: Vec<u8> = (0..5000_u32).flat_map(u32::to_le_bytes).collect();
        for compression in &ALL[..2] {
            let packed = packed(*compression, &text);
            for at in (MAGIC..packed.len()).step_by(97).chain([packed.len() - 1]) {
                let cut = unpack(&packed[..at], Limits::default());
                assert!(cut.is_err(), "{compression:?} cut at {at}");
                let mut bad = packed.clone();
                bad[at] ^= 0x10;
                let bad = unpack(&bad, Limits::default());
                // Gzip's header has bytes that say nothing.
                let silent = matches!(compression, Compression::Gzip { .. }) && at < 10;
                assert!(silent || bad.is_err(), "{compression:?} changed at {at}");
            }
            let long = [packed, b"rubbish".to_vec()].concat();
            assert!(unpack(&long, Limits::default()).is_err(), "{compression:?} with a tail");
        }
    }

    #[test]
    fn bombs_are_refused() {
        let zeros = vec![0; 4 << 20];
        let size = Limits { bytes: 1 << 20, ..Limits::default() };
        let ratio = Limits { ratio: 100, ratio_from: 1 << 20, ..Limits::default() };
        for compression in &ALL[..2] {
            let packed = packed(*compression, &zeros);
            for limits in [&size, &ratio] {
                let error = unpack(&packed, limits.clone()).expect_err("refused");
                assert!(matches!(error, ArchiveError::Malformed { .. }), "{error}");
            }
            unpack(&packed, Limits::default()).expect("within the default limits");
        }
        let narrow = Limits { window_log: 20, ..Limits::default() };
        let wide = packed(ALL[0], &(0..3_000_000).map(|n| n as u8).collect::<Vec<u8>>());
        assert!(unpack(&wide, narrow).is_err(), "a window of 2 MiB");
    }

    #[test]
    fn an_error_of_the_stream_stays_what_it_was() {
        struct Failing;
        impl Read for Failing {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::from(ErrorKind::ConnectionReset))
            }
        }
        let start = &packed(ALL[0], b"text")[..8];
        let mut decoder = Decoder::new(start.chain(Failing), Limits::default()).expect("decoder");
        let error = decoder.read_to_end(&mut Vec::new()).expect_err("reset");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
}

//! Writing compressed bytes.

use std::io::{self, Write};

use flate2::GzBuilder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use zstd::zstd_safe::zstd_sys::ZSTD_EndDirective;
use zstd::zstd_safe::{CCtx, CParameter, InBuffer, OutBuffer};

use super::plan::{OVERLAP, Plan};

/// How a layer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compression {
    /// One zstd frame with a checksum, written by several threads. What is written depends on the
    /// level, not on the number of threads.
    Zstd {
        /// 1 to 19. At 3, and from 12 on, the tables are smaller than those of `zstd` itself, so
        /// that it is fast and memory stays within bounds.
        level: i32,
    },
    /// One gzip member.
    Gzip {
        /// 1 to 9.
        level: u32,
    },
    /// As it is.
    None,
}

impl Default for Compression {
    fn default() -> Self {
        Self::Zstd { level: 3 }
    }
}

/// Compresses what is written to it.
pub(crate) enum Encoder<W: Write> {
    Zstd(Box<Zstd<W>>),
    Gzip(Box<Gzip<W>>),
    None(W),
}

/// zlib-rs writes something else when its input comes in other pieces, so it gets them all of one
/// length.
pub(crate) struct Gzip<W: Write> {
    coder: GzEncoder<W>,
    piece: Vec<u8>,
}

const PIECE: usize = 1 << 16;

pub(crate) struct Zstd<W> {
    coder: CCtx<'static>,
    buffer: Vec<u8>,
    out: W,
}

fn failed(code: usize) -> io::Error {
    io::Error::other(format!("zstd: {}", zstd::zstd_safe::get_error_name(code)))
}

impl<W: Write> Encoder<W> {
    /// `cores` is how many threads may compress at once.
    pub(crate) fn new(compression: Compression, cores: usize, out: W) -> io::Result<Self> {
        Ok(match compression {
            Compression::Zstd { level } => {
                let mut coder = CCtx::create();
                let plan = Plan::new(level, cores);
                for parameter in [
                    CParameter::CompressionLevel(plan.level),
                    CParameter::ChecksumFlag(true),
                    CParameter::NbWorkers(plan.workers),
                    CParameter::JobSize(plan.job),
                    CParameter::OverlapSizeLog(OVERLAP),
                    CParameter::WindowLog(plan.window_log),
                    CParameter::HashLog(plan.hash_log),
                    CParameter::ChainLog(plan.chain_log),
                ] {
                    coder.set_parameter(parameter).map_err(failed)?;
                }
                let buffer = Vec::with_capacity(CCtx::out_size());
                Self::Zstd(Box::new(Zstd { coder, buffer, out }))
            }
            Compression::Gzip { level } => {
                // No time, no name, no operating system: the same input gives the same bytes.
                let builder = GzBuilder::new().mtime(0).operating_system(255);
                let coder = builder.write(out, flate2::Compression::new(level.clamp(1, 9)));
                Self::Gzip(Box::new(Gzip { coder, piece: Vec::with_capacity(PIECE) }))
            }
            Compression::None => Self::None(out),
        })
    }

    /// Ends the compressed stream; answers the one below.
    pub(crate) fn finish(self) -> io::Result<W> {
        match self {
            Self::Zstd(mut zstd) => {
                while zstd.step(&mut InBuffer::around(&[]), ZSTD_EndDirective::ZSTD_e_end)? > 0 {}
                Ok(zstd.out)
            }
            Self::Gzip(mut gzip) => {
                gzip.coder.write_all(&gzip.piece)?;
                gzip.coder.finish()
            }
            Self::None(out) => Ok(out),
        }
    }
}

impl<W: Write> Zstd<W> {
    /// Takes some input and passes on what is ready; answers what zstd still holds back.
    fn step(&mut self, input: &mut InBuffer<'_>, end: ZSTD_EndDirective) -> io::Result<usize> {
        self.buffer.clear();
        let mut output = OutBuffer::around(&mut self.buffer);
        let left = self.coder.compress_stream2(&mut output, input, end).map_err(failed)?;
        self.out.write_all(&self.buffer)?;
        Ok(left)
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Zstd(zstd) => {
                let mut input = InBuffer::around(bytes);
                while input.pos() < bytes.len() {
                    zstd.step(&mut input, ZSTD_EndDirective::ZSTD_e_continue)?;
                }
                Ok(bytes.len())
            }
            Self::Gzip(gzip) => {
                let room = PIECE.saturating_sub(gzip.piece.len()).min(bytes.len());
                gzip.piece.extend_from_slice(bytes.get(..room).unwrap_or_default());
                if gzip.piece.len() >= PIECE {
                    gzip.coder.write_all(&gzip.piece)?;
                    gzip.piece.clear();
                }
                Ok(room)
            }
            Self::None(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        // Flushing a coder would change what it writes.
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text() -> Vec<u8> {
        let word = |n: u32| format!("{:x} ", n.wrapping_mul(2_654_435_761) >> (n % 23));
        (0..1_500_000).flat_map(|n: u32| word(n).into_bytes()).collect()
    }

    fn encode(compression: Compression, cores: usize, text: &[u8], piece: usize) -> Vec<u8> {
        let mut encoder = Encoder::new(compression, cores, Vec::new()).expect("encoder");
        for piece in text.chunks(piece) {
            encoder.write_all(piece).expect("write");
        }
        encoder.finish().expect("finish")
    }

    #[test]
    fn neither_threads_nor_pieces_change_what_is_written() {
        let text = text();
        assert!(text.len() > 8 << 20, "several jobs");
        for compression in [Compression::default(), Compression::Gzip { level: 1 }] {
            let one = encode(compression, 1, &text, 1 << 18);
            for (cores, piece) in [(4, 1 << 20), (3, 77_777)] {
                assert!(
                    encode(compression, cores, &text, piece) == one,
                    "{compression:?}, {cores} cores, {piece}"
                );
            }
        }
    }

    #[test]
    fn every_level_is_read_back() {
        let text = &text()[..300_000];
        for level in 1..=19 {
            let packed = encode(Compression::Zstd { level }, 2, text, 100_000);
            assert!(zstd::decode_all(packed.as_slice()).expect("decode") == text, "level {level}");
        }
    }
}

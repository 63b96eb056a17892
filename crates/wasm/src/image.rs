//! The memory of a module at one moment.

use std::io::Read;

use ctrlz_core::size::ByteSize;

use crate::error::WasmError;

/// The linear memories and mutable globals of a module between two calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The BLAKE3 digest of the module's file.
    pub(crate) module: [u8; 32],
    pub(crate) memories: Vec<Vec<u8>>,
    /// By their bits; the module knows their types.
    pub(crate) globals: Vec<u128>,
}

/// What files of images begin with; the last byte is the version.
const MAGIC: &[u8; 16] = b"ctrlz wasm mem\0\x01";

/// The most memories, and globals: what engines agree to take.
const MOST: u64 = 1_000_000;

/// Compression: fast, since most of a memory is zeros.
const LEVEL: i32 = 1;

fn damaged(what: &str) -> WasmError {
    WasmError::Image { what: what.to_owned() }
}

impl Image {
    /// The size of all memories.
    #[must_use]
    pub fn size(&self) -> ByteSize {
        ByteSize(self.memories.iter().map(|memory| memory.len() as u64).sum())
    }

    /// As a file: header, digest of the module, BLAKE3 digest of what follows, and that compressed
    /// by zstd.
    ///
    /// # Errors
    /// [`WasmError::Image`] when there is no memory left to compress it.
    pub fn to_bytes(&self) -> Result<Vec<u8>, WasmError> {
        let mut body = Vec::new();
        body.extend((self.memories.len() as u64).to_le_bytes());
        for memory in &self.memories {
            body.extend((memory.len() as u64).to_le_bytes());
            body.extend(memory);
        }
        body.extend((self.globals.len() as u64).to_le_bytes());
        for global in &self.globals {
            body.extend(global.to_le_bytes());
        }
        let packed = zstd::encode_all(body.as_slice(), LEVEL)
            .map_err(|error| damaged(&format!("it cannot be compressed: {error}")))?;
        Ok([MAGIC.as_slice(), &self.module, blake3::hash(&packed).as_bytes(), &packed].concat())
    }

    /// Reads what [`Self::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`WasmError::Image`] for anything else, and for one that has more than `most`.
    pub fn from_bytes(bytes: &[u8], most: ByteSize) -> Result<Self, WasmError> {
        let short = || damaged("it is too short");
        let (magic, rest) = bytes.split_first_chunk::<16>().ok_or_else(short)?;
        if magic != MAGIC {
            return Err(damaged("it is no memory image of this version of ctrlz"));
        }
        let (module, rest) = rest.split_first_chunk::<32>().ok_or_else(short)?;
        let (digest, packed) = rest.split_first_chunk::<32>().ok_or_else(short)?;
        if blake3::hash(packed) != *digest {
            return Err(damaged("it is damaged: its digest is another"));
        }
        let decoder = zstd::Decoder::with_buffer(packed);
        let decoder = decoder.map_err(|error| damaged(&error.to_string()))?;
        let mut body = Reader { from: decoder, left: most.0 };
        let count = body.count()?;
        let memories = (0..count).map(|_| body.memory()).collect::<Result<_, _>>()?;
        let count = body.count()?;
        let globals = (0..count)
            .map(|_| Ok(u128::from_le_bytes(body.exact()?)))
            .collect::<Result<_, WasmError>>()?;
        Ok(Self { module: *module, memories, globals })
    }
}

/// Reads without believing how much there is.
struct Reader<R> {
    from: R,
    /// Bytes that memories may still have.
    left: u64,
}

impl<R: Read> Reader<R> {
    fn exact<const N: usize>(&mut self) -> Result<[u8; N], WasmError> {
        let mut bytes = [0; N];
        self.from.read_exact(&mut bytes).map_err(|error| damaged(&error.to_string()))?;
        Ok(bytes)
    }

    fn number(&mut self) -> Result<u64, WasmError> {
        Ok(u64::from_le_bytes(self.exact()?))
    }

    fn count(&mut self) -> Result<u64, WasmError> {
        let count = self.number()?;
        match count <= MOST {
            true => Ok(count),
            false => Err(damaged("no module has so many memories or globals")),
        }
    }

    fn memory(&mut self) -> Result<Vec<u8>, WasmError> {
        let length = self.number()?;
        self.left = self
            .left
            .checked_sub(length)
            .ok_or_else(|| damaged("it has more memory than the limit allows"))?;
        let mut memory = Vec::new();
        let read = self.from.by_ref().take(length).read_to_end(&mut memory);
        match read {
            Ok(read) if read as u64 == length => Ok(memory),
            Ok(_) => Err(damaged("it is too short")),
            Err(error) => Err(damaged(&error.to_string())),
        }
    }
}

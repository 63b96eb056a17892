//! What a guest sees of the world.

use std::path::PathBuf;

use rand_core::TryRng;
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

use crate::clock::StepClock;
use crate::error::WasmError;

/// A folder that a guest may use, and all below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// Where it lies.
    pub path: PathBuf,
    /// Its name for the guest.
    pub name: String,
    /// Whether the guest may only read it.
    pub read_only: bool,
}

/// The standard streams of a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Streams {
    /// Nothing to read, and what is written is dropped.
    #[default]
    None,
    /// Those of this process.
    Inherited,
}

/// What a guest gets. The default is nothing at all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct World {
    /// Its arguments, the name it is called by first.
    pub arguments: Vec<String>,
    /// Its environment.
    pub environment: Vec<(String, String)>,
    /// Folders, and nothing else of the file system.
    pub folders: Vec<Folder>,
    /// Its standard streams.
    pub streams: Streams,
    /// Whether it may use sockets and look up names; only components can.
    pub network: bool,
    /// Clocks that only go on when looked at, and random numbers that follow from this seed;
    /// `None` for real ones.
    pub seed: Option<u64>,
}

impl World {
    pub(crate) fn builder(&self) -> Result<WasiCtxBuilder, WasmError> {
        let mut builder = WasiCtxBuilder::new();
        // There is one thread, which does nothing else.
        builder.allow_blocking_current_thread(true);
        builder.args(&self.arguments).envs(&self.environment);
        for folder in &self.folders {
            let permissions = match folder.read_only {
                true => FsPerms::ReadOnly,
                false => FsPerms::ReadWrite,
            };
            builder.preopened_dir(&folder.path, &folder.name, permissions).map_err(|error| {
                let source = std::io::Error::other(crate::error::chain(&error));
                WasmError::File { action: "open the folder", path: folder.path.clone(), source }
            })?;
        }
        if self.streams == Streams::Inherited {
            builder.inherit_stdio();
        }
        builder.allow_tcp(self.network).allow_udp(self.network);
        if self.network {
            builder.inherit_network().allow_ip_name_lookup(true);
        }
        if let Some(seed) = self.seed {
            let clock = StepClock::default();
            builder.wall_clock(clock.clone()).monotonic_clock(clock);
            builder.secure_random(Stream::new(seed, "secure"));
            builder.insecure_random(Stream::new(seed, "insecure"));
            let mut seed = Stream::new(seed, "seed");
            let (high, low) = (seed.number(), seed.number());
            builder.insecure_random_seed(u128::from(high) << 64 | u128::from(low));
        }
        Ok(builder)
    }

    pub(crate) fn preview1(&self) -> Result<WasiP1Ctx, WasmError> {
        Ok(self.builder()?.build_p1())
    }
}

/// Random numbers that follow from a seed: the output of BLAKE3 as long as it is wanted.
struct Stream(blake3::OutputReader);

impl Stream {
    fn new(seed: u64, purpose: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("ctrlz wasm 2026 random numbers");
        hasher.update(&seed.to_le_bytes()).update(purpose.as_bytes());
        Self(hasher.finalize_xof())
    }

    fn number(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}

impl TryRng for Stream {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(self.number())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        self.0.fill(bytes);
        Ok(())
    }
}

//! Loading: from bytes to machine code.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use ctrlz_core::size::ByteSize;
use ctrlz_sys::compiled::Kept;
use wasmtime::component::Component;

use crate::engine::Engine;
use crate::error::{WasmError, chain};
use crate::instrument::{Shape, instrument};
use crate::limits::Limits;

/// A compiled module or component.
#[derive(Debug, Clone)]
pub struct Program {
    pub(crate) engine: Engine,
    pub(crate) code: Code,
    pub(crate) digest: [u8; 32],
}

/// The machine code.
#[derive(Debug, Clone)]
pub(crate) enum Code {
    Module(wasmtime::Module),
    /// A module opened for snapshots, and what in it changes.
    Open(wasmtime::Module, Shape),
    Component(Component),
}

/// How a module is going to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Use {
    /// Run once.
    Once,
    /// Called again and again, and its memory kept.
    Calls,
}

/// Whether a file with these first bytes is a module or a component.
#[must_use]
pub fn is_wasm(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\0asm")
}

/// Whether it is a component: the header's second half is a version and a layer.
fn is_component(bytes: &[u8]) -> bool {
    bytes.get(6..8) == Some(&[1, 0])
}

impl Program {
    /// Compiles a module or component, to be run once.
    ///
    /// # Errors
    /// [`WasmError::Invalid`] for everything that is not one.
    pub fn compile(engine: &Engine, bytes: &[u8]) -> Result<Self, WasmError> {
        Self::compiled(engine, bytes, Use::Once)
    }

    /// Compiles a module whose functions are called and whose memory can be kept, or a component, of which
    /// nothing is kept.
    ///
    /// # Errors
    /// [`WasmError::Invalid`] for everything that is neither.
    pub fn compile_for_calls(engine: &Engine, bytes: &[u8]) -> Result<Self, WasmError> {
        Self::compiled(engine, bytes, Use::Calls)
    }

    pub(crate) fn compiled(engine: &Engine, bytes: &[u8], kind: Use) -> Result<Self, WasmError> {
        if !is_wasm(bytes) {
            let what = match bytes.is_empty() {
                true => "the file is empty".to_owned(),
                false => "it does not begin as one (\\0asm)".to_owned(),
            };
            return Err(WasmError::Invalid { what });
        }
        let invalid = |error: wasmtime::Error| WasmError::invalid(&error);
        let module = |bytes: &[u8]| wasmtime::Module::from_binary(&engine.inner, bytes);
        let code = match (is_component(bytes), kind) {
            (true, _) => {
                Code::Component(Component::from_binary(&engine.inner, bytes).map_err(invalid)?)
            }
            (false, Use::Once) => Code::Module(module(bytes).map_err(invalid)?),
            (false, Use::Calls) => {
                // So that errors speak of the file and not of what was made of it.
                wasmtime::Module::validate(&engine.inner, bytes).map_err(invalid)?;
                let (opened, shape) = instrument(bytes)?;
                Code::Open(module(&opened).map_err(invalid)?, shape)
            }
        };
        Ok(Self { engine: engine.clone(), code, digest: *blake3::hash(bytes).as_bytes() })
    }

    /// What [`Self::compiled`] answers, of machine code that was made of the same bytes by an engine like
    /// this one.
    pub(crate) fn of_kept(
        engine: &Engine,
        bytes: &[u8],
        kind: Use,
        kept: Kept,
    ) -> Result<Self, WasmError> {
        let unsuitable = |error: wasmtime::Error| WasmError::Engine { what: chain(&error) };
        let code = match (is_component(bytes), kind) {
            (true, _) => Code::Component(kept.component(&engine.inner).map_err(unsuitable)?),
            (false, Use::Once) => Code::Module(kept.module(&engine.inner).map_err(unsuitable)?),
            (false, Use::Calls) => {
                let (_, shape) = instrument(bytes)?;
                Code::Open(kept.module(&engine.inner).map_err(unsuitable)?, shape)
            }
        };
        Ok(Self { engine: engine.clone(), code, digest: *blake3::hash(bytes).as_bytes() })
    }

    /// The machine code, for [`Self::of_kept`].
    pub(crate) fn machine_code(&self) -> Result<Vec<u8>, WasmError> {
        let code = match &self.code {
            Code::Module(module) | Code::Open(module, _) => module.serialize(),
            Code::Component(component) => component.serialize(),
        };
        code.map_err(|error| WasmError::Engine { what: chain(&error) })
    }

    /// Whether it is a component: see [`crate::call_component`].
    #[must_use]
    pub fn is_component(&self) -> bool {
        matches!(self.code, Code::Component(_))
    }

    /// Reads the file of a module or component.
    ///
    /// # Errors
    /// [`WasmError::File`] and [`WasmError::TooLarge`]
    pub fn read(path: &Path, limits: &Limits) -> Result<Vec<u8>, WasmError> {
        let failed = |source| WasmError::File { action: "read", path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        let status = file.metadata().map_err(failed)?;
        if !status.is_file() {
            return Err(failed(std::io::Error::other("it is no regular file")));
        }
        let most = limits.module.0;
        let mut bytes = Vec::new();
        file.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > most {
            let size = ByteSize(status.len().max(bytes.len() as u64));
            return Err(WasmError::TooLarge { size, most: limits.module });
        }
        Ok(bytes)
    }
}

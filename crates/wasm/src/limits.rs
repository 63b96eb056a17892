//! What a guest may use.

use std::time::Duration;

use ctrlz_core::size::ByteSize;
use wasmtime::ResourceLimiter;

use crate::error::Limit;

/// The limits of one program. Times and fuel count for each call, the rest for its whole life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Units of fuel for each call; needs an engine that counts them.
    pub fuel: Option<u64>,
    /// Wall time for each call, held to about 10 ms; needs an engine with epochs.
    pub time: Option<Duration>,
    /// Bytes of all linear memories together.
    pub memory: ByteSize,
    /// Elements of all tables together.
    pub table_elements: u64,
    /// Bytes of the file of a module or component.
    pub module: ByteSize,
}

impl Default for Limits {
    /// 4 GiB of memory, which is all that 32-bit addresses reach, a million table elements, 256 MiB
    /// for the module, no limit of fuel or time.
    fn default() -> Self {
        Self {
            fuel: None,
            time: None,
            memory: ByteSize(4 << 30),
            table_elements: 1_000_000,
            module: ByteSize(256 << 20),
        }
    }
}

/// The most memories, tables and instances that one program may have: a module has one of each, a
/// component a handful.
const MOST_PARTS: usize = 1_000;

/// Counts what a program takes, and refuses what goes beyond.
#[derive(Debug)]
pub(crate) struct Meter {
    limits: Limits,
    memory: u64,
    elements: u64,
    /// The limit that was met last. The guest is told by `memory.grow`, and may go on.
    pub(crate) refused: Option<Limit>,
}

impl Meter {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, memory: 0, elements: 0, refused: None }
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let sum = self.memory.saturating_add((desired as u64).saturating_sub(current as u64));
        if sum > self.limits.memory.0 {
            self.refused = Some(Limit::Memory(self.limits.memory));
            return Ok(false);
        }
        // What the module itself rules out is refused after this.
        if maximum.is_none_or(|maximum| desired <= maximum) {
            self.memory = sum;
        }
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let sum = self.elements.saturating_add((desired as u64).saturating_sub(current as u64));
        if sum > self.limits.table_elements {
            self.refused = Some(Limit::Table(self.limits.table_elements));
            return Ok(false);
        }
        if maximum.is_none_or(|maximum| desired <= maximum) {
            self.elements = sum;
        }
        Ok(true)
    }

    fn instances(&self) -> usize {
        MOST_PARTS
    }

    fn tables(&self) -> usize {
        MOST_PARTS
    }

    fn memories(&self) -> usize {
        MOST_PARTS
    }
}

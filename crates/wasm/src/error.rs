//! What can go wrong with a module, and whose fault it is.

use std::path::PathBuf;
use std::time::Duration;

use ctrlz_core::size::ByteSize;
use wasmtime::Trap;

/// A limit that a guest passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Units of fuel, about one an instruction.
    Fuel(u64),
    /// The time of one call.
    Time(Duration),
    /// Bytes of all linear memories together.
    Memory(ByteSize),
    /// Elements of all tables together.
    Table(u64),
    /// Bytes of the stack of its calls.
    Stack(ByteSize),
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fuel(units) => write!(f, "its fuel of {units} units is used up"),
            Self::Time(span) => write!(f, "it ran for longer than {span:?}"),
            Self::Memory(size) => write!(f, "it asked for more than {size} of memory"),
            Self::Table(elements) => {
                write!(f, "it asked for tables with more than {elements} elements")
            }
            Self::Stack(size) => write!(f, "its calls went deeper than a stack of {size} holds"),
        }
    }
}

/// Why a module did not run, or did not run to its end.
#[derive(Debug, thiserror::Error)]
pub enum WasmError {
    /// The engine cannot be set up.
    #[error("the WebAssembly engine cannot be set up: {what}")]
    Engine {
        /// Why not.
        what: String,
    },
    /// A file or folder cannot be used.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// With which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// It is larger than modules may be.
    #[error("the module has {size}; modules may have {most}")]
    TooLarge {
        /// Its size.
        size: ByteSize,
        /// The limit.
        most: ByteSize,
    },
    /// These are not the bytes of a module or component that this engine can run.
    #[error("not a WebAssembly module or component that can be run here: {what}")]
    Invalid {
        /// What is wrong with it, and at which offset.
        what: String,
    },
    /// It imports what nobody offers.
    #[error("it asks for what is not offered here: {what}")]
    Import {
        /// The import.
        what: String,
    },
    /// It has no such export, or not with that type.
    #[error("{what}")]
    Export {
        /// What was looked for, and what there is.
        what: String,
    },
    /// A value does not suit the type.
    #[error("{what}")]
    Value {
        /// The value, and the type.
        what: String,
    },
    /// It passed a limit and was ended.
    #[error("limit: {0}")]
    Limit(Limit),
    /// It did what WebAssembly forbids, and was ended.
    #[error("trap: {what}")]
    Trap {
        /// What it did, and where.
        what: String,
        /// A limit that it met before: often the reason.
        after: Option<Limit>,
    },
    /// It ended itself (`proc_exit`, `wasi:cli/exit`) where a function should have returned.
    #[error("the module ended itself with exit code {0}")]
    Exited(i32),
    /// Its memory cannot be kept.
    #[error("the memory of this module cannot be kept: {what}")]
    NotKept {
        /// Why not.
        what: String,
    },
    /// A memory image is damaged, or another module's.
    #[error("the memory image cannot be used: {what}")]
    Image {
        /// What is wrong with it.
        what: String,
    },
}

impl WasmError {
    /// What wasmtime says of compiling.
    pub(crate) fn invalid(error: &wasmtime::Error) -> Self {
        Self::Invalid { what: chain(error) }
    }
}

/// An error and its causes, in one line.
pub(crate) fn chain(error: &wasmtime::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if text.ends_with(&cause) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(cause.trim_end());
    }
    text
}

/// Which limit a trap stands for.
pub(crate) fn limit_of(trap: Trap, limits: &crate::limits::Limits) -> Option<Limit> {
    match trap {
        Trap::OutOfFuel => Some(Limit::Fuel(limits.fuel.unwrap_or(u64::MAX))),
        Trap::Interrupt => Some(Limit::Time(limits.time.unwrap_or_default())),
        Trap::StackOverflow => Some(Limit::Stack(ByteSize(crate::engine::STACK as u64))),
        _ => None,
    }
}

//! WebAssembly modules (WASI preview 1) and components (preview 2): compiled, limited, run, and for
//! modules with snapshots of their memory.
//!
//! Nothing here isolates by itself: the driver `wasm` runs [`runner`] inside the native sandbox.
#![forbid(unsafe_code)]

mod clock;
mod component;
mod engine;
mod error;
mod image;
mod instrument;
mod keeping;
mod limits;
mod program;
pub mod runner;
mod session;
mod value;
mod world;

pub use component::call_component;
pub use engine::{Engine, Metering, Settings};
pub use error::{Limit, WasmError};
pub use image::Image;
pub use limits::Limits;
pub use program::{Program, is_wasm};
pub use session::{Session, run};
pub use value::Value;
pub use world::{Folder, Streams, World};

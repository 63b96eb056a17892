//! Compression: what a layer's bytes lie as.

mod decode;
mod encode;
mod plan;

pub use decode::Decoder;
pub use encode::Compression;

pub(crate) use encode::Encoder;

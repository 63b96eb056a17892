//! The tar format: ustar, with PAX records where that cannot say it.

mod header;
mod limits;
mod pax;
mod read;
mod segments;
mod write;

pub use limits::Limits;
pub use read::{Item, Reader};
pub use write::Writer;

pub(crate) use pax::{parse_time, time};
pub(crate) use write::{OPAQUE, WHITEOUT};

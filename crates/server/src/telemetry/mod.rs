//! What the service tells about itself: a log of lines, and traces of operations.

mod current;
mod line;
mod log;
mod trace;
mod writer;

pub(crate) use current::{Current, current, with};
pub(crate) use line::{Told, milliseconds, note};
pub use log::{Form, Level, Logging, log};
pub(crate) use trace::{Phase, Trace};
pub use trace::{TraceError, Traces};

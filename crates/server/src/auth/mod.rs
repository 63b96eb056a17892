//! Who calls, and what for.

mod bearer;
mod caller;

pub use bearer::word;
pub(crate) use bearer::{Digest, digest, issue};
pub(crate) use caller::{
    Acting, Approving, Caller, Looking, Managing, Owning, authenticate, is_still_let_in,
};

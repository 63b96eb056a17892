//! Who calls, and what for.

mod bearer;
mod caller;

pub(crate) use bearer::issue;
pub use bearer::word;
pub(crate) use caller::{
    Acting, Approving, Caller, Looking, Managing, Owning, authenticate, is_still_let_in,
};

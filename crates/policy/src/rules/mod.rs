//! Rules: what is said of an effect, a call or a spelling.

mod builtin;
mod cause;
pub(crate) mod form;
pub(crate) mod kind_set;
mod matching;
pub(crate) mod pack;
mod rule;
pub(crate) mod text;

pub(crate) use builtin::BuiltIn;
pub(crate) use cause::Cause;
pub use pack::{Pack, PackError, Packs, Shown, Standing, built_in};
pub use rule::Rule;

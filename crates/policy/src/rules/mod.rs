//! Rules: what is said of an effect, a call or a spelling.

mod builtin;
pub(crate) mod form;
mod matching;
mod rule;

pub(crate) use builtin::BuiltIn;
pub use rule::Rule;

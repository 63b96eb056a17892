//! Rules: what is said of an effect, a call or a spelling.

mod builtin;
mod matching;
mod rule;

pub(crate) use builtin::BuiltIn;
pub use rule::Rule;

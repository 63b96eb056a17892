//! What the tests have in common: a temporary place each, a way to run ctrlz in it, and the look of
//! a folder.

mod host;
mod outcome;
mod scene;
mod tree;

pub(crate) use host::{
    has, interpreter, is_root, python, python_at_a_terminal, python_with, skipped, unshared,
};
pub(crate) use outcome::Outcome;
pub(crate) use scene::{CTRLZ, Scene};
pub(crate) use tree::Tree;

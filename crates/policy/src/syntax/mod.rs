//! The shell's grammar: text in, tree out.

mod tree;

//! The shell's grammar: text in, tree out.
//!
//! It is bash's grammar, which holds that of POSIX sh, with those habits of ksh and zsh that
//! contradict nothing in it. Reading never fails: what fits no rule becomes
//! [`tree::CommandKind::Broken`], and reading goes on behind it; what is not closed ends where the
//! text ends. What is nested more deeply than [`cursor::MAX_DEPTH`] becomes
//! [`tree::Part::TooDeep`] or `Broken` up to the end of its line, and a text of more than
//! [`cursor::MAX_NODES`] words and parts becomes `Broken` from there on. Nothing is read a second
//! time after a guess that failed, so the time is linear in the length of the text.
//!
//! Where the tree leaves a choice:
//! - `time` leaves no trace; `|&` is a redirection `2>&1` at the end of the command before it.
//! - `{name}>file` opens a descriptor that the shell chooses; it is told as number 10, the first
//!   that it would choose.
//! - An argument `name=(…)` (of `declare`, `export`, `local`, `readonly`, `typeset`) stands among
//!   the command's assignments, and its range begins behind the command's first word. An argument
//!   `name=value` is a word like any other.
//! - `>&word` is [`tree::RedirectKind::Both`] if the word is plain and no descriptor, and
//!   [`tree::RedirectKind::Duplicate`] if it is a descriptor or only the evaluation can tell.
//! - `${ …; }` and `${| …; }` are command substitutions, `=(…)` is a process substitution.

mod assignment;
mod character;
mod command;
mod compound;
mod condition;
mod cursor;
#[cfg(test)]
mod dump;
#[cfg(test)]
mod grammar_tests;
mod here_document;
mod keyword;
mod parameter;
mod parentheses;
mod placement;
#[cfg(test)]
mod property_tests;
mod quote;
mod redirect;
mod substitution;
pub(crate) mod tree;
mod word;

use cursor::Parser;
use tree::{List, Word};

/// Reads a program.
pub(crate) fn parse(text: &[u8]) -> List {
    Parser::new(text).program()
}

/// Reads a text in which only `$`, backquotes and backslashes mean something, like the body of a
/// here-document.
pub(crate) fn parse_document(text: &[u8]) -> Word {
    Parser::new(text).document()
}

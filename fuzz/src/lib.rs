//! What must hold of every verdict, whatever the bytes were.
#![forbid(unsafe_code)]

mod redaction;
mod verdict;

pub use redaction::no_secret_is_shown;
pub use verdict::{
    a_part_behind_never_lowers, has_a_sound_form, same_twice, stays_critical_before_anything,
};

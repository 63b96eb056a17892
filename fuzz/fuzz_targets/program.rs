//! Bytes as a program in each of the other languages; the first byte names it.
#![no_main]

use ctrlz_fuzz::{has_a_sound_form, no_secret_is_shown, same_twice};
use ctrlz_policy::{Context, Validator};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((first, text)) = bytes.split_first() else { return };
    let language = match first {
        b'j' => "javascript",
        b'l' => "perl",
        b'r' => "ruby",
        b'h' => "php",
        b'u' => "lua",
        b'a' => "awk",
        _ => "python",
    };
    let verdict = Validator::new(Context::default()).program(language, text);
    has_a_sound_form(&verdict, text.len());
    same_twice(&verdict, |validator| validator.program(language, text));
    no_secret_is_shown(&verdict, text);
});

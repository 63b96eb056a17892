//! Bytes as a command of the shell, as arguments, and as the content of a file.
#![no_main]

use ctrlz_fuzz::{
    a_part_behind_never_lowers, has_a_sound_form, no_secret_is_shown, same_twice,
    stays_critical_before_anything,
};
use ctrlz_policy::{Context, Validator};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let validator = Validator::new(Context::default());
    let verdict = validator.command(text);
    has_a_sound_form(&verdict, text.len());
    same_twice(&verdict, |validator| validator.command(text));
    no_secret_is_shown(&verdict, text);
    stays_critical_before_anything(&validator, text);
    a_part_behind_never_lowers(&validator, text, &verdict);
    let arguments: Vec<Vec<u8>> = text.split(|byte| *byte == b' ').map(<[u8]>::to_vec).collect();
    has_a_sound_form(&validator.arguments(&arguments), text.len());
    let _ = validator.write(b"/home/user/.bashrc", text, true);
});

//! Texts that are made to take long, or to overflow something, are judged to an end.

#[path = "../benches/hostile/mod.rs"]
mod hostile;

use ctrlz_policy::{Context, Validator};

/// What a thread gets that nobody asked to have more.
const STACK: usize = 2 << 20;

#[test]
fn no_hostile_text_overflows_the_stack_of_a_thread() {
    let judge = || {
        let validator = Validator::new(Context::default());
        for hostile in hostile::all() {
            // What is not nested overflows nothing, and takes its time without optimization.
            if hostile.name.contains("deep") && !hostile.name.contains("many") {
                let verdict = validator.program(hostile.language, &hostile.text);
                assert!(verdict.score <= 100, "{}", hostile.name);
            }
        }
    };
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(judge);
    assert!(thread.is_ok_and(|thread| thread.join().is_ok()));
}

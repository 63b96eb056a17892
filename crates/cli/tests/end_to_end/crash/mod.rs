//! What is left when ctrlz dies, or the disk is full or broken: the folder, the sandbox and the
//! state are as before the operation or as after it, never anything else.

mod full;
#[cfg(feature = "faults")]
mod moment;
#[cfg(feature = "faults")]
mod points;
mod random;
#[cfg(feature = "faults")]
mod state;

#[cfg(not(feature = "faults"))]
#[test]
fn at_every_point() {
    crate::support::skipped("the points are compiled in only under the feature `faults`");
}

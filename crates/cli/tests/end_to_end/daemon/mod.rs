//! The daemon when things go wrong: its tasks fail and panic, it is killed, the disk is full, the
//! clock jumps, the configuration is bad. Each time what is wrong is told, the others go on, and
//! nothing is lost.

#[cfg(feature = "faults")]
mod archive;
#[cfg(feature = "faults")]
mod clock;
mod configuration;
mod disk;
#[cfg(feature = "faults")]
mod ended;
mod remedies;
#[cfg_attr(
    not(feature = "faults"),
    allow(dead_code, reason = "most of it is about tasks that are made to fail")
)]
mod support;
#[cfg(feature = "faults")]
mod tasks;

#[cfg(not(feature = "faults"))]
#[test]
fn faults() {
    crate::support::skipped("the faults of tasks are compiled in only under the feature `faults`");
}

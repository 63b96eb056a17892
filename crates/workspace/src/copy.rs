//! The drivers of which every tree is complete: `copy`, `reflink`, `btrfs` and `zfs`. They differ in
//! how a tree is duplicated, which is [`duplicate`]'s; all else is theirs together.
//!
//! `copy` needs nothing of the kernel but files, and means the same as the overlay driver at a cost
//! that follows the size of the tree. `reflink` copies names and shares blocks; `btrfs` takes
//! snapshots of subvolumes, and `zfs` clones datasets. Three differences can be seen from outside, and all are
//! told: it takes time and space; what others change in the base after an operation's copy was
//! made is not seen by trees that stand on that copy; and a base is refused that cannot be copied,
//! because of another mount in it or a file that may not be read.
//!
//! A tree stands on an *origin*, which is a copy of the base with the versions that the base's
//! entries had. A tree without changes names no copy at all: it is the base as it is now.

mod arrival;
mod capture;
mod collect;
mod commit;
mod derive;
mod driver;
mod duplicate;
mod expect;
mod head;
mod mend;
mod origin;
mod paths;
mod revert;
mod store;
mod survey;
mod tree;
mod verify;
mod zfs;

pub use driver::CopyDriver;
pub use duplicate::Duplication;

//! What the driver `zfs` needs of ZFS, by its command line: written for OpenZFS, seen to work with
//! zfs-fuse.

mod command;
mod datasets;
mod place;

pub(super) use datasets::Datasets;

//! What a tree is made of, for those who keep it elsewhere.

use std::path::PathBuf;

use crate::path::RelPath;

/// How a directory says that something below it is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// It does not: what it holds is all there is.
    Plain,
    /// As overlayfs does: a character device 0/0 takes away what has its name further down, the
    /// attribute `trusted.overlay.opaque` or `user.overlay.opaque` everything below a directory.
    Overlay,
}

/// One part of a tree: a directory whose content lies on what the parts before it show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stratum {
    /// Its name in the driver's store, under which nothing else will ever lie; `None` for the live
    /// base, which may change.
    pub id: Option<String>,
    /// Where it lies.
    pub directory: PathBuf,
    /// How it says that something is gone.
    pub dialect: Dialect,
    /// Whether the owner, mode and attributes of the directory itself are part of it.
    pub root: bool,
    /// What is in it and no part of the tree: mount points, the store itself.
    pub hidden: Vec<RelPath>,
    /// The file in which the driver keeps what it knows of the part beside its content, such as
    /// what each entry lay on. Whoever keeps the part keeps its bytes, too, and gives them back as
    /// [`Arrival::record`]. `None` where the driver needs none.
    pub record: Option<PathBuf>,
}

/// A part of a tree that comes from elsewhere. Nothing of it is to be trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// [`Stratum::id`] in the store that it comes from.
    pub id: Option<String>,
    /// Where it was restored: below what
    /// [`WorkspaceDriver::landing`](crate::workspace::WorkspaceDriver::landing) answered, in the
    /// driver's own [`Dialect`] ([`Dialect::Overlay`] with `user.overlay.opaque`, for everyone).
    /// The driver moves it away.
    pub directory: PathBuf,
    /// [`Stratum::root`].
    pub root: bool,
    /// The bytes of [`Stratum::record`].
    pub record: Option<Vec<u8>>,
}

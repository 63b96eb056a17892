//! The listing: one line for each path, by which a restored tree is compared with what was
//! archived.
//!
//! ```text
//! ctrlz-listing-1
//! . dir mode=0755 uid=0 gid=0 time=1700000000
//! a\x20name file mode=0644 uid=0 gid=0 time=1700000000.5 size=5 blake3=…
//! link link mode=0777 uid=0 gid=0 time=1700000000 to=a\x20name
//! other file … blake3=… first=a\x20name
//! ```
//!
//! Lines come in the byte order of the paths. A file with several names says all of it with each
//! of them, and `first=` with all but the first. Bytes that are no text, white space and
//! backslashes are written `\xHH`, so that there is one way only to write a path.
//!
//! The listing of a layer has two more words: `gone` for a whiteout, and `opaque` on a directory;
//! and `names` on a file that may have more names, further on. [`merge()`] makes one listing of a
//! tree from those of its layers.

mod compare;
mod line;
mod merge;
mod text;

pub use compare::{Compared, Difference, Scope, compare};
pub use merge::merge;

pub(crate) use line::{Shown, parse_path, path as write_path, write_line};

/// The first line.
pub(crate) const HEAD: &[u8] = b"ctrlz-listing-1\n";

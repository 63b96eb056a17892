//! What the name of an archived snapshot tells.

/// The sandbox, and the number of the snapshot where the name has one.
pub(super) fn parted(name: &str) -> (&str, Option<u64>) {
    let parted = name.rsplit_once(".snap-");
    let number = parted.and_then(|(_, number)| number.parse().ok());
    (parted.map_or(name, |(sandbox, _)| sandbox), number)
}

/// The name of the sandbox of which it is one.
pub(crate) fn sandbox_of(name: &str) -> &str {
    parted(name).0
}

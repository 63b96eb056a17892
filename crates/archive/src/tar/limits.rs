//! How much of a foreign archive is read before it is refused.

/// Limits for reading somebody else's archive. The default ones are far above what an honest
/// archive needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes after decompression, of one layer.
    pub bytes: u64,
    /// How many times longer the layer may become by decompression …
    pub ratio: u64,
    /// … once it has become longer than this.
    pub ratio_from: u64,
    /// Entries in one layer.
    pub entries: u64,
    /// Bytes of one extended header: long names, attributes.
    pub header: usize,
    /// Bytes of a path.
    pub path: usize,
    /// Data segments of one sparse file.
    pub segments: usize,
    /// The largest zstd window, as a power of two. What `zstd` writes without `--long` or
    /// `--ultra` needs at most 23.
    pub window_log: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 1 << 44,
            ratio: 4096,
            ratio_from: 1 << 30,
            entries: 10_000_000,
            header: 1 << 20,
            path: 1 << 16,
            segments: 1 << 18,
            window_log: 25,
        }
    }
}

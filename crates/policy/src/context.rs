//! Where and for whom an operation is judged.

/// Where and for whom an operation is judged. Paths are absolute and as the operation sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// The folder that the operation may change: deleting below it is work.
    pub workspace: Vec<u8>,
    /// The folder that it starts in.
    pub directory: Vec<u8>,
    /// The home folder of whoever runs it.
    pub home: Vec<u8>,
    /// Whether root runs it.
    pub by_root: bool,
}

impl Default for Context {
    fn default() -> Self {
        Self {
            workspace: b"/home/user/project".to_vec(),
            directory: b"/home/user/project".to_vec(),
            home: b"/home/user".to_vec(),
            by_root: false,
        }
    }
}

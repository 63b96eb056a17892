//! Reading files of the kernel at once. It does not tell how long they are, and makes each piece that is
//! asked for anew.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Most of them are shorter.
const USUAL: usize = 16 << 10;

/// All bytes of the file.
pub(super) fn bytes(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let (mut found, mut length) = (vec![0; USUAL], 0);
    loop {
        if length == found.len() {
            found.resize(2 * length, 0);
        }
        match file.read(found.get_mut(length..).unwrap_or_default()) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    found.truncate(length);
    Ok(found)
}

/// The text of the file.
pub(super) fn text(path: impl AsRef<Path>) -> io::Result<String> {
    String::from_utf8(bytes(path)?).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_any_length_are_read() {
        let path = std::env::temp_dir().join(format!("ctrlz-whole-{}", std::process::id()));
        for length in [0, 1, USUAL - 1, USUAL, USUAL + 1, 5 * USUAL] {
            std::fs::write(&path, "x".repeat(length)).expect("write");
            assert_eq!(text(&path).expect("read").len(), length);
        }
        std::fs::remove_file(&path).expect("remove");
        assert!(text("/proc/self/limits").expect("read").contains("Max open files"));
    }
}

//! Random names.

use std::io;

use rustix::rand::{GetRandomFlags, getrandom};

/// Sixteen hexadecimal digits from the kernel's generator.
pub(crate) fn word() -> io::Result<String> {
    number().map(|number| format!("{number:016x}"))
}

/// A number from the kernel's generator.
pub(crate) fn number() -> io::Result<u64> {
    let mut bytes = [0; 8];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match getrandom(rest, GetRandomFlags::empty()) {
            Ok(length) => filled += length,
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(u64::from_be_bytes(bytes))
}

//! process_vm_readv(2): reading another process's memory.

use std::io;

use rustix::process::Pid;

/// Reads up to `buffer.len()` bytes at `address` of process `pid`; answers how many were read.
/// Fewer are read when the mapping ends.
///
/// # Errors
/// `EPERM` without ptrace access, `EFAULT` when nothing is mapped at `address`, `ESRCH`.
pub fn read(pid: Pid, address: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let local = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let remote = libc::iovec { iov_base: address as *mut libc::c_void, iov_len: buffer.len() };
    // SAFETY: `local` describes `buffer`, which is writable and outlives the call; the remote
    // address is checked by the kernel.
    let read = unsafe {
        libc::process_vm_readv(
            pid.as_raw_nonzero().get(),
            &raw const local,
            1,
            &raw const remote,
            1,
            0,
        )
    };
    usize::try_from(read).map_err(|_| io::Error::last_os_error())
}

/// Reads a NUL-terminated string of at most `limit` bytes at `address` of process `pid`, without
/// the NUL.
///
/// # Errors
/// Those of [`read`]; `ENAMETOOLONG` when no NUL is found in `limit` bytes.
pub fn read_c_string(pid: Pid, address: u64, limit: usize) -> io::Result<Vec<u8>> {
    const PAGE: u64 = 4096;
    let mut text = Vec::new();
    let mut at = address;
    while text.len() < limit {
        // One page at a time, so that a string at the end of a mapping is read without touching
        // the page after it.
        let mut chunk = vec![0; (PAGE - at % PAGE) as usize];
        let read = read(pid, at, &mut chunk)?;
        chunk.truncate(read);
        if let Some(end) = chunk.iter().position(|byte| *byte == 0) {
            chunk.truncate(end);
            text.append(&mut chunk);
            return Ok(text);
        }
        if read == 0 {
            return Err(io::Error::from_raw_os_error(libc::EFAULT));
        }
        at += read as u64;
        text.append(&mut chunk);
    }
    Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_its_own_strings() {
        let text = std::ffi::CString::new("a".repeat(5000)).expect("no NUL");
        let me = rustix::process::getpid();
        let address = text.as_ptr() as u64;
        assert_eq!(read_c_string(me, address, 8192).expect("readable"), text.as_bytes());
        let error = read_c_string(me, address, 100).expect_err("too long");
        assert_eq!(error.raw_os_error(), Some(libc::ENAMETOOLONG));
        assert!(read(me, 16, &mut [0; 4]).is_err());
    }
}

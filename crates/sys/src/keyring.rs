//! keyctl(2) and request_key(2): reading a key from the kernel's keyrings (keyrings(7)).

use std::ffi::CString;
use std::io;

use crate::call::checked;

/// `KEYCTL_LINK` and `KEYCTL_READ` of linux/keyctl.h.
const LINK: libc::c_long = 8;
const READ: libc::c_long = 11;
/// `KEY_SPEC_PROCESS_KEYRING` and `KEY_SPEC_USER_KEYRING` of linux/keyctl.h.
const PROCESS_KEYRING: libc::c_long = -2;
const USER_KEYRING: libc::c_long = -4;

/// The payload of the key of type `user` with this description, at most `limit` bytes. The user's
/// keyring is searched, too, also where the session does not link it. No program is asked for a
/// key that is not there.
///
/// # Errors
/// `ENOKEY` when there is none, `EKEYEXPIRED`, `EKEYREVOKED`, `EACCES`; `EMSGSIZE` when it is
/// larger; `ENOSYS` or `EPERM` where keyrings cannot be used.
pub fn read_user_key(description: &str, limit: usize) -> io::Result<Vec<u8>> {
    let description = CString::new(description).map_err(|_| io::ErrorKind::InvalidInput)?;
    // A key can be read by who possesses it, which is decided by the keyrings of the process; the
    // link lasts as long as the process. Where it is refused, the search may still succeed.
    // SAFETY: the call takes two ids and no pointers.
    let _ = unsafe { libc::syscall(libc::SYS_keyctl, LINK, USER_KEYRING, PROCESS_KEYRING) };
    let nothing: *const libc::c_char = std::ptr::null();
    // SAFETY: both strings end in NUL and outlive the call; no information for a program is given,
    // so none is called.
    let found = checked(unsafe {
        libc::syscall(
            libc::SYS_request_key,
            c"user".as_ptr(),
            description.as_ptr(),
            nothing,
            0 as libc::c_long,
        )
    })?;
    let mut payload = vec![0u8; limit];
    // SAFETY: the buffer is writable for the length that is given, and outlives the call.
    let size = checked(unsafe {
        libc::syscall(libc::SYS_keyctl, READ, found, payload.as_mut_ptr(), payload.len())
    })?;
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    if size > limit {
        return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
    }
    payload.truncate(size);
    Ok(payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADD_DESCRIPTION: &std::ffi::CStr = c"ctrlz-test-key";

    #[test]
    fn a_key_is_read_back_and_a_missing_one_is_an_error() {
        let payload = [7u8; 32];
        // SAFETY: the strings end in NUL, the payload has the length that is given.
        let added = unsafe {
            libc::syscall(
                libc::SYS_add_key,
                c"user".as_ptr(),
                ADD_DESCRIPTION.as_ptr(),
                payload.as_ptr(),
                payload.len(),
                PROCESS_KEYRING,
            )
        };
        if added < 0 {
            println!("SKIPPED(no keyrings: {})", io::Error::last_os_error());
            return;
        }
        assert_eq!(read_user_key("ctrlz-test-key", 64).unwrap(), payload);
        let larger = read_user_key("ctrlz-test-key", 8).unwrap_err();
        assert_eq!(larger.raw_os_error(), Some(libc::EMSGSIZE));
        let missing = read_user_key("ctrlz-no-such-key", 64).unwrap_err();
        assert_eq!(missing.raw_os_error(), Some(libc::ENOKEY));
    }
}

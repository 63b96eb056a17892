//! The secret key of encrypted state: where it is, and how it is read.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

use ctrlz_config::{Config, Flags, KeySource, Places};
use ctrlz_store::vault::SecretKey;

use crate::failure::{Failure, OWN_FAILURE, REFUSED};
use crate::places;

/// The most bytes that anything with a key in it may have.
const LONGEST: u64 = 4096;

/// The configuration of the working folder.
pub(crate) fn configuration() -> Result<Config, Failure> {
    let places = Places::of_process(
        places::working_folder()?,
        std::env::var_os("XDG_CONFIG_HOME"),
        std::env::var_os("HOME"),
    );
    ctrlz_config::load(&places, &Flags::default())
        .map_err(|error| Failure::caused(OWN_FAILURE, "config", &error))
}

/// The key that the command line or the configuration names.
pub(crate) fn configured(with: Option<&KeySource>) -> Result<SecretKey, Failure> {
    match with {
        Some(source) => read(source),
        None => match configuration()?.state_key {
            Some(source) => read(&source),
            None => Err(Failure::new(REFUSED, "no-key", "there is no key for encrypted state")
                .hint(
                    "say where it is with `state: {key: {file: PATH}}` in \
                     ~/.config/ctrlz/ctrlz.yaml or with --with-key; `head -c 32 /dev/urandom` \
                     makes one",
                )),
        },
    }
}

/// Reads a key from where it is.
pub(crate) fn read(source: &KeySource) -> Result<SecretKey, Failure> {
    let bytes = match source {
        KeySource::File(path) => from_file(path),
        KeySource::Env(name) => match std::env::var_os(name) {
            Some(value) => Ok(value.into_encoded_bytes()),
            None => Err("the variable is not set".to_owned()),
        },
        KeySource::Command(command) => from_command(command),
        KeySource::Keyring(name) => {
            ctrlz_sys::keyring::read_user_key(name, usize::try_from(LONGEST).unwrap_or(4096))
                .map_err(|error| error.to_string())
        }
    };
    let failed = |reason: String| {
        let message = format!("cannot take the key of encrypted state from {source}");
        Failure::new(OWN_FAILURE, "state-secret", message).detail(reason)
    };
    let key = SecretKey::read(&bytes.map_err(failed)?);
    key.map_err(|error| failed(error.to_string()))
}

fn from_file(path: &Path) -> Result<Vec<u8>, String> {
    let said = |error: std::io::Error| error.to_string();
    // Not waiting for a writer, should it be a FIFO.
    let flags = rustix::fs::OFlags::RDONLY
        | rustix::fs::OFlags::CLOEXEC
        | rustix::fs::OFlags::NONBLOCK
        | rustix::fs::OFlags::NOCTTY;
    let file = rustix::fs::open(path, flags, rustix::fs::Mode::empty())
        .map_err(|errno| said(errno.into()))?;
    let file = std::fs::File::from(file);
    let about = file.metadata().map_err(said)?;
    if !about.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    if about.mode() & 0o077 != 0 {
        let mode = about.mode() & 0o777;
        return Err(format!("others can read or change it (mode {mode:03o}): chmod 600 it first"));
    }
    let owner = about.uid();
    if owner != 0 && owner != rustix::process::geteuid().as_raw() {
        return Err(format!("it belongs to somebody else (user {owner})"));
    }
    limited(file)
}

/// Its standard error is the user's, so that it can ask for a passphrase at the terminal.
fn from_command(command: &str) -> Result<Vec<u8>, String> {
    let started = Command::new("/bin/sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = started.map_err(|error| error.to_string())?;
    let output = child.stdout.take().map_or_else(|| Ok(Vec::new()), limited);
    let status = child.wait().map_err(|error| error.to_string())?;
    if !status.success() {
        return Err(format!("the command failed: {status}"));
    }
    output
}

fn limited(from: impl Read) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    from.take(LONGEST + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > LONGEST {
        return Err(format!("there is more than a key: over {LONGEST} bytes"));
    }
    Ok(bytes)
}

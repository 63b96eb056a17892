//! Whom a place's data keys are for.

use age::Recipient;

use super::Passphrase;
use crate::ArchiveError;

/// Whom a place's data keys are for: any number of public keys, and one passphrase at most.
#[derive(Default)]
pub struct Recipients {
    pub(super) public: Vec<Box<dyn Recipient + Send + Sync>>,
    pub(super) passphrase: Option<Passphrase>,
    /// scrypt's cost as the power of two; `None` for what takes about a second here.
    pub(super) work_factor: Option<u8>,
}

impl std::fmt::Debug for Recipients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let passphrase = if self.passphrase.is_some() { " and a passphrase" } else { "" };
        write!(f, "Recipients({} public keys{passphrase})", self.public.len())
    }
}

impl Recipients {
    /// Nobody yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the public keys in `text`, one a line: `age1…`, `ssh-ed25519 …`, `ssh-rsa …`; empty
    /// lines and those that begin with `#` say nothing. `what` is where the text comes from, for
    /// errors.
    ///
    /// # Errors
    /// When a line is no such key; nothing is added then.
    pub fn add(&mut self, text: &str, what: &str) -> Result<(), ArchiveError> {
        let mut added: Vec<Box<dyn Recipient + Send + Sync>> = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            // A private key in the wrong place must not be shown in an error.
            let refuse = |why: &str| ArchiveError::Key {
                what: format!("line {} of {what}", number + 1),
                why: why.to_owned(),
            };
            if let Ok(key) = line.parse::<age::x25519::Recipient>() {
                added.push(Box::new(key));
            } else if line.starts_with("ssh-") {
                let key = line.parse::<age::ssh::Recipient>();
                let why = "not an SSH key that age can encrypt to (ssh-ed25519, or ssh-rsa of 2048 bits and more)";
                added.push(Box::new(key.map_err(|_| refuse(why))?));
            } else if line.to_ascii_uppercase().starts_with("AGE-SECRET-KEY-") {
                return Err(refuse(
                    "this is a private key; give its public half (`age-keygen -y`)",
                ));
            } else {
                return Err(refuse("not a public key: `age1…`, `ssh-ed25519 …` or `ssh-rsa …`"));
            }
        }
        self.public.append(&mut added);
        Ok(())
    }

    /// Adds a passphrase; it replaces an earlier one.
    pub fn set_passphrase(&mut self, passphrase: Passphrase) {
        self.passphrase = Some(passphrase);
    }

    /// How much a passphrase costs to try: scrypt's N as a power of two, 1 to 22. Without it, it
    /// takes about a second here.
    pub fn set_work_factor(&mut self, log_n: u8) {
        self.work_factor = Some(log_n.clamp(1, 22));
    }

    /// Whether it is nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.public.is_empty() && self.passphrase.is_none()
    }
}

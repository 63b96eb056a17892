//! Bearer tokens (RFC 6750): `ctrlz_ID_SECRET`. The id finds the token, the secret proves that it
//! was given.

use ctrlz_core::tenancy::Token;
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::problem::Problem;

/// What every token begins with, so that scanners for leaked secrets know one.
const PREFIX: &str = "ctrlz_";
/// The bytes of an id, and of a secret.
const ID: usize = 8;
const SECRET: usize = 32;

/// A token as it is given to whoever may use it, once.
pub(crate) struct Issued {
    /// What names it.
    pub(crate) id: String,
    /// All of it.
    pub(crate) text: String,
    /// The digest that is kept.
    pub(crate) digest: [u8; 32],
}

/// Makes a new one.
pub(crate) fn issue() -> Result<Issued, Problem> {
    let (id, secret) = (word(ID)?, word(SECRET)?);
    let digest = digest(secret.as_bytes());
    Ok(Issued { text: format!("{PREFIX}{id}_{secret}"), id, digest })
}

/// Random bytes in hexadecimal digits.
///
/// # Errors
/// When the kernel gives none.
pub fn word(bytes: usize) -> Result<String, Problem> {
    let mut random = vec![0; bytes];
    let filled = SystemRandom::new().fill(&mut random);
    filled.map_err(|_| Problem::internal("the kernel gives no random numbers"))?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The SHA-256 of some bytes.
pub(crate) fn digest(bytes: &[u8]) -> [u8; 32] {
    let mut digest = Digest::default();
    digest.add(bytes);
    digest.end()
}

/// The SHA-256 of bytes that come in pieces.
pub(crate) struct Digest(ring::digest::Context);

impl Default for Digest {
    fn default() -> Self {
        Self(ring::digest::Context::new(&ring::digest::SHA256))
    }
}

impl Digest {
    /// What comes next.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all that came.
    pub(crate) fn end(self) -> [u8; 32] {
        let mut digest = [0; 32];
        for (to, from) in digest.iter_mut().zip(self.0.finish().as_ref()) {
            *to = *from;
        }
        digest
    }
}

/// The id and the secret of a token.
pub(super) fn split(text: &str) -> Option<(&str, &str)> {
    let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
    let is_word = |text: &str, bytes| {
        text.len() == 2 * bytes && text.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    (is_word(id, ID) && is_word(secret, SECRET)).then_some((id, secret))
}

/// Whether a secret is the one of which `expected` is the digest. That takes as long for any secret.
pub(super) fn is_secret(secret: &str, expected: &[u8; 32]) -> bool {
    // Of digests it cannot be learned by timing what the secret is; compared this way, not even the
    // digest.
    let found = digest(secret.as_bytes());
    let difference = found.iter().zip(expected).fold(0, |all, (a, b)| all | (a ^ b));
    std::hint::black_box(difference) == 0
}

/// Why a token is not taken at this time.
pub(super) fn is_over(token: &Token, now: ctrlz_core::time::Timestamp) -> Option<&'static str> {
    match (token.revoked, token.expires) {
        (Some(_), _) => Some("it was revoked"),
        (None, Some(expires)) if expires <= now => Some("it has expired"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_issued_is_taken_and_nothing_else() {
        let issued = issue().map_err(|problem| problem.in_words()).expect("random numbers");
        let (id, secret) = split(&issued.text).expect("a token");
        assert_eq!(id, issued.id);
        assert!(is_secret(secret, &issued.digest));
        assert!(!is_secret(&secret.replace(|c| c != '0', "0"), &issued.digest));
        for text in ["", "ctrlz_", "ctrlz_a_b", &issued.text[1..], &format!("{}0", issued.text)] {
            assert!(split(text).is_none(), "{text}");
        }
    }
}

//! What a name says of the value that is given to it.

/// How much a name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    /// `password`, `PGPASSWORD`, `db.pass`: whatever is given to it is one.
    Password,
    /// `token`, `secret`, `api_key`: a value that looks made up by a machine is one.
    Token,
    /// `key`, `auth`, `session`: only random letters are one.
    Weak,
    /// `aws_secret_access_key`.
    AwsSecretKey,
    /// `AccountKey`, `SharedAccessKey`.
    AzureKey,
    /// `sig` in the address of Azure's storage.
    Signature,
    /// `Authorization`.
    Authorization,
}

/// The longest name that is read, in bytes.
pub(super) const NAME_MAX: usize = 64;

/// Whether a byte can stand in a name.
pub(super) const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

/// What `name` says, by its last words: `DB_PASSWORD`, `dbPassword` and `db-password` say the
/// same.
pub(super) fn classify(name: &[u8]) -> Option<Name> {
    // The last letter rules most names out.
    match name.last()?.to_ascii_lowercase() {
        b'd' => {
            if matches!(name, b"PWD" | b"OLDPWD") {
                return None;
            }
            (ends_with(name, b"password") || ends_with(name, b"passwd") || ends_with(name, b"pwd"))
                .then_some(Name::Password)
                .or_else(|| ends_with(name, b"sessionid").then_some(Name::Weak))
        }
        b'e' if ends_with(name, b"passphrase") => Some(Name::Password),
        b's' if ends_with(name, b"pass") => ends_with_word(name, 4).then_some(Name::Password),
        b's' if ends_with(name, b"credentials") => Some(Name::Weak),
        b'l' if ends_with(name, b"credential") => Some(Name::Weak),
        b't' if ends_with(name, b"secret") => Some(Name::Token),
        b'n' if ends_with(name, b"token") => {
            // Where a listing goes on is no secret.
            if name.len() == 5 {
                return Some(Name::Token);
            }
            let paging = [&b"nexttoken"[..], b"pagetoken", b"continuationtoken", b"canceltoken"];
            (!paging.iter().any(|word| ends_with(name, word))).then_some(Name::Token)
        }
        b'n' if ends_with(name, b"authorization") => Some(Name::Authorization),
        b'n' if ends_with(name, b"session") => Some(Name::Weak),
        b'h' if ends_with(name, b"auth") => Some(Name::Weak),
        b'k' if ends_with(name, b"psk") => Some(Name::Weak),
        b'g' if name == b"sig" => Some(Name::Signature),
        b'y' if ends_with(name, b"key") => Some(classify_key(name)?),
        b'3' if ends_with(name, b"keybase64") => Some(Name::Weak),
        _ => None,
    }
}

fn classify_key(name: &[u8]) -> Option<Name> {
    let mut stem = name.get(..name.len().saturating_sub(3))?;
    while let Some((b'_' | b'-' | b'.', rest)) = stem.split_last() {
        stem = rest;
    }
    if stem.is_empty() {
        return Some(Name::Weak);
    }
    if ends_with(stem, b"secretaccess") || ends_with(stem, b"awssecret") {
        return Some(Name::AwsSecretKey);
    }
    if ends_with(stem, b"account") || ends_with(stem, b"sharedaccess") {
        return Some(Name::AzureKey);
    }
    if [&b"public"[..], b"pub", b"cache", b"host", b"primary"]
        .iter()
        .any(|word| ends_with(stem, word))
    {
        return None;
    }
    let strong: [&[u8]; 12] = [
        b"api",
        b"access",
        b"secret",
        b"private",
        b"auth",
        b"encryption",
        b"master",
        b"signing",
        b"app",
        b"license",
        b"shared",
        b"service",
    ];
    Some(if strong.iter().any(|word| ends_with(stem, word)) { Name::Token } else { Name::Weak })
}

/// Whether a name ends with a word, whatever its case and whatever joins its parts.
fn ends_with(name: &[u8], word: &[u8]) -> bool {
    let mut letters = name.iter().rev().filter(|byte| !matches!(byte, b'_' | b'-' | b'.')).copied();
    word.iter()
        .rev()
        .all(|wanted| letters.next().is_some_and(|letter| letter.to_ascii_lowercase() == *wanted))
}

/// Whether the last `length` letters are a word of their own: `db_pass`, `dbPass`, not `compass`.
fn ends_with_word(name: &[u8], length: usize) -> bool {
    let Some(begin) = name.len().checked_sub(length) else { return false };
    let Some(before) = begin.checked_sub(1).and_then(|index| name.get(index)) else { return true };
    let capital = name.get(begin).is_some_and(u8::is_ascii_uppercase);
    !before.is_ascii_alphabetic() || (capital && before.is_ascii_lowercase())
}

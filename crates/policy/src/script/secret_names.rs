//! Files whose content should not leave the machine, as far as their names tell.

/// Parts of paths that tell of secrets.
const PARTS: &[&[u8]] = &[
    b"/.ssh",
    b"id_rsa",
    b"id_ed25519",
    b"id_ecdsa",
    b"id_dsa",
    b".aws/",
    b".gnupg",
    b".netrc",
    b".pgpass",
    b".git-credentials",
    b".kube/config",
    b".docker/config",
    b"/etc/shadow",
    b"/etc/gshadow",
    b"/etc/sudoers",
    b"/etc/passwd",
    b"gcloud/",
    b".azure/",
    b".npmrc",
    b".pypirc",
    b"login data",
    b"cookies.sqlite",
    b"/cookies",
    b"logins.json",
    b"key4.db",
    b"wallet.dat",
    b"local state",
    b".bash_history",
    b".zsh_history",
    b"keychain",
    b"credentials",
    b"/.env",
    b"/proc/self/environ",
    b"leveldb",
    b".mozilla/firefox",
    b"google-chrome",
    b"metamask",
    b".electrum",
    b"private_key",
    b"serviceaccount/token",
    b"/etc/ssl/private",
    b".vault-token",
    b".config/gh/",
    b".terraform.d/",
    b"keyrings",
    b".pem",
    b".kdbx",
    b"/etc/krb5.keytab",
];

/// Whether the path names a file with secrets.
pub(super) fn is_secret(path: &[u8]) -> bool {
    let path = path.to_ascii_lowercase();
    path == b".env"
        || path.starts_with(b".ssh")
        || PARTS.iter().any(|part| path.windows(part.len()).any(|window| window == *part))
}

/// Ends of names by which programs find secrets in a tree of files.
const ENDS: &[&[u8]] = &[
    b"id_rsa",
    b"id_ed25519",
    b"id_ecdsa",
    b".pem",
    b".key",
    b".kdbx",
    b".p12",
    b".pfx",
    b".env",
    b"wallet.dat",
    b"credentials",
    b"key4.db",
    b"logins.json",
];

/// Whether a program has texts that name secrets, wherever they may lie.
pub(super) fn looks_for_secrets(source: &[u8]) -> bool {
    source.split(|byte| matches!(byte, b'"' | b'\'' | b'`' | b'/')).any(|text| {
        // Patterns say where a name ends.
        let text = text.strip_suffix(b"$").unwrap_or(text);
        text.len() <= 40 && !text.contains(&b'\n') && ENDS.iter().any(|end| text.ends_with(end))
    })
}

/// Whether people's own files lie in this folder.
pub(super) fn is_home(folder: &[u8]) -> bool {
    let folder = folder.strip_suffix(b"/").unwrap_or(folder);
    matches!(folder, b"" | b"~" | b"/home" | b"/root" | b"/Users")
}

#[cfg(test)]
mod tests {
    use super::is_secret;

    #[test]
    fn keys_are_secret_and_sources_are_not() {
        assert!(is_secret(b"~/.ssh/id_rsa"));
        assert!(is_secret(b"/etc/shadow"));
        assert!(is_secret(b".env"));
        assert!(!is_secret(b"src/main.py"));
        assert!(!is_secret(b"data/environment.csv"));
    }
}

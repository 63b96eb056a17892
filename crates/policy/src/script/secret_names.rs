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

//! Who signs in at a registry.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use oci_client::secrets::RegistryAuth;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::ArchiveError;

/// The largest file with logins, in bytes.
const LARGEST: u64 = 1 << 20;

/// Who signs in at a registry.
#[derive(Debug, Clone, Default)]
pub enum Login {
    /// Nobody.
    #[default]
    Anonymous,
    /// A user by name and password.
    User(Secret),
}

/// A name and a password.
#[derive(Clone)]
pub struct Secret {
    name: String,
    password: Zeroizing<String>,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} with a password", self.name)
    }
}

impl Login {
    /// A user by name and password.
    #[must_use]
    pub fn user(name: String, password: String) -> Self {
        Self::User(Secret { name, password: Zeroizing::new(password) })
    }

    /// The files in which podman, skopeo, buildah and docker keep logins, in the order in which
    /// they are asked. `home` and `runtime` are `$HOME` and `$XDG_RUNTIME_DIR`.
    #[must_use]
    pub fn files(home: Option<&Path>, runtime: Option<&Path>) -> Vec<PathBuf> {
        let runtime = runtime.map(|path| path.join("containers/auth.json"));
        let home = home.map(|path| {
            [path.join(".config/containers/auth.json"), path.join(".docker/config.json")]
        });
        runtime.into_iter().chain(home.into_iter().flatten()).collect()
    }

    /// What a file of podman, skopeo, buildah or docker has for the registry `host`, or for
    /// `repository` in it; `None` when it has nothing or does not exist.
    ///
    /// # Errors
    /// When it cannot be read or is malformed.
    pub fn from_file(
        path: &Path,
        host: &str,
        repository: &str,
    ) -> Result<Option<Self>, ArchiveError> {
        let refuse = |why: String| ArchiveError::Key {
            what: format!("the file with logins {}", path.display()),
            why,
        };
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(refuse(error.to_string())),
        };
        let mut bytes = Zeroizing::new(Vec::new());
        file.take(LARGEST).read_to_end(&mut bytes).map_err(|error| refuse(error.to_string()))?;
        // The parser's words could show a part of the file.
        let document: Value =
            serde_json::from_slice(&bytes).map_err(|_| refuse("it is no JSON".to_owned()))?;
        let names = [format!("{host}/{repository}"), host.to_owned(), format!("https://{host}")];
        let auths = document.get("auths").and_then(Value::as_object);
        let found = names.iter().find_map(|name| auths.and_then(|auths| auths.get(name)));
        if let Some(auth) = found.and_then(|entry| entry.get("auth")).and_then(Value::as_str) {
            let (name, password) = decode(auth).ok_or_else(|| {
                refuse(format!("the login for {host} is not `user:password` in base64"))
            })?;
            return Ok(Some(Self::user(name, password)));
        }
        let helper = document.pointer("/credHelpers").and_then(|helpers| helpers.get(host));
        if helper.is_some() || found.is_some() && document.get("credsStore").is_some() {
            return Err(refuse(format!(
                "the login for {host} is kept by a credential helper, which ctrlz does not run; \
                 sign in with `podman login {host}`"
            )));
        }
        Ok(None)
    }

    pub(super) fn to_auth(&self) -> RegistryAuth {
        match self {
            Self::Anonymous => RegistryAuth::Anonymous,
            Self::User(Secret { name, password }) => {
                RegistryAuth::Basic(name.clone(), password.to_string())
            }
        }
    }

    pub(super) fn basic(&self) -> Option<(&str, &str)> {
        match self {
            Self::Anonymous => None,
            Self::User(Secret { name, password }) => Some((name, password)),
        }
    }
}

/// `user:password` from base64, with or without padding.
fn decode(text: &str) -> Option<(String, String)> {
    let lenient =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let bytes = GeneralPurpose::new(&STANDARD, lenient).decode(text).ok().map(Zeroizing::new)?;
    let (name, password) = std::str::from_utf8(&bytes).ok()?.split_once(':')?;
    Some((name.to_owned(), password.trim_end_matches('\0').to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_logins_of_other_tools_and_shows_no_password() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("auth.json");
        let read = |text: &str, host: &str| {
            std::fs::write(&path, text).expect("written");
            Login::from_file(&path, host, "name").map(|login| format!("{login:?}"))
        };
        let known = r#"{"auths":{"r.test":{"auth":"dXNlcjpwYTpzcw=="}}}"#;
        assert_eq!(read(known, "r.test").expect("read"), "Some(User(user with a password))");
        let login = Login::from_file(&path, "r.test", "name").expect("read").expect("found");
        assert_eq!(login.basic(), Some(("user", "pa:ss")));
        assert_eq!(read(known, "other.test").expect("read"), "None");
        for bad in [
            r#"{"auths":{"r.test":{"auth":"??"}}}"#,
            "dXNlcjpwYTpzcw",
            r#"{"credHelpers":{"r.test":"x"}}"#,
        ] {
            let error = read(bad, "r.test").expect_err(bad).to_string();
            assert!(error.contains("auth.json") && !error.contains("dXNl"), "{error}");
        }
        assert!(Login::from_file(Path::new("/nonexistent"), "h", "n").expect("none").is_none());
    }
}

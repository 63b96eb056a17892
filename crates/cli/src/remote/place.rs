//! Where the service is, and with which token it is asked.

use std::env;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use ctrlz_core::span::Span;
use url::{Host, Url};

use crate::failure::{Failure, OWN_FAILURE};

/// The variable that names the service when `--server` does not.
pub(crate) const VARIABLE: &str = "CTRLZ_SERVER";
/// How long it is waited for a connection and for answers to questions, unless somebody says so.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest token that is read from a file.
const LONGEST_TOKEN: usize = 4096;

/// Where to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    Unix(PathBuf),
    Tcp(String, u16),
    Tls(String, u16),
}

/// A service, as the user named it.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) address: Address,
    /// What stands before each path, without a slash at its end.
    pub(super) prefix: String,
    /// `Host` of each request.
    pub(super) host: String,
    /// How long it is waited for a connection, and for answers to questions.
    pub(super) patience: Duration,
    /// As it was named.
    name: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Place {
    /// Understands a URL.
    pub(super) fn of(url: &str) -> Result<Self, Failure> {
        let patience = match env::var("CTRLZ_SERVER_TIMEOUT").ok().filter(|text| !text.is_empty()) {
            None => PATIENCE,
            Some(text) => {
                let span: Result<Span, _> = text.parse();
                let span = span.ok().filter(|Span(span)| !span.is_zero());
                span.map(|Span(span)| span).ok_or_else(|| {
                    let message = format!("CTRLZ_SERVER_TIMEOUT is `{text}`, which is no time");
                    Failure::new(OWN_FAILURE, "server", message).hint("such as `30s` or `2m`")
                })?
            }
        };
        let (address, host, prefix) = parsed(url).map_err(|why| {
            Failure::new(OWN_FAILURE, "server", format!("`{}` names no service: {why}", bare(url)))
                .hint("write http://HOST:PORT, https://HOST, or unix:///PATH/service.sock")
        })?;
        Ok(Self { address, prefix, host, patience, name: bare(url) })
    }
}

/// A URL without what stands before its host, which may be a secret.
fn bare(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) if scheme != "unix" => {
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            let (authority, rest) = rest.split_at(end);
            let host = authority.rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{host}{rest}")
        }
        _ => url.to_owned(),
    }
}

fn parsed(text: &str) -> Result<(Address, String, String), String> {
    if let Some(path) = text.strip_prefix("unix://") {
        let path = PathBuf::from(path);
        return match path.is_absolute() {
            true => Ok((Address::Unix(path), "localhost".to_owned(), String::new())),
            false => Err("the path of a socket begins with `/`".to_owned()),
        };
    }
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a token does not stand there, but in CTRLZ_TOKEN".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("it has a query".to_owned());
    }
    let bare = match url.host() {
        Some(Host::Ipv6(address)) => address.to_string(),
        Some(host) => host.to_string(),
        None => return Err("it has no host".to_owned()),
    };
    let port = url.port_or_known_default().unwrap_or_default();
    let host = url.host_str().unwrap_or_default();
    let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let prefix = url.path().trim_end_matches('/').to_owned();
    match url.scheme() {
        "http" => Ok((Address::Tcp(bare, port), host, prefix)),
        "https" => Ok((Address::Tls(bare, port), host, prefix)),
        scheme => Err(format!("`{scheme}` is not spoken")),
    }
}

/// The token: `CTRLZ_TOKEN`, or what the file of `CTRLZ_TOKEN_FILE` has.
pub(super) fn token() -> Result<String, Failure> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    let hint = "`ctrlz token new` makes a token where the service's store lies";
    let bad = |message: String| Failure::new(OWN_FAILURE, "token", message).hint(hint);
    let text = match (set("CTRLZ_TOKEN"), set("CTRLZ_TOKEN_FILE")) {
        (Some(token), _) => {
            token.into_string().map_err(|_| bad("CTRLZ_TOKEN is no token".into()))?
        }
        (None, Some(path)) => {
            let path = PathBuf::from(path);
            let cannot = |error: std::io::Error| {
                bad(format!("cannot read the token in {}: {error}", path.display()))
            };
            std::fs::read_to_string(&path).map_err(cannot)?
        }
        (None, None) => return Err(bad("CTRLZ_TOKEN and CTRLZ_TOKEN_FILE are not set".into())),
    };
    let token = text.trim();
    let fits =
        |token: &str| token.len() <= LONGEST_TOKEN && token.bytes().all(|b| b.is_ascii_graphic());
    match fits(token) && !token.is_empty() {
        true => Ok(token.to_owned()),
        false => Err(bad("what CTRLZ_TOKEN or CTRLZ_TOKEN_FILE has is no token".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_understood() {
        let found = |text: &str| parsed(text).expect(text);
        let tcp = |host: &str, port| Address::Tcp(host.to_owned(), port);
        assert_eq!(found("http://a:7070"), (tcp("a", 7070), "a:7070".into(), String::new()));
        assert_eq!(found("http://[::1]:7/").0, tcp("::1", 7));
        let (address, host, prefix) = found("https://a.example/x/y/");
        assert_eq!(address, Address::Tls("a.example".into(), 443));
        assert_eq!((host.as_str(), prefix.as_str()), ("a.example", "/x/y"));
        assert_eq!(found("unix:///run/s.sock").0, Address::Unix("/run/s.sock".into()));
    }

    #[test]
    fn what_names_no_service_is_told_without_its_secrets() {
        for text in ["", "a:7070", "ftp://a", "unix://a", "http://", "http://a?b", "http://u:p@a"] {
            assert!(parsed(text).is_err(), "{text}");
        }
        let told = Place::of("http://me:secret@a/b").expect_err("it has a password").in_words();
        assert!(told.contains("http://a/b") && !told.contains("secret"), "{told}");
    }
}

//! Posting an event to a URL, in the way of Standard Webhooks (standardwebhooks.com).

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ctrlz_core::sink::SecretSource;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use crate::discreet::{Redact, discreet};
use crate::send::{Letter, Refused};

/// Where to.
pub(crate) struct Place<'c> {
    pub(crate) url: &'c str,
    pub(crate) secret: Option<&'c SecretSource>,
    pub(crate) ca: Option<&'c Path>,
}

pub(crate) fn send(
    place: &Place<'_>,
    timeout: Duration,
    letter: Letter<'_>,
    redact: &Redact<'_>,
) -> Result<(), Refused> {
    let agent = agent(place, timeout)?;
    // What it is recognised by when it comes twice.
    let id = format!("{}/{}", letter.source, letter.number);
    let mut request = agent
        .post(place.url)
        .header("content-type", "application/cloudevents+json; charset=utf-8")
        .header("webhook-id", &id)
        .header("webhook-timestamp", letter.now.to_string());
    if let Some(source) = place.secret {
        let signature = sign(&secret(source)?, &id, letter.now, letter.text)?;
        request = request.header("webhook-signature", format!("v1,{signature}"));
    }
    let answer = request.send(letter.text).map_err(|error| match error {
        // It repeats the URL.
        ureq::Error::BadUri(_) => Refused::now("the URL cannot be used"),
        error => {
            let said = discreet(&error.to_string(), &beyond_origin(place.url), redact);
            Refused::now(format!("{}: {said}", origin(place.url)))
        }
    })?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let reason = format!("{} answered {status}", origin(place.url));
    // Gone, as Standard Webhooks says: whoever was there wants no more.
    Err(Refused { reason, for_good: status.as_u16() == 410 })
}

/// The part of a URL that may be told: who knows the rest can often post there.
fn origin(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}")
}

/// The rest of it: what stands before the host, and behind it.
fn beyond_origin(url: &str) -> [&str; 2] {
    let (_, rest) = url.split_once("://").unwrap_or(("", url));
    let (user, _) = rest.split_once('@').unwrap_or_default();
    let path = rest.find(['/', '?', '#', '\\']).and_then(|at| rest.get(at..)).unwrap_or_default();
    [user, path]
}

fn agent(place: &Place<'_>, timeout: Duration) -> Result<ureq::Agent, Refused> {
    let mut config = ureq::Agent::config_builder()
        .timeout_global(Some(timeout))
        .http_status_as_error(false)
        // Whoever redirects a signed message has not been chosen.
        .max_redirects(0)
        .user_agent(concat!("ctrlz/", env!("CARGO_PKG_VERSION")));
    if let Some(path) = place.ca {
        let cannot = |error: String| {
            Refused::now(format!("cannot use the certificates in {}: {error}", path.display()))
        };
        let pem = std::fs::read(path).map_err(|error| cannot(error.to_string()))?;
        let mut certificates: Vec<Certificate<'static>> = Vec::new();
        for item in parse_pem(&pem) {
            if let PemItem::Certificate(found) = item.map_err(|error| cannot(error.to_string()))? {
                certificates.push(found);
            }
        }
        if certificates.is_empty() {
            return Err(cannot("there are none".to_owned()));
        }
        let roots = RootCerts::new_with_certs(&certificates);
        config = config.tls_config(TlsConfig::builder().root_certs(roots).build());
    }
    Ok(config.build().new_agent())
}

/// The key: what stands behind `whsec_` in base64, or the bytes themselves.
fn secret(source: &SecretSource) -> Result<Vec<u8>, Refused> {
    let text = match source {
        SecretSource::File(path) => std::fs::read_to_string(path).map_err(|error| {
            Refused::now(format!("cannot read the secret in {}: {error}", path.display()))
        })?,
        SecretSource::Variable(name) => std::env::var(name)
            .map_err(|_| Refused::now(format!("the variable {name} with the secret is not set")))?,
    };
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(Refused::now("the secret is empty"));
    }
    match text.strip_prefix("whsec_") {
        Some(encoded) => STANDARD
            .decode(encoded)
            .map_err(|_| Refused::now("the secret behind `whsec_` is not base64")),
        None => Ok(text.as_bytes().to_vec()),
    }
}

fn sign(secret: &[u8], id: &str, now: i64, body: &str) -> Result<String, Refused> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret)
        .map_err(|_| Refused::now("the secret cannot be used as a key"))?;
    mac.update(format!("{id}.{now}.{body}").as_bytes());
    Ok(STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_scheme_and_host_are_told() {
        for url in [
            "https://h.example:8/secret?a#b",
            "https://u:p@h.example:8",
            "https://h.example:8?secret",
        ] {
            assert_eq!(origin(url), "https://h.example:8");
        }
    }

    #[test]
    fn the_rest_is_what_must_not_be_told() {
        assert_eq!(beyond_origin("https://u:p@h.example:8/secret?a#b"), ["u:p", "/secret?a#b"]);
        assert_eq!(beyond_origin("https://h.example:8?secret"), ["", "?secret"]);
        assert_eq!(beyond_origin("https://h.example"), ["", ""]);
    }

    /// The example of the specification's reference libraries.
    #[test]
    fn signs_as_the_specification_does() {
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed =
            sign(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, "{\"test\": 2432232314}");
        assert_eq!(signed.unwrap(), "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}

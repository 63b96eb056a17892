//! Who is turned away before anything else: pages of other sites, by way of a browser on this host (DNS
//! rebinding).

use std::net::IpAddr;

use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, Uri, header};

use crate::problem::Problem;

/// Errs when a request is not for this service, or comes from a page of another site.
pub(super) fn check(uri: &Uri, headers: &HeaderMap, hosts: &[String]) -> Result<(), Problem> {
    let refused = |what: &str| {
        let title = format!("the {what} header names a host that is not this service");
        Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", title).hint(
            "use the loopback address, or begin the service with `--host NAME` for the name by which it is \
             reached",
        ))
    };
    let host = match headers.get(header::HOST) {
        Some(value) => value.to_str().ok().and_then(|text| text.parse::<Authority>().ok()),
        // HTTP/2 has it there.
        None => uri.authority().cloned(),
    };
    // An address cannot be bound anew; only a name can.
    let is_ours =
        |host: &str| is_loopback(host) || address(host).is_some() || is_named(host, hosts);
    if !host.is_some_and(|host| is_ours(host.host())) {
        return refused("Host");
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().ok().and_then(|text| text.parse::<Uri>().ok());
    let from_here = |host: &str| is_loopback(host) || is_named(host, hosts);
    match origin.as_ref().and_then(Uri::host).is_some_and(from_here) {
        true => Ok(()),
        false => refused("Origin"),
    }
}

fn address(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || address(host).is_some_and(|ip| ip.is_loopback())
}

fn is_named(host: &str, hosts: &[String]) -> bool {
    hosts.iter().any(|name| name.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lets_in(host: &str, origin: Option<&str>, hosts: &[String]) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().expect("a value"));
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().expect("a value"));
        }
        check(&Uri::from_static("/mcp"), &headers, hosts).is_ok()
    }

    #[test]
    fn names_of_others_and_pages_of_others_are_turned_away() {
        for host in ["localhost", "localhost:7070", "127.0.0.1:7070", "[::1]:7070", "10.0.0.7"] {
            assert!(lets_in(host, None, &[]), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example:7070", "127.0.0.1.evil.example", ""] {
            assert!(!lets_in(host, None, &[]), "{host}");
        }
        let ours = ["ctrlz.example".to_owned()];
        assert!(
            lets_in("ctrlz.example:443", None, &ours) && !lets_in("other.example", None, &ours)
        );
        for origin in ["http://localhost:5173", "http://127.0.0.1", "http://[::1]:1"] {
            assert!(lets_in("localhost", Some(origin), &[]), "{origin}");
        }
        for origin in
            ["https://evil.example", "null", "http://10.0.0.7", "", "localhost.evil.example"]
        {
            assert!(!lets_in("localhost", Some(origin), &[]), "{origin}");
        }
        assert!(lets_in("localhost", Some("https://ctrlz.example"), &ours));
    }
}

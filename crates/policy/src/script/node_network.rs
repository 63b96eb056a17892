//! What JavaScript's functions do with the network.

use crate::effect::{EffectKind, Qualities, Target};
use crate::source_range::SourceRange;

use super::constant;
use super::evaluate::Evaluator;
use super::library::{self, Call};
use super::value::{Kind, Origin, Value};

/// A call of a function by its qualified name.
pub(super) fn call(
    evaluator: &mut Evaluator<'_>,
    name: &str,
    call: &Call,
    origin: Origin,
    depth: usize,
) -> Option<Value> {
    let range = call.range;
    let first = call.first();
    match name {
        "fetch" | "node-fetch" | "axios" | "got" | "request" | "undici.fetch"
        | "undici.request" | "needle" | "superagent" => {
            let options = if let Kind::Map(_) = first.kind { first.clone() } else { call.second() };
            request(evaluator, &first, &options, range);
            Some(network(name))
        }
        "axios.get" | "got.get" | "request.get" | "superagent.get" | "needle.get"
        | "axios.head" => {
            let secrets = call.second().origin;
            library::fetch(evaluator, &first.from(secrets), range);
            Some(network("axios"))
        }
        "axios.post"
        | "axios.put"
        | "axios.patch"
        | "got.post"
        | "request.post"
        | "superagent.post"
        | "navigator.sendBeacon"
        | "needle.post" => {
            let data = call.second().origin.with(first.origin);
            library::send(evaluator, &first, data, range);
            Some(network("axios"))
        }
        "http.get" | "https.get" => {
            library::fetch(evaluator, &first, range);
            Some(network("http.get"))
        }
        "http.request" | "https.request" => {
            let options = if let Kind::Map(_) = first.kind { first.clone() } else { call.second() };
            request(evaluator, &first, &options, range);
            Some(network("http.request"))
        }
        "net.connect" | "net.createConnection" | "tls.connect" => {
            connect(evaluator, call, range);
            Some(network("net.Socket"))
        }
        "net.Socket" => Some(network("net.Socket")),
        "net.Socket().connect" => {
            connect(evaluator, call, range);
            Some(network("net.Socket"))
        }
        "WebSocket" | "ws" | "socket.io-client" | "ws.WebSocket" => {
            connect(evaluator, call, range);
            Some(network("net.Socket"))
        }
        "net.createServer" => {
            // Only a server that hands something to a shell says more than that it listens.
            Some(Value::named_from("net.createServer()", Origin::NETWORK))
        }
        "http.createServer" | "https.createServer" | "express" | "http.Server" => {
            // What a client asks for is input, not code.
            Some(Value::named_from("server", Origin::NONE))
        }
        "dgram.createSocket" => Some(Value::named_from("dgram", Origin::NONE)),
        "dns.lookup" | "dns.resolve" | "dns.resolve4" => {
            library::fetch(evaluator, &first, range);
            Some(Value::default())
        }
        _ => method(evaluator, name, call, origin, depth),
    }
}

fn network(name: &str) -> Value {
    Value::named_from(format!("{name}()"), Origin::NETWORK)
}

/// Methods of what such a function returned.
fn method(
    evaluator: &mut Evaluator<'_>,
    name: &str,
    call: &Call,
    origin: Origin,
    depth: usize,
) -> Option<Value> {
    let (object, method) = name.rsplit_once('.')?;
    let range = call.range;
    let first = call.first();
    let given = call.origin();
    match (object, method) {
        ("http.request()", "write" | "end") if given.has_any(SECRETS) => {
            library::send(evaluator, &Value::default(), given, range);
            Some(Value::default())
        }
        ("net.Socket()", "write" | "end" | "send") => {
            if given.has_any(SECRETS) {
                library::send(evaluator, &Value::default(), given, range);
            }
            Some(Value::default())
        }
        ("net.createServer()", "listen") => {
            let host = call.second().as_text().map(<[u8]>::to_vec).unwrap_or_default();
            let host = String::from_utf8_lossy(&host).into_owned();
            evaluator.gather.listening(host, range);
            Some(Value::default())
        }
        ("server", "listen") => {
            let host = call.second().as_text().map(<[u8]>::to_vec).unwrap_or_default();
            let host = String::from_utf8_lossy(&host).into_owned();
            let target = Target::Host(host);
            evaluator.gather.effect(EffectKind::Listen, target, Qualities::NONE, range);
            Some(Value::default())
        }
        (_, "pipe") if origin.has(Origin::NETWORK) => {
            if let Kind::File(path) = &first.kind {
                evaluator.gather.downloaded(path.clone());
            }
            Some(Value::named_from("net.Socket()", origin))
        }
        // What `then` gives is what its function returns.
        (_, "then" | "map" | "catch" | "finally") => {
            let function = call.given.first()?;
            let inner =
                Call { given: vec![Value::named_from(object, origin)], named: Vec::new(), range };
            let value = evaluator.dispatch(function, &inner, depth);
            Some(value.from(origin))
        }
        (_, "query" | "execute" | "$executeRawUnsafe" | "raw" | "exec" | "unsafe")
            if first.as_text().is_some() =>
        {
            super::python_network::sql(evaluator, &first, range);
            Some(Value::default())
        }
        (_, "dropDatabase" | "dropCollection") => {
            let target = Target::Name("database".to_owned());
            evaluator.gather.effect(EffectKind::Remote, target, Qualities::ALL_OF_THEM, range);
            Some(Value::default())
        }
        (_, "sendMail") => {
            library::send(evaluator, &Value::default(), given, range);
            Some(Value::default())
        }
        (_, "constructor") => {
            evaluator.gather.code(&call.given.last().cloned().unwrap_or_default(), range);
            Some(Value::default())
        }
        // A function by its name, called in another way.
        (_, "call" | "apply" | "bind") => {
            let given = match (method, call.given.get(1).map(|one| &one.kind)) {
                ("apply", Some(Kind::List(items))) => items.clone(),
                _ => call.given.get(1..).unwrap_or_default().to_vec(),
            };
            let function = Value::named_from(object, origin);
            if method == "bind" {
                return Some(function);
            }
            let inner = Call { given, named: Vec::new(), range };
            Some(evaluator.dispatch(&function, &inner, depth))
        }
        _ => None,
    }
}

const SECRETS: Origin = Origin::SECRET.with(Origin::ENVIRONMENT).with(Origin::WATCHED);

/// A request with options: what it sends, or what it fetches.
fn request(evaluator: &mut Evaluator<'_>, address: &Value, options: &Value, range: SourceRange) {
    let entries = match &options.kind {
        Kind::Map(entries) => entries.as_slice(),
        _ => &[],
    };
    let body = ["body", "data", "json", "form", "formData"]
        .iter()
        .filter_map(|name| constant::entry(entries, name.as_bytes()))
        .reduce(|one, other| one.from(other.origin));
    let method = constant::entry(entries, b"method")
        .map(|method| String::from_utf8_lossy(&method.to_text()).to_ascii_uppercase());
    match (method.as_deref(), body) {
        (Some("DELETE"), _) => {
            let host = library::host(address);
            evaluator.gather.effect(EffectKind::Remote, host, Qualities::NONE, range);
        }
        (Some("POST" | "PUT" | "PATCH"), None) => {
            library::send(evaluator, address, address.origin, range);
        }
        (_, Some(body)) => {
            library::send(evaluator, address, body.origin.with(address.origin), range);
        }
        _ => {
            library::fetch(evaluator, address, range);
        }
    }
}

fn connect(evaluator: &mut Evaluator<'_>, call: &Call, range: SourceRange) {
    let first = call.first();
    let (host, port) = match &first.kind {
        Kind::Map(entries) => (
            constant::entry(entries, b"host").unwrap_or_default(),
            constant::entry(entries, b"port").unwrap_or_default(),
        ),
        // A URL has its port.
        Kind::Text(text) => {
            let host = String::from_utf8_lossy(text).into_owned();
            return evaluator.gather.connected(host, range);
        }
        _ => (call.second(), first.clone()),
    };
    let mut text = host.to_text();
    text.push(b':');
    text.extend(port.to_text());
    evaluator.gather.connected(String::from_utf8_lossy(&text).into_owned(), range);
}

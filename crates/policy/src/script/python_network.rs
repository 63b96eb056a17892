//! What Python's functions do with the network and with databases.

use crate::effect::{EffectKind, Qualities, Target, UNKNOWN};
use crate::source_range::SourceRange;

use super::evaluate::Evaluator;
use super::gather::Gather;
use super::library::{self, Call};
use super::value::{Kind, Origin, Value};

/// Verbs of clients that fetch, and of those that send.
const CLIENTS: &[&str] = &[
    "requests",
    "httpx",
    "requests.Session()",
    "requests.session()",
    "httpx.Client()",
    "httpx.AsyncClient()",
    "aiohttp.ClientSession()",
    "urllib3.PoolManager()",
    "cloudscraper.create_scraper()",
];

/// A call of a function by its qualified name.
pub(super) fn call(
    evaluator: &mut Evaluator<'_>,
    name: &str,
    call: &Call,
    origin: Origin,
) -> Option<Value> {
    let range = call.range;
    let first = call.first();
    if let Some((client, verb)) = name.rsplit_once('.')
        && CLIENTS.contains(&client)
    {
        return request(evaluator, client, verb, call);
    }
    match name {
        "urllib.request.urlopen" | "urllib.urlopen" => {
            let data = call.argument(1, "data");
            let posts = call.given.len() > 1 || call.keyword("data").is_some();
            if posts || first.origin.has(Origin::ENCRYPTED) {
                library::send(evaluator, &first, data.origin.with(first.origin), range);
            } else {
                library::fetch(evaluator, &first, range);
            }
            Some(Value::named_from("urllib.request.urlopen()", Origin::NETWORK))
        }
        "urllib.request.Request" => {
            let data = call.argument(1, "data");
            if call.given.len() > 1 || call.keyword("data").is_some() {
                library::send(evaluator, &first, data.origin, range);
            }
            Some(first)
        }
        "urllib.request.urlretrieve" | "urllib.urlretrieve" | "wget.download" => {
            library::fetch(evaluator, &first, range);
            let path = call.argument(1, "filename");
            if call.given.len() > 1 || call.keyword("filename").is_some() {
                evaluator.gather.path(EffectKind::Overwrite, &path, Qualities::NONE, range);
                evaluator.gather.downloaded(path.to_text());
            }
            Some(path)
        }
        "socket.create_connection" => {
            connect(evaluator, &first, range);
            Some(Value::named_from("socket.socket()", Origin::NETWORK))
        }
        "asyncio.open_connection" => {
            let address = Value::list(call.given.clone());
            connect(evaluator, &address, range);
            let stream = Value::unknown(Origin::NETWORK);
            Some(Value::list(vec![stream.clone(), stream]))
        }
        "socket.create_server" => {
            listen(evaluator, &first, range);
            Some(Value::named_from("socket.socket()", Origin::NETWORK))
        }
        "socket.socket" => Some(Value::named_from("socket.socket()", Origin::NETWORK)),
        "ssl.wrap_socket" | "ssl.create_default_context().wrap_socket" => Some(first),
        "os.read" | "socket.gethostbyname" => Some(Value::unknown(first.origin)),
        "telnetlib.Telnet" => {
            connect(evaluator, &first, range);
            Some(Value::named_from("socket.socket()", Origin::NETWORK))
        }
        "http.server.HTTPServer"
        | "http.server.test"
        | "SimpleHTTPServer.test"
        | "socketserver.TCPServer"
        | "socketserver.ThreadingTCPServer"
        | "http.server.ThreadingHTTPServer"
        | "xmlrpc.server.SimpleXMLRPCServer" => {
            let address = match &first.kind {
                Kind::List(items) => items.first().map(Value::to_text).unwrap_or_default(),
                _ => Vec::new(),
            };
            let public = matches!(address.as_slice(), b"" | b"0.0.0.0");
            let host = String::from_utf8_lossy(&address).into_owned();
            let qualities = Qualities::NONE.with_if(public, Qualities::PUBLIC);
            evaluator.gather.effect(EffectKind::Listen, Target::Host(host), qualities, range);
            Some(Value::named("server"))
        }
        "smtplib.SMTP"
        | "smtplib.SMTP_SSL"
        | "ftplib.FTP"
        | "ftplib.FTP_TLS"
        | "paramiko.SSHClient"
        | "http.client.HTTPConnection"
        | "http.client.HTTPSConnection"
        | "httplib.HTTPSConnection" => Some(Value::named_from(format!("{name}()"), first.origin)),
        "smtplib.SMTP().sendmail"
        | "smtplib.SMTP_SSL().sendmail"
        | "smtplib.SMTP().send_message"
        | "smtplib.SMTP_SSL().send_message"
        | "ftplib.FTP().storbinary"
        | "ftplib.FTP().storlines"
        | "ftplib.FTP_TLS().storbinary"
        | "http.client.HTTPConnection().request"
        | "http.client.HTTPSConnection().request"
        | "httplib.HTTPSConnection().request" => {
            let get = first.as_text() == Some(b"GET");
            if !get {
                library::send(evaluator, &Value::default(), call.origin(), range);
            }
            Some(Value::unknown(Origin::NETWORK))
        }
        "paramiko.SSHClient().exec_command" => {
            let name = String::from_utf8_lossy(&first.to_text()).into_owned();
            evaluator.gather.effect(
                EffectKind::Remote,
                Target::Name(name),
                Qualities::REMOTE,
                range,
            );
            Some(Value::unknown(Origin::NETWORK))
        }
        "boto3.client().upload_file" | "boto3.client().put_object" | "ftplib.FTP().upload" => {
            let secret = super::secret_names::is_secret(&first.to_text());
            let from = if secret { Origin::SECRET } else { call.origin() };
            library::send(evaluator, &Value::default(), from, range);
            Some(Value::default())
        }
        "scapy.all.sr1"
        | "scapy.all.send"
        | "scapy.all.sendp"
        | "scapy.all.sniff"
        | "nmap.PortScanner().scan" => {
            evaluator.gather.effect(
                EffectKind::Scan,
                library::host(&first),
                Qualities::NONE,
                range,
            );
            Some(Value::default())
        }
        _ => method(evaluator, name, call, origin),
    }
}

/// Methods of what such a function returned.
fn method(evaluator: &mut Evaluator<'_>, name: &str, call: &Call, origin: Origin) -> Option<Value> {
    let (object, method) = name.rsplit_once('.')?;
    let range = call.range;
    let first = call.first();
    if object.starts_with("socket.socket()") {
        match method {
            "connect" | "connect_ex" => connect(evaluator, &first, range),
            "bind" => listen(evaluator, &first, range),
            "accept" => {
                let socket = Value::named_from("socket.socket()", Origin::NETWORK);
                return Some(Value::list(vec![socket, Value::default()]));
            }
            "send" | "sendall" | "sendto" => {
                let secrets = Origin::SECRET.with(Origin::ENVIRONMENT).with(Origin::WATCHED);
                if first.origin.has_any(secrets) {
                    library::send(evaluator, &call.second(), first.origin, range);
                }
                return Some(Value::default());
            }
            "recv" | "recvfrom" | "read" | "makefile" => {
                return Some(Value::named_from("socket.socket().recv()", Origin::NETWORK));
            }
            "fileno" => return Some(Value::unknown(Origin::NETWORK)),
            _ => return None,
        }
        return Some(Value::default());
    }
    if matches!(method, "execute" | "executescript" | "raw" | "drop_database" | "drop") {
        if method.starts_with("drop") {
            let tables = ["pymongo", "MongoClient", "drop_database"];
            if tables.iter().any(|word| name.contains(word)) {
                drop_all(&mut evaluator.gather, "database", range);
            }
        } else {
            sql(evaluator, &first, range);
        }
        return Some(Value::unknown(origin));
    }
    if method == "encrypt" {
        evaluator.gather.encrypted();
        return Some(Value::unknown(Origin::ENCRYPTED));
    }
    if method == "kill" && object.starts_with("psutil.") {
        evaluator.gather.named(EffectKind::Kill, "\0", range);
        return Some(Value::default());
    }
    None
}

fn request(evaluator: &mut Evaluator<'_>, client: &str, verb: &str, call: &Call) -> Option<Value> {
    let range = call.range;
    let (verb, address) = match verb {
        "request" => {
            let verb = String::from_utf8_lossy(&call.first().to_text()).to_ascii_lowercase();
            (verb, call.argument(1, "url"))
        }
        _ => (verb.to_owned(), call.argument(0, "url")),
    };
    let body = ["data", "json", "files", "content", "params", "body"]
        .iter()
        .filter_map(|name| call.keyword(name))
        .chain(call.given.get(1).cloned())
        .fold(Origin::NONE, |all, one| all.with(one.origin));
    match verb.as_str() {
        "get" | "head" | "options" => {
            let secrets = Origin::SECRET.with(Origin::ENVIRONMENT).with(Origin::WATCHED);
            if body.has_any(secrets) {
                library::send(evaluator, &address, body, range);
            } else {
                library::fetch(evaluator, &address, range);
            }
        }
        "post" | "put" | "patch" => {
            library::send(evaluator, &address, body.with(address.origin), range);
        }
        "delete" => {
            evaluator.gather.effect(
                EffectKind::Remote,
                library::host(&address),
                Qualities::NONE,
                range,
            );
        }
        "\0" => {}
        _ => return None,
    }
    Some(Value::named_from(format!("{client}.{verb}()"), Origin::NETWORK))
}

fn connect(evaluator: &mut Evaluator<'_>, address: &Value, range: SourceRange) {
    if evaluator.loops.iter().any(|one| one.long) {
        evaluator.gather.effect(EffectKind::Scan, library::host(address), Qualities::NONE, range);
    }
    let Target::Host(host) = library::host(address) else { return };
    evaluator.gather.connected(host, range);
}

fn listen(evaluator: &mut Evaluator<'_>, address: &Value, range: SourceRange) {
    let host = match &address.kind {
        Kind::List(items) => items.first().map(Value::to_text).unwrap_or_default(),
        _ => vec![UNKNOWN],
    };
    evaluator.gather.listening(String::from_utf8_lossy(&host).into_owned(), range);
}

fn drop_all(gather: &mut Gather, name: &str, range: SourceRange) {
    let target = Target::Name(name.to_owned());
    gather.effect(EffectKind::Remote, target, Qualities::ALL_OF_THEM, range);
}

/// A statement for a database.
pub(super) fn sql(evaluator: &mut Evaluator<'_>, text: &Value, range: SourceRange) {
    statement(&mut evaluator.gather, text, range);
}

/// The same, for languages that no evaluator follows.
pub(super) fn statement(gather: &mut Gather, statement: &Value, range: SourceRange) {
    let Some(text) = statement.as_text() else { return };
    for statement in text.split(|byte| *byte == b';').take(1000) {
        let words: Vec<String> = statement
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty())
            .take(200)
            .map(|word| String::from_utf8_lossy(word).to_ascii_uppercase())
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let name = String::from_utf8_lossy(statement.get(..200).unwrap_or(statement)).into_owned();
        match words.as_slice() {
            ["DROP", "TABLE" | "DATABASE" | "SCHEMA", ..] | ["TRUNCATE", ..] => {
                drop_all(gather, name.trim(), range);
            }
            ["DELETE", "FROM", _, rest @ ..] if !rest.contains(&"WHERE") => {
                drop_all(gather, name.trim(), range);
            }
            ["UPDATE", _, "SET", rest @ ..] if !rest.contains(&"WHERE") => {
                drop_all(gather, name.trim(), range);
            }
            _ => {}
        }
    }
}

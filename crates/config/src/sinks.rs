//! `sinks.yaml`: where events are sent on to.
//!
//! It stands beside `ctrlz.yaml` of the user and of the host, and nowhere else: a sink starts
//! commands and sends what happens to others, so a project has no say in it.
//!
//! ```yaml
//! sinks:
//!   log:
//!     file: /var/log/ctrlz/events.jsonl
//!     max_size: 16M          # then it is rotated; 16M when left out
//!     keep: 4                # rotated files; 4 when left out
//!   desktop:
//!     types: [on_safety_violation, rollback.required]
//!     command: [notify-send, ctrlz]
//!   alerts:
//!     types: [safety, health]
//!     webhook: https://alerts.example/ctrlz
//!     secret: { file: /etc/ctrlz/webhook.secret }   # or { env: NAME }
//!     ca: /etc/ctrlz/ca.pem  # instead of the well-known authorities
//!     timeout: 10s           # 10s when left out; for commands and sockets as well
//!     attempts: 12           # then it is a dead letter; 12 when left out
//!   local:
//!     socket: /run/collector.sock
//! ```

use std::path::{Path, PathBuf};
use std::time::Duration;

use ctrlz_core::sink::{SecretSource, SinkConfig, SinkTarget};
use ctrlz_core::size::ByteSize;
use ctrlz_core::span::Span;

use crate::beside::{each_field, nonempty, secret};
use crate::error::ConfigError;
use crate::places::Places;
use crate::reader::Field;
use crate::scalar;

/// The file's name.
pub(crate) const FILE_NAME: &str = "sinks.yaml";
/// More values than anybody has sinks.
const LIMITS: ctrlz_yaml::Limits = ctrlz_yaml::Limits { noun: "list of sinks", most_nodes: 4096 };

const ATTEMPTS: u32 = 12;
const KEEP: u32 = 4;
/// Each of them is renamed when the file is rotated.
const MOST_KEPT: u32 = 1000;
const MAX_SIZE: ByteSize = ByteSize(16 << 20);
const TIMEOUT: Span = Span(Duration::from_secs(10));

const KEYS: [&str; 11] = [
    "types", "attempts", "file", "max_size", "keep", "command", "webhook", "secret", "ca",
    "socket", "timeout",
];

/// Reads the sinks of the host and of the user. A name that both have is the user's.
///
/// # Errors
/// When a file exists but cannot be read, or holds something else. No file is no error.
pub fn sinks(places: &Places) -> Result<Vec<SinkConfig>, ConfigError> {
    let mut all: Vec<SinkConfig> = Vec::new();
    each_field(places, FILE_NAME, LIMITS, |field, folder| {
        if field.name != "sinks" {
            return Err(field.unknown(&["sinks"]));
        }
        for sink in field.fields()? {
            let sink = read_sink(&sink, folder)?;
            all.retain(|known| known.name != sink.name);
            all.push(sink);
        }
        Ok(())
    })?;
    Ok(all)
}

/// The fields of a sink as they stand in the file.
#[derive(Default)]
struct Given {
    types: Vec<String>,
    attempts: Option<u32>,
    file: Option<PathBuf>,
    max_size: Option<ByteSize>,
    keep: Option<u32>,
    command: Option<Vec<String>>,
    webhook: Option<String>,
    secret: Option<SecretSource>,
    ca: Option<PathBuf>,
    socket: Option<PathBuf>,
    timeout: Option<Span>,
}

fn read_sink(sink: &Field<'_>, folder: &Path) -> Result<SinkConfig, ConfigError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if sink.name.is_empty() || sink.name.len() > 64 || !sink.name.chars().all(plain) {
        let reason = "a sink's name has letters, digits, `-` and `_`, at most 64 of them";
        return Err(sink.bad_value(reason.to_owned()));
    }
    let mut given = Given::default();
    let text = |field: &Field<'_>| field.value("a text", |text| Ok(text.to_owned()));
    let path = |field: &Field<'_>| -> Result<PathBuf, ConfigError> {
        // A relative one is beside the file, wherever somebody stands.
        Ok(folder.join(field.value("a path", |text| nonempty(text).map(PathBuf::from))?.value))
    };
    let number = |field: &Field<'_>| -> Result<u32, ConfigError> {
        let read = |text: &str| {
            let number = text.parse::<u32>().ok().filter(|number| *number >= 1);
            number.ok_or_else(|| "expected a number from 1 on".to_owned())
        };
        Ok(field.value("a number", read)?.value)
    };
    for field in sink.fields()? {
        match field.name {
            "types" => {
                for item in field.items()? {
                    given.types.push(item.value("a type of event", kind)?.value);
                }
            }
            "attempts" => given.attempts = Some(number(&field)?),
            "file" => given.file = Some(path(&field)?),
            "max_size" => {
                let read = |text: &str| text.parse::<ByteSize>().map_err(|e| e.to_string());
                given.max_size = Some(field.value("a size", read)?.value);
            }
            "keep" => {
                let keep = number(&field)?;
                if keep > MOST_KEPT {
                    let reason = format!("expected a number from 1 to {MOST_KEPT}");
                    return Err(field.bad_value(reason));
                }
                given.keep = Some(keep);
            }
            "command" => {
                let mut argv = Vec::new();
                for item in field.items()? {
                    argv.push(text(&item)?.value);
                }
                if argv.first().is_none_or(String::is_empty) {
                    return Err(field.bad_value("expected a program and its arguments".to_owned()));
                }
                given.command = Some(argv);
            }
            "webhook" => given.webhook = Some(field.value("a URL", url)?.value),
            "secret" => given.secret = Some(secret(&field, "secret", path)?),
            "ca" => given.ca = Some(path(&field)?),
            "socket" => given.socket = Some(path(&field)?),
            "timeout" => given.timeout = Some(field.value("a time", scalar::interval)?.value),
            _ => return Err(field.unknown(&KEYS)),
        }
    }
    let timeout = given.timeout.unwrap_or(TIMEOUT);
    let target = match (given.file, given.command, given.webhook, given.socket) {
        (Some(path), None, None, None) => SinkTarget::File {
            path,
            max_size: given.max_size.take().unwrap_or(MAX_SIZE),
            keep: given.keep.take().unwrap_or(KEEP),
        },
        (None, Some(argv), None, None) => SinkTarget::Command { argv, timeout },
        (None, None, Some(url), None) => {
            SinkTarget::Webhook { url, secret: given.secret.take(), ca: given.ca.take(), timeout }
        }
        (None, None, None, Some(path)) => SinkTarget::Socket { path, timeout },
        _ => {
            let reason = "a sink has one of `file`, `command`, `webhook` and `socket`";
            return Err(sink.bad_value(reason.to_owned()));
        }
    };
    let stray = [
        ("max_size", given.max_size.is_some()),
        ("keep", given.keep.is_some()),
        ("secret", given.secret.is_some()),
        ("ca", given.ca.is_some()),
        ("timeout", given.timeout.is_some() && target.word() == "file"),
    ];
    if let Some((key, _)) = stray.into_iter().find(|(_, is_stray)| *is_stray) {
        return Err(sink.bad_value(format!("a {} has no `{key}`", target.word())));
    }
    let attempts = given.attempts.unwrap_or(ATTEMPTS);
    Ok(SinkConfig { name: sink.name.to_owned(), types: given.types, attempts, target })
}

/// The names by which handlers of events are often called, and the types that they stand for.
const HANDLERS: [(&str, &str); 3] = [
    ("on_operation_start", "operation.started"),
    ("on_safety_violation", "safety.violation"),
    ("on_rollback_required", "rollback.required"),
];

/// A beginning of types, or a handler's name.
fn kind(text: &str) -> Result<String, String> {
    if !text.starts_with("on_") {
        return nonempty(text);
    }
    let known = HANDLERS.iter().find(|(name, _)| *name == text);
    known.map(|(_, kind)| (*kind).to_owned()).ok_or_else(|| {
        let names = HANDLERS.map(|(name, _)| name).join(", ");
        format!("expected one of {names}, or the beginning of a type")
    })
}

/// Whether somebody in between could read or change what is sent decides: plain HTTP goes to this
/// host only.
fn url(text: &str) -> Result<String, String> {
    let local = ["http://127.0.0.1", "http://localhost", "http://[::1]"];
    let is_local = local.iter().any(|start| {
        let rest = text.strip_prefix(start);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/']))
    });
    if text.starts_with("https://") && text.len() > "https://".len() || is_local {
        return Ok(text.to_owned());
    }
    Err("expected a URL that begins with https://, or with http:// and this host".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<SinkConfig>, ConfigError> {
        let dir = tempfile::tempdir().expect("temporary directory");
        std::fs::write(dir.path().join(FILE_NAME), text).expect("write");
        let places = Places {
            etc: dir.path().join("none/ctrlz.yaml"),
            user: Some(dir.path().join("ctrlz.yaml")),
            workdir: dir.path().to_owned(),
            home: None,
        };
        sinks(&places)
    }

    #[test]
    fn each_kind_is_read_with_what_is_left_out() {
        let text = "
sinks:
  log: { file: events.jsonl, keep: 2 }
  hook: { command: [notify-send, ctrlz], types: [safety, on_rollback_required] }
  alerts:
    webhook: https://alerts.example/x
    secret: { env: SECRET }
    timeout: 3s
    attempts: 2
  local: { socket: /run/x.sock }
";
        let found = read(text).expect("good");
        let words: Vec<&str> = found.iter().map(|sink| sink.target.word()).collect();
        assert_eq!(words, ["file", "command", "webhook", "socket"]);
        let SinkTarget::File { path, max_size, keep } = &found[0].target else { panic!() };
        assert!(path.is_absolute() && path.ends_with("events.jsonl"), "{path:?}");
        assert_eq!((*max_size, *keep, found[0].attempts), (MAX_SIZE, 2, ATTEMPTS));
        assert_eq!(found[1].types, ["safety", "rollback.required"]);
        let SinkTarget::Webhook { secret, timeout, .. } = &found[2].target else { panic!() };
        assert_eq!(*secret, Some(SecretSource::Variable("SECRET".to_owned())));
        assert_eq!((*timeout, found[2].attempts), (Span(Duration::from_secs(3)), 2));
    }

    #[test]
    fn no_file_is_no_sink_and_mistakes_are_told_with_their_place() {
        let places = Places {
            etc: "/nonexistent/ctrlz.yaml".into(),
            user: None,
            workdir: "/".into(),
            home: None,
        };
        assert_eq!(sinks(&places).expect("nothing"), []);
        for (text, expected) in [
            ("sink: {}", "1:1: sink: unknown key; did you mean `sinks`?"),
            ("sinks: {a: {flie: x}}", "sinks.a.flie: unknown key; did you mean `file`?"),
            ("sinks: {a: {file: x, types: [on_start]}}", "expected one of on_operation_start"),
            ("sinks: {a: {}}", "a sink has one of"),
            ("sinks: {a: {file: x, socket: y}}", "a sink has one of"),
            ("sinks: {a: {file: x, secret: {env: X}}}", "a file has no `secret`"),
            ("sinks: {a: {file: x, timeout: 3s}}", "a file has no `timeout`"),
            ("sinks: {a/b: {file: x}}", "letters, digits"),
            ("sinks: {a: {webhook: 'http://example.org'}}", "https://"),
            ("sinks: {a: {webhook: 'http://localhost.example.org'}}", "https://"),
            ("sinks: {a: {webhook: 'https://x', secret: {env: A, file: b}}}", "expected either"),
            ("sinks: {a: {webhook: 'https://x', secret: abc}}", "expected a mapping"),
            ("sinks: {a: {command: []}}", "expected a program"),
            ("sinks: {a: {file: x, attempts: 0}}", "from 1 on"),
            ("sinks: {a: {file: x, keep: 0}}", "from 1 on"),
            ("sinks: {a: {file: x, keep: 1001}}", "from 1 to 1000"),
            ("sinks: {a: {file: x}, a: {file: y}}", "already set"),
        ] {
            let error = read(text).expect_err(text).to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}

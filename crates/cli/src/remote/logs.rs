//! `logs` at a service: what a process wrote, and goes on to write.

use std::io::Write as _;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::client::{Call, Client, query, segment};
use super::exec::LASTS;
use super::problem::{Refusal, not_understood};
use super::stream::{Event, Events};
use crate::Answer;
use crate::arguments::LogsArguments;
use crate::failure::{Failure, OWN_FAILURE, REFUSED};
use crate::show;

/// How much is asked for at once, in bytes.
const PAGE: usize = 1 << 20;
/// How long it takes until a stream that broke off is asked for again.
const PAUSE: Duration = Duration::from_millis(300);

/// A process of the service, with what is told of it here.
#[derive(Debug, Deserialize, Serialize)]
struct Process {
    id: String,
    kind: String,
    sandbox: Option<String>,
    title: String,
    started: i64,
    operation: Option<String>,
    status: String,
    written: u64,
}

#[derive(Debug, Deserialize)]
struct Listed {
    items: Vec<Process>,
}

/// Something that was written at once.
#[derive(Debug, Deserialize, Serialize)]
struct Item {
    stream: String,
    offset: u64,
    data: String,
}

#[derive(Debug, Deserialize)]
struct Page {
    items: Vec<Item>,
    lost: u64,
    next: Option<u64>,
}

pub(super) fn logs(client: &Client, arguments: &LogsArguments, json: bool) -> Answer {
    let process = find(client, arguments.of.as_deref())?;
    match arguments.follow {
        true => client.wait(Following::of(client, &process, arguments, json)?.tell()),
        false => so_far(client, &process, arguments, json),
    }
}

/// The process that is meant: by its id, by its operation, or as the last one of a sandbox.
fn find(client: &Client, of: Option<&str>) -> Result<Process, Failure> {
    let Listed { mut items } = client.get("/v1/processes")?;
    let is_meant =
        |process: &Process, of: &str| process.id == of || process.operation.as_deref() == Some(of);
    let is_of = |process: &Process| {
        let is_there = of.is_none_or(|of| process.sandbox.as_deref() == Some(of));
        // What archives writes nothing.
        is_there && process.kind == "operation"
    };
    let named = of.and_then(|of| items.iter().rposition(|process| is_meant(process, of)));
    match named.or_else(|| items.iter().rposition(is_of)) {
        Some(at) => Ok(items.swap_remove(at)),
        None => {
            let message = match of {
                Some(of) => format!("`{of}` is no process, and no sandbox that has one"),
                None => "there is no process yet".to_owned(),
            };
            Err(Failure::new(REFUSED, "no-process", message).hint(
                "the service forgets processes a week after their end, and the oldest of many sooner; \
                 `ctrlz log` tells what its journal knows",
            ))
        }
    }
}

fn path(process: &Process, fields: &[(&str, String)]) -> String {
    format!("/v1/processes/{}/logs{}", segment(&process.id), query(fields))
}

/// Where to begin.
fn beginning(arguments: &LogsArguments) -> Option<(&'static str, String)> {
    let lines = arguments.lines.map(|lines| ("lines", lines.to_string()));
    lines.or_else(|| arguments.tail.map(|size| ("tail", size.0.to_string())))
}

fn bytes(data: &str) -> Result<Vec<u8>, Failure> {
    let decoded = STANDARD.decode(data);
    decoded.map_err(|error| not_understood(env!("CARGO_PKG_VERSION"), &error.to_string()))
}

/// Writes to the stream that it was written to; false when nobody reads that any more.
fn write(stream: &str, bytes: &[u8]) -> bool {
    let written = match stream {
        "stderr" => std::io::stderr().write_all(bytes),
        _ => {
            let mut out = std::io::stdout().lock();
            out.write_all(bytes).and_then(|()| out.flush())
        }
    };
    written.is_ok()
}

fn tell_lost(bytes: u64) {
    if bytes > 0 {
        eprintln!("ctrlz: {bytes} bytes of output are kept no more");
    }
}

/// What it wrote until now.
fn so_far(client: &Client, process: &Process, arguments: &LogsArguments, json: bool) -> Answer {
    let always = [("limit", PAGE.to_string()), ("stream", arguments.stream.word().to_owned())];
    let (mut all, mut lost) = (Vec::new(), 0);
    let mut from = beginning(arguments);
    loop {
        let mut fields = always.to_vec();
        fields.extend(from);
        let page: Page = client.get(&path(process, &fields))?;
        lost += page.lost;
        if json {
            all.extend(page.items);
        } else {
            tell_lost(page.lost);
            for item in page.items {
                if !write(&item.stream, &bytes(&item.data)?) {
                    return show::done();
                }
            }
        }
        // Of one that goes on writing, what was there when it was asked for.
        match page.next.filter(|next| *next < process.written) {
            Some(next) => from = Some(("offset", next.to_string())),
            None => break,
        }
    }
    if json {
        let items = show::to_json(&all)?;
        show::print_json(&[
            ("process", show::to_json(process)?),
            ("items", items),
            ("lost", lost.into()),
        ]);
    }
    show::done()
}

/// A process that is listened to.
struct Following<'a> {
    client: &'a Client,
    path: String,
    json: bool,
    /// Up to where it was told, once something was.
    offset: Option<u64>,
}

/// A piece of output.
#[derive(Deserialize)]
struct Piece {
    stream: String,
    data: String,
}

/// What is not there.
#[derive(Deserialize)]
struct Lost {
    from: u64,
    to: u64,
}

impl<'a> Following<'a> {
    fn of(
        client: &'a Client,
        process: &Process,
        arguments: &LogsArguments,
        json: bool,
    ) -> Result<Self, Failure> {
        let mut fields =
            vec![("follow", true.to_string()), ("stream", arguments.stream.word().to_owned())];
        fields.extend(beginning(arguments));
        if json {
            show::print_json(&[("process", show::to_json(process)?)]);
        }
        Ok(Self { client, path: path(process, &fields), json, offset: None })
    }

    /// Tells what it writes until its end, whatever becomes of connections meanwhile.
    async fn tell(mut self) -> Answer {
        let mut lost: Option<Instant> = None;
        loop {
            let mut call =
                Call::new(Method::GET, self.path.clone()).header("accept", "text/event-stream");
            if let Some(offset) = self.offset {
                call = call.header("last-event-id", offset.to_string());
            }
            match self.client.stream(&call).await {
                Ok(body) => {
                    let begun = Instant::now();
                    let mut events = Events::of(body?);
                    while let Some(event) = events.next().await {
                        lost = None;
                        if self.hear(event)? {
                            return show::done();
                        }
                    }
                    // Of what has nothing to tell, a stream lasts.
                    if begun.elapsed() >= LASTS {
                        lost = None;
                    } else if lost.get_or_insert(begun).elapsed() > self.client.place.patience {
                        let message = format!("{} ends each connection at once", self.client.place);
                        return Err(Failure::new(OWN_FAILURE, "connection-lost", message));
                    }
                }
                Err(failure) => {
                    let since = *lost.get_or_insert_with(Instant::now);
                    if since.elapsed() > self.client.place.patience {
                        return Err(failure);
                    }
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Tells an event; true when nothing more is to be told.
    fn hear(&mut self, event: Event) -> Result<bool, Failure> {
        let bad = |error: serde_json::Error| {
            not_understood(env!("CARGO_PKG_VERSION"), &error.to_string())
        };
        match event.kind.as_str() {
            "output" => {
                let Piece { stream, data } = serde_json::from_str(&event.data).map_err(bad)?;
                let bytes = bytes(&data)?;
                self.offset = event.id.and_then(|id| id.parse().ok()).or(self.offset);
                let offset = self.offset.map(|end| end.saturating_sub(bytes.len() as u64));
                if self.json {
                    let line = json!({ "stream": stream, "offset": offset, "data": data });
                    return Ok(!write("stdout", format!("{line}\n").as_bytes()));
                }
                Ok(!write(&stream, &bytes))
            }
            "lost" => {
                let Lost { from, to } = serde_json::from_str(&event.data).map_err(bad)?;
                // It has no id, and would be told again.
                self.offset = Some(to);
                if self.json {
                    let line = json!({ "lost": { "from": from, "to": to } });
                    return Ok(!write("stdout", format!("{line}\n").as_bytes()));
                }
                tell_lost(to.saturating_sub(from));
                Ok(false)
            }
            "result" | "problem" => {
                let told: Value = serde_json::from_str(&event.data).map_err(bad)?;
                self.end(&event.kind, told).map(|()| true)
            }
            _ => Ok(false),
        }
    }

    /// Tells what came of it. To have listened to its end is a success, whatever that was.
    fn end(&self, kind: &str, mut told: Value) -> Result<(), Failure> {
        if self.json {
            // That is in the lines before.
            for name in ["stdout", "stderr"] {
                told.as_object_mut().and_then(|fields| fields.remove(name));
            }
            write("stdout", format!("{}\n", json!({ kind: told })).as_bytes());
        } else if kind == "problem" {
            let refusal: Refusal = serde_json::from_value(told)
                .map_err(|error| not_understood(env!("CARGO_PKG_VERSION"), &error.to_string()))?;
            eprintln!("ctrlz: {}", refusal.into_failure().in_words());
        }
        Ok(())
    }
}

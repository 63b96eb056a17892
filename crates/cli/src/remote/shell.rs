//! `shell` at a service: a terminal there at the terminal here, over a WebSocket.

use std::ffi::OsString;
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::time::Instant;

use futures_util::{SinkExt as _, StreamExt as _};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use super::client::{Client, Socket};
use super::exec::{Ended, Heard, Running, begin, command, not_offered, order, tell};
use super::problem::{Refusal, not_understood};
use super::sandboxes::{named, sandbox};
use super::signals::Signals;
use crate::Answer;
use crate::arguments::ShellArguments;
use crate::failure::{Failure, OWN_FAILURE};

/// What the service has, whatever the user's shell here is.
const SHELL: &str = "/bin/sh";

pub(super) fn shell(client: &Client, arguments: &ShellArguments, json: bool) -> Answer {
    let ShellArguments { sandbox: name, how } = arguments;
    let name = named(name.as_ref())?;
    let argv = [OsString::from(SHELL)];
    let is_terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    if json || !is_terminal {
        return command(client, name, (how, &argv, None), json);
    }
    not_offered(how)?;
    let sandbox = sandbox(client, name)?;
    let mut order: Map<String, Value> = order(how, &argv)?;
    order.insert("terminal".to_owned(), size()?);
    order.insert("hold_output".to_owned(), false.into());
    if let (Some(env), Ok(term)) =
        (order.get_mut("env").and_then(Value::as_object_mut), std::env::var("TERM"))
    {
        env.entry("TERM").or_insert_with(|| term.into());
    }
    let ended = client.wait(async {
        let process = begin(client, &sandbox, order, how.yes).await?;
        let mut running = Running::of(client, &sandbox, process);
        // From here on what is typed is typed there.
        let mut signals = Signals::begin()?;
        let raw = Raw::begin()?;
        let typed = typed();
        let ended = converse(&mut running, &mut signals, typed).await;
        drop(raw);
        ended
    });
    tell(&sandbox, how, ended?, json)
}

/// The size of the terminal here.
fn size() -> Result<Value, Failure> {
    let failed = |error: rustix::io::Errno| Failure::caused(OWN_FAILURE, "terminal", &error);
    let size = tcgetwinsize(rustix::stdio::stdout()).map_err(failed)?;
    // A terminal that does not know gets what is usual.
    let (rows, columns) = match (size.ws_row, size.ws_col) {
        (0, _) | (_, 0) => (24, 80),
        known => known,
    };
    Ok(json!({ "rows": rows, "columns": columns }))
}

/// The terminal as one that passes everything on; as it was before when this is dropped.
struct Raw(Termios);

impl Raw {
    fn begin() -> Result<Self, Failure> {
        let failed = |error: rustix::io::Errno| Failure::caused(OWN_FAILURE, "terminal", &error);
        let before = tcgetattr(rustix::stdio::stdin()).map_err(failed)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &raw).map_err(failed)?;
        Ok(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Drain, &self.0);
    }
}

/// What is typed, as it comes.
fn typed() -> mpsc::Receiver<Vec<u8>> {
    let (pieces, receiver) = mpsc::channel(1);
    // Nobody can end a thread that reads a terminal; it ends with the process.
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        loop {
            let mut piece = vec![0; 4096];
            let Ok(length @ 1..) = stdin.read(&mut piece) else { return };
            piece.truncate(length);
            if pieces.blocking_send(piece).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Passes on what both sides say until the shell has ended, whatever becomes of connections.
async fn converse(
    running: &mut Running<'_>,
    signals: &mut Signals,
    mut typed: mpsc::Receiver<Vec<u8>>,
) -> Result<Ended, Failure> {
    let mut lost: Option<Instant> = None;
    loop {
        match running.client.attach(&running.path("/attach"), running.offset).await {
            Ok(Ok(socket)) => {
                lost = None;
                match attached(running, signals, &mut typed, socket).await? {
                    Heard::Ended(ended) => return Ok(*ended),
                    Heard::Silence => {}
                }
            }
            Ok(Err(failure)) if failure.is("no-process") => return Err(running.is_gone()),
            Ok(Err(failure)) => return Err(running.adrift(failure)),
            Err(failure) => {
                let since = *lost.get_or_insert_with(Instant::now);
                if since.elapsed() > running.client.place.patience {
                    return Err(running.adrift(failure));
                }
            }
        }
        running.pause(signals, lost.is_some()).await?;
    }
}

async fn attached(
    running: &mut Running<'_>,
    signals: &mut Signals,
    typed: &mut mpsc::Receiver<Vec<u8>>,
    mut socket: Socket,
) -> Result<Heard, Failure> {
    let mut is_open = true;
    let resize = || size().map(|size| told("resize", size));
    // It may have changed meanwhile.
    if socket.send(resize()?).await.is_err() {
        return Ok(Heard::Silence);
    }
    loop {
        let sent = tokio::select! {
            message = socket.next() => match message {
                Some(Ok(Message::Binary(bytes))) => {
                    let bytes = bytes.get(1..).unwrap_or_default();
                    running.offset += bytes.len() as u64;
                    let mut out = std::io::stdout().lock();
                    let _ = out.write_all(bytes).and_then(|()| out.flush());
                    continue;
                }
                Some(Ok(Message::Text(text))) => match heard(running, &text)? {
                    Some(heard) => return Ok(heard),
                    None => continue,
                },
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Ok(Heard::Silence),
                Some(Ok(_)) => continue,
            },
            piece = typed.recv(), if is_open => match piece {
                Some(piece) => socket.send(Message::Binary(piece.into())).await,
                None => {
                    is_open = false;
                    socket.send(told("end-of-input", json!({}))).await
                }
            },
            signal = signals.next() => match signal {
                super::signals::WINCH => socket.send(resize()?).await,
                // Whoever ends this ends what runs at its terminal.
                _ => socket.send(told("signal", json!({ "signal": "HUP" }))).await,
            },
        };
        if sent.is_err() {
            return Ok(Heard::Silence);
        }
    }
}

/// A message of that type.
fn told(kind: &str, mut fields: Value) -> Message {
    if let Some(fields) = fields.as_object_mut() {
        fields.insert("type".to_owned(), kind.into());
    }
    Message::Text(fields.to_string().into())
}

/// What the service says about the process.
fn heard(running: &mut Running<'_>, text: &str) -> Result<Option<Heard>, Failure> {
    let bad =
        |error: serde_json::Error| not_understood(env!("CARGO_PKG_VERSION"), &error.to_string());
    let value: Value = serde_json::from_str(text).map_err(bad)?;
    match value.get("type").and_then(Value::as_str) {
        Some("ended") => {
            let result = value.get("result").cloned().unwrap_or_default();
            let ended: Ended = serde_json::from_value(result).map_err(bad)?;
            Ok(Some(Heard::Ended(Box::new(ended))))
        }
        Some("lost") => {
            running.offset = value.get("to").and_then(Value::as_u64).unwrap_or(running.offset);
            Ok(None)
        }
        Some("problem") => {
            let problem = value.get("problem").cloned().unwrap_or_else(|| value.clone());
            let refusal: Refusal = serde_json::from_value(problem).map_err(bad)?;
            Err(refusal.into_failure())
        }
        _ => Ok(None),
    }
}

//! What a client says.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Bytes;
use axum::extract::ws::{Message, WebSocket, close_code};
use ctrlz_core::tenancy::Right;
use futures_util::StreamExt as _;
use futures_util::stream::SplitStream;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc::{Receiver, Sender};

use super::tell::Over;
use super::{Attached, LARGEST};
use crate::port::TerminalSize;
use crate::problem::Problem;
use crate::processes::{Process, signal_number};
use crate::routes::views::to_json;

/// Something for a process to read.
#[derive(Debug)]
pub(super) enum Given {
    Bytes(Bytes),
    End,
}

/// A text message of a client.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
enum Order {
    Resize { rows: u16, columns: u16 },
    Signal { signal: Word },
    EndOfInput {},
}

/// A signal's name or number.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Word {
    Name(String),
    Number(u8),
}

/// Who listens to a client.
pub(super) struct Listening<'a> {
    attached: &'a Attached,
    stream: &'a mut SplitStream<WebSocket>,
    give: Sender<Given>,
    tell: Sender<Value>,
    heard: Arc<AtomicBool>,
}

impl<'a> Listening<'a> {
    pub(super) fn new(
        attached: &'a Attached,
        stream: &'a mut SplitStream<WebSocket>,
        give: Sender<Given>,
        tell: Sender<Value>,
    ) -> Self {
        Self { attached, stream, give, tell, heard: Arc::default() }
    }

    /// Is set whenever the client says anything, and while nobody listens to it.
    pub(super) fn heard(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.heard)
    }

    /// Does what the client asks until it is gone.
    pub(super) async fn listen(&mut self) -> Option<Over> {
        loop {
            let message = match self.stream.next().await {
                Some(Ok(message)) => message,
                Some(Err(_)) => {
                    return Some(Over::new(close_code::PROTOCOL, "that is no message"));
                }
                None => return None,
            };
            self.heard.store(true, Ordering::Relaxed);
            let (size, answer) = match message {
                Message::Binary(bytes) => (bytes.len(), self.give(bytes).await),
                Message::Text(text) => (text.as_str().len(), self.carry_out(&text).await),
                Message::Ping(_) | Message::Pong(_) => continue,
                Message::Close(_) => return None,
            };
            if size > LARGEST {
                return Some(Over::new(close_code::SIZE, "a message has at most 64 KiB"));
            }
            if let Err(problem) = answer
                && self.tell.send(told(&problem)).await.is_err()
            {
                return None;
            }
        }
    }

    async fn give(&self, bytes: Bytes) -> Result<(), Problem> {
        self.attached.caller.require(Right::Act)?;
        if bytes.is_empty() || bytes.len() > LARGEST {
            return Ok(());
        }
        self.pass_on(Given::Bytes(bytes)).await
    }

    /// Waits while too much waits already. Whoever cannot be heard for that is not thought dead.
    async fn pass_on(&self, given: Given) -> Result<(), Problem> {
        let mut given = Some(given);
        loop {
            let wait = tokio::time::sleep(super::tell::LOOK);
            tokio::select! {
                room = self.give.reserve() => {
                    let room = room.map_err(|_| ended())?;
                    if let Some(given) = given.take() {
                        room.send(given);
                    }
                    return Ok(());
                }
                () = wait => self.heard.store(true, Ordering::Relaxed),
            }
        }
    }

    async fn carry_out(&self, text: &str) -> Result<(), Problem> {
        if text.len() > LARGEST {
            return Ok(());
        }
        let order: Order = serde_json::from_str(text)
            .map_err(|error| Problem::bad_request(format!("the message: {error}")))?;
        self.attached.caller.require(Right::Act)?;
        let process = &self.attached.process;
        match order {
            Order::Resize { rows, columns } => process.ends.resize(TerminalSize { rows, columns }),
            Order::Signal { signal } => {
                let word = match signal {
                    Word::Name(name) => name,
                    Word::Number(number) => number.to_string(),
                };
                let number = signal_number(&word);
                let unknown =
                    || Problem::bad_request("`signal` must be 1 to 31, or a name such as \"INT\"");
                process.signal(number.ok_or_else(unknown)?)
            }
            Order::EndOfInput {} => self.pass_on(Given::End).await,
        }
    }
}

fn ended() -> Problem {
    Problem::of_kind("conflict", "the process has ended")
}

/// A problem as a message.
pub(super) fn told(problem: &Problem) -> Value {
    json!({ "type": "problem", "problem": to_json(problem).unwrap_or(Value::Null) })
}

/// Gives a process what clients gave, in that order, until no more can come.
pub(super) async fn feed(process: &Process, mut given: Receiver<Given>, tell: &Sender<Value>) {
    while let Some(next) = given.recv().await {
        let answer = match next {
            Given::Bytes(bytes) => process.ends.write(&bytes).await,
            Given::End => {
                process.ends.end_input().await;
                Ok(())
            }
        };
        if let Err(problem) = answer {
            // Who does not take what it is told learns of it by the process's end.
            let _ = tell.try_send(told(&problem));
        }
    }
}

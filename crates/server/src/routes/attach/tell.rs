//! What a client is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use ctrlz_core::tenancy::Right;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::sync::mpsc::Receiver;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::Attached;
use super::listen::told as told_problem;
use crate::auth::is_still_let_in;
use crate::processes::{Ended, Piece, Stream};

/// How often it is looked whether a client may still be attached.
pub(super) const LOOK: Duration = Duration::from_secs(2);
/// After how many looks a client is asked whether it is there.
const PING: u32 = 10;
/// How many such questions it may leave without an answer.
const SILENT: u32 = 3;
/// How long a client may take nothing at all.
const STUCK: Duration = Duration::from_secs(60);
/// How long it may take to close its side.
const CLOSING: Duration = Duration::from_secs(5);

type Sink = SplitSink<WebSocket, Message>;

/// Why a connection ends.
#[derive(Debug)]
pub(super) struct Over {
    code: u16,
    reason: &'static str,
}

impl Over {
    pub(super) fn new(code: u16, reason: &'static str) -> Self {
        Self { code, reason }
    }
}

/// The client is gone, or takes nothing.
#[derive(Debug)]
struct Gone;

/// Who tells a client.
pub(super) struct Telling<'a> {
    attached: &'a Attached,
    sink: &'a mut Sink,
    offset: u64,
    told: Receiver<Value>,
}

impl<'a> Telling<'a> {
    pub(super) fn new(
        attached: &'a Attached,
        sink: &'a mut Sink,
        offset: u64,
        told: Receiver<Value>,
    ) -> Self {
        Self { attached, sink, offset, told }
    }

    /// Tells everything until the process ends; `None` when the client is gone.
    pub(super) async fn tell(&mut self, heard: &AtomicBool) -> Option<Over> {
        self.pass_on(heard).await.ok()
    }

    async fn pass_on(&mut self, heard: &AtomicBool) -> Result<Over, Gone> {
        let process = Arc::clone(&self.attached.process);
        let (mut written, mut ended) = (process.log.follow(), process.ended.subscribe());
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut looks, mut silent, mut drains) = (0_u32, 0, false);
        let mut pieces = Vec::new().into_iter();
        self.greet().await?;
        loop {
            // In this order: all that was written before the end is in the log by the end.
            let end = ended.borrow_and_update().clone();
            written.borrow_and_update();
            if pieces.len() == 0 {
                pieces = process.log.read(self.offset).await.into_iter();
            }
            let is_told = pieces.len() == 0;
            tokio::select! {
                biased;
                _ = look.tick() => {
                    let Attached { service, caller, .. } = self.attached;
                    if !is_still_let_in(service, caller).await {
                        return Ok(Over::new(close_code::POLICY, "the token is not valid any more"));
                    }
                    if service.is_draining() && !drains {
                        drains = true;
                        self.send(&json!({ "type": "draining" })).await?;
                    }
                    looks = (looks + 1) % PING;
                    if looks == 0 {
                        silent = if heard.swap(false, Ordering::Relaxed) { 0 } else { silent + 1 };
                        if silent >= SILENT {
                            return Err(Gone);
                        }
                        self.put(Message::Ping(Default::default())).await?;
                    }
                }
                Some(told) = self.told.recv() => self.send(&told).await?,
                () = std::future::ready(()), if !is_told => {
                    if let Some(piece) = pieces.next() {
                        self.send_piece(&piece).await?;
                    }
                }
                () = std::future::ready(()), if end.is_some() => {
                    if let Some(end) = end {
                        self.send(&told_end(&process.with_output(&end).await)).await?;
                    }
                    return Ok(match self.attached.service.is_draining() {
                        true => Over::new(close_code::AWAY, "the service is stopping"),
                        false => Over::new(close_code::NORMAL, "the process has ended"),
                    });
                }
                _ = written.changed() => {}
                _ = ended.changed() => {}
            }
        }
    }

    async fn greet(&mut self) -> Result<(), Gone> {
        let Attached { process, caller, .. } = self.attached;
        let may_act = caller.require(Right::Act).is_ok();
        let greeting = json!({
            "type": "attached",
            "process": process.id,
            "offset": self.offset,
            "terminal": process.ends.size(),
            "read_only": !may_act,
        });
        self.send(&greeting).await
    }

    async fn send_piece(&mut self, piece: &Piece) -> Result<(), Gone> {
        if piece.offset > self.offset {
            let lost = json!({ "type": "lost", "from": self.offset, "to": piece.offset });
            self.send(&lost).await?;
        }
        let mark = match piece.stream {
            Stream::Output => 1,
            Stream::Error => 2,
        };
        if !piece.bytes.is_empty() {
            let message = [&[mark], &*piece.bytes].concat();
            self.put(Message::Binary(message.into())).await?;
        }
        self.offset = piece.end();
        Ok(())
    }

    async fn send(&mut self, told: &Value) -> Result<(), Gone> {
        self.put(Message::Text(told.to_string().into())).await
    }

    async fn put(&mut self, message: Message) -> Result<(), Gone> {
        match timeout(STUCK, self.sink.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Gone),
        }
    }
}

fn told_end(ended: &Ended) -> Value {
    match ended {
        Ok(answer) => json!({ "type": "ended", "result": answer }),
        Err(problem) => told_problem(problem),
    }
}

/// Says why the connection ends, and waits a little for the other side to have read it.
pub(super) async fn close(sink: &mut Sink, stream: &mut SplitStream<WebSocket>, over: Over) {
    let frame = CloseFrame { code: over.code, reason: over.reason.into() };
    let closing = async {
        if sink.send(Message::Close(Some(frame))).await.is_ok() {
            while let Some(Ok(_)) = stream.next().await {}
        }
    };
    // Who does not close its side has had its time.
    let _ = timeout(CLOSING, closing).await;
}

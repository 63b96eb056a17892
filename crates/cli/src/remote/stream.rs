//! Server-sent events, as the HTML standard has them, from a body that is read piece by piece.

use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::timeout;

/// A service that has nothing to tell says so every fifteen seconds; who says nothing for so long is
/// gone.
const SILENCE: Duration = Duration::from_secs(60);
/// The longest event: a command's end with what it wrote.
const LONGEST: usize = 64 << 20;

/// An event.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Event {
    /// `message` when the service says nothing.
    pub(super) kind: String,
    /// The last id that was told.
    pub(super) id: Option<String>,
    pub(super) data: String,
}

/// Events as they come.
pub(super) struct Events {
    body: Incoming,
    read: Reader,
}

impl Events {
    pub(super) fn of(body: Incoming) -> Self {
        Self { body, read: Reader::default() }
    }

    /// The next one; nothing when there are no more, however that came.
    pub(super) async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.read.next() {
                return Some(event);
            }
            let frame = timeout(SILENCE, self.body.frame()).await.ok()??.ok()?;
            let Ok(data) = frame.into_data() else { continue };
            if self.read.held.len() + data.len() > LONGEST {
                return None;
            }
            self.read.held.extend_from_slice(&data);
        }
    }
}

/// Lines on their way to events.
#[derive(Debug, Default)]
struct Reader {
    held: Vec<u8>,
    /// How much of it was looked at.
    seen: usize,
    event: Event,
    has_data: bool,
    last_id: Option<String>,
}

impl Reader {
    fn next(&mut self) -> Option<Event> {
        while let Some(line) = self.line() {
            if !line.is_empty() {
                self.field(&line);
                continue;
            }
            let mut event = std::mem::take(&mut self.event);
            if std::mem::take(&mut self.has_data) {
                event.id.clone_from(&self.last_id);
                if event.kind.is_empty() {
                    "message".clone_into(&mut event.kind);
                }
                return Some(event);
            }
        }
        None
    }

    /// The next whole line, without its end.
    fn line(&mut self) -> Option<String> {
        let rest = self.held.get(self.seen..)?;
        let Some(at) = rest.iter().position(|byte| *byte == b'\n') else {
            self.held.drain(..self.seen);
            self.seen = 0;
            return None;
        };
        let line = rest.get(..at).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = String::from_utf8_lossy(line).into_owned();
        self.seen += at + 1;
        Some(line)
    }

    fn field(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => value.clone_into(&mut self.event.kind),
            "id" => self.last_id = Some(value.to_owned()),
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            // A comment, or what is not known.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Events of a text that comes in pieces of that size.
    fn events(text: &str, size: usize) -> Vec<Event> {
        let (mut reader, mut found) = (Reader::default(), Vec::new());
        for piece in text.as_bytes().chunks(size) {
            reader.held.extend_from_slice(piece);
            while let Some(event) = reader.next() {
                found.push(event);
            }
        }
        found
    }

    #[test]
    fn events_are_whole_however_they_come() {
        let text = ": hello\n\nevent: output\nid: 5\ndata: a\ndata:b\r\n\ndata: {\"x\": \"é\"}\n\n\
                    event: lost\n";
        let event = |kind: &str, id: &str, data: &str| Event {
            kind: kind.into(),
            id: Some(id.into()),
            data: data.into(),
        };
        let expected = vec![event("output", "5", "a\nb"), event("message", "5", "{\"x\": \"é\"}")];
        for size in [1, 2, 3, 7, 1000] {
            assert_eq!(events(text, size), expected, "{size}");
        }
    }
}

//! `events` at a service, also as they happen.

use ctrlz_core::store::LoggedEvent;
use hyper::Method;
use serde::Deserialize;
use serde_json::Value;

use super::client::{Call, Client, query};
use super::problem::not_understood;
use super::stream::Events;
use crate::Answer;
use crate::arguments::EventsArguments;
use crate::commands::events::{self, Log};
use crate::failure::Failure;

/// How many a service tells at once.
const AT_ONCE: u32 = 256;

#[derive(Deserialize)]
struct Page {
    items: Vec<Value>,
    last: i64,
}

/// An event with its number.
fn logged(value: &Value) -> Result<LoggedEvent, Failure> {
    let number = value.get("id").and_then(Value::as_str).and_then(|id| id.parse().ok());
    let number = number
        .ok_or_else(|| not_understood(env!("CARGO_PKG_VERSION"), "an event has no number"))?;
    Ok(LoggedEvent { number, text: value.to_string() })
}

impl Client {
    fn page(&self, after: i64, limit: u32) -> Result<Page, Failure> {
        let fields = [("after", after.to_string()), ("limit", limit.to_string())];
        self.get(&format!("/v1/events{}", query(&fields)))
    }
}

impl Log for Client {
    fn events(&self, mut after: i64, limit: u32) -> Result<Vec<LoggedEvent>, Failure> {
        let mut found: Vec<LoggedEvent> = Vec::new();
        while found.len() < limit as usize {
            let rest = limit.saturating_sub(u32::try_from(found.len()).unwrap_or(limit));
            let page = self.page(after, rest.min(AT_ONCE))?;
            if page.items.is_empty() {
                break;
            }
            for value in &page.items {
                let event = logged(value)?;
                after = event.number;
                found.push(event);
            }
        }
        Ok(found)
    }

    fn last(&self) -> Result<i64, Failure> {
        Ok(self.page(i64::MAX - 1, 1)?.last)
    }

    fn follow(
        &self,
        mut after: i64,
        tell: &mut dyn FnMut(&LoggedEvent) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        self.wait(async {
            loop {
                let call = Call::new(Method::GET, "/v1/events")
                    .header("accept", "text/event-stream")
                    .header("last-event-id", after.to_string());
                // Who does not answer at all is told; who answered before is asked again.
                let mut events = Events::of(self.stream(&call).await??);
                while let Some(event) = events.next().await {
                    let value: Value = serde_json::from_str(&event.data).map_err(|error| {
                        not_understood(env!("CARGO_PKG_VERSION"), &error.to_string())
                    })?;
                    let event = logged(&value)?;
                    after = event.number;
                    if !tell(&event)? {
                        return Ok(());
                    }
                }
                tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            }
        })
    }
}

pub(super) fn tell(client: &Client, arguments: &EventsArguments, json: bool) -> Answer {
    events::tell(client, arguments, json)
}

//! `ctrlz top`.

mod rows;
mod terminal;

use std::collections::HashMap;
use std::io::IsTerminal;
use std::time::Duration;

use ctrlz_core::id::OperationId;
use ctrlz_core::monitor::Reading;
use serde_json::{Value, json};

use self::rows::{HEADING, Row, sort};
use self::terminal::{Key, Screen};
use crate::Answer;
use crate::arguments::{SortBy, TopArguments};
use crate::context::Context;
use crate::failure::{Failure, OWN_FAILURE};
use crate::show::{self, columns, print_table};

/// The least time between two looks.
const LEAST: Duration = Duration::from_millis(100);

pub(crate) fn top(arguments: &TopArguments, json: bool) -> Answer {
    let context = Context::open()?;
    let mut looks = Looks::default();
    let on_terminal = std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
    if json || arguments.once || !on_terminal {
        let mut rows = looks.take(&context)?;
        sort(&mut rows, arguments.sort, false);
        if json {
            let running = rows.iter().map(told).collect::<Result<Vec<Value>, Failure>>()?;
            show::print_json(&[("running", running.into())]);
        } else {
            let cells: Vec<Vec<String>> = rows.iter().map(Row::cells).collect();
            print_table(&HEADING, &cells, "nothing runs");
        }
        return show::done();
    }
    live(&context, arguments, &mut looks)
}

fn live(context: &Context, arguments: &TopArguments, looks: &mut Looks) -> Answer {
    let every = arguments.every.0.max(LEAST);
    let (mut by, mut reversed) = (arguments.sort, false);
    let failed = |error: std::io::Error| Failure::caused(OWN_FAILURE, "terminal", &error);
    let mut screen = Screen::take().map_err(failed)?;
    let mut rows = looks.take(context)?;
    loop {
        sort(&mut rows, by, reversed);
        screen.show(&page(&rows, by)).map_err(failed)?;
        match screen.wait(every).map_err(failed)? {
            Key::None => rows = looks.take(context)?,
            Key::End => return show::done(),
            Key::Other(b'q' | b'Q') => return show::done(),
            Key::Other(b'r' | b'R') => reversed = !reversed,
            Key::Other(key) => {
                if let Some(chosen) = sort_key(key) {
                    (by, reversed) = (chosen, false);
                }
            }
        }
    }
}

/// What a key sorts by.
fn sort_key(key: u8) -> Option<SortBy> {
    Some(match key.to_ascii_lowercase() {
        b'c' => SortBy::Cpu,
        b'm' => SortBy::Memory,
        b'p' => SortBy::Processes,
        b'f' => SortBy::Files,
        b'd' => SortBy::Disk,
        b't' => SortBy::Time,
        b'n' => SortBy::Name,
        _ => return None,
    })
}

/// The lines of the screen.
fn page(rows: &[Row], by: SortBy) -> Vec<String> {
    let cells: Vec<Vec<String>> = rows.iter().map(Row::cells).collect();
    let by = format!("{by:?}").to_lowercase();
    let mut lines = vec![format!(
        "ctrlz top: {} running, by {by} (q ends; c m p f d t n sort, r turns round)",
        rows.len()
    )];
    lines.extend(columns(&HEADING, &cells));
    lines
}

/// Looks at what runs, each with the one before.
#[derive(Default)]
struct Looks {
    before: HashMap<OperationId, Reading>,
}

impl Looks {
    fn take(&mut self, context: &Context) -> Result<Vec<Row>, Failure> {
        let tracker = context.tracker();
        let mut now = HashMap::new();
        let mut rows = Vec::new();
        for running in tracker.running()? {
            let Some(reading) = tracker.measure(&running) else { continue };
            let before = self.before.get(&running.operation.id);
            now.insert(running.operation.id, reading);
            rows.push(Row::new(running, reading, before));
        }
        self.before = now;
        Ok(rows)
    }
}

fn told(row: &Row) -> Result<Value, Failure> {
    Ok(json!({
        "sandbox": show::to_json(&row.running.sandbox.name)?,
        "operation": show::to_json(&row.running.operation.id)?,
        "title": row.running.operation.request.title,
        "process": row.running.process_1,
        "cpu_percent": row.cpu_percent,
        "usage": show::to_json(&row.reading)?,
    }))
}

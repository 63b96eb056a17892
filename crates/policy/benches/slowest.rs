//! The hostile texts that take longest, in a table: `cargo bench -p ctrlz-policy --bench
//! slowest -- [ROWS] [PART OF A NAME]`.
#![allow(clippy::print_stdout, reason = "a table is what it is for")]

mod hostile;

use std::fs;
use std::time::Duration;

use ctrlz_policy::{Context, Validator};

/// Each is judged so often, and the quickest time counts.
const TIMES: usize = 3;

/// The time that this thread has spent on a processor: others work on the machine as well.
fn spent() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split(' ').next().and_then(|nanoseconds| nanoseconds.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|word| word != "--bench");
    let rows = arguments.next().and_then(|rows| rows.parse().ok()).unwrap_or(10);
    let part = arguments.next().unwrap_or_default();
    let validator = Validator::new(Context::default());
    let mut measured: Vec<_> = hostile::all()
        .into_iter()
        .filter(|hostile| hostile.name.contains(&part))
        .map(|hostile| {
            let judge = || {
                let begin = spent();
                let verdict = validator.program(hostile.language, &hostile.text);
                (spent().saturating_sub(begin), verdict.risk)
            };
            let first = judge();
            let quickest =
                if first.0 < Duration::from_millis(5) || first.0 > Duration::from_millis(500) {
                    first
                } else {
                    (1..TIMES).map(|_| judge()).fold(first, Ord::min)
                };
            if quickest.0 > Duration::from_millis(50) {
                eprintln!("{:?} {}", quickest.0, hostile.name);
            }
            (quickest, hostile)
        })
        .collect();
    measured.sort_by_key(|one| std::cmp::Reverse(one.0));
    println!("{} texts", measured.len());
    println!("| ms | bytes | risk | text |\n|---|---|---|---|");
    for ((time, risk), hostile) in measured.into_iter().take(rows) {
        let milliseconds = time.as_secs_f64() * 1000.0;
        println!("| {milliseconds:.1} | {} | {risk} | {} |", hostile.text.len(), hostile.name);
    }
}

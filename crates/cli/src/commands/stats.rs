//! `ctrlz stats`.

use ctrlz_core::monitor::{Resolution, UsageTotals};
use ctrlz_core::name::SandboxName;
use ctrlz_core::size::ByteSize;
use ctrlz_core::span::Span;
use ctrlz_core::time::Timestamp;
use ctrlz_engine::tracker::{Latency, SandboxStats};
use serde_json::Value;

use crate::Answer;
use crate::arguments::StatsArguments;
use crate::clock;
use crate::context::Context;
use crate::failure::Failure;
use crate::show::{self, counts_in_words, plain, print_table};

/// How many operations are told of in text.
const MOST_OPERATIONS: usize = 10;

pub(crate) fn stats(arguments: &StatsArguments, json: bool) -> Answer {
    let context = Context::open()?;
    let sandbox = context.sandbox(arguments.sandbox.as_ref())?;
    let since = match &arguments.since {
        Some(text) => clock::moment(text)?,
        None => Timestamp(0),
    };
    let stats = context.tracker().stats(&sandbox, since)?;
    tell((&sandbox.name, since), &stats, json)
}

/// As one object, but for whose it is.
pub(crate) fn fields(
    since: Timestamp,
    stats: &SandboxStats,
) -> Result<Vec<(&'static str, Value)>, Failure> {
    let flagged = stats.anomalies.iter().map(|one| {
        let mut value = show::to_json(one)?;
        if let Some(object) = value.as_object_mut() {
            object.insert("anomalies".to_owned(), super::unusual::to_json(&one.anomalies)?);
        }
        Ok(value)
    });
    Ok(vec![
        ("since", show::to_json(&since)?),
        ("operations", show::to_json(&stats.operations)?),
        ("latency", show::to_json(&stats.latency)?),
        ("baselines", show::to_json(&stats.baselines)?),
        ("anomalies", flagged.collect::<Result<Vec<Value>, Failure>>()?.into()),
        ("totals", show::to_json(&stats.totals())?),
        ("usage", show::to_json(&stats.usage)?),
        ("sampled", show::to_json(&stats.sampled)?),
    ])
}

pub(crate) fn tell(
    (name, since): (&SandboxName, Timestamp),
    stats: &SandboxStats,
    json: bool,
) -> Answer {
    if json {
        let mut told = vec![("sandbox", show::to_json(name)?)];
        told.extend(fields(since, stats)?);
        show::print_json(&told);
        return show::done();
    }
    println!("{name}");
    print_operations(stats);
    print_latency(&stats.latency);
    print_usage(stats);
    print_baselines(stats);
    show::done()
}

fn print_operations(stats: &SandboxStats) {
    let totals = &stats.operations;
    let statuses: Vec<String> =
        totals.statuses.iter().map(|(status, count)| format!("{count} {status}")).collect();
    println!("  operations  {}: {}", totals.count, statuses.join(", "));
    println!(
        "  commands    {} CPU time, {} processes begun, {} the largest one",
        totals.cpu,
        totals.processes,
        ByteSize(totals.peak_resident)
    );
    println!("  changes     {}", counts_in_words(&totals.changes));
    if totals.network_attempts > 0 {
        println!("  network     tried {} times while it was off", totals.network_attempts);
    }
}

fn print_latency(latency: &[Latency]) {
    let seconds = |value: Option<f64>| {
        let span = value.and_then(|value| std::time::Duration::try_from_secs_f64(value).ok());
        span.map_or_else(|| "-".to_owned(), |span| Span(span).to_string())
    };
    let rows: Vec<Vec<String>> = latency
        .iter()
        .map(|one| {
            vec![
                format!("  {}", one.kind),
                one.count.to_string(),
                seconds(one.p50),
                seconds(one.p90),
                seconds(one.p99),
                one.sum.to_string(),
            ]
        })
        .collect();
    print_table(&["  TOOK", "COUNT", "50 %", "90 %", "99 %", "TOGETHER"], &rows, "");
}

fn print_usage(stats: &SandboxStats) {
    let totals = stats.totals();
    if totals.samples == 0 {
        println!("  nothing ran for as long as the profile's interval, so no sample was taken");
        return;
    }
    let of = |resolution| stats.usage.iter().filter(|row| row.resolution == resolution).count();
    println!(
        "  seen        {} samples of {} run time, kept as {} samples, {} minutes, {} hours",
        totals.samples,
        totals.elapsed,
        of(Resolution::Raw),
        of(Resolution::Minute),
        of(Resolution::Hour)
    );
    let usage = |name: String, totals: &UsageTotals| {
        let average = |sum: u64| sum.checked_div(totals.samples).unwrap_or(0);
        vec![
            name,
            totals.cpu.to_string(),
            format!("{} / {}", ByteSize(average(totals.memory_sum)), ByteSize(totals.memory_peak)),
            format!("{} / {}", average(totals.processes_sum), totals.processes_peak),
            format!("{} / {}", average(totals.open_files_sum), totals.open_files_peak),
            ByteSize(totals.read).to_string(),
            ByteSize(totals.written).to_string(),
            ByteSize(totals.received.saturating_add(totals.sent)).to_string(),
        ]
    };
    let newest = stats.sampled.iter().take(MOST_OPERATIONS);
    let mut rows = vec![usage("  all".to_owned(), &totals)];
    rows.extend(newest.map(|one| usage(format!("  {}", one.operation), &one.totals)));
    let heading =
        ["  USAGE", "CPU", "MEMORY avg / peak", "PROCS", "FILES", "READ", "WRITTEN", "NET"];
    print_table(&heading, &rows, "");
    if stats.sampled.len() > MOST_OPERATIONS {
        println!("  and {} more operations; see --json", stats.sampled.len() - MOST_OPERATIONS);
    }
}

fn print_baselines(stats: &SandboxStats) {
    let rows: Vec<Vec<String>> = stats
        .baselines
        .iter()
        .map(|baseline| {
            let limit = baseline.limit.map(|limit| format!("{limit:.1}"));
            vec![
                format!("  {}", baseline.signal.word()),
                format!("{:.1}", baseline.usual.median),
                format!("{:.1}", baseline.usual.deviation),
                limit.unwrap_or_else(|| "too few commands".to_owned()),
                baseline.signal.unit().to_owned(),
            ]
        })
        .collect();
    print_table(&["  USUAL", "MEDIAN", "MAD", "UNUSUAL FROM", "UNIT"], &rows, "  no commands");
    for flagged in &stats.anomalies {
        for anomaly in &flagged.anomalies {
            println!("  unusual     {} {}: {anomaly}", flagged.operation, plain(&flagged.title));
        }
    }
}

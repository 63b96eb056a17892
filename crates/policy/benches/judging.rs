//! What a verdict costs: of a typical command, of each file of the corpora, of hostile texts.
//!
//! `cargo bench -p ctrlz-policy`; `cargo bench -p ctrlz-policy -- hostile` for a part of it.
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a benchmark ends where its files are broken"
)]

mod hostile;

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use ctrlz_policy::{Context, Validator};
use serde_json::Value;

/// What people and agents type all day.
const TYPICAL: [&str; 3] = [
    "git commit -m 'fix the parser' && git push origin main",
    "cargo test -p ctrlz-policy 2>&1 | tail -n 20",
    "find src -name '*.rs' -newer Cargo.toml | xargs grep -n TODO",
];

/// The hostile texts of a megabyte, and others that showed to be the slowest.
const SLOW: [&str; 6] = [
    "\">\" × 1024 KiB",
    "\"`\" × 1024 KiB",
    "\"cd dN;rm x\", many, \"\\n\"",
    "\"docker run -v /:/x imN rm -rf /x\", many, \"\\n\"",
    "\"ln -s /etc lN;rm lN/x\", many, \"\\n\"",
    "python \"[\" 1000 deep, by a shell, many",
];

fn typical(criterion: &mut Criterion) {
    let validator = Validator::new(Context::default());
    for command in TYPICAL {
        criterion.bench_function(command, |bencher| {
            bencher.iter(|| validator.command(black_box(command.as_bytes())));
        });
    }
}

/// A file's rows one after the other, and the times of the single rows.
fn corpora(criterion: &mut Criterion) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpora");
    let mut files: Vec<_> = fs::read_dir(&folder)
        .expect("the folder of the corpora")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .collect();
    files.sort();
    let validator = Validator::new(Context::default());
    for path in files {
        let text = fs::read_to_string(&path).expect("a file of the corpora");
        let rows: Vec<(String, String)> = text
            .lines()
            .map(|line| {
                let row: Value = serde_json::from_str(line).expect("a row of the corpora");
                let text =
                    |key| row.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
                (text("lang"), text("cmd"))
            })
            .collect();
        let judge = |(language, command): &(String, String)| {
            validator.program(language, black_box(command.as_bytes()))
        };
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        criterion.bench_function(&format!("corpora/{name}, all {} rows", rows.len()), |bencher| {
            bencher.iter(|| {
                rows.iter().for_each(|row| {
                    std::hint::black_box(judge(row));
                })
            });
        });
        let mut times: Vec<Duration> = rows
            .iter()
            .map(|row| {
                let begin = Instant::now();
                black_box(judge(row));
                begin.elapsed()
            })
            .collect();
        times.sort();
        let at = |percent: usize| times.get(times.len() * percent / 100).copied();
        println!("{name}: {:?} in the median, {:?} at 99 %", at(50), at(99));
    }
}

fn hostile_texts(criterion: &mut Criterion) {
    let validator = Validator::new(Context::default());
    let mut group = criterion.benchmark_group("hostile");
    group.sample_size(10).measurement_time(Duration::from_secs(2));
    for text in hostile::all().into_iter().filter(|text| SLOW.contains(&text.name.as_str())) {
        group.bench_function(&text.name, |bencher| {
            bencher.iter(|| validator.program(text.language, black_box(&text.text)));
        });
    }
    group.finish();
}

criterion_group!(benches, typical, corpora, hostile_texts);
criterion_main!(benches);

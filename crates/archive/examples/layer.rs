//! Layers against `tar` and `zstd`: written and restored in turns with them.
//!
//! ```text
//! layer bench DIRECTORY [ROUNDS [LEVEL]]   medians, ours and theirs
//! layer write DIRECTORY BLOB LEVEL         one layer
//! layer apply BLOB DIRECTORY               back from it
//! ```

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use ctrlz_archive::codec::Compression;
use ctrlz_archive::{LayerOptions, Limits, Restore, Target, write_layer};
use ctrlz_core::archive::{Dialect, Stratum};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome {
    let words: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = words.iter().skip(1).map(String::as_str).collect();
    match words.as_slice() {
        ["write", directory, blob, level] => write(directory, blob, level.parse()?),
        ["apply", blob, directory] => apply(blob, directory),
        ["bench", directory] => bench(directory, 5, 3),
        ["bench", directory, rounds] => bench(directory, rounds.parse()?, 3),
        ["bench", directory, rounds, level] => bench(directory, rounds.parse()?, level.parse()?),
        _ => Err(
            "bench DIRECTORY [ROUNDS [LEVEL]] | write DIRECTORY BLOB LEVEL | apply BLOB DIRECTORY"
                .into(),
        ),
    }
}

fn write(directory: &str, blob: &str, level: i32) -> Outcome {
    let stratum = Stratum {
        id: None,
        directory: PathBuf::from(directory),
        dialect: Dialect::Plain,
        root: true,
        hidden: Vec::new(),
        record: None,
    };
    let compression = match level {
        0 => Compression::None,
        level => Compression::Zstd { level },
    };
    let options = LayerOptions { compression, ..LayerOptions::default() };
    let mut out = std::fs::File::create(blob)?;
    let written = write_layer(&stratum, &options, &mut out, &mut std::io::sink())?;
    println(&format!("entries {}, tar {}, {}", written.counts.entries(), written.size, peak()))
}

fn apply(blob: &str, directory: &str) -> Outcome {
    let target = Target { durable: false, ..Target::new(PathBuf::from(directory)) };
    let mut restore = Restore::begin(target)?;
    restore.apply(&mut std::fs::File::open(blob)?, &Limits::default(), None)?;
    let restored = restore.finish()?;
    println(&format!("entries {}, {}", restored.counts.entries(), peak()))
}

fn println(line: &str) -> Outcome {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

/// The most memory that this process had.
fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    format!("memory {}", line.unwrap_or("unknown").trim())
}

/// Seconds on the clock, and of all processors.
#[derive(Debug, Clone, Copy, Default)]
struct Cost {
    wall: f64,
    cpu: f64,
}

/// The processor time of the children that have ended, in hundredths of a second.
fn children() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    // Fields 16 and 17 of proc(5); the name before them is cut off.
    fields.skip(13).take(2).filter_map(|field| field.parse::<f64>().ok()).sum()
}

fn run(command: &mut Command) -> Outcome<(Cost, String)> {
    let (start, before) = (Instant::now(), children());
    let output = command.output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let cost = Cost { wall: start.elapsed().as_secs_f64(), cpu: (children() - before) / 100.0 };
    Ok((cost, String::from_utf8_lossy(&output.stdout).trim().to_owned()))
}

fn shell(line: &str) -> Outcome<(Cost, String)> {
    run(Command::new("sh").args(["-c", line]))
}

fn median(mut costs: Vec<Cost>, of: impl Fn(&Cost) -> f64) -> f64 {
    costs.sort_by(|a, b| of(a).total_cmp(&of(b)));
    costs.get(costs.len() / 2).map_or(0.0, of)
}

fn bench(directory: &str, rounds: usize, level: i32) -> Outcome {
    let program = std::env::current_exe()?;
    let place = std::env::temp_dir().join(format!("ctrlz-layer-{}", std::process::id()));
    std::fs::create_dir(&place)?;
    let at = |name: &str| place.join(name).display().to_string();
    let (ours, theirs, back) = (at("ours.tar.zst"), at("theirs.tar.zst"), at("back"));
    let (mut written, mut restored) = ((Vec::new(), Vec::new()), (Vec::new(), Vec::new()));
    let mut told = (String::new(), String::new());
    for round in 0..=rounds {
        let tar = format!("tar -C '{directory}' -c . | zstd -q -f -T0 -{level} -o '{theirs}'");
        let (their_write, _) = shell(&tar)?;
        let mut command = Command::new(&program);
        let (our_write, line) = run(command.args(["write", directory, &ours, &level.to_string()]))?;
        told.0 = line;
        let untar = format!("mkdir '{back}' && zstd -q -d -c '{theirs}' | tar -C '{back}' -x");
        let (their_restore, _) = shell(&untar)?;
        std::fs::remove_dir_all(&back)?;
        let (our_restore, line) = run(Command::new(&program).args(["apply", &ours, &back]))?;
        told.1 = line;
        std::fs::remove_dir_all(&back)?;
        // The first round warms the cache.
        if round > 0 {
            written.0.push(our_write);
            written.1.push(their_write);
            restored.0.push(our_restore);
            restored.1.push(their_restore);
        }
    }
    let size = |path: &str| Path::new(path).metadata().map_or(0, |meta| meta.len());
    let (our_size, their_size) = (size(&ours), size(&theirs));
    std::fs::remove_dir_all(&place)?;
    println(&format!("{directory}, level {level}, {rounds} rounds"))?;
    for (what, (ours, theirs), line) in [("write", written, told.0), ("restore", restored, told.1)]
    {
        let of = |pick: fn(&Cost) -> f64| {
            let (ours, theirs) = (median(ours.clone(), pick), median(theirs.clone(), pick));
            format!("{ours:.2} s, theirs {theirs:.2} s, {:.2} ×", ours / theirs)
        };
        println(&format!("  {what}: {}; processor {}; {line}", of(|c| c.wall), of(|c| c.cpu)))?;
    }
    let ratio = our_size as f64 / their_size as f64;
    println(&format!("  size: {our_size}, theirs {their_size}, {ratio:.3} ×"))
}

//! Runs the tests and tells what came of them, as libtest does.

use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;

use crate::arena::Arena;
use crate::attack::{Failure, Test, is_root};
use crate::launcher::{BY_LAUNCHER, DRIVER};
use crate::place::Place;
use crate::python;

/// The arena of a run as an ordinary user, which root prepared.
const ARENA: &str = "CTRLZ_ESCAPE_ARENA";
/// The ordinary user: `nobody`, who owns nothing.
const NOBODY: u32 = 65_534;

#[derive(Debug, Default)]
struct Arguments {
    filters: Vec<String>,
    skips: Vec<String>,
    exact: bool,
    list: bool,
    ignored: bool,
    threads: Option<usize>,
}

impl Arguments {
    fn read() -> Self {
        let mut read = Self::default();
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--exact" => read.exact = true,
                "--list" => read.list = true,
                "--ignored" => read.ignored = true,
                "--skip" => read.skips.extend(words.next()),
                "--test-threads" => read.threads = words.next().and_then(|n| n.parse().ok()),
                "--format" | "--color" | "--logfile" | "-Z" => drop(words.next()),
                flag if flag.starts_with('-') => {}
                _ => read.filters.push(word),
            }
        }
        read
    }

    fn wants(&self, name: &str) -> bool {
        let matches =
            |text: &String| if self.exact { name == text } else { name.contains(text.as_str()) };
        !self.ignored
            && (self.filters.is_empty() || self.filters.iter().any(matches))
            && !self.skips.iter().any(matches)
    }
}

#[derive(Debug, Default)]
struct Counts {
    passed: usize,
    /// Names and reasons.
    failed: Vec<(&'static str, String)>,
    skipped: usize,
}

pub(crate) fn main() -> ExitCode {
    let arguments = Arguments::read();
    let all = crate::tests();
    let count = all.len();
    let tests: Vec<Test> = all.into_iter().filter(|test| arguments.wants(test.name)).collect();
    if arguments.list {
        tests.iter().for_each(|test| println!("{}: test", test.name));
        return ExitCode::SUCCESS;
    }
    if !python::is_there() {
        println!("test escape ... SKIPPED(/usr/bin/python3 is needed)");
        return ExitCode::SUCCESS;
    }
    let threads = arguments
        .threads
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(2, std::num::NonZero::get));
    let filtered = count - tests.len();
    if let Some(directory) = std::env::var_os(ARENA) {
        return exit(&run(&tests, Path::new(&directory), threads, filtered));
    }
    let arena = match Arena::make() {
        Ok(arena) => arena,
        Err(reason) => {
            println!("test escape ... SKIPPED({reason})");
            return ExitCode::SUCCESS;
        }
    };
    let counts = run(&tests, &arena.directory, threads, filtered);
    let mut passed = counts.failed.is_empty();
    if is_root() && !tests.is_empty() {
        passed &= run_as_ordinary_user(&arena.directory);
    } else if !tests.is_empty() {
        println!("test escape as root ... SKIPPED(not root)");
    }
    if is_root() && !crate::launcher::is_another() && std::env::var_os(BY_LAUNCHER).is_none() {
        for runtime in RUNTIMES {
            passed &= run_on(runtime);
        }
    }
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// OCI runtimes whose containers are attacked as well, by root, who does it as an ordinary user, too.
const RUNTIMES: [&str; 2] = ["crun", "runc"];

/// Runs this program once more, on another driver; answers whether all passed.
fn run_on(runtime: &str) -> bool {
    let known = runtime.parse().ok().and_then(|runtime| ctrlz_isolation::oci::find(&runtime).ok());
    if known.is_none() {
        println!("test escape on oci:{runtime} ... SKIPPED({runtime} is not installed)");
        return true;
    }
    let again = std::env::current_exe().and_then(|program| {
        let mut command = Command::new(program);
        command.args(std::env::args_os().skip(1)).env(DRIVER, format!("oci:{runtime}")).status()
    });
    again.expect("run this program again").success()
}

fn exit(counts: &Counts) -> ExitCode {
    if counts.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs this program once more as `nobody`; answers whether all passed.
fn run_as_ordinary_user(arena: &Path) -> bool {
    let prepare = || -> std::io::Result<(PathBuf, PathBuf)> {
        let directory = arena.join("user");
        std::fs::create_dir(&directory)?;
        std::os::unix::fs::chown(&directory, Some(NOBODY), Some(NOBODY))?;
        // The build directory may be closed to others.
        let program = arena.join("escape");
        std::fs::copy(std::env::current_exe()?, &program)?;
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))?;
        Ok((directory, program))
    };
    let (directory, program) = prepare().expect("prepare a place for the ordinary user");
    let status = Command::new("setpriv")
        .args([format!("--reuid={NOBODY}"), format!("--regid={NOBODY}")])
        .args(["--clear-groups", "--inh-caps=-all", "--"])
        .arg(program)
        .args(std::env::args_os().skip(1))
        .env(ARENA, &directory)
        .env("HOME", &directory)
        .current_dir(&directory)
        .status();
    match status {
        Ok(status) => status.success(),
        Err(error) => {
            println!("test escape as an ordinary user ... SKIPPED(setpriv: {error})");
            true
        }
    }
}

fn run(tests: &[Test], directory: &Path, threads: usize, filtered: usize) -> Counts {
    let who = if is_root() { "root" } else { "an ordinary user" };
    let uid = rustix::process::geteuid();
    let driver = crate::launcher::driver();
    println!("\nrunning {} tests on {driver} as {who} (uid {uid})", tests.len());
    let next = std::sync::atomic::AtomicUsize::new(0);
    let counts = Mutex::new(Counts::default());
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, 8) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let Some(test) = tests.get(number) else { break };
                    // Not by the test's name: a socket file's path has 107 bytes at most.
                    let outcome = run_one(test, &directory.join(number.to_string()));
                    tell(test, outcome, &mut counts.lock().expect("no test holds it"));
                }
            });
        }
    });
    let counts = counts.into_inner().expect("no test holds it");
    if !counts.failed.is_empty() {
        println!("\nfailures:\n");
        counts.failed.iter().for_each(|(name, why)| println!("---- {name} ----\n{why}\n"));
        println!("\nfailures:");
        counts.failed.iter().for_each(|(name, _)| println!("    {name}"));
    }
    println!(
        "\ntest result: {}. {} passed; {} failed; {} skipped; {filtered} filtered out; as {who}",
        if counts.failed.is_empty() { "ok" } else { "FAILED" },
        counts.passed,
        counts.failed.len(),
        counts.skipped,
    );
    counts
}

fn run_one(test: &Test, directory: &Path) -> Result<(), Failure> {
    let place = Place::make(directory.to_owned(), test.name)?;
    let outcome = catch_unwind(AssertUnwindSafe(|| (test.body)(&place)));
    let removed = crate::arena::remove_tree(&place.directory);
    match outcome {
        Ok(outcome) => outcome.and(removed.map_err(Failure::from)),
        Err(_) => Err(Failure::Failed("panicked".to_owned())),
    }
}

fn tell(test: &Test, outcome: Result<(), Failure>, counts: &mut Counts) {
    match outcome {
        Ok(()) => {
            println!("test {} ... ok", test.name);
            counts.passed += 1;
        }
        Err(Failure::Skipped(reason)) => {
            println!("test {} ... SKIPPED({reason})", test.name);
            counts.skipped += 1;
        }
        Err(Failure::Failed(why)) => {
            println!("test {} ... FAILED", test.name);
            counts.failed.push((test.name, why));
        }
    }
}

//! `cargo xtask test`: everything that CI checks, on this machine.

mod agents;
mod binaries;
mod filesystems;
mod gvisor;
mod mcp;
mod npm;
mod outcome;
mod python;
mod python_client;
mod reach;
mod running;
mod skips;
mod statics;
mod storage;
mod zfs;

use std::path::Path;
use std::time::Instant;

use crate::account::{self, Account};
use crate::failure::{Answer, Failure};
use crate::prerequisites;
use outcome::Counts;
use python_client::Client;
use running::{As, Suite};

/// The steps so far.
#[derive(Default)]
struct Steps {
    failed: Vec<String>,
}

impl Steps {
    /// Carries out one step. A failure is told and remembered; the other steps still run.
    fn step<T>(&mut self, name: &str, action: impl FnOnce() -> Answer<T>) -> Option<T> {
        println!("\n=== {name}");
        let started = Instant::now();
        let result = action();
        let seconds = started.elapsed().as_secs();
        match result {
            Ok(value) => {
                println!("--- {name}: ok ({seconds} s)");
                Some(value)
            }
            Err(failure) => {
                println!("{failure}\n--- {name}: FAILED ({seconds} s)");
                self.failed.push(name.to_owned());
                None
            }
        }
    }
}

/// All checks that run nothing of ctrlz: formatting, lints, licences, documentation, arrows.
pub(crate) fn check() -> Answer {
    let mut steps = Steps::default();
    steps.step("prerequisites", prerequisites::for_tests);
    let mut skips = skips::Skips::read()?;
    statics::all(&mut steps, &mut skips);
    conclude(&steps, &skips, None)
}

/// Everything. `filter` are arguments for the test binaries, such as a part of a test's name; the
/// static checks are left out then.
pub(crate) fn test(filter: &[String]) -> Answer {
    crate::filesystems::enter_namespace()?;
    let mut steps = Steps::default();
    steps.step("prerequisites", prerequisites::for_tests);
    let mut skips = skips::Skips::read()?;
    if filter.is_empty() {
        statics::all(&mut steps, &mut skips);
    }
    let Some(built) = steps.step("build the tests", binaries::build) else {
        return conclude(&steps, &skips, None);
    };
    let mut servers = storage::servers(&built.target, &mut skips);
    servers.extend(filesystems::mounted(&built.target, &mut skips));
    servers.extend(gvisor::runtime(&built.target, &mut skips));
    servers.extend(steps.step("SDKs of agents", || mcp::sdks(&built.target)).into_iter().flatten());
    let zfs = zfs::pool(&built.target, &mut skips);
    let mut counts = Counts::default();
    let mut run = |steps: &mut Steps, skips: &mut skips::Skips, name: &str, who: &As<'_>| {
        let pool = zfs.as_ref().filter(|_| matches!(who, As::Root));
        let suite = Suite { built: &built, servers: &servers, pool, who, filter };
        let ran = steps.step(name, || suite.run(skips));
        if let Some(ran) = ran {
            counts += ran;
            if ran.failed > 0 {
                steps.failed.push(name.to_owned());
            }
        }
    };
    if account::is_root() {
        run(&mut steps, &mut skips, "tests as root", &As::Root);
        let user = steps.step("an ordinary user", || Account::create("test"));
        if let Some(user) = &user {
            run(&mut steps, &mut skips, "tests as an ordinary user", &As::User(user));
        }
    } else {
        run(&mut steps, &mut skips, "tests as an ordinary user", &As::Caller);
        skips.note("user", "xtask", "tests as root: not root");
    }
    if (filter.is_empty() || filter == ["python"])
        && let Some(ctrlz) = built.programs.get("ctrlz")
    {
        counts += python_client(&mut steps, &mut skips, ctrlz, &built.target);
    }
    if (filter.is_empty() || filter == ["agents"])
        && let Some(ctrlz) = built.programs.get("ctrlz")
        && let Some(ran) =
            steps.step("coding agents", || agents::all(ctrlz, &built.target, &mut skips))
    {
        counts += ran;
        if ran.failed > 0 {
            steps.failed.push("coding agents".to_owned());
        }
    }
    if filter.is_empty()
        && let Some(ran) = steps.step("documentation tests", binaries::documentation)
    {
        counts += ran;
        if ran.failed > 0 {
            steps.failed.push("documentation tests".to_owned());
        }
    }
    conclude(&steps, &skips, Some(counts))
}

/// The checks of the Python client. Without what they need from PyPI they are a skip.
fn python_client(
    steps: &mut Steps,
    skips: &mut skips::Skips,
    ctrlz: &Path,
    target: &Path,
) -> Counts {
    let mut counts = Counts::default();
    let client = match Client::prepare(target) {
        Ok(client) => client,
        Err(failure) => {
            println!("{failure}");
            skips.note("any", "xtask", "the Python client: its tools are not to be installed here");
            return counts;
        }
    };
    steps.step("Python client: style and types", || client.check());
    let mut run = |steps: &mut Steps, name: &str, who: &As<'_>, tests: &str| {
        let ran = steps.step(name, || client.test(ctrlz, who, tests));
        let ran = ran.unwrap_or_default();
        if ran.failed > 0 {
            steps.failed.push(name.to_owned());
        }
        counts += ran;
    };
    if account::is_root() {
        run(steps, "Python client as root", &As::Root, "tests/test_sandboxes.py");
    }
    let user =
        account::is_root().then(|| steps.step("an ordinary user", || Account::create("python")));
    let who = match &user {
        None => As::Caller,
        Some(Some(user)) => As::User(user),
        Some(None) => return counts,
    };
    run(steps, "Python client as an ordinary user", &who, "tests");
    // What schemathesis makes up is no command for root.
    run(steps, "the service answers as its description says", &who, "conformance");
    counts
}

/// Tells the skips, the failures and, last of all, the numbers.
fn conclude(steps: &Steps, skips: &skips::Skips, counts: Option<Counts>) -> Answer {
    println!("\n=== summary");
    let (told, unexpected) = skips.tell();
    print!("{told}");
    for step in &steps.failed {
        println!("FAILED: {step}");
    }
    if let Some(mut counts) = counts {
        counts.skipped += skips.count();
        println!("{counts}");
        if counts.passed == 0 {
            return Err(Failure::told("no test ran"));
        }
    }
    match (steps.failed.len(), unexpected) {
        (0, 0) => Ok(()),
        (0, skips) => Err(Failure::told(format!(
            "{skips} tests were skipped for reasons that xtask/expected-skips.txt does not expect"
        ))),
        (steps, _) => Err(Failure::told(format!("{steps} steps failed"))),
    }
}

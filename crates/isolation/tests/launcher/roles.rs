//! What this program is when a test starts it.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use ctrlz_core::isolation::IsolationDriver;
use ctrlz_core::operation::CommandReport;
use ctrlz_isolation::native::NativeDriver;

use crate::place::{Place, driver, in_full, nowhere, run};

/// Runs one command without a launcher, and prints the report.
pub(crate) const DIRECT: &str = "direct";
/// A service with a command that runs on; prints the ids of process 1 and of the launcher.
pub(crate) const SERVICE: &str = "service";
/// A service that launches several commands, one after the other; prints how each ended.
pub(crate) const SEVERAL: &str = "several";

fn place() -> Place {
    Place::make(PathBuf::from(std::env::args_os().nth(2).expect("a folder")))
}

/// This program in a role, with a folder of its own.
pub(crate) fn of_its_own(role: &str, place: &Place) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.arg(role).arg(place.directory.join(role));
    command
}

pub(crate) fn direct() -> ExitCode {
    let launch = place().launch(&["/bin/true"]);
    let mut prepared =
        NativeDriver::default().prepare(launch, &mut |_, _| Ok(())).expect("prepare");
    prepared.start().expect("start");
    let report = prepared.wait(None).expect("wait");
    println!("{}", serde_json::to_string(&report).expect("plain data"));
    ExitCode::SUCCESS
}

/// The report of a command that ran without a launcher.
pub(crate) fn direct_report(place: &Place) -> CommandReport {
    let output = of_its_own(DIRECT, place).output().expect("run");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

pub(crate) fn service() -> ExitCode {
    let (place, driver) = (place(), driver());
    let mut launch = place.shell("while :; do sleep 1; done");
    launch.argv.push(place.directory.clone().into_os_string());
    launch.streams = nowhere();
    let mut begun = 0;
    let mut prepared = driver
        .prepare(launch, &mut |process_1, _| {
            begun = process_1;
            Ok(())
        })
        .expect("prepare");
    prepared.start().expect("start");
    println!("{begun} {}", driver.process().expect("a launcher"));
    std::io::stdout().flush().expect("flush");
    let _ = prepared.wait(None);
    ExitCode::FAILURE
}

pub(crate) fn several() -> ExitCode {
    let (place, driver) = (place(), driver());
    let launcher = driver.process();
    for number in 0..6 {
        match run(&driver, place.shell(&format!("exit {number}"))).report {
            Ok(report) => println!("{:?}", report.exit),
            Err(error) => println!("{}", in_full(&error)),
        }
    }
    // One that could not go on was replaced.
    println!("{}", if driver.process() == launcher { "one launcher" } else { "another launcher" });
    ExitCode::SUCCESS
}

//! Places by hand: `places verify|list|collect ADDRESS`, `places copy FROM TO NAME`, where an address
//! is a directory, `s3://…`, `gs://…`, `az://…` or, without TLS, `registry://HOST:PORT/NAME`. Ends
//! with the most memory that was in use.

use ctrlz_archive::ArchiveError;
use ctrlz_archive::collect::{Collecting, collect};
use ctrlz_archive::place::{Directory, Place};
use ctrlz_archive::snapshot::list;
use ctrlz_archive::transfer::{Event, Transfer};
use ctrlz_archive::verify::{Verifying, verify};

fn open(address: &str) -> Result<Box<dyn Place>, ArchiveError> {
    #[cfg(feature = "remote")]
    if let Some(repository) = address.strip_prefix("registry://") {
        use ctrlz_archive::place::{Login, Registry};
        return Ok(Box::new(Registry::open(repository, Login::Anonymous, true)?));
    }
    #[cfg(feature = "remote")]
    if address.contains("://") {
        use ctrlz_archive::place::Object;
        return Ok(Box::new(Object::open(address, std::env::vars(), None)?));
    }
    Ok(Box::new(Directory::create(address.as_ref())?))
}

fn run(arguments: &[&str]) -> Result<(), ArchiveError> {
    match arguments {
        ["verify", place] => {
            let verified = verify(open(place)?.as_ref(), &Verifying::default(), &|_| ())?;
            println!("{} names, {} blobs", verified.names, verified.read.0);
            for fault in verified.faults {
                println!("{}: {}", fault.names.join(", "), fault.error);
            }
        }
        ["list", place] => {
            for listed in list(open(place)?.as_ref(), None)?.snapshots {
                println!("{} {} bytes", listed.reference, listed.size);
            }
        }
        ["collect", place] => {
            println!("{:?}", collect(open(place)?.as_ref(), &Collecting::default())?);
        }
        ["copy", from, to, name] => {
            let told = |event: Event<'_>| {
                if let Event::Again { error, try_number } = event {
                    println!("try {try_number}: {error}");
                }
            };
            let (from, to) = (open(from)?, open(to)?);
            let transfer = Transfer::default();
            let done = transfer.image((from.as_ref(), name), (to.as_ref(), name), &told)?;
            println!("sent {:?}, there {:?}", done.sent, done.there);
        }
        _ => println!("places verify|list|collect ADDRESS, places copy FROM TO NAME"),
    }
    Ok(())
}

fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = run(&arguments);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(peak) = status.lines().find_map(|line| line.strip_prefix("VmHWM:")) {
        println!("memory: {}", peak.trim());
    }
    match result {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            std::process::ExitCode::FAILURE
        }
    }
}

//! That the suite itself can be trusted: an honest program works, and every protection is in
//! force and is missed when it is gone.

use std::collections::BTreeSet;
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, Ordering};

use ctrlz_core::isolation::IsolationDriver;
use ctrlz_core::operation::Exit;
use ctrlz_isolation::native::{NativeDriver, Protection};

use crate::attack::{Failure, Test};
use crate::launcher::only_native;
use crate::place::Place;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("an_honest_program_works", honest),
        Test::new("an_honest_program_reads_its_input", reads_input),
        Test::new("an_honest_program_runs_while_sockets_come_and_go", among_servers),
        Test::new("all_protections_are_in_force", all_in_force),
        Test::new("a_missing_protection_is_not_reported", missing_ones_are_not_reported),
    ]
}

/// The Landlock version that the driver tells of, 0 for none.
pub(crate) fn landlock_version() -> u32 {
    NativeDriver::default()
        .survey()
        .into_iter()
        .filter(|enforcement| enforcement.what == Protection::Landlock.word())
        .find_map(|enforcement| enforcement.by?.rsplit(' ').next()?.parse().ok())
        .unwrap_or(0)
}

fn honest(place: &Place) -> Result<(), Failure> {
    let script = "
write('file', b'new!')
os.mkdir('directory'); os.rename('directory', 'other')
open('/tmp/x', 'w').close()
open('/dev/null', 'w').write('x')
if os.waitstatus_to_exitcode(os.system('echo hello | cat > hello')): os._exit(1)
server = socket.socket(); server.bind(('127.0.0.1', 0)); server.listen()
socket.create_connection(server.getsockname()).close()
through(read('hello')) if read('file') == b'new!' else refused('not written')
";
    let before = place.look();
    let trial = place.python(script);
    let upper = trial.upper();
    trial.run()?.must_get_through()?;
    before.check(&place.look())?;
    match std::fs::read(upper.join("file"))? == b"new!" {
        true => Ok(()),
        false => Err(Failure::Failed("the change is not in the upper directory".to_owned())),
    }
}

/// A file on standard input, of the workspace or not, is read from where the caller left it, and
/// the caller goes on where the program stopped; it can be opened again by its name of /dev.
fn reads_input(place: &Place) -> Result<(), Failure> {
    use std::io::{Read, Seek, SeekFrom};
    for directory in [&place.workspace, &place.outside] {
        let path = directory.join("input");
        std::fs::write(&path, "0123456789")?;
        let mut file = std::fs::File::open(&path)?;
        file.seek(SeekFrom::Start(2))?;
        let script = "
text = os.read(0, 3)
if read('/dev/stdin') != b'0123456789': os._exit(1)
through(text) if text == b'234' else refused(text)
";
        place.python(script).stdin(file.try_clone()?).run()?.must_get_through()?;
        let mut rest = String::new();
        file.read_to_string(&mut rest)?;
        if rest != "56789" {
            return Err(Failure::Failed(format!("the caller reads on at {rest}")));
        }
    }
    Ok(())
}

/// Socket files are hidden, and a server may end at the moment in which its own is.
fn among_servers(place: &Place) -> Result<(), Failure> {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for number in 0..4 {
            let path = place.outside.join(number.to_string());
            let stop = &stop;
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let _server = UnixListener::bind(&path).expect("bind a socket");
                    std::fs::remove_file(&path).expect("remove a socket");
                }
            });
        }
        let run = || place.command(vec!["true".to_owned()]).run();
        let failed = (0..40).map(|_| run()).find_map(Result::err);
        stop.store(true, Ordering::Relaxed);
        failed.map_or(Ok(()), Err)
    })
}

fn all_in_force(place: &Place) -> Result<(), Failure> {
    let run = place.command(vec!["true".to_owned()]).run()?;
    if run.report.exit != Exit::Code(0) {
        return Err(Failure::Failed(format!("true ended with {:?}", run.report.exit)));
    }
    // Those that the survey says this host does not have may be missing.
    let unavailable: BTreeSet<String> = NativeDriver::default()
        .survey()
        .into_iter()
        .filter(|enforcement| enforcement.by.is_none())
        .map(|enforcement| enforcement.what)
        .collect();
    let wanted: Vec<Protection> =
        Protection::ALL.into_iter().filter(|p| !unavailable.contains(p.word())).collect();
    run.must_enforce(&wanted)
}

fn missing_ones_are_not_reported(place: &Place) -> Result<(), Failure> {
    only_native("is never without one of its protections")?;
    for protection in Protection::ALL {
        // A pid namespace's /proc needs the namespace, and only root can do without a user
        // namespace.
        let missing: &[Protection] = match protection {
            Protection::PidNamespace => &[Protection::PidNamespace, Protection::PrivateProc],
            Protection::UserNamespace if !crate::attack::is_root() => continue,
            _ => &[protection],
        };
        let mut trial = place.command(vec!["true".to_owned()]);
        trial.spec.without = missing.iter().map(|p| p.word().to_owned()).collect();
        let run = trial.run()?;
        if run.must_enforce(&[protection]).is_ok() {
            return Err(Failure::Failed(format!("{protection} is reported but was left out")));
        }
    }
    Ok(())
}

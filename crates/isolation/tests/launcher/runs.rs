//! Commands and how they end.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::sync::atomic::{AtomicU32, Ordering};

use ctrlz_core::isolation::{IsolationDriver, IsolationError};
use ctrlz_core::operation::Exit;
use ctrlz_core::workspace::WorkspaceMount;
use ctrlz_isolation::native::NativeDriver;

use crate::Test;
use crate::place::{Place, driver, in_full, launcher, nowhere, run};
use crate::roles;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        ("exit_codes_and_signals", exits),
        ("what_a_command_writes_is_kept", writes),
        ("large_arguments_and_environment", large),
        ("names_that_are_not_utf_8", odd_names),
        ("each_device_is_what_its_name_says", devices),
        ("the_environment_is_the_launch_s", environment),
        ("signals_that_the_service_ignores_are_not_ignored", ignored_signals),
        ("a_program_that_is_not_there", not_found),
        ("a_setup_that_fails_keeps_its_cause", failed_setup),
        ("a_service_that_cannot_note_process_1", unnoted),
        ("the_same_protections_as_without_a_launcher", protections),
        ("the_native_driver_refuses_given_streams", refused),
        ("many_launches_from_many_threads", many),
    ]
}

fn exits(place: &Place) {
    let driver = driver();
    for (script, exit) in [
        ("exit 0", Exit::Code(0)),
        ("exit 7", Exit::Code(7)),
        ("kill -9 $$", Exit::Signal(9)),
        ("kill -15 $$", Exit::Signal(15)),
    ] {
        let run = run(&driver, place.shell(script));
        assert_eq!(run.report().exit, exit, "{script}");
        assert_eq!(run.report().stopped, None);
        assert!(run.report().usage.wall.is_some() && run.report().usage.processes >= 1);
    }
}

fn writes(place: &Place) {
    let launch = place.shell("echo new > made; echo changed > file; rm -f nothing; pwd");
    let written = launch.written.clone();
    let run = run(&driver(), launch);
    assert_eq!(run.text().trim_end(), place.base.to_str().expect("a plain path"));
    assert_eq!(fs::read_to_string(written.join("made")).expect("kept"), "new\n");
    assert_eq!(fs::read_to_string(place.base.join("file")).expect("untouched"), "base");
}

fn large(place: &Place) {
    let driver = driver();
    let word = "x".repeat(120_000);
    let mut launch = place.shell("echo $# $A; printf %s \"$@\" \"$B1$B2$B3\" | wc -c");
    launch.argv.push("name".into());
    launch.argv.extend((0..10).map(|_| OsString::from(&word)));
    launch.env.push(("A".into(), "small".into()));
    launch.env.extend((1..4).map(|number| (format!("B{number}").into(), (&word).into())));
    assert_eq!(run(&driver, launch).text(), "10 small\n1560000\n");

    // More than the kernel takes, and more than is sent.
    let mut launch = place.launch(&["/bin/true"]);
    launch.argv.extend((0..60).map(|_| OsString::from(&word)));
    match run(&driver, launch).report {
        Err(IsolationError::NotExecutable { source, .. }) => {
            assert_eq!(source.raw_os_error(), Some(libc::E2BIG));
        }
        other => panic!("{other:?}"),
    }
    let mut launch = place.launch(&["/bin/true"]);
    launch.argv.extend((0..80).map(|_| OsString::from(&word)));
    match run(&driver, launch).report {
        Err(IsolationError::Setup { source, .. }) => {
            assert_eq!(source.raw_os_error(), Some(libc::E2BIG));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(run(&driver, place.shell("exit 3")).report().exit, Exit::Code(3));
}

fn odd_names(place: &Place) {
    let odd = OsString::from_vec(b"odd \xff\n\xfe".to_vec());
    fs::create_dir(place.base.join(&odd)).expect("make");
    let mut launch = place.shell("printf %s \"$1$V\"; pwd; echo made > here");
    launch.argv.extend(["name".into(), odd.clone()]);
    launch.env.push(("V".into(), OsString::from_vec(b"\x80".to_vec())));
    launch.workdir = place.base.join(&odd);
    let written = launch.written.clone();
    let run = run(&driver(), launch);
    run.report();
    let expected =
        [b"odd \xff\n\xfe\x80", place.base.as_os_str().as_encoded_bytes(), b"/odd \xff\n\xfe\n"];
    assert_eq!(run.output, expected.concat());
    assert!(written.join(&odd).join("here").exists());
}

/// What each device does and no other, since a node with a wrong number is a device, too.
const DEVICES: &str = "import errno, os
def at(name): return os.open('/dev/' + name, os.O_RDWR | os.O_NOCTTY)
def refused(act):
    try: return act()
    except OSError as error: return errno.errorcode[error.errno]
print('null', os.read(at('null'), 4), os.write(at('null'), b'gone'))
print('zero', os.read(at('zero'), 4), os.write(at('zero'), b'gone'))
print('full', os.read(at('full'), 4), refused(lambda: os.write(at('full'), b'x')))
for name in ('random', 'urandom'):
    one, other = (os.read(at(name), 32) for _ in range(2))
    print(name, len(one), one != other)
for name in ('null', 'zero', 'full', 'random', 'urandom', 'tty'):
    found = os.stat('/dev/' + name)
    print(name, os.major(found.st_rdev), os.minor(found.st_rdev), oct(found.st_mode))
os.setsid() if os.getsid(0) != os.getpid() else None
print('tty', refused(lambda: at('tty')))";

fn devices(place: &Place) {
    let launch = place.launch(&["/usr/bin/env", "python3", "-c", DEVICES]);
    let zeros = r"b'\x00\x00\x00\x00'";
    assert_eq!(
        run(&driver(), launch).text(),
        format!(
            "null b'' 4\nzero {zeros} 4\nfull {zeros} ENOSPC\nrandom 32 True\nurandom 32 True\n\
             null 1 3 0o20666\nzero 1 5 0o20666\nfull 1 7 0o20666\nrandom 1 8 0o20666\n\
             urandom 1 9 0o20666\ntty 5 0 0o20666\ntty ENXIO\n"
        )
    );
}

fn environment(place: &Place) {
    let mut launch = place.launch(&["/usr/bin/env"]);
    launch.env = vec![("ONLY".into(), "this".into())];
    assert_eq!(run(&driver(), launch).text(), "ONLY=this\n");
}

fn ignored_signals(place: &Place) {
    let inner = launcher();
    let mut command = std::process::Command::new("/bin/sh");
    command.args(["-c", "trap '' HUP TERM USR1; exec \"$0\" \"$@\""]).arg(inner.get_program());
    command.args(inner.get_args());
    let driver = ctrlz_isolation::launcher::LauncherDriver::start(command).expect("a launcher");
    let text = run(&driver, place.launch(&["/bin/cat", "/proc/self/status"])).text();
    for name in ["SigIgn:", "SigBlk:"] {
        let mask = text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let mask = mask.and_then(|mask| u64::from_str_radix(mask, 16).ok()).expect("a mask");
        // The C library keeps two of the others for itself, and lets nobody change them.
        assert_eq!(mask & 0x7fff_ffff, 0, "{name} {mask:x}");
    }
}

fn not_found(place: &Place) {
    let driver = driver();
    match run(&driver, place.launch(&["no-such-program"])).report {
        Err(IsolationError::NotFound { program }) => {
            assert_eq!(program.as_os_str(), "no-such-program");
        }
        other => panic!("{other:?}"),
    }
    match run(&driver, place.launch(&["/etc/passwd"])).report {
        Err(IsolationError::NotExecutable { program, source }) => {
            assert_eq!(program.as_os_str(), "/etc/passwd");
            assert_eq!(source.raw_os_error(), Some(libc::EACCES));
        }
        other => panic!("{other:?}"),
    }
}

fn failed_setup(place: &Place) {
    let driver = driver();
    let mut launch = place.launch(&["/bin/true"]);
    launch.workspace = WorkspaceMount::Bind { source: place.directory.join("nothing") };
    match run(&driver, launch).report {
        Err(IsolationError::Setup { step, source }) => {
            assert!(step.contains("bind the workspace"), "{step}");
            assert_eq!(source.raw_os_error(), Some(libc::ENOENT));
        }
        other => panic!("{other:?}"),
    }
    let mut launch = place.launch(&["/bin/true"]);
    launch.keep_capabilities = vec!["NONSENSE".to_owned()];
    let error = run(&driver, launch).report.expect_err("refused");
    assert!(in_full(&error).contains("unknown capability NONSENSE"), "{}", in_full(&error));
    let mut launch = place.launch(&["/bin/true"]);
    launch.limits.open_files = Some(1 << 40);
    let error = run(&driver, launch).report.expect_err("refused");
    assert!(matches!(error, IsolationError::Unenforceable { .. }), "{error:?}");
}

fn unnoted(place: &Place) {
    let driver = driver();
    let mut launch = place.shell("echo ran > made");
    launch.streams = nowhere();
    let written = launch.written.clone();
    let mut process = 0;
    let prepared = driver.prepare(launch, &mut |process_1, _| {
        process = process_1;
        Err(std::io::Error::from_raw_os_error(libc::ENOLCK))
    });
    match prepared.map(drop) {
        Err(IsolationError::Setup { step, source }) => {
            assert_eq!(
                (step.as_str(), source.raw_os_error()),
                ("note process 1", Some(libc::ENOLCK))
            );
        }
        other => panic!("{other:?}"),
    }
    assert!(!crate::place::lives(process));
    assert!(!written.join("made").exists());
    assert_eq!(run(&driver, place.shell("exit 4")).report().exit, Exit::Code(4));
}

fn protections(place: &Place) {
    let direct = roles::direct_report(place);
    let through = run(&driver(), place.launch(&["/bin/true"]));
    assert!(direct.enforced.len() > 15, "{direct:?}");
    assert_eq!(through.report().enforced, direct.enforced);
}

fn refused(place: &Place) {
    let mut launch = place.launch(&["/bin/true"]);
    launch.streams = nowhere();
    match NativeDriver::default().prepare(launch, &mut |_, _| Ok(())).map(drop) {
        Err(IsolationError::Setup { source, .. }) => {
            assert_eq!(source.kind(), std::io::ErrorKind::Unsupported);
        }
        other => panic!("{other:?}"),
    }
}

fn many(place: &Place) {
    let driver = driver();
    let next = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= 50 {
                        break;
                    }
                    let script = format!("echo {number}; cat > copy; exit {number}");
                    let run = run(&driver, place.shell(&script));
                    assert_eq!(run.text(), format!("{number}\n"));
                    assert_eq!(run.report().exit, Exit::Code(number.cast_signed()));
                }
            });
        }
    });
}

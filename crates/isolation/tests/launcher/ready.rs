//! Workers that began a process 1 before they were asked.

use std::fs;
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::time::{Duration, Instant};

use ctrlz_core::isolation::IsolationDriver;
use ctrlz_core::limits::LimitKind;
use ctrlz_core::monitor::{Observer, Reading, Verdict};
use ctrlz_core::operation::{Exit, Stopped};
use ctrlz_core::size::ByteSize;
use ctrlz_isolation::launcher::LauncherDriver;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::Test;
use crate::place::{
    Place, children, driver, kill, lives, nowhere, parent_if_there, run, wait_until,
};
use crate::roles::{self, of_its_own};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        ("a_process_1_begins_before_it_is_asked_for", in_advance),
        ("a_limit_on_output_holds_for_a_ready_process_1", output),
        ("a_ready_process_1_is_as_old_as_its_command", age),
        ("a_socket_that_came_later_is_hidden", socket),
        ("a_mount_that_came_later_is_seen", later_mount),
        ("ready_workers_that_were_killed_are_passed_over", killed),
        ("an_unused_network_is_used_again_and_no_other", networks),
        ("where_no_network_is_used_again_the_launcher_goes_on", in_a_container),
        ("another_kind_of_launch_is_not_given_to_a_ready_worker", other_kind),
    ]
}

/// The workers that are ready.
fn ready(driver: &LauncherDriver) -> Vec<u32> {
    let workers = children(driver.process().expect("a launcher"));
    workers.into_iter().filter(|worker| lives(*worker)).collect()
}

/// A driver with ready workers, each with a process 1.
fn prepared_driver(place: &Place) -> LauncherDriver {
    let driver = driver();
    make_ready(&driver, place);
    driver
}

/// Launches until workers are ready: whoever mounts something on this machine ends those that are.
fn make_ready(driver: &LauncherDriver, place: &Place) {
    wait_until("workers are ready", || {
        let are_ready = || {
            let workers = ready(driver);
            workers.len() >= 2 && workers.iter().all(|worker| children(*worker).len() == 1)
        };
        if are_ready() {
            return true;
        }
        assert_eq!(run(driver, place.shell("exit 3")).report().exit, Exit::Code(3));
        (0..50).any(|_| {
            std::thread::sleep(Duration::from_millis(2));
            are_ready()
        })
    });
}

/// The process 1 of a launch.
fn process_1_of(driver: &LauncherDriver, mut launch: ctrlz_core::isolation::Launch) -> u32 {
    launch.streams = nowhere();
    let mut begun = 0;
    let prepared = driver.prepare(launch, &mut |process_1, _| {
        begun = process_1;
        Ok(())
    });
    drop(prepared.expect("prepare"));
    begun
}

fn in_advance(place: &Place) {
    let driver = driver();
    wait_until("a launch is given to a process 1 that began before", || {
        make_ready(&driver, place);
        let waiting: Vec<u32> = ready(&driver).into_iter().flat_map(children).collect();
        waiting.contains(&process_1_of(&driver, place.shell("true")))
    });
}

fn other_kind(place: &Place) {
    let driver = prepared_driver(place);
    let waiting: Vec<u32> = ready(&driver).into_iter().flat_map(children).collect();
    let mut launch = place.shell("true");
    launch.network = ctrlz_core::isolation::Network::Host;
    assert!(!waiting.contains(&process_1_of(&driver, launch)));
    let mut launch = place.shell("true");
    launch.limits.cpus = Some(1.0);
    assert!(!waiting.contains(&process_1_of(&driver, launch)));
}

/// Tells what the kernel counted in its network namespace, and the number that no other one has.
const LOOK: &str = "import socket
for name in ('dev', 'snmp', 'snmp6'):
    print(open('/proc/self/net/' + name).read())
for line in open('/proc/self/net/sockstat'):
    print(line.split(' orphan')[0])
SO_NETNS_COOKIE = 71
cookie = socket.socket().getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8)
print('cookie', int.from_bytes(cookie, 'little'))";

fn networks(place: &Place) {
    if !rustix::process::geteuid().is_root() {
        println!("SKIPPED(only root has networks that are used again)");
        return;
    }
    // A port where nobody listens; a datagram without a way; connections that have ended, one of which
    // is remembered.
    let uses = [
        "socket.socket().connect_ex(('127.0.0.1', 9))",
        "socket.socket(type=socket.SOCK_DGRAM).connect_ex(('192.0.2.1', 9))",
        "l = socket.create_server(('127.0.0.1', 0)); c = socket.create_connection(l.getsockname()); \
         l.accept(); c.close()",
    ];
    let driver = driver();
    let python = |program: String| {
        let mut launch = place.shell("exec python3 -c \"$1\"");
        launch.argv.extend(["name".into(), program.into()]);
        run(&driver, launch).text()
    };
    let look = || {
        let told = python(LOOK.to_owned());
        let (counted, cookie) = told.split_once("cookie ").expect("a cookie");
        (counted.to_owned(), cookie.to_owned())
    };
    let (new, first) = look();
    let mut cookies = vec![first];
    for turn in 0..12 {
        if let Some(used) = uses.get(turn % 4) {
            python(format!("import socket; {used}"));
        }
        let (counted, cookie) = look();
        assert_eq!(counted, new);
        cookies.push(cookie);
    }
    let different: std::collections::BTreeSet<&String> = cookies.iter().collect();
    assert!(different.len() < cookies.len(), "{cookies:?}");
}

/// As in a container: root, but of a user namespace that does not own the network.
fn in_a_container(place: &Place) {
    let inner = of_its_own(roles::SEVERAL, place);
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount"]).arg(inner.get_program());
    let told = command.args(inner.get_args()).output().expect("unshare");
    let text = String::from_utf8_lossy(&told.stdout);
    let codes: String = (0..6).map(|number| format!("Code({number})\n")).collect();
    let errors = String::from_utf8_lossy(&told.stderr);
    assert_eq!(text, codes + "one launcher\n", "{errors}");
}

fn output(place: &Place) {
    let driver = prepared_driver(place);
    let mut launch = place.shell("echo error >&2; cat /dev/zero");
    launch.limits.max_output = Some(ByteSize(100_000));
    let ended = run(&driver, launch);
    assert_eq!(ended.report().stopped, Some(Stopped::Limit(LimitKind::MaxOutput)));
    assert_eq!(ended.output.len() + ended.error.len(), 100_000);
}

struct First(Option<Reading>);

impl Observer for First {
    fn every(&self) -> Duration {
        Duration::from_millis(100)
    }

    fn observe(&mut self, reading: &Reading) -> Verdict {
        self.0 = Some(*reading);
        Verdict::End
    }
}

fn age(place: &Place) {
    let driver = prepared_driver(place);
    std::thread::sleep(Duration::from_secs(1));
    let begun = Instant::now();
    let mut launch = place.shell("sleep 1000");
    launch.streams = nowhere();
    let mut prepared = driver.prepare(launch, &mut |_, _| Ok(())).expect("prepare");
    prepared.start().expect("start");
    let mut first = First(None);
    prepared.wait(Some(&mut first)).expect("wait");
    let elapsed = first.0.expect("it was looked at").elapsed.0;
    // The kernel counts in hundredths of a second.
    assert!(elapsed <= begun.elapsed() + Duration::from_millis(20), "{elapsed:?}");
}

fn socket(place: &Place) {
    let driver = prepared_driver(place);
    // Its path has 107 bytes at most.
    let path = place.directory.parent().expect("the arena").join("socket");
    let _listener = UnixListener::bind(&path).expect("listen");
    let mut launch = place.shell("test -e \"$1\" && ! test -S \"$1\" && echo hidden");
    launch.argv.extend(["name".into(), path.into_os_string()]);
    assert_eq!(run(&driver, launch).text(), "hidden\n");
}

fn later_mount(place: &Place) {
    if !rustix::process::geteuid().is_root() {
        println!("SKIPPED(only root can mount)");
        return;
    }
    let driver = prepared_driver(place);
    let target = place.directory.join("mounted");
    fs::create_dir(&target).expect("make");
    mount("none", &target, "tmpfs", MountFlags::empty(), None).expect("mount");
    fs::write(target.join("file"), "there").expect("write");
    let mut launch = place.shell("cat \"$1/file\"");
    launch.argv.extend(["name".into(), target.clone().into_os_string()]);
    let ended = run(&driver, launch);
    unmount(&target, UnmountFlags::DETACH).expect("unmount");
    assert_eq!(ended.text(), "there");
}

fn killed(place: &Place) {
    let driver = prepared_driver(place);
    let launcher = driver.process();
    for round in 0..5 {
        // Half of them whole, half of them by their process 1.
        for worker in ready(&driver) {
            match (round % 2, children(worker).first()) {
                (1, Some(process_1)) => {
                    kill(*process_1);
                    wait_until("it has ended", || !lives(*process_1));
                }
                _ => kill(worker),
            }
        }
        let ended = run(&driver, place.shell("exit 5"));
        assert_eq!(ended.report().exit, Exit::Code(5), "round {round}");
    }
    assert_eq!(driver.process(), launcher);
    let one = process_1_of(&driver, place.shell("true"));
    wait_until("it is over", || !lives(one));
    // One of them may end meanwhile.
    let parents = ready(&driver).into_iter().filter_map(parent_if_there);
    assert!(parents.into_iter().all(|parent| Some(parent) == launcher));
}

//! What a command in a container must not reach. That each of these can succeed is shown by the launches
//! that are refused: see `in_force.rs`.

use std::fs;

use ctrlz_core::isolation::Network;
use ctrlz_core::limits::LimitKind;
use ctrlz_core::operation::Stopped;
use ctrlz_core::size::ByteSize;

use crate::Test;
use crate::direct::Told;
use crate::place::{Place, run};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        ("no_capabilities_and_no_new_ones", privileges),
        ("capabilities_that_are_kept", kept),
        ("only_the_workspace_is_written", files),
        ("nothing_of_the_engine_or_of_ctrlz", sockets),
        ("no_network_but_loopback", network),
        ("the_host_s_network_when_asked_for", host_network),
        ("memory_is_limited", memory),
        ("processes_are_limited", processes),
        ("processors_and_files_are_limited", processors),
    ]
}

fn privileges(place: &Place<'_>) {
    let status = place.output("cat /proc/self/status");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("{name}: {status}")).trim().to_owned()
    };
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(field(set), "0000000000000000", "{set}");
    }
    assert_eq!((field("NoNewPrivs").as_str(), field("Seccomp").as_str()), ("1", "2"));
    let filters: u32 = field("Seccomp_filters").parse().expect("a number");
    assert!(filters >= 2, "the engine's filter and ours");
    let said = place.output(
        "mount -t tmpfs none /tmp 2>/dev/null && echo mounted; \
         cat /proc/1/environ 2>/dev/null && echo read; for fd in $(ls /proc/1/fd); do readlink /proc/1/fd/$fd; done; \
         echo 0 > /proc/sys/kernel/panic 2>/dev/null && echo set; \
         cat /proc/kcore 2>/dev/null | head -c 1; exit 0",
    );
    assert_eq!(said, "");
}

fn kept(place: &Place<'_>) {
    let mut spec = place.shell("grep CapEff /proc/self/status");
    spec.keep = vec!["CHOWN".to_owned()];
    let run_of = run(&spec, b"");
    assert_eq!(run_of.output.trim(), "CapEff:\t0000000000000001", "{:?}", run_of.told);
    let told = run_of.report();
    assert!(!told.enforced.iter().any(|word| word == "no-capabilities"));
}

fn files(place: &Place<'_>) {
    let said = place.output(
        "for path in / /etc /bin /.ctrlz /proc /sys; do touch $path/x 2>/dev/null && echo $path; done; \
         echo x 2>/dev/null >> /.ctrlz/init && echo init; \
         for path in /tmp /var/tmp /run .; do touch $path/x || echo not $path; done; \
         cp /bin/busybox /tmp/sh 2>/dev/null; ls /; exit 0",
    );
    let (top, other): (Vec<&str>, Vec<&str>) = said.lines().partition(|line| {
        ["bin", "dev", "etc", "proc", "run", "sys", "tmp", "var", "home", "root", "usr"]
            .contains(line)
    });
    assert!(top.contains(&"bin"), "{said}");
    // The way to the workspace is made where the image has none.
    let first = place.base.components().nth(1).expect("a folder").as_os_str();
    let other: Vec<&str> = other.into_iter().filter(|line| *line != first).collect();
    assert!(other.is_empty(), "{other:?}");
}

fn sockets(place: &Place<'_>) {
    let socket = place.server.socket.display();
    let said = place.output(&format!(
        "for path in {socket} /run/podman/podman.sock /var/run/docker.sock; do [ -e $path ] && echo \
         $path; done; ls -A /run; ls -A /tmp; [ -e {}/../log ] && echo log; exit 0",
        place.directory.display()
    ));
    assert_eq!(said, "");
    // Nobody listens any more where process 1 was met.
    let sockets = place.output("cat /proc/net/unix; exit 0");
    // unix(7): the flag of a socket that listens.
    let mut listening = sockets.lines().filter(|line| line.split(' ').nth(3) == Some("00010000"));
    assert_eq!(listening.next(), None);
}

fn network(place: &Place<'_>) {
    let devices = place.output("cat /proc/net/dev");
    let devices: Vec<&str> = devices.lines().skip(2).collect();
    assert!(devices.len() == 1 && devices[0].trim().starts_with("lo:"), "{devices:?}");
}

fn host_network(place: &Place<'_>) {
    let mut spec = place.shell("readlink /proc/self/ns/net");
    spec.network = Network::Host;
    let own = fs::read_link("/proc/self/ns/net").expect("a namespace");
    assert_eq!(run(&spec, b"").output.trim(), own.display().to_string());
}

/// Whether this engine can hold limits by cgroups here; without root it may not.
fn holds_limits(place: &Place<'_>) -> bool {
    let mut spec = place.shell("true");
    spec.limits.memory = Some(ByteSize(64 << 20));
    match run(&spec, b"").told {
        Told::Ended(_) => true,
        Told::Unenforceable(_) if !rustix::process::geteuid().is_root() => false,
        other => panic!("{other:?}"),
    }
}

fn memory(place: &Place<'_>) {
    if !holds_limits(place) {
        return;
    }
    let mut spec = place.shell("tail -c 1000000000 /dev/zero; echo alive");
    spec.limits.memory = Some(ByteSize(64 << 20));
    let run = run(&spec, b"");
    assert_eq!(run.report().stopped, Some(Stopped::Limit(LimitKind::Memory)), "{run:?}");
}

fn processes(place: &Place<'_>) {
    if !holds_limits(place) {
        return;
    }
    let mut spec = place.shell("for n in $(seq 40); do sleep 60 & done; echo all");
    spec.limits.pids = Some(10);
    let run = run(&spec, b"");
    assert!(!run.output.contains("all"), "{run:?}");
    assert!(run.error.contains("fork"), "{run:?}");
}

fn processors(place: &Place<'_>) {
    let mut spec = place.shell("ulimit -n");
    spec.limits.open_files = Some(77);
    if holds_limits(place) {
        spec.limits.cpus = Some(0.5);
    }
    assert_eq!(run(&spec, b"").output.trim(), "77");
}

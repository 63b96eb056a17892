//! Commands, how they end, and what they leave in the workspace.

use std::fs;
use std::os::unix::fs::MetadataExt;

use ctrlz_core::limits::LimitKind;
use ctrlz_core::operation::{Exit, Stopped};
use ctrlz_core::size::ByteSize;
use ctrlz_core::span::Span;

use crate::Test;
use crate::direct::Told;
use crate::place::{Place, run};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        ("exit_codes_and_signals", exits),
        ("a_program_that_is_not_there", not_found),
        ("what_a_command_writes_is_kept", writes),
        ("a_bound_workspace", bound),
        ("many_layers", layers),
        ("directories_are_renamed", renames),
        ("what_is_hidden_is_not_there", hidden),
        ("the_environment_is_the_launch_s", environment),
        ("limits_end_a_command", limits),
        ("protections_are_told", protections),
    ]
}

fn exits(place: &Place<'_>) {
    for (script, exit) in [
        ("exit 0", Exit::Code(0)),
        ("exit 7", Exit::Code(7)),
        ("kill -9 $$", Exit::Signal(9)),
        ("kill -15 $$", Exit::Signal(15)),
    ] {
        let run = run(&place.shell(script), b"");
        assert_eq!(run.report().exit, exit, "{script}");
        assert_eq!(run.report().stopped, None);
        assert!(run.report().usage.processes >= 1);
    }
    place.server.await_no_container();
}

fn not_found(place: &Place<'_>) {
    let mut spec = place.shell("");
    spec.argv = vec!["no-such-program".to_owned()];
    assert!(matches!(run(&spec, b"").told, Told::NotFound));
    let mut spec = place.shell("");
    spec.argv = vec!["/etc/passwd".to_owned()];
    assert!(matches!(run(&spec, b"").told, Told::NotExecutable));
    place.server.await_no_container();
}

fn writes(place: &Place<'_>) {
    let spec = place.shell("echo new > made; cat file; echo changed > file; pwd");
    let output = run(&spec, b"").output;
    assert_eq!(output, format!("base\n{}\n", place.base.display()));
    let upper = spec.head.join("upper");
    assert_eq!(fs::read_to_string(upper.join("made")).expect("kept"), "new\n");
    assert_eq!(fs::read_to_string(upper.join("file")).expect("kept"), "changed\n");
    assert_eq!(fs::read_to_string(place.base.join("file")).expect("untouched"), "base\n");
    let status = fs::metadata(upper.join("made")).expect("kept");
    assert_eq!(status.uid(), rustix::process::geteuid().as_raw());
    assert_eq!(status.gid(), rustix::process::getegid().as_raw());
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    assert!(!mounts.contains(&spec.head.display().to_string()), "left mounted");
}

fn bound(place: &Place<'_>) {
    let mut spec = place.shell("cat file; echo new > made");
    spec.bound = Some(place.base.clone());
    assert_eq!(run(&spec, b"").output, "base\n");
    let made = place.base.join("made");
    assert_eq!(fs::read_to_string(&made).expect("kept"), "new\n");
    let owner = fs::metadata(made).expect("kept").uid();
    assert_eq!(owner, rustix::process::geteuid().as_raw());
}

fn layers(place: &Place<'_>) {
    let mut spec = place.shell("cat layer-* | wc -l");
    for number in 0..100 {
        let layer = place.directory.join(format!("layer-{number}"));
        fs::create_dir(&layer).expect("make a layer");
        fs::write(layer.join(format!("layer-{number}")), "one\n").expect("write");
        spec.lower_dirs.insert(0, layer);
    }
    assert_eq!(run(&spec, b"").output.trim(), "100");
}

fn renames(place: &Place<'_>) {
    let below = place.base.join("below");
    fs::create_dir(&below).expect("make");
    fs::write(below.join("deep"), "deep\n").expect("write");
    let spec = place.shell("mv below above && cat above/deep && ls");
    let run = run(&spec, b"");
    assert_eq!(run.output, "deep\nabove\nfile\n", "{}", run.error);
    assert!(below.exists(), "the base is untouched");
}

fn hidden(place: &Place<'_>) {
    let secret = place.base.join("secret");
    fs::create_dir_all(&secret).expect("make");
    fs::write(secret.join("key"), "key\n").expect("write");
    fs::write(place.base.join("token"), "token\n").expect("write");
    let mut spec = place.shell("ls secret; cat token; echo x > token; ls -d secret token; exit 0");
    spec.hidden = vec![secret, place.base.join("token"), place.base.join("absent"), "/root".into()];
    for bound in [None, Some(place.base.clone())] {
        spec.bound = bound;
        let run = run(&spec, b"");
        run.report();
        assert_eq!(run.output, "secret\ntoken\n");
    }
    assert_eq!(fs::read_to_string(place.base.join("token")).expect("there"), "token\n");
}

fn environment(place: &Place<'_>) {
    let mut spec = place.shell("env");
    spec.env.push(("ONE".to_owned(), "two words".to_owned()));
    let run = run(&spec, b"");
    let mut lines: Vec<&str> = run.output.lines().collect();
    // The shell's own.
    lines.retain(|line| !["PWD=", "SHLVL="].iter().any(|name| line.starts_with(name)));
    lines.sort_unstable();
    assert_eq!(lines, ["ONE=two words", "PATH=/bin"]);
}

fn limits(place: &Place<'_>) {
    let mut spec = place.shell("sleep 1000");
    spec.limits.timeout = Some(Span(std::time::Duration::from_millis(300)));
    assert_eq!(run(&spec, b"").report().stopped, Some(Stopped::Limit(LimitKind::Timeout)));

    let mut spec = place.shell("while :; do echo more; done");
    spec.limits.max_output = Some(ByteSize(1000));
    let run_of = run(&spec, b"");
    assert_eq!(run_of.report().stopped, Some(Stopped::Limit(LimitKind::MaxOutput)));
    assert_eq!(run_of.output.len(), 1000);

    let mut spec = place.shell("dd if=/dev/zero of=big bs=1M count=100; sleep 1000");
    spec.limits.disk = Some(ByteSize(20 << 20));
    let run_of = run(&spec, b"");
    let report = run_of.report();
    assert_eq!(report.stopped, Some(Stopped::Limit(LimitKind::Disk)), "{}", run_of.error);
}

fn protections(place: &Place<'_>) {
    let run = run(&place.shell("true"), b"");
    let enforced = &run.report().enforced;
    for word in [
        "pid-namespace",
        "network-namespace",
        "ipc-namespace",
        "read-only-root",
        "no-capabilities",
        "no-new-privs",
        "seccomp",
        "opaque-init",
        "dies-with-launcher",
    ] {
        assert!(enforced.iter().any(|one| one == word), "{word}: {enforced:?}");
    }
}

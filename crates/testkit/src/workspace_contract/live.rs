//! What an operation has written is captured while it is under way.

use std::fs;
use std::process::Command;

use ctrlz_core::live::LiveMeans;
use ctrlz_core::snapshot::Tree;
use ctrlz_core::workspace::{WorkspaceDriver, WorkspaceError};

use super::fixture::{Fixture, MakeDriver, SANDBOX, explained, mount};
use super::kinds::{KINDS, make_rare};
use super::view::View;

const BASE: &str = "umask 022; printf one >a; mkdir -p d/sub gone/in; printf two >d/b
    printf three >d/sub/c; printf x >gone/in/x; ln -s a link; ln d/b hard; chmod 640 a";

/// Whether the driver captures; when it does not, that it says so and leaves nothing.
fn captures(f: &Fixture<'_>) -> bool {
    if f.driver.capabilities().live != LiveMeans::Unsupported {
        return true;
    }
    let tree = f.create();
    f.begin(SANDBOX, &tree);
    let refused = f.driver.capture(SANDBOX, &tree);
    assert!(matches!(refused, Err(WorkspaceError::Unsupported { .. })), "{refused:?}");
    f.driver.abandon(SANDBOX).expect("abandon");
    false
}

/// As another process does it.
#[track_caller]
fn captured(driver: &dyn WorkspaceDriver, tree: &Tree) -> ctrlz_core::live::Captured {
    driver.capture(SANDBOX, tree).unwrap_or_else(|error| panic!("capture: {}", explained(&error)))
}

/// What is captured is what the operation saw then, whatever it writes later, and a tree like any
/// other.
pub fn what_is_captured_is_what_was_there(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    if !captures(&f) {
        return;
    }
    let other = f.another_driver();
    let fresh = f.create();
    let worked = f.step(&fresh, "printf more >>a; mkdir e; printf e >e/e; chmod 711 d");
    for tree in [&fresh, &worked] {
        let head = f.begin(SANDBOX, tree);
        let mut mounted = mount(&head);
        mounted.run(KINDS);
        make_rare(mounted.root());
        mounted.run(
            "rm -r gone; mkdir gone; printf new >gone/y; rm link; mkdir link; mv d/sub moved
             chmod 600 hard; rm a; ln -s nowhere a",
        );
        let seen = View::of(mounted.root());
        let taken = captured(other.as_ref(), tree);
        mounted.run("rm -rf gone d link; printf later >a-later; printf z >moved/c; ls -lR >list");
        let later = View::of(mounted.root());
        let kept = other.keep(&taken).unwrap_or_else(|e| panic!("keep: {}", explained(&e)));
        drop(mounted);
        let sealed = f.driver.seal(&head).expect("seal").tree;
        f.assert_reads("what was captured", &kept.tree, &seen);
        f.assert_reads("what was sealed in the end", &sealed, &later);
        let counts = f.changeset(tree, &kept.tree).counts();
        assert_eq!(kept.counts, counts, "what keeping counted");
        f.driver.verify(&kept.tree, true).expect("verify");
        // Others work on it, and it outlives a collection.
        f.step(&kept.tree, "printf more >>moved/c; rm -r link");
        let live = || Some(vec![fresh.clone(), worked.clone(), kept.tree.clone()]);
        f.driver.collect(&mut { live }, &|| true).expect("collect");
        f.assert_reads("what was captured, after a collection", &kept.tree, &seen);
    }
}

/// When nothing was written, what is captured is the tree before; and what is not kept is gone.
pub fn what_is_captured_and_not_kept_is_gone(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    if !captures(&f) {
        return;
    }
    let (other, tree) = (f.another_driver(), f.create());
    let nothing = other.capture(SANDBOX, &tree);
    assert!(matches!(nothing, Err(WorkspaceError::Damaged { .. })), "{nothing:?}");
    let head = f.begin(SANDBOX, &tree);
    let taken = captured(other.as_ref(), &tree);
    let at = taken.directory.clone();
    let kept = other.keep(&taken).expect("keep");
    assert_eq!((&kept.tree, kept.counts.is_empty(), kept.digest), (&tree, true, None));
    assert!(!at.exists(), "{} is still there", at.display());
    let mut mounted = mount(&head);
    mounted.run("printf x >new; mkdir -m 0500 closed; rm -r d");
    let taken = captured(other.as_ref(), &tree);
    assert!(taken.directory.exists());
    other.let_go(&taken).expect("let go");
    other.let_go(&taken).expect("let go again");
    assert!(!taken.directory.exists(), "{} is still there", taken.directory.display());
    // The operation goes on as if nothing had been.
    mounted.run("cat new; printf y >>new");
    let seen = View::of(mounted.root());
    drop(mounted);
    let sealed = f.driver.seal(&head).expect("seal").tree;
    f.assert_reads("the operation", &sealed, &seen);
}

/// A program that always writes one file and then the other.
const IN_STEP: &str = r#"
cat >step.pl <<'END'
alarm(120); # Nobody else ends it when the case fails.
open(my $a, '+>', 'first') or die; open(my $b, '+>', 'second') or die;
syswrite($_, sprintf("%09d", 0)) for ($a, $b);
open(my $ready, '>', 'ready') or die; close($ready);
for (my $n = 1; ; $n++) { for my $f ($a, $b) { sysseek($f, 0, 0); syswrite($f, sprintf("%09d", $n)) } }
END
perl step.pl </dev/null >/dev/null 2>&1 & echo $!
while ! [ -e ready ]; do sleep 0.01; done"#;

/// Two files that a program keeps in step are captured in step.
pub fn what_is_written_in_step_is_captured_in_step(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    if !captures(&f) {
        return;
    }
    let (other, tree) = (f.another_driver(), f.create());
    let stops = f.driver.capabilities().live == LiveMeans::Frozen;
    let head = f.begin(SANDBOX, &tree);
    let mut mounted = mount(&head);
    let writer = mounted.run(IN_STEP).trim().to_owned();
    let tell = |signal: &str| {
        let done = Command::new("kill").args([signal, &writer]).status().expect("run kill");
        assert!(done.success(), "kill {signal} {writer}");
    };
    let is_stopped = || {
        let text = fs::read_to_string(format!("/proc/{writer}/stat")).expect("it lives");
        text.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
    };
    let mut last = 0;
    for _ in 0..12 {
        if stops {
            tell("-STOP");
            while !is_stopped() {
                std::thread::yield_now();
            }
        }
        let taken = captured(other.as_ref(), &tree);
        if stops {
            tell("-CONT");
        }
        let kept = other.keep(&taken).expect("keep").tree;
        let read = f.run_in(&kept, "cat first; echo; cat second");
        let read: Vec<u64> = read.lines().map(|line| line.parse().expect("a number")).collect();
        let (first, second) = (read[0], read[1]);
        assert!(first == second || first == second + 1, "apart: {first} and {second}");
        assert!(first >= last, "it goes on: {first} after {last}");
        last = first;
    }
    assert!(last > 0, "the program wrote");
    tell("-KILL");
    while fs::read_to_string(format!("/proc/{writer}/stat"))
        .is_ok_and(|text| !text.rsplit(')').next().unwrap_or_default().trim().starts_with('Z'))
    {
        std::thread::yield_now();
    }
    drop(mounted);
    f.driver.abandon(SANDBOX).expect("abandon");
}

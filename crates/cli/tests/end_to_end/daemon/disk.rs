//! A full disk under the daemon: that of the store, and that of a sink.

use super::support::{CONFIGURATION, configure};
use crate::support::{Scene, unshared};

/// What every script begins with. `until COMMAND...` waits; `numbers` are those of the events that
/// the sink has; `begin` starts the daemon, `stop` ends it.
const PRELUDE: &str = "until_() { n=0; until \"$@\" > ../out 2>&1; do n=$((n + 1)); \
    [ $n -lt 1500 ] || { echo \"never: $*\" >&2; cat ../daemon.err >&2; kill -9 $daemon; exit 9; }; sleep 0.04; done; }; \
    has() { grep -qs \"$@\"; }; \
    begin() { \"$CTRLZ\" daemon > ../said 2>> ../daemon.err & daemon=$!; trap 'kill -9 $daemon 2> ../out || true' EXIT; until_ has process ../said; }; \
    stop() { kill -TERM $daemon; wait $daemon || { echo \"the daemon ended with $?\" >&2; exit 9; }; trap - EXIT; }; \
    last() { \"$CTRLZ\" --json events -n 1 | sed 's/.*\"last\":\\([0-9]*\\).*/\\1/'; }; \
    complete() { wanted=$(last); until_ has \"\\\"id\\\":\\\"$wanted\\\"\" $1; \
      sed 's/.*\"id\":\"\\([0-9]*\\)\".*/\\1/' $1 | sed \"/^$wanted\\$/q\" > ../numbers; first=$(head -n 1 ../numbers); \
      seq $first $wanted | cmp - ../numbers || { cat ../numbers >&2; exit 9; }; }; ";

#[track_caller]
fn on_small_disks(scene: &Scene, script: &str) {
    let Some(outcome) = unshared(scene, &format!("{PRELUDE}{script}")) else { return };
    let outcome = outcome.ok();
    let daemon = std::fs::read_to_string(scene.root.join("daemon.err")).unwrap_or_default();
    assert!(!daemon.contains("panicked"), "{daemon}\n{outcome}");
}

/// A scene with a sink on a disk of its own.
fn scene() -> Scene {
    let scene = Scene::with("mkdir ../small ../store; mkdir -p \"$HOME/.config/ctrlz\"");
    let path = scene.root.join("small/events.jsonl");
    configure(&scene, "sinks.yaml", &format!("sinks: {{ log: {{ file: {} }} }}\n", path.display()));
    configure(&scene, "ctrlz.yaml", CONFIGURATION);
    scene
}

#[test]
fn a_sink_whose_disk_is_full_gets_all_once_there_is_space() {
    on_small_disks(
        &scene(),
        "mount -t tmpfs -o size=256k,mode=700 t ../small; \
         \"$CTRLZ\" sinks deliver > ../out; begin; \
         \"$CTRLZ\" run -- sh -c 'echo 1 > a'; complete ../small/events.jsonl; \
         cat /dev/zero > ../small/ballast 2>/dev/null || true; \
         for n in 1 2 3 4 5 6 7 8; do \"$CTRLZ\" run -- sh -c 'echo more >> a'; done; \
         full() { \"$CTRLZ\" --json sinks | grep -q 'No space left'; }; until_ full; \
         \"$CTRLZ\" health > ../health || true; has 'sinks .*log' ../health; \
         rm ../small/ballast; complete ../small/events.jsonl; stop; \
         \"$CTRLZ\" audit verify > ../out",
    );
}

#[test]
fn a_store_whose_disk_is_full_ends_no_daemon_and_what_could_not_be_told_is_told_later() {
    on_small_disks(
        &scene(),
        "mount -t tmpfs -o size=12m,mode=700 t ../store; \
         \"$CTRLZ\" sinks deliver > ../out; \
         \"$CTRLZ\" run -- sh -c 'echo kept > a'; begin; \
         until_ test -e ../store/configuration.json; complete ../small/events.jsonl; \
         cat /dev/zero > ../store/ballast 2>/dev/null || true; \
         echo '# changed' >> \"$HOME/.config/ctrlz/ctrlz.yaml\"; \
         until_ has 'task configuration: it fails.*No space left\\|task configuration: it fails.*full' ../daemon.err; \
         if \"$CTRLZ\" run -- sh -c 'echo lost > a' 2> ../err; then echo 'there was space' >&2; fi; \
         kill -0 $daemon; \
         rm ../store/ballast; \"$CTRLZ\" recover > ../out; \
         told() { \"$CTRLZ\" events -n 1000 | grep -q \"$1\"; }; \
         until_ told 'configuration.*it works again'; told 'configuration.*it fails'; told 'changed under the running daemon'; \
         complete ../small/events.jsonl; stop; \
         \"$CTRLZ\" audit verify > ../out; \"$CTRLZ\" log > ../out; \
         \"$CTRLZ\" run -- sh -c 'echo last >> a'; \"$CTRLZ\" commit; has last a",
    );
}

#[test]
fn an_archive_whose_disk_is_full_is_told_and_gets_all_once_there_is_space() {
    let scene = Scene::with("mkdir ../small ../store; mkdir -p \"$HOME/.config/ctrlz\"");
    let place = scene.root.join("small/archive");
    let archive = format!("place: {}\nsnapshots: manual\n", place.display());
    configure(&scene, "archive.yaml", &archive);
    configure(&scene, "ctrlz.yaml", CONFIGURATION);
    on_small_disks(
        &scene,
        // By the clock, what failed is tried again at once.
        "export CTRLZ_CLOCK=$PWD/../clock; echo 0 > ../clock; \
         mount -t tmpfs -o size=32m,mode=700 t ../small; \
         head -c 30000000 /dev/zero > ../small/ballast; \
         \"$CTRLZ\" run -- sh -c 'head -c 6000000 /dev/urandom > big'; \
         \"$CTRLZ\" snapshot -m wanted; begin; \
         unwell() { \"$CTRLZ\" health > ../health || true; has 'unarchived .*No space left' ../health; }; \
         until_ unwell; \
         \"$CTRLZ\" run -- sh -c 'echo more > more'; kill -0 $daemon; \
         \"$CTRLZ\" gc --max-age 0 > ../out; \"$CTRLZ\" snapshots | grep wanted; \
         rm ../small/ballast; echo 7200 > ../clock; \
         there() { \"$CTRLZ\" archive ls | grep -q project.snap-; }; until_ there; \
         well() { \"$CTRLZ\" health > ../health || true; has 'unarchived .*all is archived' ../health; }; \
         until_ well; stop; \"$CTRLZ\" verify > ../out; \"$CTRLZ\" drill > ../out; \
         has 'all as archived' ../out",
    );
}

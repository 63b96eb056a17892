//! A full disk, for the store or for the project.

use crate::support::{Scene, unshared};

/// What every script begins with: `is TEXT COMMAND...` compares output, `fails COMMAND...` expects a
/// failure. What a command wrote before it was stopped on a nearly full disk may be kept, and leave
/// so little that not even a step back can be journaled: `relieve NAME` gives the space that
/// `ballast` takes when the sandbox has that file.
const PRELUDE: &str = "is() { wanted=$1; shift; got=$(\"$@\"); \
    test \"$got\" = \"$wanted\" || { echo \"$*: $got, not $wanted\"; exit 9; }; }; \
    fails() { if \"$@\" > ../out 2> ../err; then echo \"$* went through\"; exit 9; fi; cat ../err >&2; }; \
    relieve() { \"$CTRLZ\" diff > ../out; if grep -q $1 ../out; then rm ../store/ballast; fi; }; ";

#[track_caller]
fn on_small_disks(scene: &Scene, script: &str) {
    let Some(outcome) = unshared(scene, &format!("{PRELUDE}{script}")) else { return };
    let told = outcome.err();
    let outcome = outcome.ok();
    assert!(!told.contains("panicked"), "{outcome}");
    let reasons = ["No space left", "nearly full", "disk is full", "database or disk is full"];
    assert!(
        reasons.iter().any(|reason| told.contains(reason)),
        "the reason is not told\n{outcome}"
    );
}

#[test]
fn a_command_that_fills_the_stores_disk_is_stopped_and_undone() {
    let scene = Scene::with("echo base > a");
    on_small_disks(
        &scene,
        "mkdir ../store; mount -t tmpfs -o size=6m,mode=700 t ../store; \
         \"$CTRLZ\" run -- sh -c 'echo first > a; echo kept > kept'; \
         \"$CTRLZ\" state put key value; \
         head -c 1000000 /dev/zero > ../store/ballast; \
         fails \"$CTRLZ\" run -- sh -ec 'echo second > a; head -c 20000000 /dev/urandom > big; sleep 5'; \
         is base cat a; \
         \"$CTRLZ\" recover; relieve big; \
         if grep -q big ../out; then \"$CTRLZ\" undo; fi; \
         is first \"$CTRLZ\" run --no-snapshot -- cat a; \
         is value \"$CTRLZ\" state get key; \
         \"$CTRLZ\" run -- sh -c 'echo third > a'; \
         \"$CTRLZ\" commit; is third cat a; is kept cat kept",
    );
}

#[test]
fn a_store_without_any_space_loses_nothing() {
    let scene = Scene::with("echo base > a; echo base > b");
    on_small_disks(
        &scene,
        "mkdir ../store; mount -t tmpfs -o size=6m,mode=700 t ../store; \
         \"$CTRLZ\" run -- sh -c 'echo first > a'; \"$CTRLZ\" snapshot -m here; \
         \"$CTRLZ\" run -- sh -c 'echo second > a; rm b'; \
         cat /dev/zero > ../store/ballast 2>/dev/null || true; \
         for try in 'run -- sh -c true' 'run -- touch f' commit 'rollback snap-2' undo 'snapshot' 'state put k v' discard; do \
             \"$CTRLZ\" $try > ../out 2> ../err || { cat ../err >&2; }; \
         done; \
         \"$CTRLZ\" ls > ../out 2> ../err || cat ../err >&2; \
         rm ../store/ballast; \
         \"$CTRLZ\" recover; \"$CTRLZ\" log > ../out; \
         \"$CTRLZ\" rollback snap-2; is first \"$CTRLZ\" run -- cat a; is base \"$CTRLZ\" run -- cat b; \
         \"$CTRLZ\" run -- sh -c 'echo last > a'; \"$CTRLZ\" commit --conflict ours; is last cat a; is base cat b",
    );
}

#[test]
fn a_commit_to_a_full_disk_changes_nothing_and_can_be_repeated() {
    let scene = Scene::with("mkdir ../small");
    on_small_disks(
        &scene,
        "mount -t tmpfs -o size=8m,mode=755 t ../small; cd ../small; mkdir p; cd p; \
         echo base > a; echo base > gone; mkdir d; echo x > d/x; ls -lR --time-style=full-iso > ../../look; \
         \"$CTRLZ\" run -- sh -ec 'echo changed > a; rm gone; rm -r d; head -c 2500000 /dev/urandom > b; cp b c'; \
         head -c 5200000 /dev/zero > ../ballast; fails \"$CTRLZ\" commit; \
         ls -lR --time-style=full-iso > ../../now; cmp ../../look ../../now; is base cat a; \
         is 'a d gone' echo $(ls -A); \
         \"$CTRLZ\" recover; is changed \"$CTRLZ\" run -- cat a; \
         \"$CTRLZ\" commit --path a --path gone; is changed cat a; \"$CTRLZ\" undo; is base cat a; \
         rm ../ballast; \
         \"$CTRLZ\" commit; is changed cat a; cmp b c; is 'a b c' echo $(ls -A); \
         \"$CTRLZ\" undo; is 'a d gone' echo $(ls -A); is base cat a",
    );
}

#[test]
fn an_undo_on_a_full_disk_changes_nothing_and_can_be_repeated() {
    let scene = Scene::with("mkdir ../small");
    on_small_disks(
        &scene,
        "mount -t tmpfs -o size=6m,mode=755 t ../small; mkdir ../small/p; cd ../small/p; \
         head -c 2000000 /dev/urandom > big; cp big ../../big; echo base > a; \
         \"$CTRLZ\" run -- sh -ec 'rm big; echo changed > a'; \"$CTRLZ\" commit; \
         is a ls -A; cat /dev/zero > ../ballast 2>/dev/null || true; \
         if \"$CTRLZ\" undo 2> ../../err; then cmp big ../../big; echo 'No space left was no obstacle' >&2; \
         else cat ../../err >&2; is changed cat a; is a ls -A; rm ../ballast; \"$CTRLZ\" undo; fi; \
         cmp big ../../big; is base cat a",
    );
}

#[test]
fn a_command_that_meets_a_full_disk_sees_the_error_itself() {
    let scene = Scene::new();
    on_small_disks(
        &scene,
        "mkdir ../store; mount -t tmpfs -o size=6m,mode=700 t ../store; \
         head -c 1000000 /dev/zero > ../store/ballast; \
         \"$CTRLZ\" run -- sh -c 'head -c 20000000 /dev/zero > big; echo ended with $?' || echo code $? >&2; \
         relieve big; \"$CTRLZ\" discard; \"$CTRLZ\" recover; \"$CTRLZ\" run -- sh -c 'echo fine > f'; \"$CTRLZ\" commit; is fine cat f",
    );
}

#[test]
fn a_full_store_still_gives_space_back() {
    let scene = Scene::with("echo base > a");
    on_small_disks(
        &scene,
        "mkdir ../store; mount -t tmpfs -o size=24m,mode=700 t ../store; \
         \"$CTRLZ\" new other; \
         \"$CTRLZ\" run -- sh -c 'echo first > a; head -c 2000000 /dev/urandom > big'; \
         cat /dev/zero > ../store/ballast 2>/dev/null || true; \
         fails \"$CTRLZ\" run -- sh -c 'echo second > a'; \
         \"$CTRLZ\" undo; is base cat a; \"$CTRLZ\" rm other; \
         \"$CTRLZ\" diff > ../out; ! grep -q first ../out; \
         rm ../store/ballast; \"$CTRLZ\" redo; \"$CTRLZ\" discard; test -s ../store/reserve; \
         is base \"$CTRLZ\" run -- cat a",
    );
}

#[test]
fn what_only_writes_more_waits_while_the_disk_is_nearly_full() {
    let scene = Scene::with("echo base > a");
    on_small_disks(
        &scene,
        "refused() { \"$@\" > ../out 2> ../err && exit 9; test $? = 123 || exit 8; \
             grep -q 'nearly full' ../err || exit 7; cat ../err >&2; }; \
         mkdir ../store; mount -t tmpfs -o size=96m,mode=700 t ../store; \
         \"$CTRLZ\" run -- sh -c 'echo first > a'; \"$CTRLZ\" run -- sh -c 'echo second > a'; \
         \"$CTRLZ\" log > ../before; \
         avail=$(df -B1 --output=avail ../store | tail -1); \
         head -c $((avail - 1100000)) /dev/zero > ../store/ballast; \
         refused \"$CTRLZ\" run -- true; refused \"$CTRLZ\" exec project -- true; \
         refused \"$CTRLZ\" snapshot; refused \"$CTRLZ\" new other; refused \"$CTRLZ\" fork project other; \
         refused \"$CTRLZ\" state put key value; \
         \"$CTRLZ\" log > ../after; cmp ../before ../after; \
         \"$CTRLZ\" health > ../out || true; grep -q 'nothing begins that only writes more' ../out; \
         \"$CTRLZ\" health --fix > ../out || true; grep -q 'let 0 snapshots go' ../out; \
         \"$CTRLZ\" undo; \"$CTRLZ\" diff -p > ../out; grep -q first ../out; \
         \"$CTRLZ\" rollback snap-1 > ../out; \"$CTRLZ\" gc > ../out; \"$CTRLZ\" discard > ../out; \
         rm ../store/ballast; is base \"$CTRLZ\" run -- cat a",
    );
}

/// A service on a small disk, and `there COMMAND...` at it.
const SERVICE: &str = "mkdir ../store; mount -t tmpfs -o size=16m,mode=700 t ../store; store=$(realpath ../store); \
    serve() { : > ../told; \"$CTRLZ\" serve --listen none --no-daemons --json > ../told 2> ../err & service=$!; \
        until test -s ../told; do kill -0 $service || { cat ../err >&2; exit 8; }; sleep 0.1; done; }; \
    trap 'kill $service 2>/dev/null || true' EXIT; serve; export CTRLZ_TOKEN=$(sed 's/.*\"token\":\"\\([^\"]*\\)\".*/\\1/' ../told); \
    there() { \"$CTRLZ\" --server unix://$store/service.sock \"$@\"; }; ";

#[test]
fn a_full_disk_is_emptied_over_the_network() {
    let scene = Scene::new();
    let script = "there new web; there new other; there exec web -- sh -c 'echo x > f'; \
         there snapshot web; there exec web -- sh -c 'echo y > f'; \
         there exec other -- sh -c 'head -c 2000000 /dev/urandom > big'; \
         cat /dev/zero > ../store/ballast 2>/dev/null || true; \
         fails there exec web -- true; \
         there undo web; there redo web; there rollback web snap-2; there undo web; \
         there discard web; there rm other --force; there rm web --force; \
         rm ../store/ballast; there ls; \
         kill $service; wait $service";
    on_small_disks(&scene, &format!("{SERVICE}{script}"));
}

/// Posts to `argv[2]` at the socket `argv[1]` with the key `argv[3]`, and tells the status, whether that was
/// an answer from before, and the operation or kind of problem in it.
const POST: &str = r#"
import http.client, json, os, socket, sys
class Unix(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(sys.argv[1])
unix = Unix("localhost")
headers = {"authorization": "Bearer " + os.environ["CTRLZ_TOKEN"], "idempotency-key": sys.argv[3],
           "content-type": "application/json"}
body = sys.argv[4] if len(sys.argv) > 4 else "{}"
unix.request("POST", sys.argv[2], body, headers)
answer = unix.getresponse()
told = json.loads(answer.read())
print(answer.status, answer.headers.get("idempotent-replayed"), told.get("operation") or told.get("kind"))
"#;

#[test]
fn a_key_without_room_is_known_all_the_same_and_stored_later() {
    let scene = Scene::new();
    std::fs::write(scene.root.join("post.py"), POST).expect("a program");
    let script = "post() { python3 ../post.py $store/service.sock \"$@\"; }; web=/v1/sandboxes/web; \
         there new web; there exec web -- sh -c 'echo 1 > f'; there exec web -- sh -c 'echo 2 > f'; \
         there exec web -- sh -c 'echo 3 > f'; \
         cat /dev/zero > ../store/ballast 2>/dev/null || true; \
         is '507 None store-full' post $web/operations run '{\"script\": \"true\"}'; \
         post $web/undo undo > ../first; grep -q '^200 None op-' ../first; \
         post $web/undo undo > ../again; \
         is \"$(sed 's/None/true/' ../first)\" cat ../again; \
         is '422 None idempotency-key' post $web/undo undo '{\"conflict\": \"ours\"}'; \
         is '422 None idempotency-key' post $web/discard undo; \
         rm ../store/ballast; is 2 there exec web -- cat f; \
         kill -9 $service; wait $service || true; serve; \
         is \"$(cat ../again)\" post $web/undo undo; is 2 there exec web -- cat f; \
         echo 'No space left was no obstacle' >&2; \
         kill $service; wait $service";
    on_small_disks(&scene, &format!("{SERVICE}{script}"));
}

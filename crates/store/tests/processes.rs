//! Several processes on one store, some of which are killed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its own functions, too"
)]

mod fixture;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ctrlz_core::id::{OperationId, SandboxId};
use ctrlz_core::operation::{OperationKind, Outcome, Status};
use ctrlz_core::snapshot::{NewSnapshot, Point, SnapshotKind, Tree};
use ctrlz_core::state::Expected;
use ctrlz_core::state_store::StateStore;
use ctrlz_core::store::{Durability, Store, StoreError};
use ctrlz_store::SqliteStore;
use fixture::{
    assert_sound, assignment, key, new_sandbox, request, sandbox, store, this_test_binary,
};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// Not a test of its own: what the processes do that the tests start.
#[test]
#[ignore = "started by the other tests"]
fn worker() {
    let Some((task, store)) = assignment() else { return };
    match task.split_once(' ').unwrap_or((&task, "")) {
        ("count", times) => count(&store, times.parse().unwrap()),
        ("churn", name) => churn(&store, name),
        ("hold", name) => {
            let id = store.sandbox_named(name).unwrap().id;
            let _lock = store.lock(id, &mut |_| true).unwrap();
            tell("held");
            // Until the parent closes the pipe, or for ever when it kills first.
            let _ = std::io::stdin().read(&mut [0]);
        }
        ("open", _) => tell("open"),
        other => panic!("unknown task {other:?}"),
    }
}

fn tell(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "> {line}").unwrap();
    out.flush().unwrap();
}

/// The lines that a worker told; the test harness prints others.
fn told(output: impl Read) -> impl Iterator<Item = String> {
    BufReader::new(output)
        .lines()
        .map_while(Result::ok)
        .filter_map(|line| line.split_once("> ").map(|(_, told)| told.to_owned()))
}

/// A new process has copies of all descriptors until it executes its program, and with one of a
/// lock it holds that lock. So a test in which a lock must be free at once keeps the others from
/// starting processes meanwhile.
static STARTING: Mutex<()> = Mutex::new(());

/// Nobody starts a process while this is held. A test that failed with it is no reason for others
/// to fail.
fn nobody_starts() -> MutexGuard<'static, ()> {
    STARTING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn start(dir: &Path, task: &str) -> Child {
    let mut worker = this_test_binary(dir, task);
    let _alone = nobody_starts();
    worker.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

/// Adds one `times` times to a shared counter, once by compare-and-set and once under the
/// sandbox's lock, and journals an operation for each.
fn count(store: &SqliteStore, times: u32) {
    let id = store.sandbox_named("shared").unwrap().id;
    for _ in 0..times {
        while !add_one(store, id, "raced") {}
        let _lock = store.lock(id, &mut |_| true).unwrap();
        let open = store.begin(&request(id, OperationKind::State), Durability::Process).unwrap();
        assert!(add_one(store, id, "locked"), "the lock must keep others out");
        let after = Point { tree: Tree(format!("after-{}", open.id)), ..open.before };
        store
            .finish(open.id, Status::Done, &Outcome::default(), Some(&after), Durability::Process)
            .unwrap();
    }
}

fn add_one(store: &SqliteStore, id: SandboxId, name: &str) -> bool {
    let found = store.get(id, &key(name), None).unwrap();
    let (expected, number) = match &found {
        Some(entry) => (Expected::Version(entry.version), number(entry.value.as_deref())),
        None => (Expected::Absent, 0),
    };
    match store.put(id, &key(name), Some((number + 1).to_string().as_bytes()), expected) {
        Ok(_) => true,
        Err(StoreError::Conflict { .. }) => false,
        Err(error) => panic!("{error:?}"),
    }
}

fn number(value: Option<&[u8]>) -> u32 {
    value.map_or(0, |bytes| std::str::from_utf8(bytes).unwrap().parse().unwrap())
}

#[test]
fn many_processes_lose_no_write() {
    let (dir, store) = store();
    let path = dir.path().join("a/store");
    let id = sandbox(&store, "shared").id;
    let workers: Vec<_> = (0..4).map(|_| start(&path, "count 40")).collect();
    for mut worker in workers {
        drop(worker.stdin.take());
        let output = worker.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
    for name in ["raced", "locked"] {
        let entry = store.get(id, &key(name), None).unwrap().unwrap();
        assert_eq!(number(entry.value.as_deref()), 160, "{name}");
    }
    assert_eq!(store.state_version(id).unwrap(), 320);
    let operations = store.operations(id, 1000).unwrap();
    let asked = operations.iter().filter(|o| o.request.title == "some state").count();
    assert_eq!(asked, 160);
    let told: usize = operations.iter().map(|o| o.outcome.state.len()).sum();
    assert_eq!(told, 320, "each write is told once, by its own operation or by an open one");
    assert_eq!(store.verify_state(id).unwrap(), []);
    assert!(operations.iter().all(|o| o.status == Status::Done));
    assert_sound(&path);
}

#[test]
fn one_of_many_processes_makes_the_store() {
    for _ in 0..5 {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/store");
        let workers: Vec<_> = (0..6).map(|_| start(&path, "open")).collect();
        for worker in workers {
            let output = worker.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        }
        assert_sound(&path);
        assert!(!path.join("store.db.new").exists());
    }
}

/// Journals operations for ever, tells each that is finished, and makes and removes sandboxes.
fn churn(store: &SqliteStore, name: &str) {
    let id = store.sandbox_named(name).unwrap().id;
    for round in 0_u32.. {
        let durability = if round % 8 == 0 { Durability::Machine } else { Durability::Process };
        let open = store.begin(&request(id, OperationKind::Run), durability).unwrap();
        let bytes = round.to_le_bytes().repeat(50 + 1000 * (round as usize % 5));
        store.put(id, &key("k"), Some(&bytes), Expected::Any).unwrap();
        store
            .create_snapshot(&open, &NewSnapshot::of(SnapshotKind::PreOperation, ""), &open.before)
            .unwrap();
        let after = Point { tree: Tree(format!("after-{}", open.id)), ..open.before };
        store.finish(open.id, Status::Done, &Outcome::default(), Some(&after), durability).unwrap();
        tell(&open.id.0.to_string());
        if round % 4 == 0 {
            let from = store.sandbox(id).unwrap().point;
            let fork = format!("{name}-{round}-{}", std::process::id());
            let fork = store.create_sandbox(&new_sandbox(&fork), Some((id, &from))).unwrap();
            store
                .put(fork.id, &key("own"), Some(fork.name.as_str().as_bytes()), Expected::Any)
                .unwrap();
            store.restore_state(fork.id, 0).unwrap();
            store.remove_sandbox(fork.id).unwrap();
        }
    }
}

#[test]
fn whatever_moment_a_process_is_killed_each_step_happened_or_did_not() {
    let (dir, store) = store();
    let path = dir.path().join("a/store");
    for name in ["one", "two"] {
        sandbox(&store, name);
    }
    drop(store);
    for round in 0..15_u64 {
        let mut workers = ["one", "two"].map(|name| (name, start(&path, &format!("churn {name}"))));
        // Any moment will do; the numbers only spread them.
        std::thread::sleep(Duration::from_millis(30 + round * 7919 % 61));
        for (_, worker) in &mut workers {
            worker.kill().unwrap();
        }
        let acknowledged = workers.map(|(name, mut worker)| {
            worker.wait().unwrap();
            let last =
                told(worker.stdout.take().unwrap()).filter_map(|line| line.parse().ok()).last();
            (name, last.map(OperationId))
        });
        assert_sound(&path);
        let store = SqliteStore::open(&path).unwrap();
        for (name, last) in acknowledged {
            let found = store.sandbox_named(name).unwrap();
            if let Some(last) = last {
                assert_eq!(store.operation(last).unwrap().status, Status::Done, "{last} is lost");
            }
            let newest = store
                .operations(found.id, u32::MAX)
                .unwrap()
                .into_iter()
                .find(|o| o.status == Status::Done && o.after.is_some())
                .unwrap();
            assert_eq!(found.point.tree, newest.after.unwrap().tree);
            if let Some(open) = found.open_operation {
                let outcome = Outcome::default();
                store.finish(open, Status::Recovered, &outcome, None, Durability::Process).unwrap();
            }
            store.get(found.id, &key("k"), None).unwrap();
        }
        for left in store.sandboxes().unwrap() {
            if !["one", "two"].contains(&left.name.as_str()) {
                store.remove_sandbox(left.id).unwrap();
            }
        }
    }
    assert_sound(&path);
}

#[test]
fn a_lock_names_its_holder_and_dies_with_it() {
    let (dir, store) = store();
    let path = dir.path().join("a/store");
    let id = sandbox(&store, "web").id;
    let mut holder = start(&path, "hold web");
    assert_eq!(told(holder.stdout.as_mut().unwrap()).next().as_deref(), Some("held"));
    let busy = store.lock(id, &mut |_| false).err().unwrap();
    assert!(
        matches!(&busy, StoreError::Busy { name, holder: pid }
            if name == "web" && *pid == holder.id()),
        "{busy:?}"
    );
    let _alone = nobody_starts();
    let mut asked = Vec::new();
    let lock = store
        .lock(id, &mut |pid| {
            asked.push(pid);
            holder.kill().unwrap();
            true
        })
        .unwrap();
    assert_eq!(asked, [holder.id()]);
    holder.wait().unwrap();
    assert!(matches!(store.lock(id, &mut |_| false), Err(StoreError::Busy { .. })));
    drop(lock);
    store.lock(id, &mut |_| panic!("it is free")).unwrap();
}

#[test]
fn a_lock_waits_for_the_process_that_a_killed_holder_left() {
    let (dir, store) = store();
    let path = dir.path().join("a/store");
    let id = sandbox(&store, "web").id;
    let _alone = nobody_starts();
    // A failure leaves it behind; it is not to hold the output of the tests open then.
    let mut sleep = Command::new("sleep");
    sleep.arg("3600").stdout(Stdio::null()).stderr(Stdio::null());
    let mut left = sleep.spawn().unwrap();
    let process = pidfd_open(Pid::from_child(&left), PidfdFlags::empty()).unwrap();
    let lock = store.lock(id, &mut |_| true).unwrap();
    lock.share(left.id(), process.as_fd()).unwrap();
    let busy = store.lock(id, &mut |_| false).err().unwrap();
    let us = std::process::id();
    assert!(matches!(&busy, StoreError::Busy { holder, .. } if *holder == us), "{busy:?}");
    drop(lock);
    let busy = store.lock(id, &mut |_| false).err().unwrap();
    assert!(matches!(&busy, StoreError::Busy { holder, .. } if *holder == left.id()), "{busy:?}");
    let mut asked = Vec::new();
    let lock = store.lock(id, &mut |holder| {
        asked.push(holder);
        left.kill().unwrap();
        true
    });
    drop(lock.unwrap());
    assert_eq!(asked, [left.id()]);
    left.wait().unwrap();
    // Another process with that id is not waited for.
    let file = path.join("locks").join(id.0.to_string());
    let text = std::fs::read_to_string(&file).unwrap();
    let (_, identity) = text.lines().nth(1).unwrap().split_once(' ').unwrap();
    let line = format!("{:<10}\n{:<10} {identity}\n", 1, std::process::id());
    std::fs::write(&file, line).unwrap();
    store.lock(id, &mut |_| panic!("it is free")).unwrap();
}

#[test]
fn who_waits_for_a_removed_sandbox_learns_that_it_is_gone() {
    let (dir, store) = store();
    let path = dir.path().join("a/store");
    let id = sandbox(&store, "web").id;
    let lock = store.lock(id, &mut |_| true).unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    let waiter = std::thread::spawn({
        let path = path.clone();
        move || {
            let store = SqliteStore::open(&path).unwrap();
            let result = store.lock(id, &mut |_| {
                sender.send(()).unwrap();
                true
            });
            result.err().map(|error| error.to_string())
        }
    });
    receiver.recv().unwrap();
    store.remove_sandbox(id).unwrap();
    drop(lock);
    let told = waiter.join().unwrap();
    assert_eq!(told.as_deref(), Some("there is no sandbox named `sandbox-1`"));
    assert_eq!(std::fs::read_dir(path.join("locks")).unwrap().count(), 0);
    assert!(matches!(store.lock(id, &mut |_| true), Err(StoreError::NoSandbox(_))));
}

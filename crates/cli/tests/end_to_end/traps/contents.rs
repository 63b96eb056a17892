//! What programs do with open files: old descriptors, large files, databases, locks, sockets.

use crate::support::{Scene, has, interpreter};

#[track_caller]
fn python_inside(scene: &Scene, program: &str) -> String {
    scene.ok(&["run", "--", interpreter(), "-c", program])
}

/// A file is copied up when it is first opened for writing. What a descriptor from before reads
/// then is up to the kernel: the old file, or (since Linux 4.19) the new one. It is never a mixture.
#[test]
fn a_descriptor_from_before_the_first_write_sees_one_file_whole() {
    let scene = Scene::with("echo old-content > f");
    let out = python_inside(
        &scene,
        "old = open('f'); new = open('f', 'r+'); new.write('new'); new.flush(); \
         print(old.read().strip(), open('f').read().strip())",
    );
    let one_of = ["old-content new-content\n", "new-content new-content\n"];
    assert!(one_of.contains(&out.as_str()), "{out}");
    scene.ok(&["commit"]);
    assert_eq!(scene.read("f"), "new-content\n");
}

#[test]
fn a_mapping_from_before_the_first_write_sees_one_file_whole() {
    let scene = Scene::with("head -c 20000 /dev/zero | tr '\\0' o > f");
    let out = python_inside(
        &scene,
        "import mmap\nfile = open('f')\nold = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)\n\
         with open('f', 'r+') as f: f.seek(10000); f.write('X')\n\
         print(old[9999:10001].decode(), open('f').read()[9999:10001])\n\
         new = open('f', 'r+'); m = mmap.mmap(new.fileno(), 0); m[0:1] = b'M'; m.flush()\n\
         print(open('f').read(2))",
    );
    assert!(["oo oX\nMo\n", "oX oX\nMo\n"].contains(&out.as_str()), "{out}");
    scene.ok(&["commit"]);
    assert_eq!(scene.host("head -c 2 f; cut -c10000-10001 f"), "MooX\n");
}

#[test]
fn a_host_process_with_an_open_file_keeps_its_file_over_a_commit() {
    let scene = Scene::with("echo one > f");
    let open = std::fs::File::open(scene.project.join("f")).expect("open");
    scene.inside("echo two > f");
    scene.ok(&["commit"]);
    let text = std::io::read_to_string(open).expect("read");
    assert!(text == "one\n" || text == "two\n", "{text:?}");
    assert_eq!(scene.read("f"), "two\n");
}

#[test]
fn one_byte_of_a_large_file() {
    let scene = Scene::with("head -c 30000000 /dev/urandom > big; cp big ../expected");
    scene.inside("printf X | dd of=big bs=1 seek=12345678 conv=notrunc status=none");
    scene.host("printf X | dd of=../expected bs=1 seek=12345678 conv=notrunc status=none");
    assert_eq!(scene.changes(), ["modified big"]);
    assert!(scene.ok(&["diff", "-p"]).contains("big: not text"));
    scene.ok(&["commit"]);
    scene.host("cmp big ../expected");
    scene.ok(&["undo"]);
    scene.host("! cmp -s big ../expected");
}

#[test]
fn a_file_written_back_as_it_was_is_no_change_of_content() {
    let scene = Scene::with("echo same > f; echo same > g");
    scene.inside("cp -p f copy; cat copy > f; touch -r copy f; rm copy; touch g");
    let changes = scene.changes();
    assert!(!changes.iter().any(|change| change.starts_with("modified")), "{changes:?}");
}

const FILL: &str = "import sqlite3\nc = sqlite3.connect('data.db')\n\
    c.execute('pragma journal_mode=@MODE@')\n\
    c.execute('create table if not exists t(x)')\n\
    for i in range(200): c.execute('insert into t values (?)', (i,))\nc.commit()\n\
    print(c.execute('select count(*) from t').fetchone()[0], \
    c.execute('pragma integrity_check').fetchone()[0])";

#[test]
fn a_database_through_run_undo_and_commit() {
    for mode in ["delete", "wal"] {
        let fill = FILL.replace("@MODE@", mode);
        let scene = Scene::new();
        crate::support::python(&scene, &fill).ok();
        assert_eq!(python_inside(&scene, &fill), "400 ok\n", "{mode}");
        assert_eq!(python_inside(&scene, &fill), "600 ok\n", "{mode}");
        scene.ok(&["undo"]);
        assert_eq!(python_inside(&scene, &fill), "600 ok\n", "{mode}");
        scene.ok(&["commit"]);
        assert_eq!(crate::support::python(&scene, &fill).ok().out(), "800 ok\n", "{mode}");
        // The host's program changed it since, so the commit cannot be taken back unasked.
        scene.run(&["undo"]).code(123).says(&["data.db was changed outside"]);
    }
}

#[test]
fn a_database_whose_writer_was_killed_recovers_inside() {
    let scene = Scene::new();
    let fill = FILL.replace("@MODE@", "wal");
    python_inside(&scene, &fill);
    let killed = "import os, sqlite3\nc = sqlite3.connect('data.db')\nc.execute('begin')\n\
        for i in range(5000): c.execute('insert into t values (?)', (i,))\nos.kill(os.getpid(), 9)";
    scene.run(&["run", "--", interpreter(), "-c", killed]).signal(9);
    assert_eq!(python_inside(&scene, &fill), "400 ok\n");
}

#[test]
fn locks_hold_inside_and_are_gone_afterwards() {
    let scene = Scene::with("echo x > base.lock");
    let program = r#"
import errno, fcntl, os
def locked(name, how):
    f = open(name, 'a+')
    how(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
    pid = os.fork()
    if pid == 0:
        try: how(open(name, 'a+'), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as e: os._exit(0 if e.errno in (errno.EAGAIN, errno.EACCES) else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, (name, how)
    return f
held = [locked(name, how) for name in ('base.lock', 'new.lock') for how in (fcntl.flock, fcntl.lockf)]
"#;
    for _ in 0..2 {
        python_inside(&scene, program);
    }
    // A lock inside is none on the real file.
    scene.ok(&["commit"]);
    scene.host("flock -n base.lock true; flock -n new.lock true");
}

#[test]
fn a_lock_file_of_a_dead_process_can_be_taken_over() {
    let scene = Scene::new();
    scene.inside("echo $$ > pid.lock");
    scene.inside(
        "kill -0 $(cat pid.lock) 2>/dev/null && test $(cat pid.lock) != $$ && exit 1; rm pid.lock",
    );
    assert_eq!(scene.counts(), [0; 4]);
}

#[test]
fn sockets_and_fifos_work_inside_and_are_kept() {
    let scene = Scene::with("mkfifo base-pipe");
    python_inside(
        &scene,
        "import os, socket\nfor name in ('base-pipe', 'new-pipe'):\n  \
         if name != 'base-pipe': os.mkfifo(name)\n  \
         if os.fork() == 0:\n    open(name, 'w').write('through ' + name)\n    os._exit(0)\n  \
         assert open(name).read() == 'through ' + name\n\
         s = socket.socket(socket.AF_UNIX); s.bind('sock'); s.listen()\n\
         c = socket.socket(socket.AF_UNIX); c.connect('sock'); a, _ = s.accept()\n\
         c.send(b'hi'); assert a.recv(2) == b'hi'",
    );
    let changes = scene.json(&["diff"]);
    let types: Vec<&str> = changes["changes"]
        .as_array()
        .expect("an array")
        .iter()
        .filter(|change| change["kind"] == "added")
        .filter_map(|change| change["after"]["file_type"].as_str())
        .collect();
    assert_eq!(types, ["fifo", "socket"]);
    // A second run replaces the stale socket, as a server does.
    python_inside(
        &scene,
        "import os, socket\nos.unlink('sock')\ns = socket.socket(socket.AF_UNIX); s.bind('sock')",
    );
    scene.ok(&["commit"]);
    scene.host("test -p new-pipe; test -S sock; test -p base-pipe");
    scene.ok(&["undo"]);
    assert_eq!(scene.host("ls"), "base-pipe\n");
}

#[test]
fn a_socket_of_the_host_in_the_base_is_no_way_out() {
    let scene = Scene::new();
    let listener = std::os::unix::net::UnixListener::bind(scene.project.join("host.sock"));
    let listener = listener.expect("bind");
    listener.set_nonblocking(true).expect("set");
    let program = "import socket\ns = socket.socket(socket.AF_UNIX)\ntry: s.connect('host.sock')\n\
        except OSError as e: print('refused')\nelse: print('connected')";
    let out = python_inside(&scene, program);
    let accepted = listener.accept().is_ok();
    // Whichever it is, what the program was told is what happened.
    assert_eq!(out, if accepted { "connected\n" } else { "refused\n" });
    assert!(!accepted, "a sandbox reached a server of the host through a socket in the base");
}

const WATCH: &str = r#"
import ctypes, os, select, struct, subprocess
libc = ctypes.CDLL(None, use_errno=True)
fd = libc.inotify_init1(os.O_NONBLOCK)
ALL = 0x2 | 0x100 | 0x200 | 0x8 | 0x40 | 0x80
assert libc.inotify_add_watch(fd, b'watched', ALL) >= 0
assert libc.inotify_add_watch(fd, b'watched/base', ALL) >= 0
subprocess.run('echo more >> watched/base; echo x > watched/new; mv watched/new watched/newer; '
               'rm watched/newer; mkdir watched/dir; sh -c "echo y > watched/base"', shell=True, check=True)
names = set()
while select.select([fd], [], [], 1)[0]:
    data, at = os.read(fd, 65536), 0
    while at < len(data):
        _, mask, _, length = struct.unpack_from('iIII', data, at)
        names.add((data[at + 16:at + 16 + length].rstrip(b'\0').decode(), mask & 0xfff))
        at += 16 + length
for wanted in (('new', 0x100), ('new', 0x40), ('newer', 0x80), ('newer', 0x200), ('dir', 0x100), ('base', 0x2)):
    assert wanted in names, (wanted, names)
"#;

#[test]
fn inotify_inside_sees_changes() {
    let scene = Scene::with("mkdir watched; echo base > watched/base");
    // The first writes are copied up; the second run starts from a layer.
    python_inside(&scene, WATCH);
    scene.inside("rmdir watched/dir");
    python_inside(&scene, WATCH);
}

#[test]
fn a_tail_that_follows_sees_what_is_appended() {
    if !has("tail") {
        return;
    }
    let scene = Scene::with("echo first > log");
    let out = scene.inside(
        "tail -n 5 -F log > seen 2>/dev/null & sleep 0.3; echo second >> log; \
         for i in $(seq 600); do grep -q second seen && break; sleep 0.1; done; cat seen; kill %1 || true",
    );
    assert!(out.contains("second"), "{out}");
}

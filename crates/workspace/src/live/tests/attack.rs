//! Strangers who are in the way at the worst moment, and places that cannot be written to.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn a_swap_for_a_link_never_redirects_a_write() {
    let scene = Scene::new();
    let outside = scene.root.join("outside");
    write(&outside.join("x"), "outside");
    for number in 0..50 {
        write(&scene.at(&format!("d/{number}")), "old");
    }
    fs::rename(scene.at("d"), scene.at("real")).expect("rename");
    fs::create_dir(scene.at("d")).expect("mkdir");
    write(&scene.at("d/x"), "old");
    let stop = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let _ = fs::rename(scene.at("d"), scene.at("aside"));
                let _ = symlink(&outside, scene.at("d"));
                let _ = fs::remove_file(scene.at("d"));
                let _ = fs::rename(scene.at("aside"), scene.at("d"));
            }
        });
        let version = node::version(&outside.join("x")).expect("version").expect("there");
        for round in 0..200 {
            let source = scene.root.join("source");
            write(&source, &format!("round {round}"));
            let expect = match node::version(&scene.at("d/x")) {
                Ok(Some(now)) if now.ino != version.ino => {
                    Expect::Unchanged { version: now, since: Timestamp(i64::MAX) }
                }
                _ => Expect::Absent,
            };
            let replace = Replacement::Entry { source };
            let path = RelPath::parse("d/x").expect("path");
            let transaction = scene.transaction(&format!("t{round}"));
            let steps = vec![Step { path, expect, replace }];
            let strategy = ConflictStrategy::Fail;
            let _ = super::super::execute(&scene.live(), &transaction, OPERATION, steps, strategy);
            let _ = super::super::recover(&transaction);
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(fs::read(outside.join("x")).expect("read"), b"outside");
    assert_eq!(node::entries(&outside).expect("list"), ["x"]);
}

#[test]
fn an_editor_that_saves_all_the_time_loses_nothing() {
    let scene = Scene::new();
    write(&scene.at("f"), "start");
    let stop = AtomicBool::new(false);
    std::thread::scope(|threads| {
        // Counts up, each time from what is there: a lost save would be a number gone back.
        let editor = threads.spawn(|| {
            let mut saves = 0_u64;
            // Where it gets no processor until the commits are done, it saves once.
            loop {
                saves += 1;
                let partial = scene.root.join("partial");
                fs::write(&partial, format!("save {saves}")).expect("write");
                fs::rename(&partial, scene.at("f")).expect("rename");
                if stop.load(Ordering::Relaxed) {
                    break saves;
                }
            }
        });
        let mut committed = 0;
        for round in 0..300 {
            let source = scene.root.join("source");
            write(&source, &format!("commit {round}"));
            let Ok(Some(version)) = node::version(&scene.at("f")) else {
                panic!("the path was absent for a moment");
            };
            let expect = Expect::Unchanged { version, since: Timestamp(i64::MAX) };
            let step = Step {
                path: RelPath::parse("f").expect("path"),
                expect,
                replace: Replacement::Entry { source },
            };
            let transaction = scene.transaction(&format!("t{round}"));
            let live = scene.live();
            let strategy = ConflictStrategy::Fail;
            match super::super::execute(&live, &transaction, OPERATION, vec![step], strategy) {
                Ok(_) => {
                    committed += 1;
                    // What was replaced is what was expected, and it is kept.
                    let kept = super::super::inverse_layer(&transaction).join("f");
                    assert_eq!(inode(&kept), version.ino);
                }
                Err(WorkspaceError::Conflicts { .. }) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
        stop.store(true, Ordering::Relaxed);
        let saves = editor.join().expect("editor");
        assert!(saves > 0, "{committed} commits");
    });
    assert_clean(&scene);
}

/// Runs a test of this binary as it is run again by `runner`; whether it could be.
fn again(runner: &[&str], test: &str, scene: &Scene) -> bool {
    let Some((program, arguments)) = runner.split_first() else { return false };
    let output = Command::new(program)
        .args(arguments)
        .arg(std::env::current_exe().expect("own path"))
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env("CTRLZ_LIVE_INSIDE", &scene.root)
        .output();
    match output {
        Ok(output) if output.status.success() => true,
        Ok(output) => {
            let (out, err) =
                (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert!(!out.contains("panicked") && !err.contains("panicked"), "{out}{err}");
            println!("SKIPPED({test}: {err})");
            false
        }
        Err(error) => {
            println!("SKIPPED({test}: {error})");
            false
        }
    }
}

fn inside() -> Option<Scene> {
    let root = PathBuf::from(std::env::var_os("CTRLZ_LIVE_INSIDE")?);
    Some(Scene { keep: None, root })
}

#[test]
fn a_full_disk_changes_nothing() {
    let Some(scene) = inside() else {
        let runner = ["unshare", "--mount", "--map-root-user"];
        again(&runner, "live::tests::attack::a_full_disk_changes_nothing", &Scene::new());
        return;
    };
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=1m", "none"])
        .arg(scene.live())
        .status()
        .expect("mount");
    if !mounted.success() {
        println!("SKIPPED(cannot mount a tmpfs)");
        return;
    }
    write(&scene.at("a"), "old");
    fs::create_dir(scene.root.join("wanted")).expect("mkdir");
    write(&scene.wanted("a"), "new");
    fs::write(scene.wanted("big"), vec![1; 4 << 20]).expect("write");
    let before = scene.tree();
    let steps = scene.steps();
    let error = scene.execute(&steps).expect_err("it does not fit");
    let WorkspaceError::Io { source, .. } = &error else { panic!("{error:?}") };
    assert_eq!(source.kind(), std::io::ErrorKind::StorageFull, "{error}");
    assert_same(&scene.tree(), &before, "after the failure");
    assert_clean(&scene);
    assert_eq!(recovered(&scene), Recovered::TakenBack);

    // With the store on another file system, the old nodes are copied there.
    fs::remove_file(scene.wanted("big")).expect("remove");
    write(&scene.at("d/deep/x"), "old");
    chmod(&scene.at("d/deep"), 0o500);
    let before = scene.tree();
    let _ = node::remove_tree(&scene.transaction("transaction"));
    let steps = scene.steps();
    scene.execute(&steps).expect("execute");
    assert_same(&scene.tree(), &tree(&scene.root.join("wanted")), "after");
    assert_clean(&scene);
    scene.revert().expect("revert");
    assert_same(&scene.tree(), &before, "after the revert");

    // A mount below the live root is never crossed or taken away.
    fs::create_dir_all(scene.at("m/point")).expect("mkdir");
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "none"])
        .arg(scene.at("m/point"))
        .status()
        .expect("mount");
    assert!(mounted.success());
    write(&scene.at("m/point/inside"), "on another file system");
    let version = |path: &str| node::version(&scene.at(path)).expect("version").expect("there");
    for (path, replace) in [
        ("m", Replacement::Nothing),
        ("m/point", Replacement::Nothing),
        ("m/point/inside", Replacement::Nothing),
        ("m/point/inside", Replacement::Entry { source: scene.wanted("a") }),
    ] {
        let expect = Expect::Unchanged { version: version(path), since: Timestamp(i64::MAX) };
        let step = Step { path: RelPath::parse(path).expect("path"), expect, replace };
        let transaction = scene.transaction("mounts");
        let strategy = ConflictStrategy::Ours;
        let error =
            super::super::execute(&scene.live(), &transaction, OPERATION, vec![step], strategy)
                .expect_err(path);
        assert!(error.to_string().contains("mount"), "{error}");
        assert_eq!(node::version(&transaction).expect("version"), None, "{path}");
    }
    assert_eq!(fs::read(scene.at("m/point/inside")).expect("read"), b"on another file system");
}

#[test]
fn a_read_only_root_is_an_error_before_anything() {
    let Some(scene) = inside() else {
        let runner = ["unshare", "--mount", "--map-root-user"];
        let scene = busy();
        let test = "live::tests::attack::a_read_only_root_is_an_error_before_anything";
        again(&runner, test, &scene);
        return;
    };
    let live = scene.live();
    for options in [&["--bind"][..], &["-o", "remount,bind,ro"]] {
        let mut mount = Command::new("mount");
        mount.args(options);
        if options == ["--bind"] {
            mount.arg(&live);
        }
        if !mount.arg(&live).status().expect("mount").success() {
            println!("SKIPPED(cannot mount read-only)");
            return;
        }
    }
    let before = scene.tree();
    let steps = scene.steps();
    let error = scene.execute(&steps).expect_err("read-only");
    let WorkspaceError::Io { source, .. } = &error else { panic!("{error:?}") };
    assert_eq!(source.kind(), std::io::ErrorKind::ReadOnlyFilesystem, "{error}");
    assert_same(&scene.tree(), &before, "after the failure");
    assert_eq!(recovered(&scene), Recovered::TakenBack);
}

#[test]
fn works_without_root() {
    let Some(scene) = inside() else {
        if !is_root() {
            return;
        }
        let scene = Scene::new();
        for directory in [&scene.root, &scene.live()] {
            std::os::unix::fs::chown(directory, Some(65534), Some(65534)).expect("chown");
        }
        let runner = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
        again(&runner, "live::tests::attack::works_without_root", &scene);
        return;
    };
    assert!(!is_root());
    let busy = busy();
    for path in ["live", "wanted"] {
        let to = scene.root.join(path);
        node::remove_tree(&to).expect("remove");
        node::copy_tree(&busy.root.join(path), &to).expect("copy");
    }
    // Closed folders on both sides: one goes, one comes, one opens, one stays closed.
    write(&scene.at("closed/x"), "x");
    chmod(&scene.at("closed"), 0o500);
    write(&scene.at("opening/x"), "x");
    chmod(&scene.at("opening"), 0o500);
    write(&scene.wanted("opening/x"), "x");
    write(&scene.wanted("opening/y"), "y");
    write(&scene.wanted("secret"), "readable by nobody");
    chmod(&scene.wanted("secret"), 0o644);
    let before = scene.tree();
    let steps = scene.steps();
    let wanted = tree(&scene.root.join("wanted"));
    scene.execute(&steps).expect("execute");
    let mut after = scene.tree();
    let times = |tree: &mut Tree| {
        // `opening/x` was made twice by this test.
        if let Some(entry) = tree.get_mut(&RelPath::parse("opening/x").expect("path")) {
            entry.mtime = None;
        }
    };
    let mut wanted = wanted;
    times(&mut after);
    times(&mut wanted);
    assert_same(&after, &wanted, "after");
    scene.revert().expect("revert");
    assert_same(&scene.tree(), &before, "after the revert");

    // A file that is closed to its owner is read from the store all the same.
    chmod(&scene.wanted("secret"), 0);
    let step = Step {
        path: RelPath::parse("secret").expect("path"),
        expect: Expect::Absent,
        replace: Replacement::Entry { source: scene.wanted("secret") },
    };
    let transaction = scene.transaction("closed-file");
    let strategy = ConflictStrategy::Fail;
    super::super::execute(&scene.live(), &transaction, OperationId(9), vec![step], strategy)
        .expect("execute");
    let version = node::version(&scene.at("secret")).expect("version").expect("there");
    assert_eq!((version.permissions(), version.size), (0, 18));
    assert_eq!(node::version(&scene.wanted("secret")).expect("v").expect("there").permissions(), 0);
}

//! Arrivals and mendings that were cut short, with each driver; and what others collect meanwhile.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, SystemTime};

use ctrlz_core::archive::Arrival;
use ctrlz_core::id::SandboxId;
use ctrlz_core::snapshot::Tree;
use ctrlz_core::workspace::{WorkspaceDriver, WorkspaceError};

use crate::{CopyDriver, OverlayDriver};

const DRIVERS: [&str; 2] = ["copy", "overlay"];

fn driver(name: &str, store: &Path) -> Box<dyn WorkspaceDriver> {
    match name {
        "copy" => Box::new(CopyDriver::new(store)),
        _ => Box::new(OverlayDriver::new(store)),
    }
}

fn copied(from: &Path, to: &Path) {
    let done = Command::new("cp").args(["-a", "-T"]).arg(from).arg(to).status().expect("cp");
    assert!(done.success());
}

/// What a test runs in another process, which `CTRLZ_FAULT` ends or lets fail.
#[test]
fn child() {
    let Some(root) = std::env::var_os("CTRLZ_ARRIVAL_SCENE").map(PathBuf::from) else { return };
    let scene = |name: &str| std::env::var(name).expect("told by the test");
    let scene = Scene::at(&scene("CTRLZ_ARRIVAL_DRIVER"), &root, &scene("CTRLZ_ARRIVAL_STORE"));
    let done = match std::env::var("CTRLZ_ARRIVAL_DO").as_deref() {
        Ok("adopt") => scene.adopt().is_ok(),
        Ok("mend") => scene.mend().is_ok(),
        _ => {
            let driver = scene.driver();
            let landing = driver.landing().expect("a landing");
            fs::write(landing.join("f"), "x").expect("write");
            let text = landing.to_str().expect("text");
            fs::write(root.join("landing.new"), text).expect("write");
            fs::rename(root.join("landing.new"), root.join("landing")).expect("rename");
            // Until the test closes it.
            std::io::read_to_string(std::io::stdin()).is_ok()
        }
    };
    std::process::exit(if done { 0 } else { 3 });
}

/// A store, and parts of a tree that are kept elsewhere.
struct Scene {
    name: String,
    root: PathBuf,
    store: PathBuf,
}

impl Scene {
    fn at(name: &str, root: &Path, store: &str) -> Self {
        Self { name: name.to_owned(), root: root.to_owned(), store: root.join(store) }
    }

    /// With a tree in `store`, of which the parts are kept.
    fn new(name: &str, root: &Path) -> (Self, Tree) {
        let scene = Self::at(name, root, "store");
        let base = scene.base();
        fs::create_dir_all(base.join("d")).expect("mkdir");
        fs::write(base.join("d/f"), "old").expect("write");
        let driver = scene.driver();
        let mut tree = driver.create(&base).expect("create");
        for (path, text) in [("d/f", "new"), ("g", "more")] {
            let head = driver.begin(SandboxId(1), &tree).expect("begin");
            fs::create_dir_all(head.written.join("d")).expect("mkdir");
            fs::write(head.written.join(path), text).expect("write");
            tree = driver.seal(&head).expect("seal").tree;
        }
        fs::create_dir(root.join("kept")).expect("mkdir");
        let parts = driver.strata(&tree).expect("strata").into_iter();
        for (turn, part) in parts.filter(|part| part.id.is_some()).enumerate() {
            let at = root.join("kept").join(turn.to_string());
            copied(&part.directory, &at);
            fs::copy(part.record.expect("a record"), at.with_extension("record")).expect("copy");
            let id = part.id.expect("a name");
            fs::write(at.with_extension(if part.root { "rooted" } else { "id" }), id)
                .expect("write");
        }
        (scene, tree)
    }

    fn base(&self) -> PathBuf {
        self.root.join("base")
    }

    fn driver(&self) -> Box<dyn WorkspaceDriver> {
        driver(&self.name, &self.store)
    }

    fn kept(&self) -> Vec<Arrival> {
        let at = |turn: usize| self.root.join("kept").join(turn.to_string());
        let part = |turn: usize| {
            let root = at(turn).with_extension("rooted").exists();
            let id = at(turn).with_extension(if root { "rooted" } else { "id" });
            let id = Some(fs::read_to_string(id).ok()?);
            let record = fs::read(at(turn).with_extension("record")).ok();
            Some(Arrival { id, directory: at(turn), root, record })
        };
        (0..).map_while(part).collect()
    }

    fn land(&self, driver: &dyn WorkspaceDriver) -> Vec<Arrival> {
        let landing = driver.landing().expect("a landing");
        let land = |(turn, part): (usize, Arrival)| {
            let directory = landing.join(turn.to_string());
            copied(&part.directory, &directory);
            Arrival { directory, ..part }
        };
        self.kept().into_iter().enumerate().map(land).collect()
    }

    fn adopt(&self) -> Result<Tree, WorkspaceError> {
        let driver = self.driver();
        driver.adopt(&self.base(), &self.land(driver.as_ref()))
    }

    /// Mends the lowest part.
    fn mend(&self) -> Result<(), WorkspaceError> {
        let driver = self.driver();
        driver.mend(self.land(driver.as_ref()).first().expect("a part"))
    }

    fn run(&self, what: &str, fault: &str) -> ExitStatus {
        self.command(what).env("CTRLZ_FAULT", fault).output().expect("run").status
    }

    fn command(&self, what: &str) -> Command {
        let mut command = Command::new(std::env::current_exe().expect("own path"));
        command
            .args(["--exact", "likeness::crash::child", "--test-threads=1"])
            .env("CTRLZ_ARRIVAL_SCENE", &self.root)
            .env("CTRLZ_ARRIVAL_STORE", self.store.file_name().expect("a name"))
            .env("CTRLZ_ARRIVAL_DRIVER", &self.name)
            .env("CTRLZ_ARRIVAL_DO", what);
        command
    }

    /// Everything in the directory that was given out to restore parts in, or in which they wait.
    fn left(&self) -> Vec<PathBuf> {
        let listed = |name: &str| fs::read_dir(self.store.join(name)).into_iter().flatten();
        let all = ["landings", "making", "layers", "trees"].into_iter().flat_map(listed);
        all.map(|entry| entry.expect("entry").path()).collect()
    }
}

/// A program that another test starts has what this process holds open, locks too, until it is
/// executed; so a collection may not be alone at once.
#[track_caller]
fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..600 {
        if done() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("{what}: not in the end");
}

/// The number of points that are passed.
fn points(what: &str, name: &str) -> usize {
    let dir = tempfile::tempdir().expect("tempdir");
    let (scene, _) = Scene::new(name, dir.path());
    let scene = if what == "adopt" { Scene::at(name, dir.path(), "elsewhere") } else { scene };
    let file = dir.path().join("points");
    assert!(scene.run(what, &format!("count:{}", file.display())).success());
    fs::read_to_string(file).expect("points").lines().count()
}

#[test]
fn an_arrival_is_whole_or_not_there_whenever_it_is_cut_short() {
    for name in DRIVERS {
        let count = points("adopt", name);
        assert!(count >= 2, "{name}: {count}");
        for (passing, how) in (1..=count).flat_map(|at| [(at, ""), (at, ":eio")]) {
            let what = format!("{name}: {passing} of {count}{how}");
            let dir = tempfile::tempdir().expect("tempdir");
            let (_, tree) = Scene::new(name, dir.path());
            let scene = Scene::at(name, dir.path(), "elsewhere");
            let status = scene.run("adopt", &format!("any:{passing}{how}"));
            assert_eq!(status.code(), if how.is_empty() { None } else { Some(3) }, "{what}");
            let driver = scene.driver();
            for part in scene.kept() {
                if driver.holds(part.id.as_deref().expect("a name")).expect("look") {
                    let alone = driver.adopt(&scene.base(), &[part]).expect("it is held");
                    driver.verify(&alone, true).expect("what is held is whole");
                }
            }
            let arrived = scene.adopt().expect("once more");
            driver.verify(&arrived, true).expect("whole");
            let parts = driver.parts(&arrived).expect("parts");
            for part in scene.kept().into_iter().filter_map(|part| part.id) {
                // A kill can leave what keeps a name; a failure leaves nothing.
                assert!(parts.contains(&part) || how.is_empty(), "{what}: {part}");
            }
            let base = driver.base_tree(&arrived).expect("base");
            let said = |driver: &dyn WorkspaceDriver, tree: &Tree, base: &Tree| {
                let changes = driver.changes(base, tree).expect("changes").changes;
                changes.into_iter().map(|c| (c.path, c.kind, c.after)).collect::<Vec<_>>()
            };
            let there = Scene::at(name, dir.path(), "store").driver();
            let expected = said(there.as_ref(), &tree, &there.base_tree(&tree).expect("base"));
            assert_eq!(said(driver.as_ref(), &arrived, &base), expected, "{what}");
            drop(driver);
            let driver = scene.driver();
            driver.collect(&mut || Some(vec![arrived.clone()]), &|| true).expect("collect");
            driver.verify(&arrived, true).expect("what is live is whole");
            // The landings of this process are known by its number to driver copy.
            let ours = format!("{}-", std::process::id());
            let is_ours = |path: &PathBuf| {
                path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&ours))
            };
            eventually(&what, || {
                driver.collect(&mut || Some(Vec::new()), &|| true).expect("collect");
                scene.left().iter().all(is_ours)
            });
        }
    }
}

#[test]
fn a_mending_can_be_done_again_whenever_it_is_cut_short() {
    for name in DRIVERS {
        let count = points("mend", name);
        assert!(count >= 2, "{name}: {count}");
        for (passing, how) in (1..=count).flat_map(|at| [(at, ""), (at, ":eio")]) {
            let what = format!("{name}: {passing} of {count}{how}");
            let dir = tempfile::tempdir().expect("tempdir");
            let (scene, tree) = Scene::new(name, dir.path());
            let driver = scene.driver();
            let part = scene.kept().first().and_then(|part| part.id.clone()).expect("a name");
            let strata = driver.strata(&tree).expect("strata");
            let at = strata.into_iter().find(|stratum| stratum.id.as_ref() == Some(&part));
            fs::remove_file(at.expect("there").directory.join("d/f")).expect("remove");
            let status = scene.run("mend", &format!("any:{passing}{how}"));
            assert_eq!(status.code(), if how.is_empty() { None } else { Some(3) }, "{what}");
            match driver.verify(&tree, true) {
                Ok(()) | Err(WorkspaceError::Damaged { .. }) => {}
                Err(error) => panic!("{what}: {error}"),
            }
            // Whoever is killed leaves what it set aside, and nothing that is needed.
            drop(driver);
            let driver = scene.driver();
            driver.collect(&mut || Some(vec![tree.clone()]), &|| true).expect("collect");
            scene.mend().unwrap_or_else(|error| panic!("{what}: {error}"));
            driver.verify(&tree, true).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert!(driver.holds(&part).expect("look"), "{what}");
        }
    }
}

#[test]
fn a_landing_stays_as_long_as_the_process_that_uses_it() {
    for name in DRIVERS {
        let dir = tempfile::tempdir().expect("tempdir");
        let (scene, tree) = Scene::new(name, dir.path());
        let mut command = scene.command("land");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("run");
        let told = dir.path().join("landing");
        while !told.exists() {
            std::thread::sleep(Duration::from_millis(5));
            assert!(child.try_wait().expect("wait").is_none(), "{name}: it ended");
        }
        let landing = PathBuf::from(fs::read_to_string(told).expect("read"));
        let collect = || {
            let driver = scene.driver();
            driver.collect(&mut || Some(vec![tree.clone()]), &|| true).expect("collect");
        };
        collect();
        assert!(landing.join("f").exists(), "{name}");
        child.kill().expect("kill");
        child.wait().expect("wait");
        eventually(name, || {
            collect();
            !landing.exists()
        });
    }
}

/// A part's name says when it was sealed, which may be years ago.
#[test]
fn what_arrived_just_now_is_not_old() {
    for (name, old) in [("copy", "c-1-0"), ("overlay", "l-0a0b0c0d-1-0")] {
        let dir = tempfile::tempdir().expect("tempdir");
        Scene::new(name, dir.path());
        let scene = Scene::at(name, dir.path(), "elsewhere");
        let driver = scene.driver();
        let mut parts = scene.land(driver.as_ref());
        parts.truncate(1);
        parts[0].id = Some(old.to_owned());
        let arrived = driver.adopt(&scene.base(), &parts).expect("adopt");
        assert!(driver.parts(&arrived).expect("parts").contains(&old.to_owned()), "{name}");
        let others = scene.driver();
        let collect = || others.collect(&mut || Some(Vec::new()), &|| true).expect("collect");
        let age = || {
            let at = match name {
                "copy" => scene.store.join("trees").join(old),
                _ => scene.store.join("layers").join(format!("{old}.manifest")),
            };
            let times = fs::FileTimes::new().set_modified(SystemTime::UNIX_EPOCH);
            fs::File::open(at).and_then(|file| file.set_times(times)).expect("set the times");
        };
        collect();
        driver.verify(&arrived, true).expect("nobody recorded it yet");
        age();
        assert!(driver.holds(old).expect("look"));
        collect();
        driver.verify(&arrived, true).expect("somebody asked for it");
        age();
        driver.adopt(&scene.base(), &parts).expect("it is held");
        collect();
        driver.verify(&arrived, true).expect("somebody used it again");
        age();
        collect();
        driver.verify(&arrived, true).expect_err("nobody needs it");
        assert!(!driver.holds(old).expect("look"));
    }
}

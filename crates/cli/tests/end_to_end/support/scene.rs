//! A temporary place with a project, a home folder and a store.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::Outcome;
use super::tree::Tree;

/// The program under test.
pub(crate) const CTRLZ: &str = env!("CARGO_BIN_EXE_ctrlz");

/// Where programs are looked for.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// One test's own place. Everything in it goes when it is dropped.
pub(crate) struct Scene {
    pub(crate) root: PathBuf,
    /// The folder that ctrlz is used in.
    pub(crate) project: PathBuf,
    /// `HOME`.
    pub(crate) home: PathBuf,
    /// `CTRLZ_HOME`.
    pub(crate) store: PathBuf,
    _directory: TempDir,
}

impl Scene {
    /// A scene with an empty project, where temporary files lie. Inside a sandbox, nothing of it
    /// but the workspace is seen, as `/tmp` is private.
    #[track_caller]
    pub(crate) fn new() -> Self {
        Self::below(&std::env::temp_dir())
    }

    /// A scene that a sandbox sees, read-only, with the rest of the host. `None`, after a skip was
    /// told, where there is no place for one.
    #[track_caller]
    pub(crate) fn seen_inside() -> Option<Self> {
        let home = std::env::var_os("HOME").map(PathBuf::from);
        let places = [Some(PathBuf::from(env!("CARGO_TARGET_TMPDIR"))), home, Some("/srv".into())];
        let private = ["/tmp", "/var/tmp", "/run", "/dev"];
        let place = places.into_iter().flatten().find(|place| {
            !private.iter().any(|private| place.starts_with(private))
                && TempDir::with_prefix_in(".ctrlz-e2e-", place).is_ok()
        });
        if place.is_none() {
            super::skipped("no writable folder outside /tmp: HOME would do");
        }
        place.as_deref().map(Self::below)
    }

    #[track_caller]
    pub(crate) fn below(place: &Path) -> Self {
        let directory = TempDir::with_prefix_in(".ctrlz-e2e-", place).expect("a folder");
        let root = directory.path().canonicalize().expect("the temporary directory's own path");
        let (project, home, store) = (root.join("project"), root.join("home"), root.join("store"));
        for folder in [&project, &home] {
            fs::create_dir(folder).expect("create a folder of the scene");
        }
        Self { root, project, home, store, _directory: directory }
    }

    /// A scene whose project a shell script made.
    #[track_caller]
    pub(crate) fn with(script: &str) -> Self {
        let scene = Self::new();
        scene.host(script);
        scene
    }

    /// ctrlz in the project, with an environment that names nothing of the caller's.
    pub(crate) fn ctrlz<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        self.program(CTRLZ, arguments)
    }

    /// Any program with ctrlz's environment in the project.
    pub(crate) fn program<A: AsRef<OsStr>>(
        &self,
        program: impl AsRef<OsStr>,
        arguments: impl IntoIterator<Item = A>,
    ) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(&self.project)
            .env_clear()
            .env("PATH", PATH)
            .env("HOME", &self.home)
            .env("CTRLZ_HOME", &self.store)
            .env("CTRLZ", CTRLZ)
            .env("TMPDIR", &self.root)
            .env("LC_ALL", "C.UTF-8")
            .env("SHELL", "/bin/sh")
            // A service tells each request otherwise.
            .env("CTRLZ_LOG", "error")
            .stdin(Stdio::null());
        if let Some(driver) = std::env::var_os("CTRLZ_WORKSPACE") {
            command.env("CTRLZ_WORKSPACE", driver);
        }
        // A scene in the folder for tests of ZFS has its datasets where those are to be.
        let given = |name: &str| std::env::var_os(name);
        if let (Some(place), Some(dataset), Some(programs)) = (
            given("CTRLZ_TEST_ZFS"),
            given("CTRLZ_TEST_ZFS_DATASET"),
            given("CTRLZ_TEST_ZFS_PROGRAMS"),
        ) && self.root.starts_with(place)
        {
            let mut path = programs;
            path.push(":");
            path.push(PATH);
            command.env("CTRLZ_ZFS_DATASET", dataset).env("PATH", path);
        }
        command
    }

    /// Runs ctrlz in the project.
    #[track_caller]
    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome {
        Outcome::of(&mut self.ctrlz(arguments))
    }

    /// Runs ctrlz in another folder.
    #[track_caller]
    pub(crate) fn run_in(&self, folder: &Path, arguments: &[&str]) -> Outcome {
        Outcome::of(self.ctrlz(arguments).current_dir(folder))
    }

    /// Runs ctrlz and expects success; answers its standard output.
    #[track_caller]
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        self.run(arguments).ok().out()
    }

    /// Runs ctrlz with `--json` and expects success; answers the object.
    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let arguments: Vec<&str> = ["--json"].iter().chain(arguments).copied().collect();
        let object = self.run(&arguments).ok().json();
        assert_eq!(object["ok"], true, "{object}");
        object
    }

    /// `ctrlz run -- sh -c SCRIPT`, which must succeed; answers what it printed.
    #[track_caller]
    pub(crate) fn inside(&self, script: &str) -> String {
        self.ok(&["run", "--", "sh", "-ec", script])
    }

    /// A shell script in the project, on the host.
    #[track_caller]
    pub(crate) fn host(&self, script: &str) -> String {
        Outcome::of(&mut self.program("sh", ["-ec", script])).ok().out()
    }

    /// The counts of `ctrlz diff` as `added modified deleted metadata`.
    #[track_caller]
    pub(crate) fn counts(&self) -> [u64; 4] {
        let object = self.json(&["diff"]);
        ["added", "modified", "deleted", "metadata"]
            .map(|name| object["counts"][name].as_u64().expect("a number"))
    }

    /// The changed paths of `ctrlz diff`, each after the kind of its change.
    #[track_caller]
    pub(crate) fn changes(&self) -> Vec<String> {
        let object = self.json(&["diff"]);
        let changes = object["changes"].as_array().expect("an array");
        changes
            .iter()
            .map(|change| {
                let text = |name: &str| change[name].as_str().expect("text").to_owned();
                format!("{} {}", text("kind"), text("path"))
            })
            .collect()
    }

    /// The project as it is on the host.
    #[track_caller]
    pub(crate) fn live(&self) -> Tree {
        Tree::of(&self.project)
    }

    /// The content of a file of the project on the host.
    #[track_caller]
    pub(crate) fn read(&self, path: &str) -> String {
        let path = self.project.join(path);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Writes a file of the project on the host.
    #[track_caller]
    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.project.join(path);
        fs::write(&path, content).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// Whether a path of the project exists on the host.
    pub(crate) fn exists(&self, path: &str) -> bool {
        self.project.join(path).symlink_metadata().is_ok()
    }

    /// The newest operations first.
    #[track_caller]
    pub(crate) fn log(&self) -> Vec<Value> {
        self.json(&["log"])["operations"].as_array().expect("an array").clone()
    }

    /// The id of the newest operation.
    #[track_caller]
    pub(crate) fn last(&self) -> String {
        self.log()[0]["id"].as_str().expect("an id").to_owned()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // Overlay's working folders have no permissions, and tests make some such, too.
        let _ = Command::new("chmod").args(["-R", "u+rwX"]).arg(&self.root).output();
    }
}

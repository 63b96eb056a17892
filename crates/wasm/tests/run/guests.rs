//! Guests from a C compiler, as modules and as components.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ctrlz_wasm::{Engine, Folder, Limits, Program, Settings, WasmError, World, run};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
};
use wit_component::ComponentEncoder;

/// A folder outside of which lies a file.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("work")).expect("a folder");
        fs::write(folder.path().join("outside"), "outside").expect("a file");
        Self { folder }
    }

    fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    /// The guest, compiled to a module.
    fn module(&self) -> Vec<u8> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests/acts.c");
        let output = self.folder.path().join("acts.wasm");
        let compiled = Command::new("clang")
            .args(["--target=wasm32-wasi", "-O1", "-o"])
            .arg(&output)
            .arg(source)
            .status()
            .expect("clang; `cargo xtask test` installs it");
        assert!(compiled.success());
        fs::read(output).expect("a module")
    }

    fn world(&self, words: &[&str]) -> World {
        let folder = Folder { path: self.work(), name: ".".to_owned(), read_only: false };
        let words = ["acts"].iter().chain(words);
        World {
            arguments: words.map(|word| (*word).to_owned()).collect(),
            environment: vec![("GREETED".to_owned(), "you".to_owned())],
            folders: vec![folder],
            ..World::default()
        }
    }

    /// What the guest wrote.
    fn told(&self) -> String {
        fs::read_to_string(self.work().join("told")).expect("what the guest told")
    }
}

/// The same program as a component.
fn component(module: &[u8]) -> Vec<u8> {
    let name = WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME;
    let adapter = WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER;
    let encoder = ComponentEncoder::default().module(module).expect("a module");
    let mut encoder = encoder.adapter(name, adapter).expect("an adapter");
    encoder.encode().expect("a component")
}

fn runs(bytes: &[u8], world: &World) -> Result<i32, WasmError> {
    let program = Program::compile(&Engine::new(Settings::default()).expect("an engine"), bytes);
    run(&program.expect("a program"), world, Limits::default())
}

/// As a module and as a component.
fn both(test: impl Fn(&Place, &[u8])) {
    let place = Place::new();
    let module = place.module();
    test(&place, &module);
    test(&Place::new(), &component(&module));
}

#[test]
fn arguments_environment_files_and_exit_code() {
    let place = Place::new();
    let module = place.module();
    let world = place.world(&["hello", "héllo"]);
    assert_eq!(runs(&module, &world).expect("an exit code"), 7);
    assert_eq!(place.told(), "héllo you\n");
    // A preview 2 command can only tell success from failure.
    fs::remove_file(place.work().join("told")).expect("removed");
    assert_eq!(runs(&component(&module), &world).expect("an exit code"), 1);
    assert_eq!(place.told(), "héllo you\n");
}

#[test]
fn only_the_given_folders_can_be_read() {
    both(|place, bytes| {
        std::os::unix::fs::symlink("../outside", place.work().join("link")).expect("a link");
        fs::write(place.work().join("inside"), "inside").expect("a file");
        let outside = place.folder.path().join("outside");
        let outside = outside.to_str().expect("a name");
        let paths = ["/etc/passwd", "../outside", "x/../../outside", outside, "link", "inside"];
        let world = place.world(&[["read"].as_slice(), &paths].concat());
        assert_eq!(runs(bytes, &world).expect("an exit code"), 0);
        let told = place.told();
        let done: Vec<&str> = told.lines().filter(|line| line.ends_with(": done")).collect();
        assert_eq!(done, ["inside: done"], "{told}");
        assert_eq!(told.lines().count(), paths.len());
    });
}

#[test]
fn nothing_outside_can_be_changed() {
    both(|place, bytes| {
        assert_eq!(runs(bytes, &place.world(&["escape"])).expect("an exit code"), 0);
        let told = place.told();
        // A relative link may lead where it wants, as long as nobody follows it.
        let done: Vec<&str> = told.lines().filter(|line| line.ends_with(": done")).collect();
        assert!(done.iter().all(|line| *line == "link: done"), "{told}");
        let left: Vec<_> = fs::read_dir(place.folder.path()).expect("a folder").flatten().collect();
        let mut names: Vec<_> = left.iter().map(|entry| entry.file_name()).collect();
        names.sort();
        names.retain(|name| name != "acts.wasm");
        assert_eq!(names, ["outside", "work"]);
    });
}

#[test]
fn a_read_only_folder_is_only_read() {
    both(|place, bytes| {
        let shared = place.folder.path().join("shared");
        fs::create_dir(&shared).expect("a folder");
        fs::write(shared.join("book"), "book").expect("a file");
        let mut world = place.world(&["read", "/shared/book"]);
        let folder = Folder { path: shared.clone(), name: "/shared".to_owned(), read_only: true };
        world.folders.push(folder);
        assert_eq!(runs(bytes, &world).expect("an exit code"), 0);
        assert_eq!(place.told(), "/shared/book: done\n");
        world.arguments = ["acts", "write", "/shared/new"].map(str::to_owned).to_vec();
        assert_eq!(runs(bytes, &world).expect("an exit code"), 0);
        assert!(place.told().starts_with("write: ") && !place.told().contains("done"));
        assert!(!shared.join("new").exists());
    });
}

//! The machine code of WebAssembly modules, kept from one start to the next.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
};
use wit_component::ComponentEncoder;

use super::wasm::{REACTOR, add, wasm, with};
use crate::support::Scene;

/// What is kept: the paths, and the inodes, which are others once something is written anew.
fn kept(scene: &Scene) -> Vec<(PathBuf, u64)> {
    let files = fs::read_dir(scene.store.join("compiled")).into_iter().flatten();
    let files = files.map(|file| file.expect("a file").path());
    let entries = files.filter(|path| path.file_name().is_some_and(|name| name.len() == 64));
    let mut entries: Vec<_> =
        entries.map(|path| (path.clone(), path.metadata().expect("status").ino())).collect();
    entries.sort();
    entries
}

/// The guest of the scene, as a component.
fn add_component(scene: &Scene) {
    let module = fs::read(scene.project.join("acts.wasm")).expect("a module");
    let (name, adapter) =
        (WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER);
    let encoder = ComponentEncoder::default().module(&module).expect("a module");
    let mut encoder = encoder.adapter(name, adapter).expect("an adapter");
    let component = encoder.encode().expect("a component");
    fs::write(scene.project.join("component.wasm"), component).expect("write");
}

#[test]
fn the_second_start_takes_what_the_first_one_made() {
    let scene = with("acts", &[]);
    add(&scene, "counter", &REACTOR);
    add_component(&scene);
    let count = ["--invoke", "count", "--memory-image", "memory", "counter.wasm", "1"];
    let starts: [(&[&str], i32); 5] = [
        (&["acts.wasm", "hello", "you"], 7),
        (&["--fuel", "100000000", "acts.wasm", "hello", "you"], 7),
        (&["--deterministic", "acts.wasm", "hello", "you"], 7),
        (&["component.wasm", "hello", "you"], 1),
        (&count, 0),
    ];
    for (number, (words, code)) in starts.into_iter().enumerate() {
        wasm(&scene, words).code(code);
        let first = kept(&scene);
        assert_eq!(first.len(), number + 1, "{words:?}");
        let again = wasm(&scene, words).code(code);
        assert!(!again.err().contains("machine code"), "{again}");
        assert_eq!(kept(&scene), first, "{words:?}");
    }
    assert_eq!(wasm(&scene, &count).ok().out(), "43\n");
    // Another module under the same name.
    let path = scene.project.join("acts.wasm");
    let module = fs::read(&path).expect("a module");
    let custom_section = [0, 2, 1, b'x'];
    fs::write(&path, [module.as_slice(), &custom_section].concat()).expect("write");
    wasm(&scene, &["acts.wasm", "hello", "you"]).code(7);
    assert_eq!(kept(&scene).len(), starts.len() + 1);
}

#[test]
fn what_somebody_changed_is_refused_told_and_made_anew() {
    let scene = with("acts", &[]);
    let run = || wasm(&scene, &["acts.wasm", "hello", "you"]).code(7).err();
    run();
    let first = kept(&scene);
    let entry = &first[0].0;
    let whole = fs::read(entry).expect("an entry");
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    let half = whole[..whole.len() / 2].to_vec();
    for (bytes, why) in
        [(flipped, "somebody changed it"), (half, "authentication code"), (vec![], "not as long")]
    {
        fs::write(entry, bytes).expect("write");
        let told = run();
        let begin =
            "ctrlz: wasm: acts.wasm: the machine code kept of it is not used, and made anew: ";
        assert!(told.contains(begin) && told.contains(why), "{told}");
        assert_eq!(fs::read(entry).expect("an entry").len(), whole.len());
        assert!(!run().contains("machine code"));
    }
    // Where nothing can be kept, all runs as ever.
    fs::remove_dir_all(scene.store.join("compiled")).expect("removed");
    fs::write(scene.store.join("compiled"), "in the way").expect("write");
    assert!(!run().contains("machine code"));
}

#[test]
fn no_command_reaches_what_is_kept() {
    let scene = with("acts", &[]);
    wasm(&scene, &["acts.wasm", "hello", "you"]).code(7);
    let key = scene.store.join("compiled/key");
    assert_eq!(key.metadata().expect("a key").mode() & 0o777, 0o600);
    let key = key.to_str().expect("UTF-8");
    let told = scene.run(&["run", "--", "cat", key]).code(1);
    assert!(told.err().contains("No such file"), "{told}");
    // Nor does a guest find the socket, whatever it may read.
    let words = ["--dir", "/proc/self/fd", "acts.wasm", "read", "/proc/self/fd/3", key];
    wasm(&scene, &words).ok();
    let told = scene.ok(&["run", "--", "cat", "told"]);
    assert!(!told.contains("done"), "{told}");
}

#[test]
fn what_nobody_uses_is_collected() {
    let scene = with("acts", &[]);
    wasm(&scene, &["acts.wasm", "hello", "you"]).code(7);
    assert!(scene.ok(&["gc", "--json"]).contains("\"compiled_freed_bytes\":0"));
    let entry = kept(&scene)[0].0.clone();
    scene.host(&format!("touch -d '40 days ago' {}", entry.display()));
    let told = scene.ok(&["gc", "--dry-run"]);
    assert!(told.contains("1 files of compiled WebAssembly would go"), "{told}");
    assert_eq!(kept(&scene).len(), 1);
    let told = scene.ok(&["gc", "--json"]);
    assert!(!told.contains("\"compiled_freed_bytes\":0"), "{told}");
    assert_eq!(kept(&scene), []);
    wasm(&scene, &["acts.wasm", "hello", "you"]).code(7);
    assert_eq!(kept(&scene).len(), 1);
}

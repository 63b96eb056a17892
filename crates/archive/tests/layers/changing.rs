//! Files that do not hold still.

use std::fs;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};

use ctrlz_archive::layer::Changing;
use ctrlz_archive::{ArchiveError, LayerOptions, Lost};
use ctrlz_core::path::RelPath;

use super::support::{Layer, live, restore_to, target, write_with};

/// Writes to `file` as long as `work` is under way.
fn restless<T>(file: &std::path::Path, work: impl FnOnce() -> T) -> T {
    let (stop, started) = (AtomicBool::new(false), AtomicBool::new(false));
    let open = fs::OpenOptions::new().write(true).open(file).expect("open");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut n = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                n += 1;
                open.write_all_at(&n.to_le_bytes(), n % 10).expect("write");
                started.store(true, Ordering::Relaxed);
            }
        });
        while !started.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        let done = work();
        stop.store(true, Ordering::Relaxed);
        done
    })
}

#[test]
fn what_never_holds_still_is_told() {
    for size in [100, 3 << 20] {
        let dir = tempfile::tempdir().expect("temporary directory");
        let (tree, back) = (dir.path().join("tree"), dir.path().join("back"));
        fs::create_dir(&tree).expect("mkdir");
        fs::write(tree.join("log"), vec![1; size]).expect("write");
        // Whoever writes may be kept from it for so long that the file held still.
        let until = |options: LayerOptions, told: &dyn Fn(&Result<Layer, ArchiveError>) -> bool| {
            let tries = std::iter::repeat_with(|| write_with(&live(&tree), &options)).take(1000);
            restless(&tree.join("log"), || tries.into_iter().find(told)).expect("it changed")
        };
        let options = LayerOptions::default();
        let refused = until(options.clone(), &|result| {
            let error = result.as_ref().err();
            assert!(
                error.is_none_or(|error| matches!(error, ArchiveError::Changing { path }
                    if path.to_string() == "log")),
                "{error:?}"
            );
            error.is_some()
        });
        assert!(refused.is_err());
        let layer = until(LayerOptions { changing: Changing::Take, ..options }, &|result| {
            let losses = &result.as_ref().expect("taken as it is").written.losses;
            losses.first.first().is_some_and(|loss| loss.what == Lost::Changed)
        });
        let layer = layer.expect("taken as it is");
        restore_to(target(&back), &[&layer.blob]).expect("restore");
        assert_eq!(fs::metadata(back.join("log")).expect("stat").len(), size as u64);
    }
}

#[test]
fn what_holds_still_after_a_while_is_read_again() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let tree = dir.path().join("tree");
    fs::create_dir(&tree).expect("mkdir");
    // Nothing in the archive's way, so that the writer is met by some of many reads.
    for n in 0..200 {
        fs::write(tree.join(format!("{n:03}")), vec![0; 1000]).expect("write");
    }
    let open = fs::OpenOptions::new().write(true).open(tree.join("100")).expect("open");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..1000_u64 {
                open.write_all_at(&n.to_le_bytes(), 0).expect("write");
            }
        });
        let layer = write_with(&live(&tree), &LayerOptions::default());
        if let Err(error) = layer {
            assert!(matches!(error, ArchiveError::Changing { .. }), "{error}");
        }
    });
    write_with(&live(&tree), &LayerOptions::default()).expect("it holds still");
}

#[test]
fn a_held_file_is_copied_first() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let (tree, back) = (dir.path().join("tree"), dir.path().join("back"));
    fs::create_dir(&tree).expect("mkdir");
    let content: Vec<u8> = (0..900_000_u32).flat_map(u32::to_le_bytes).collect();
    fs::write(tree.join("database"), &content).expect("write");
    let sparse = fs::File::create(tree.join("sparse")).expect("create");
    sparse.set_len(5 << 20).expect("size");
    sparse.write_all_at(b"data", 3 << 20).expect("write");
    let held = ["database", "sparse"].map(|path| RelPath::parse(path).expect("path"));
    let options = LayerOptions {
        held: held.into_iter().collect(),
        scratch: Some(dir.path().to_owned()),
        ..LayerOptions::default()
    };
    let layer = write_with(&live(&tree), &options).expect("write");
    let plain = write_with(&live(&tree), &LayerOptions::default()).expect("write");
    assert!(layer.blob == plain.blob, "the same as if it had not been copied");
    restore_to(target(&back), &[&layer.blob]).expect("restore");
    assert_eq!(fs::read(back.join("database")).expect("read"), content);
    // Large and restless, it is of one moment only when it is copied, and then no error.
    let options = LayerOptions { changing: Changing::Take, ..options };
    let layer = restless(&tree.join("database"), || write_with(&live(&tree), &options));
    layer.expect("write");
}

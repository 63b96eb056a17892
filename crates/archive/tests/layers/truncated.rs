//! A layer that was cut is never taken for a whole one.

use ctrlz_archive::codec::Compression;

use super::support::{build, everything, live, options, restore_to, target, write_with};

#[test]
fn a_cut_at_any_block_is_seen() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let (tree, back) = (dir.path().join("tree"), dir.path().join("back"));
    std::fs::create_dir(&tree).expect("mkdir");
    let mut plans = everything();
    plans.retain(|plan| plan.name != b"large");
    build(&tree, &plans);
    for (compression, step) in [
        (Compression::None, 512),
        (Compression::default(), 67),
        (Compression::Gzip { level: 6 }, 101),
    ] {
        let layer = write_with(&live(&tree), &options(compression)).expect("write");
        let whole = layer.blob.len();
        for at in (0..whole).step_by(step).chain([whole - 1]) {
            let cut = restore_to(target(&back), &[&layer.blob[..at]]);
            let error = cut.expect_err("cut").to_string();
            assert!(error.contains("too early") || at < 10, "{compression:?} at {at}: {error}");
            assert!(!back.exists() && !dir.path().join("back.partial").exists());
        }
        restore_to(target(&back), &[&layer.blob]).expect("whole");
        std::fs::remove_dir_all(&back).expect("remove");
    }
}

//! What was archived comes back, whatever it was.

use std::io::BufReader;

use ctrlz_archive::codec::Compression;
use ctrlz_archive::listing::{Scope, compare};
use proptest::prelude::*;

use super::support::{
    Make, Plan, build, everything, families, live, options, picture, restore_to, target, write,
    write_with,
};

#[test]
fn one_of_everything_comes_back() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let (tree, back) = (dir.path().join("tree"), dir.path().join("back"));
    std::fs::create_dir(&tree).expect("mkdir");
    build(&tree, &everything());
    for compression in
        [Compression::Zstd { level: 3 }, Compression::Gzip { level: 6 }, Compression::None]
    {
        let layer = write_with(&live(&tree), &options(compression)).expect("write");
        assert!(layer.written.losses.is_empty(), "{:?}", layer.written.losses);
        let restored = restore_to(target(&back), &[&layer.blob]).expect("restore");
        assert!(restored.losses.is_empty(), "{:?}", restored.losses);
        assert_eq!(restored.counts, layer.written.counts);
        similar(&tree, &back);
        let compared = compare(BufReader::new(layer.listing.as_slice()), &back, Scope::default());
        let compared = compared.expect("compare");
        assert_eq!(compared.differences, []);
        assert!(compared.paths > 20);
        std::fs::remove_dir_all(&back).expect("remove");
    }
}

fn similar(tree: &std::path::Path, back: &std::path::Path) {
    let (expected, found) = (picture(tree), picture(back));
    for (path, text) in &expected {
        assert_eq!(Some(text), found.get(path), "{}", path.display());
    }
    assert_eq!(expected.len(), found.len());
    assert_eq!(families(tree), families(back));
}

fn names() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        // Names that sort around `/`.
        "[ab][-.!0]{0,3}".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 1..20),
        (100_usize..255).prop_map(|length| vec![b'x'; length]),
        Just("\u{1f980}".into()),
    ]
    .prop_map(|name| {
        name.into_iter().map(|byte| if matches!(byte, 0 | b'/') { b'_' } else { byte }).collect()
    })
    .prop_filter("a name", |name: &Vec<u8>| {
        !matches!(name.as_slice(), b"." | b"..") && !name.starts_with(b".wh.")
    })
}

fn makes() -> impl Strategy<Value = Make> {
    let bytes = |most| proptest::collection::vec(any::<u8>(), 0..most);
    prop_oneof![
        3 => Just(Make::Directory),
        3 => bytes(3000).prop_map(Make::File),
        1 => (250_000_usize..280_000, any::<u8>()).prop_map(|(n, b)| Make::File(vec![b; n])),
        1 => (1_u64..2_000_000, proptest::collection::vec((0_u64..2_000_000, 1_usize..9000), 0..4))
            .prop_map(|(size, data)| Make::Sparse(size, data)),
        1 => bytes(200).prop_map(|target| {
            let target: Vec<u8> = target.into_iter().filter(|byte| *byte != 0).collect();
            Make::Symlink(if target.is_empty() { b"x".to_vec() } else { target })
        }),
        2 => any::<usize>().prop_map(Make::HardLink),
        1 => Just(Make::Fifo),
        1 => (1_u32..300, 0_u32..100_000).prop_map(|(major, minor)| Make::Device(major, minor)),
    ]
}

fn plans() -> impl Strategy<Value = Plan> {
    let attributes = proptest::collection::vec(
        ("user\\.[a-z=%]{1,8}", proptest::collection::vec(any::<u8>(), 0..50)),
        0..3,
    );
    (
        names(),
        any::<usize>(),
        makes(),
        0_u32..0o10000,
        (0_u32..3, prop_oneof![Just(0_u32), 2_000_000_u32..3_000_000]),
        // What ext4 can stamp.
        (-2_000_000_000_i64..15_000_000_000, 0_u32..1_000_000_000),
        attributes,
        proptest::bool::weighted(0.1),
    )
        .prop_map(|(name, directory, make, mode, owner, mtime, attributes, acl)| Plan {
            name,
            directory,
            make,
            mode,
            owner,
            mtime,
            attributes,
            acl,
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn any_tree_comes_back(plans in proptest::collection::vec(plans(), 0..40)) {
        let dir = tempfile::tempdir().expect("temporary directory");
        let (tree, back) = (dir.path().join("tree"), dir.path().join("back"));
        std::fs::create_dir(&tree).expect("mkdir");
        build(&tree, &plans);
        let layer = write(&live(&tree));
        prop_assert!(layer.written.losses.is_empty(), "{:?}", layer.written.losses);
        let restored = restore_to(target(&back), &[&layer.blob]).expect("restore");
        prop_assert!(restored.losses.is_empty(), "{:?}", restored.losses);
        similar(&tree, &back);
        // Archived again, it is the same.
        let again = write(&live(&back));
        prop_assert!(again.written.diff_id == layer.written.diff_id);
        prop_assert!(again.blob == layer.blob && again.listing == layer.listing);
    }
}

#[test]
fn the_same_tree_gives_the_same_bytes() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let mut trees = Vec::new();
    for (name, reverse) in [("one", false), ("two", true)] {
        let tree = dir.path().join(name);
        std::fs::create_dir(&tree).expect("mkdir");
        let mut plans: Vec<Plan> = (0..500)
            .map(|n: u32| super::support::plan(format!("f{n}").as_bytes(), Make::File(vec![1; 20])))
            .collect();
        if reverse {
            plans.reverse();
        }
        build(&tree, &plans);
        trees.push(tree);
    }
    let layers: Vec<_> = [1, 2, 5]
        .iter()
        .flat_map(|cores| trees.iter().map(move |tree| (*cores, tree)))
        .map(|(cores, tree)| {
            let options = ctrlz_archive::LayerOptions { cores, ..options(Compression::default()) };
            write_with(&live(tree), &options).expect("write")
        })
        .collect();
    for layer in &layers {
        assert!(layer.blob == layers[0].blob && layer.listing == layers[0].listing);
        assert_eq!(layer.written, layers[0].written);
    }
    use sha2::Digest;
    let digest = sha2::Sha256::digest(&layers[0].blob);
    let compressed = layers[0].written.compressed_digest.expect("asked for");
    assert_eq!(compressed.bytes, <[u8; 32]>::from(digest));
    let tar = zstd::decode_all(layers[0].blob.as_slice()).expect("decode");
    assert_eq!(layers[0].written.diff_id.bytes, <[u8; 32]>::from(sha2::Sha256::digest(&tar)));
    assert_eq!(layers[0].written.size, tar.len() as u64);
}

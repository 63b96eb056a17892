//! The live base, archived again and again.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ctrlz_archive::base::{Survey, Whole};
use ctrlz_archive::codec::Compression;
use ctrlz_archive::layer::Unreadable;
use ctrlz_archive::listing::{Scope, compare, merge};
use proptest::prelude::*;

use super::support::{
    Layer, build, everything, families, live, options, picture, restore_to, set_time, target,
};

/// A base and its archive.
struct Archive {
    dir: tempfile::TempDir,
    layers: Vec<Layer>,
}

impl Archive {
    fn new() -> Self {
        let this =
            Self { dir: tempfile::tempdir().expect("temporary directory"), layers: Vec::new() };
        fs::create_dir(this.tree()).expect("mkdir");
        this
    }

    fn tree(&self) -> PathBuf {
        self.dir.path().join("tree")
    }

    fn index(&self) -> PathBuf {
        self.dir.path().join("index")
    }

    /// Archives what differs; answers why it was the whole, and how many entries that were.
    fn archive(&mut self) -> (Option<Whole>, u64) {
        let stratum = live(&self.tree());
        let survey = Survey::take(&stratum, &self.index(), Unreadable::Refuse).expect("survey");
        if survey.is_unchanged() {
            survey.keep(None).expect("keep");
            return (None, 0);
        }
        let (mut blob, mut listing) = (Vec::new(), Vec::new());
        let written =
            survey.write(&options(Compression::default()), &mut blob, &mut listing).expect("write");
        let (whole, entries) = (survey.whole(), written.counts.entries());
        self.layers.truncate(survey.layers().len());
        let names: Vec<_> = (0..self.layers.len()).map(|n| format!("layer {n}")).collect();
        assert_eq!(survey.layers(), names);
        self.layers.push(Layer { written, blob, listing });
        survey.keep(Some(format!("layer {}", names.len()))).expect("keep");
        (whole, entries)
    }

    /// Restores it and compares.
    fn check(&self) {
        let back = self.dir.path().join("back");
        let blobs: Vec<&[u8]> = self.layers.iter().map(|layer| layer.blob.as_slice()).collect();
        restore_to(target(&back), &blobs).expect("restore");
        let (expected, found) = (picture(&self.tree()), picture(&back));
        for (path, text) in &expected {
            assert_eq!(Some(text), found.get(path), "{}", path.display());
        }
        assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        assert_eq!(families(&self.tree()), families(&back));
        let mut merged = Vec::new();
        merge(self.layers.iter().map(|layer| layer.listing.as_slice()), &mut merged)
            .expect("merge");
        let compared = compare(merged.as_slice(), &back, Scope::default()).expect("compare");
        assert_eq!(compared.differences, []);
        fs::remove_dir_all(&back).expect("remove");
    }
}

/// Until the clock has gone on far enough for times to tell.
fn a_moment() {
    std::thread::sleep(std::time::Duration::from_millis(45));
}

#[test]
fn only_what_differs_is_archived_again() {
    let mut archive = Archive::new();
    build(&archive.tree(), &everything());
    a_moment();
    assert_eq!(archive.archive().0, Some(Whole::Unknown));
    assert_eq!(archive.archive(), (None, 0), "nothing changed");
    let at = |path: &str| archive.tree().join(path);
    fs::write(at("file"), "other text").expect("write");
    fs::remove_file(at("link")).expect("remove");
    fs::set_permissions(at("noted"), fs::Permissions::from_mode(0o600)).expect("chmod");
    fs::rename(at("listed"), at("directory/moved")).expect("rename");
    a_moment();
    let (whole, entries) = archive.archive();
    // The root, its directory, three names of `file`, `noted`, `moved`, and two that are gone.
    assert_eq!((whole, entries), (None, 9));
    archive.check();
    assert_eq!(archive.archive(), (None, 0));
}

#[test]
fn what_was_changed_just_before_is_looked_at_again() {
    let mut archive = Archive::new();
    for n in 0..5 {
        fs::write(archive.tree().join(format!("{n}")), "x".repeat(100)).expect("write");
    }
    a_moment();
    let file = archive.tree().join("0");
    fs::write(&file, "y").expect("write");
    archive.archive();
    // The same version, as if nothing had happened; only that it is so young tells.
    let stratum = live(&archive.tree());
    let survey = Survey::take(&stratum, &archive.index(), Unreadable::Refuse).expect("survey");
    assert!(!survey.is_unchanged());
    drop(survey);
    a_moment();
    assert_eq!(archive.archive(), (None, 2), "the file and its directory");
    assert_eq!(archive.archive(), (None, 0));
}

#[test]
fn a_damaged_or_foreign_index_is_none() {
    let mut archive = Archive::new();
    build(&archive.tree(), &everything());
    a_moment();
    archive.archive();
    let whole = fs::read(archive.index()).expect("read");
    let stratum = live(&archive.tree());
    let why = |text: &[u8]| {
        fs::write(archive.index(), text).expect("write");
        let survey = Survey::take(&stratum, &archive.index(), Unreadable::Refuse).expect("survey");
        survey.whole()
    };
    assert_eq!(why(&whole), None);
    for at in (0..whole.len()).step_by(11).chain([whole.len() - 1]) {
        let mut bad = whole.clone();
        bad[at] ^= 1;
        assert_eq!(why(&bad), Some(Whole::Unknown), "byte {at}");
        assert_eq!(why(&whole[..at]), Some(Whole::Unknown), "cut at {at}");
    }
    assert_eq!(why(b""), Some(Whole::Unknown));
    fs::write(archive.index(), &whole).expect("write");
    let other = archive.dir.path().join("other");
    fs::rename(archive.tree(), &other).expect("rename");
    let stratum = live(&other);
    let survey = Survey::take(&stratum, &archive.index(), Unreadable::Refuse).expect("survey");
    assert_eq!(survey.whole(), Some(Whole::Unknown));
}

#[test]
fn after_many_layers_and_great_changes_it_is_whole_again() {
    let mut archive = Archive::new();
    for n in 0..8 {
        fs::write(archive.tree().join(format!("{n}")), "x".repeat(100)).expect("write");
    }
    a_moment();
    archive.archive();
    for n in 1..16 {
        fs::write(archive.tree().join("0"), format!("{n}")).expect("write");
        a_moment();
        assert_eq!(archive.archive().0, None, "layer {n}");
    }
    archive.check();
    fs::write(archive.tree().join("0"), "last").expect("write");
    a_moment();
    assert_eq!(archive.archive().0, Some(Whole::Layers));
    assert_eq!(archive.layers.len(), 1);
    archive.check();
    for n in 0..5 {
        fs::write(archive.tree().join(format!("{n}")), "y".repeat(100)).expect("write");
    }
    a_moment();
    assert_eq!(archive.archive().0, Some(Whole::Different));
    archive.check();
}

#[derive(Debug, Clone)]
enum Change {
    Write(usize),
    Remove(usize),
    Directory(usize),
    Rename(usize, usize),
    Link(usize, usize),
    Mode(usize, u32),
}

const PATHS: [&str; 10] = ["a", "a/b", "a/b/c", "a.b", "a-", "a/b.c", "d", "d/e", "d/e/f", "d0"];

fn apply(tree: &Path, change: &Change, n: usize) {
    let at = |n: usize| tree.join(PATHS[n % PATHS.len()]);
    // What cannot be done is not done.
    match change {
        Change::Write(path) => drop(fs::write(at(*path), format!("{n}").repeat(n))),
        Change::Remove(path) => {
            let path = at(*path);
            drop(if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) });
        }
        Change::Directory(path) => drop(fs::create_dir(at(*path))),
        Change::Rename(from, to) => drop(fs::rename(at(*from), at(*to))),
        Change::Link(from, to) => drop(fs::hard_link(at(*from), at(*to))),
        Change::Mode(path, mode) => {
            drop(fs::set_permissions(at(*path), fs::Permissions::from_mode(0o700 | mode)));
        }
    }
}

fn changes() -> impl Strategy<Value = Change> {
    let any = 0_usize..PATHS.len();
    prop_oneof![
        3 => any.clone().prop_map(Change::Write),
        2 => any.clone().prop_map(Change::Remove),
        3 => any.clone().prop_map(Change::Directory),
        2 => (any.clone(), any.clone()).prop_map(|(a, b)| Change::Rename(a, b)),
        1 => (any.clone(), any.clone()).prop_map(|(a, b)| Change::Link(a, b)),
        1 => (any, 0_u32..0o100).prop_map(|(a, b)| Change::Mode(a, b)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn layers_of_what_differs_make_the_base(
        steps in proptest::collection::vec(proptest::collection::vec(changes(), 1..12), 1..6)
    ) {
        let mut archive = Archive::new();
        // So much that never changes that half of it never does.
        fs::write(archive.tree().join("ballast"), vec![1; 1 << 16]).expect("write");
        set_time(&archive.tree(), (1, 0));
        let mut n = 0;
        for step in steps {
            for change in &step {
                n += 1;
                apply(&archive.tree(), change, n);
            }
            a_moment();
            archive.archive();
        }
        archive.check();
    }
}

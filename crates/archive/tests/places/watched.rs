//! Archiving that somebody watches: it ends when they say so, and nothing of it counts that they
//! take back.

use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use ctrlz_archive::ArchiveError;
use ctrlz_archive::archiver::{Archived, Archiver, Subject, Watch};
use ctrlz_archive::collect::{Collecting, collect};
use ctrlz_archive::layer::LayerOptions;
use ctrlz_archive::place::{Directory, Place};
use ctrlz_archive::verify::{Verifying, verify};
use ctrlz_core::archive::{Dialect, Stratum};
use ctrlz_core::id::{OperationId, SandboxId, SnapshotId};
use ctrlz_core::lifecycle::Life;
use ctrlz_core::sandbox::{Guard, Root, Sandbox};
use ctrlz_core::snapshot::{Point, Snapshot, SnapshotKind, SnapshotScope, Tree};
use ctrlz_core::time::Timestamp;

use crate::fixture::noise;

fn point() -> Point {
    Point { tree: Tree("a tree".to_owned()), state_version: 0 }
}

fn sandbox(base: &Path) -> Sandbox {
    Sandbox {
        id: SandboxId(1),
        name: "web".parse().expect("a name"),
        folder: None,
        root: Root::Host,
        base: base.to_owned(),
        driver: "overlay".to_owned(),
        point: point(),
        created: Timestamp(0),
        used: Timestamp(0),
        open_operation: None,
        guard: Guard::default(),
        life: Life::default(),
    }
}

fn snapshot() -> Snapshot {
    Snapshot {
        id: SnapshotId(7),
        sandbox: SandboxId(1),
        kind: SnapshotKind::Manual,
        scope: SnapshotScope::Full,
        message: String::new(),
        tags: std::collections::BTreeSet::new(),
        operation: OperationId(1),
        point: point(),
        created: Timestamp(0),
        good: None,
        live: None,
    }
}

/// A base and a layer with a MiB each, and an archive.
struct Scene {
    directory: tempfile::TempDir,
    place: Directory,
}

impl Scene {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a folder");
        for name in ["base", "layer"] {
            let folder = directory.path().join(name);
            fs::create_dir(&folder).expect("a folder");
            fs::write(folder.join(name), noise(name.len() as u64, 1 << 20)).expect("written");
        }
        let place = Directory::create(&directory.path().join("place")).expect("a place");
        Self { directory, place }
    }

    fn archive(
        &self,
        is_over: &(dyn Fn() -> bool + Sync),
        check: &dyn Fn() -> Result<(), String>,
    ) -> Result<Archived, ArchiveError> {
        let stratum = |id: Option<&str>, name: &str, dialect| Stratum {
            id: id.map(str::to_owned),
            directory: self.directory.path().join(name),
            dialect,
            root: true,
            hidden: Vec::new(),
            record: None,
        };
        let strata = [
            stratum(None, "base", Dialect::Plain),
            stratum(Some("l-1"), "layer", Dialect::Overlay),
        ];
        let (sandbox, snapshot) = (sandbox(&self.directory.path().join("base")), snapshot());
        let (scope, strata) = (SnapshotScope::Full, strata.as_slice());
        let subject = Subject {
            sandbox: &sandbox,
            snapshot: &snapshot,
            scope,
            strata,
            setup: 0,
            state: None,
        };
        let memory = self.directory.path().join("memory");
        let options = LayerOptions { cores: 1, ..LayerOptions::default() };
        let archiver = Archiver { place: &self.place, memory: &memory, keys: None, options };
        archiver.archive_watched(&subject, &Watch { progress: &|_| (), is_over, check })
    }

    fn is_empty(&self) -> bool {
        let partial = self.directory.path().join("place/.ctrlz/partial");
        let partial = fs::read_dir(partial).expect("a folder").count();
        self.place.names().expect("names").is_empty() && partial == 0
    }
}

#[test]
fn it_ends_whenever_it_is_asked_to_and_goes_on_with_what_was_whole() {
    let scene = Scene::new();
    let mut ended = 0;
    let archived = loop {
        let left = AtomicU64::new(ended * 4);
        let is_over = || {
            let before = left.load(Ordering::Relaxed);
            left.store(before.saturating_sub(1), Ordering::Relaxed);
            before == 0
        };
        match scene.archive(&is_over, &|| Ok(())) {
            Err(ArchiveError::Ended) => {
                assert!(scene.is_empty(), "nothing has a name, and nothing half is left");
                ended += 1;
            }
            archived => break archived.expect("in the end"),
        }
    };
    assert!(ended > 2, "it was asked at {ended} moments only");
    assert!(archived.reused.0 > 0, "a layer that was whole was written again");
    let all = collect(&scene.place, &Collecting::default()).expect("collected");
    assert_eq!(all.removed, (0, 0), "{all:?}");
    let verified = verify(&scene.place, &Verifying::default(), &|_| ()).expect("verified");
    assert!(verified.faults.is_empty(), "{verified:?}");
}

#[test]
fn what_is_not_any_more_what_it_was_gets_no_name_and_is_not_remembered() {
    let scene = Scene::new();
    // After each layer, and at the end.
    for good in 0..3 {
        let asked = Cell::new(0);
        let check = || {
            asked.set(asked.get() + 1);
            if asked.get() > good { Err("it was replaced".to_owned()) } else { Ok(()) }
        };
        let error = scene.archive(&|| false, &check).expect_err("overtaken");
        assert!(
            matches!(&error, ArchiveError::Overtaken(why) if why == "it was replaced"),
            "{error}"
        );
        assert!(scene.is_empty());
        let remembered = fs::read_dir(scene.directory.path().join("memory/layers"));
        let remembered = remembered.expect("a folder").count();
        // A note and a listing of each that was found good. The second time, the first one is known.
        assert_eq!(remembered, 2 * good.min(2), "{good}");
        if good < 2 {
            for folder in ["memory/layers", "memory/bases"] {
                let folder = scene.directory.path().join(folder);
                fs::remove_dir_all(&folder).expect("removed");
            }
        }
    }
    let archived = scene.archive(&|| false, &|| Ok(())).expect("archived");
    assert_eq!(archived.reused.0, 2);
}

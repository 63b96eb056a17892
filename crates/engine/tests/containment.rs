//! A sandbox that is contained while a command begins in it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its own functions, too"
)]

use std::path::{Path, PathBuf};

use ctrlz_core::driver::Driver;
use ctrlz_core::event::MadeOf;
use ctrlz_core::isolation::Network;
use ctrlz_core::limits::Limits;
use ctrlz_core::monitor::AnomalyPolicy;
use ctrlz_core::operation::{OperationKind, Status};
use ctrlz_core::sandbox::{GuardChange, Root, Sandbox};
use ctrlz_core::span::Span;
use ctrlz_core::store::Store;
use ctrlz_core::workspace::WorkspaceDriver;
use ctrlz_engine::tracker::Monitoring;
use ctrlz_engine::{BaseChoice, EngineError, NewNamed, RunReport, RunRequest, SandboxCore};
use ctrlz_store::SqliteStore;
use ctrlz_testkit::fake_isolation::FakeIsolation;
use ctrlz_workspace::CopyDriver;

struct Scene {
    directory: tempfile::TempDir,
    store: SqliteStore,
    copies: CopyDriver,
}

impl Scene {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&directory.path().join("store")).unwrap();
        let copies = CopyDriver::new(&directory.path().join("store/copies"));
        std::fs::create_dir(directory.path().join("base")).unwrap();
        Self { directory, store, copies }
    }

    fn base(&self) -> PathBuf {
        self.directory.path().join("base")
    }

    /// Runs a command in the only sandbox.
    fn run(
        &self,
        isolation: &FakeIsolation<'_>,
        network: Network,
    ) -> Result<RunReport, EngineError> {
        let drivers: [&dyn WorkspaceDriver; 1] = [&self.copies];
        let core = SandboxCore::new(&self.store, &drivers, isolation, &|_, _| false);
        let sandbox = self.store.sandbox_named("web").unwrap_or_else(|_| {
            let (root, made_of) = (Root::Host, MadeOf::default());
            let choice = BaseChoice { root, base: self.base(), made_of };
            core.create_named(&NewNamed { name: "web".parse().unwrap(), choice }, None).unwrap()
        });
        core.run(&sandbox, request(network, &self.base()))
    }

    /// Contains it, as another process does.
    fn contain(&self) {
        let store = SqliteStore::open(&self.directory.path().join("store")).unwrap();
        let sandbox = store.sandbox_named("web").unwrap();
        let contain = GuardChange::Contain { reason: "odd".to_owned(), watched: 3 };
        store.change_guard(sandbox.id, &contain).unwrap();
    }

    fn sandbox(&self) -> Sandbox {
        self.store.sandbox_named("web").unwrap()
    }

    /// The commands in the journal.
    fn commands(&self) -> Vec<Status> {
        let operations = self.store.operations(self.sandbox().id, 100).unwrap();
        let commands = operations.iter().filter(|one| one.request.kind == OperationKind::Run);
        commands.map(|one| one.status).collect()
    }
}

fn request(network: Network, base: &Path) -> RunRequest {
    RunRequest {
        title: "a command".to_owned(),
        argv: vec!["true".into()],
        env: Vec::new(),
        workdir: base.to_owned(),
        limits: Limits::default(),
        most_disk: None,
        least_free: None,
        isolation: Driver::Native,
        network,
        hidden: Vec::new(),
        keep_capabilities: Vec::new(),
        snapshot: false,
        automatic: None,
        fresh: false,
        commit: None,
        take_back: false,
        streams: ctrlz_core::isolation::Streams::Inherited,
        profile: "development".to_owned(),
        identity: String::new(),
        files: Vec::new(),
        verdict: None,
        monitoring: Monitoring {
            every: Span::default(),
            anomaly: AnomalyPolicy::Off,
            emergency: false,
            watched: 0,
        },
        memory: None,
        compiled: None,
    }
}

#[test]
fn what_is_contained_while_it_is_set_up_does_not_start_with_a_network() {
    let scene = Scene::new();
    // Whoever contains it now sees no operation under way, so that nothing is frozen.
    let isolation = FakeIsolation::new(|| scene.contain());
    let refused = scene.run(&isolation, Network::Host);
    assert!(
        matches!(&refused, Err(EngineError::Contained { reason, .. }) if reason == "odd"),
        "{refused:?}"
    );
    assert_eq!(isolation.started(), 0);
    assert_eq!((scene.commands(), scene.sandbox().open_operation), (Vec::new(), None));
    // Nothing of it stands in the way of what has no network.
    let isolation = FakeIsolation::new(|| ());
    scene.run(&isolation, Network::None).unwrap();
    assert_eq!((isolation.started(), scene.commands()), (1, vec![Status::Done]));
    let refused = scene.run(&isolation, Network::Host);
    assert!(matches!(refused, Err(EngineError::Contained { .. })), "{refused:?}");
    assert_eq!(isolation.prepared(), 1, "it is told before anything is set up");
}

#[test]
fn what_has_no_network_goes_on_although_it_is_contained_meanwhile() {
    let scene = Scene::new();
    let isolation = FakeIsolation::new(|| scene.contain());
    scene.run(&isolation, Network::None).unwrap();
    assert_eq!((isolation.started(), scene.commands()), (1, vec![Status::Done]));
}

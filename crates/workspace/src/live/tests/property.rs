//! Any tree, any change: the commit gives the wanted tree, the revert the one before.

use proptest::prelude::*;

use super::*;

/// What a path may be made to be.
#[derive(Debug, Clone)]
enum Node {
    File(u8, u32),
    Folder(u32),
    Link(u8),
    Pipe,
    /// A second name of whatever file is at this path.
    Twin(Vec<u8>),
}

fn path() -> impl Strategy<Value = Vec<u8>> {
    // Few names, so that paths meet; one sorts between `a` and `a/…`, one is not UTF-8.
    prop::collection::vec(0_u8..4, 1..4)
}

fn node() -> impl Strategy<Value = Node> {
    let mode = prop::sample::select(vec![0o644, 0o755, 0o600, 0o444]);
    let folder = prop::sample::select(vec![0o755, 0o700, 0o1777]);
    prop_oneof![
        4 => (any::<u8>(), mode).prop_map(|(content, mode)| Node::File(content, mode)),
        3 => folder.prop_map(Node::Folder),
        1 => any::<u8>().prop_map(Node::Link),
        1 => Just(Node::Pipe),
        2 => path().prop_map(Node::Twin),
    ]
}

fn full(root: &Path, path: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    let names: [&[u8]; 4] = [b"a", b"a.b", b"\xff\xfe", b"c"];
    path.iter().fold(root.to_owned(), |full, name| {
        full.join(std::ffi::OsStr::from_bytes(names[usize::from(*name)]))
    })
}

fn put(root: &Path, path: &[u8], node: Option<&Node>) {
    let target = full(root, path);
    let _ = node::remove_tree(&target);
    let Some(node) = node else { return };
    let parent = target.parent().expect("parent");
    if fs::create_dir_all(parent).is_err() {
        return;
    }
    match node {
        Node::File(content, mode) => {
            fs::write(&target, vec![*content; usize::from(*content)]).expect("write");
            chmod(&target, *mode);
        }
        Node::Folder(mode) => {
            fs::create_dir(&target).expect("mkdir");
            chmod(&target, *mode);
        }
        Node::Link(to) => symlink(format!("to-{to}"), &target).expect("symlink"),
        Node::Pipe => {
            let kind = FileType::Fifo;
            rustix::fs::mknodat(CWD, &target, kind, Mode::from_raw_mode(0o640), 0).expect("fifo");
        }
        Node::Twin(of) => {
            let of = full(root, of);
            if fs::symlink_metadata(&of).is_ok_and(|stat| stat.is_file()) {
                fs::hard_link(of, &target).expect("link");
            }
        }
    }
}

/// Link groups as sets, without saying which inode.
fn without_links(mut tree: Tree) -> Tree {
    for entry in tree.values_mut() {
        entry.linked = None;
    }
    tree
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(300), ..ProptestConfig::default() })]

    #[test]
    fn execute_then_revert_is_identity(
        start in prop::collection::vec((path(), node()), 0..14),
        changes in prop::collection::vec((path(), prop::option::of(node())), 0..10),
    ) {
        let scene = Scene::new();
        for (path, node) in &start {
            put(&scene.live(), path, Some(node));
        }
        scene.fork();
        for (path, node) in &changes {
            put(&scene.root.join("wanted"), path, node.as_ref());
        }
        let before = scene.tree();
        let wanted = tree(&scene.root.join("wanted"));
        let steps = scene.steps();
        // A file that keeps its inode takes its other names along; then the trees differ there.
        let in_place = before.values().any(|entry| entry.linked.is_some());
        let applied = scene.execute(&steps).expect("execute");
        if !in_place {
            assert_same(&without_links(scene.tree()), &without_links(wanted), "after");
        }
        prop_assert_eq!(applied.skipped, []);
        assert_clean(&scene);
        scene.revert().expect("revert");
        assert_same(&scene.tree(), &before, "after the revert");
        assert_clean(&scene);
        let steps = super::super::inverse_steps(&scene.transaction("revert")).expect("steps");
        let redo = scene.transaction("redo");
        let strategy = ConflictStrategy::Fail;
        super::super::execute(&scene.live(), &redo, OperationId(9), steps, strategy).expect("redo");
        if !in_place {
            let wanted = tree(&scene.root.join("wanted"));
            assert_same(&without_links(scene.tree()), &without_links(wanted), "after the redo");
        }
    }
}

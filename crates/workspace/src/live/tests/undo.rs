use super::*;

/// The tree after: what was wanted, with both names of a file that was changed in place.
fn after(scene: &Scene) -> Tree {
    tree(&scene.root.join("wanted"))
}

#[test]
fn applies_everything_and_takes_everything_back() {
    let scene = busy();
    let before = scene.tree();
    let steps = scene.steps();
    let applied = scene.execute(&steps).expect("execute");
    assert_same(&scene.tree(), &after(&scene), "after the commit");
    assert_clean(&scene);
    assert_eq!(applied.skipped, []);
    let counts = applied.counts;
    assert_eq!((counts.added, counts.modified), (12, 7), "{counts:?}");
    assert_eq!((counts.deleted, counts.metadata), (11, 2), "{counts:?}");
    assert!(matches!(recovered(&scene), Recovered::Finished(again) if again == applied));

    scene.revert().expect("revert");
    assert_same(&scene.tree(), &before, "after the revert");
    assert_clean(&scene);

    // The revert can be reverted, and that too.
    let steps = super::super::inverse_steps(&scene.transaction("revert")).expect("steps");
    let strategy = ConflictStrategy::Fail;
    let redo = scene.transaction("redo");
    super::super::execute(&scene.live(), &redo, OperationId(9), steps, strategy).expect("redo");
    assert_same(&scene.tree(), &after(&scene), "after the redo");
}

#[test]
fn a_file_with_other_names_keeps_its_inode() {
    let scene = busy();
    let number = inode(&scene.at("linked-1"));
    let outside = scene.root.join("outside");
    fs::hard_link(scene.at("linked-1"), &outside).expect("link");
    let steps: Vec<Step> = scene.steps();
    let steps: Vec<Step> = steps.into_iter().filter(|s| s.path.to_string() == "linked-1").collect();
    scene.execute(&steps).expect("execute");
    assert_eq!(fs::read(&outside).expect("read"), b"new content of two names");
    assert_eq!(inode(&scene.at("linked-1")), number);
    scene.revert().expect("revert");
    assert_eq!(fs::read(&outside).expect("read"), b"old content of two names");
    assert_eq!(inode(&scene.at("linked-1")), number);
}

#[test]
fn a_removed_name_comes_back_as_a_name_of_the_same_file() {
    let scene = Scene::new();
    write(&scene.at("a"), "shared");
    fs::hard_link(scene.at("a"), scene.at("b")).expect("link");
    scene.fork();
    fs::remove_file(scene.wanted("a")).expect("remove");
    let before = scene.tree();
    let steps = scene.steps();
    scene.execute(&steps).expect("execute");
    scene.revert().expect("revert");
    assert_same(&scene.tree(), &before, "after the revert");
    assert_eq!(inode(&scene.at("a")), inode(&scene.at("b")));
}

#[test]
fn a_name_in_a_removed_folder_is_kept_from_the_write_to_its_twin() {
    let scene = Scene::new();
    write(&scene.at("a"), "old shared");
    write(&scene.at("d/x"), "x");
    fs::hard_link(scene.at("a"), scene.at("d/b")).expect("link");
    let before = scene.tree();
    scene.fork();
    fs::remove_dir_all(scene.wanted("d")).expect("remove");
    fs::remove_file(scene.wanted("a")).expect("remove");
    write(&scene.wanted("a"), "new");
    let steps = scene.steps();
    scene.execute(&steps).expect("execute");
    let layer = super::super::inverse_layer(&scene.transaction("transaction"));
    assert_eq!(fs::read(layer.join("d/b")).expect("read"), b"old shared");
    scene.revert().expect("revert");
    assert_same(&scene.tree(), &before, "after the revert");
}

#[test]
fn what_is_edited_or_added_after_the_commit_stops_the_revert() {
    let scene = busy();
    let steps = scene.steps();
    scene.execute(&steps).expect("execute");
    write(&scene.at("edit"), "a stranger's");
    write(&scene.at("added/deep/er/stranger"), "in a folder that the commit made");
    fs::write(scene.at("to-folder/one"), "edited").expect("write");
    write(&scene.at("gone"), "a stranger's, where a file was removed");
    let now = scene.tree();
    assert_eq!(
        reasons(scene.revert()),
        [
            ("added".to_owned(), ConflictReason::InsideChanged),
            ("edit".to_owned(), ConflictReason::Changed),
            ("gone".to_owned(), ConflictReason::Created),
            ("to-folder".to_owned(), ConflictReason::InsideChanged),
        ]
    );
    assert_same(&scene.tree(), &now, "after the refused revert");
}

#[test]
fn the_inverse_layer_is_what_overlayfs_understands() {
    let scene = busy();
    let steps = scene.steps();
    scene.execute(&steps).expect("execute");
    let layer = super::super::inverse_layer(&scene.transaction("transaction"));
    let version = |path: &str| node::version(&layer.join(path)).expect("version").expect(path);
    for added in ["new", "new-again", "added", "closing/y"] {
        assert!(crate::layer::is_whiteout(&version(added)), "{added}");
    }
    for replaced in ["folder", "to-file"] {
        assert!(crate::layer::is_opaque(&layer.join(replaced)).expect("read"), "{replaced}");
    }
    assert!(!crate::layer::is_opaque(&layer.join("kept")).expect("read"));
    assert_eq!(fs::read(layer.join("edit")).expect("read"), b"old");
    assert_eq!(fs::read(layer.join("to-file/y/z")).expect("read"), b"with more in it");
    assert_eq!(version("closing").permissions(), 0o755);
    assert_eq!(version("kept").permissions(), 0o755);
}

#[test]
fn nothing_to_do_is_done() {
    let scene = Scene::new();
    assert_eq!(scene.execute(&[]).expect("execute"), Applied::default());
    assert_eq!(recovered(&scene), Recovered::Finished(Applied::default()));
    assert_eq!(super::super::inverse_steps(&scene.transaction("transaction")).expect("steps"), []);
    let nothing = super::super::recover(&scene.transaction("none")).expect("recover");
    assert_eq!(nothing, Recovered::NotBegun);
    assert!(scene.execute(&[]).is_err(), "the directory is taken");
}

#[test]
fn the_roots_own_mode_is_changed_and_given_back() {
    let scene = Scene::new();
    scene.fork();
    chmod(&scene.live(), 0o755);
    chmod(&scene.wanted(""), 0o710);
    let before = scene.tree();
    let steps = scene.steps();
    assert_eq!(steps.len(), 1);
    scene.execute(&steps).expect("execute");
    assert_eq!(node::version(&scene.live()).expect("v").expect("there").permissions(), 0o710);
    scene.revert().expect("revert");
    assert_same(&scene.tree(), &before, "after the revert");
}

//! Conflicts: every reason under every strategy. Nothing of anyone's is ever lost.

use ctrlz_core::id::OperationId;
use ctrlz_core::snapshot::Tree;
use ctrlz_core::workspace::ConflictReason::{self, Changed, Created, Deleted, InsideChanged};
use ctrlz_core::workspace::ConflictStrategy::{Fail, KeepBoth, Ours, Theirs};
use ctrlz_core::workspace::{Committed, ConflictStrategy, WorkspaceError};

use super::fixture::{Fixture, MakeDriver, OTHER, explained, named, these};
use super::view::{View, assert_same};

const BASE: &str = "umask 022; printf base >file; printf free >free; mkdir -p d/e; printf in >d/in
    printf deep >d/e/deep; ln -s file link";

/// One conflict, under each strategy, each on a fresh base.
struct Meeting {
    mine: &'static str,
    theirs: &'static str,
    path: &'static str,
    reason: ConflictReason,
}

impl Meeting {
    /// The sandbox's tree, which also changes `free`, after the others' edit.
    #[track_caller]
    fn meet<'a>(&self, make: MakeDriver<'a>) -> Option<(Fixture<'a>, Tree)> {
        let f = Fixture::new(make, BASE)?;
        let tree = f.step(&f.create(), &format!("{}; printf changed >free", self.mine));
        f.outside(self.theirs);
        Some((f, tree))
    }

    #[track_caller]
    fn resolve(
        &self,
        make: MakeDriver<'_>,
        strategy: ConflictStrategy,
        check: impl FnOnce(&View, &View, &View, OperationId),
    ) {
        let Some((f, tree)) = self.meet(make) else { return };
        let (mine, before) = (f.read(&tree), f.live());
        let operation = f.next_operation();
        let committed: Committed = f
            .try_commit(operation, &tree, &[], strategy)
            .unwrap_or_else(|error| panic!("{strategy:?}: {}", explained(&error)));
        let live = f.live();
        assert_eq!(live.text("free"), "changed", "{strategy:?}: what has no conflict is written");
        check(&mine, &before, &live, operation);
        assert_eq!(f.pending(&committed.tree), [], "{strategy:?}: nothing is left to commit");
        f.assert_reads("the sandbox afterwards", &committed.tree, &live);
        f.revert(operation);
        assert_same("the undo brings back what was there", &before, &f.live());
    }

    /// Everything that holds for all conflicts.
    #[track_caller]
    fn check(&self, make: MakeDriver<'_>) {
        let Some((f, tree)) = self.meet(make) else { return };
        let seen = f.read(&tree);
        assert_eq!(f.conflicts(&tree), these(&[(self.path, self.reason)]));
        f.assert_reads("the tree after a refused commit", &tree, &seen);
        drop(f);
        self.resolve(make, Theirs, |_, before, live, _| {
            assert_same("theirs stays", &before.except(&["free"]), &live.except(&["free"]));
        });
        self.resolve(make, Ours, |mine, _, live, _| {
            // Times and all; only what the sandbox changed.
            assert_same("ours is there", &mine.only(&[self.path]), &live.only(&[self.path]));
        });
        self.resolve(make, KeepBoth, |mine, before, live, operation| {
            let beside = format!("{}.ctrlz-{operation}", self.path);
            let except = ["free", &beside];
            assert_same("theirs stays", &before.except(&except), &live.except(&except));
            let Some(mine) = mine.get(self.path) else {
                return assert!(!live.has(&beside), "the sandbox has nothing to put beside");
            };
            let kept = live.get(&beside).unwrap_or_else(|| panic!("{beside} is not there"));
            assert_eq!((mine.file_type, &mine.content), (kept.file_type, &kept.content));
        });
    }
}

/// Both edited a file.
pub fn both_changed_a_file(make: MakeDriver<'_>) {
    Meeting {
        mine: "printf mine >file",
        theirs: "printf theirs >file",
        path: "file",
        reason: Changed,
    }
    .check(make);
}

/// They edited it with an editor that writes a new file and renames it, keeping size and time.
pub fn they_replaced_a_file_and_kept_its_looks(make: MakeDriver<'_>) {
    Meeting {
        mine: "printf mine >file",
        theirs: "printf BASE >tmp; touch -r file tmp; mv tmp file",
        path: "file",
        reason: Changed,
    }
    .check(make);
}

/// They changed the mode, the sandbox the content.
pub fn they_changed_the_mode(make: MakeDriver<'_>) {
    let meeting = Meeting {
        mine: "printf mine >file",
        theirs: "chmod 751 file",
        path: "file",
        reason: Changed,
    };
    meeting.check(make);
}

/// The sandbox deletes what they edited.
pub fn they_changed_what_the_sandbox_deletes(make: MakeDriver<'_>) {
    Meeting { mine: "rm file", theirs: "printf theirs >file", path: "file", reason: Changed }
        .check(make);
}

/// Both pointed a link elsewhere.
pub fn both_changed_a_link(make: MakeDriver<'_>) {
    Meeting {
        mine: "ln -sfn mine link",
        theirs: "ln -sfn theirs link",
        path: "link",
        reason: Changed,
    }
    .check(make);
}

/// Both created a file.
pub fn both_created_a_file(make: MakeDriver<'_>) {
    Meeting {
        mine: "printf mine >d/new",
        theirs: "printf theirs >d/new",
        path: "d/new",
        reason: Created,
    }
    .check(make);
}

/// They made a folder where the sandbox makes a file.
pub fn they_created_a_folder_where_the_sandbox_has_a_file(make: MakeDriver<'_>) {
    Meeting {
        mine: "printf mine >new",
        theirs: "mkdir new; printf theirs >new/theirs",
        path: "new",
        reason: Created,
    }
    .check(make);
}

/// The sandbox changes what they deleted.
pub fn they_deleted_what_the_sandbox_changes(make: MakeDriver<'_>) {
    Meeting { mine: "printf mine >file", theirs: "rm file", path: "file", reason: Deleted }
        .check(make);
}

/// The sandbox removes a folder in which they made a file.
pub fn they_created_inside_what_the_sandbox_removes(make: MakeDriver<'_>) {
    Meeting {
        mine: "rm -r d",
        theirs: "printf theirs >d/stranger",
        path: "d",
        reason: InsideChanged,
    }
    .check(make);
}

/// The same, deeper down, and an edit instead of a new file.
pub fn they_changed_inside_what_the_sandbox_removes(make: MakeDriver<'_>) {
    Meeting {
        mine: "rm -r d",
        theirs: "printf theirs >d/e/deep",
        path: "d",
        reason: InsideChanged,
    }
    .check(make);
}

/// The sandbox puts a file where the folder was in which they made a file.
pub fn they_created_inside_what_the_sandbox_replaces(make: MakeDriver<'_>) {
    Meeting {
        mine: "rm -r d; printf mine >d",
        theirs: "printf theirs >d/e/stranger",
        path: "d",
        reason: InsideChanged,
    }
    .check(make);
}

/// The folder is gone into which the sandbox puts a file: nothing is written, nothing is lost.
pub fn they_removed_the_folder_of_a_new_file(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    let tree = f.step(&f.create(), "printf mine >d/e/new");
    f.outside("rm -r d");
    let seen = f.read(&tree).get("d/e/new").cloned();
    let found = f.conflicts(&tree);
    assert!(!found.is_empty() && found.iter().all(|(path, _)| path.starts_with('d')), "{found:?}");
    let committed = f.try_commit(f.next_operation(), &tree, &[], Ours).expect("ours");
    assert_eq!(
        f.live().get("d/e/new").map(|entry| &entry.content),
        seen.as_ref().map(|e| &e.content)
    );
    assert_eq!(f.pending(&committed.tree), []);
}

/// All conflicts are named at once, sorted, and one of them is enough to write nothing.
pub fn all_conflicts_are_named(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    let tree = f.step(
        &f.create(),
        "printf mine >file; printf mine >new; printf mine >free; rm -r d; ln -sfn mine link",
    );
    f.outside("printf theirs >file; printf theirs >new; rm free; printf theirs >d/stranger");
    assert_eq!(
        f.conflicts(&tree),
        these(&[("d", InsideChanged), ("file", Changed), ("free", Deleted), ("new", Created)])
    );
    assert_eq!(f.live().text("d/stranger"), "theirs");
}

/// Someone else's edit of a path that the sandbox did not touch is no conflict, and stays.
pub fn edits_elsewhere_are_no_conflict(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    let tree = f.step(&f.create(), "printf mine >d/mine; printf mine >file");
    f.outside("printf theirs >d/theirs; printf theirs >d/in; rm free; chmod 711 d/e");
    f.try_commit(f.next_operation(), &tree, &[], Fail).expect("no conflict");
    let live = f.live();
    assert_eq!((live.text("d/mine"), live.text("file")), ("mine", "mine"));
    assert_eq!((live.text("d/theirs"), live.text("d/in")), ("theirs", "theirs"));
    assert!(!live.has("free"));
    assert_eq!(live.get("d/e").expect("d/e").mode, 0o711);
}

/// An edit that came before the sandbox first touched the path is what it started from.
pub fn an_edit_before_the_first_touch_is_no_conflict(make: MakeDriver<'_>) {
    let Some(f) = Fixture::new(make, BASE) else { return };
    let start = f.create();
    f.outside("printf theirs >file");
    // A driver that copied before still has the old one: then it is a conflict, and must be told.
    let tree = f.step(&start, "cat file >>free; printf mine >file");
    let knew = f.read(&tree).text("free") == "freetheirs";
    match f.try_commit(f.next_operation(), &tree, &["file"], Fail) {
        Ok(_) => assert!(knew, "an edit was overwritten that the sandbox never saw"),
        Err(error) => assert!(!knew, "{}", explained(&error)),
    }
}

/// Two sandboxes from the same moment, in two processes: each commits what the other did not
/// touch. What both touched stays a conflict.
pub fn two_sandboxes_commit_side_by_side(make: MakeDriver<'_>) {
    let base = "umask 022; mkdir a b both shared; printf 1 >a/x; printf 1 >b/x; printf 1 >both/f
        printf l >l; ln l l2; printf gone >a/gone; ln -s a link";
    let mine = "printf 2 >a/x; printf n >a/n; rm a/gone; printf a >shared/a; chmod 700 shared";
    let theirs = "printf 2 >b/x; mkdir b/n; printf n >b/n/n; printf b >shared/b; printf L >l";
    for (both, path, reason) in [
        ("", "", Changed),
        ("printf theirs >a/x", "a/x", Changed),
        ("printf theirs >a/n", "a/n", Created),
        ("printf theirs >a/gone", "a/gone", Deleted),
        ("chmod 711 shared", "shared", Changed),
        ("rm -r a", "a", InsideChanged),
        ("rm -r a; printf file >a", "a", InsideChanged),
        ("rm -r shared", "shared", Changed),
    ] {
        let Some(f) = Fixture::new(make, base) else { return };
        let (start, other) = (f.create(), f.another_driver());
        let first = f.step(&start, mine);
        let head = other.begin(OTHER, &start).expect("begin");
        super::fixture::mount(&head).run(&format!("{theirs}; {both}"));
        let second = other.seal(&head).expect("seal").tree;
        f.commit(&first);
        let before = f.live();
        let found = f.try_commit(f.next_operation(), &second, &[], Fail);
        if both.is_empty() {
            found.expect("nothing that the first one touched");
            let live = f.live();
            for (path, text) in [("a/x", "2"), ("a/n", "n"), ("b/x", "2"), ("b/n/n", "n")] {
                assert_eq!(live.text(path), text, "{path}");
            }
            assert_eq!((live.text("shared/a"), live.text("shared/b")), ("a", "b"));
            assert_eq!(live.get("shared").expect("shared").mode, 0o700);
            continue;
        }
        match found {
            Err(WorkspaceError::Conflicts { conflicts }) => {
                assert!(
                    named(&conflicts).contains(&(path.to_owned(), reason)),
                    "{both}: {conflicts:?}"
                );
            }
            other => panic!("{both}: {other:?}"),
        }
        assert_same("nothing is written", &before, &f.live());
    }
}

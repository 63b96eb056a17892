//! Without root: what can be kept is kept, the rest is told.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use ctrlz_archive::listing::{Scope, compare};
use ctrlz_archive::unpack::{Devices, IdMap, IdRange, Ownership};
use ctrlz_archive::{Lost, Target};
use ctrlz_core::archive::Stratum;

use super::support::{
    build, everything, is_root, live, picture, restore_to, sealed, target, write,
};

const BLOB: &str = "CTRLZ_TEST_BLOB";

/// Root archives, another user restores: this test starts itself again as that user.
#[test]
fn an_ordinary_user_restores_what_is_roots() {
    if let Some(place) = std::env::var_os(BLOB) {
        return restore_as_user(Path::new(&place));
    }
    if !is_root() {
        println!("SKIPPED(only root can archive what is not its own)");
        return;
    }
    let dir = tempfile::Builder::new().prefix("ctrlz").tempdir_in("/tmp").expect("directory");
    let tree = dir.path().join("tree");
    fs::create_dir(&tree).expect("mkdir");
    build(&tree, &everything());
    let layer = write(&live(&tree));
    fs::write(dir.path().join("blob"), &layer.blob).expect("write");
    fs::write(dir.path().join("listing"), &layer.listing).expect("write");
    // The program itself may lie where the user cannot look.
    let program = dir.path().join("program");
    fs::copy(std::env::current_exe().expect("this program"), &program).expect("copy");
    for path in ["", "blob", "listing", "program"] {
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(dir.path().join(path), mode).expect("chmod");
    }
    let place = dir.path().join("place");
    fs::create_dir(&place).expect("mkdir");
    std::os::unix::fs::chown(&place, Some(65534), Some(65534)).expect("chown");
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&program)
        .args(["--exact", "user::an_ordinary_user_restores_what_is_roots", "--nocapture"])
        .env(BLOB, dir.path())
        .output()
        .expect("setpriv");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
}

fn restore_as_user(place: &Path) {
    let blob = fs::read(place.join("blob")).expect("read");
    let back = place.join("place/back");
    let target = Target { devices: Devices::Make, ..Target::new(back.clone()) };
    assert_eq!(target.ownership, Ownership::Mine);
    let restored = restore_to(target, &[&blob]).expect("restore");
    let told = |path: &str, what: &dyn Fn(&Lost) -> bool| {
        let mut losses = restored.losses.first.iter();
        losses.any(|loss| loss.path.as_path() == Path::new(path) && what(&loss.what))
    };
    let owner = |uid, gid| move |lost: &Lost| *lost == Lost::Owner { uid, gid };
    assert!(told("owned", &owner(70_000, 3_000_000)) && told("owned link", &owner(1, 2)));
    assert!(told("", &owner(0, 0)) && !told("file", &owner(0, 0)), "once for each file");
    assert!(told("a first name", &owner(0, 0)));
    assert!(told("set-user-id", &|lost| *lost == Lost::SetId));
    assert!(told("device", &|lost| *lost == Lost::Device));
    assert!(told("capable", &|lost| matches!(lost, Lost::Attribute { .. })));
    assert_eq!(fs::metadata(back.join("set-user-id")).expect("stat").mode() & 0o7777, 0o755);
    assert_eq!(fs::metadata(back.join("sticky")).expect("stat").mode() & 0o7777, 0o1777);

    let listing = fs::read(place.join("listing")).expect("read");
    let scope = Scope { owner: false, privileged: false };
    let compared = compare(listing.as_slice(), &back, scope).expect("compare");
    let differences: Vec<String> = compared.differences.iter().map(ToString::to_string).collect();
    assert_eq!(
        differences,
        [
            "device: nothing, expected char",
            "directory: mode=0755, expected mode=2755",
            "set-user-id: mode=0755, expected mode=4755",
        ]
    );
}

/// Modes that close entries even to their owner.
#[test]
fn what_is_closed_to_its_owner_goes_there_and_back() {
    if is_root() {
        println!("SKIPPED(root reads every file)");
        return;
    }
    let dir = tempfile::tempdir().expect("temporary directory");
    let (tree, back) = (dir.path().join("tree"), dir.path().join("back"));
    fs::create_dir_all(tree.join("closed/inner")).expect("mkdir");
    fs::create_dir(tree.join("only listed")).expect("mkdir");
    for path in ["closed/file", "closed/inner/file", "only listed/file", "secret"] {
        fs::write(tree.join(path), path).expect("write");
    }
    let modes = [
        ("closed/file", 0o000),
        ("closed/inner", 0o100),
        ("closed", 0o000),
        ("only listed", 0o400),
        ("secret", 0o200),
    ];
    let close = |mode: bool| {
        for (path, closed) in modes {
            let mode = if mode { closed } else { 0o700 };
            let _ = fs::set_permissions(tree.join(path), fs::Permissions::from_mode(mode));
        }
    };
    close(true);
    let layer = write(&Stratum { root: true, ..sealed(&tree) });
    for (path, mode) in [modes[2], modes[3], modes[4]] {
        assert_eq!(fs::metadata(tree.join(path)).expect("stat").mode() & 0o777, mode, "{path}");
    }
    let restored = restore_to(target(&back), &[&layer.blob]).expect("restore");
    assert!(restored.losses.is_empty(), "{:?}", restored.losses);
    let compared = compare(layer.listing.as_slice(), &back, Scope::default()).expect("compare");
    assert_eq!(compared.differences, []);
    assert_eq!(compared.paths, 8);
    for (path, mode) in [modes[2], modes[3], modes[4]] {
        assert_eq!(fs::metadata(back.join(path)).expect("stat").mode() & 0o777, mode, "{path}");
    }
    for tree in [&tree, &back] {
        for (path, _) in modes.iter().rev() {
            let _ = fs::set_permissions(tree.join(path), fs::Permissions::from_mode(0o700));
        }
        let _ = fs::set_permissions(tree.join("closed/inner"), fs::Permissions::from_mode(0o700));
    }
}

#[test]
fn owners_are_mapped() {
    if !is_root() {
        println!("SKIPPED(only root gives files away)");
        return;
    }
    let dir = tempfile::tempdir().expect("temporary directory");
    let (tree, back) = (dir.path().join("tree"), dir.path().join("back"));
    fs::create_dir(&tree).expect("mkdir");
    for (name, owner) in [("root", 0), ("user", 1000), ("other", 70_000)] {
        fs::write(tree.join(name), "x").expect("write");
        std::os::unix::fs::chown(tree.join(name), Some(owner), Some(owner)).expect("chown");
    }
    let ranges = vec![
        IdRange { archived: 0, restored: 100_000, count: 1 },
        IdRange { archived: 1, restored: 200_001, count: 65_535 },
    ];
    let map = IdMap { users: ranges.clone(), groups: ranges };
    let layer = write(&live(&tree));
    let target = Target { ownership: Ownership::Mapped(map), ..target(&back) };
    let restored = restore_to(target, &[&layer.blob]).expect("restore");
    let owner = |name: &str| fs::metadata(back.join(name)).expect("stat").uid();
    assert_eq!((owner("root"), owner("user"), owner("other")), (100_000, 201_000, 0));
    assert_eq!(restored.losses.total, 1);
    assert!(picture(&back).len() == 4);
}

//! What the tenants of a service do not see of its host: whatever is not of the system, and of the
//! system what others than its owner may not read.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Folders of the root that every program needs. Anything else in it is somebody's.
const SYSTEM: [&str; 14] = [
    "bin", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "run", "sbin", "sys", "tmp",
    "usr", "var",
];
/// The same of `/var`.
const VARIABLE: [&str; 3] = ["lock", "run", "tmp"];
/// How deep it is looked for what others may not read.
const DEPTH: usize = 4;

/// The paths to hide, as they are now.
pub(super) fn paths() -> Vec<PathBuf> {
    let mut found = but(Path::new("/"), &SYSTEM);
    found.extend(but(Path::new("/var"), &VARIABLE));
    closed(Path::new("/etc"), DEPTH, &mut found);
    found
}

/// What lies in a folder, but for those names.
fn but(folder: &Path, names: &[&str]) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let foreign = entries.filter(|entry| !names.iter().any(|name| entry.file_name() == *name));
    foreign.map(|entry| entry.path()).collect()
}

/// What lies in a folder and only some may read.
fn closed(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(about) = path.symlink_metadata() else { continue };
        if about.is_symlink() {
            continue;
        }
        let needed = if about.is_dir() { 0o005 } else { 0o004 };
        if about.permissions().mode() & needed != needed {
            found.push(path);
        } else if about.is_dir() && depth > 0 {
            closed(&path, depth - 1, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_some_may_read_is_found_and_the_rest_is_not() {
        let folder = std::env::temp_dir().join(format!("ctrlz-foreign-{}", std::process::id()));
        fs::create_dir_all(folder.join("open/inner")).expect("folders");
        fs::create_dir(folder.join("shut")).expect("a folder");
        for (name, mode) in
            [("key", 0o640), ("open/inner/key", 0o600), ("open/text", 0o644), ("shut/text", 0o644)]
        {
            let path = folder.join(name);
            fs::write(&path, "x").expect("a file");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("its mode");
        }
        let shut = folder.join("shut");
        fs::set_permissions(&shut, fs::Permissions::from_mode(0o700)).expect("its mode");
        let mut found = Vec::new();
        closed(&folder, DEPTH, &mut found);
        found.sort();
        let expected = ["key", "open/inner/key", "shut"].map(|name| folder.join(name));
        fs::remove_dir_all(&folder).expect("removed");
        assert_eq!(found, expected);
    }
}

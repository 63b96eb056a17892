//! What a comparison with a listing finds.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use ctrlz_archive::listing::{Scope, compare};
use rustix::fs::XattrFlags;

use super::support::{Make, build, live, plan, set_time, write};

#[test]
fn each_difference_is_named() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let tree = dir.path().join("tree");
    fs::create_dir(&tree).expect("mkdir");
    let names = ["content", "mode", "time", "note", "type", "gone", "twin", "same"];
    let mut plans: Vec<_> =
        names.iter().map(|name| plan(name.as_bytes(), Make::File(b"some text".to_vec()))).collect();
    plans.push(plan(b"link", Make::Symlink(b"here".to_vec())));
    build(&tree, &plans);
    fs::hard_link(tree.join("twin"), tree.join("twin 2")).expect("link");
    set_time(&tree, (1, 0));
    let listing = write(&live(&tree)).listing;
    let differences = || {
        let compared = compare(listing.as_slice(), &tree, Scope::default()).expect("compare");
        assert_eq!(compared.total as usize, compared.differences.len());
        compared.differences.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(differences(), [""; 0]);

    let at = |name: &str| tree.join(name);
    fs::write(at("content"), "some next").expect("write");
    set_time(&at("content"), (1_700_000_000, 123_456_789));
    fs::set_permissions(at("mode"), fs::Permissions::from_mode(0o644)).expect("chmod");
    set_time(&at("time"), (1_700_000_000, 123_456_788));
    rustix::fs::setxattr(at("note"), "user.note", b"\x01", XattrFlags::empty()).expect("xattr");
    fs::remove_file(at("type")).expect("remove");
    fs::create_dir(at("type")).expect("mkdir");
    fs::remove_file(at("gone")).expect("remove");
    fs::write(at("new"), "").expect("write");
    fs::remove_file(at("link")).expect("remove");
    std::os::unix::fs::symlink("there", at("link")).expect("link");
    set_time(&at("link"), (1_700_000_000, 123_456_789));
    fs::remove_file(at("twin 2")).expect("remove");
    fs::copy(at("twin"), at("twin 2")).expect("copy");
    set_time(&at("twin 2"), (1_700_000_000, 123_456_789));
    set_time(&tree, (2, 0));
    let hash = |text: &str| format!("blake3={}", blake3::hash(text.as_bytes()).to_hex());
    assert_eq!(
        differences(),
        [
            ".: time=2, expected time=1".to_owned(),
            format!("content: {}, expected {}", hash("some next"), hash("some text")),
            "gone: nothing, expected file".to_owned(),
            "link: to=there, expected to=here".to_owned(),
            "mode: mode=0644, expected mode=0640".to_owned(),
            "new: file, expected nothing".to_owned(),
            "note: x.user.note=01, expected nothing".to_owned(),
            "time: time=1700000000.123456788, expected time=1700000000.123456789".to_owned(),
            "twin\\x202: a file of its own, expected a name of twin".replace("\\x20", " "),
            "type: dir, expected file".to_owned(),
        ]
    );
}

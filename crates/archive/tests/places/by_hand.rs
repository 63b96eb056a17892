//! docs/recover-by-hand.md, followed to the letter with the programs that it names and no others.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use ctrlz_archive::Target;
use ctrlz_archive::archiver::restore;
use ctrlz_archive::codec::Compression;
use ctrlz_archive::crypt::{Keyring, Recipients, init_keys};
use ctrlz_archive::image::Role;
use ctrlz_archive::layer::{LayerOptions, write_layer};
use ctrlz_archive::listing::{Scope, compare};
use ctrlz_archive::place::Directory;
use ctrlz_archive::unpack::Devices;

use crate::fixture::{Person, has, passphrase, recipients};
use crate::trees;

/// All that the page may use: the three that it names, and what every Debian has.
const PROGRAMS: [&str; 17] = [
    "age",
    "zstd",
    "tar",
    "bash",
    "cat",
    "cut",
    "find",
    "grep",
    "gzip",
    "head",
    "mkdir",
    "rm",
    "sh",
    "sha256sum",
    "tr",
    "true",
    "echo",
];

/// The commands of the page, one after the other; what it has the reader fill in is filled in.
fn commands(how: &How) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/recover-by-hand.md");
    let page = fs::read_to_string(page).expect("the page");
    let blocks: Vec<&str> = page
        .split("```sh\n")
        .skip(1)
        .map(|rest| rest.split("```").next().expect("the end of a block"))
        .collect();
    assert!(blocks.len() >= 7, "{} blocks", blocks.len());
    let (first, rest) = blocks.split_first().expect("blocks");
    for variable in ["ARCHIVE=", "MINE=", "SNAPSHOT=", "TREE=", "WORK="] {
        assert!(first.contains(variable), "{variable} is not to be filled in");
    }
    let mut commands = rest.concat();
    if how.opens == Opens::Passphrase {
        // The page's sentence, in the place of the loop that it is an alternative to.
        let (before, rest) = commands.split_once("for blob in blobs").expect("the loop");
        let (_, after) = rest.split_once("\"$WORK/data.keys\"\n").expect("its end");
        let by_phrase = "for FILE in $(grep -la '^-> scrypt' blobs/sha256/*); do \
                         age -d \"$FILE\" >> \"$WORK/data.keys\"; done\n";
        commands = format!("{before}{by_phrase}{after}");
    }
    match how.compression {
        Compression::Gzip { .. } => commands.replace("zstd -d", "gzip -d"),
        _ => commands,
    }
}

/// What opens a snapshot that is restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opens {
    Nothing,
    Identity,
    Passphrase,
}

/// How a snapshot was written that is restored.
struct How {
    opens: Opens,
    compression: Compression,
}

const PHRASE: &str = "correct horse battery staple";

/// Runs bash on a terminal of its own, where a person types the passphrase when age asks for it.
const TYPIST: &str = r#"
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execv('/bin/bash', ['bash', '-c', sys.argv[1]])
shown = b''
try:
    while True:
        read = os.read(terminal, 1024)
        shown += read
        if b'passphrase' in read:
            os.write(terminal, sys.argv[2].encode() + b'\n')
except OSError:
    pass
status = os.waitpid(pid, 0)[1]
sys.stderr.buffer.write(shown)
sys.exit(os.waitstatus_to_exitcode(status))
"#;

/// A tree with what tar finds hard, and a layer that hides a whole folder.
fn grow(directory: &Path) -> (PathBuf, PathBuf) {
    let (base, layer) = (directory.join("base"), directory.join("layer"));
    trees::grow(&base, &layer);
    let odd = std::ffi::OsStr::from_bytes(b"not \xff UTF-8, and\na line");
    fs::write(base.join("usr").join(odd), "odd").expect("a file");
    fs::write(base.join("usr").join("long".repeat(60)), "long").expect("a file");
    let sparse = fs::File::create(base.join("usr/sparse")).expect("a file");
    sparse.set_len(40 << 20).expect("a size");
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"data", 20 << 20).expect("written");
    for path in ["hidden/one", "hidden/two/three"] {
        let path = base.join(path);
        fs::create_dir_all(path.parent().expect("above")).expect("a directory");
        fs::write(path, "hidden").expect("a file");
    }
    fs::create_dir(layer.join("hidden")).expect("a directory");
    fs::write(layer.join("hidden/new"), "shown").expect("a file");
    let note = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(layer.join("hidden"), "user.overlay.opaque", b"y", note).expect("a note");
    rustix::fs::setxattr(base.join("etc/kept"), "user.note", b"n\0te", note).expect("a note");
    // `closed` sorts between `closed-` and what is in it, which is written last.
    fs::create_dir(base.join("closed")).expect("a directory");
    fs::write(base.join("closed/in"), "in").expect("a file");
    fs::write(base.join("closed-"), "beside").expect("a file");
    fs::set_permissions(base.join("closed"), fs::Permissions::from_mode(0o555)).expect("a mode");
    (base, layer)
}

fn follow(directory: &Path, archive: &Path, mine: &Path, how: &How) -> PathBuf {
    let programs = directory.join("programs");
    fs::create_dir(&programs).expect("a directory");
    for program in PROGRAMS {
        let found = ["/usr/bin", "/bin"].map(|at| Path::new(at).join(program));
        let found = found.iter().find(|path| path.is_file());
        let found = found.unwrap_or_else(|| panic!("{program} is not there"));
        std::os::unix::fs::symlink(found, programs.join(program)).expect("a link");
    }
    let tree = directory.join("by hand");
    let mut command = match how.opens {
        Opens::Passphrase => {
            let mut command = Command::new("/usr/bin/python3");
            command.args(["-c", TYPIST, &commands(how), PHRASE]);
            command
        }
        _ => {
            let mut command = Command::new("/bin/bash");
            command.args(["-c", &commands(how)]);
            command
        }
    };
    let output = command
        .env_clear()
        .env("PATH", &programs)
        .env("ARCHIVE", archive)
        .env("MINE", mine)
        .env("SNAPSHOT", "box.snap-1")
        .env("TREE", &tree)
        .env("WORK", directory.join("work"))
        .current_dir(directory)
        .output()
        .expect("bash");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {told}", output.status);
    assert!(!directory.join("work").exists(), "keys were left behind");
    tree
}

fn restored_by_hand(opens: Opens, compression: Compression) {
    let how = How { opens, compression };
    if !has("age") || !has("zstd") {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let directory = directory.path();
    let archive = directory.join("the archive");
    let place = Directory::create(&archive).expect("a place");
    let alice = Person::new();
    let mine = directory.join("mine");
    fs::write(&mine, format!("# mine\n{}\n", alice.secret)).expect("written");
    let people = match opens {
        Opens::Nothing => None,
        Opens::Identity => Some(recipients(&[&alice])),
        Opens::Passphrase => {
            let mut people = Recipients::new();
            people.set_passphrase(passphrase(PHRASE));
            Some(people)
        }
    };
    let keys: Option<Keyring> = people.map(|people| init_keys(&place, &people).expect("keys"));
    let (base, layer) = grow(directory);
    let options = LayerOptions { compression, ..LayerOptions::default() };
    let snapshot = trees::publish(&place, (&base, &layer), &options, keys.as_ref(), &[]);

    let by_hand = follow(directory, &archive, &mine, &how);
    trees::is_grown(&by_hand);
    let state = fs::read_to_string(directory.join("by hand.state.jsonl")).expect("a state");
    assert!(state.contains("value of the state"), "{state}");
    let record = fs::read_to_string(directory.join("by hand.record.json")).expect("a record");
    assert!(record.contains("snapshot"), "{record}");

    // All of it is what ctrlz restores.
    let ours = directory.join("ours");
    let target = Target { devices: Devices::Make, durable: false, ..Target::new(ours.clone()) };
    let roles = [Role::Base, Role::Sealed];
    restore(&place, &snapshot, keys.as_ref(), target, &roles).expect("restored");
    let mut listing = Vec::new();
    write_layer(&trees::stratum(&ours, None), &options, &mut std::io::sink(), &mut listing)
        .expect("listed");
    let root = rustix::process::geteuid().is_root();
    let scope = Scope { owner: root, privileged: root };
    let compared = compare(listing.as_slice(), &by_hand, scope).expect("compared");
    // The upper layer tells nothing of the folder itself, in which it has something removed.
    let but_the_time_of_the_root: Vec<_> = compared
        .differences
        .iter()
        .filter(|d| !(d.path.is_root() && d.to_string().starts_with(".: time=")))
        .collect();
    assert!(but_the_time_of_the_root.is_empty(), "{but_the_time_of_the_root:?}");
    assert!(compared.paths > 15, "{}", compared.paths);
}

#[test]
fn an_encrypted_snapshot_is_restored_by_hand() {
    restored_by_hand(Opens::Identity, Compression::default());
}

#[test]
fn a_plain_snapshot_is_restored_by_hand() {
    restored_by_hand(Opens::Nothing, Compression::default());
}

#[test]
fn a_snapshot_under_a_passphrase_is_restored_by_hand() {
    restored_by_hand(Opens::Passphrase, Compression::default());
}

#[test]
fn a_snapshot_of_gzip_is_restored_by_hand() {
    restored_by_hand(Opens::Identity, Compression::Gzip { level: 6 });
}

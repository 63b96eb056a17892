//! What we write, others read, and the other way round.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use ctrlz_archive::codec::Compression;

use super::support::{
    Make, Plan, build, everything, families, is_root, live, options, picture, plan, restore_to,
    target, write_with,
};

fn run(command: &mut Command) {
    let output = command.output().expect("start");
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Sockets do not exist in tar, and device nodes and owners need root.
fn tree(dir: &Path, plans: &[Plan]) -> std::path::PathBuf {
    let tree = dir.join("tree");
    fs::create_dir(&tree).expect("mkdir");
    build(&tree, plans);
    tree
}

fn same(expected: &Path, found: &Path, but: &[&str]) {
    let (expected_picture, found_picture) = (picture(expected), picture(found));
    for (path, text) in &expected_picture {
        if !but.iter().any(|but| path == Path::new(but)) {
            assert_eq!(Some(text), found_picture.get(path), "{}", path.display());
        }
    }
    assert_eq!(expected_picture.len(), found_picture.len());
    assert_eq!(families(expected), families(found));
}

#[test]
fn gnu_tar_restores_what_we_wrote() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let tree = tree(dir.path(), &everything());
    let layer = write_with(&live(&tree), &options(Compression::Gzip { level: 6 })).expect("write");
    let (blob, back) = (dir.path().join("layer.tar.gz"), dir.path().join("back"));
    fs::write(&blob, &layer.blob).expect("write");
    fs::create_dir(&back).expect("mkdir");
    let output = Command::new("tar")
        .args(["--extract", "--xattrs", "--xattrs-include=*", "--same-permissions"])
        .args(["--numeric-owner", "--file"])
        .arg(&blob)
        .arg("--directory")
        .arg(&back)
        .output()
        .expect("tar");
    let told = String::from_utf8_lossy(&output.stderr);
    // It has an opinion on times, and none on anything else.
    let opinion =
        |line: &&str| !line.contains("in the future") && !line.contains("implausibly old");
    let other = told.lines().find(opinion);
    assert!(output.status.success() && other.is_none(), "{told}");
    same(&tree, &back, &[]);
}

#[test]
fn we_restore_what_gnu_tar_wrote() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let tree = tree(dir.path(), &everything());
    for (format, attributes) in [("posix", true), ("gnu", false)] {
        let archive = dir.path().join(format);
        let back = dir.path().join(format!("{format} restored"));
        let mut command = Command::new("tar");
        command.arg(format!("--format={format}"));
        if attributes {
            command.args(["--xattrs", "--xattrs-include=*"]);
        }
        command.args(["--create", "--sparse", "--numeric-owner", "--sort=name", "--file"]);
        run(command.arg(&archive).arg("--directory").arg(&tree).arg("."));
        let blob = fs::read(&archive).expect("read");
        let restored = restore_to(target(&back), &[&blob]).expect("restore");
        assert!(restored.losses.is_empty(), "{:?}", restored.losses);
        if attributes {
            same(&tree, &back, &[]);
        } else {
            // The old format has whole seconds and no attributes. Names, contents and holes stay.
            let brief = |text: &String| {
                let words: Vec<&str> = text.split(' ').collect();
                let mut kept = vec![words[0].to_owned(), words[1].to_owned()];
                kept.extend(
                    words[3..]
                        .iter()
                        .map(|word| (*word).to_owned())
                        .take_while(|word| !word.starts_with('[')),
                );
                kept
            };
            let (expected, found) = (picture(&tree), picture(&back));
            for (path, text) in &expected {
                let plain = !text.contains("posix_acl");
                let found = &found[path];
                assert!(!plain || brief(text) == brief(found), "{}: {found}", path.display());
            }
            assert_eq!(families(&tree), families(&back));
        }
    }
}

/// Of GNU tar's older ways to tell of holes.
#[test]
fn we_restore_every_form_of_holes() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let many: Vec<(u64, usize)> = (0..60).map(|n| (n * 20_000, 4000)).collect();
    let tree = tree(
        dir.path(),
        &[
            plan(b"many holes", Make::Sparse(3 << 20, many)),
            plan(b"hole", Make::Sparse(1 << 20, vec![])),
            plan(b"data at the end", Make::Sparse(1 << 20, vec![((1 << 20) - 5, 5)])),
        ],
    );
    for form in [
        &["--format=gnu"][..],
        &["--format=posix", "--sparse-version=0.0"],
        &["--format=posix", "--sparse-version=0.1"],
        &["--format=posix", "--sparse-version=1.0"],
    ] {
        let (archive, back) = (dir.path().join("archive"), dir.path().join("back"));
        let mut command = Command::new("tar");
        command.args(form).args(["--create", "--sparse", "--file"]).arg(&archive);
        run(command.arg("--directory").arg(&tree).arg("."));
        let blob = fs::read(&archive).expect("read");
        assert!(blob.len() < 1 << 20, "it has holes");
        restore_to(target(&back), &[&blob]).expect("restore");
        for (path, text) in picture(&tree) {
            let words = |text: &str| -> Vec<String> {
                text.split(' ').skip(3).map(str::to_owned).collect()
            };
            assert_eq!(words(&text), words(&picture(&back)[&path]), "{form:?} {}", path.display());
        }
        fs::remove_dir_all(&back).expect("remove");
    }
}

const PYTHON_READS: &str = r#"
import hashlib, os, sys, tarfile
with tarfile.open(sys.argv[1]) as archive:
    for member in archive:
        name = member.name.encode("utf-8", "surrogateescape")
        kind = ("dir" if member.isdir() else "link" if member.issym() else "hard" if member.islnk()
                else "fifo" if member.isfifo() else "char" if member.ischr() else "file")
        content = b""
        if kind == "file":
            content = archive.extractfile(member).read()
        target = member.linkname.encode("utf-8", "surrogateescape").hex()
        print(name.hex(), kind, "%o" % member.mode, member.uid, member.gid, "%.9f" % float(member.mtime),
              target, len(content), hashlib.sha256(content).hexdigest(),
              member.pax_headers.get("SCHILY.xattr.user.note", "").encode().hex(), sep=" ")
"#;

const PYTHON_WRITES: &str = r#"
import sys, tarfile
tree, out, form = sys.argv[1:]
form = {"pax": tarfile.PAX_FORMAT, "gnu": tarfile.GNU_FORMAT, "ustar": tarfile.USTAR_FORMAT}[form]
with tarfile.open(out, "w:gz", format=form, encoding="utf-8", errors="surrogateescape") as archive:
    archive.add(tree, ".")
"#;

fn python(code: &str, words: &[&Path]) -> String {
    let mut command = Command::new("python3");
    command.arg("-c").arg(code).args(words).stdin(Stdio::null());
    let output = command.output().expect("python3");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn python_reads_what_we_wrote() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let tree = tree(dir.path(), &everything());
    let layer = write_with(&live(&tree), &options(Compression::None)).expect("write");
    let archive = dir.path().join("layer.tar");
    fs::write(&archive, &layer.blob).expect("write");
    let told = python(PYTHON_READS, &[&archive]);
    assert_eq!(told.lines().count() as u64, layer.written.counts.entries());
    let hex = |text: &[u8]| text.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let line = |name: &[u8]| -> Vec<String> {
        let line = told.lines().find(|line| line.starts_with(&format!("{} ", hex(name))));
        line.expect("told").split(' ').map(str::to_owned).collect()
    };
    use sha2::Digest;
    for name in ["file", "large", "sparse", "hole", "noted"] {
        let content = fs::read(tree.join(name)).expect("read");
        // The first of several names has the content.
        if name != "file" {
            let digest: [u8; 32] = sha2::Sha256::digest(&content).into();
            assert_eq!(line(name.as_bytes())[7..9], [content.len().to_string(), hex(&digest)]);
        }
    }
    assert_eq!(line(b"file")[1], "hard");
    assert_eq!(line(b"long link")[6], hex(&[b'l'; 3000]));
    assert_eq!(line(b"\xff\xfe not text")[1], "file");
    assert_eq!(line(&[b'n'; 255])[2], "640");
    assert_eq!(line(b"set-user-id")[2], if is_root() { "4755" } else { "755" });
    assert_eq!(line(b"noted")[9], hex(b"with\0any\nbytes"));
    assert!(line(b"before 1970")[5].starts_with("-4.999999"), "{:?}", line(b"before 1970"));
}

#[test]
fn we_restore_what_python_wrote() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let plans: Vec<Plan> = everything()
        .into_iter()
        // It keeps neither holes nor attributes, and links by what it has met.
        .filter(|plan| !matches!(plan.make, Make::Sparse(..)) && plan.attributes.is_empty())
        .map(|plan| Plan { acl: false, ..plan })
        .collect();
    let tree = tree(dir.path(), &plans);
    for form in ["pax", "gnu"] {
        let (archive, back) = (dir.path().join(form), dir.path().join(format!("{form} restored")));
        python(PYTHON_WRITES, &[&tree, &archive, Path::new(form)]);
        let blob = fs::read(&archive).expect("read");
        restore_to(target(&back), &[&blob]).expect("restore");
        let (expected, found) = (picture(&tree), picture(&back));
        for (path, text) in &expected {
            // Times are floating point numbers there.
            let words = |text: &str| -> Vec<String> {
                let words = text.split(' ').enumerate().filter(|(at, _)| *at != 2);
                words.map(|(_, word)| word.to_owned()).collect()
            };
            assert_eq!(words(text), words(&found[path]), "{form}: {}", path.display());
        }
        assert_eq!(families(&tree), families(&back));
    }
}

/// Rust's own tar crate is a third opinion, and reads without a program.
#[test]
fn the_tar_crate_reads_what_we_wrote() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let plans: Vec<Plan> =
        everything().into_iter().filter(|plan| !matches!(plan.make, Make::Sparse(..))).collect();
    let tree = tree(dir.path(), &plans);
    let layer = write_with(&live(&tree), &options(Compression::None)).expect("write");
    let mut archive = tar::Archive::new(layer.blob.as_slice());
    let mut entries = 0;
    for entry in archive.entries().expect("entries") {
        let mut entry = entry.expect("entry");
        let path = entry.path().expect("path").into_owned();
        if entry.header().entry_type().is_file() {
            let mut content = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut content).expect("read");
            assert!(content == fs::read(tree.join(&path)).expect("read"), "{}", path.display());
        }
        entries += 1;
    }
    assert_eq!(entries, layer.written.counts.entries());
    assert!(is_root() || entries > 20);
}

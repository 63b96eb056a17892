//! `--root` with images that other tools wrote, and with tar files, as they are unpacked into the
//! store.

use std::process::{Command, Stdio};

use crate::support::{Outcome, Scene, has, is_root, python, skipped};

/// A scene with a root in `../root`: one static program, which tells what is in `/etc/name` and
/// writes to the file that it is given.
pub(super) fn with_root() -> Scene {
    Scene::with(
        r#"mkdir -p ../root/bin ../root/etc; chmod 755 ../root; echo own > ../root/etc/name
cat > ../hello.c <<'C'
#include <stdio.h>
int main(int count, char **words) {
    char text[64] = "";
    FILE *name = fopen("/etc/name", "r");
    if (!name || !fgets(text, sizeof text, name)) return 3;
    fputs(text, stdout);
    if (count > 1) {
        FILE *out = fopen(words[1], "w");
        if (!out || fputs("written", out) < 0 || fclose(out) != 0) return 4;
    }
    return 0;
}
C
cc -Os -static -s -o ../root/bin/hello ../hello.c; chmod 755 ../root/bin/hello"#,
    )
}

/// Runs the program in `root`; the first time something has to be unpacked.
#[track_caller]
pub(super) fn runs(scene: &Scene, root: &str) {
    let root = ["run", "--root", root, "--", "/bin/hello"];
    let first = scene.run(&root).ok().says_nothing();
    assert_eq!(first.out(), "own\n", "{first}");
    scene.run(&[&root[..], &["/etc/made"]].concat()).ok().says_nothing();
    let diff = scene.ok(&["diff"]);
    assert!(diff.contains("made"), "{diff}");
    scene.ok(&["discard"]);
}

/// What lies in the store's images.
#[track_caller]
pub(super) fn unpacked(scene: &Scene) -> Vec<String> {
    scene.host("ls -A \"$CTRLZ_HOME/images\"").lines().map(str::to_owned).collect()
}

/// Nothing that was begun is left there, and `count` roots are.
#[track_caller]
pub(super) fn has_whole(scene: &Scene, count: usize) {
    let mut names = unpacked(scene);
    // What is known of one that is there.
    let ids: Vec<String> = names.extract_if(.., |name| name.ends_with(".id")).collect();
    names.retain(|name| !name.ends_with(".ref") && !name.ends_with(".used"));
    let of_none = |id: &&String| !names.iter().any(|name| id.strip_suffix(".id") == Some(name));
    assert_eq!(ids.iter().find(of_none), None);
    assert_eq!(names.len(), count, "{names:?}");
    for name in names {
        assert!(name.bytes().all(|b| b.is_ascii_hexdigit()), "{name} was left behind");
    }
}

/// podman and buildah with storage of their own, so that nothing of the host is touched; `false`,
/// after a skip was told, where they cannot be had.
fn can_build(program: &str) -> bool {
    if !has(program) {
        return false;
    }
    if !is_root() {
        skipped("only root runs podman and buildah without ranges of ids");
        return false;
    }
    true
}

/// Shell functions for both; podman takes a path with capital letters for a bad name.
const STORAGE: &str = r#"
at="$TMPDIR/containers"; mkdir -p "$at"; export XDG_RUNTIME_DIR="$at"
podman() { command podman --root "$at/root" --runroot "$at/run" --storage-driver vfs "$@"; }
buildah() { command buildah --root "$at/root" --runroot "$at/run" --storage-driver vfs "$@"; }
"#;

#[test]
fn what_podman_saves() {
    if !can_build("podman") {
        return;
    }
    let scene = with_root();
    scene.host(&format!(
        "{STORAGE} tar -C ../root -cf ../root.tar .; podman import --quiet ../root.tar some:one
         for form in oci-archive docker-archive oci-dir docker-dir; do
             podman save --quiet --format $form -o ../$form some:one; done
         gzip -k ../docker-archive"
    ));
    for form in ["oci-archive", "docker-archive", "oci-dir", "docker-dir", "docker-archive.gz"] {
        runs(&scene, &format!("../{form}"));
    }
    // They have the same layer; of a compressed one that would be known too late.
    has_whole(&scene, 2);
    scene.ok(&["run", "--root", "../oci-archive:some:one", "--", "/bin/hello"]);
}

#[test]
fn one_of_several_images_that_podman_saves() {
    if !can_build("podman") {
        return;
    }
    let scene = with_root();
    scene.host(&format!(
        "{STORAGE} for name in one two; do echo $name > ../root/etc/name
             tar -C ../root -c . | podman import --quiet - some:$name; done
         podman save --quiet --multi-image-archive -o ../several.tar some:one some:two"
    ));
    let run = |root: &str| scene.run(&["run", "--root", root, "--", "/bin/hello"]);
    run("../several.tar").code(125).says(&["several", "some:one", "some:two", "several.tar:NAME"]);
    run("../several.tar:three").code(125).says(&["no image named `three`", "some:two"]);
    assert_eq!(run("../several.tar:one").ok().out(), "one\n");
    assert_eq!(run("../several.tar:localhost/some:two").ok().out(), "two\n");
    has_whole(&scene, 2);
}

#[test]
fn what_buildah_builds() {
    if !can_build("buildah") {
        return;
    }
    let scene = with_root();
    scene.host(&format!(
        "{STORAGE} box=$(buildah from scratch); buildah copy --quiet $box ../root /
         echo other > ../name; buildah commit --quiet $box some:lower >/dev/null
         upper=$(buildah from --pull-never some:lower); echo own > ../name
         buildah copy --quiet $upper ../name /etc/name
         buildah commit --quiet $upper some:upper >/dev/null
         buildah push --quiet some:upper oci:$TMPDIR/oci:upper
         buildah push --quiet some:upper oci-archive:$TMPDIR/oci.tar:upper
         buildah push --quiet --format v2s2 some:upper docker-archive:$TMPDIR/docker.tar:some:upper"
    ));
    for form in ["oci", "oci.tar", "docker.tar"] {
        runs(&scene, &format!("../{form}"));
    }
    has_whole(&scene, 1);
}

#[test]
fn what_skopeo_copies() {
    let scene = with_root();
    layout(&scene, "");
    runs(&scene, "../layout");
    if !has("skopeo") {
        return;
    }
    scene.host(
        r#"copy() { skopeo --insecure-policy copy --quiet oci:../layout "$@"; }
copy docker-archive:../docker.tar:some:tag; copy oci-archive:../oci.tar:tag
copy oci:../oci:tag; copy dir:../dir; copy --dest-compress-format zstd oci:../zstd:tag"#,
    );
    for form in ["docker.tar", "oci.tar", "oci", "dir", "zstd"] {
        runs(&scene, &format!("../{form}"));
    }
    has_whole(&scene, 1);
}

/// Packs `../root` and a layer on top of it, which removes /etc/gone and adds /etc/upper, as an OCI
/// image layout (image-spec, image-layout.md and layer.md) in `../layout`.
const LAYOUT: &str = r#"
import gzip, hashlib, io, json, os, tarfile
os.makedirs('../layout/blobs/sha256', exist_ok=True)
open('../root/etc/gone', 'w').close()
def blob(data):
    digest = hashlib.sha256(data).hexdigest()
    with open('../layout/blobs/sha256/' + digest, 'wb') as f: f.write(data)
    return {'digest': 'sha256:' + digest, 'size': len(data)}
def packed(fill):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode='w') as tar: fill(tar)
    return out.getvalue()
architecture = {'x86_64': 'amd64', 'aarch64': 'arm64'}.get(os.uname().machine, os.uname().machine)
def of_root(info):
    info.uid = info.gid = 0
    return info
def lower(tar): tar.add('../root', arcname='.', filter=of_root)
def upper(tar):
    for name, data in (('etc/.wh.gone', b''), ('etc/upper', b'upper')):
        info = tarfile.TarInfo(name)
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
def add(tar, name, kind=tarfile.REGTYPE, data=b'', **more):
    info = tarfile.TarInfo(name)
    info.size, info.type = len(data), kind
    for word, value in more.items(): setattr(info, word, value)
    tar.addfile(info, io.BytesIO(data))
fills, platform = [lower, upper], {'architecture': architecture, 'os': 'linux'}
#CHANGE#
plain = [packed(fill) for fill in fills]
layers = [dict(blob(gzip.compress(layer, 1)), mediaType='application/vnd.oci.image.layer.v1.tar+gzip') for layer in plain]
config = dict(blob(json.dumps({**platform, 'config': {},
    'rootfs': {'type': 'layers', 'diff_ids': ['sha256:' + hashlib.sha256(l).hexdigest() for l in plain]}}).encode()),
    mediaType='application/vnd.oci.image.config.v1+json')
manifest = dict(blob(json.dumps({'schemaVersion': 2, 'mediaType': 'application/vnd.oci.image.manifest.v1+json',
    'config': config, 'layers': layers}).encode()), mediaType='application/vnd.oci.image.manifest.v1+json')
entries = [manifest]
#INDEX#
json.dump({'schemaVersion': 2, 'manifests': entries}, open('../layout/index.json', 'w'))
json.dump({'imageLayoutVersion': '1.0.0'}, open('../layout/oci-layout', 'w'))
"#;

/// [`LAYOUT`] after a change of what goes into it, in Python; what follows a line `---` is done to
/// the index.
#[track_caller]
pub(super) fn layout(scene: &Scene, change: &str) {
    let (change, index) = change.split_once("---\n").unwrap_or((change, ""));
    python(scene, &LAYOUT.replace("#CHANGE#", change).replace("#INDEX#", index)).ok();
}

#[test]
fn layers_lie_upon_one_another_and_are_checked() {
    let scene = with_root();
    layout(&scene, "");
    runs(&scene, "../layout");
    let files = scene.host("cd \"$CTRLZ_HOME/images\"/*; find . -type f | sort");
    assert_eq!(files, "./bin/hello\n./etc/name\n./etc/upper\n");
    // A layer that is not what its digest says is refused, and by name.
    scene.host(
        "cp -r ../layout ../damaged; rm -r \"$CTRLZ_HOME/images\"; cd ../damaged/blobs/sha256
         largest=$(ls -S | head -n 1); printf X | dd of=$largest bs=1 seek=2000 conv=notrunc status=none",
    );
    let outcome = scene.run(&["new", "spoiled", "--root", "../damaged"]).code(125);
    outcome.says(&["damaged cannot be a root", "sha256:"]);
    has_whole(&scene, 0);
    // So is one whose digest is right and whose content is another than the image's config says.
    layout(&scene, "");
    layout(&scene, "fills = [lower, lower]\n---\nentries[0] = manifest\n");
    scene.host(
        r#"cd ../layout; python3 - <<'P'
import hashlib, json
blob = lambda digest: 'blobs/sha256/' + digest.split(':')[1]
index = json.load(open('index.json'))
manifest = json.load(open(blob(index['manifests'][0]['digest'])))
config = json.load(open(blob(manifest['config']['digest'])))
config['rootfs']['diff_ids'].reverse()
config['rootfs']['diff_ids'][0] = 'sha256:' + '0' * 64
def put(document, into):
    data = json.dumps(document).encode()
    into.update(digest='sha256:' + hashlib.sha256(data).hexdigest(), size=len(data))
    open(blob(into['digest']), 'wb').write(data)
put(config, manifest['config'])
put(manifest, index['manifests'][0])
json.dump(index, open('index.json', 'w'))
P"#,
    );
    let outcome = scene.run(&["new", "spoiled", "--root", "../layout"]).code(125);
    outcome.says(&["is damaged", "decompressed, its digest is"]);
    has_whole(&scene, 0);
}

#[test]
fn a_new_sandbox_tells_the_image_that_it_is_made_of() {
    let scene = with_root();
    layout(&scene, "");
    scene.host(
        "tar -C ../layout -c . | gzip > ../packed.tar.gz; tar -C ../root -c -f ../plain.tar .",
    );
    let id = scene.host(
        "cd ../layout/blobs/sha256; grep -l '\"config\": {\"digest' * | xargs grep -o '\"config\": {\"digest\": \"[^\"]*' | cut -d'\"' -f6",
    );
    // The second time, the file is not even looked into.
    for (name, root) in
        [("one", "../layout"), ("two", "../packed.tar.gz"), ("three", "../packed.tar.gz")]
    {
        scene.ok(&["new", name, "--root", root]);
        let object = scene.json(&["events", "--type", "sandbox.created", "-n", "1"]);
        assert_eq!(object["events"][0]["subject"], name);
        assert_eq!(object["events"][0]["data"]["made_of"]["image"], id.trim(), "{object}");
    }
    scene.ok(&["new", "four", "--root", "../plain.tar"]);
    let object = scene.json(&["events", "--type", "sandbox.created", "-n", "1"]);
    assert_eq!(object["events"][0]["data"].get("made_of"), None, "a tar has no id: {object}");
}

#[test]
fn an_image_is_chosen_by_its_platform() {
    let scene = with_root();
    let other = "platform = {'architecture': 'other', 'os': 'linux'}\n";
    layout(&scene, other);
    let run = || scene.run(&["run", "--root", "../layout", "--", "/bin/hello"]);
    // Nothing but the image itself tells it: a host may be able to run it nevertheless.
    run().ok().says(&["is for linux/other, this host is linux/"]);
    layout(&scene, &[other, "---\nentries[0]['platform'] = platform\n"].concat());
    run().code(125).says(&["no image for linux/", "linux/other"]);
    let both = "---\nentries = [dict(manifest, platform=platform),
    dict(manifest, digest='sha256:' + '0' * 64, platform={'architecture': 'other', 'os': 'linux'})]\n";
    layout(&scene, both);
    run().ok().says_nothing();
}

#[test]
fn what_cannot_be_kept_is_told_and_the_rest_is_there() {
    let scene = with_root();
    // No map of ids reaches that far.
    layout(
        &scene,
        "fills.append(lambda tar: add(tar, 'etc/far', uid=4294967200, gid=4294967200, data=b'far'))
fills.append(lambda tar: add(tar, 'dev/null', tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666))\n",
    );
    let outcome = scene.run(&["run", "--root", "../layout", "--", "/bin/hello"]).ok();
    assert_eq!(outcome.out(), "own\n");
    let find = |what: &str| scene.host(&format!("cd \"$CTRLZ_HOME/images\"/*; {what}"));
    assert_eq!(find("cat etc/far"), "far");
    if is_root() {
        let outcome = outcome.says_nothing();
        assert_eq!(
            find("stat -c %u:%g etc/far; stat -c %t:%T dev/null"),
            "4294967200:4294967200\n1:3\n",
            "{outcome}"
        );
    } else {
        outcome.says(&["2 losses", "etc/far: the owner", "dev/null: a device node is not kept"]);
        assert_eq!(find("ls dev"), "");
    }
    // It is told once, when it is unpacked.
    scene.run(&["run", "--root", "../layout", "--", "/bin/hello"]).ok().says_nothing();
}

#[test]
fn many_ask_for_an_image_at_once_and_one_unpacks_it() {
    let scene = with_root();
    layout(&scene, "fills.append(lambda tar: add(tar, 'large', data=bytes(1 << 24)))\n");
    let spawn = |number: u32| {
        let name = format!("box{number}");
        let mut command = scene.ctrlz(["new", name.as_str(), "--root", "../layout"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().expect("ctrlz");
        (command, child)
    };
    let children: Vec<_> = (0..4).map(spawn).collect();
    for (command, child) in children {
        let output = child.wait_with_output().expect("its end");
        Outcome::new(&command, output).ok().says_nothing();
    }
    has_whole(&scene, 1);
}

#[test]
fn whoever_is_killed_leaves_no_half_image() {
    let scene = with_root();
    layout(&scene, "fills.append(lambda tar: add(tar, 'large', data=bytes(1 << 26)))\n");
    let mut command = scene.ctrlz(["new", "killed", "--root", "../layout"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("ctrlz");
    let is_begun = "ls \"$CTRLZ_HOME/images\" 2>/dev/null | grep -c partial || true";
    while child.try_wait().expect("a child").is_none() && scene.host(is_begun) == "0\n" {}
    child.kill().expect("killed");
    child.wait().expect("its end");
    let outcome = Outcome::of(&mut scene.ctrlz(["run", "--root", "../layout", "--", "/bin/hello"]));
    assert_eq!(outcome.ok().out(), "own\n");
    has_whole(&scene, 1);
    assert_eq!(scene.host("stat -c %s \"$CTRLZ_HOME/images\"/*/large"), "67108864\n");
}

#[test]
fn what_is_refused_leaves_nothing() {
    let scene = with_root();
    for (change, reason) in [
        ("add(tar, '../out', data=b'x')", "../out"),
        ("add(tar, '/etc/x', data=b'x')", "/etc/x"),
        ("(add(tar, 'l', tarfile.SYMTYPE, linkname='/etc'), add(tar, 'l/x', data=b'x'))", "l/x"),
        ("add(tar, 'etc/.wh..', data=b'')", "whiteout"),
    ] {
        layout(&scene, &format!("fills.append(lambda tar: {change})\n"));
        let outcome = scene.run(&["new", "evil", "--root", "../layout"]).code(125);
        outcome.says(&["layout cannot be a root", reason]);
        has_whole(&scene, 0);
    }
    assert!(!scene.root.join("out").exists());
    // An index that leads to nothing, a pipe, a tar that ends early.
    scene.host("rm ../layout/blobs/sha256/*; mkfifo ../pipe; tar -C ../root -c . | head -c 9000 > ../cut.tar");
    scene.run(&["new", "none", "--root", "../layout"]).code(125).says(&["sha256:", "is missing"]);
    scene.run(&["new", "none", "--root", "../pipe"]).code(125).says(&["neither a directory nor"]);
    scene.run(&["new", "none", "--root", "../cut.tar"]).code(125).says(&["cut.tar", "ends"]);
    scene
        .run(&["new", "none", "--root", "../cut.tar:name"])
        .code(125)
        .says(&["cut.tar is no image"]);
    has_whole(&scene, 0);
}

#[test]
fn every_compression_of_a_tar() {
    let scene = with_root();
    scene.host(
        "tar --owner=0 --group=0 -C ../root -cf ../root.tar .; gzip -k ../root.tar; zstd -q ../root.tar
         touch ../root/manifest.json; tar --owner=0 --group=0 -C ../root -cf ../with.tar .",
    );
    for name in ["root.tar", "root.tar.gz", "root.tar.zst", "with.tar"] {
        runs(&scene, &format!("../{name}"));
    }
    has_whole(&scene, 4);
    let mut again = Command::new("touch");
    again.arg(scene.root.join("root.tar"));
    Outcome::of(&mut again).ok();
    runs(&scene, "../root.tar");
    has_whole(&scene, 5);
}

#[test]
fn podman_runs_what_was_exported() {
    if !can_build("podman") || !has("runc") {
        return;
    }
    let scene = with_root();
    scene.ok(&["run", "--root", "../root", "--", "/bin/hello", "/etc/name"]);
    let snapshot = scene.json(&["snapshot", "-m", "to be run elsewhere"]);
    let id = snapshot["snapshot"]["id"].as_str().expect("an id").to_owned();
    scene.ok(&["export", &id, "-o", "../x.oci"]);
    let shown = scene.host(&format!(
        "{STORAGE}
        cat > ../containers.conf <<'C'
[containers]
default_ulimits = [\"nofile=4096:4096\", \"nproc=4096:4096\"]
[engine]
runtime = \"runc\"
cgroup_manager = \"cgroupfs\"
events_logger = \"none\"
C
        export CONTAINERS_CONF=\"$PWD/../containers.conf\"
        podman load --quiet -i ../x.oci >&2
        podman run --rm --network=none \"$(podman images --quiet)\" /bin/hello"
    ));
    // Nothing but the exported change says so.
    assert_eq!(shown, "written");
}

#[cfg(feature = "faults")]
#[test]
fn what_no_sandbox_uses_goes_in_time() {
    let scene = with_root();
    scene.host("tar -C ../root -cf ../one.tar .; cp ../one.tar ../two.tar");
    let clock = scene.root.join("clock");
    let gc = |seconds: u64, words: &[&str]| {
        std::fs::write(&clock, seconds.to_string()).expect("set the clock");
        let mut command = scene.ctrlz([&["--json", "gc", "--trust-clock"], words].concat());
        let report = Outcome::of(command.env("CTRLZ_CLOCK", &clock)).ok().json();
        (report["images"].as_u64(), report["images_freed_bytes"].as_u64().is_some_and(|b| b > 0))
    };
    scene.ok(&["new", "stays", "--root", "../one.tar"]);
    scene.ok(&["new", "goes", "--root", "../two.tar"]);
    scene.ok(&["rm", "goes"]);
    has_whole(&scene, 2);
    // Somebody may be about to use it.
    assert_eq!(gc(3600, &[]), (Some(0), false));
    assert_eq!(gc(90_000, &["--dry-run"]), (Some(1), true));
    has_whole(&scene, 2);
    assert_eq!(gc(90_000, &[]), (Some(1), true));
    has_whole(&scene, 1);
    scene.ok(&["exec", "stays", "--", "/bin/hello"]);
    scene.ok(&["new", "again", "--root", "../two.tar"]);
    scene.ok(&["exec", "again", "--", "/bin/hello"]);
    // What an interrupted removal left goes with the next.
    scene.host("mkdir \"$CTRLZ_HOME/images/0123.gone\"");
    assert_eq!(gc(90_000, &[]), (Some(0), false));
    has_whole(&scene, 2);
}

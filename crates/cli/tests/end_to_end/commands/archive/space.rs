//! What is there is not written again, and what nobody needs is removed.

use super::{blobs, push, scene};
use crate::support::{Scene, skipped, unshared};

#[test]
fn a_second_snapshot_is_small() {
    let scene = Scene::with("for i in $(seq 200); do head -c 20000 /dev/urandom > f$i; done");
    scene.inside("head -c 100000 /dev/urandom > big");
    let first = scene.json(&["push"])["snapshots"][0].clone();
    assert!(first["written_bytes"].as_u64().expect("bytes") > 4_000_000, "{first}");
    scene.inside("echo small > small");
    if scene.json(&["ls"])["sandboxes"][0]["driver"] == "copy" {
        skipped("this workspace driver keeps whole trees");
        return;
    }
    let second = scene.json(&["push"])["snapshots"][0].clone();
    assert!(second["written_bytes"].as_u64().expect("bytes") < 100_000, "{second}");
    assert_eq!(second["reused_layers"], 2, "{second}");
    scene.ok(&["commit"]);
    scene.host("echo changed > f7");
    scene.inside("true");
    let third = scene.json(&["push"])["snapshots"][0].clone();
    let written = third["written_bytes"].as_u64().expect("bytes");
    assert!(written > 100_000 && written < 300_000, "{third}");
    scene.ok(&["drill", third["name"].as_str().expect("a name")]);
    let again = scene.json(&["push"])["snapshots"][0].clone();
    assert_eq!((&again["was_there"], &again["name"]), (&true.into(), &third["name"]));
}

#[test]
fn what_no_snapshot_needs_is_removed() {
    let scene = scene();
    let first = push(&scene);
    scene.inside("echo more >> a");
    let second = push(&scene);
    let before = blobs(&scene).len();
    scene.ok(&["archive", "gc", "--now"]);
    assert_eq!(blobs(&scene).len(), before, "all of it is needed");
    scene.ok(&["archive", "rm", &second]);
    let would = scene.ok(&["archive", "gc", "--now", "--dry-run"]);
    assert!(would.contains("would be removed"), "{would}");
    assert_eq!(blobs(&scene).len(), before);
    scene.ok(&["archive", "gc", "--now"]);
    assert!(blobs(&scene).len() < before);
    scene.ok(&["verify"]);
    scene.ok(&["drill", &first]);
    scene.ok(&["archive", "rm", &first]);
    scene.ok(&["archive", "gc", "--now"]);
    assert_eq!(blobs(&scene).len(), 0);
    scene.run(&["archive", "rm", &first]).code(123).says(&["archive ls"]);
}

#[test]
fn two_at_once_do_not_harm_each_other() {
    let scene = scene();
    scene.ok(&["new", "web"]);
    scene.ok(&["exec", "web", "--", "sh", "-c", "echo web > web"]);
    let start = |sandbox: &str| {
        let mut command = scene.ctrlz(["push", "--sandbox", sandbox]);
        command.stdout(std::process::Stdio::null()).spawn().expect("start")
    };
    for _ in 0..4 {
        let children = [start("web"), start("project"), start("web")];
        for mut child in children {
            assert!(child.wait().expect("its end").success());
        }
        scene.inside("echo more >> a");
    }
    scene.ok(&["verify"]);
    scene.ok(&["drill"]);
}

/// An archive on a disk of its own, with two snapshots and nothing free.
const FULL: &str = "mkdir -p ../small ../home/.config/ctrlz; \
    mount -t tmpfs -o size=24m,mode=700 t ../small; \
    echo \"place: $(realpath ../small)/archive\" > ../home/.config/ctrlz/archive.yaml; \
    \"$CTRLZ\" run -- sh -c 'head -c 2000000 /dev/urandom > big'; \"$CTRLZ\" push; \
    \"$CTRLZ\" run -- sh -c 'head -c 2000000 /dev/urandom > more'; \"$CTRLZ\" push; \
    fill() { cat /dev/zero > ../small/ballast 2> ../err || true; \
        test $(df -B1 --output=avail ../small | tail -1) = 0; }; fill; ";

#[test]
fn a_full_disk_is_emptied() {
    let scene = scene();
    let script = "\"$CTRLZ\" archive rm project.snap-3; \"$CTRLZ\" verify; \
         fill; \"$CTRLZ\" archive gc --now; \
         test $(df -B1 --output=avail ../small | tail -1) -gt 0; \
         \"$CTRLZ\" archive ls; \"$CTRLZ\" archive rm project.snap-5; \"$CTRLZ\" archive gc --now; \
         ls ../small/archive/blobs/sha256; rm ../small/ballast; \
         \"$CTRLZ\" push > ../pushed; \"$CTRLZ\" drill; test -s ../small/archive/.ctrlz/reserve";
    let Some(outcome) = unshared(&scene, &[FULL, script].concat()) else { return };
    outcome.ok();
}

#[test]
fn without_any_space_the_index_stays_as_it_was() {
    let scene = scene();
    let script = "cp ../small/archive/index.json ../before; \
         rm ../small/archive/.ctrlz/reserve; fill; \
         if \"$CTRLZ\" archive rm project.snap-3 2> ../err; then exit 9; fi; \
         grep -q 'No space left' ../err; cmp ../before ../small/archive/index.json; \
         test ! -e ../small/archive/.ctrlz/index.json.new; \
         \"$CTRLZ\" archive gc; \"$CTRLZ\" verify";
    let Some(outcome) = unshared(&scene, &[FULL, script].concat()) else { return };
    outcome.ok();
}

//! A name leads to the snapshot that it is of.

use super::{push, scene};
use crate::support::{Scene, python};

/// Changes the archive's index by `change`, Python that finds the images in `images`, by name.
#[track_caller]
fn change_index(scene: &Scene, change: &str) {
    let program = format!(
        "import json, os\nat = os.environ['CTRLZ_HOME'] + '/archive/index.json'\n\
         index = json.load(open(at))\nWORD = 'org.opencontainers.image.ref.name'\n\
         images = {{one['annotations'][WORD]: one for one in index['manifests']}}\n\
         {change}\njson.dump(index, open(at, 'w'))\n"
    );
    python(scene, &program).ok();
}

#[test]
fn names_that_were_exchanged_are_damage() {
    let scene = scene();
    let first = push(&scene);
    scene.inside("echo more > more");
    let second = push(&scene);
    change_index(
        &scene,
        &format!(
            "one, two = images['{first}'], images['{second}']\n\
             one['annotations'][WORD], two['annotations'][WORD] = '{second}', '{first}'"
        ),
    );
    let told = scene.run(&["verify"]).code(1).out();
    for (name, of) in [(&first, &second), (&second, &first)] {
        assert!(told.contains(&format!("what is named `{name}` is `{of}`")), "{told}");
    }
    assert!(scene.run(&["health"]).out().contains("exchanged"));
    let refused = ["names were exchanged", "--from"];
    scene.run(&["pull", &first]).code(125).says(&refused);
    scene.run(&["pull", &first, "--to", "../out"]).code(125).says(&refused);
    assert!(!scene.exists("../out"));
    scene.run(&["drill", &first]).code(1);
    scene.host("rm \"$CTRLZ_HOME\"/store.db*");
    let told = scene.run(&["recover", "--from-archive"]).code(1).out();
    assert!(told.contains(&first) && told.contains("CANNOT BE READ"), "{told}");
}

#[test]
fn a_name_that_somebody_gave_it_is_fine() {
    let scene = scene();
    let name = push(&scene);
    change_index(&scene, &format!("images['{name}']['annotations'][WORD] = 'before-the-release'"));
    scene.ok(&["verify"]);
    scene.ok(&["pull", "before-the-release", "--to", "../out"]);
    scene.ok(&["pull", "before-the-release", "--sandbox", "other"]);
    scene.ok(&["drill", "before-the-release"]);
    // Also a copy of it, and what comes back from there.
    scene.ok(&["push", "--to", "../copy"]);
    scene.ok(&["verify", "--from", "../copy"]);
    scene.ok(&["pull", &name, "--from", "../copy", "--sandbox", "third"]);
}

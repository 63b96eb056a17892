//! Many layers, and the times after they were merged.

use crate::support::Scene;

#[test]
fn times_after_many_layers_were_merged() {
    let scene = Scene::with(
        "mkdir -p d/e; echo 0 > f0; echo 0 > d/old; touch -d @1000000000.25 d/old f0 d/e",
    );
    let look = "find . -type f -printf '%P %m %s %T@ '  -exec cat {} \\; | sort";
    let mut expected = String::new();
    for step in 1..=60 {
        expected = scene.inside(&format!(
            "echo {step} > f$(({step} % 7)); echo {step} > d/n{step}; rm -f d/n$(({step} - 3)); \
             touch -d @$((1000000000 + {step})).{step:03} d/n{step}; {look}"
        ));
    }
    assert_eq!(scene.inside(look), expected);
    let changes = scene.json(&["diff"]);
    let time = |path: &str| {
        let all = changes["changes"].as_array().expect("an array");
        let change = all.iter().find(|change| change["path"] == path).expect("a change");
        change["after"]["mtime"].as_i64().expect("a time")
    };
    assert_eq!(time("d/n60"), 1_000_000_060_060_000_000);
    assert_eq!(time("d/n58"), 1_000_000_058_058_000_000);
    scene.ok(&["commit"]);
    assert_eq!(scene.host(look), expected);
    // Untouched things keep their time through it all.
    assert!(scene.host("stat -c %.9Y d/old").starts_with("1000000000.25"));
    for _ in 0..20 {
        scene.ok(&["undo"]);
    }
    assert!(!scene.exists("d/n60"));
    let inside = scene.inside("ls d | sort; cat f1");
    assert!(inside.contains("n42"), "{inside}");
}

#[test]
fn any_of_many_layers_can_still_be_returned_to_and_taken_out() {
    let scene = Scene::new();
    for step in 0..56 {
        scene.inside(&format!("echo {step} > f{step}"));
    }
    let log = scene.json(&["log", "-n", "100"])["operations"].as_array().expect("some").clone();
    // The newest first: the run of step n is log[55 - n].
    let of_step = |step: usize| log[55 - step]["id"].as_str().expect("an id").to_owned();
    for step in [3, 40, 20] {
        scene.ok(&["undo", "--operation", &of_step(step)]);
    }
    assert_eq!(scene.inside("ls | wc -l; cat f55; ls f3 f20 f40 2>/dev/null || true"), "53\n55\n");
    scene.ok(&["rollback", &of_step(10)]);
    assert_eq!(scene.inside("ls | wc -l; cat f9"), "10\n9\n");
}

#[test]
fn a_fork_of_many_layers() {
    let scene = Scene::new();
    scene.ok(&["new", "a"]);
    for step in 0..52 {
        scene.ok(&[
            "exec",
            "a",
            "--",
            "sh",
            "-c",
            &format!("echo {step} > f{step}; echo {step} >> all"),
        ]);
    }
    scene.ok(&["fork", "a", "b"]);
    scene.ok(&["rm", "--force", "a"]);
    assert_eq!(scene.ok(&["exec", "b", "--", "sh", "-c", "ls | wc -l; wc -l < all"]), "53\n52\n");
    scene.ok(&["commit", "b"]);
    assert_eq!(scene.host("ls | wc -l"), "53\n");
}

//! `ctrlz doctor`: the drivers, what they can do here, and what they cost.

use serde_json::Value;

use crate::support::Scene;

fn drivers<'a>(object: &'a Value, of: &str) -> &'a [Value] {
    object[of].as_array().expect("drivers")
}

fn named<'a>(object: &'a Value, name: &str) -> &'a Value {
    drivers(object, "isolation").iter().find(|one| one["driver"] == name).expect(name)
}

/// Every driver is there, with what it can do, or why it cannot be used and what it needs.
#[test]
fn each_driver_tells_what_it_can_or_lacks() {
    let scene = Scene::new();
    let object = scene.json(&["doctor"]);
    for driver in drivers(&object, "isolation") {
        let name = driver["driver"].as_str().expect("a name");
        assert!(driver["what"].as_str().is_some_and(|text| !text.is_empty()), "{name}");
        for ability in ["rootless", "memory_snapshot", "pause"] {
            assert!(driver["capabilities"][ability].is_boolean(), "{name}: {ability}");
        }
        assert!(driver["capabilities"]["networks"].as_array().is_some_and(|list| !list.is_empty()));
        let lacks = driver["lacks"].as_str();
        assert!(lacks.is_none_or(|lacks| lacks.len() > 8), "{name}: {lacks:?}");
        assert_eq!(driver["start_and_exit"], Value::Null, "nobody asked what {name} costs");
        // What it tells is what a run meets.
        if !name.starts_with("engine:") && name != "wasm" {
            let outcome = scene.run(&["run", "--isolation", name, "--", "true"]);
            assert_eq!(outcome.status.success(), lacks.is_none(), "{name}: {}", outcome.err());
        }
    }
    assert_eq!(named(&object, "native")["lacks"], Value::Null);
    assert_eq!(named(&object, "native")["without"], Value::Array(Vec::new()));
    let levels = object["levels"].as_array().expect("levels");
    assert_eq!(
        levels.iter().map(|one| &one["level"]).collect::<Vec<_>>(),
        ["dev", "standard", "strict"]
    );
    for level in levels {
        let name = level["driver"].as_str().expect("a driver");
        assert_eq!(named(&object, name)["lacks"], Value::Null, "{level}");
        for missing in level["missing"].as_array().expect("a list") {
            assert_ne!(named(&object, missing.as_str().expect("a driver"))["lacks"], Value::Null);
        }
    }
    let text = scene.ok(&["doctor"]);
    assert!(
        text.contains("what can isolate a command") && text.contains("engine:podman"),
        "{text}"
    );
}

/// What is measured is told for each driver that is there, and nothing of it stays in the store.
#[test]
fn what_drivers_cost_is_measured_on_request() {
    let scene = Scene::new();
    let object = scene.json(&["doctor", "--cost"]);
    for driver in drivers(&object, "isolation") {
        let (name, cost) = (&driver["driver"], &driver["start_and_exit"]);
        assert_eq!(driver["lacks"].is_null(), !cost.is_null(), "{name}");
        if ["native", "wasm"].map(Value::from).contains(name) {
            assert!(cost["median_ms"].as_f64().is_some_and(|time| time > 0.0), "{name}: {cost}");
            assert!(cost["rounds"].as_u64().is_some_and(|rounds| rounds >= 2), "{name}: {cost}");
        }
    }
    for driver in drivers(&object, "workspaces") {
        let (name, cost) = (&driver["driver"], &driver["cost"]);
        assert_eq!(driver["lacks"].is_null(), !cost.is_null(), "{name}: {driver}");
        for what in ["snapshot", "rollback", "fork"] {
            let median = cost[what]["median_ms"].as_f64();
            assert!(
                cost.is_null() || median.is_some_and(|time| time > 0.0),
                "{name} {what}: {cost}"
            );
        }
    }
    let store = std::fs::read_dir(&scene.store).expect("the store");
    let left: Vec<_> = store.flatten().map(|entry| entry.file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with("doctor.")), "{left:?}");
}

//! Which crate may depend on which.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Violation;
use crate::failure::{Answer, Failure};
use crate::project;

/// What each crate may depend on, outside its tests. One that is not listed may exist only
/// together with a line here.
const ARROWS: [(&str, &[&str]); 15] = [
    ("core", &[]),
    ("sys", &[]),
    ("yaml", &[]),
    ("policy", &["core", "yaml"]),
    ("config", &["core", "yaml"]),
    ("store", &["core"]),
    ("archive", &["core"]),
    ("sinks", &["core"]),
    ("workspace", &["core", "sys"]),
    ("isolation", &["core", "sys"]),
    ("wasm", &["core", "sys"]),
    ("engine", &["core", "policy"]),
    ("server", &["core", "policy", "engine"]),
    ("testkit", &["core"]),
    (
        "cli",
        &[
            "archive",
            "config",
            "core",
            "engine",
            "isolation",
            "policy",
            "server",
            "sinks",
            "store",
            "sys",
            // Under the feature `faults`, which only tests turn on.
            "testkit",
            "wasm",
            "workspace",
        ],
    ),
];

/// What only those that talk to people and clients may know.
const OUTWARD: [&str; 6] = ["clap", "clap_complete", "clap_mangen", "axum", "hyper", "tower-http"];
const OUTWARD_CRATES: [&str; 2] = ["cli", "server"];

/// Runtimes and databases, which those in the middle see through traits.
const DRIVERS: [&str; 8] =
    ["tokio", "rusqlite", "rustix", "libc", "nix", "landlock", "seccompiler", "sqlx"];
const DRIVERLESS_CRATES: [&str; 3] = ["core", "policy", "engine"];

/// Where the crates' dependencies break a rule.
pub(super) fn check(metadata: &Value) -> Answer<Vec<Violation>> {
    let packages = metadata.pointer("/packages").and_then(Value::as_array);
    let packages = packages.ok_or_else(|| Failure::told("cargo metadata lists no packages"))?;
    let mut found = Vec::new();
    for package in packages {
        let manifest = Path::new(project::text(package, "/manifest_path").unwrap_or_default());
        let Some(name) = manifest.parent().and_then(Path::file_name) else { continue };
        let name = name.to_string_lossy();
        if name == "xtask" {
            continue;
        }
        let file = PathBuf::from("crates").join(&*name).join("Cargo.toml");
        let mut report = |what| found.push(Violation { file: file.clone(), line: 0, what });
        let Some((_, allowed)) = ARROWS.iter().find(|(from, _)| *from == name) else {
            report(format!("no arrows are drawn for the crate {name}"));
            continue;
        };
        for (dependency, ours) in dependencies(package) {
            if ours && !allowed.contains(&dependency) {
                report(format!("{name} may not depend on {dependency}"));
            }
            if OUTWARD.contains(&dependency) && !OUTWARD_CRATES.contains(&&*name) {
                report(format!("only cli and server may know {dependency}"));
            }
            if DRIVERS.contains(&dependency) && DRIVERLESS_CRATES.contains(&&*name) {
                report(format!("{name} may not know {dependency}"));
            }
        }
    }
    Ok(found)
}

/// The dependencies outside tests; of the project's own crates the folder's name.
fn dependencies(package: &Value) -> impl Iterator<Item = (&str, bool)> {
    let list = package.pointer("/dependencies").and_then(Value::as_array);
    list.into_iter().flatten().filter(|d| project::text(d, "/kind") != Some("dev")).filter_map(
        |d| {
            let own = project::text(d, "/path").map(Path::new).and_then(Path::file_name);
            match own.and_then(|name| name.to_str()) {
                Some(name) => Some((name, true)),
                None => project::text(d, "/name").map(|name| (name, false)),
            }
        },
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::check;

    fn violations(name: &str, dependency: Value) -> Vec<String> {
        let manifest = format!("/p/crates/{name}/Cargo.toml");
        let metadata =
            json!({"packages": [{"manifest_path": manifest, "dependencies": [dependency]}]});
        check(&metadata).unwrap().iter().map(ToString::to_string).collect()
    }

    fn own(name: &str) -> Value {
        json!({"name": format!("ctrlz-{name}"), "path": format!("/p/crates/{name}"), "kind": null})
    }

    #[test]
    fn arrows_go_one_way() {
        assert!(violations("engine", own("core")).is_empty());
        assert_eq!(
            violations("engine", own("workspace")),
            ["crates/engine/Cargo.toml: engine may not depend on workspace"]
        );
        assert_eq!(violations("workspace", own("store")).len(), 1);
        assert_eq!(violations("core", own("sys")).len(), 1);
        assert_eq!(violations("novel", own("core")).len(), 1);
    }

    #[test]
    fn tests_may_use_the_test_kit() {
        let mut dependency = own("testkit");
        assert_eq!(violations("store", dependency.clone()).len(), 1);
        dependency["kind"] = json!("dev");
        assert!(violations("store", dependency).is_empty());
    }

    #[test]
    fn outward_libraries_stay_outside() {
        let clap = json!({"name": "clap", "kind": null});
        assert_eq!(violations("config", clap.clone()).len(), 1);
        assert!(violations("cli", clap).is_empty());
        assert_eq!(violations("engine", json!({"name": "rusqlite", "kind": null})).len(), 1);
    }
}

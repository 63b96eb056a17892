//! The official SDKs as they come from PyPI and npm, against the real program.

use std::path::PathBuf;

use super::super::serve::Service;
use crate::support::{CTRLZ, Outcome, Scene, skipped};

/// Where `cargo xtask test` told that something lies.
fn place(variable: &str, what: &str) -> Option<PathBuf> {
    let found = std::env::var_os(variable).map(PathBuf::from);
    if found.is_none() {
        skipped(&format!(
            "{what} is not installed: `cargo xtask test` does that, and sets {variable}"
        ));
    }
    found
}

/// The file of a client, where whoever runs the test may read it.
#[track_caller]
fn script(scene: &Scene, name: &str, text: &str) -> String {
    let file = scene.root.join(name);
    std::fs::write(&file, text).expect("written");
    file.display().to_string()
}

/// Runs a client, which fails when something is not as it should be.
#[track_caller]
fn client(scene: &Scene, program: &std::path::Path, arguments: &[&str]) {
    let outcome = Outcome::of(&mut scene.program(program, arguments)).ok();
    assert!(outcome.out().contains("all is well"), "{}{}", outcome.out(), outcome.err());
}

#[track_caller]
fn python(mode: &str, is_local: bool) {
    let Some(python) = place("CTRLZ_MCP_PYTHON", "the MCP SDK for Python") else { return };
    let scene = Scene::new();
    let script = script(&scene, "client.py", include_str!("client.py"));
    if is_local {
        let project = scene.project.display().to_string();
        return client(&scene, &python, &[&script, mode, "stdio", CTRLZ, &project]);
    }
    let service = Service::start(&scene);
    let url = format!("{}/mcp", service.address);
    client(&scene, &python, &[&script, mode, "http", &url, &service.admin]);
    service.stop();
}

#[track_caller]
fn typescript(is_local: bool) {
    let Some(sdk) = place("CTRLZ_MCP_TYPESCRIPT", "the MCP SDK for TypeScript") else { return };
    let (scene, sdk) = (Scene::new(), sdk.display().to_string());
    let script = script(&scene, "client.mjs", include_str!("client.mjs"));
    if is_local {
        let project = scene.project.display().to_string();
        return client(&scene, "node".as_ref(), &[&script, &sdk, "stdio", CTRLZ, &project]);
    }
    let service = Service::start(&scene);
    let url = format!("{}/mcp", service.address);
    client(&scene, "node".as_ref(), &[&script, &sdk, "http", &url, &service.admin]);
    service.stop();
}

#[test]
fn python_over_standard_streams() {
    python("auto", true);
}

#[test]
fn python_over_standard_streams_with_the_handshake() {
    python("legacy", true);
}

#[test]
fn python_over_http() {
    python("auto", false);
}

#[test]
fn python_over_http_with_sessions() {
    python("legacy", false);
}

#[test]
fn typescript_over_standard_streams() {
    typescript(true);
}

#[test]
fn typescript_over_http() {
    typescript(false);
}

//! The machine that the numbers were taken on.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::program;

/// One paragraph: kernel, processors, memory, file systems, versions.
pub(super) fn describe(scene: &Path) -> String {
    let first = |file: &str, key: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(key)).map(str::to_owned);
        line.and_then(|line| {
            Some(line.split_once([':', '='])?.1.trim().trim_matches('"').to_owned())
        })
        .unwrap_or_else(|| "unknown".to_owned())
    };
    let said = |program: &str, arguments: &[&str]| {
        program::answer(program::named(program).args(arguments))
            .ok()
            .and_then(|text| text.lines().next().map(str::to_owned))
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
    let scene = scene.to_string_lossy();
    let file_system = said("findmnt", &["--noheadings", "--output", "FSTYPE", "--target", &scene]);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("unknown").to_owned();
    let mut text = format!(
        "{}, Linux {kernel}, {cores} × {}, {} of memory, {} below the scene, load {load} at the \
         start.",
        first("/etc/os-release", "PRETTY_NAME"),
        first("/proc/cpuinfo", "model name"),
        first("/proc/meminfo", "MemTotal"),
        file_system.unwrap_or_else(|| "an unknown file system".to_owned()),
    );
    let said_of = |tool: &str| match tool {
        // It says its number only.
        "age" => said(tool, &["--version"]).map(|version| format!("age {version}")),
        "restic" => said(tool, &["version"]),
        "zstd" => said(tool, &["--version"]).map(|text| text.replace("***", "").trim().to_owned()),
        tool => said(tool, &["--version"]),
    };
    let peers = ["bwrap", "runc", "crun", "podman", "tar", "zstd", "age", "restic", "borg"];
    let versions: Vec<String> = peers.iter().filter_map(|tool| said_of(tool)).collect();
    if !versions.is_empty() {
        text.push_str(&format!(" Peers: {}.", versions.join("; ")));
    }
    if let Ok(rustc) = program::answer(Command::new("rustc").arg("--version")) {
        text.push_str(&format!(" Built by {rustc}."));
    }
    text
}

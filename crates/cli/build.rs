//! Lays the released program out for a short start.
//!
//! What every start runs lies together (`layout.txt`), so that fewer pages are mapped; and the list of
//! pointers that a position-independent program adjusts is packed (`DT_RELR`), 5 kB in place of 700.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

/// The first version of the GNU C library that applies packed relocations (its NEWS file, 2.36).
const FIRST: (u32, u32) = (2, 36);

const LAYOUT: &str = "layout.txt";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={LAYOUT}");
    if !is("PROFILE", "release") || !is("CARGO_CFG_TARGET_ENV", "gnu") {
        return;
    }
    // The C library that is linked is the one of this machine only when nothing is cross-compiled.
    let native = env::var("HOST").is_ok_and(|host| is("TARGET", &host));
    if native && c_library() >= Some(FIRST) {
        give(&["-Wl,-z,pack-relative-relocs"]);
    }
    // By its copy among what is built: cargo keeps that path true when the folder is moved.
    let layout = variable("OUT_DIR").join(LAYOUT);
    if fs::copy(variable("CARGO_MANIFEST_DIR").join(LAYOUT), &layout).is_err() {
        return;
    }
    // Names that are no longer in the program are passed over.
    let ordering = format!("-Wl,--symbol-ordering-file={}", layout.display());
    give(&[&ordering, "-Wl,--no-warn-symbol-ordering"]);
}

/// Hands arguments to the linker, when it is one that knows them.
fn give(arguments: &[&str]) {
    if links(arguments).unwrap_or(false) {
        arguments.iter().for_each(|one| println!("cargo::rustc-link-arg-bins={one}"));
    }
}

/// Whether a small program can be linked with these arguments.
fn links(arguments: &[&str]) -> Option<bool> {
    let folder = variable("OUT_DIR");
    let source = folder.join("trial.rs");
    fs::write(&source, "fn main() {}\n").ok()?;
    let mut rustc = Command::new(env::var_os("RUSTC")?);
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    rustc.args(flags.split('\x1f').filter(|flag| !flag.is_empty()));
    if let Some(linker) = env::var_os("RUSTC_LINKER") {
        let mut chosen = OsString::from("linker=");
        chosen.push(linker);
        rustc.arg("-C").arg(chosen);
    }
    for argument in arguments {
        rustc.arg("-C").arg(format!("link-arg={argument}"));
    }
    rustc.arg("--target").arg(env::var_os("TARGET")?);
    let trial = rustc.arg("-o").arg(folder.join("trial")).arg(&source).output().ok()?;
    Some(trial.status.success())
}

fn is(name: &str, value: &str) -> bool {
    env::var(name).is_ok_and(|found| found == value)
}

fn variable(name: &str) -> PathBuf {
    PathBuf::from(env::var_os(name).unwrap_or_default())
}

/// The version of this machine's C library, such as 2.36.
fn c_library() -> Option<(u32, u32)> {
    let answer = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let text = String::from_utf8(answer.stdout).ok()?;
    let (major, minor) = text.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

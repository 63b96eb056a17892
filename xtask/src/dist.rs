//! `cargo xtask dist`: what a package of ctrlz holds.

use std::fs;
use std::process::Command;

use crate::failure::{Answer, Failure};
use crate::{program, project};

/// Shells, and the names under which their completion scripts are installed.
const SHELLS: [(&str, &str); 5] = [
    ("bash", "ctrlz"),
    ("zsh", "_ctrlz"),
    ("fish", "ctrlz.fish"),
    ("elvish", "ctrlz.elv"),
    ("powershell", "_ctrlz.ps1"),
];

/// Puts the release, completions, manual pages and licences into `target/dist`.
pub(crate) fn dist() -> Answer {
    let binary = project::build_release()?;
    let folder = project::target_folder()?.join("dist");
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(Failure::io("remove", &folder))?;
    }
    let (completions, manual) = (folder.join("completions"), folder.join("man"));
    for folder in [&completions, &manual] {
        fs::create_dir_all(folder).map_err(Failure::io("make", folder))?;
    }
    for (shell, name) in SHELLS {
        let output = program::capture(Command::new(&binary).args(["completions", shell]))?;
        let file = completions.join(name);
        fs::write(&file, output.stdout).map_err(Failure::io("write", &file))?;
    }
    program::capture(Command::new(&binary).arg("man").arg(&manual))?;
    let pages = fs::read_dir(&manual).map_err(Failure::io("list", &manual))?.count();
    if pages == 0 {
        return Err(Failure::told("`ctrlz man` wrote no page"));
    }
    let target = folder.join("ctrlz");
    fs::copy(&binary, &target).map_err(Failure::io("write", &target))?;
    for name in ["LICENSE-MIT", "LICENSE-APACHE", "README.md", "CHANGELOG.md"] {
        let (from, to) = (project::root().join(name), folder.join(name));
        fs::copy(&from, &to).map_err(Failure::io("copy", &from))?;
    }
    println!(
        "{}: ctrlz, {} completion scripts, {pages} manual pages",
        folder.display(),
        SHELLS.len()
    );
    Ok(())
}

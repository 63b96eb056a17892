//! Work with many files, inside a sandbox and outside. The inside includes starting and ending the
//! sandbox.

use std::fs;
use std::path::{Path, PathBuf};

use super::Rounds;
use super::measure::Timed;
use super::scene::{Player, Scene};
use super::start::from_times;
use super::table::Row;
use super::trees::fill;
use crate::failure::{Answer, Failure};
use crate::program;

const GOAL: f64 = 1.1;

pub(super) fn rows(scene: &Scene, rounds: Rounds) -> Answer<Vec<Row>> {
    let players = scene.players()?;
    let Some(player) = players.first() else { return Ok(Vec::new()) };
    let parts: [(&str, Part); 4] = [
        ("`git status`, 10,000 files", git_status),
        ("`git status` ten times in one run, 10,000 files", git_status_ten_times),
        ("`cargo check` of a small crate", cargo_check),
        ("`tar -x` of 10,000 files", untar),
    ];
    let row = |(what, part): &(&str, Part)| {
        let times = part(player).and_then(|pair| player.time(&pair, rounds.long));
        from_times(&format!("{what}, inside"), "the same outside", times, GOAL)
    };
    Ok(parts.iter().map(row).collect())
}

/// The command inside and outside.
type Pair = [Timed; 2];

type Part = fn(&Player<'_>) -> Answer<Pair>;

/// The same command in two equal folders: through ctrlz in the one, directly in the other. `made`
/// is what it makes, removed after each run; inside, the run is discarded. Neither pays for what
/// the other left unwritten.
fn pair(player: &Player<'_>, folders: [&Path; 2], argv: &[&str], made: Option<&str>) -> Pair {
    let [inside, outside] = folders;
    let words: Vec<&str> = ["run", "--"].iter().chain(argv).copied().collect();
    let ctrlz = player.binary();
    let inside = player.ctrlz(inside, &words).before(&[&"sync"]).after(&[&ctrlz, &"discard"]);
    let argv: Vec<&dyn AsRef<std::ffi::OsStr>> =
        argv.iter().map(|word| word as &dyn AsRef<std::ffi::OsStr>).collect();
    let mut outside = Timed::new(outside, &argv).before(&[&"sync"]);
    if let Some(made) = made {
        outside = outside.after(&[&"rm", &"-rf", &made]);
    }
    [inside, outside]
}

fn twice(player: &Player<'_>, name: &str, make: impl Fn(&Path) -> Answer) -> Answer<[PathBuf; 2]> {
    let folders =
        [player.make(&format!("{name}/inside"))?, player.make(&format!("{name}/outside"))?];
    for folder in &folders {
        make(folder)?;
    }
    Ok(folders)
}

fn git_status(player: &Player<'_>) -> Answer<Pair> {
    let [inside, outside] = repositories(player, "git")?;
    Ok(pair(player, [&inside, &outside], &["git", "status", "--porcelain"], None))
}

/// The kernel's caches of a new overlay are cold; from the second time on they are not.
fn git_status_ten_times(player: &Player<'_>) -> Answer<Pair> {
    let [inside, outside] = repositories(player, "git-ten")?;
    let script = "for i in 1 2 3 4 5 6 7 8 9 10; do git status --porcelain || exit; done";
    Ok(pair(player, [&inside, &outside], &["sh", "-c", script], None))
}

fn repositories(player: &Player<'_>, name: &str) -> Answer<[PathBuf; 2]> {
    twice(player, name, |folder| {
        fill(folder, 10_000, 1024)?;
        let git = |words: &[&str]| {
            let mut git = program::named("git");
            git.args(["-c", "user.name=x", "-c", "user.email=x@localhost"]).args(words);
            program::capture(git.current_dir(folder)).map(drop)
        };
        git(&["init", "--quiet"])?;
        git(&["add", "."])?;
        git(&["commit", "--quiet", "--message", "files"])?;
        git(&["status", "--porcelain"])
    })
}

fn cargo_check(player: &Player<'_>) -> Answer<Pair> {
    let [inside, outside] = twice(player, "crate", |folder| {
        let write = |name: &str, text: &str| {
            let file = folder.join(name);
            fs::write(&file, text).map_err(Failure::io("write", &file))
        };
        let source = folder.join("src");
        fs::create_dir_all(&source).map_err(Failure::io("make", &source))?;
        write("Cargo.toml", "[package]\nname = \"small\"\nedition = \"2024\"\n[workspace]\n")?;
        let mut modules = String::new();
        for number in 0..40 {
            let text = format!(
                "pub fn f(x: &[u64]) -> Vec<String> {{ x.iter().map(|x| format!(\"{{x}} {number}\")).collect() }}\n"
            );
            write(&format!("src/m{number}.rs"), &text)?;
            modules.push_str(&format!("pub mod m{number};\n"));
        }
        write("src/lib.rs", &modules)?;
        let mut lock = program::named("cargo");
        program::capture(lock.args(["generate-lockfile", "--offline"]).current_dir(folder))
            .map(drop)
    })?;
    let argv = ["cargo", "check", "--quiet", "--offline"];
    let own = Path::new("target");
    let pair = pair(player, [&inside, &outside], &argv, Some("target"));
    Ok(pair.map(|timed| timed.env("CARGO_TARGET_DIR", own)))
}

fn untar(player: &Player<'_>) -> Answer<Pair> {
    let [inside, outside] = twice(player, "tar", |folder| {
        let files = folder.join("files");
        fill(&files, 10_000, 4096)?;
        let mut tar = program::named("tar");
        program::capture(tar.args(["-cf", "files.tar", "files"]).current_dir(folder))?;
        fs::remove_dir_all(&files).map_err(Failure::io("remove", &files))
    })?;
    Ok(pair(player, [&inside, &outside], &["tar", "-xf", "files.tar"], Some("files")))
}

//! Container runtimes, as root, on an image that holds one static program.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Rounds;
use super::measure::Timed;
use super::scene::{Player, Scene};
use super::start::{ctrlz_true, from_times, row};
use super::table::Row;
use crate::failure::{Answer, Failure};
use crate::{prerequisites, program};

pub(super) fn rows(scene: &Scene, player: &Player<'_>, what: &str, rounds: Rounds) -> Vec<Row> {
    let bundle = match bundle(scene) {
        Ok(bundle) => bundle,
        Err(failure) => {
            return vec![Row::skipped(what, "podman, runc, crun", &failure.to_string())];
        }
    };
    let half = rounds.short / 2;
    let podman = podman(scene, &bundle);
    vec![
        row(player, (what, "`runc run`"), runc(scene, &bundle), 1.0 / 4.0, half),
        from_times(
            what,
            CRUN,
            ctrlz_true(player).and_then(|ours| crun(scene, player, ours, &bundle, half)),
            0.6,
        ),
        row(player, (what, "`podman run --rm --network=none`"), podman, 1.0 / 30.0, rounds.long),
    ]
}

pub(super) fn tool(name: &str) -> Answer<PathBuf> {
    if program::find(name).is_none() {
        prerequisites::install(&[name])?;
    }
    program::find(name).ok_or_else(|| Failure::told(format!("{name} is missing")))
}

/// An OCI bundle whose root holds nothing but a static `/true`.
pub(super) fn bundle(scene: &Scene) -> Answer<PathBuf> {
    let bundle = scene.make("bundle")?;
    let root = scene.make("bundle/rootfs")?;
    let source = scene.folder().join("true.c");
    fs::write(&source, "int main(void) { return 0; }\n").map_err(Failure::io("write", &source))?;
    let mut compile = program::named("cc");
    program::capture(compile.args(["-O2", "-static", "-o"]).arg(root.join("true")).arg(source))?;
    let runc = tool("runc")?;
    program::capture(Command::new(runc).arg("spec").arg("--bundle").arg(&bundle))?;
    let file = bundle.join("config.json");
    let text = fs::read(&file).map_err(Failure::io("read", &file))?;
    let mut config: Value = serde_json::from_slice(&text)
        .map_err(|source| Failure::Output { program: "runc spec".to_owned(), source })?;
    for (pointer, value) in
        [("/process/terminal", json!(false)), ("/process/args", json!(["/true"]))]
    {
        if let Some(place) = config.pointer_mut(pointer) {
            *place = value;
        }
    }
    fs::write(&file, config.to_string()).map_err(Failure::io("write", &file))?;
    Ok(bundle)
}

pub(super) fn runc(scene: &Scene, bundle: &Path) -> Answer<Timed> {
    let state = scene.make("runc")?;
    Ok(Timed::new(
        bundle,
        &[&tool("runc")?, &"--root", &state, &"run", &"--bundle", &bundle, &"ctrlz-bench-runc"],
    ))
}

/// The peer of [`crun`].
pub(super) const CRUN: &str = "`crun run`";

/// The times of a command and of crun. Where the unified cgroup hierarchy has no controllers crun refuses
/// it; there both run in a mount namespace without it.
pub(super) fn crun(
    scene: &Scene,
    player: &Player<'_>,
    ours: Timed,
    bundle: &Path,
    rounds: usize,
) -> Answer<Vec<Vec<f64>>> {
    let state = scene.make("crun")?;
    let crun = Timed::new(
        bundle,
        &[&tool("crun")?, &"--root", &state, &"run", &"--bundle", &bundle, &"ctrlz-bench-crun"],
    );
    let commands = [ours, crun];
    if let Ok(times) = player.time(&commands, rounds) {
        return Ok(times);
    }
    let script = "mount -t tmpfs none /sys/fs/cgroup/unified && exec \"$@\"";
    let hidden = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"];
    player.time_in(&hidden.map(str::to_owned), &commands, rounds)
}

fn podman(scene: &Scene, bundle: &Path) -> Answer<Timed> {
    let podman = Podman::with_image(scene, &bundle.join("rootfs"))?;
    Ok(podman.timed(bundle, &[&"run", &"--rm", &"--network=none", &Podman::IMAGE, &"/true"]))
}

/// Unmounts what a container engine leaves mounted in its folder, which could not be removed otherwise.
pub(super) fn unmount_below(folder: &Path) {
    // An engine tidies up behind its containers in processes of their own, which mount it once more.
    let begun = Instant::now();
    while is_named(folder) && begun.elapsed() < Duration::from_secs(10) {
        thread::sleep(Duration::from_millis(20));
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    for point in points.filter(|point| Path::new(point).starts_with(folder)) {
        let _ = program::attempt(program::named("umount").arg("--lazy").arg(point));
    }
}

/// Whether a process has the folder among its arguments.
fn is_named(folder: &Path) -> bool {
    let folder = folder.as_os_str().as_bytes();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|process| fs::read(process.path().join("cmdline")).ok())
        .any(|arguments| arguments.windows(folder.len()).any(|part| part == folder))
}

/// Podman with storage of its own.
pub(super) struct Podman {
    program: PathBuf,
    config: PathBuf,
    storage: PathBuf,
    state: PathBuf,
}

impl Drop for Podman {
    fn drop(&mut self) {
        unmount_below(&self.storage);
    }
}

impl Podman {
    /// The image that is in it.
    pub(super) const IMAGE: &str = "localhost/ctrlz-bench:latest";

    /// Imports an image with the files below `root`.
    pub(super) fn with_image(scene: &Scene, root: &Path) -> Answer<Self> {
        let program = tool("podman")?;
        let config = scene.folder().join("containers.conf");
        // Limits that a machine without CAP_SYS_RESOURCE can set, too.
        let text = "[containers]\n\
                    default_ulimits = [\"nofile=4096:4096\", \"nproc=4096:4096\"]\n\
                    [engine]\nruntime = \"runc\"\ncgroup_manager = \"cgroupfs\"\n\
                    events_logger = \"file\"\n";
        fs::write(&config, text).map_err(Failure::io("write", &config))?;
        let (storage, state) = (scene.make("podman/storage")?, scene.make("podman/state")?);
        let podman = Self { program, config, storage, state };
        let archive = image(scene, root)?;
        program::capture(podman.command().arg("import").arg(&archive).arg(Self::IMAGE))?;
        Ok(podman)
    }

    /// A command of podman that is run once.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--root").arg(&self.storage).arg("--runroot").arg(&self.state);
        command.env("CONTAINERS_CONF", &self.config);
        command
    }

    /// One that is timed.
    pub(super) fn timed(&self, folder: &Path, words: &[&dyn AsRef<OsStr>]) -> Timed {
        let Self { program, config, storage, state } = self;
        let own: [&dyn AsRef<OsStr>; 5] = [program, &"--root", storage, &"--runroot", state];
        Timed::new(folder, &[&own, words].concat()).env("CONTAINERS_CONF", config)
    }
}

/// A tar archive of the files below `root`, which is what `import` takes.
pub(super) fn image(scene: &Scene, root: &Path) -> Answer<PathBuf> {
    let archive = scene.folder().join("image.tar");
    let mut tar = program::named("tar");
    program::capture(tar.arg("-C").arg(root).arg("-cf").arg(&archive).arg("."))?;
    Ok(archive)
}

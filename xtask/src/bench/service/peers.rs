//! `podman exec` and `docker exec` into a container that runs: each with storage of its own, and a
//! `dockerd` that nobody else uses.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::super::Rounds;
use super::super::measure::Timed;
use super::super::peers::{Podman, image, unmount_below};
use super::super::scene::{Player, Scene};
use super::super::table::Row;
use super::{run_true, sandbox};
use crate::failure::{Answer, Failure};
use crate::service::Service;
use crate::{account, program};

/// What an operation of the service may take of what they take.
const GOAL: f64 = 1.0 / 20.0;
/// How long `dockerd` may take to begin, and to end.
const PATIENCE: Duration = Duration::from_secs(60);
/// The container's name.
const NAME: &str = "ctrlz-bench";
/// Commands of one side before the other's turn.
const TURN: usize = 5;

pub(super) fn rows(
    scene: &Scene,
    player: &Player<'_>,
    service: &Service,
    rounds: Rounds,
) -> Vec<Row> {
    let what = "`true` in a ready sandbox over HTTP, one connection";
    let row = |against: &str, measured: Answer<(Vec<f64>, Vec<f64>)>| match measured {
        Ok((ours, theirs)) => Row::ratio(what, against, &ours, &theirs, GOAL),
        Err(failure) => Row::skipped(what, against, &failure.to_string()),
    };
    let by_podman = || {
        let podman = RunningPodman::start(scene)?;
        let exec = podman.podman.timed(scene.folder(), &[&"exec", &NAME, &"/true"]);
        in_turns(player, service, &exec, ("beside-podman", rounds))
    };
    let by_docker = || {
        let docker = Docker::start(scene)?;
        let exec = Timed::new(
            scene.folder(),
            &[&docker.client, &"--host", &docker.host(), &"exec", &NAME, &"/true"],
        );
        in_turns(player, service, &exec, ("beside-docker", rounds))
    };
    vec![row("`podman exec`", by_podman()), row("`docker exec`", by_docker())]
}

/// Times of the service and of a peer, a few of each in turn.
fn in_turns(
    player: &Player<'_>,
    service: &Service,
    peer: &Timed,
    (name, rounds): (&str, Rounds),
) -> Answer<(Vec<f64>, Vec<f64>)> {
    let mut client = service.client()?;
    sandbox(&mut client, name)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..rounds.long.max(rounds.short / 4).div_ceil(TURN) {
        theirs.extend(player.time(std::slice::from_ref(peer), TURN)?.into_iter().flatten());
        for _ in 0..TURN {
            ours.push(run_true(&mut client, name)?);
        }
    }
    Ok((ours, theirs))
}

/// A root that holds one static program, which waits when it is told anything.
fn root(scene: &Scene) -> Answer<PathBuf> {
    let (root, source) = (scene.make("waiting")?, scene.folder().join("waiting.c"));
    let text = "#include <unistd.h>\n\
                int main(int count, char **words) { while (count > 1) pause(); return 0; }\n";
    fs::write(&source, text).map_err(Failure::io("write", &source))?;
    let mut compile = program::named("cc");
    program::capture(compile.args(["-O2", "-static", "-o"]).arg(root.join("true")).arg(source))?;
    Ok(root)
}

/// What is not there is not installed: a container engine brings a daemon along that starts by itself.
fn installed(name: &str) -> Answer<PathBuf> {
    if !account::is_root() {
        return Err(Failure::told(format!("{name} is measured as root")));
    }
    program::find(name).ok_or_else(|| Failure::told(format!("{name} is not installed")))
}

/// A container of podman's that waits; it goes when this is dropped.
struct RunningPodman {
    podman: Podman,
}

impl RunningPodman {
    fn start(scene: &Scene) -> Answer<Self> {
        installed("podman")?;
        let podman = Self { podman: Podman::with_image(scene, &root(scene)?)? };
        let mut run = podman.podman.command();
        run.args(["run", "--detach", "--network=none", "--name", NAME, Podman::IMAGE]);
        program::capture(run.args(["/true", "wait"]))?;
        Ok(podman)
    }
}

impl Drop for RunningPodman {
    fn drop(&mut self) {
        let mut remove = self.podman.command();
        // It may not have begun.
        let _ = program::attempt(remove.args(["rm", "--force", "--time", "0", NAME]));
    }
}

/// A `dockerd` with a container that waits; both go when this is dropped.
struct Docker {
    client: PathBuf,
    folder: PathBuf,
    daemon: Child,
}

impl Docker {
    fn start(scene: &Scene) -> Answer<Self> {
        let (client, program) = (installed("docker")?, installed("dockerd")?);
        let root = root(scene)?;
        let (folder, archive) = (scene.make("docker")?, image(scene, &root)?);
        let log = folder.join("log");
        let log = File::create(&log).map_err(Failure::io("make", &log))?;
        let same = log.try_clone().map_err(Failure::io("use", &folder.join("log")))?;
        let mut command = Command::new(program);
        command.args(["--iptables=false", "--ip6tables=false", "--bridge=none"]);
        command.arg("--storage-driver=overlay2").arg("--data-root").arg(folder.join("data"));
        command
            .arg("--exec-root")
            .arg(folder.join("exec"))
            .arg("--pidfile")
            .arg(folder.join("pid"));
        command.arg("--host").arg(host(&folder));
        let daemon = command.stdin(Stdio::null()).stdout(log).stderr(same).spawn();
        let daemon =
            daemon.map_err(|source| Failure::Start { program: "dockerd".to_owned(), source })?;
        let mut docker = Self { client, folder, daemon };
        docker.wait()?;
        program::capture(docker.command().arg("import").arg(&archive).arg(NAME))?;
        let mut run = docker.command();
        run.args(["run", "--detach", "--network=none", "--name", NAME, NAME, "/true", "wait"]);
        program::capture(&mut run)?;
        Ok(docker)
    }

    fn host(&self) -> String {
        host(&self.folder)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.client);
        command.arg("--host").arg(self.host());
        command
    }

    /// Waits until it answers.
    fn wait(&mut self) -> Answer {
        let begun = Instant::now();
        while program::capture(self.command().arg("info")).is_err() {
            let ended = self.daemon.try_wait().ok().flatten();
            if ended.is_some() || begun.elapsed() > PATIENCE {
                let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                let last = log.lines().last().unwrap_or_default();
                return Err(Failure::told(format!("dockerd does not begin: {last}")));
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }
}

fn host(folder: &Path) -> String {
    format!("unix://{}", folder.join("socket").display())
}

impl Drop for Docker {
    fn drop(&mut self) {
        // Whatever of it there is.
        let _ = program::attempt(self.command().args(["rm", "--force", NAME]));
        let _ = kill_process(Pid::from_child(&self.daemon), Signal::TERM);
        let begun = Instant::now();
        while matches!(self.daemon.try_wait(), Ok(None)) && begun.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(20));
        }
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
        unmount_below(&self.folder);
    }
}

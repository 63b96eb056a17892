//! Start and exit of a command in each isolation driver, against the bare tool on an image that holds one
//! static program. As root.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::Rounds;
use super::measure::Timed;
use super::peers::{self, Podman, tool};
use super::scene::{Player, Scene};
use super::start::from_times;
use super::table::Row;
use crate::failure::{Answer, Failure};
use crate::{prerequisites, program};

/// What a driver may cost of what its tool costs alone.
const GOAL: f64 = 1.1;

pub(super) fn rows(scene: &Scene, rounds: Rounds) -> Answer<Vec<Row>> {
    let players = scene.players()?;
    let Some(player) = players.iter().find(|player| player.label == "root") else {
        return Err(Failure::told("measured as root only"));
    };
    let bundle = peers::bundle(scene)?;
    let half = rounds.short / 2;
    let runc = || {
        let commands = [ours(player, "oci:runc", "true")?, peers::runc(scene, &bundle)?];
        player.time(&commands, half)
    };
    let crun = || peers::crun(scene, player, ours(player, "oci:crun", "true")?, &bundle, half);
    Ok(vec![
        from_times(&what("oci:runc"), "`runc run`", runc(), GOAL),
        from_times(&what("oci:crun"), peers::CRUN, crun(), GOAL),
        from_times(&what("oci:runsc"), "`runsc run`", gvisor(scene, player, &bundle, rounds), GOAL),
        from_times(
            &what("engine:podman"),
            "`podman run --rm --network=none`",
            podman(scene, player, &bundle, rounds),
            GOAL,
        ),
        from_times(
            &what("engine:docker"),
            "`docker run --rm --network=none`",
            docker(scene, player, &bundle, rounds),
            GOAL,
        ),
    ])
}

fn what(driver: &str) -> String {
    format!("`ctrlz run --isolation {driver} -- true` as root")
}

fn ours(player: &Player<'_>, driver: &str, program: &str) -> Answer<Timed> {
    Ok(player.ctrlz(&player.make("project")?, &["run", "--isolation", driver, "--", program]))
}

/// gVisor from `CTRLZ_TEST_RUNSC`, else from the path.
fn gvisor(
    scene: &Scene,
    player: &Player<'_>,
    bundle: &Path,
    rounds: Rounds,
) -> Answer<Vec<Vec<f64>>> {
    let named = std::env::var_os("CTRLZ_TEST_RUNSC").map(PathBuf::from);
    let runsc = named.or_else(|| program::find("runsc"));
    let runsc = runsc.ok_or_else(|| Failure::told("runsc is missing"))?;
    let state = scene.make("runsc")?;
    let peer = Timed::new(
        bundle,
        &[
            &runsc,
            &"--root",
            &state,
            &"--platform=systrap",
            &"--network=none",
            &"--ignore-cgroups",
            &"run",
            &"--bundle",
            &bundle,
            &"ctrlz-bench-runsc",
        ],
    );
    let driver = format!("oci:{}", runsc.display());
    player.time(&[ours(player, &driver, "true")?, peer], rounds.long)
}

fn podman(
    scene: &Scene,
    player: &Player<'_>,
    bundle: &Path,
    rounds: Rounds,
) -> Answer<Vec<Vec<f64>>> {
    let podman = Podman::with_image(scene, &bundle.join("rootfs"))?;
    let socket = scene.folder().join("podman.sock");
    let mut command = podman.command();
    command.args(["system", "service", "--time", "0", &address(&socket)]);
    let _served = Served::begin(command, &socket)?;
    let driver = format!("engine:podman:{}", Podman::IMAGE);
    let own = ours(player, &driver, "/true")?.env("CONTAINER_HOST", Path::new(&address(&socket)));
    let peer =
        podman.timed(bundle, &[&"run", &"--rm", &"--network=none", &Podman::IMAGE, &"/true"]);
    player.time(&[own, peer], rounds.long)
}

fn docker(
    scene: &Scene,
    player: &Player<'_>,
    bundle: &Path,
    rounds: Rounds,
) -> Answer<Vec<Vec<f64>>> {
    if program::find("dockerd").is_none() {
        prerequisites::install(&["docker.io"])?;
    }
    let socket = scene.folder().join("docker.sock");
    let (data, run) = (scene.make("docker/data")?, scene.make("docker/run")?);
    let mut command = Command::new(tool("dockerd")?);
    command.args(["--iptables=false", "--ip6tables=false", "--bridge=none"]);
    command.arg("--data-root").arg(&data).arg("--exec-root").arg(&run);
    command.arg("-H").arg(address(&socket)).arg("-p").arg(scene.folder().join("dockerd.pid"));
    let served = Served::begin(command, &socket)?;
    let client = tool("docker")?;
    let image = peers::image(scene, &bundle.join("rootfs"))?;
    let mut import = Command::new(&client);
    import.arg("-H").arg(address(&socket)).arg("import").arg(image).arg(Podman::IMAGE);
    program::capture(&mut import)?;
    let driver = format!("engine:docker:{}", Podman::IMAGE);
    let own = ours(player, &driver, "/true")?.env("DOCKER_HOST", Path::new(&address(&socket)));
    let host = address(&socket);
    let peer = Timed::new(
        bundle,
        &[&client, &"-H", &host, &"run", &"--rm", &"--network=none", &Podman::IMAGE, &"/true"],
    );
    let times = player.time(&[own, peer], rounds.long);
    drop(served);
    peers::unmount_below(&scene.folder().join("docker"));
    times
}

fn address(socket: &Path) -> String {
    format!("unix://{}", socket.display())
}

/// A daemon, until dropped.
struct Served(Child);

impl Served {
    fn begin(mut command: Command, socket: &Path) -> Answer<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let name = command.get_program().to_owned();
        let child = command.spawn().map_err(Failure::io("start", Path::new(&name)))?;
        let mut served = Self(child);
        let begun = Instant::now();
        while UnixStream::connect(socket).is_err() {
            let ended = served.0.try_wait().map_err(Failure::io("wait for", Path::new(&name)))?;
            if ended.is_some() || begun.elapsed() > Duration::from_secs(60) {
                return Err(Failure::told(format!("{} does not listen", name.display())));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(served)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        // By its own end it takes its helpers along.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.0.wait();
    }
}

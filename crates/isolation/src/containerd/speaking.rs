//! The process that speaks for a container: it has containerd make it, carries the standard streams, passes
//! signals on, and has everything removed when the command has ended or ctrlz is gone.
//!
//! containerd knows no connection with whose end a container ends. So this is a process of its own that
//! outlives ctrlz, in a session of its own, where no key that is typed reaches it.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ctrlz_core::driver::Shim;
use ctrlz_core::isolation::Launch;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use rustix::stdio::{stdin, stdout};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::sleep;

use super::client::{self, Calls, told};
use super::messages::{Any, Container, CreateTask, Mount, RuntimeName};
use super::place::{self, Place};
use super::streams::{Ends, Pumps};
use super::{protections, spec, tidy};
use crate::launcher::Request;
use crate::native::{Protections, Speaker, ToldApart, Wanted, mount_overlay};

/// What it tells once: the process with which the task ends, or why there is none.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Made {
    Task(u32),
    Failed { step: String, why: String },
}

type Failure = (&'static str, io::Error);

/// How long ctrlz may take to look at what was used, in seconds.
const LOOKS: i64 = 10;
/// How often a containerd that is gone is looked for.
const AGAIN: Duration = Duration::from_millis(200);

/// Its first argument; the second one is the folder of the launch.
pub const SPEAKER: &str = "--containerd-speaker";

/// The process, as ctrlz sees it.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    pub(super) pidfd: OwnedFd,
}

impl Process {
    /// Starts it: this program anew, so that it has nothing open that is ctrlz's. Its answer comes from `tell`.
    pub(super) fn start(
        launch: &Launch,
        place: &Place,
        speaker: Speaker,
    ) -> io::Result<(Self, File)> {
        let protections = Protections::none();
        let request = Request { launch: launch.clone(), protections, terminal: false };
        let mut file =
            File::options().write(true).create_new(true).mode(0o600).open(place.launch())?;
        file.write_all(&request.to_bytes())?;
        let (tells, tell) = pipe_with(PipeFlags::CLOEXEC)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(SPEAKER).arg(place.path()).current_dir("/");
        command.stdin(OwnedFd::from(speaker)).stdout(tell).stderr(Stdio::null());
        let child = command.spawn()?;
        let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
        Ok((Self { child, pidfd }, File::from(tells)))
    }

    /// Waits for its end; answers whether it left nothing.
    pub(super) fn ends_clean(&mut self) -> bool {
        self.child.wait().is_ok_and(|status| status.success())
    }
}

/// Runs as that process.
///
/// # Errors
/// When nobody asked for it, or something is left.
pub fn speak() -> io::Result<()> {
    let unasked = || io::Error::new(io::ErrorKind::InvalidInput, "no ctrlz asked for it");
    let folder = std::env::args_os().nth(2).ok_or_else(unasked)?;
    let place = Place::open(Path::new(&folder)).ok_or_else(unasked)?;
    let request = std::fs::read(place.launch())?;
    let launch = Request::from_bytes(&request).ok_or_else(unasked)?.launch;
    std::fs::remove_file(place.launch())?;
    let speaker = Speaker::from(rustix::io::fcntl_dupfd_cloexec(stdin(), 3)?);
    let mut tell = Some(File::from(rustix::io::fcntl_dupfd_cloexec(stdout(), 3)?));
    let nothing = File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&nothing)?;
    rustix::stdio::dup2_stdout(&nothing)?;
    // Keys that are typed are not for it; all signals wait, for ever.
    let _ = rustix::process::setsid();
    let _signals = ctrlz_sys::signal::take_all()?;
    let mut say = |made: &Made| {
        let bytes = serde_json::to_vec(made).unwrap_or_default();
        // Whoever does not hear it is gone, which the channel tells, too.
        let _ = tell.take().map(|mut tell| tell.write_all(&bytes));
    };
    let shim = place.note.shim;
    client::block_on(async {
        match make(&launch, shim, &place).await {
            Ok((task, ends)) => {
                say(&Made::Task(task));
                attend(&place, (&speaker, shim), (task, ends)).await;
            }
            Err((step, why)) => {
                say(&Made::Failed { step: step.to_owned(), why: why.to_string() });
            }
        }
    })?;
    if tidy::removed(&place.note) {
        place::remove(place.path());
    }
    match place.path().exists() {
        false => Ok(()),
        true => Err(io::Error::other("something is left of the container")),
    }
}

/// Has the container and its task made; answers with what process the task ends.
async fn make(launch: &Launch, shim: Shim, place: &Place) -> Result<(u32, Ends), Failure> {
    let at = |step: &'static str| move |error: io::Error| (step, error);
    mount_overlay(&launch.workspace, &place.workspace()).map_err(at("mount the workspace"))?;
    let described = spec::describe(launch, shim, place).map_err(at("describe the container"))?;
    let value = serde_json::to_vec(&described).map_err(|e| ("describe the container", e.into()))?;
    let asked = |step| move |error| (step, told(&error));
    let calls = Calls::open(&place.note.socket).await.map_err(asked("reach containerd"))?;
    let container = Container {
        id: place.container().to_owned(),
        labels: [(tidy::LABEL.to_owned(), place.launcher().to_owned())].into(),
        runtime: Some(RuntimeName { name: shim.runtime().to_owned() }),
        spec: Some(Any {
            type_url: "types.containerd.io/opencontainers/runtime-spec/1/Spec".to_owned(),
            value,
        }),
    };
    calls.create(container).await.map_err(asked("have containerd note the container"))?;
    let ends = Ends::open(&place.streams()).map_err(at("open the FIFOs of the streams"))?;
    let text = |path: &Path| {
        let text = path.to_str().map(str::to_owned);
        text.ok_or_else(|| ("name a path to containerd", io::ErrorKind::InvalidInput.into()))
    };
    let (source, is_read_only) = spec::root(launch, place);
    let mode = if is_read_only { "ro" } else { "rw" };
    let [stdin, stdout, stderr] = place.streams();
    let task = CreateTask {
        container: place.container().to_owned(),
        rootfs: vec![Mount {
            kind: "bind".to_owned(),
            source: text(&source)?,
            options: ["bind", mode].map(str::to_owned).to_vec(),
        }],
        stdin: text(&stdin)?,
        stdout: text(&stdout)?,
        stderr: text(&stderr)?,
        terminal: false,
    };
    let process = calls.create_task(&task).await.map_err(asked("have the container made"))?;
    Ok((process, ends))
}

/// Does what is wanted until the task has ended, and tells the end.
async fn attend(place: &Place, (speaker, shim): (&Speaker, Shim), (task, ends): (u32, Ends)) {
    let Some(streams) = speaker.streams() else { return };
    let (Ok(mut wanted), Some(process)) = (listen(speaker), open(task)) else { return };
    let (socket, name) = (&place.note.socket, place.container());
    let ended = wait(socket, name, &process);
    tokio::pin!(ended);
    let mut ready = Some((ends, streams));
    let mut pumps = None;
    let mut input = None;
    let code = loop {
        let over = async {
            match &mut input {
                Some(over) => over.await,
                None => std::future::pending().await,
            }
        };
        let next = tokio::select! {
            code = &mut ended => break code,
            _ = over => None,
            next = wanted.recv() => Some(next.unwrap_or(Wanted::End)),
        };
        match next {
            Some(Wanted::Nothing) => {}
            Some(Wanted::End) => return,
            Some(Wanted::Signal(signal)) => send(socket, name, &[signal]).await,
            Some(Wanted::Terminate) => {
                send(socket, name, &[Signal::TERM.as_raw(), Signal::CONT.as_raw()]).await;
            }
            Some(Wanted::Start) => {
                let Some((ends, streams)) = ready.take() else { continue };
                let started = with(socket, async |calls| calls.start_task(name).await).await;
                if let Err(error) = started {
                    speaker.failed(format!("start the container: {error}"));
                    return;
                }
                speaker.started(protections(shim));
                let (running, over) = Pumps::start(ends, streams);
                (pumps, input) = (Some(running), Some(over));
            }
            None => {
                input = None;
                // Who has ended meanwhile reads nothing more.
                let _ = with(socket, async |calls| calls.end_of_input(name).await).await;
            }
        }
    };
    if let Some(pumps) = pumps {
        pumps.finish();
    }
    speaker.ended(ToldApart::read(&place.report()), code);
    // Its control groups, and what they counted, go with the task.
    speaker.await_end(LOOKS);
}

/// Has a thread wait for what is wanted.
fn listen(speaker: &Speaker) -> io::Result<UnboundedReceiver<Wanted>> {
    let speaker = speaker.try_clone()?;
    let (tell, told) = unbounded_channel();
    std::thread::spawn(move || {
        loop {
            let wanted = speaker.wait();
            if tell.send(wanted).is_err() || wanted == Wanted::End {
                return;
            }
        }
    });
    Ok(told)
}

fn open(process: u32) -> Option<OwnedFd> {
    let process = Pid::from_raw(process.cast_signed())?;
    pidfd_open(process, PidfdFlags::empty()).ok()
}

/// Connects for one call.
async fn with<T>(
    socket: &Path,
    call: impl AsyncFnOnce(&Calls) -> Result<T, super::grpc::CallError>,
) -> io::Result<T> {
    let calls = Calls::open(socket).await.map_err(|error| told(&error))?;
    call(&calls).await.map_err(|error| told(&error))
}

/// Sends signals to process 1, which passes them on.
async fn send(socket: &Path, name: &str, signals: &[i32]) {
    for signal in signals {
        let signal = signal.unsigned_abs();
        // Who has ended takes no signal.
        let _ = with(socket, async |calls| calls.kill_task(name, signal).await).await;
    }
}

/// Waits for the end of a task, also when containerd is gone for a while. Answers its exit code, when
/// containerd knows it.
async fn wait(socket: &Path, name: &str, process: &OwnedFd) -> Option<u32> {
    loop {
        let Ok(calls) = Calls::open(socket).await else {
            if has_ended(process) {
                return None;
            }
            sleep(AGAIN).await;
            continue;
        };
        match calls.wait_task(name).await {
            Ok(code) => return Some(code),
            Err(error) if error.is_absent() => return None,
            Err(_) if has_ended(process) => return None,
            Err(_) => sleep(AGAIN).await,
        }
    }
}

fn has_ended(process: &OwnedFd) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&now)).is_ok_and(|ended| ended > 0)
}

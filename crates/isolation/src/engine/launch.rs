//! Starting a container, and meeting its process 1.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bollard::errors::Error;
use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{CreateContainerOptions, RemoveContainerOptions};
use ctrlz_core::isolation::{IsolationError, Launch, Prepared, RootView};
use ctrlz_core::monitor::Observer;
use ctrlz_core::operation::CommandReport;
use ctrlz_core::workspace::WorkspaceMount;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::client::{Client, is_absent, told};
use super::container::{User, describe};
use super::place::{Note, Place};
use super::{image, in_force};
use crate::native::{self, Asker, Channel, Contained, adopt, mount_workspace};

/// How long a container that runs may take until its process 1 arrives.
const PATIENCE: Duration = Duration::from_secs(30);
/// After how long it is asked whether it still runs.
const GLANCE: Duration = Duration::from_millis(500);

/// A container that is removed unless its process 1 was met: from then on it goes with that.
struct Created<'c> {
    client: &'c Client,
    name: String,
    is_met: bool,
}

impl Drop for Created<'_> {
    fn drop(&mut self) {
        if self.is_met {
            return;
        }
        let options = RemoveContainerOptions { force: true, v: true, ..Default::default() };
        // What stays, `tidy` removes.
        let _ = self.client.wait(self.client.docker.remove_container(&self.name, Some(options)));
    }
}

/// A command in a container. The fields are dropped in this order.
struct Launched {
    running: Box<dyn Prepared>,
    /// `None` once it is left to [`super::tidy()`].
    place: Option<Place>,
    socket: PathBuf,
}

impl Drop for Launched {
    fn drop(&mut self) {
        // An engine that was killed does not remove the container. Whoever tidies up later finds it by
        // the folder.
        if UnixStream::connect(&self.socket).is_err()
            && let Some(place) = self.place.take()
        {
            place.leave();
        }
    }
}

impl Prepared for Launched {
    fn start(&mut self) -> Result<(), IsolationError> {
        self.running.start()
    }

    fn wait(
        &mut self,
        observer: Option<&mut dyn Observer>,
    ) -> Result<CommandReport, IsolationError> {
        self.running.wait(observer)
    }
}

fn failed(step: impl Into<String>) -> impl FnOnce(io::Error) -> IsolationError {
    move |source| IsolationError::Setup { step: step.into(), source }
}

/// Makes a container for `launch`, starts it, and gives its process 1 the command.
pub(super) fn prepare(
    client: &Client,
    launch: Launch,
    asker: Option<Asker>,
    begun: &mut dyn FnMut(u32, BorrowedFd<'_>) -> io::Result<()>,
) -> Result<Box<dyn Prepared>, IsolationError> {
    let engine = client.engine.word();
    let RootView::Image { reference, workspace_at } = launch.root.clone() else {
        let step = match &launch.root {
            RootView::Workspace { .. } => {
                format!("use {engine} for a sandbox that has a root of its own (--root)")
            }
            _ => format!(
                "use {engine} without an image: name one, --isolation engine:{engine}:IMAGE,"
            ),
        };
        return Err(failed(step)(io::ErrorKind::InvalidInput.into()));
    };
    let (mut place, note) = Place::make(client.engine, &client.socket)
        .map_err(failed("make a folder for the container's socket"))?;
    let body = describe(&launch, (&reference, &workspace_at), &place, user(client))?;
    let mut created = create(client, &note, body, &reference)?;
    client.run(
        || "start the container".to_owned(),
        client.docker.start_container(&note.name, None),
    )?;
    let (pid, pidfd, socket) = meet(client, &note, &mut place)?;
    let number = pid.as_raw_nonzero().get().unsigned_abs();
    begun(number, pidfd.as_fd()).map_err(failed("note process 1"))?;
    let given = in_force::verify(pid, &launch, engine)?;
    let workspace = native::Place {
        process_1: pid,
        workspace: &launch.workspace,
        target: &workspace_at,
        hidden: &launch.hidden,
    };
    if workspace.is_needed() {
        mount_workspace(workspace, || is_connected(socket.as_fd())).map_err(|source| {
            let overlay = matches!(launch.workspace, WorkspaceMount::Overlay { .. });
            let hint = match overlay && source.raw_os_error() == Some(Errno::ACCESS.raw_os_error())
            {
                true => {
                    " (root's containers are root's to enter: use your own engine, or a workspace \
                     of another kind, as --workspace copy or reflink makes it)"
                }
                false => "",
            };
            failed(format!("mount the workspace in the container{hint}"))(source)
        })?;
    }
    let contained = Contained { pid, pidfd, channel: Channel::from(socket), given, speaker: None };
    let running = adopt(launch, contained, asker)?;
    created.is_met = true;
    Ok(Box::new(Launched { running, place: Some(place), socket: client.socket.clone() }))
}

/// Who writes the workspace: the user, by whatever id the container has for that.
fn user(client: &Client) -> User {
    match client.rootless {
        true => User { uid: 0, gid: 0, rootless: true },
        false => User {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            rootless: false,
        },
    }
}

fn create<'c>(
    client: &'c Client,
    note: &Note,
    body: ContainerCreateBody,
    reference: &str,
) -> Result<Created<'c>, IsolationError> {
    let ask = |body| {
        let options =
            CreateContainerOptions { name: Some(note.name.clone()), ..Default::default() };
        client.wait(client.docker.create_container(Some(options), body))
    };
    let made = match ask(body.clone()) {
        Err(error) if is_absent(&error) || is_about_image(&error) => {
            image::pull(client, reference)?;
            ask(body)
        }
        made => made,
    };
    match made {
        Ok(_) => Ok(Created { client, name: note.name.clone(), is_met: false }),
        Err(error) => Err(client.failed(format!("create a container of {reference}"), &error)),
    }
}

/// podman answers 500 for some images that it has not.
fn is_about_image(error: &Error) -> bool {
    let text = told(error);
    text.contains("no such image") || text.contains("image not known")
}

/// Waits for process 1, and learns from the kernel which one it is.
fn meet(
    client: &Client,
    note: &Note,
    place: &mut Place,
) -> Result<(Pid, OwnedFd, OwnedFd), IsolationError> {
    let meeting = || failed("meet process 1 of the container");
    let until = Instant::now() + PATIENCE;
    while !place.is_reached(GLANCE).map_err(meeting())? {
        look_at(client, note, Instant::now() >= until)?;
    }
    let mut met = || -> io::Result<_> {
        let socket = place.accept()?;
        // It stands for whoever called connect(2), who is still there if the connection is.
        let peer = rustix::net::sockopt::socket_peercred(&socket)?;
        let pidfd = pidfd_open(peer.pid, PidfdFlags::empty())?;
        if !is_connected(socket.as_fd()) {
            return Err(io::Error::other("it ended"));
        }
        Ok((peer.pid, pidfd, socket))
    };
    met().map_err(meeting())
}

fn is_connected(socket: BorrowedFd<'_>) -> bool {
    let mut byte = [0];
    let peek = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    matches!(recv(socket, &mut byte, peek), Err(Errno::AGAIN))
}

/// Errs when the container has ended, or `is_late`.
fn look_at(client: &Client, note: &Note, is_late: bool) -> Result<(), IsolationError> {
    let seen = client.wait(client.docker.inspect_container(&note.name, None));
    let state = match seen {
        Ok(seen) => seen.state.unwrap_or_default(),
        Err(error) if is_absent(&error) => bollard::models::ContainerState::default(),
        Err(error) => return Err(client.failed("look at the container".to_owned(), &error)),
    };
    let why = match (state.running, is_late) {
        (Some(true), false) => return Ok(()),
        (Some(true), true) => {
            "it runs, but did not reach the socket of ctrlz, as when the engine is not on this host, \
             or its runtime gives no sockets in"
                .to_owned()
        }
        _ => format!(
            "it ended at once, with exit code {} {}",
            state.exit_code.unwrap_or(-1),
            state.error.unwrap_or_default()
        ),
    };
    Err(failed("meet process 1 of the container")(io::Error::other(why.trim_end().to_owned())))
}

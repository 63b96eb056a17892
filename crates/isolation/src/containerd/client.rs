//! Speaking to containerd.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ctrlz_core::isolation::IsolationError;
use prost::Message;
use tokio::runtime::Builder;
use tokio::time::timeout;

use super::grpc::{CallError, Connection};
use super::messages::{
    CloseIo, Container, CreateTask, Empty, Ended, Id, Kill, OneContainer, TaskCreated, Version,
};

/// containerd's namespace for our containers.
pub(super) const NAMESPACE: &str = "ctrlz";

/// How long containerd may take for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

const CONTAINERS: &str = "containerd.services.containers.v1.Containers";
const TASKS: &str = "containerd.services.tasks.v1.Tasks";

/// The socket that the user named (`CONTAINERD_ADDRESS`), or the usual one.
#[must_use]
pub(super) fn socket() -> PathBuf {
    match std::env::var_os("CONTAINERD_ADDRESS").filter(|value| !value.is_empty()) {
        Some(named) => {
            let path = named.to_str().and_then(|text| text.strip_prefix("unix://"));
            path.map_or_else(|| PathBuf::from(&named), PathBuf::from)
        }
        None => PathBuf::from("/run/containerd/containerd.sock"),
    }
}

fn hint(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::PermissionDenied => {
            "it is root's, and whoever may use it is root on this host by that: run ctrlz as root"
        }
        _ => {
            "nothing listens there; `systemctl start containerd` starts it, and \
             CONTAINERD_ADDRESS=/PATH names another socket"
        }
    }
}

/// Runs what uses calls.
///
/// # Errors
/// When there are no means to wait.
pub(super) fn block_on<T>(what: impl Future<Output = T>) -> io::Result<T> {
    Ok(Builder::new_current_thread().enable_all().build()?.block_on(what))
}

/// Tells that it cannot be reached, and what to do.
pub(super) fn unreachable(socket: &Path, error: &CallError) -> IsolationError {
    let source = match error {
        CallError::Unreachable(source) => io::Error::new(source.kind(), source.to_string()),
        error => told(error),
    };
    IsolationError::Setup {
        step: format!("reach containerd at {} ({})", socket.display(), hint(source.kind())),
        source,
    }
}

/// An error with its cause.
pub(super) fn told(error: &CallError) -> io::Error {
    io::Error::other(match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    })
}

/// A connection with containerd, by the calls that are used.
#[derive(Debug, Clone)]
pub(super) struct Calls(Connection);

impl Calls {
    /// Connects.
    pub(super) async fn open(socket: &Path) -> Result<Self, CallError> {
        match timeout(PATIENCE, Connection::open(socket, NAMESPACE)).await {
            Ok(opened) => opened.map(Self),
            Err(_) => Err(CallError::Unreachable(io::ErrorKind::TimedOut.into())),
        }
    }

    async fn ask<A: Message + Default>(
        &self,
        method: &str,
        message: &impl Message,
    ) -> Result<A, CallError> {
        match timeout(PATIENCE, self.0.call(method, message)).await {
            Ok(answer) => answer,
            Err(_) => Err(CallError::Nonsense(format!("no answer to {method}"))),
        }
    }

    pub(super) async fn version(&self) -> Result<String, CallError> {
        let told: Version =
            self.ask("containerd.services.version.v1.Version/Version", &Empty {}).await?;
        Ok(told.version)
    }

    pub(super) async fn create(&self, container: Container) -> Result<(), CallError> {
        let one = OneContainer { container: Some(container) };
        self.ask::<OneContainer>(&format!("{CONTAINERS}/Create"), &one).await.map(drop)
    }

    pub(super) async fn container(&self, id: &str) -> Result<Container, CallError> {
        let one: OneContainer = self.ask(&format!("{CONTAINERS}/Get"), &with(id)).await?;
        Ok(one.container.unwrap_or_default())
    }

    pub(super) async fn delete(&self, id: &str) -> Result<(), CallError> {
        self.ask::<Empty>(&format!("{CONTAINERS}/Delete"), &with(id)).await.map(drop)
    }

    /// Answers the process with which the task ends.
    pub(super) async fn create_task(&self, task: &CreateTask) -> Result<u32, CallError> {
        let created: TaskCreated = self.ask(&format!("{TASKS}/Create"), task).await?;
        Ok(created.pid)
    }

    /// Whether there is a task, ended or not.
    pub(super) async fn has_task(&self, id: &str) -> Result<bool, CallError> {
        match self.ask::<Empty>(&format!("{TASKS}/Get"), &with(id)).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_absent() => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn start_task(&self, id: &str) -> Result<(), CallError> {
        self.ask::<Empty>(&format!("{TASKS}/Start"), &with(id)).await.map(drop)
    }

    pub(super) async fn kill_task(&self, id: &str, signal: u32) -> Result<(), CallError> {
        let kill = Kill { container: id.to_owned(), signal, all: false };
        self.ask::<Empty>(&format!("{TASKS}/Kill"), &kill).await.map(drop)
    }

    pub(super) async fn end_of_input(&self, id: &str) -> Result<(), CallError> {
        let close = CloseIo { container: id.to_owned(), stdin: true };
        self.ask::<Empty>(&format!("{TASKS}/CloseIO"), &close).await.map(drop)
    }

    /// Waits as long as it takes; answers the exit code, 128 and a signal's number for one that died of it.
    pub(super) async fn wait_task(&self, id: &str) -> Result<u32, CallError> {
        let ended: Ended = self.0.call(&format!("{TASKS}/Wait"), &with(id)).await?;
        Ok(ended.exit_status)
    }

    pub(super) async fn delete_task(&self, id: &str) -> Result<(), CallError> {
        self.ask::<Empty>(&format!("{TASKS}/Delete"), &with(id)).await.map(drop)
    }
}

fn with(id: &str) -> Id {
    Id { id: id.to_owned() }
}

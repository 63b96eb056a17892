//! The command line at a service: the same words, the same output.

mod archives;
mod encrypted;
mod logs;
mod refused;
mod running;
mod same;

use std::process::{Command, Stdio};

use super::serve::Service;
use crate::support::{Outcome, Scene};

/// A service, and a place where it is used.
struct There {
    service: Service,
    scene: Scene,
    token: String,
}

impl There {
    #[track_caller]
    fn new() -> Self {
        Self::of(Scene::new())
    }

    #[track_caller]
    fn of(scene: Scene) -> Self {
        let service = Service::start(&scene);
        let token = service.admin.clone();
        Self { service, scene, token }
    }

    /// ctrlz in the project, at the service. It has no store of its own to fall back to.
    fn ctrlz(&self, arguments: &[&str]) -> Command {
        let mut command = self.scene.ctrlz(arguments);
        command
            .env("CTRLZ_HOME", self.scene.root.join("no-store"))
            .env("CTRLZ_SERVER", &self.service.address)
            .env("CTRLZ_TOKEN", &self.token);
        command
    }

    #[track_caller]
    fn run(&self, arguments: &[&str]) -> Outcome {
        Outcome::of(&mut self.ctrlz(arguments))
    }

    #[track_caller]
    fn ok(&self, arguments: &[&str]) -> String {
        self.run(arguments).ok().out()
    }

    /// A command that runs, with pipes.
    #[track_caller]
    fn begin(&self, arguments: &[&str]) -> std::process::Child {
        let mut command = self.ctrlz(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("a client")
    }
}

impl Drop for There {
    fn drop(&mut self) {
        assert!(!self.scene.root.join("no-store").exists(), "something was done here");
    }
}

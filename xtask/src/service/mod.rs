//! `ctrlz serve`, started by a task and asked over the loopback.

mod http;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

pub(crate) use http::{Client, Reply, Request};

use crate::failure::{Answer, Failure};

/// A service that runs, until it is dropped.
pub(crate) struct Service {
    process: Child,
    pub(crate) address: String,
    /// The administrator's; what the first start of a store tells.
    pub(crate) token: String,
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Service {
    /// Starts one: `ctrlz` is the program with the environment that it is to have. `token` is that
    /// of an earlier start of the same store.
    pub(crate) fn start(mut ctrlz: Command, token: Option<&str>) -> Answer<Self> {
        ctrlz.args(["serve", "--listen", "127.0.0.1:0", "--json"]);
        ctrlz.stdin(Stdio::null()).stdout(Stdio::piped());
        let failed = |source| Failure::Start { program: "ctrlz serve".to_owned(), source };
        let mut process = ctrlz.spawn().map_err(failed)?;
        let mut line = String::new();
        if let Some(out) = process.stdout.take() {
            BufReader::new(out).read_line(&mut line).map_err(failed)?;
        }
        let told: Value = serde_json::from_str(&line).unwrap_or_default();
        let bounds = told.get("listening").and_then(Value::as_array).cloned().unwrap_or_default();
        let address =
            bounds.iter().filter_map(Value::as_str).find_map(|one| one.strip_prefix("http://"));
        let token = token.or_else(|| told.get("token").and_then(Value::as_str));
        let mut service = Self { process, address: String::new(), token: String::new() };
        let (Some(address), Some(token)) = (address, token) else {
            return Err(Failure::told(format!("`ctrlz serve` did not begin: {line}")));
        };
        (service.address, service.token) = (address.to_owned(), token.to_owned());
        Ok(service)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn client(&self) -> Answer<Client> {
        Client::connect(&self.address, &self.token)
            .map_err(Failure::io("connect to", Path::new(&self.address)))
    }

    /// Its children: launcher and daemons.
    pub(crate) fn children(&self) -> Vec<u32> {
        children(self.pid())
    }

    /// Ends it at once.
    pub(crate) fn kill(self) {
        drop(self);
    }

    /// Asks it to end and waits for that.
    pub(crate) fn stop(mut self) -> Answer<ExitStatus> {
        let failed = || Failure::io("end", Path::new("ctrlz serve"));
        kill_process(Pid::from_child(&self.process), Signal::TERM)
            .map_err(|errno| failed()(errno.into()))?;
        self.process.wait().map_err(failed())
    }
}

/// The children of a process. Each of its threads has its own.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let mut pids = Vec::new();
    // What has ended meanwhile has none.
    for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let text = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        pids.extend(text.split_whitespace().filter_map(|word| word.parse::<u32>().ok()));
    }
    pids
}

//! Operations: commands to run, and the journal of all that was done.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use ctrlz_core::driver::Isolation;
use ctrlz_core::id::OperationId;
use ctrlz_core::isolation::Network;
use ctrlz_core::size::ByteSize;
use ctrlz_core::span::Span;
use ctrlz_core::workspace::ConflictStrategy;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::extract::{Body, Path, Query, parse};
use super::logs::Streams;
use super::processes::stream;
use super::sandboxes::Paging;
use super::views::{OperationView, Page};
use crate::auth::{Acting, Looking};
use crate::execute::{Ask, start};
use crate::port::{Command, TerminalSize};
use crate::problem::Problem;
use crate::processes::Process;
use crate::service::Service;

/// A command to run. Either `argv` or `script` is needed.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct NewOperation {
    /// The program and its arguments.
    pub(crate) argv: Option<Vec<String>>,
    /// A script for `/bin/sh -c`.
    pub(crate) script: Option<String>,
    /// Variables besides those that the configuration lets through.
    #[schema(value_type = Object)]
    pub(crate) env: std::collections::BTreeMap<String, String>,
    /// The working directory inside.
    #[schema(value_type = Option<String>)]
    pub(crate) workdir: Option<PathBuf>,
    /// What the command reads; nothing when it is left out.
    pub(crate) stdin: Option<String>,
    /// Leave its input open, for `POST /v1/processes/{process}/input`.
    pub(crate) open_stdin: bool,
    /// A terminal of that size for all three streams, as `GET /v1/processes/{process}/attach` uses it.
    /// Its input is open. `TERM` is `xterm-256color` unless `env` says another.
    pub(crate) terminal: Option<TerminalSize>,
    /// Let the command wait, as at a pipe, while whoever follows its output is far behind; else the
    /// beginning of what was not told yet is dropped. It goes on when nobody follows for a minute.
    pub(crate) hold_output: bool,
    /// `none` or `host`; the configuration's when it is left out.
    #[schema(value_type = Option<String>)]
    pub(crate) network: Option<Network>,
    /// What isolates it: a driver (`native`, `oci:runc`, `oci:crun`, `oci:runsc`, ...) or a level
    /// (`dev`, `standard`, `strict`); the configuration's when it is left out.
    #[schema(value_type = Option<String>)]
    pub(crate) isolation: Option<Isolation>,
    /// How many seconds it may take.
    pub(crate) timeout: Option<f64>,
    /// How many bytes of memory it may have.
    pub(crate) memory: Option<u64>,
    /// How many processors it may have.
    pub(crate) cpus: Option<f64>,
    /// How many processes and threads.
    pub(crate) pids: Option<u32>,
    /// How many bytes it may add to the workspace.
    pub(crate) disk: Option<u64>,
    /// How many files each of its processes may have open.
    pub(crate) open_files: Option<u64>,
    /// How many bytes it may write to its streams, both together.
    pub(crate) max_output: Option<u64>,
    /// Commit to the folder that the sandbox started from when it succeeds, and take its changes back
    /// when it fails.
    pub(crate) commit: bool,
    /// With `commit`: what to do with files that somebody else changed meanwhile.
    #[schema(value_type = String)]
    pub(crate) conflict: ConflictStrategy,
    /// Take its changes back when it fails.
    pub(crate) take_back: bool,
    /// Keep a named snapshot of the point before it.
    pub(crate) snapshot: bool,
    /// The id of an approved confirmation.
    pub(crate) confirmation: Option<String>,
}

/// From here on Linux takes no word (`MAX_ARG_STRLEN`).
const WORD: usize = 128 << 10;

/// More processors than any host has.
const CPUS: f64 = 65536.0;
/// More processes no kernel has (`PID_MAX_LIMIT`).
const PIDS: u32 = 4_194_304;

impl NewOperation {
    /// What is asked for, when all of it can be.
    pub(crate) fn ask(self, sandbox: String) -> Result<Ask, Problem> {
        let argv = match (self.argv, self.script) {
            (Some(argv), None) => argv,
            (None, Some(script)) => vec!["/bin/sh".to_owned(), "-c".to_owned(), script],
            _ => return Err(Problem::bad_request("an operation has `argv` or `script`")),
        };
        if argv.first().is_none_or(String::is_empty) {
            return Err(Problem::bad_request("`argv` names no program"));
        }
        let has_nul = |text: &String| text.contains('\0');
        let workdir = self.workdir.as_ref().map(|path| path.to_string_lossy().into_owned());
        let words = argv.iter().chain(self.env.keys()).chain(self.env.values()).chain(&workdir);
        if words.into_iter().any(has_nul) {
            return Err(Problem::bad_request("a word of a command cannot contain NUL"));
        }
        // As execve(2) takes it.
        if argv.iter().chain(self.env.values()).any(|word| word.len() >= WORD) {
            let title =
                "a word of a command is shorter than 128 KiB; what is longer goes to `stdin`";
            return Err(Problem::bad_request(title));
        }
        if let Some(name) = self.env.keys().find(|name| name.is_empty() || name.contains('=')) {
            return Err(Problem::bad_request(format!("`{name}` cannot name a variable")));
        }
        let timeout = self.timeout.map(|seconds| {
            std::time::Duration::try_from_secs_f64(seconds)
                .ok()
                .filter(|span| !span.is_zero())
                .map(Span)
                .ok_or_else(|| Problem::bad_request("`timeout` must be seconds, more than 0"))
        });
        let size = |name: &str, bytes: Option<u64>| match bytes {
            Some(0) => Err(Problem::bad_request(format!("`{name}` must be bytes, more than 0"))),
            bytes => Ok(bytes.map(ByteSize)),
        };
        let memory = size("memory", self.memory)?;
        let (disk, max_output) = (size("disk", self.disk)?, size("max_output", self.max_output)?);
        if self.cpus.is_some_and(|cpus| !(cpus > 0.0 && cpus <= CPUS)) {
            return Err(Problem::bad_request("`cpus` must be a number above 0, up to 65536"));
        }
        if self.pids.is_some_and(|pids| !(1..=PIDS).contains(&pids)) {
            return Err(Problem::bad_request("`pids` must be 1 to 4194304"));
        }
        if self.open_files.is_some_and(|files| files < 8) {
            return Err(Problem::bad_request("`open_files` must be 8 or more"));
        }
        let mut env = self.env;
        if self.terminal.is_some() {
            env.entry("TERM".to_owned()).or_insert_with(|| "xterm-256color".to_owned());
        }
        let env = env.into_iter().map(|(name, value)| (name.into(), value.into()));
        let input = match (self.stdin, self.open_stdin || self.terminal.is_some()) {
            (Some(_), true) => {
                let title = "`stdin` is all of it, or `open_stdin` or `terminal` is set";
                return Err(Problem::bad_request(title));
            }
            (None, true) => None,
            (text, false) => Some(text.unwrap_or_default().into_bytes()),
        };
        let command = Command {
            argv: argv.into_iter().map(OsString::from).collect(),
            env: env.collect(),
            workdir: self.workdir,
            network: self.network,
            isolation: self.isolation,
            timeout: timeout.transpose()?,
            memory,
            cpus: self.cpus,
            pids: self.pids,
            disk,
            open_files: self.open_files,
            max_output,
            most_memory: None,
            most_disk: None,
            room: None,
            commit: self.commit.then_some(self.conflict),
            take_back: self.take_back,
            snapshot: self.snapshot,
            input,
            terminal: self.terminal,
        };
        let (confirmation, hold_output) = (self.confirmation, self.hold_output);
        Ok(Ask { sandbox, command, confirmation, hold_output, is_background: false })
    }
}

/// Runs a command. The answer comes when it has ended, and holds what it wrote, up to 256 KiB of each
/// stream. With `Prefer: respond-async` it comes at once: 202, and where the process is. With
/// `Accept: text/event-stream` what it writes comes as it is written. The command goes on when nobody
/// listens.
#[utoipa::path(post, path = "/v1/sandboxes/{sandbox}/operations", tag = "operations",
    params(("sandbox" = String, Path, description = "its name")),
    request_body = NewOperation, security(("token" = ["operator"])),
    responses(
        (status = 200, body = Object, description = "it has ended; see docs/json.md"),
        (status = 202, body = Object, description = "it runs"),
        (status = 400, body = Problem, content_type = "application/problem+json", description = "blocked, with the reasons"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "to be confirmed, with the confirmation's id"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"), (status = "5XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn run(
    State(service): State<Arc<Service>>,
    Acting(caller): Acting,
    Path(sandbox): Path<String>,
    headers: HeaderMap,
    Body(new): Body<NewOperation>,
) -> Result<Response, Problem> {
    let is_streamed = says(&headers, "accept", "text/event-stream");
    let place = is_streamed.then(|| service.stream(&caller)).transpose()?;
    let is_background = says(&headers, "prefer", "respond-async");
    let ask = Ask { is_background, ..new.ask(sandbox)? };
    let process = start(&service, &caller, ask).await?;
    if is_background {
        return accepted(&process);
    }
    if let Some(place) = place {
        let who = (service, caller, place);
        return Ok(stream(who, process, 0, Streams::Both).into_response());
    }
    Ok(Json(process.answer().await?).into_response())
}

/// Whether a header has that word among its values.
pub(super) fn says(headers: &HeaderMap, name: &str, word: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let mut words = values.flat_map(|value| value.split([',', ';'])).map(str::trim);
    words.any(|found| found.eq_ignore_ascii_case(word))
}

/// What is answered with `Prefer: respond-async`: where the process is.
pub(super) fn accepted(process: &Process) -> Result<Response, Problem> {
    let sandbox = Some(&process.sandbox).filter(|name| !name.is_empty());
    let body = json!({ "process": process.id, "sandbox": sandbox });
    let mut response = (StatusCode::ACCEPTED, Json(body)).into_response();
    let location = HeaderValue::from_str(&format!("/v1/processes/{}", process.id))
        .map_err(|error| Problem::internal(error.to_string()))?;
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

/// The journal of a sandbox, the newest operation first.
#[utoipa::path(get, path = "/v1/sandboxes/{sandbox}/operations", tag = "operations",
    params(("sandbox" = String, Path, description = "its name"), Paging),
    security(("token" = ["viewer"])),
    responses((status = 200, body = Page<OperationView>), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn list(
    State(service): State<Arc<Service>>,
    Looking(caller): Looking,
    Path(sandbox): Path<String>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<OperationView>>, Problem> {
    let limit = paging.limit()?;
    let before: Option<OperationId> = paging.cursor.as_deref().map(parse).transpose()?;
    let found = service.with_core(&caller, move |core| {
        let sandbox = core.store().sandbox_named(&sandbox)?;
        Ok(core.store().operations(sandbox.id, u32::MAX)?)
    });
    let mut all = found.await?;
    all.retain(|one| before.is_none_or(|before| one.id < before));
    let more = all.len() > limit;
    all.truncate(limit);
    let next = all.last().filter(|_| more).map(|last| last.id.to_string());
    let items = all.iter().map(OperationView::of).collect::<Result<_, _>>()?;
    Ok(Json(Page { items, next }))
}

/// One operation.
#[utoipa::path(get, path = "/v1/operations/{operation}", tag = "operations",
    params(("operation" = String, Path, description = "its id, such as `op-12`")),
    security(("token" = ["viewer"])),
    responses((status = 200, body = OperationView), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn get(
    State(service): State<Arc<Service>>,
    Looking(caller): Looking,
    Path(id): Path<String>,
) -> Result<Json<OperationView>, Problem> {
    let id: OperationId = parse(&id)?;
    let found = service.with_core(&caller, move |core| Ok(core.store().operation(id)?)).await?;
    Ok(Json(OperationView::of(&found)?))
}

/// What the seed's call answers a command that may not run, or failed.
pub(super) fn outcome(answer: &Value) -> bool {
    let is = |path: &str, value: Value| answer.pointer(path) == Some(&value);
    is("/exit_code", 0.into())
        && is("/command/stopped", Value::Null)
        && is("/taken_back", false.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_no_host_has_are_refused() {
        let ask = |limits: Value| {
            let mut asked = json!({ "script": "true" });
            let fields = limits.as_object().expect("fields").clone();
            asked.as_object_mut().expect("an object").extend(fields);
            let new: NewOperation = serde_json::from_value(asked).expect("an operation");
            new.ask("box".to_owned()).map(|_| ()).map_err(|problem| problem.status().as_u16())
        };
        assert_eq!(ask(json!({ "cpus": 0.5, "pids": 1, "open_files": 8 })), Ok(()));
        assert_eq!(ask(json!({ "cpus": CPUS, "pids": PIDS })), Ok(()));
        for wrong in [
            json!({ "cpus": 0.0 }),
            json!({ "cpus": 1e300 }),
            json!({ "pids": 0 }),
            json!({ "pids": PIDS + 1 }),
            json!({ "open_files": 7 }),
        ] {
            assert_eq!(ask(wrong.clone()), Err(400), "{wrong}");
        }
    }

    #[test]
    fn what_was_stopped_or_taken_back_is_no_success_whatever_its_code() {
        let answer = |code: i32, stopped: Value, taken_back: bool| {
            let command = json!({ "stopped": stopped });
            json!({ "exit_code": code, "command": command, "taken_back": taken_back })
        };
        assert!(outcome(&answer(0, Value::Null, false)));
        assert!(!outcome(&answer(1, Value::Null, false)));
        assert!(!outcome(&answer(0, json!({ "limit": "memory" }), false)));
        assert!(!outcome(&answer(0, Value::Null, true)));
        assert!(!outcome(&Value::Null));
    }
}

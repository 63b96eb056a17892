//! `exec` at a service: its output as it comes, signals and input on their way there.

use std::ffi::OsString;
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ctrlz_core::isolation::Network;
use ctrlz_core::name::SandboxName;
use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::workspace::ConflictStrategy;
use hyper::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use super::client::{Call, Client, query, segment};
use super::problem::Refusal;
use super::sandboxes::{path, sandbox};
use super::signals::Signals;
use super::stream::{Event, Events};
use super::{NOT_REMOTE, confirm};
use crate::Answer;
use crate::arguments::{CommandArguments, ExecArguments};
use crate::commands::run::{Ran, Redirected};
use crate::commands::unusual;
use crate::failure::{Failure, OWN_FAILURE, REFUSED};

/// Up to so much input that is there already goes along with the command, and is judged with it.
const WHOLE_INPUT: u64 = 2 << 20;
/// How long a stream lasts that has only nothing to tell.
pub(super) const LASTS: Duration = Duration::from_secs(2);
/// The largest piece of input that is sent at once.
const PIECE: usize = 256 << 10;

pub(super) fn exec(client: &Client, arguments: &ExecArguments, json: bool) -> Answer {
    let ExecArguments { sandbox, how, command: argv, confirmation } = arguments;
    command(client, sandbox, (how, argv, confirmation.as_deref()), json)
}

/// Runs a command, with the streams of this process.
pub(super) fn command(
    client: &Client,
    name: &SandboxName,
    (how, argv, confirmation): (&CommandArguments, &[OsString], Option<&str>),
    json: bool,
) -> Answer {
    not_offered(how)?;
    let mut order = order(how, argv)?;
    let input = Input::of_process()?;
    input.add_to(&mut order);
    if let Some(id) = confirmation {
        order.insert("confirmation".to_owned(), id.into());
    }
    let sandbox = sandbox(client, name)?;
    let output = json.then(Redirected::begin).transpose()?;
    let ended = client.wait(async {
        // From here on they are the command's.
        let mut signals = Signals::begin()?;
        let process = begin(client, &sandbox, order, how.yes).await?;
        let mut running = Running::of(client, &sandbox, process);
        running.end(&mut signals, input.rest()).await
    });
    drop(output);
    tell(&sandbox, how, ended?, json)
}

/// Tells what came of a command, and ends as it did.
pub(super) fn tell(sandbox: &Sandbox, how: &CommandArguments, ended: Ended, json: bool) -> Answer {
    let Ended { ran, unwatched } = ended;
    if !json {
        ran.summarize(sandbox, how.summary);
    }
    unusual::tell_trouble(unwatched.as_deref());
    if json {
        ran.print_json(&sandbox.name)?;
    }
    Ok(ran.end_as(how.commit))
}

/// Errs when a command is to run in a way that a service does not offer.
pub(super) fn not_offered(how: &CommandArguments) -> Result<(), Failure> {
    let CommandArguments { no_snapshot, profile, cap_add, hide, show, allow_critical, .. } = how;
    let asked = [
        (*no_snapshot, "--no-snapshot", "its configuration says when snapshots are taken"),
        (profile.is_some(), "--profile", "the profile is that of its configuration"),
        (!cap_add.is_empty(), "--cap-add", "capabilities are those of its configuration"),
        (!hide.is_empty(), "--hide", "its configuration says what is hidden there"),
        (!show.is_empty(), "--show", "its configuration says what is hidden there"),
        (*allow_critical, "--allow-critical", "what is of critical risk never runs at a service"),
        (how.no_wait, "--no-wait", "operations wait in a line there"),
    ];
    match asked.into_iter().find(|(asked, ..)| *asked) {
        None => Ok(()),
        Some((_, option, why)) => {
            let message = format!("a service does not take {option}: {why}");
            Err(Failure::new(REFUSED, NOT_REMOTE, message).hint("nothing ran"))
        }
    }
}

/// What is asked of the service.
pub(super) fn order(
    how: &CommandArguments,
    command: &[OsString],
) -> Result<Map<String, Value>, Failure> {
    let text = |word: &OsString| {
        word.to_str().map(str::to_owned).ok_or_else(|| {
            let message = format!("{} is no UTF-8, which a service needs", word.display());
            Failure::new(OWN_FAILURE, "input", message)
        })
    };
    let argv = command.iter().map(text).collect::<Result<Vec<_>, _>>()?;
    let mut env = Map::new();
    for variable in &how.env {
        let Some(variable) = text(variable).map(|text| named(&text))? else { continue };
        env.insert(variable.0, variable.1.into());
    }
    let conflict: ConflictStrategy = how.conflict.into();
    let network = how.net.map(Network::from);
    let mut order = Map::new();
    for (name, value) in [
        ("argv", json!(argv)),
        ("env", env.into()),
        ("workdir", json!(how.workdir)),
        ("network", json!(network)),
        ("isolation", json!(how.isolation)),
        ("timeout", json!(how.timeout.map(|span| span.0.as_secs_f64()))),
        ("memory", json!(how.memory.map(|size| size.0))),
        ("cpus", json!(how.cpus)),
        ("pids", json!(how.pids)),
        ("disk", json!(how.disk.map(|size| size.0))),
        ("open_files", json!(how.open_files)),
        ("max_output", json!(how.max_output.map(|size| size.0))),
        ("commit", how.commit.into()),
        ("conflict", json!(conflict)),
        ("snapshot", how.snapshot.into()),
        ("hold_output", true.into()),
    ] {
        order.insert(name.to_owned(), value);
    }
    Ok(order)
}

/// `NAME=VALUE`, or `NAME` for the caller's own value; nothing when that is not set.
fn named(text: &str) -> Option<(String, String)> {
    match text.split_once('=') {
        Some((name, value)) => Some((name.to_owned(), value.to_owned())),
        None => std::env::var(text).ok().map(|value| (text.to_owned(), value)),
    }
}

/// What the command reads.
enum Input {
    /// All of it.
    Whole(String),
    /// It comes, beginning with this.
    Stream(Vec<u8>),
}

impl Input {
    /// Of a file that is not long all of it is there at once. A terminal's is that of `ctrlz shell`.
    fn of_process() -> Result<Self, Failure> {
        let stdin = std::io::stdin();
        if stdin.is_terminal() {
            return Ok(Self::Whole(String::new()));
        }
        let failed = |error: std::io::Error| Failure::caused(OWN_FAILURE, "input", &error);
        let about = rustix::fs::fstat(&stdin).map_err(|error| failed(error.into()));
        // Without one there is nothing to read.
        let Ok(about) = about else { return Ok(Self::Whole(String::new())) };
        let kind = rustix::fs::FileType::from_raw_mode(about.st_mode);
        if matches!(kind, rustix::fs::FileType::Fifo | rustix::fs::FileType::Socket) {
            return Ok(Self::Stream(Vec::new()));
        }
        let mut begin = Vec::new();
        stdin.lock().take(WHOLE_INPUT + 1).read_to_end(&mut begin).map_err(failed)?;
        if begin.len() as u64 > WHOLE_INPUT {
            return Ok(Self::Stream(begin));
        }
        Ok(match String::from_utf8(begin) {
            Ok(text) => Self::Whole(text),
            Err(error) => Self::Stream(error.into_bytes()),
        })
    }

    fn add_to(&self, order: &mut Map<String, Value>) {
        match self {
            Self::Whole(text) => order.insert("stdin".to_owned(), text.as_str().into()),
            Self::Stream(_) => order.insert("open_stdin".to_owned(), true.into()),
        };
    }

    /// What is still to be sent, as it comes.
    fn rest(self) -> Option<mpsc::Receiver<Vec<u8>>> {
        let Self::Stream(begin) = self else { return None };
        let (pieces, receiver) = mpsc::channel(1);
        // Nobody can end a thread that reads a pipe; it ends with the process.
        std::thread::spawn(move || {
            let begin = begin.chunks(PIECE).map(<[u8]>::to_vec);
            for piece in begin {
                if pieces.blocking_send(piece).is_err() {
                    return;
                }
            }
            let mut stdin = std::io::stdin().lock();
            loop {
                let mut piece = vec![0; PIECE];
                let Ok(length @ 1..) = stdin.read(&mut piece) else { return };
                piece.truncate(length);
                if pieces.blocking_send(piece).is_err() {
                    return;
                }
            }
        });
        Some(receiver)
    }
}

#[derive(Deserialize)]
struct Begun {
    process: String,
}

/// Lets the command begin, confirmed by whoever has to; answers its process.
pub(super) async fn begin(
    client: &Client,
    sandbox: &Sandbox,
    mut order: Map<String, Value>,
    yes: bool,
) -> Result<String, Failure> {
    let path = path(&sandbox.name, "/operations");
    let begin = async |order: &Map<String, Value>| {
        let call = Call::new(Method::POST, path.clone()).header("prefer", "respond-async");
        client.ask_told(call.json(&Value::Object(order.clone())).once()?).await
    };
    let refusal: Refusal = match begin(&order).await? {
        Ok(answer) => return Ok(answer.read::<Begun>()?.process),
        Err(refusal) => refusal,
    };
    let Some(id) = refusal.confirmation.clone() else { return Err(refusal.into_failure()) };
    confirm::confirmed(client, refusal, &id, yes).await?;
    order.insert("confirmation".to_owned(), id.into());
    match begin(&order).await? {
        Ok(answer) => Ok(answer.read::<Begun>()?.process),
        Err(refusal) => Err(refusal.into_failure()),
    }
}

/// What came of it.
#[derive(Deserialize)]
pub(super) struct Ended {
    #[serde(flatten)]
    ran: Ran,
    unwatched: Option<String>,
}

/// A piece of output.
#[derive(Deserialize)]
struct Piece {
    stream: String,
    data: String,
}

/// A command that runs at the service.
pub(super) struct Running<'a> {
    pub(super) client: &'a Client,
    sandbox: &'a Sandbox,
    process: String,
    /// Up to where its output was told.
    pub(super) offset: u64,
    /// Whether nobody reads standard output any more.
    is_unheard: bool,
}

/// What becomes of a command that is listened to.
pub(super) enum Heard {
    Ended(Box<Ended>),
    /// Nobody tells any more, which says nothing about the command.
    Silence,
}

impl<'a> Running<'a> {
    pub(super) fn of(client: &'a Client, sandbox: &'a Sandbox, process: String) -> Self {
        Self { client, sandbox, process, offset: 0, is_unheard: false }
    }

    pub(super) fn path(&self, rest: &str) -> String {
        format!("/v1/processes/{}{rest}", segment(&self.process))
    }

    /// Tells what it writes until its end, whatever becomes of connections meanwhile.
    async fn end(
        &mut self,
        signals: &mut Signals,
        input: Option<mpsc::Receiver<Vec<u8>>>,
    ) -> Result<Ended, Failure> {
        let feeding = feed(self.client, self.path("/input"), input);
        tokio::pin!(feeding);
        let mut is_fed = false;
        let mut lost: Option<Instant> = None;
        loop {
            let call = Call::new(Method::GET, self.path("/output"))
                .header("accept", "text/event-stream")
                .header("last-event-id", self.offset.to_string());
            match self.client.stream(&call).await {
                Ok(Ok(body)) => {
                    let begun = Instant::now();
                    let mut events = Events::of(body);
                    let heard = loop {
                        tokio::select! {
                            event = events.next() => match self.hear(event).await? {
                                None => lost = None,
                                Some(heard) => break heard,
                            },
                            signal = signals.next() => if signal != super::signals::WINCH {
                                self.signal(signal).await;
                            },
                            () = &mut feeding, if !is_fed => is_fed = true,
                        }
                    };
                    if let Heard::Ended(ended) = heard {
                        return Ok(*ended);
                    }
                    self.note_silence(&mut lost, begun)?;
                }
                // Another service than the one that ran it answers.
                Ok(Err(failure)) if failure.is("no-process") => return Err(self.is_gone()),
                Ok(Err(failure)) => return Err(self.adrift(failure)),
                Err(failure) => {
                    let since = *lost.get_or_insert_with(Instant::now);
                    if since.elapsed() > self.client.place.patience {
                        return Err(self.adrift(failure));
                    }
                }
            }
            self.pause(signals, lost.is_some()).await?;
        }
    }

    /// Notes that a stream ended which told no end. Of a command that has nothing to say it lasts; one that ends
    /// at once, again and again, is as good as none.
    fn note_silence(&self, lost: &mut Option<Instant>, begun: Instant) -> Result<(), Failure> {
        if begun.elapsed() >= LASTS {
            *lost = None;
        } else if lost.get_or_insert(begun).elapsed() > self.client.place.patience {
            let message = format!("{} ends each connection at once", self.client.place);
            return Err(self.adrift(Failure::new(OWN_FAILURE, "connection-lost", message)));
        }
        Ok(())
    }

    /// Waits a little before it is tried again; whoever wants no more of that says so by a signal.
    pub(super) async fn pause(&self, signals: &mut Signals, is_lost: bool) -> Result<(), Failure> {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(300)) => {}
            signal = signals.next(), if is_lost => if signals.ends_us(signal) {
                let message = format!("the connection to {} was lost", self.client.place);
                let failure = Failure::new(OWN_FAILURE, "connection-lost", message);
                return Err(self.adrift(failure));
            },
        }
        Ok(())
    }

    /// Tells one event.
    async fn hear(&mut self, event: Option<Event>) -> Result<Option<Heard>, Failure> {
        let Some(event) = event else { return Ok(Some(Heard::Silence)) };
        let version = env!("CARGO_PKG_VERSION");
        let bad =
            |error: serde_json::Error| super::problem::not_understood(version, &error.to_string());
        match event.kind.as_str() {
            "output" => {
                let piece: Piece = serde_json::from_str(&event.data).map_err(bad)?;
                let end = event.id.and_then(|id| id.parse::<u64>().ok()).unwrap_or(self.offset);
                let bytes = STANDARD
                    .decode(&piece.data)
                    .map_err(|error| super::problem::not_understood(version, &error.to_string()))?;
                let begin = end.saturating_sub(bytes.len() as u64);
                if begin > self.offset {
                    let missing = begin - self.offset;
                    eprintln!("ctrlz: {missing} bytes of output are kept no more");
                }
                self.offset = end;
                self.tell(&piece.stream, &bytes).await;
                Ok(None)
            }
            "result" => {
                let ended = serde_json::from_str(&event.data).map_err(bad)?;
                Ok(Some(Heard::Ended(Box::new(ended))))
            }
            "problem" => {
                let refusal: Refusal = serde_json::from_str(&event.data).map_err(bad)?;
                Err(refusal.into_failure())
            }
            _ => Ok(None),
        }
    }

    async fn tell(&mut self, stream: &str, bytes: &[u8]) {
        let written = match stream {
            "stderr" => std::io::stderr().write_all(bytes),
            _ if self.is_unheard => return,
            _ => {
                let mut out = std::io::stdout().lock();
                out.write_all(bytes).and_then(|()| out.flush())
            }
        };
        if written.is_err() && stream != "stderr" {
            // As for a command here whose reader goes.
            self.is_unheard = true;
            self.signal(super::signals::PIPE).await;
        }
    }

    async fn signal(&self, signal: u8) {
        let call = Call::new(Method::POST, self.path("/signal")).json(&json!({ "signal": signal }));
        // That it cannot be sent is told by what becomes of the connection.
        let _ = self.client.ask(call).await;
    }

    /// It goes on, and nobody here hears of it.
    pub(super) fn adrift(&self, failure: Failure) -> Failure {
        let name = &self.sandbox.name;
        let process = &self.process;
        let told = format!(
            "the command goes on in sandbox `{name}` as process {process}; {} bytes of its output were \
             told",
            self.offset
        );
        failure.detail(told).hint(format!(
            "`ctrlz log {name}` tells how it ended, `ctrlz logs -f {process}` what it wrote"
        ))
    }

    pub(super) fn is_gone(&self) -> Failure {
        let name = &self.sandbox.name;
        let message = "the service knows nothing of the command any more";
        Failure::new(OWN_FAILURE, "connection-lost", message)
            .detail(format!("it ran in sandbox `{name}` as process {}", self.process))
            .hint(format!("`ctrlz log {name}` tells what became of it"))
    }
}

/// Sends what the command is to read, piece by piece, and its end.
async fn feed(client: &Client, path: String, input: Option<mpsc::Receiver<Vec<u8>>>) {
    let Some(mut input) = input else { return };
    let is_taken = async |piece: Vec<u8>, end: bool| {
        let path = format!("{path}{}", query(&[("end", end.to_string())]));
        client.ask(Call::new(Method::POST, path).bytes(piece)).await.is_ok()
    };
    while let Some(piece) = input.recv().await {
        // A command that does not read on has its reasons.
        if !is_taken(piece, false).await {
            return;
        }
    }
    is_taken(Vec::new(), true).await;
}

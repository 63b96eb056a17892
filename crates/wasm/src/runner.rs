//! What runs inside a sandbox of the driver `wasm`: a program that runs one module.

use std::ffi::{CString, OsString};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use ctrlz_core::size::ByteSize;
use ctrlz_core::span::Span;
use ctrlz_core::wasm::{PROGRAM, Surroundings};
use ctrlz_sys::compiled::Keeper;

use crate::component::call_component;
use crate::engine::{Engine, Metering, Settings};
use crate::error::WasmError;
use crate::image::Image;
use crate::keeping;
use crate::limits::Limits;
use crate::program::{Program, Use};
use crate::session::{Session, run};
use crate::world::{Folder, Streams, World};

/// A limit was passed.
pub const LIMIT: u8 = 124;
/// The options are wrong, or something failed that is not the module's fault.
pub const FAILED: u8 = 125;
/// The file is no module or component that can be run here.
pub const NOT_EXECUTABLE: u8 = 126;
/// There is no such file.
pub const NOT_FOUND: u8 = 127;
/// The module trapped: what a shell tells of a program that was aborted.
pub const TRAPPED: u8 = 134;

/// Where guests keep temporary files, as ordinary programs do.
const TEMPORARY: &str = "/tmp";

/// Folders of the root that are no files of a workspace.
const KERNEL: [&str; 3] = ["/dev", "/proc", "/sys"];

/// Bytes that a guest's memory may have: what the sandbox has, less what the engine itself needs.
fn memory_of_guest(around: &Surroundings) -> ByteSize {
    const ENGINE: u64 = 64 << 20;
    let most = Limits::default().memory.0;
    let guest = around.memory.map_or(most, |all| (all.0 / 2).max(all.0.saturating_sub(ENGINE)));
    ByteSize(guest.min(most))
}

/// What the user asks for: options, the module, and its arguments.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Request {
    fuel: Option<u64>,
    time: Option<Span>,
    memory: Option<ByteSize>,
    seed: Option<u64>,
    readable: Vec<PathBuf>,
    invoke: Option<String>,
    image: Option<PathBuf>,
    module: PathBuf,
    /// The module's name, then its arguments.
    arguments: Vec<String>,
}

impl Request {
    fn read(words: &mut impl Iterator<Item = OsString>) -> Result<Self, String> {
        let mut found = Self::default();
        let module = loop {
            let word = words.next().ok_or("no module is named")?;
            let text = word.to_str().unwrap_or_default().to_owned();
            let Some(name) = text.strip_prefix("--") else { break word };
            let (name, value) = match name.split_once('=') {
                Some((name, value)) => (name, Some(OsString::from(value))),
                None => (name, None),
            };
            let option = format!("--{name}");
            let mut value = || {
                let value = value.clone().or_else(|| words.next());
                value.ok_or_else(|| format!("{option} needs a value"))
            };
            match name {
                "deterministic" => {
                    found.seed.get_or_insert_default();
                }
                "seed" => found.seed = Some(parsed(&option, value()?)?),
                "fuel" => found.fuel = Some(parsed(&option, value()?)?),
                "time" => found.time = Some(parsed(&option, value()?)?),
                "memory" => found.memory = Some(parsed(&option, value()?)?),
                "dir" => found.readable.push(value()?.into()),
                "invoke" => found.invoke = Some(text_of(&option, value()?)?),
                "memory-image" => found.image = Some(value()?.into()),
                _ => {
                    return Err(format!(
                        "{option} is no option of the driver wasm (these are --fuel, --time, --memory, \
                         --deterministic, --seed, --dir, --invoke and --memory-image); a module whose \
                         name begins so is written ./{text}"
                    ));
                }
            }
        };
        if found.image.is_some() && found.invoke.is_none() {
            return Err("--memory-image needs --invoke: a command's memory ends with it".into());
        }
        if found.seed.is_some() && found.time.is_some() {
            return Err(
                "--time is not the same in every run; with --deterministic use --fuel".into()
            );
        }
        if found.fuel.is_some() && found.time.is_some() {
            return Err("--fuel and --time exclude each other".into());
        }
        found.module = module.clone().into();
        found.arguments = std::iter::once(module)
            .chain(words)
            .map(|word| text_of("an argument", word))
            .collect::<Result<_, _>>()?;
        Ok(found)
    }

    fn settings(&self) -> Settings {
        let metering = match (self.fuel, self.seed, self.time) {
            (None, None, None) => Metering::None,
            (None, None, Some(_)) => Metering::Time,
            _ => Metering::Fuel,
        };
        Settings { metering, deterministic: self.seed.is_some() }
    }

    fn limits(&self, around: &Surroundings) -> Limits {
        let held = memory_of_guest(around);
        Limits {
            fuel: self.fuel,
            time: self.time.map(|span| span.0),
            memory: self.memory.map_or(held, |asked| asked.min(held)),
            ..Limits::default()
        }
    }

    fn world(&self, around: &Surroundings) -> Result<World, String> {
        let environment = std::env::vars_os().map(|(name, value)| {
            let told = format!("the variable {}", name.display());
            Ok((text_of("a variable's name", name)?, text_of(&told, value)?))
        });
        Ok(World {
            arguments: self.arguments.clone(),
            environment: environment.collect::<Result<_, String>>()?,
            folders: self.folders(around)?,
            streams: Streams::Inherited,
            network: around.network,
            seed: self.seed,
        })
    }

    /// The workspace; the working folder as `.`, where a guest looks for what has no leading slash;
    /// the folder for temporary files; and what is to be read.
    fn folders(&self, around: &Surroundings) -> Result<Vec<Folder>, String> {
        let whole = |path: PathBuf, read_only| {
            let name = text_of("a folder's name", path.as_os_str().to_owned())?;
            Ok::<_, String>(Folder { name, path, read_only })
        };
        let workspace = &around.workspace;
        let mut paths = match workspace.parent() {
            None => below_root()?,
            Some(_) => vec![workspace.clone()],
        };
        if workspace.parent().is_some() && Path::new(TEMPORARY).is_dir() {
            paths.push(TEMPORARY.into());
        }
        let mut folders =
            paths.into_iter().map(|path| whole(path, false)).collect::<Result<Vec<_>, _>>()?;
        if std::env::current_dir().is_ok_and(|folder| folder.starts_with(workspace)) {
            folders.push(Folder { path: ".".into(), name: ".".to_owned(), read_only: false });
        }
        for path in &self.readable {
            folders.push(whole(path.clone(), true)?);
        }
        Ok(folders)
    }
}

/// The folders of the root, one by one: C libraries for WebAssembly take `/` and `.` for the same. The
/// kernel's are left out, where a guest could look at the memory of its engine.
fn below_root() -> Result<Vec<PathBuf>, String> {
    let failed = |error: io::Error| format!("the folders of the root cannot be listed: {error}");
    let mut found = Vec::new();
    for entry in fs::read_dir("/").map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() && !KERNEL.iter().any(|kernel| path == Path::new(kernel)) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn text_of(what: &str, word: OsString) -> Result<String, String> {
    word.into_string()
        .map_err(|word| format!("{what} is not UTF-8, which WebAssembly asks for: {word:?}"))
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
    option: &str,
    word: OsString,
) -> Result<T, String> {
    let text = text_of(option, word)?;
    text.parse().map_err(|error| format!("{option}: `{text}`: {error}"))
}

/// Runs what the words after the program's name say. Answers the exit code: the guest's own, or one of
/// those above, after a message on standard error.
pub fn main(words: impl IntoIterator<Item = OsString>) -> u8 {
    // It was executed by a descriptor, whose number would be told for its name.
    let _ = rustix::thread::set_name(&CString::new(PROGRAM).unwrap_or_default());
    let mut words = words.into_iter();
    let read = Surroundings::read(&mut words).map_err(|what| {
        format!("{PROGRAM} is no command: --isolation wasm makes use of it ({what})")
    });
    // Before anything is opened. Without it, all is compiled here.
    let handed = read.as_ref().is_ok_and(|around| around.keeps_code).then(Keeper::handed);
    let keeper = handed.and_then(Result::ok);
    let ready = read.and_then(|around| {
        let request = Request::read(&mut words)?;
        let world = request.world(&around)?;
        Ok((around, request, world))
    });
    match ready {
        Ok((around, request, world)) => {
            let limits = request.limits(&around);
            carry_out(&request, &world, limits, keeper).unwrap_or_else(|error| {
                say(&format!("{}: {}", request.module.display(), told(&error)));
                code(&error)
            })
        }
        Err(what) => {
            say(&what);
            FAILED
        }
    }
}

/// Nobody may be there to read it.
fn say(what: &str) {
    let _ = writeln!(io::stderr(), "ctrlz: wasm: {what}");
}

fn carry_out(
    request: &Request,
    world: &World,
    limits: Limits,
    keeper: Option<Keeper>,
) -> Result<u8, WasmError> {
    let bytes = Program::read(&request.module, &limits)?;
    let engine = Engine::new(request.settings())?;
    let Some(function) = &request.invoke else {
        let program = load(request, &engine, &bytes, keeper)?;
        drop(bytes);
        // As with any process, the lower eight bits are what is told.
        return run(&program, world, limits).map(|code| code as u8);
    };
    let program = load(request, &engine, &bytes, keeper)?;
    drop(bytes);
    let words = request.arguments.get(1..).unwrap_or_default();
    if program.is_component() {
        if request.image.is_some() {
            let what = "it is a component, whose parts nobody can look into".to_owned();
            return Err(WasmError::NotKept { what });
        }
        return print(&call_component(&program, world, limits, (function, words))?);
    }
    let image = request.image.as_deref().map(|path| read_image(path, &limits)).transpose()?;
    let mut session = match image.flatten() {
        Some(image) => Session::resume(&program, world, limits, &image)?,
        None => Session::start(&program, world, limits)?,
    };
    if request.image.is_some() {
        // Before anything is done that could not be kept.
        session.snapshot()?;
    }
    let results = session.call_with(function, words)?;
    if let Some(path) = &request.image {
        write_image(path, &session.snapshot()?)?;
    }
    let results: Vec<String> = results.iter().map(ToString::to_string).collect();
    print(&results)
}

/// Tells the results of a call, in one line.
fn print(results: &[String]) -> Result<u8, WasmError> {
    if !results.is_empty() {
        let line = results.join(" ");
        writeln!(io::stdout(), "{line}").map_err(|source| WasmError::File {
            action: "write the results to",
            path: "standard output".into(),
            source,
        })?;
    }
    Ok(0)
}

fn load(
    request: &Request,
    engine: &Engine,
    bytes: &[u8],
    keeper: Option<Keeper>,
) -> Result<Program, WasmError> {
    let kind = if request.invoke.is_some() { Use::Calls } else { Use::Once };
    let (program, refusal) = keeping::load(engine, bytes, kind, keeper)?;
    if let Some(why) = refusal {
        let module = request.module.display();
        say(&format!("{module}: the machine code kept of it is not used, and made anew: {why}"));
    }
    Ok(program)
}

/// The image at `path`; `None` when there is none yet.
fn read_image(path: &Path, limits: &Limits) -> Result<Option<Image>, WasmError> {
    let failed = |source| WasmError::File { action: "read", path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    // Nothing that was compressed is larger than what it is of, but for a little.
    let most = limits.memory.0.saturating_add(limits.memory.0 >> 7).saturating_add(1 << 20);
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes).map_err(failed)?;
    Image::from_bytes(&bytes, limits.memory).map(Some)
}

/// Replaces the image at `path` as a whole.
fn write_image(path: &Path, image: &Image) -> Result<(), WasmError> {
    let failed = |source| WasmError::File { action: "write", path: path.to_owned(), source };
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    let bytes = image.to_bytes()?;
    let written = fs::write(&new, bytes).and_then(|()| fs::rename(&new, path));
    written.map_err(|error| {
        let _ = fs::remove_file(&new);
        failed(error)
    })
}

/// The error, what it comes from, and what helps.
fn told(error: &WasmError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    if let WasmError::Trap { after: Some(limit), .. } = error {
        text.push_str(&format!("\n  before that it met a limit: {limit}"));
    }
    text
}

fn code(error: &WasmError) -> u8 {
    match error {
        WasmError::Limit(_) | WasmError::Trap { after: Some(_), .. } => LIMIT,
        WasmError::Trap { .. } => TRAPPED,
        WasmError::Invalid { .. }
        | WasmError::TooLarge { .. }
        | WasmError::Import { .. }
        | WasmError::Export { .. } => NOT_EXECUTABLE,
        WasmError::File { action: "read", source, .. } => match source.kind() {
            io::ErrorKind::NotFound => NOT_FOUND,
            _ => NOT_EXECUTABLE,
        },
        WasmError::Exited(code) => *code as u8,
        WasmError::Engine { .. }
        | WasmError::File { .. }
        | WasmError::Value { .. }
        | WasmError::NotKept { .. }
        | WasmError::Image { .. } => FAILED,
    }
}

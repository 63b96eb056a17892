//! Files of a sandbox, without a command. A path is one that a command in it would use: from the workspace
//! on, or the sandbox's root when it begins with `/`.

mod asked;
mod content;
pub(super) mod watch;

use std::fs::File;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use ctrlz_core::changeset::{FileType, Metadata};
use ctrlz_core::path::RelPath;
use ctrlz_core::workspace::Edit;
use ctrlz_engine::{EngineError, FileError, Files, Spot};
use serde::Serialize;
use utoipa::ToSchema;

pub(crate) use self::asked::{Asked, decoded, mode};
use self::asked::{encoded, wrong};
use self::content::{Content, is_one_of};
use super::extract::Path;
use super::views::{Done, Page, to_json};
use crate::auth::{Acting, Caller, Looking};
use crate::metrics::Timing;
use crate::problem::Problem;
use crate::service::{Service, blocking, on_core};

/// How many entries of a folder are on a page when nobody says.
const PAGE: u32 = 100;
/// How many entries, and how many bytes, a folder has that is moved.
const MOVED: usize = 10_000;
const MOVED_BYTES: u64 = 1 << 30;
/// How many folders that are missing are made at once.
const FOLDERS: usize = 128;

/// A file, or another thing that has a path.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Entry {
    /// Its name; what is no UTF-8 in it is replaced.
    pub(crate) name: String,
    /// Its path from the workspace on, as `path` of a query takes it.
    pub(crate) path: String,
    /// `file`, `directory`, `symlink`, `fifo`, `socket`, `block-device` or `char-device`.
    pub(crate) kind: String,
    /// How many bytes are in it.
    pub(crate) size: u64,
    /// Its permissions, in octal.
    pub(crate) mode: String,
    /// Its owner, as the service's host has it.
    pub(crate) uid: u32,
    /// Its group.
    pub(crate) gid: u32,
    /// When it was last written, in nanoseconds since 1970.
    pub(crate) mtime: i64,
    /// Where it leads, for a link; what is no UTF-8 in it is replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<String>,
}

impl Entry {
    fn of(files: &Files<'_>, path: &RelPath, about: &Metadata) -> Result<Self, EngineError> {
        let target = match about.file_type {
            FileType::Symlink => Some(files.target(path)?.to_string_lossy().into_owned()),
            _ => None,
        };
        let kind = to_json(&about.file_type).ok();
        Ok(Self {
            name: path.file_name().to_string_lossy().into_owned(),
            path: encoded(path.as_path()),
            kind: kind.as_ref().and_then(|kind| kind.as_str()).unwrap_or_default().to_owned(),
            size: about.size,
            mode: format!("{:04o}", about.mode),
            uid: about.uid,
            gid: about.gid,
            mtime: about.mtime.0,
            target,
        })
    }
}

/// What is at a path.
pub(crate) enum Found {
    Content(File),
    Entry(Entry),
    Folder(Page<Entry>),
}

/// Reads a file, or lists a folder by name, in pages. `stat=true` tells about what is there, a link itself
/// included, instead. A file comes with an `ETag`, and in parts (`Range`). What a command writes shows when
/// it has ended.
#[utoipa::path(get, path = "/v1/sandboxes/{sandbox}/files", tag = "files",
    params(("sandbox" = String, Path, description = "its name"),
        ("path" = String, Query, description = "any bytes, percent-encoded; `.` is the workspace"),
        ("stat" = Option<bool>, Query, description = "tell about it"),
        ("limit" = Option<u32>, Query, description = "of a folder: how many on a page, 1 to 1000"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before, as it is")),
    security(("token" = ["viewer"])),
    responses((status = 200, description = "the file's bytes, or a page of entries"),
        (status = 206, description = "a part of the file"),
        (status = 304, description = "it is the one of `If-None-Match`"),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn get(
    State(service): State<Arc<Service>>,
    Looking(caller): Looking,
    Path(name): Path<String>,
    asked: Asked,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    match find((&service, &caller), name, asked).await? {
        Found::Entry(entry) => Ok(Json(entry).into_response()),
        Found::Folder(page) => Ok(Json(page).into_response()),
        Found::Content(file) => {
            let failed =
                |error: std::io::Error| Problem::internal(format!("cannot read the file: {error}"));
            let content = blocking(move || Content::of(file).map_err(failed)).await?;
            content.answer(&headers)
        }
    }
}

/// What is at a path of a sandbox, for whoever may look.
pub(crate) async fn find(
    (service, caller): (&Arc<Service>, &Caller),
    name: String,
    asked: Asked,
) -> Result<Found, Problem> {
    let path = asked.path()?;
    let found = service.with(caller, move |session| {
        let sandbox = on_core(session, |core| Ok(core.store().sandbox_named(&name)?))?;
        let hidden = session.hidden(&sandbox)?;
        on_core(session, |core| core.files(&sandbox, &hidden, |files| look(files, &path, &asked)))
    });
    found.await
}

fn look(files: &Files<'_>, path: &FsPath, asked: &Asked) -> Result<Found, EngineError> {
    let (at, about) = files.get(path, !asked.stat)?;
    match about.file_type {
        _ if asked.stat => Ok(Found::Entry(Entry::of(files, &at, &about)?)),
        FileType::File => Ok(Found::Content(File::from(files.open(&at)?))),
        FileType::Directory => {
            let mut found = files.list(&at)?;
            if let Some(cursor) = &asked.cursor {
                found.retain(|(name, _)| name > cursor);
            }
            let limit = asked.limit.unwrap_or(PAGE) as usize;
            let more = found.len() > limit;
            found.truncate(limit);
            let next = found.last().filter(|_| more).map(|(name, _)| encoded(FsPath::new(name)));
            let items = found.iter().map(|(name, about)| Entry::of(files, &at.child(name), about));
            Ok(Found::Folder(Page { items: items.collect::<Result<_, _>>()?, next }))
        }
        _ => Err(FileError::NoFile(path.to_owned()).into()),
    }
}

/// Changes files as an operation of its own, in turn with what else is done to the sandbox. `adds` is how
/// many bytes that adds to the disk; `None` when it makes room. `plan` is told how many it may add.
async fn change(
    service: &Arc<Service>,
    caller: &Caller,
    (name, title): (String, String),
    adds: Option<u64>,
    plan: impl FnOnce(&Files<'_>, Option<u64>) -> Result<Vec<Edit>, EngineError> + Send + 'static,
) -> Result<Done, Problem> {
    let tenant = caller.tenant.clone();
    let tenant = service.registry(move |registry| registry.tenant(&tenant)).await?;
    let quotas = tenant.map(|tenant| tenant.quotas).unwrap_or_default();
    let admitted = service.quota.admit(&caller.tenant, &quotas, Instant::now())?;
    let bytes = usize::try_from(adds.unwrap_or_default()).unwrap_or(usize::MAX);
    let held = service.memory.take(&caller.tenant, bytes)?;
    let (service, caller) = (Arc::clone(service), caller.clone());
    // It is carried out whoever waits for it.
    let done = tokio::spawn(async move {
        let timing = Timing::begin(&service, "write");
        let alone = service.sandboxes.alone(&caller.tenant, &name).await;
        let turn = admitted.turn().await;
        let (disk, tenant) = (Arc::clone(&service), caller.tenant.clone());
        let done = service.with(&caller, move |session| {
            let _held = (alone, turn?, admitted, held);
            let room = match adds {
                Some(_) => disk.disk.room(session, &tenant, &quotas)?,
                None => None,
            };
            if let (Some(room), Some(adds)) = (room, adds)
                && room < adds
            {
                let title = format!("this tenant may add {room} bytes to the disk");
                return Err(Problem::new(StatusCode::INSUFFICIENT_STORAGE, "quota", title)
                    .hint("remove sandboxes, snapshots or what is archived"));
            }
            let sandbox = on_core(session, |core| Ok(core.store().sandbox_named(&name)?))?;
            let hidden = session.hidden(&sandbox)?;
            on_core(session, |core| {
                let done = core.edit_files(&sandbox, title, &hidden, |files| plan(files, room))?;
                Ok(Done::of(&sandbox, Some(done.operation), Some(&done.counts)))
            })
        });
        let done = done.await;
        timing.end(done.is_ok());
        done
    });
    done.await.map_err(|error| Problem::internal(error.to_string()))?
}

/// A title for the journal, in which any name is readable.
fn title(what: &str, path: &FsPath) -> String {
    let path: String = path.to_string_lossy().chars().flat_map(char::escape_debug).collect();
    format!("{what} {path}")
}

/// New folders, where they are wanted.
fn folders(missing: Vec<RelPath>, parents: bool) -> Result<Vec<Edit>, EngineError> {
    match missing.first() {
        Some(first) if !parents => Err(FileError::Absent(first.as_path().to_owned()).into()),
        // Each takes longer to be made the deeper it lies.
        Some(first) if missing.len() > FOLDERS => {
            Err(FileError::Name(first.as_path().to_owned()).into())
        }
        _ => Ok(missing.into_iter().map(|path| Edit::MakeFolder { path, mode: None }).collect()),
    }
}

/// Errs when what is there is not what the headers expect.
fn expect(files: &Files<'_>, spot: &Spot, asked: &HeaderMap) -> Result<(), EngineError> {
    let names = [&header::IF_MATCH, &header::IF_NONE_MATCH];
    if names.iter().all(|name| !asked.contains_key(*name)) {
        return Ok(());
    }
    let unexpected = || FileError::Unexpected(spot.path.as_path().to_owned());
    let tag = match &spot.entry {
        Some(entry) if entry.file_type == FileType::File => {
            let content = Content::of(File::from(files.open(&spot.path)?));
            Some(content.map_err(|_| unexpected())?.tag().to_owned())
        }
        _ => None,
    };
    let is_refused = is_one_of(asked, &header::IF_MATCH, tag.as_deref()) == Some(false)
        || is_one_of(asked, &header::IF_NONE_MATCH, tag.as_deref()) == Some(true);
    if is_refused { Err(unexpected().into()) } else { Ok(()) }
}

/// Writes a file when what is there is as expected, for whoever may act.
pub(crate) async fn write_it(
    (service, caller): (&Arc<Service>, &Caller),
    name: String,
    asked: Asked,
    (content, expected): (Vec<u8>, HeaderMap),
) -> Result<Done, Problem> {
    let path = asked.path()?;
    let title = format!("{} ({} bytes)", title("write", &path), content.len());
    let adds = Some(content.len() as u64);
    let done = change(service, caller, (name, title), adds, move |files, _| {
        let (missing, spot) = files.find_new(&path)?;
        match spot.entry.as_ref().map(|entry| entry.file_type) {
            None | Some(FileType::File) if !spot.path.is_root() => {}
            None | Some(FileType::File | FileType::Directory) => {
                return Err(FileError::Folder(path).into());
            }
            Some(_) => return Err(FileError::NoFile(path).into()),
        }
        expect(files, &spot, &expected)?;
        let mut edits = folders(missing, asked.parents)?;
        edits.push(Edit::Write { path: spot.path, content, mode: asked.mode });
        Ok(edits)
    });
    done.await
}

/// Writes a file: the body is all of it, up to 17 MiB. Links are followed. A file that is there keeps its
/// owner, and its mode when `mode` does not say another. `If-Match` and `If-None-Match` (`*`: nothing is
/// there) are looked at once nothing else is done to the sandbox. It is an operation: `undo` brings back what
/// was there. Two writes, or a write and a command, come after each other.
#[utoipa::path(put, path = "/v1/sandboxes/{sandbox}/files", tag = "files",
    params(("sandbox" = String, Path, description = "its name"),
        ("path" = String, Query, description = "any bytes, percent-encoded"),
        ("mode" = Option<String>, Query, description = "its permissions in octal, such as `0755`"),
        ("parents" = Option<bool>, Query, description = "make the folders that are missing")),
    request_body(content = String, content_type = "application/octet-stream"),
    security(("token" = ["operator"])),
    responses((status = 200, body = Done), (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 507, body = Problem, content_type = "application/problem+json", description = "the disk is full")))]
pub(super) async fn put(
    State(service): State<Arc<Service>>,
    Acting(caller): Acting,
    Path(name): Path<String>,
    asked: Asked,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let body = body.map_err(|rejection| {
        let kind = match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => "too-large",
            _ => "bad-request",
        };
        Problem::new(rejection.status(), kind, rejection.body_text())
    })?;
    let written = write_it((&service, &caller), name, asked, (body.into(), headers)).await?;
    Ok(Json(written).into_response())
}

/// Removes a file, a link, or a folder; one that has something in it with `recursive=true`.
#[utoipa::path(delete, path = "/v1/sandboxes/{sandbox}/files", tag = "files",
    params(("sandbox" = String, Path, description = "its name"),
        ("path" = String, Query, description = "any bytes, percent-encoded"),
        ("recursive" = Option<bool>, Query, description = "with all that is in it")),
    security(("token" = ["operator"])),
    responses((status = 200, body = Done), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn remove(
    State(service): State<Arc<Service>>,
    Acting(caller): Acting,
    Path(name): Path<String>,
    asked: Asked,
    headers: HeaderMap,
) -> Result<Json<Done>, Problem> {
    let path = asked.path()?;
    let done = change(&service, &caller, (name, title("remove", &path)), None, move |files, _| {
        let (at, about) = files.get(&path, false)?;
        if at.is_root() {
            return Err(FileError::Closed(path).into());
        }
        files.is_open(&at)?;
        let is_folder = about.file_type == FileType::Directory;
        if is_folder && !asked.recursive && !files.list(&at)?.is_empty() {
            return Err(FileError::NotEmpty(path).into());
        }
        expect(files, &Spot { path: at.clone(), entry: Some(about) }, &headers)?;
        Ok(vec![Edit::Remove { path: at }])
    });
    Ok(Json(done.await?))
}

/// Makes a folder.
#[utoipa::path(post, path = "/v1/sandboxes/{sandbox}/files/folder", tag = "files",
    params(("sandbox" = String, Path, description = "its name"),
        ("path" = String, Query, description = "any bytes, percent-encoded"),
        ("mode" = Option<String>, Query, description = "its permissions in octal, such as `0700`"),
        ("parents" = Option<bool>, Query, description = "make the folders that are missing")),
    security(("token" = ["operator"])),
    responses((status = 200, body = Done), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn make_folder(
    State(service): State<Arc<Service>>,
    Acting(caller): Acting,
    Path(name): Path<String>,
    asked: Asked,
) -> Result<Json<Done>, Problem> {
    let path = asked.path()?;
    let title = title("make the folder", &path);
    let done = change(&service, &caller, (name, title), Some(0), move |files, _| {
        let (missing, spot) = files.find_new(&path)?;
        if spot.entry.is_some() {
            return Err(FileError::Exists(path).into());
        }
        let mut edits = folders(missing, asked.parents)?;
        edits.push(Edit::MakeFolder { path: spot.path, mode: asked.mode });
        Ok(edits)
    });
    Ok(Json(done.await?))
}

/// Gives a file, a link or a folder another name. A folder, with all that is in it, goes where nothing is; it may
/// have up to 10000 entries and a GiB, as what is moved may have to be copied.
#[utoipa::path(post, path = "/v1/sandboxes/{sandbox}/files/move", tag = "files",
    params(("sandbox" = String, Path, description = "its name"),
        ("from" = String, Query, description = "any bytes, percent-encoded"),
        ("to" = String, Query, description = "any bytes, percent-encoded"),
        ("overwrite" = Option<bool>, Query, description = "in place of a file that is there")),
    security(("token" = ["operator"])),
    responses((status = 200, body = Done), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn rename(
    State(service): State<Arc<Service>>,
    Acting(caller): Acting,
    Path(name): Path<String>,
    asked: Asked,
) -> Result<Json<Done>, Problem> {
    let path = |path: Option<PathBuf>, name| path.ok_or_else(|| wrong(name, "is missing"));
    let (from, to) = (path(asked.from, "from")?, path(asked.to, "to")?);
    let title = title(&format!("{} to", title("move", &from)), &to);
    let done = change(&service, &caller, (name, title), Some(0), move |files, room| {
        let (at, about) = files.get(&from, false)?;
        let is_folder = about.file_type == FileType::Directory;
        let spot = files.find(&to, false)?;
        for path in [&at, &spot.path] {
            files.is_open(path)?;
        }
        match spot.entry {
            _ if at.is_root() => return Err(FileError::Closed(from).into()),
            _ if is_folder && spot.path.is_within(&at) && spot.path != at => {
                return Err(FileError::Within(to).into());
            }
            Some(entry) if entry.file_type == FileType::Directory && !is_folder => {
                return Err(FileError::Folder(to).into());
            }
            Some(_) if !asked.overwrite || is_folder || at == spot.path => {
                return Err(FileError::Exists(to).into());
            }
            _ => {}
        }
        let bytes = if is_folder { files.bytes(&at, MOVED)? } else { about.size };
        if is_folder && bytes > MOVED_BYTES {
            return Err(FileError::TooMuch(from).into());
        }
        if room.is_some_and(|room| room < bytes) {
            return Err(FileError::NoRoom(to).into());
        }
        Ok(vec![Edit::Move { from: at, to: spot.path }])
    });
    Ok(Json(done.await?))
}

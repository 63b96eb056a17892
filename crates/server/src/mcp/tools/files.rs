//! Files of a sandbox: read, written, listed.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ctrlz_core::tenancy::Right;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::call::Call;
use super::super::tool::{Came, Hint, Tool, Words};
use crate::problem::Problem;
use crate::routes::files::{Asked, Entry, Found, decoded, find, mode, write_it};
use crate::routes::views::Done;
use crate::service::blocking;

/// How much of a file is told when nobody says how much, and at most, in bytes.
const TOLD: u32 = 64 << 10;
const MOST_TOLD: u32 = 1 << 20;

/// How bytes stand in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(in crate::mcp) enum Encoding {
    /// As they are, being UTF-8.
    #[default]
    Text,
    /// In base64.
    Base64,
}

/// A path that a call names.
fn path(text: &str) -> Result<Option<PathBuf>, Problem> {
    match text.is_empty() || text.contains('\0') {
        true => Err(Problem::bad_request("`path` is empty, or has a NUL")),
        false => Ok(Some(PathBuf::from(text))),
    }
}

/// `sandbox_fs_read`
pub(in crate::mcp) struct Read;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::mcp) struct ToRead {
    /// The sandbox.
    sandbox: String,
    /// The file: from the workspace on, or from the sandbox's root with `/`.
    path: String,
    /// From which byte on; 0 when it is left out.
    #[serde(default)]
    offset: u64,
    /// How many bytes, up to 1048576; 65536 when it is left out.
    limit: Option<u32>,
}

/// A file, or a part of it.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::mcp) struct Content {
    /// Its path.
    path: String,
    /// How many bytes it has.
    size: u64,
    /// What is in it, from `offset` on.
    content: String,
    /// How the bytes stand in `content`: `text`, or `base64` when they are no UTF-8.
    encoding: Encoding,
    /// The `offset` of what follows; null when that was all.
    next: Option<u64>,
}

impl Words for Content {
    fn words(&self) -> String {
        match (self.encoding, self.next) {
            (Encoding::Text, None) => self.content.clone(),
            (Encoding::Text, Some(next)) => {
                format!("{}\n--- of {} bytes; more with offset {next}", self.content, self.size)
            }
            (Encoding::Base64, _) => format!("{} bytes that are no text", self.size),
        }
    }
}

/// A piece of a file.
struct Piece {
    size: u64,
    bytes: Vec<u8>,
}

/// Reads a piece of a file. It blocks.
fn piece(file: &File, offset: u64, limit: u64) -> std::io::Result<Piece> {
    let size = file.metadata()?.len();
    let length = size.saturating_sub(offset).min(limit);
    let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(Piece { size, bytes })
}

/// Bytes as text when they are that; of a letter that is cut at the end the beginning is left for later.
fn told(mut bytes: Vec<u8>, is_cut: bool) -> (String, Encoding, usize) {
    if is_cut
        && let Err(error) = std::str::from_utf8(&bytes)
        && error.error_len().is_none()
        && error.valid_up_to() > 0
    {
        bytes.truncate(error.valid_up_to());
    }
    let length = bytes.len();
    match String::from_utf8(bytes) {
        Ok(text) => (text, Encoding::Text, length),
        Err(error) => (STANDARD.encode(error.as_bytes()), Encoding::Base64, length),
    }
}

impl Tool for Read {
    const NAME: &str = "sandbox_fs_read";
    const TITLE: &str = "Read a file";
    const ABOUT: &str = "Read a file of a sandbox, or a part of it, without a command. What a running command writes shows \
        when it has ended.";
    const RIGHT: Right = Right::Look;
    const HINT: Hint = Hint::Reads;
    type Input = ToRead;
    type Output = Content;

    async fn call(call: &Call, input: ToRead) -> Came<Content> {
        let limit = match input.limit.unwrap_or(TOLD) {
            limit @ 1..=MOST_TOLD => u64::from(limit),
            _ => return Err(Problem::bad_request("`limit` must be 1 to 1048576").into()),
        };
        let asked = Asked { path: path(&input.path)?, ..Asked::default() };
        let Found::Content(file) = find(call.who(), input.sandbox, asked).await? else {
            let title = format!("`{}` is a folder", input.path);
            return Err(Problem::of_kind("no-file", title).hint("sandbox_fs_list lists it").into());
        };
        let offset = input.offset;
        let failed =
            |error: std::io::Error| Problem::internal(format!("cannot read the file: {error}"));
        let piece = blocking(move || piece(&file, offset, limit).map_err(failed)).await?;
        let is_cut = offset.saturating_add(piece.bytes.len() as u64) < piece.size;
        let (content, encoding, length) = told(piece.bytes, is_cut);
        let next = is_cut.then(|| offset.saturating_add(length as u64));
        Ok(Content { path: input.path, size: piece.size, content, encoding, next })
    }
}

/// `sandbox_fs_write`
pub(in crate::mcp) struct Write;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::mcp) struct ToWrite {
    /// The sandbox.
    sandbox: String,
    /// The file: from the workspace on, or from the sandbox's root with `/`.
    path: String,
    /// All that is to be in it.
    content: String,
    /// How the bytes stand in `content`: `text`, which is meant when it is left out, or `base64`.
    #[serde(default)]
    encoding: Encoding,
    /// Its permissions in octal, such as `0755`; as they are, or the usual ones, when it is left out.
    mode: Option<String>,
    /// Make the folders that are missing; true when it is left out.
    #[serde(default = "yes")]
    parents: bool,
}

fn yes() -> bool {
    true
}

impl Tool for Write {
    const NAME: &str = "sandbox_fs_write";
    const TITLE: &str = "Write a file";
    const ABOUT: &str = "Write a file of a sandbox, in place of what is there. It is one step that sandbox_undo takes back.";
    const RIGHT: Right = Right::Act;
    const HINT: Hint = Hint::Changes;
    type Input = ToWrite;
    type Output = Done;

    async fn call(call: &Call, input: ToWrite) -> Came<Done> {
        let content = match input.encoding {
            Encoding::Text => input.content.into_bytes(),
            Encoding::Base64 => STANDARD.decode(input.content).map_err(|error| {
                Problem::bad_request(format!("`content` is no base64: {error}"))
            })?,
        };
        let wrong = || Problem::bad_request("`mode` is octal, such as 0644");
        let permissions = input.mode.map(|text| mode(&text).ok_or_else(wrong)).transpose()?;
        let asked = Asked {
            path: path(&input.path)?,
            mode: permissions,
            parents: input.parents,
            ..Asked::default()
        };
        Ok(write_it(call.who(), input.sandbox, asked, (content, HeaderMap::new())).await?)
    }
}

/// `sandbox_fs_list`
pub(in crate::mcp) struct List;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::mcp) struct ToList {
    /// The sandbox.
    sandbox: String,
    /// The folder: from the workspace on, or from the sandbox's root with `/`; the workspace when it is left out.
    path: Option<String>,
    /// How many entries, 1 to 1000; 100 when it is left out.
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// An entry of a folder.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::mcp) struct Listed {
    /// Its name. Bytes that are no UTF-8 stand as U+FFFD.
    name: String,
    /// `file`, `directory`, `symlink`, `fifo`, `socket`, `block-device` or `char-device`.
    kind: String,
    /// How many bytes it has.
    size: u64,
    /// Its permissions, in octal.
    mode: String,
    /// Where it leads, for a link.
    target: Option<String>,
}

impl From<Entry> for Listed {
    fn from(entry: Entry) -> Self {
        let Entry { name, kind, size, mode, target, .. } = entry;
        Self { name, kind, size, mode, target }
    }
}

/// A page of a folder's entries, by name.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::mcp) struct Folder {
    /// The folder's path.
    path: String,
    /// What is in it.
    entries: Vec<Listed>,
    /// Send it as `cursor` for the next page; there is none when it is null.
    next: Option<String>,
}

impl Words for Folder {
    fn words(&self) -> String {
        if self.entries.is_empty() {
            return format!("`{}` is empty", self.path);
        }
        let line = |one: &Listed| {
            let target = one.target.as_ref().map(|target| format!(" -> {target}"));
            format!(
                "{} {} {} {}{}",
                one.kind,
                one.mode,
                one.size,
                one.name,
                target.unwrap_or_default()
            )
        };
        let mut lines: Vec<String> = self.entries.iter().map(line).collect();
        lines.extend(self.next.as_ref().map(|next| format!("more with cursor `{next}`")));
        lines.join("\n")
    }
}

impl Tool for List {
    const NAME: &str = "sandbox_fs_list";
    const TITLE: &str = "List a folder";
    const ABOUT: &str = "List a folder of a sandbox, by name, without a command.";
    const RIGHT: Right = Right::Look;
    const HINT: Hint = Hint::Reads;
    type Input = ToList;
    type Output = Folder;

    async fn call(call: &Call, input: ToList) -> Came<Folder> {
        if input.limit.is_some_and(|limit| !(1..=1000).contains(&limit)) {
            return Err(Problem::bad_request("`limit` must be 1 to 1000").into());
        }
        let wrong = || Problem::bad_request("`cursor` is not `next` of a page");
        let cursor = input.cursor.as_deref().map(|text| decoded(text).ok_or_else(wrong));
        let folder = input.path.unwrap_or_else(|| ".".to_owned());
        let asked = Asked {
            path: path(&folder)?,
            limit: input.limit,
            cursor: cursor.transpose()?.map(OsString::from_vec),
            ..Asked::default()
        };
        let Found::Folder(page) = find(call.who(), input.sandbox, asked).await? else {
            let title = format!("`{folder}` is no folder");
            return Err(Problem::of_kind("no-folder", title)
                .hint("sandbox_fs_read reads it")
                .into());
        };
        let entries = page.items.into_iter().map(Listed::from).collect();
        Ok(Folder { path: folder, entries, next: page.next })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_that_is_cut_is_left_for_the_next_piece() {
        let text = "abcä".as_bytes();
        assert_eq!(told(text[..4].to_vec(), true), ("abc".to_owned(), Encoding::Text, 3));
        assert_eq!(told(text.to_vec(), true), ("abcä".to_owned(), Encoding::Text, 5));
        // At the end of the file it is no letter, and alone it would never come.
        assert_eq!(told(text[..4].to_vec(), false).1, Encoding::Base64);
        assert_eq!(told(text[3..4].to_vec(), true), ("ww==".to_owned(), Encoding::Base64, 1));
        assert_eq!(told(vec![0xff, b'a'], true), ("/2E=".to_owned(), Encoding::Base64, 2));
        assert_eq!(told(Vec::new(), false), (String::new(), Encoding::Text, 0));
    }
}

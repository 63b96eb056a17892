//! Sandboxes: made, copied, listed.

use std::path::PathBuf;

use ctrlz_core::sandbox::Sandbox;
use ctrlz_core::tenancy::Right;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::call::Call;
use super::super::tool::{Came, Hint, Tool, Words};
use crate::port::Base;
use crate::problem::Problem;
use crate::routes::sandboxes::{Paging, fork_it, make_it, page_of};
use crate::routes::views::word;

/// A sandbox that was made.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::mcp) struct Made {
    /// Its name.
    sandbox: String,
    /// Its id.
    id: String,
    /// The folder that it starts from, and that a commit writes to.
    folder: String,
    /// Where processes in it see its workspace; they begin there.
    workdir: String,
}

impl Made {
    fn of(sandbox: &Sandbox) -> Self {
        Self {
            sandbox: sandbox.name.to_string(),
            id: sandbox.id.to_string(),
            folder: sandbox.base.to_string_lossy().into_owned(),
            workdir: sandbox.mount_point().to_string_lossy().into_owned(),
        }
    }
}

impl Words for Made {
    fn words(&self) -> String {
        let Self { sandbox, folder, workdir, .. } = self;
        format!("sandbox `{sandbox}` starts from {folder}; its commands begin in {workdir}")
    }
}

/// `sandbox_create`
pub(in crate::mcp) struct Create;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::mcp) struct NewSandbox {
    /// Its name: 1 to 64 letters, digits, `.`, `_` or `-`, beginning with a letter or a digit.
    sandbox: String,
    /// The folder that it starts from. Left out: over standard input and output the folder in which the server was
    /// started, over HTTP an empty one.
    folder: Option<String>,
    /// A tar file or OCI image layout on the server's host that it starts from instead.
    image: Option<String>,
    /// Start from an empty folder.
    #[serde(default)]
    empty: bool,
}

impl Tool for Create {
    const NAME: &str = "sandbox_create";
    const TITLE: &str = "Make a sandbox";
    const ABOUT: &str = "Make a sandbox: an isolated copy-on-write view of a folder, or an empty one. \
        The folder itself changes only by sandbox_commit.";
    const RIGHT: Right = Right::Act;
    const HINT: Hint = Hint::Adds;
    type Input = NewSandbox;
    type Output = Made;

    async fn call(call: &Call, input: NewSandbox) -> Came<Made> {
        let base = match (input.folder, input.image, input.empty) {
            (None, None, true) => Base::Empty,
            (None, None, false) => call.folder.clone().map_or(Base::Empty, Base::Folder),
            (Some(folder), None, false) => Base::Folder(resolved(call, folder)),
            (None, Some(image), false) => Base::Image(resolved(call, image)),
            _ => {
                let title = "a sandbox starts from `folder`, from `image`, or `empty`";
                return Err(Problem::bad_request(title).into());
            }
        };
        Ok(Made::of(&make_it(call.who(), &input.sandbox, (base, None)).await?))
    }
}

/// A path as the client's user means it.
fn resolved(call: &Call, path: String) -> PathBuf {
    call.folder.as_ref().map_or_else(|| PathBuf::from(&path), |folder| folder.join(&path))
}

/// `sandbox_fork`
pub(in crate::mcp) struct Fork;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::mcp) struct Copying {
    /// The sandbox to copy.
    sandbox: String,
    /// The copy's name.
    name: String,
}

impl Tool for Fork {
    const NAME: &str = "sandbox_fork";
    const TITLE: &str = "Copy a sandbox";
    const ABOUT: &str =
        "Copy a sandbox as it stands, its state included. From then on the two are independent.";
    const RIGHT: Right = Right::Act;
    const HINT: Hint = Hint::Adds;
    type Input = Copying;
    type Output = Made;

    async fn call(call: &Call, input: Copying) -> Came<Made> {
        Ok(Made::of(&fork_it(call.who(), input.sandbox, &input.name).await?))
    }
}

/// `sandbox_list`
pub(in crate::mcp) struct List;

/// What page of a list.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::mcp) struct Pages {
    /// How many, 1 to 1000; 100 when it is left out.
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// A sandbox.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::mcp) struct Listed {
    /// Its name.
    sandbox: String,
    /// The folder that it starts from.
    folder: String,
    /// `init`, `ready`, `running`, `suspended`, `resumed` or `failed`.
    lifecycle: String,
    /// Whether it has no changes that were not committed.
    clean: bool,
    /// When it was made (RFC 3339).
    created: String,
    /// When it was last used (RFC 3339).
    used: String,
}

/// A page of sandboxes, by name.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::mcp) struct Sandboxes {
    /// What is on it.
    sandboxes: Vec<Listed>,
    /// Send it as `cursor` for the next page; there is none when it is null.
    next: Option<String>,
}

impl Words for Sandboxes {
    fn words(&self) -> String {
        if self.sandboxes.is_empty() {
            return "there are no sandboxes".to_owned();
        }
        let line = |one: &Listed| format!("{} ({}) of {}", one.sandbox, one.lifecycle, one.folder);
        let mut lines: Vec<String> = self.sandboxes.iter().map(line).collect();
        lines.extend(self.next.as_ref().map(|next| format!("more with cursor `{next}`")));
        lines.join("\n")
    }
}

impl Tool for List {
    const NAME: &str = "sandbox_list";
    const TITLE: &str = "List sandboxes";
    const ABOUT: &str = "List the sandboxes, by name.";
    const RIGHT: Right = Right::Look;
    const HINT: Hint = Hint::Reads;
    type Input = Pages;
    type Output = Sandboxes;

    async fn call(call: &Call, input: Pages) -> Came<Sandboxes> {
        let paging = Paging { limit: input.limit, cursor: input.cursor };
        let (found, next) = page_of(call.who(), paging).await?;
        let listed = found.iter().map(|(one, (life, clean))| {
            Ok(Listed {
                sandbox: one.name.to_string(),
                folder: one.base.to_string_lossy().into_owned(),
                lifecycle: word(life)?,
                clean: *clean,
                created: one.created.rfc3339(),
                used: one.used.rfc3339(),
            })
        });
        Ok(Sandboxes { sandboxes: listed.collect::<Result<_, Problem>>()?, next })
    }
}

//! Letting an ordinary user's tests reach a project that lies in a folder closed to others, such
//! as root's home.
//!
//! Nothing on the host is changed: the tests run in a mount namespace in which an open, empty
//! folder stands in place of the closed one, and holds nothing but the project.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::account::Account;
use crate::failure::Answer;
use crate::program;

/// Shows each folder of `$2…` at its own place although `$1…` are closed. Arguments: the number of
/// closed folders, those, the number of folders to show, those, then the command.
const SCRIPT: &str = r#"
set -eu
stage=$(mktemp -d)
count=$1; shift
closed=""
while [ "$count" -gt 0 ]; do closed="$closed $(printf %s "$1" | base64 -w0)"; shift; count=$((count - 1)); done
count=$1; shift
mount -t tmpfs -o mode=0700 stage "$stage"
index=0
shown=""
while [ "$count" -gt 0 ]; do
    mkdir "$stage/$index"
    mount --rbind "$1" "$stage/$index"
    shown="$shown $(printf %s "$1" | base64 -w0)"
    shift; count=$((count - 1)); index=$((index + 1))
done
for folder in $closed; do
    mount -t tmpfs -o mode=0755 open "$(printf %s "$folder" | base64 -d)"
done
index=0
for folder in $shown; do
    folder=$(printf %s "$folder" | base64 -d)
    mkdir -p "$folder"
    mount --rbind "$stage/$index" "$folder"
    index=$((index + 1))
done
umount -l "$stage"
rmdir "$stage"
exec "$@"
"#;

/// The folders that a user needs and cannot reach.
pub(super) struct Reach {
    closed: BTreeSet<PathBuf>,
    shown: Vec<PathBuf>,
}

impl Reach {
    /// What must be opened so that `account` can enter `folders`; nothing when it can.
    pub(super) fn needed(account: &Account, folders: &[&Path]) -> Answer<Option<Self>> {
        let mut closed = BTreeSet::new();
        for folder in folders {
            let mut above: Vec<&Path> = folder.ancestors().skip(1).collect();
            above.reverse();
            for folder in above {
                if !enters(account, folder)? {
                    closed.insert(folder.to_owned());
                    break;
                }
            }
        }
        if closed.is_empty() {
            return Ok(None);
        }
        for folder in &closed {
            println!(
                "{} is closed to others; the tests see the project alone in it",
                folder.display()
            );
        }
        let mut shown: Vec<PathBuf> = folders.iter().map(|folder| (*folder).to_owned()).collect();
        shown.sort();
        Ok(Some(Self { closed, shown }))
    }

    /// The beginning of a command of `account` in `folder`; the program and its arguments follow.
    pub(super) fn command(&self, account: &Account, folder: &Path) -> Command {
        let inner = account.command("env");
        let mut command = program::named("unshare");
        command.args(["--mount", "--propagation", "private", "--", "sh", "-c", SCRIPT, "sh"]);
        command.arg(self.closed.len().to_string()).args(&self.closed);
        command.arg(self.shown.len().to_string()).args(&self.shown);
        command.arg(inner.get_program()).args(inner.get_args()).arg("-C").arg(folder);
        command.env_clear().envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command
    }
}

fn enters(account: &Account, folder: &Path) -> Answer<bool> {
    let output = program::attempt(account.command("test").arg("-x").arg(folder))?;
    Ok(output.status.success())
}

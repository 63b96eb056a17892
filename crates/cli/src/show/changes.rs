//! A changeset as a tree.

use ctrlz_core::changeset::{Change, ChangeCounts, ChangeKind, Changeset, FileType};
use ctrlz_core::path::RelPath;

use super::{Style, plain};

/// How many lines a tree has before it is cut.
const MOST_LINES: usize = 2000;

/// `2 added, 1 deleted`; `no changes` for none.
pub(crate) fn counts_in_words(counts: &ChangeCounts) -> String {
    let parts: Vec<String> = [
        (counts.added, "added"),
        (counts.modified, "modified"),
        (counts.deleted, "deleted"),
        (counts.metadata, "with changed metadata"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, word)| format!("{count} {word}"))
    .collect();
    if parts.is_empty() { "no changes".to_owned() } else { parts.join(", ") }
}

/// Prints the tree: one line an entry, unchanged folders only where something below them changed.
/// What lies below an added or deleted folder is counted, not listed.
pub(crate) fn print_tree(changeset: &Changeset, style: Style) {
    let mut shown: Vec<RelPath> = Vec::new();
    let mut lines = 0;
    let mut index = 0;
    while let Some(change) = changeset.changes.get(index) {
        index += 1;
        for folder in change.path.ancestors() {
            if !shown.contains(&folder) {
                println!("  {}{}/", indent(&folder), name(&folder));
                shown.push(folder);
            }
        }
        shown.retain(|folder| change.path.is_within(folder));
        let inside = whole_below(changeset, index, change);
        index += inside;
        println!("{}", line(change, inside, style));
        if is_directory(change) {
            shown.push(change.path.clone());
        }
        lines += 1;
        if lines == MOST_LINES && index < changeset.changes.len() {
            let rest = changeset.changes.len() - index;
            println!("… and {rest} more (all of them with --json)");
            return;
        }
    }
}

/// How many changes after `index` lie below `change` and are of its kind, when `change` is a folder
/// that came or went as a whole with more than a handful of entries.
fn whole_below(changeset: &Changeset, index: usize, change: &Change) -> usize {
    const FEW: usize = 8;
    if !matches!(change.kind, ChangeKind::Added | ChangeKind::Deleted) || !is_directory(change) {
        return 0;
    }
    let below = changeset.changes.get(index..).unwrap_or_default();
    let count = below.iter().take_while(|c| c.path.is_within(&change.path)).count();
    let same = below.iter().take(count).all(|c| c.kind == change.kind);
    if same && count > FEW { count } else { 0 }
}

fn is_directory(change: &Change) -> bool {
    let metadata = change.after.as_ref().or(change.before.as_ref());
    metadata.is_some_and(|metadata| metadata.file_type == FileType::Directory)
}

fn indent(path: &RelPath) -> String {
    "  ".repeat(path.ancestors().count())
}

/// A name without bytes that could steer a terminal.
fn name(path: &RelPath) -> String {
    plain(&path.file_name().to_string_lossy())
}

fn line(change: &Change, inside: usize, style: Style) -> String {
    let slash = if is_directory(change) { "/" } else { "" };
    let text = format!("{}{}{slash}", indent(&change.path), name(&change.path));
    let note = match change.kind {
        ChangeKind::MetadataChanged => metadata_note(change),
        ChangeKind::TypeChanged => "  (another type of file)".to_owned(),
        _ if inside > 0 => format!("  ({inside} entries)"),
        _ => String::new(),
    };
    let note = style.dim(&note);
    match change.kind {
        ChangeKind::Added => format!("{}{note}", style.green(&format!("+ {text}"))),
        ChangeKind::Deleted => format!("{}{note}", style.red(&format!("- {text}"))),
        ChangeKind::Modified | ChangeKind::TypeChanged => {
            format!("{}{note}", style.yellow(&format!("~ {text}")))
        }
        ChangeKind::MetadataChanged => format!(". {text}{note}"),
    }
}

fn metadata_note(change: &Change) -> String {
    let (Some(before), Some(after)) = (&change.before, &change.after) else {
        return String::new();
    };
    let mut parts = Vec::new();
    if before.mode != after.mode {
        parts.push(format!("mode {:04o} → {:04o}", before.mode, after.mode));
    }
    if (before.uid, before.gid) != (after.uid, after.gid) {
        parts.push(format!("owner {}:{} → {}:{}", before.uid, before.gid, after.uid, after.gid));
    }
    if parts.is_empty() {
        let word = if before.mtime == after.mtime { "attributes" } else { "time" };
        parts.push(word.to_owned());
    }
    format!("  ({})", parts.join(", "))
}

//! Changed lines of text files, as unified diffs.

use std::fs;
use std::path::Path;

use ctrlz_core::changeset::{Change, ChangeKind, Changeset, FileType, Metadata};
use similar::TextDiff;

use super::{Style, plain};

/// Larger files are not compared line by line.
const LARGEST: u64 = 4 << 20;

/// Prints a unified diff of every changed file that is text.
pub(crate) fn print_patch(changeset: &Changeset, style: Style) {
    patches(changeset).for_each(|patch| print_painted(&patch, style));
}

/// The same as text, without colours; nothing when it has more than `most` bytes.
pub(crate) fn patch_text(changeset: &Changeset, most: usize) -> Option<String> {
    let mut text = String::new();
    for patch in patches(changeset) {
        text.push_str(&patch);
        if text.len() > most {
            return None;
        }
    }
    Some(text)
}

/// Prints a patch that is there as text.
pub(crate) fn print_painted(patch: &str, style: Style) {
    for line in patch.lines() {
        let painted = match line.as_bytes().first() {
            Some(b'+') => style.green(line),
            Some(b'-') => style.red(line),
            Some(b'@') => style.dim(line),
            Some(b' ' | b'\\') | None => line.to_owned(),
            Some(_) => style.bold(line),
        };
        println!("{painted}");
    }
}

/// Prints a unified diff of one file of text, which is new where there is no old one.
pub(crate) fn print_text_diff(path: &str, old: Option<&str>, new: &str, style: Style) {
    let path = plain(path);
    let before = if old.is_some() { path.as_str() } else { "/dev/null" };
    print_painted(&unified(old.unwrap_or_default(), new, (before, &path)), style);
}

/// What changed in each file, a line without a sign before it for what cannot be compared.
fn patches(changeset: &Changeset) -> impl Iterator<Item = String> {
    let is_file = |m: &Option<Metadata>| m.as_ref().is_some_and(|m| m.file_type == FileType::File);
    let with_contents = changeset.changes.iter().filter(move |change| {
        change.kind != ChangeKind::MetadataChanged
            && (is_file(&change.before) || is_file(&change.after))
    });
    with_contents.map(one)
}

fn one(change: &Change) -> String {
    let too_large = [&change.before, &change.after]
        .into_iter()
        .flatten()
        .any(|metadata| metadata.size > LARGEST);
    let old = content(change.old_content.as_deref(), too_large);
    let new = content(change.new_content.as_deref(), too_large);
    let path = plain(&change.path.to_string());
    let (Some(old), Some(new)) = (old, new) else {
        return format!("{path}: not text, or larger than 4 MiB\n");
    };
    let (a, b) = match change.kind {
        ChangeKind::Added => ("/dev/null".to_owned(), format!("b/{path}")),
        ChangeKind::Deleted => (format!("a/{path}"), "/dev/null".to_owned()),
        _ => (format!("a/{path}"), format!("b/{path}")),
    };
    unified(&old, &new, (&a, &b))
}

fn unified(old: &str, new: &str, (a, b): (&str, &str)) -> String {
    let diff = TextDiff::from_lines(old, new);
    diff.unified_diff().context_radius(3).header(a, b).to_string()
}

/// The text of a file, empty without one; `None` when it is not text or cannot be read.
fn content(path: Option<&Path>, too_large: bool) -> Option<String> {
    let Some(path) = path else { return Some(String::new()) };
    if too_large {
        return None;
    }
    let bytes = fs::read(path).ok()?;
    if bytes.contains(&0) { None } else { String::from_utf8(bytes).ok() }
}

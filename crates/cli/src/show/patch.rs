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
    for change in &changeset.changes {
        let is_file =
            |m: &Option<Metadata>| m.as_ref().is_some_and(|m| m.file_type == FileType::File);
        if change.kind != ChangeKind::MetadataChanged
            && (is_file(&change.before) || is_file(&change.after))
        {
            print_one(change, style);
        }
    }
}

fn print_one(change: &Change, style: Style) {
    let too_large = [&change.before, &change.after]
        .into_iter()
        .flatten()
        .any(|metadata| metadata.size > LARGEST);
    let old = content(change.old_content.as_deref(), too_large);
    let new = content(change.new_content.as_deref(), too_large);
    let path = plain(&change.path.to_string());
    let (Some(old), Some(new)) = (old, new) else {
        println!("{}", style.bold(&format!("{path}: not text, or larger than 4 MiB")));
        return;
    };
    let (a, b) = match change.kind {
        ChangeKind::Added => ("/dev/null".to_owned(), format!("b/{path}")),
        ChangeKind::Deleted => (format!("a/{path}"), "/dev/null".to_owned()),
        _ => (format!("a/{path}"), format!("b/{path}")),
    };
    print_unified(&old, &new, (&a, &b), style);
}

/// Prints a unified diff of one file of text, which is new where there is no old one.
pub(crate) fn print_text_diff(path: &str, old: Option<&str>, new: &str, style: Style) {
    let path = plain(path);
    let before = if old.is_some() { path.as_str() } else { "/dev/null" };
    print_unified(old.unwrap_or_default(), new, (before, &path), style);
}

fn print_unified(old: &str, new: &str, (a, b): (&str, &str), style: Style) {
    let diff = TextDiff::from_lines(old, new);
    let unified = diff.unified_diff().context_radius(3).header(a, b).to_string();
    for line in unified.lines() {
        let painted = match line.as_bytes().first() {
            Some(b'+') => style.green(line),
            Some(b'-') => style.red(line),
            Some(b'@') => style.dim(line),
            _ => line.to_owned(),
        };
        println!("{painted}");
    }
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

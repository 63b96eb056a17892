//! Programs, and what they are found to do.

mod flow;
mod javascript;
mod others;
mod python;
mod robustness;
mod several;

use super::{Act, Language};
use crate::work::Work;

/// What a program would do, however much there is to look through.
fn acts(language: Language, text: &[u8]) -> Vec<Act> {
    super::acts(language, text, &mut Work::new(usize::MAX))
}

/// One word for each act: enough to tell what was found.
fn words(language: Language, text: &str) -> Vec<String> {
    acts(language, text.as_bytes())
        .into_iter()
        .map(|act| match act {
            Act::Shell { text, .. } => format!("shell {}", show(&text)),
            Act::Program { arguments, .. } => format!("program {}", show(&arguments.join(&b' '))),
            Act::Code { text, .. } => format!("code {}", show(&text)),
            Act::Enter { path, .. } => format!("Enter {}", show(&path)),
            Act::Write { path, .. } => format!("Write {}", show(&path)),
            Act::Effect(effect) => {
                let qualities: Vec<&str> = effect.qualities.names().collect();
                let kind = format!("{:?}", effect.kind);
                format!("{kind} {} {}", effect.target, qualities.join(","))
            }
        })
        .map(|word| word.trim_end().to_owned())
        .collect()
}

fn show(text: &[u8]) -> String {
    String::from_utf8_lossy(text).replace('\0', "…")
}

/// Each program must have an act that begins with the word beside it.
fn assert_found(language: Language, table: &[(&str, &str)]) {
    let missed: Vec<String> = table
        .iter()
        .filter_map(|(text, wanted)| {
            let found = words(language, text);
            let hit = found.iter().any(|word| word.starts_with(wanted));
            (!hit).then(|| format!("{text}\n  wanted {wanted}\n  found {found:?}"))
        })
        .collect();
    assert!(missed.is_empty(), "{} missed:\n{}", missed.len(), missed.join("\n"));
}

/// What ordinary programs may do without a word from anybody. Shell texts and programs are
/// judged elsewhere; here they are named so that a table shows them.
fn assert_quiet(language: Language, table: &[&str]) {
    let quiet = |word: &str| {
        let outside = ["/etc", "/dev", "/usr", "~", "/root", "/boot", ".."];
        let path = word.split(' ').nth(1).unwrap_or_default();
        ["Enter", "Read", "Write", "Overwrite", "Fetch", "program", "shell", "code", "Connect"]
            .iter()
            .any(|kind| word.split(' ').next() == Some(kind))
            && !outside.iter().any(|start| path.starts_with(start))
            && !(path.starts_with('/') && word.ends_with("recursive"))
            || word.starts_with("Send") && !word.contains("secrets")
            || word.starts_with("Delete") && !path.starts_with('/') && !path.starts_with('~')
            || word.starts_with("Delete /tmp")
            || word.starts_with("Listen")
            || word == "ComputedCode"
            || word.starts_with("Write /dev/stdout")
            || word.starts_with("Permission") && !word.contains("public")
    };
    let loud: Vec<String> = table
        .iter()
        .filter_map(|text| {
            let found = words(language, text);
            let loud: Vec<&String> = found.iter().filter(|word| !quiet(word)).collect();
            (!loud.is_empty()).then(|| format!("{text}\n  {loud:?}"))
        })
        .collect();
    assert!(loud.is_empty(), "{} loud:\n{}", loud.len(), loud.join("\n"));
}

//! Stage 3, files: names that say one kind of file and are another.

use std::borrow::Cow;

use ctrlz_core::verdict::Risk;

use crate::effect::{EffectKind, Target};
use crate::evaluate::Evaluation;
use crate::verdict::{Finding, Stage};

/// Extensions of files that people open without a thought.
const DOCUMENTS: [&str; 26] = [
    "pdf", "doc", "docx", "xls", "xlsx", "ppt", "pptx", "odt", "ods", "rtf", "txt", "jpg", "jpeg",
    "png", "gif", "bmp", "webp", "heic", "mp3", "mp4", "avi", "mov", "mkv", "wav", "eml", "epub",
];
/// Extensions of files that run.
const PROGRAMS: [&str; 21] = [
    "exe", "scr", "com", "bat", "cmd", "pif", "msi", "hta", "vbs", "vbe", "wsf", "ps1", "lnk",
    "jar", "sh", "bash", "run", "elf", "desktop", "appimage", "command",
];

/// Tells programs whose names look like documents: `invoice.pdf.sh`.
pub(crate) fn inspect(evaluation: &Evaluation, findings: &mut Vec<Finding>) {
    let writes = [EffectKind::Write, EffectKind::Overwrite, EffectKind::Permission];
    let written = evaluation.effects.iter().filter(|effect| writes.contains(&effect.kind));
    let written = written.filter_map(|effect| match &effect.target {
        Target::Path { path, .. } => Some((path.as_str(), effect.range, Some(effect.kind))),
        _ => None,
    });
    let called = evaluation.calls.iter().map(|call| (call.name.as_str(), call.name_range, None));
    if let Some((name, range, effect)) = written.chain(called).find(|(path, ..)| is_disguised(path))
    {
        findings.push(Finding {
            rule: Cow::Borrowed("double-extension"),
            risk: Risk::Medium,
            range,
            subject: crate::content::redact(name).into_owned(),
            effect,
            reason: Cow::Borrowed("its name looks like a document, but it is a program"),
            hint: Cow::Borrowed("give it the name of what it is"),
            ..Finding::of(Stage::Files)
        });
    }
}

fn is_disguised(path: &str) -> bool {
    let mut parts = path.rsplit('/').next().unwrap_or_default().rsplit('.');
    let (Some(last), Some(before), Some(_)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let one_of = |list: &[&str], part: &str| {
        part.len() < 16 && list.iter().any(|known| known.eq_ignore_ascii_case(part.trim()))
    };
    // Spaces before the last dot push the true extension out of sight.
    one_of(&PROGRAMS, last) && one_of(&DOCUMENTS, before.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_looks_like_a_document() {
        for path in ["/p/invoice.pdf.sh", "photo.JPG.exe", "/p/a.docx      .scr", "x.y.txt.desktop"]
        {
            assert!(is_disguised(path), "{path}");
        }
        for path in
            ["a.tar.gz", "app.min.js", "run.sh", "pdf.sh", "a.sh.txt", "/p.pdf/x.sh", "a.pdf"]
        {
            assert!(!is_disguised(path), "{path}");
        }
    }

    #[test]
    fn it_is_told_where_it_is_written_and_where_it_is_run() {
        use crate::{Context, Validator};
        let rules = |text: &str| {
            let verdict = Validator::new(Context::default()).command(text.as_bytes());
            verdict.findings.iter().any(|finding| finding.rule == "double-extension")
        };
        assert!(rules("echo x > invoice.pdf.sh") && rules("./invoice.pdf.sh"));
        assert!(rules("chmod +x photo.png.run"));
        assert!(!rules("cat invoice.pdf.sh"));
    }
}

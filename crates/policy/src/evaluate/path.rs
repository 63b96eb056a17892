//! Paths: made absolute by their text alone, and told apart by what they hold.

use super::Evaluator;
pub(crate) use super::pattern::matches;
use super::value::{Taint, Value};
use crate::effect::{EffectKind, Qualities, Target, UNKNOWN};
use crate::path_class::{PathClass, classify};
use crate::source_range::SourceRange;

impl Evaluator<'_> {
    /// The absolute path that `value` means here, links followed that the commands made.
    pub(crate) fn resolve(&self, value: &Value) -> Value {
        let mut path = value.clone();
        if !path.text.starts_with(b"/") && path.text.first() != Some(&UNKNOWN) {
            let directory = &self.environment.directory;
            path.text = [directory.text.as_slice(), b"/", value.text.as_slice()].concat();
            path.taint = path.taint.with(directory.taint);
        }
        path.text = normal(&path.text);
        if let Some(rest) = of_process_root(&path.text) {
            path.text = normal(&[b"/", rest].concat());
        }
        for _ in 0..8 {
            match self.files.followed(&path.text) {
                Some(target) => path.text = normal(&target),
                None => break,
            }
        }
        path
    }

    /// What kind of place a resolved path is, for somebody who does `kind` to it.
    pub(crate) fn class_of(&self, resolved: &Value, kind: EffectKind) -> PathClass {
        if resolved.text.contains(&UNKNOWN)
            && resolved.taint.has(Taint::UNSET)
            && resolved.text.starts_with(b"/")
        {
            // A variable that nobody set is empty, most of the time.
            let empty: Vec<u8> =
                resolved.text.iter().copied().filter(|byte| *byte != UNKNOWN).collect();
            let class = classify(&normal(&empty), kind, self.context);
            if matches!(class, PathClass::Root | PathClass::System | PathClass::Home) {
                return class;
            }
        }
        classify(&resolved.text, kind, self.context)
    }

    /// An effect on a file.
    pub(crate) fn touch_path(
        &mut self,
        kind: EffectKind,
        path: &Value,
        qualities: Qualities,
        range: SourceRange,
    ) {
        if path.is_empty() {
            return;
        }
        if let Some(seen) = without_invisible(&path.text) {
            self.touch_path(
                kind,
                &Value::new(seen, path.taint),
                qualities.with(Qualities::HIDDEN),
                range,
            );
        }
        for one in alternatives(&path.text) {
            self.touch_path(kind, &Value::new(one, path.taint), qualities, range);
        }
        self.note_file(path);
        let resolved = self.resolve(path);
        self.copied(2 * resolved.text.len() + self.files.links());
        let class = self.class_of(&resolved, kind);
        if class == PathClass::HarmlessDevice && kind != EffectKind::Delete {
            return;
        }
        let mut qualities = qualities;
        if matches!(kind, EffectKind::Delete | EffectKind::Overwrite)
            && path.taint.has(Taint::LISTED)
        {
            // Whoever deletes each file that a search lists deletes the tree.
            let name = path.text.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
            qualities = qualities
                .with(Qualities::RECURSIVE)
                .with_if(super::programs::selects(name), Qualities::SELECTED);
        }
        if class == PathClass::Unknown {
            let rest = path.text.iter().position(|byte| *byte != UNKNOWN);
            let rest = rest.and_then(|at| path.text.get(at..)).unwrap_or_default();
            // `$X/*`, `$X/`: everything, should the variable be empty.
            let class = crate::path_class::classify(&normal(rest), kind, self.context);
            let everything = matches!(class, PathClass::Root | PathClass::System | PathClass::Home)
                && !rest.is_empty()
                && resolved.taint.has(Taint::UNSET);
            // `$X/../../../..` ends at the root wherever it starts.
            let climbs = rest.windows(3).filter(|part| part == b"/..").count() >= 4;
            qualities = qualities.with_if(everything || climbs, Qualities::ALL_OF_THEM);
        }
        let path = String::from_utf8_lossy(&resolved.text).into_owned();
        self.emit(kind, Target::Path { path, class }, qualities, range);
    }
}

/// The paths of a pattern with one list of alternatives: `/@(etc|usr)`.
fn alternatives(path: &[u8]) -> Vec<Vec<u8>> {
    let open = path.windows(2).position(|two| matches!(two, [b'@' | b'+' | b'?' | b'*', b'(']));
    let close = path.iter().rposition(|byte| *byte == b')');
    let (Some(open), Some(close)) = (open, close) else { return Vec::new() };
    let (Some(start), Some(inner), Some(end)) =
        (path.get(..open), path.get(open + 2..close), path.get(close + 1..))
    else {
        return Vec::new();
    };
    if inner.contains(&b'(') || path.len() > 1024 {
        return Vec::new();
    }
    inner.split(|byte| *byte == b'|').take(8).map(|one| [start, one, end].concat()).collect()
}

/// What follows `/proc/PROCESS/root`, which is the root.
fn of_process_root(path: &[u8]) -> Option<&[u8]> {
    let rest = path.strip_prefix(b"/proc/")?;
    let end = rest.iter().position(|byte| *byte == b'/')?;
    let rest = rest.get(end..)?.strip_prefix(b"/root")?;
    (rest.is_empty() || rest.starts_with(b"/")).then_some(rest)
}

/// The path without characters that nobody sees, if there are any.
fn without_invisible(path: &[u8]) -> Option<Vec<u8>> {
    if path.is_ascii() {
        return None;
    }
    let text = std::str::from_utf8(path).ok()?;
    let seen: String = text.chars().filter(|c| !matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}')).collect();
    (seen.len() < text.len()).then(|| seen.into_bytes())
}

/// A path without empty steps, `.` and `..`.
pub(crate) fn normal(path: &[u8]) -> Vec<u8> {
    let absolute = path.starts_with(b"/");
    let mut steps: Vec<&[u8]> = Vec::new();
    for step in path.split(|byte| *byte == b'/') {
        match step {
            b"" | b"." => {}
            b".." => {
                // What lies above something unknown is unknown.
                match steps.last() {
                    Some(last) if last.contains(&UNKNOWN) => {}
                    _ => {
                        steps.pop();
                    }
                }
            }
            step => steps.push(step),
        }
    }
    let joined = steps.join(&b'/');
    match (absolute, joined.is_empty()) {
        (true, _) => [b"/", joined.as_slice()].concat(),
        (false, true) => b".".to_vec(),
        (false, false) => joined,
    }
}

//! Files that are made so that nobody sees them, or so that they tell a false story.

use crate::effect::{EffectKind, Qualities, Target};
use crate::evaluate::Evaluator;
use crate::evaluate::call::Call;

/// How many calls back the clock may have been set.
const MOST_STEPS: usize = 16;

impl Evaluator<'_> {
    /// What `touch` and `mkdir` make.
    pub(super) fn unseen_traces(&mut self, call: &Call) {
        let names = call.arguments.iter().find(|field| is_unseen(field.text()));
        if let Some(field) = names {
            let target = Target::Name("a name that nobody sees".into());
            self.emit(EffectKind::Conceal, target, Qualities::NONE, field.range);
        }
        let mut recent = self.found.calls.iter().rev().take(MOST_STEPS);
        if call.name == "touch" && recent.any(sets_clock) {
            let target = Target::Name("times of files".into());
            self.emit(EffectKind::Conceal, target, Qualities::NONE, call.range);
        }
    }
}

/// Whether the last step of a path is nothing but dots and blanks. `./...` is how Go names all
/// packages, and how people leave something out.
fn is_unseen(path: &[u8]) -> bool {
    let absolute = path.starts_with(b"/") || path.starts_with(b"~/");
    let path = path.strip_suffix(b"/").unwrap_or(path);
    let last = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    absolute
        && last.iter().all(|byte| matches!(byte, b'.' | b' ' | b'\t'))
        && !matches!(last, b"" | b"." | b"..")
}

/// Whether a call sets the clock.
fn sets_clock(call: &Call) -> bool {
    let options = || call.options("sdfr", &["set", "date"]);
    match call.name.as_str() {
        "date" => options().has("s|set"),
        "hwclock" => options().has("set"),
        "timedatectl" => call.arguments.iter().any(|field| field.text() == b"set-time"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::is_unseen;

    #[test]
    fn a_name_of_dots_is_told_from_folders_and_omissions() {
        for path in [&b"/tmp/..."[..], b"/var/tmp/.. ", b"~/ ", b"/tmp/.../"] {
            assert!(is_unseen(path), "{}", String::from_utf8_lossy(path));
        }
        for path in [&b"./..."[..], b"/tmp/.", b"/tmp/..", b"/tmp/", b"...", b"/tmp/.a", b"/"] {
            assert!(!is_unseen(path), "{}", String::from_utf8_lossy(path));
        }
    }
}

//! What a command would do, as a tree.

use ctrlz_policy::{Effect, Qualities, Target, redact};

use super::verdict::word;
use super::{Style, visible};

/// How many targets are told of one kind of effect.
const MOST_TARGETS: usize = 12;
/// How many kinds of effects are told.
const MOST_KINDS: usize = 24;

/// Prints what would be done, and below it to what.
pub(crate) fn print_effects(effects: &[Effect], style: Style) {
    if effects.is_empty() {
        println!("it has no effects that its text tells");
        return;
    }
    println!("what it would do");
    let mut kinds: Vec<(String, Vec<String>)> = Vec::new();
    for effect in effects {
        let how = how(effect);
        let target = target(effect);
        match kinds.iter_mut().find(|(known, _)| *known == how) {
            Some((_, targets)) if target.is_empty() || targets.contains(&target) => {}
            Some((_, targets)) => targets.push(target),
            None => kinds.push((how, vec![target])),
        }
    }
    let more = kinds.len().saturating_sub(MOST_KINDS);
    kinds.truncate(MOST_KINDS);
    if more > 0 {
        kinds.push((format!("… and {more} more"), Vec::new()));
    }
    let last_kind = kinds.len() - 1;
    for (number, (how, mut targets)) in kinds.into_iter().enumerate() {
        let (branch, beside) =
            if number == last_kind { ("└─", "  ") } else { ("├─", "│ ") };
        println!("{branch} {}", style.bold(&how));
        targets.retain(|target| !target.is_empty());
        let more = targets.len().saturating_sub(MOST_TARGETS);
        targets.truncate(MOST_TARGETS);
        if more > 0 {
            targets.push(format!("… and {more} more"));
        }
        let last = targets.len().saturating_sub(1);
        for (number, target) in targets.iter().enumerate() {
            println!("{beside} {} {target}", if number == last { "└─" } else { "├─" });
        }
    }
}

/// `delete (recursive, forced)`
fn how(effect: &Effect) -> String {
    let kind = word(&effect.kind);
    let qualities: Vec<&str> = Qualities::names(effect.qualities).collect();
    if qualities.is_empty() { kind } else { format!("{kind} ({})", qualities.join(", ")) }
}

fn target(effect: &Effect) -> String {
    let target = visible(&redact(&effect.target.to_string()));
    match &effect.target {
        Target::Path { class, .. } => format!("{target}  [{}]", word(class)),
        Target::None | Target::Host(_) | Target::Name(_) => target,
    }
}

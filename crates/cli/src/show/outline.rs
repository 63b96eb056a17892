//! How a command was read, as a tree with what was found at each part.

use ctrlz_policy::{Effect, Finding, Outline, SourceRange, redact};

use super::verdict::{in_colour, word};
use super::{Style, visible};

/// How many parts are shown, and how many columns of each.
const MOST: usize = 80;
const WIDEST: usize = 72;

/// A text, and what was found in it.
pub(crate) struct Read<'a> {
    pub(crate) text: &'a [u8],
    pub(crate) findings: &'a [Finding],
    pub(crate) effects: &'a [Effect],
}

impl Read<'_> {
    /// Prints the parts of the text, each with the effects and the rules that are its own.
    pub(crate) fn print(&self, parts: &[Outline], style: Style) {
        if parts.is_empty() {
            return;
        }
        println!("how it is read");
        let mut left = MOST;
        self.below(parts, "", &mut left, style);
        if left == 0 {
            println!("… and more");
        }
    }

    fn below(&self, parts: &[Outline], indent: &str, left: &mut usize, style: Style) {
        for (number, part) in parts.iter().enumerate() {
            let Some(less) = left.checked_sub(1) else { return };
            *left = less;
            let last = number + 1 == parts.len();
            let (branch, beside) = if last { ("└─", "   ") } else { ("├─", "│  ") };
            let source = self.text.get(part.range.start..part.range.end).unwrap_or_default();
            let source = redact(&String::from_utf8_lossy(source)).into_owned();
            let mut source = visible(&source.split_whitespace().collect::<Vec<_>>().join(" "));
            if source.chars().count() > WIDEST {
                source = source.chars().take(WIDEST - 1).chain(['…']).collect();
            }
            let own = |range: SourceRange| {
                let within =
                    |outer: SourceRange| outer.start <= range.start && range.end <= outer.end;
                within(part.range) && !part.inner.iter().any(|inner| within(inner.range))
            };
            let what = style.dim(&format!("{}:", part.what));
            println!("{indent}{branch} {what} {source}");
            let indent = format!("{indent}{beside}");
            let mark = if part.inner.is_empty() { "   " } else { "│  " };
            let mut effects: Vec<String> =
                self.effects.iter().filter(|it| own(it.range)).map(|it| word(&it.kind)).collect();
            effects.dedup();
            if !effects.is_empty() {
                println!("{indent}{mark}→ {}", effects.join(", "));
            }
            for finding in self.findings.iter().filter(|finding| own(finding.range)) {
                let told = format!("{}[{}]", finding.risk, finding.rule);
                println!("{indent}{mark}{}", in_colour(finding.risk, &told, style));
            }
            self.below(&part.inner, &indent, left, style);
        }
    }
}

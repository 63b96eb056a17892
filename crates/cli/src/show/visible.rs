//! Text that others chose, with everything in it to be seen.

use std::fmt::Write as _;

/// `text` with what steers a terminal, turns its direction around or shows nothing at all written
/// as an escape sequence that only looks like one. Line ends are escaped, too.
pub(crate) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        push_visible(&mut shown, c);
    }
    shown
}

/// Adds `c` in its visible form.
pub(super) fn push_visible(shown: &mut String, c: char) {
    match c {
        '\n' => shown.push_str("\\n"),
        '\r' => shown.push_str("\\r"),
        '\t' => shown.push_str("\\t"),
        // The validator's sign for what cannot be known beforehand.
        '\0' => shown.push('…'),
        c if c.is_control() || is_unseen(c) => {
            let _ = write!(shown, "\\u{{{:x}}}", u32::from(c));
        }
        c => shown.push(c),
    }
}

/// Whether a character is invisible or changes the direction of others (Unicode's
/// Default_Ignorable_Code_Point and Bidi_Control, and separators of lines).
fn is_unseen(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_a_terminal_or_hides() {
        let shown = visible("a\x1b[2J\u{9b}\u{202e}b\u{200b}\nc\té…");
        assert_eq!(shown, "a\\u{1b}[2J\\u{9b}\\u{202e}b\\u{200b}\\nc\\té…");
    }
}

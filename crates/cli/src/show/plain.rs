//! Text that others chose (names, command lines), made harmless.

/// `text` without characters that could steer a terminal or break a line.
pub(crate) fn plain(text: &str) -> String {
    let harmless = |c: char| match c {
        '\n' | '\t' => ' ',
        c if c.is_control() || turns(c) => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    text.chars().map(harmless).collect()
}

/// Whether a character makes others appear in another order, or on another line.
fn turns(c: char) -> bool {
    matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_lose_their_power() {
        assert_eq!(plain("a\x1b[2J\u{9b}b\nc é"), "a\u{fffd}[2J\u{fffd}b c é");
    }

    #[test]
    fn nothing_appears_in_another_order_or_on_another_line() {
        assert_eq!(plain("a\u{202e}b\u{2066}c\u{2028}d"), "a\u{fffd}b\u{fffd}c\u{fffd}d");
        assert_eq!(plain("שלום 日本"), "שלום 日本");
    }
}

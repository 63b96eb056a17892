//! Text that others chose (names, command lines), made harmless.

/// `text` without characters that could steer a terminal or break a line.
pub(crate) fn plain(text: &str) -> String {
    let harmless = |c: char| match c {
        '\n' | '\t' => ' ',
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    text.chars().map(harmless).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_lose_their_power() {
        assert_eq!(plain("a\x1b[2J\u{9b}b\nc é"), "a\u{fffd}[2J\u{fffd}b c é");
    }
}

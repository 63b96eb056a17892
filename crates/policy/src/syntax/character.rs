//! What single bytes mean to the shell.

/// Ends a word outside quotes.
const ENDS_WORD: u8 = 1;
/// Begins a quotation, an expansion or an escape; or a line end as Windows writes it.
const OPENS: u8 = 2;
/// Can end a word between braces or brackets, or counts there.
const DELIMITS: u8 = 4;
/// Part of a name.
const NAME: u8 = 8;
/// Means something between double quotes.
const IN_QUOTES: u8 = 16;

static CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < table.len() {
        #[expect(clippy::cast_possible_truncation, reason = "the table has 256 places")]
        let class = class(byte as u8);
        #[expect(clippy::indexing_slicing, reason = "the loop ends at the table's length")]
        {
            table[byte] = class;
        }
        byte += 1;
    }
    table
}

const fn class(byte: u8) -> u8 {
    let mut class = 0;
    if matches!(byte, b' ' | b'\t' | b'\n' | b';' | b'&' | b'|' | b'(' | b')' | b'<' | b'>') {
        class |= ENDS_WORD;
    }
    if matches!(byte, b'\\' | b'\'' | b'"' | b'$' | b'`' | b'\r') {
        class |= OPENS;
    }
    if matches!(byte, b'}' | b'{' | b'[' | b']' | b'/' | b':' | b'?') {
        class |= DELIMITS;
    }
    if byte.is_ascii_alphanumeric() || byte == b'_' {
        class |= NAME;
    }
    if matches!(byte, b'\\' | b'"' | b'$' | b'`' | b'\r' | b'\n' | b'[' | b']') {
        class |= IN_QUOTES;
    }
    class
}

fn has(byte: u8, class: u8) -> bool {
    CLASSES.get(usize::from(byte)).is_some_and(|found| found & class != 0)
}

/// Ends a word outside quotes.
pub(super) fn ends_word(byte: u8) -> bool {
    has(byte, ENDS_WORD)
}

/// Stands for itself in a word of a command.
pub(super) fn is_plain(byte: u8) -> bool {
    !has(byte, ENDS_WORD | OPENS)
}

/// Stands for itself in any word, also between braces and brackets.
pub(super) fn is_plain_anywhere(byte: u8) -> bool {
    !has(byte, ENDS_WORD | OPENS | DELIMITS)
}

/// Stands for itself between double quotes.
pub(super) fn is_plain_in_quotes(byte: u8) -> bool {
    !has(byte, IN_QUOTES)
}

/// Part of a name.
pub(super) fn is_name(byte: u8) -> bool {
    has(byte, NAME)
}

/// The first byte of a name.
pub(super) fn begins_name(byte: u8) -> bool {
    is_name(byte) && !byte.is_ascii_digit()
}

/// The name of a special parameter.
pub(super) fn is_special_parameter(byte: u8) -> bool {
    matches!(byte, b'@' | b'*' | b'#' | b'?' | b'-' | b'$' | b'!')
}

/// Separates words.
pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

//! Characters that are not seen, or that make others be seen where they do not stand.

use super::{ContentKind, FINDINGS_OF_A_KIND, Hit};
use crate::source_range::SourceRange;
use ctrlz_core::verdict::Risk;

/// The longest escape sequence of a terminal that is read as one.
const SEQUENCE_MAX: usize = 64;
/// A run of so many variation selectors carries data, not a style.
const SELECTOR_RUN: usize = 3;

/// Whether a character has no width and no form of its own.
pub(super) const fn is_invisible(letter: char) -> bool {
    matches!(
        letter,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}'
    )
}

/// What a character is to this stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Ordinary,
    Control,
    /// `LRO`, `RLO`: shows everything in a direction of its own.
    Override,
    /// Embeddings, isolates and what closes them.
    Embedding,
    /// `LRM`, `RLM`, `ALM`.
    Mark,
    /// Joins or separates letters in some scripts and in pictures.
    Joiner,
    Selector,
    Tag,
    OtherInvisible,
    Space,
}

const fn role(letter: char) -> Role {
    match letter {
        '\t' | '\n' | ' '..='~' => Role::Ordinary,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' => Role::Control,
        '\u{202d}' | '\u{202e}' => Role::Override,
        '\u{202a}'..='\u{202c}' | '\u{2066}'..='\u{2069}' => Role::Embedding,
        '\u{200e}' | '\u{200f}' | '\u{61c}' => Role::Mark,
        '\u{200c}' | '\u{200d}' => Role::Joiner,
        '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}' | '\u{180b}'..='\u{180d}' => {
            Role::Selector
        }
        '\u{e0000}'..='\u{e007f}' => Role::Tag,
        '\u{a0}'
        | '\u{1680}'
        | '\u{2000}'..='\u{200a}'
        | '\u{2028}'
        | '\u{2029}'
        | '\u{202f}'
        | '\u{205f}'
        | '\u{3000}' => Role::Space,
        _ if is_invisible(letter) => Role::OtherInvisible,
        _ => Role::Ordinary,
    }
}

/// Whether a letter belongs to a script that is written from right to left.
const fn is_right_to_left(letter: char) -> bool {
    matches!(letter, '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{fefc}'
        | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}')
}

/// Adds what stands in `text`.
pub(super) fn scan(text: &[u8], hits: &mut Vec<Hit>) {
    let mut start = 0;
    let mut not_utf8 = 0;
    let mut seen = Vec::new();
    for chunk in text.utf8_chunks() {
        let valid = chunk.valid();
        Reader {
            text: valid.as_bytes(),
            offset: start,
            whole: text,
            hits: &mut *hits,
            seen: &mut seen,
        }
        .read(valid);
        start += valid.len();
        let invalid = chunk.invalid().len();
        if invalid > 0 {
            not_utf8 += 1;
            if not_utf8 <= FINDINGS_OF_A_KIND {
                hits.push(Hit::new(ContentKind::NotUtf8, start, start + invalid));
            }
            start += invalid;
        }
    }
}

/// Reads one stretch of valid text.
struct Reader<'a> {
    text: &'a [u8],
    offset: usize,
    whole: &'a [u8],
    hits: &'a mut Vec<Hit>,
    /// How many of each kind and risk there were: no more are kept than are told.
    seen: &'a mut Vec<(ContentKind, Risk, usize)>,
}

impl Reader<'_> {
    fn push(&mut self, kind: ContentKind, start: usize, end: usize, risk: Risk) {
        match self.seen.iter_mut().find(|(seen, at, _)| *seen == kind && *at == risk) {
            Some((_, _, count)) if *count >= FINDINGS_OF_A_KIND => return,
            Some((_, _, count)) => *count += 1,
            None => self.seen.push((kind, risk, 1)),
        }
        let range = SourceRange::new(self.offset + start, self.offset + end);
        self.hits.push(Hit { kind, range, risk });
    }

    fn read(&mut self, valid: &str) {
        let mut letters = valid.char_indices().peekable();
        let mut previous = '\n';
        // The line's script is asked for once, however many controls stand in it.
        let mut line: Option<(usize, bool)> = None;
        let mut selectors = 0_usize;
        let mut in_flag = false;
        let mut read_to = 0;
        while let Some((start, letter)) = letters.next() {
            let role = role(letter);
            let end = start + letter.len_utf8();
            if role == Role::Ordinary || start < read_to {
                previous = letter;
                selectors = 0;
                continue;
            }
            let next = letters.peek().map_or('\n', |(_, next)| *next);
            let inside = previous.is_ascii_alphanumeric() && next.is_ascii_alphanumeric();
            let (kind, risk) = match role {
                Role::Control => {
                    let (kind, length) = self.control(start, letter, previous, next);
                    if let Some(kind) = kind {
                        self.push(kind, start, start + length, kind.risk());
                    }
                    read_to = start + length;
                    previous = letter;
                    continue;
                }
                Role::Override => high(ContentKind::BidirectionalControl),
                Role::Embedding | Role::Mark => {
                    let right_to_left = match line {
                        Some((line_end, answer)) if start < line_end => answer,
                        _ => {
                            let (line_end, answer) = line_direction(valid, start);
                            line = Some((line_end, answer));
                            answer
                        }
                    };
                    match role {
                        _ if right_to_left => low(ContentKind::DirectionMark),
                        // A mark moves nothing in a line of one direction, unless it is a letter
                        // more in a word.
                        Role::Mark if inside => high(ContentKind::HiddenCharacter),
                        Role::Mark => low(ContentKind::InvisibleCharacter),
                        _ => high(ContentKind::BidirectionalControl),
                    }
                }
                Role::Selector => {
                    selectors += 1;
                    // Before it stands what it styles: a picture, a sign, an ideograph, a digit
                    // of a key cap.
                    let styled = !previous.is_ascii() || matches!(previous, '0'..='9' | '#' | '*');
                    if selectors >= SELECTOR_RUN || (inside && !styled) {
                        high(ContentKind::HiddenCharacter)
                    } else if styled {
                        previous = letter;
                        continue;
                    } else {
                        low(ContentKind::InvisibleCharacter)
                    }
                }
                Role::Tag => {
                    // Flags of regions are a black flag with tags behind it.
                    in_flag = previous == '\u{1f3f4}' || (in_flag && is_flag_tag(previous));
                    if in_flag {
                        previous = letter;
                        continue;
                    }
                    high(ContentKind::HiddenCharacter)
                }
                Role::Joiner if !previous.is_ascii() || !next.is_ascii() => {
                    previous = letter;
                    continue;
                }
                Role::OtherInvisible if self.offset + start == 0 && letter == '\u{feff}' => {
                    low(ContentKind::InvisibleCharacter)
                }
                Role::Joiner | Role::OtherInvisible if inside => high(ContentKind::HiddenCharacter),
                Role::Space => low(ContentKind::UnusualSpace),
                _ => low(ContentKind::InvisibleCharacter),
            };
            self.push(kind, start, end, risk);
            // What stands around several in a row is what stands around each.
            if !matches!(role, Role::Joiner | Role::OtherInvisible | Role::Mark) {
                previous = letter;
            }
        }
    }

    /// What a control character does, and how many bytes belong to it.
    fn control(
        &self,
        start: usize,
        letter: char,
        previous: char,
        next: char,
    ) -> (Option<ContentKind>, usize) {
        let kind = match letter {
            '\0' => ContentKind::NulByte,
            '\u{1b}' => return self.escape_sequence(start),
            '\u{8}' => ContentKind::OverwritingCharacter,
            // Before a line feed it is a line's end, and after one it covers nothing.
            '\r' if matches!(next, '\n' | '\r') || previous == '\n' => return (None, 1),
            '\r' if self.offset + start + 1 >= self.whole.len() => return (None, 1),
            '\r' => ContentKind::OverwritingCharacter,
            // Introducers of sequences in one byte, and of texts that a terminal swallows.
            '\u{90}' | '\u{98}' | '\u{9b}' | '\u{9d}'..='\u{9f}' => ContentKind::TerminalEscape,
            _ => ContentKind::ControlCharacter,
        };
        (Some(kind), letter.len_utf8())
    }

    /// ECMA-48: `ESC [ parameters final`; only `m`, without concealment, is harmless.
    fn escape_sequence(&self, start: usize) -> (Option<ContentKind>, usize) {
        let rest = self.text.get(start + 1..).unwrap_or_default();
        let Some(parameters) = rest.strip_prefix(b"[") else {
            return (Some(ContentKind::TerminalEscape), 1);
        };
        let length = parameters
            .iter()
            .take(SEQUENCE_MAX)
            .take_while(|byte| matches!(byte, b'0'..=b'?' | b' '..=b'/'))
            .count();
        let colours = parameters.get(..length).unwrap_or_default();
        let conceals = colours.split(|byte| *byte == b';').any(|part| part == b"8");
        match parameters.get(length) {
            Some(b'm') if !conceals => (Some(ContentKind::TerminalColour), length + 3),
            _ => (Some(ContentKind::TerminalEscape), length + 2),
        }
    }
}

const fn high(kind: ContentKind) -> (ContentKind, Risk) {
    (kind, Risk::High)
}

const fn low(kind: ContentKind) -> (ContentKind, Risk) {
    (kind, Risk::Low)
}

const fn is_flag_tag(letter: char) -> bool {
    matches!(letter, '\u{e0020}'..='\u{e007e}')
}

/// Where the line of a position ends, and whether letters in it are written from right to left
/// and every embedding in it is closed.
fn line_direction(text: &str, position: usize) -> (usize, bool) {
    let bytes = text.as_bytes();
    let before = bytes.get(..position).unwrap_or_default();
    let begin = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |index| index + 1);
    let after = bytes.get(position..).unwrap_or_default();
    let end = after.iter().position(|byte| *byte == b'\n').map_or(text.len(), |at| position + at);
    let mut right_to_left = false;
    let mut depth = 0_usize;
    let mut closed_once_too_often = false;
    for letter in text.get(begin..end).unwrap_or_default().chars() {
        match letter {
            '\u{202a}' | '\u{202b}' | '\u{2066}'..='\u{2068}' => depth += 1,
            '\u{202c}' | '\u{2069}' if depth == 0 => closed_once_too_often = true,
            '\u{202c}' | '\u{2069}' => depth -= 1,
            _ if is_right_to_left(letter) => right_to_left = true,
            _ => {}
        }
    }
    (end, right_to_left && depth == 0 && !closed_once_too_often)
}

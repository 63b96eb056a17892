//! A judged text with findings underlined, as compilers show theirs.

use ctrlz_policy::{Finding, SourceRange, redact_bytes};

use super::verdict::{in_colour, shown_subject};
use super::visible::push_visible;
use super::{Style, visible};

/// How many columns of a line are shown at most.
const WIDEST: usize = 120;
/// How many columns are shown before the first underlined one of a line that is too wide.
const BEFORE: usize = 30;

/// Prints every finding below the words that caused it. `name` is what people know the text by.
pub(crate) fn print_excerpts(name: &str, text: &[u8], findings: &[Finding], style: Style) {
    let shown = Shown::of(text);
    let mut places: Vec<(Place, &Finding)> =
        findings.iter().map(|finding| (shown.place(finding.range), finding)).collect();
    // In the order of the text; at one place, the gravest first.
    places.sort_by(|(one, a), (other, b)| {
        (one.line, one.first).cmp(&(other.line, other.first)).then(b.risk.cmp(&a.risk))
    });
    let margin = places.last().map_or(1, |(place, _)| (place.line + 1).to_string().len());
    let bar = style.dim(&format!("{:margin$} |", ""));
    let mut above: Option<(usize, usize)> = None;
    for (place, finding) in places {
        let line = shown.lines.get(place.line).map(String::as_str).unwrap_or_default();
        let window = Window::of(line, place.first, place.last);
        if above != Some((place.line, window.from)) {
            above = Some((place.line, window.from));
            let at = format!("{}:{}:{}", visible(name), place.line + 1, place.column);
            println!("{}", style.dim(&format!("{:margin$}--> {at}", "")));
            println!("{} {}", style.dim(&format!("{:>margin$} |", place.line + 1)), window.text);
        }
        let carets = "^".repeat(window.last.saturating_sub(window.first).max(1));
        let subject = shown_subject(finding);
        let about = if subject.is_empty() { String::new() } else { format!(" ({subject})") };
        let told = format!("{carets} {}[{}]", finding.risk, finding.rule);
        let indent = " ".repeat(window.first);
        println!(
            "{bar} {indent}{}: {}{about}",
            in_colour(finding.risk, &told, style),
            finding.reason
        );
        println!("{bar} {indent}{}", style.dim(&format!("instead: {}", finding.hint)));
    }
}

/// Where a finding is shown: a line, from 0, and columns of the line as it is shown, from 0.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    line: usize,
    first: usize,
    last: usize,
    /// The column as people and editors count it in the text itself, in characters from 1.
    column: usize,
}

/// A text without secrets and without characters that steer terminals, and where each of its
/// bytes went.
struct Shown {
    lines: Vec<String>,
    /// For every byte of the original, and for its end: line and column.
    places: Vec<(u32, u32)>,
    /// The number of the character in its line, from 1.
    columns: Vec<u32>,
}

impl Shown {
    fn of(original: &[u8]) -> Self {
        let redacted = redact_bytes(original);
        let origin = origins(original, &redacted);
        let mut shown = Self {
            lines: vec![String::new()],
            places: vec![(0, 0); original.len() + 1],
            columns: Vec::new(),
        };
        let (mut line, mut column) = (0_u32, 0_u32);
        let mut next = 0;
        for (at, c) in characters(&redacted) {
            let from = origin.get(at).copied().unwrap_or(original.len());
            if from >= next {
                shown.fill(next, from);
                shown.set(from, line, column);
                next = from + 1;
            }
            if c == Ok('\n') {
                (line, column) = (line + 1, 0);
                shown.lines.push(String::new());
                continue;
            }
            let Some(text) = shown.lines.last_mut() else { continue };
            let before = text.len();
            match c {
                Ok('\t') => text.push_str("    "),
                Ok(c) => push_visible(text, c),
                Err(byte) => text.push_str(&format!("\\x{byte:02x}")),
            }
            let width: usize = text.get(before..).unwrap_or_default().chars().map(width).sum();
            column += u32::try_from(width).unwrap_or(0);
        }
        shown.fill(next, original.len());
        shown.set(original.len(), line, column);
        shown.columns = character_columns(original);
        shown
    }

    /// Bytes inside a character, or inside what was taken out, stand where it begins.
    fn fill(&mut self, from: usize, to: usize) {
        let before = from.checked_sub(1).and_then(|before| self.places.get(before).copied());
        for place in self.places.get_mut(from..to).unwrap_or_default() {
            *place = before.unwrap_or_default();
        }
    }

    fn set(&mut self, at: usize, line: u32, column: u32) {
        if let Some(place) = self.places.get_mut(at) {
            *place = (line, column);
        }
    }

    fn place(&self, range: SourceRange) -> Place {
        let whole = (0, 0);
        let end = self.places.len().saturating_sub(1);
        let (start, stop) = (range.start.min(end), range.end.min(end));
        let (line, first) = self.places.get(start).copied().unwrap_or(whole);
        let (last_line, last) = self.places.get(stop).copied().unwrap_or(whole);
        let wide = |line: u32| {
            let text = self.lines.get(line as usize).map(String::as_str).unwrap_or_default();
            text.chars().map(width).sum::<usize>()
        };
        // What goes on in other lines is underlined to the end of its first.
        let last = if last_line > line { wide(line) } else { last as usize };
        Place {
            line: line as usize,
            first: first as usize,
            last: last.max(first as usize),
            column: self.columns.get(start).copied().unwrap_or(1) as usize,
        }
    }
}

/// The characters of a text with their places, and bytes that belong to none.
fn characters(text: &[u8]) -> impl Iterator<Item = (usize, Result<char, u8>)> {
    let mut at = 0;
    text.utf8_chunks().flat_map(move |chunk| {
        let start = at;
        at += chunk.valid().len() + chunk.invalid().len();
        let broken = start + chunk.valid().len();
        let valid = chunk.valid().char_indices().map(move |(offset, c)| (start + offset, Ok(c)));
        let invalid = chunk.invalid().iter().enumerate();
        valid.chain(invalid.map(move |(offset, byte)| (broken + offset, Err(*byte))))
    })
}

fn character_columns(text: &[u8]) -> Vec<u32> {
    let mut columns = vec![1; text.len() + 1];
    let mut column = 1;
    let mut next = 0;
    for (at, c) in characters(text) {
        for place in columns.get_mut(next..=at).unwrap_or_default() {
            *place = column;
        }
        next = at + 1;
        column = if c == Ok('\n') { 1 } else { column + 1 };
    }
    for place in columns.get_mut(next..).unwrap_or_default() {
        *place = column;
    }
    columns
}

/// The sign that redaction leaves begins and ends with these.
const TAKEN_OUT: (&[u8], &[u8]) = ("‹redacted: ".as_bytes(), "›".as_bytes());

/// For every byte of `redacted`, the byte of `original` that it stands for. What stands between
/// the signs of redaction is found again in the original, in order.
fn origins(original: &[u8], redacted: &[u8]) -> Vec<usize> {
    let same = redacted.iter().zip(original).take_while(|(one, other)| one == other).count();
    let mut origins: Vec<usize> = (0..same).collect();
    let (mut at, mut from) = (same, same);
    while at < redacted.len() {
        let rest = redacted.get(at..).unwrap_or_default();
        let sign = sign_length(rest).unwrap_or(0);
        origins.extend(std::iter::repeat_n(from, sign));
        at += sign;
        let rest = redacted.get(at..).unwrap_or_default();
        let kept = (0..rest.len())
            .find(|start| sign_length(rest.get(*start..).unwrap_or_default()).is_some())
            .unwrap_or(rest.len());
        if kept == 0 {
            continue;
        }
        let literal = rest.get(..kept).unwrap_or_default();
        let left = original.get(from..).unwrap_or_default();
        let found =
            if kept == rest.len() { left.len().checked_sub(kept) } else { position(left, literal) };
        let start = from + found.unwrap_or(0);
        origins.extend((start..start + kept).map(|place| place.min(original.len())));
        at += kept;
        from = (start + kept).min(original.len());
    }
    origins
}

fn sign_length(text: &[u8]) -> Option<usize> {
    let inside = text.strip_prefix(TAKEN_OUT.0)?;
    let end = position(inside.get(..64.min(inside.len()))?, TAKEN_OUT.1)?;
    Some(TAKEN_OUT.0.len() + end + TAKEN_OUT.1.len())
}

fn position(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len().max(1)).position(|window| window == part)
}

/// How many columns of a terminal a character takes (Unicode's East Asian Width, roughly).
fn width(c: char) -> usize {
    match c {
        '\u{300}'..='\u{36f}' | '\u{20d0}'..='\u{20ff}' => 0,
        '\u{1100}'..='\u{115e}'
        | '\u{2e80}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe4f}'
        | '\u{ff01}'..='\u{ff60}'
        | '\u{1f300}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

/// A part of a line around what is underlined in it.
struct Window {
    text: String,
    from: usize,
    first: usize,
    last: usize,
}

impl Window {
    fn of(line: &str, first: usize, last: usize) -> Self {
        let whole: usize = line.chars().map(width).sum();
        if whole <= WIDEST {
            return Self { text: line.to_owned(), from: 0, first, last };
        }
        let from = if first < WIDEST - BEFORE { 0 } else { first - BEFORE };
        let mut text = if from > 0 { "…".to_owned() } else { String::new() };
        let shift = text.chars().count();
        let mut column = 0;
        for c in line.chars() {
            if column >= from && column < from + WIDEST {
                text.push(c);
            }
            column += width(c);
        }
        if column > from + WIDEST {
            text.push('…');
        }
        let place = |column: usize| column.min(from + WIDEST).saturating_sub(from) + shift;
        Self { text, from, first: place(first), last: place(last) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn underlined(text: &str, start: usize, end: usize) -> (String, String, usize) {
        let shown = Shown::of(text.as_bytes());
        let place = shown.place(SourceRange::new(start, end));
        let line = shown.lines[place.line].clone();
        let marked = " ".repeat(place.first) + &"^".repeat(place.last - place.first);
        (line, marked, place.column)
    }

    #[test]
    fn the_words_of_a_range_are_underlined() {
        assert_eq!(
            underlined("ls; rm -rf /", 4, 12),
            ("ls; rm -rf /".into(), "    ^^^^^^^^".into(), 5)
        );
        assert_eq!(underlined("a\n\trm x\n", 3, 7), ("    rm x".into(), "    ^^^^".into(), 2));
        assert_eq!(underlined("é 漢 x", 7, 8), ("é 漢 x".into(), "     ^".into(), 5));
        // To the end of the first line.
        assert_eq!(underlined("ab cd\nef", 3, 8), ("ab cd".into(), "   ^^".into(), 4));
        // Out of range is the end.
        assert_eq!(underlined("ab", 7, 9), ("ab".into(), "  ".into(), 3));
    }

    #[test]
    fn what_steers_terminals_is_shown_and_counted() {
        let (line, marked, _) = underlined("\x1b[2J rm", 5, 7);
        assert_eq!(line, "\\u{1b}[2J rm");
        assert_eq!(marked.trim_start(), "^^");
        assert_eq!(marked.len(), line.len());
        assert!(Shown::of(b"a\xffb").lines[0].contains("a\\xffb"));
    }

    #[test]
    fn secrets_are_replaced_and_what_follows_is_still_found() {
        let token = ["ghp", "_", "16C7e42F292c6912E7710c838347Ae178B4a"].concat();
        let text = format!("curl -H {token} x; curl -u {token} y; rm -rf /");
        let at = text.find("rm").unwrap();
        let (line, marked, column) = underlined(&text, at, text.len());
        assert!(!line.contains("16C7e42"), "{line}");
        assert_eq!(line.chars().count(), marked.chars().count());
        assert!(line.ends_with("rm -rf /") && marked.ends_with(" ^^^^^^^^"), "{line}\n{marked}");
        assert_eq!(column, at + 1);
    }

    #[test]
    fn a_wide_line_is_cut_around_what_is_underlined() {
        let line = format!("{}rm -rf /{}", "x".repeat(300), "y".repeat(300));
        let window = Window::of(&line, 300, 308);
        let cut: String =
            window.text.chars().skip(window.first).take(window.last - window.first).collect();
        assert_eq!(cut, "rm -rf /");
        assert!(window.text.chars().count() <= WIDEST + 2);
    }
}

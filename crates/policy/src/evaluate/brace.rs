//! Brace expansion: `{a,b}` and `{1..3}`, before any other expansion.

use crate::syntax::tree::{Part, Word};
use crate::work::Work;

/// How many words one word may become, and how deeply braces are nested.
const MOST_WORDS: usize = 512;
const DEEPEST: u32 = 8;
/// The longest word in which braces are looked for.
const LONGEST: usize = 4096;

/// A byte outside quotes, or a part that braces do not look into.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Unit<'a> {
    Byte(u8),
    Part(&'a Part),
}

/// The words that `word` becomes; none if it has no braces.
pub(crate) fn expand<'w>(word: &'w Word, work: &mut Work) -> Option<Vec<Vec<Unit<'w>>>> {
    let has_braces = word.parts.iter().any(
        |part| matches!(part, Part::Literal(text) if text.contains(&b'{') && text.len() <= LONGEST),
    );
    if !has_braces {
        return None;
    }
    let mut units = Vec::new();
    for part in &word.parts {
        match part {
            Part::Literal(text) => units.extend(text.iter().map(|byte| Unit::Byte(*byte))),
            other => units.push(Unit::Part(other)),
        }
    }
    let words = alternatives(&units, 0, work);
    (words.len() > 1).then_some(words)
}

fn alternatives<'a>(units: &[Unit<'a>], depth: u32, work: &mut Work) -> Vec<Vec<Unit<'a>>> {
    let unchanged = || vec![units.to_vec()];
    // An opening brace without an end is looked for to the end.
    let opens = units.iter().filter(|unit| matches!(unit, Unit::Byte(b'{'))).count();
    if depth > DEEPEST || !work.spend((opens + 1).saturating_mul(units.len()) / 8) {
        return unchanged();
    }
    let Some((open, close, choices)) = first_group(units) else { return unchanged() };
    work.spend(choices.len() * 8);
    let (before, after) = (units.get(..open), units.get(close + 1..));
    let (Some(before), Some(after)) = (before, after) else { return unchanged() };
    let mut middles = Vec::new();
    for choice in choices {
        middles.extend(alternatives(&choice, depth + 1, work));
        if middles.len() > MOST_WORDS {
            return unchanged();
        }
    }
    let ends = alternatives(after, depth + 1, work);
    let count = middles.len() * ends.len();
    if count > MOST_WORDS || !work.spend(count * units.len() / 2) {
        return unchanged();
    }
    let mut words = Vec::with_capacity(middles.len() * ends.len());
    for middle in &middles {
        for end in &ends {
            words.push([before, middle, end].concat());
        }
    }
    words
}

type Group<'a> = (usize, usize, Vec<Vec<Unit<'a>>>);

/// The first pair of braces that holds a comma or a sequence, and what stands between.
fn first_group<'a>(units: &[Unit<'a>]) -> Option<Group<'a>> {
    let mut open = 0;
    while let Some(offset) = units.get(open..)?.iter().position(|u| matches!(u, Unit::Byte(b'{'))) {
        open += offset;
        if let Some(group) = group_at(units, open) {
            return Some(group);
        }
        open += 1;
    }
    None
}

fn group_at<'a>(units: &[Unit<'a>], open: usize) -> Option<Group<'a>> {
    let (mut depth, mut commas) = (0_u32, Vec::new());
    for (at, unit) in units.iter().enumerate().skip(open) {
        match unit {
            Unit::Byte(b'{') => depth += 1,
            Unit::Byte(b',') if depth == 1 => commas.push(at),
            Unit::Byte(b'}') => depth -= 1,
            _ => {}
        }
        if depth > 0 {
            continue;
        }
        let inside = units.get(open + 1..at)?;
        if commas.is_empty() {
            return Some((open, at, sequence(inside)?));
        }
        let mut choices = Vec::with_capacity(commas.len() + 1);
        let mut start = open + 1;
        for end in commas.into_iter().chain([at]) {
            choices.push(units.get(start..end)?.to_vec());
            start = end + 1;
        }
        return Some((open, at, choices));
    }
    None
}

/// `1..5`, `a..e`, `1..9..2`
fn sequence<'a>(inside: &[Unit<'a>]) -> Option<Vec<Vec<Unit<'a>>>> {
    let text: Option<Vec<u8>> = inside
        .iter()
        .map(|unit| match unit {
            Unit::Byte(byte) => Some(*byte),
            Unit::Part(_) => None,
        })
        .collect();
    let text = String::from_utf8(text?).ok()?;
    let mut ends = text.split("..");
    let (from, to, step) = (ends.next()?, ends.next()?, ends.next());
    let step = step.map_or(Some(1), |step| step.parse::<i64>().ok())?.unsigned_abs().max(1);
    let single = |text: &str| <[u8; 1]>::try_from(text.as_bytes()).ok().map(|[byte]| byte);
    let (first, last, letters) = match (from.parse::<i64>(), to.parse::<i64>()) {
        (Ok(first), Ok(last)) => (first, last, false),
        _ => (i64::from(single(from)?), i64::from(single(to)?), true),
    };
    let count = first.abs_diff(last) / step + 1;
    if usize::try_from(count).ok()? > MOST_WORDS {
        return None;
    }
    let width =
        if from.starts_with('0') || to.starts_with('0') { from.len().max(to.len()) } else { 0 };
    let mut words = Vec::new();
    for index in 0..count {
        let distance = i64::try_from(index * step).ok()?;
        let value = if first <= last { first + distance } else { first - distance };
        let text = if letters {
            vec![u8::try_from(value).ok()?]
        } else {
            format!("{value:0width$}").into_bytes()
        };
        words.push(text.into_iter().map(Unit::Byte).collect());
    }
    Some(words)
}

//! Code that cannot be followed, judged by the texts that the command brings along.
//!
//! `jq -r .x <<< '{"x": "rm -rf /"}' | sh` runs what jq prints. What that is, only jq knows; but a
//! text that would destroy something stands there, and nothing else explains what it is for.

use super::programs::texts_in_quotes;
use super::value::{Taint, Value};
use super::{EffectKind, Evaluator};
use crate::source_range::SourceRange;
use crate::work::Work;

/// How many calls before the code are looked at, and how long their texts may be.
const MOST_CALLS: usize = 6;
const LONGEST: usize = 1024;
/// The longest text that is tried: what hides one command is short.
const LONGEST_TRIED: usize = 320;
/// How many texts are tried for one piece of code, and in one whole command, and how much work
/// each of them is worth.
const MOST_TEXTS: usize = 24;
const MOST_IN_ALL: u32 = 100;
const WORK_EACH: usize = 100 * super::A_COMMAND;

/// Words by which languages start programs.
const STARTERS: [&[u8]; 14] = [
    b"system",
    b"exec",
    b"spawn",
    b"popen",
    b"Popen",
    b"subprocess",
    b"child_process",
    b"shell",
    b"Process",
    b"process",
    b"qx",
    b"fork",
    b"Command",
    // A method by its name, which may be put together.
    b"send(:",
];

impl Evaluator<'_> {
    /// Keeps what a program was given to read, for code that may be made of it.
    pub(super) fn note_input(&mut self, input: &Value) {
        if input.text.len() <= LONGEST && !input.is_wholly_unknown() && !input.is_empty() {
            if self.inputs.len() >= MOST_CALLS {
                self.inputs.remove(0);
            }
            self.inputs.push(input.text.clone());
        }
    }

    /// Code of unknown text is run: the texts that stand near it are judged in its place.
    pub(super) fn guess_code(&mut self, range: SourceRange) {
        let calls = &self.found.calls;
        let recent = calls.get(calls.len().saturating_sub(MOST_CALLS)..).unwrap_or_default();
        let mut texts: Vec<Vec<u8>> = recent
            .iter()
            .flat_map(|call| &call.arguments)
            .map(|field| field.text().to_vec())
            .filter(|text| text.len() <= LONGEST && text.len() > 3)
            .collect();
        texts.extend(self.inputs.iter().cloned());
        let candidates = texts.iter().flat_map(|text| candidates(text)).take(MOST_TEXTS).collect();
        self.judge_candidates(candidates, range);
    }

    /// A program in another language that starts something which could not be followed.
    pub(crate) fn guess_from(&mut self, code: &[u8], range: SourceRange) {
        if code.len() > LONGEST {
            return;
        }
        let code = without_comments(code);
        let code = code.as_slice();
        let names = |part: &[u8]| code.windows(part.len()).any(|window| window == part);
        // The word itself may be put together.
        let joined = texts_in_quotes(code).concat();
        let put_together = |word: &[u8]| joined.windows(word.len()).any(|part| part == word);
        if code.starts_with(b"!") || STARTERS.iter().any(|word| names(word) || put_together(word)) {
            self.judge_candidates(candidates(code), range);
        }
    }

    /// A text that somebody may mean as a command.
    pub(super) fn guess_text(&mut self, text: Vec<u8>, range: SourceRange) {
        self.judge_candidates(vec![text], range);
    }

    fn judge_candidates(&mut self, candidates: Vec<Vec<u8>>, range: SourceRange) {
        if self.guessing {
            return;
        }
        self.guessing = true;
        for text in candidates {
            if self.guesses >= MOST_IN_ALL || !may_harm(&text) {
                continue;
            }
            self.guesses += 1;
            let (effects, calls, remarks) =
                (self.found.effects.len(), self.found.calls.len(), self.found.remarks.len());
            let environment = self.environment.clone();
            // A shell among the texts would read what the program itself is given.
            self.copied(self.stdin.as_ref().map_or(0, |input| input.text.len() / 16));
            let stdin = self.stdin.clone();
            let part = self.work.left().min(WORK_EACH);
            let whole = std::mem::replace(&mut self.work, Work::new(part));
            self.captured(|evaluator| evaluator.run_code(&Value::new(text, Taint::NONE), range));
            self.environment = environment;
            self.stdin = stdin;
            let done = part - self.work.left();
            self.work = whole;
            self.work.spend(done);
            // Only what destroys is believed: the rest of a text may mean anything.
            let mut at = 0;
            self.found.effects.retain(|effect| {
                at += 1;
                at <= effects || destroys(effect.kind)
            });
            self.found.calls.truncate(calls);
            self.found.remarks.truncate(remarks);
        }
        self.guessing = false;
    }
}

fn destroys(kind: EffectKind) -> bool {
    matches!(
        kind,
        EffectKind::Delete
            | EffectKind::Wipe
            | EffectKind::Overwrite
            | EffectKind::ReverseShell
            | EffectKind::BindShell
            | EffectKind::NetworkCode
            | EffectKind::Exhaust
            | EffectKind::Permission
            | EffectKind::Owner
    )
}

/// The texts that a text holds: in quotes, in quotes within quotes, behind a mark, and all of
/// those in quotes in a row, as a list of arguments has them.
fn candidates(text: &[u8]) -> Vec<Vec<u8>> {
    let quoted = texts_in_quotes(text);
    let mut found = quoted.clone();
    for inner in &quoted {
        found.extend(texts_in_quotes(inner));
    }
    if quoted.len() > 1 {
        found.push(quoted.join(&b' '));
        found.push(quoted.concat());
    }
    let decoded: Vec<Vec<u8>> = quoted.iter().filter_map(|inner| decoded(inner)).collect();
    found.extend(decoded);
    if let [b's', delimiter, rest @ ..] = text
        && delimiter.is_ascii_punctuation()
    {
        found.extend(rest.split(|byte| byte == delimiter).map(<[u8]>::to_vec));
    }
    let bare = text.trim_ascii();
    found.push(bare.strip_prefix(b"!").unwrap_or(bare).to_vec());
    // What stands behind a word may be all that is left of the text.
    let spaces = bare.iter().enumerate().filter(|(_, byte)| byte.is_ascii_whitespace());
    found.extend(spaces.take(8).map(|(at, _)| bare.get(at + 1..).unwrap_or_default().to_vec()));
    found
}

/// What a text in hexadecimal digits or base64 says, if that can be read.
fn decoded(text: &[u8]) -> Option<Vec<u8>> {
    if text.len() < 8 {
        return None;
    }
    let hexadecimal = text.len().is_multiple_of(2) && text.iter().all(u8::is_ascii_hexdigit);
    let base64 = || {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=-_".contains(byte);
        text.iter().all(plain).then(|| super::filters::base64(text)).flatten()
    };
    let bytes = if hexadecimal {
        let digit =
            |byte: u8| char::from(byte).to_digit(16).map_or(0, |digit| digit.to_le_bytes()[0]);
        let pair = |pair: &[u8]| Some(digit(*pair.first()?) << 4 | digit(*pair.last()?));
        text.chunks(2).filter_map(pair).collect()
    } else {
        base64()?
    };
    bytes.iter().all(|byte| (b' '..=b'~').contains(byte) || *byte == b'\n').then_some(bytes)
}

/// The lines of a program that do something.
fn without_comments(code: &[u8]) -> Vec<u8> {
    let lines = code.split(|byte| *byte == b'\n').filter(|line| {
        let line = line.trim_ascii_start();
        !line.starts_with(b"#") && !line.starts_with(b"//") && !line.starts_with(b"-- ")
    });
    lines.collect::<Vec<_>>().join(&b'\n')
}

/// Whether a text may be a command at all that is worth a try.
fn may_harm(text: &[u8]) -> bool {
    const MARKS: [&[u8]; 16] = [
        b"rm ", b"dd ", b"mkfs", b"shred", b"chmod", b"chown", b"find ", b"wipefs", b"/dev/",
        b"nc ", b"ncat", b"curl", b"wget", b"mv ", b"|", b"bash",
    ];
    (5..=LONGEST_TRIED).contains(&text.len())
        && !text.contains(&b'\n')
        && MARKS.iter().any(|mark| text.windows(mark.len()).any(|part| part == *mark))
}

/// A text with usual spaces in place of the unusual ones that it has, if it has any.
pub(super) fn with_plain_spaces(text: &[u8]) -> Option<Vec<u8>> {
    if text.is_ascii() && !text.contains(&b' ') {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    let unusual = |letter: char| letter.is_whitespace() || letter == '\u{2800}';
    text.contains(unusual).then(|| text.replace(unusual, " ").into_bytes())
}

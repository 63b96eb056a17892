//! What a program in another language does with its arguments, when a command brings both along:
//! `python3 - /etc <<< 'import shutil, sys; shutil.rmtree(sys.argv[1])'`.
//!
//! Where what is done depends on something unknown, and the program reads its arguments, these are
//! tried in its place, besides leaving it unknown.

use crate::effect::{Effect, EffectKind, Target, UNKNOWN};
use crate::evaluate::value::Value;
use crate::path_class::PathClass;
use crate::script::Act;

/// How many arguments are tried, and how long they may be together.
const MOST: usize = 8;
const LONGEST: usize = 4096;
/// How many acts are made of those that there are.
const MOST_ACTS: usize = 64;

/// Words by which languages read the arguments of a program.
const WORDS: [&[u8]; 9] = [
    b"argv",
    b"ARGV",
    b"argparse",
    b"OptionParser",
    b"click",
    b"shift",
    b"fileinput",
    b"getopt",
    b"parseArgs",
];

/// The acts, and after each that depends on something unknown the same with the arguments.
pub(super) fn with_arguments(acts: Vec<Act>, code: &[u8], given: &[Value]) -> Vec<Act> {
    let given: Vec<&[u8]> = given.iter().map(|value| value.text.as_slice()).take(MOST).collect();
    let reads = || WORDS.iter().any(|word| code.windows(word.len()).any(|part| part == *word));
    let length: usize = given.iter().map(|text| text.len()).sum();
    if given.is_empty() || length > LONGEST || !reads() {
        return acts;
    }
    let all = given.join(&b' ');
    let mut each: Vec<&[u8]> = given.clone();
    if given.len() > 1 {
        each.push(&all);
    }
    let mut result = Vec::with_capacity(acts.len());
    let mut left = MOST_ACTS;
    for act in acts {
        let made = made_of(&act, &given, &each);
        result.push(act);
        let taken = made.len().min(left);
        left -= taken;
        result.extend(made.into_iter().take(taken));
    }
    result
}

/// What an act would be with the arguments in the place of what is unknown.
fn made_of(act: &Act, given: &[&[u8]], each: &[&[u8]]) -> Vec<Act> {
    match act {
        Act::Shell { text, range } if text.contains(&UNKNOWN) => {
            let texts = each.iter().map(|argument| filled(text, argument));
            texts.map(|text| Act::Shell { text, range: *range }).collect()
        }
        Act::Program { arguments, range } if arguments.iter().any(|it| it.contains(&UNKNOWN)) => {
            // Where one of its words is unknown, any argument may stand there; or all of them.
            let one = given.iter().map(|argument| {
                arguments.iter().map(|text| filled(text, argument)).collect::<Vec<_>>()
            });
            let all = arguments.iter().flat_map(|text| match text.as_slice() {
                [UNKNOWN] => given.iter().map(|argument| argument.to_vec()).collect(),
                _ => vec![text.clone()],
            });
            let ways = one.chain([all.collect()]);
            ways.map(|arguments| Act::Program { arguments, range: *range }).collect()
        }
        Act::Effect(effect) => match &effect.target {
            Target::Path { path, .. } if path.contains('\0') => {
                let paths = given.iter().map(|argument| filled(path.as_bytes(), argument));
                let act = |path: Vec<u8>| {
                    let path = String::from_utf8_lossy(&path).into_owned();
                    let target = Target::Path { path, class: PathClass::Unknown };
                    Act::Effect(Effect { target, ..effect.clone() })
                };
                paths.map(act).collect()
            }
            // A command that nobody knows.
            _ if effect.kind == EffectKind::ComputedCode => each
                .iter()
                .map(|argument| Act::Shell { text: argument.to_vec(), range: effect.range })
                .collect(),
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

/// A text with an argument wherever something in it is unknown; `$ARGV[0]` is so with its number.
fn filled(text: &[u8], argument: &[u8]) -> Vec<u8> {
    let mut parts = text.split(|byte| *byte == UNKNOWN);
    let first = parts.next().unwrap_or_default();
    let rest = parts.flat_map(|part| [argument, without_index(part)]);
    [first].into_iter().chain(rest).collect::<Vec<_>>().concat()
}

fn without_index(text: &[u8]) -> &[u8] {
    match text {
        [b'[', digit, b']', rest @ ..] if digit.is_ascii_digit() => rest,
        text => text,
    }
}

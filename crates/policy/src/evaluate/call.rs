//! One call of a program: its name, its arguments, and how options are told from operands.

use super::expand::Field;
use crate::effect::Qualities;
use crate::source_range::SourceRange;

/// One call of a program.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// The program's name, without folders.
    pub(crate) name: String,
    pub(crate) arguments: Vec<Field>,
    /// How everything is done here.
    pub(crate) qualities: Qualities,
    /// The name and the arguments.
    pub(crate) range: SourceRange,
    /// Where the name stands.
    pub(crate) name_range: SourceRange,
}

/// Options with their values, and the rest.
#[derive(Debug, Default)]
pub(crate) struct Options<'a> {
    /// `-x` as one letter, `--long` and `-long` as words without the dashes.
    given: Vec<(Vec<u8>, Option<Field>)>,
    pub(crate) operands: Vec<&'a Field>,
}

impl Call {
    /// Tells options from operands as getopt_long(3) does. `letters` are the short options that
    /// take a value, `words` the long ones whose value may stand in the next argument.
    pub(crate) fn options(&self, letters: &str, words: &[&str]) -> Options<'_> {
        Options::read(&self.arguments, letters, words, false)
    }

    /// The same, but the first operand ends the options: what follows belongs to another program.
    pub(crate) fn options_before_operands(&self, letters: &str, words: &[&str]) -> Options<'_> {
        Options::read(&self.arguments, letters, words, true)
    }
}

impl<'a> Options<'a> {
    pub(crate) fn read(
        arguments: &'a [Field],
        letters: &str,
        words: &[&str],
        stop_at_operand: bool,
    ) -> Self {
        let mut options = Self::default();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let text = argument.text();
            if text == b"--" {
                options.operands.extend(rest);
                break;
            }
            if let Some(long) = text.strip_prefix(b"--") {
                let (name, value) = match long.iter().position(|byte| *byte == b'=') {
                    Some(at) => (long.get(..at).unwrap_or_default(), Some(cut(argument, at + 3))),
                    None => (long, None),
                };
                let takes_next =
                    value.is_none() && words.iter().any(|word| word.as_bytes() == name);
                let value = if takes_next { rest.next().cloned() } else { value };
                options.given.push((name.to_vec(), value));
                continue;
            }
            match text.strip_prefix(b"-") {
                Some(cluster) if !cluster.is_empty() => {
                    // Some programs have long options with one dash.
                    if let Some(word) =
                        words.iter().find(|word| word.len() > 1 && word.as_bytes() == cluster)
                    {
                        options.given.push((word.as_bytes().to_vec(), rest.next().cloned()));
                        continue;
                    }
                    for (at, letter) in cluster.iter().enumerate() {
                        let takes_value = letters.as_bytes().contains(letter);
                        let value = match (takes_value, at + 1 < cluster.len()) {
                            (false, _) => None,
                            (true, true) => Some(cut(argument, at + 2)),
                            (true, false) => rest.next().cloned(),
                        };
                        options.given.push((vec![*letter], value));
                        if takes_value {
                            break;
                        }
                    }
                }
                _ => {
                    options.operands.push(argument);
                    if stop_at_operand {
                        options.operands.extend(rest);
                        break;
                    }
                }
            }
        }
        options
    }

    /// Whether one of these is given: `"r|R|recursive"`. A long option may be shortened.
    pub(crate) fn has(&self, names: &str) -> bool {
        self.given.iter().any(|(given, _)| names.split('|').any(|name| is(given, name)))
    }

    /// The value of the last of these that is given.
    pub(crate) fn value(&self, names: &str) -> Option<&Field> {
        self.values(names).last()
    }

    /// The values of all of these.
    pub(crate) fn values(&self, names: &str) -> impl Iterator<Item = &Field> {
        self.given
            .iter()
            .filter(move |(given, _)| names.split('|').any(|name| is(given, name)))
            .filter_map(|(_, value)| value.as_ref())
    }

    /// How often it is given.
    pub(crate) fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.given.iter().map(|(name, _)| name.as_slice())
    }
}

/// Long options may be shortened as long as they stay clear; three letters are.
fn is(given: &[u8], name: &str) -> bool {
    given == name.as_bytes()
        || given.len() >= 3 && name.len() > given.len() && name.as_bytes().starts_with(given)
}

/// The part of an argument from byte `start` on.
pub(crate) fn cut(argument: &Field, start: usize) -> Field {
    let mut part = argument.clone();
    part.value.text = argument.text().get(start..).unwrap_or_default().to_vec();
    part
}

//! Whether a rule applies.

use std::borrow::Cow;

use super::Rule;
use super::text::Text;
use crate::context::Context;
use crate::effect::{Effect, Target, UNKNOWN};
use crate::evaluate::{Call, matches_pattern};

impl Rule {
    /// Whether it is about this effect.
    pub(crate) fn is_about(&self, effect: &Effect, context: &Context) -> bool {
        let qualities = effect.qualities;
        if !qualities.has(self.with) || qualities.has_any(self.without) {
            return false;
        }
        if self.with_any != crate::effect::Qualities::NONE && !qualities.has_any(self.with_any) {
            return false;
        }
        match &effect.target {
            Target::Path { path, class } => {
                if !self.hosts.is_empty()
                    || !self.classes.is_empty() && !self.classes.contains(*class)
                {
                    return false;
                }
                if self.paths.is_empty() && self.not_paths.is_empty() {
                    return true;
                }
                (self.paths.is_empty() || is_at(&self.paths, path, context))
                    && !is_at(&self.not_paths, path, context)
            }
            Target::Host(host) => {
                self.no_place()
                    && self.named.is_empty()
                    && (self.hosts.is_empty()
                        || any(&self.hosts, host.to_ascii_lowercase().as_bytes()))
            }
            Target::Name(name) => {
                self.no_place()
                    && self.hosts.is_empty()
                    && (self.named.is_empty() || any(&self.named, name.as_bytes()))
            }
            Target::None => self.no_place() && self.hosts.is_empty() && self.named.is_empty(),
        }
    }

    fn no_place(&self) -> bool {
        self.classes.is_empty() && self.paths.is_empty()
    }

    /// Whether it is about this call; its program's name fits already, unless that is a pattern.
    pub(crate) fn is_about_call(&self, call: &Call) -> bool {
        if !any(&self.programs, call.name.as_bytes())
            || any(&self.not_programs, call.name.as_bytes())
        {
            return false;
        }
        if call.qualities.has_any(self.without) || !call.qualities.has(self.with) {
            return false;
        }
        let arguments = || call.arguments.iter().map(|field| field.text());
        let first = || arguments().find(|text| !text.starts_with(b"-"));
        let some = |patterns: &[Text]| arguments().any(|text| any(patterns, text));
        let some_part = |patterns: &[Text]| {
            arguments().any(|text| {
                any(patterns, text)
                    || text
                        .iter()
                        .position(|byte| *byte == b'=')
                        .and_then(|at| text.get(at + 1..))
                        .is_some_and(|value| any(patterns, value))
            })
        };
        let tries = |text: &[u8]| {
            text.starts_with(b"--dry-run") || matches!(text, b"--dryrun" | b"--noop" | b"--what-if")
        };
        (self.words.is_empty() || first().is_some_and(|text| any(&self.words, text)))
            && (self.any_words.is_empty() || some(&self.any_words))
            && !some(&self.not_words)
            && (self.options.is_empty() || self.options.iter().any(|option| given(call, option)))
            && self.all_options.iter().all(|option| given(call, option))
            && !self.not_options.iter().any(|option| given(call, option))
            && (self.arguments.is_empty() || some_part(&self.arguments))
            && self.all_arguments.iter().all(|pattern| some_part(std::slice::from_ref(pattern)))
            && !some(&self.not_arguments)
            && !(self.risk >= ctrlz_core::verdict::Risk::Medium && arguments().any(tries))
    }
}

fn any(patterns: &[Text], text: &[u8]) -> bool {
    // What nobody knows is nothing in particular.
    if text == [UNKNOWN] {
        return patterns.iter().any(|pattern| &**pattern == "*");
    }
    patterns.iter().any(|pattern| {
        let pattern = pattern.as_bytes();
        // Most differ at once.
        let (wanted, first) = (pattern.first(), text.first());
        let is_sign = |byte: &u8| matches!(*byte, b'*' | b'?' | b'[' | b'\\' | UNKNOWN);
        if wanted != first && !wanted.is_some_and(is_sign) && first != Some(&UNKNOWN) {
            return false;
        }
        if pattern.iter().any(|byte| matches!(byte, b'*' | b'?' | b'[')) {
            matches_pattern(pattern, text)
        } else {
            pattern == text
        }
    })
}

/// Whether a path is at one of the places; `./` is the workspace, `~/` every home folder.
fn is_at(places: &[Text], path: &str, context: &Context) -> bool {
    if any(places, by_home(path, context).as_bytes()) {
        return true;
    }
    let inside = || path.as_bytes().strip_prefix(context.workspace.as_slice())?.strip_prefix(b"/");
    places
        .iter()
        .filter_map(|place| place.strip_prefix("./"))
        .any(|place| inside().is_some_and(|below| matches_pattern(place.as_bytes(), below)))
}

/// Whether an option is given: as it is written, in a cluster of letters, with a value behind `=`.
fn given(call: &Call, option: &str) -> bool {
    let option = option.as_bytes();
    let letter = match option {
        [b'-', letter] if *letter != b'-' => Some(*letter),
        _ => None,
    };
    call.arguments.iter().any(|field| {
        let text = field.text();
        if text == option || option.contains(&b'*') && matches_pattern(option, text) {
            return true;
        }
        match letter {
            Some(letter) => {
                let cluster = text.strip_prefix(b"-").filter(|rest| !rest.starts_with(b"-"));
                cluster.is_some_and(|rest| {
                    // `-KILL`, `-USR1`
                    let signal = rest.len() >= 3
                        && rest.iter().all(|it| it.is_ascii_uppercase() || it.is_ascii_digit());
                    rest.len() <= 6
                        && !signal
                        && rest.iter().all(u8::is_ascii_alphanumeric)
                        && rest.contains(&letter)
                })
            }
            None => {
                let long = option.starts_with(b"--");
                long && text.strip_prefix(option).is_some_and(|rest| rest.starts_with(b"="))
            }
        }
    })
}

/// A path with `~` for whatever home folder it lies in.
fn by_home<'p>(path: &'p str, context: &Context) -> Cow<'p, str> {
    let own = std::str::from_utf8(&context.home).unwrap_or_default();
    let rest = match path.strip_prefix(own) {
        Some(rest) if own.len() > 1 => Some(rest),
        _ => path.strip_prefix("/root").or_else(|| {
            let rest = path.strip_prefix("/home/")?;
            let end = rest.find('/').unwrap_or(rest.len());
            let (name, rest) = rest.split_at(end);
            (!name.contains(['*', '?', '['])).then_some(rest)
        }),
    };
    match rest {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => Cow::Owned(format!("~{rest}")),
        _ => Cow::Borrowed(path),
    }
}

//! The words that stand for effects, places, qualities and remarks.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, IntoDeserializer, value::StrDeserializer};

use super::error::{quoted, suggestion};
use crate::effect::Qualities;

/// What `word` stands for among the variants of `T`; `kind` names them in the error.
pub(super) fn variant<'w, T: Deserialize<'w>>(word: &'w str, kind: &str) -> Result<T, String> {
    let words: StrDeserializer<'w, NoSuchWord> = word.into_deserializer();
    T::deserialize(words).map_err(|error| unknown(word, kind, error.known.iter().copied()))
}

/// All the qualities that `words` name.
pub(super) fn qualities(words: &[String]) -> Result<Qualities, String> {
    words.iter().try_fold(Qualities::NONE, |all, word| match Qualities::named(word) {
        Some(quality) => Ok(all.with(quality)),
        None => Err(unknown(word, "quality", Qualities::ALL.iter().map(|(_, name)| *name))),
    })
}

fn unknown<'w>(word: &str, kind: &str, known: impl Iterator<Item = &'w str> + Clone) -> String {
    let near = suggestion(word, known.clone());
    if near.is_empty() {
        let known: Vec<&str> = known.collect();
        return format!("{} is no {kind}; there are {}", quoted(word), known.join(", "));
    }
    format!("{} is no {kind}{near}", quoted(word))
}

/// serde's complaint, of which only the list of words is wanted.
#[derive(Debug)]
struct NoSuchWord {
    known: &'static [&'static str],
}

impl fmt::Display for NoSuchWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.known.join(", "))
    }
}

impl std::error::Error for NoSuchWord {}

impl de::Error for NoSuchWord {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self { known: &[] }
    }

    fn unknown_variant(_: &str, known: &'static [&'static str]) -> Self {
        Self { known }
    }
}

/// The word of a variant without fields.
pub(super) fn word(variant: &impl serde::Serialize) -> String {
    fmt::from_fn(|f| variant.serialize(f)).to_string()
}

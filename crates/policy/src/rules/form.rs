//! The form in which rules are written: YAML, one file a family.
//!
//! The build script reads it, too, so it knows nothing of the rest of the crate.

use serde::Deserialize;

/// One rule, as it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RuleForm {
    /// Its name, unique in its pack.
    pub id: String,
    /// `low`, `medium`, `high`, `critical`
    pub risk: String,
    /// Why it is dangerous.
    pub reason: String,
    /// What to do instead.
    pub hint: String,
    /// Effects that it is about; one is enough.
    pub effect: OneOrMore,
    /// Kinds of places; one is enough.
    pub target: OneOrMore,
    /// Patterns of the path, of which one must match; `~/` is every home folder, `./` the workspace.
    pub path: OneOrMore,
    /// Patterns of paths that it is not about.
    pub not_path: OneOrMore,
    /// Patterns of the other machine's name.
    pub host: OneOrMore,
    /// Patterns of what else the effect is done to.
    pub named: OneOrMore,
    /// Qualities that must all be there.
    pub with: OneOrMore,
    /// Qualities of which one must be there.
    pub with_any: OneOrMore,
    /// Qualities of which none may be there.
    pub without: OneOrMore,
    /// What is conspicuous about the spelling; one is enough.
    pub remark: OneOrMore,
    /// Patterns of the program's name.
    pub program: OneOrMore,
    /// Names of programs that it is not about.
    pub not_program: OneOrMore,
    /// Patterns of the first operand.
    pub word: OneOrMore,
    /// Patterns of which one must match some argument as a whole.
    pub any_word: OneOrMore,
    /// Patterns that no argument may match.
    pub not_word: OneOrMore,
    /// Options of which one must be given.
    pub option: OneOrMore,
    /// Options that must all be given.
    pub all_option: OneOrMore,
    /// Options of which none may be given.
    pub not_option: OneOrMore,
    /// Patterns of which one must match some argument, or the end of one behind `=`.
    pub argument: OneOrMore,
    /// Patterns of which each must match some argument.
    pub all_argument: OneOrMore,
    /// Patterns that no argument may match.
    pub not_argument: OneOrMore,
    /// Commands that it must match.
    #[serde(rename = "match")]
    pub matches: Vec<String>,
    /// Commands that it must not match.
    pub no_match: Vec<String>,
}

/// A text, or a list of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct OneOrMore(pub Vec<String>);

impl<'de> Deserialize<'de> for OneOrMore {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            One(String),
            More(Vec<String>),
        }
        Ok(match Form::deserialize(deserializer)? {
            Form::One(text) => Self(vec![text]),
            Form::More(texts) => Self(texts),
        })
    }
}

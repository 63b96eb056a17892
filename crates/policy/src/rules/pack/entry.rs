//! One rule or override of a pack, as it is written.

use crate::rules::form::{OneOrMore, RuleForm};

/// One rule or override, as it is written: the keys of the built-in rules and those that only
/// packs have. In an override, `form.id` is the built-in rule's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) form: RuleForm,
    /// What the program and its first arguments must be: texts, of which one fits each place.
    pub(crate) prefix: Vec<Vec<String>>,
    /// Patterns of the whole command: the program and its arguments, with a space between them.
    pub(crate) command: Vec<String>,
    /// Paths under which the program may be called besides its bare name, for `allow`.
    pub(crate) executable: Vec<String>,
    /// A condition in CEL.
    pub(crate) when: Option<String>,
    /// It vouches for what it matches.
    pub(crate) allow: bool,
}

/// Keys that ask about effects, calls, or both.
pub(super) const OF_EFFECTS: [&str; 7] =
    ["effect", "target", "path", "not_path", "host", "named", "with_any"];
/// See [`OF_EFFECTS`].
pub(super) const OF_CALLS: [&str; 13] = [
    "program",
    "not_program",
    "word",
    "any_word",
    "not_word",
    "option",
    "all_option",
    "not_option",
    "argument",
    "all_argument",
    "not_argument",
    "prefix",
    "command",
];
/// See [`OF_EFFECTS`].
pub(super) const OF_BOTH: [&str; 2] = ["with", "without"];

/// Every key of a rule.
pub(super) const OF_A_RULE: [&str; 32] = [
    "id",
    "risk",
    "reason",
    "hint",
    "effect",
    "target",
    "path",
    "not_path",
    "host",
    "named",
    "with",
    "with_any",
    "without",
    "remark",
    "program",
    "not_program",
    "word",
    "any_word",
    "not_word",
    "option",
    "all_option",
    "not_option",
    "argument",
    "all_argument",
    "not_argument",
    "match",
    "no_match",
    "prefix",
    "command",
    "executable",
    "when",
    "allow",
];

impl Entry {
    /// The texts or words of a key that holds a list of them.
    pub(super) fn list_mut(&mut self, key: &str) -> Option<&mut Vec<String>> {
        let form = &mut self.form;
        let one_or_more: &mut OneOrMore = match key {
            "effect" => &mut form.effect,
            "target" => &mut form.target,
            "path" => &mut form.path,
            "not_path" => &mut form.not_path,
            "host" => &mut form.host,
            "named" => &mut form.named,
            "with" => &mut form.with,
            "with_any" => &mut form.with_any,
            "without" => &mut form.without,
            "remark" => &mut form.remark,
            "program" => &mut form.program,
            "not_program" => &mut form.not_program,
            "word" => &mut form.word,
            "any_word" => &mut form.any_word,
            "not_word" => &mut form.not_word,
            "option" => &mut form.option,
            "all_option" => &mut form.all_option,
            "not_option" => &mut form.not_option,
            "argument" => &mut form.argument,
            "all_argument" => &mut form.all_argument,
            "not_argument" => &mut form.not_argument,
            "match" => return Some(&mut form.matches),
            "no_match" => return Some(&mut form.no_match),
            "command" => return Some(&mut self.command),
            "executable" => return Some(&mut self.executable),
            _ => return None,
        };
        Some(&mut one_or_more.0)
    }

    /// The keys that hold lists of texts, in the order in which they are written, with what they
    /// hold.
    pub(super) fn lists(&self) -> Vec<(&'static str, &[String])> {
        let form = &self.form;
        vec![
            ("effect", &form.effect.0),
            ("target", &form.target.0),
            ("path", &form.path.0),
            ("not_path", &form.not_path.0),
            ("host", &form.host.0),
            ("named", &form.named.0),
            ("with", &form.with.0),
            ("with_any", &form.with_any.0),
            ("without", &form.without.0),
            ("remark", &form.remark.0),
            ("program", &form.program.0),
            ("not_program", &form.not_program.0),
            ("word", &form.word.0),
            ("any_word", &form.any_word.0),
            ("not_word", &form.not_word.0),
            ("option", &form.option.0),
            ("all_option", &form.all_option.0),
            ("not_option", &form.not_option.0),
            ("argument", &form.argument.0),
            ("all_argument", &form.all_argument.0),
            ("not_argument", &form.not_argument.0),
            ("command", &self.command),
            ("executable", &self.executable),
        ]
    }
}

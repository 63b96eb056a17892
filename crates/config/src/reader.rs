//! Walking a document: each step knows its key path and its position, for errors.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use crate::entry::{Source, Sourced};
use crate::error::{ConfigError, Position, escaped};
use crate::profile::nearest;
use ctrlz_yaml::{Content, Mark, Node};

/// A node with the way to it.
pub(crate) struct Field<'n> {
    path: &'n Arc<Path>,
    node: &'n Node,
    name_at: Mark,
    /// The last part of the key.
    pub(crate) name: &'n str,
    /// The whole key.
    pub(crate) key: String,
}

impl<'n> Field<'n> {
    /// The document itself.
    pub(crate) fn root(path: &'n Arc<Path>, node: &'n Node) -> Self {
        Self { path, node, name_at: node.at, name: "", key: String::new() }
    }

    fn position(&self, mark: Mark) -> Position {
        Position { path: Arc::clone(self.path), line: mark.line, column: mark.column }
    }

    /// Where the value stands, as a source.
    pub(crate) fn source(&self) -> Source {
        Source::File(self.position(self.node.at))
    }

    /// The fields of a mapping; none of nothing, as when all of them are comments.
    pub(crate) fn fields(&self) -> Result<Vec<Field<'n>>, ConfigError> {
        let entries = match &self.node.content {
            Content::Mapping(entries) => entries,
            Content::Nothing => return Ok(Vec::new()),
            _ => return Err(self.wrong_type("a mapping")),
        };
        let mut seen: HashMap<&str, Mark> = HashMap::with_capacity(entries.len());
        let mut fields = Vec::with_capacity(entries.len());
        for (name, node) in entries {
            let field = Field {
                path: self.path,
                node,
                name_at: name.at,
                name: &name.text,
                key: self.key_of(&name.text),
            };
            if let Some(first) = seen.insert(&name.text, name.at) {
                return Err(field.duplicate(first.line));
            }
            fields.push(field);
        }
        Ok(fields)
    }

    /// The items of a list.
    pub(crate) fn items(&self) -> Result<Vec<Field<'n>>, ConfigError> {
        let Content::List(nodes) = &self.node.content else {
            return Err(self.wrong_type("a list"));
        };
        let item = |(index, node): (usize, &'n Node)| Field {
            path: self.path,
            node,
            name_at: node.at,
            name: self.name,
            key: format!("{}[{index}]", self.key),
        };
        Ok(nodes.iter().enumerate().map(item).collect())
    }

    /// The value, read by `read`; `expected` says what it should be.
    pub(crate) fn value<T>(
        &self,
        expected: &'static str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Sourced<T>, ConfigError> {
        let Content::Scalar { text, .. } = &self.node.content else {
            return Err(self.wrong_type(expected));
        };
        let value = read(text).map_err(|reason| self.bad_value(reason))?;
        Ok(Sourced { value, source: self.source() })
    }

    /// The value, true or false.
    pub(crate) fn switch(&self) -> Result<Sourced<bool>, ConfigError> {
        let value = match &self.node.content {
            Content::Scalar { text, plain: true } if text == "true" => true,
            Content::Scalar { text, plain: true } if text == "false" => false,
            _ => return Err(self.wrong_type("true or false")),
        };
        Ok(Sourced { value, source: self.source() })
    }

    /// Stores `value` where no other key of the file has stored one.
    pub(crate) fn put<T>(
        &self,
        slot: &mut Option<Sourced<T>>,
        value: Sourced<T>,
    ) -> Result<(), ConfigError> {
        if let Some(Sourced { source: Source::File(first), .. }) = slot {
            return Err(self.duplicate(first.line));
        }
        *slot = Some(value);
        Ok(())
    }

    /// The key path of a child, fit for a message.
    fn key_of(&self, name: &str) -> String {
        const LONGEST: usize = 60;
        let mut key = self.key.clone();
        if !key.is_empty() {
            key.push('.');
        }
        key += &escaped(&name.chars().take(LONGEST).collect::<String>());
        key
    }

    /// The error that the key is none of `known`.
    pub(crate) fn unknown(&self, known: &[&str]) -> ConfigError {
        let advice = match nearest(self.name, known.iter().copied()) {
            Some(word) => format!("did you mean `{word}`?"),
            None => format!("known here: {}", known.join(", ")),
        };
        self.unknown_with(advice)
    }

    /// The error that the key does not exist, with what to do about it.
    pub(crate) fn unknown_with(&self, advice: String) -> ConfigError {
        ConfigError::UnknownKey { at: self.position(self.name_at), key: self.key.clone(), advice }
    }

    /// The error that the value cannot be taken.
    pub(crate) fn bad_value(&self, reason: String) -> ConfigError {
        ConfigError::BadValue { at: self.position(self.node.at), key: self.key.clone(), reason }
    }

    fn duplicate(&self, first: usize) -> ConfigError {
        ConfigError::Duplicate { at: self.position(self.name_at), key: self.key.clone(), first }
    }

    fn wrong_type(&self, expected: &'static str) -> ConfigError {
        let found = match &self.node.content {
            Content::Nothing => "nothing",
            Content::Scalar { plain: true, .. } => "a word or number",
            Content::Scalar { plain: false, .. } => "a quoted text",
            Content::List(_) => "a list",
            Content::Mapping(_) => "a mapping",
        };
        ConfigError::WrongType {
            at: self.position(self.node.at),
            key: if self.key.is_empty() { "the document".to_owned() } else { self.key.clone() },
            expected,
            found,
        }
    }
}

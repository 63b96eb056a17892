//! What a shell knows while it runs: variables, functions, aliases, the folder it stands in.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use super::value::{Taint, Value};
use crate::syntax::tree::Command;

/// How many values of one variable are remembered when branches set it differently.
const MOST_ALTERNATIVES: usize = 3;

/// What a variable holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Content {
    Scalar(Value),
    /// An indexed array.
    Array(BTreeMap<i64, Value>),
    /// An associative array.
    Map(BTreeMap<Vec<u8>, Value>),
    /// Another name for a variable.
    Reference(Vec<u8>),
}

impl Content {
    /// The values, in order.
    pub(crate) fn values(&self) -> Vec<Value> {
        match self {
            Self::Scalar(value) => vec![value.clone()],
            Self::Array(values) => values.values().cloned().collect(),
            Self::Map(values) => values.values().cloned().collect(),
            Self::Reference(_) => Vec::new(),
        }
    }
}

#[derive(Debug, Clone)]
struct Variable {
    content: Content,
    /// What it may hold instead, because a branch set it.
    others: Vec<Content>,
}

/// The shell's state.
#[derive(Debug, Clone)]
pub(crate) struct Environment {
    variables: HashMap<Vec<u8>, Variable>,
    pub(crate) functions: HashMap<Vec<u8>, Rc<Command>>,
    pub(crate) aliases: HashMap<Vec<u8>, Vec<u8>>,
    /// `$0`
    pub(crate) zero: Value,
    /// `$1` and so on.
    pub(crate) positional: Vec<Value>,
    /// Whether `positional` is what the caller gave, which nobody knows.
    pub(crate) positional_unknown: bool,
    /// The folder, as a path.
    pub(crate) directory: Value,
    pub(crate) previous_directory: Value,
}

impl Environment {
    pub(crate) fn new(directory: &[u8]) -> Self {
        Self {
            variables: HashMap::new(),
            functions: HashMap::new(),
            aliases: HashMap::new(),
            zero: Value::known("bash"),
            positional: Vec::new(),
            positional_unknown: true,
            directory: Value::known(directory),
            previous_directory: Value::unknown(Taint::ENVIRONMENT),
        }
    }

    /// What `name` holds, in the `choice`-th of its possible ways.
    pub(crate) fn get(&self, name: &[u8], choice: usize) -> Option<&Content> {
        let variable = self.variables.get(name)?;
        match choice.checked_sub(1) {
            Some(other) => variable.others.get(other).or(Some(&variable.content)),
            None => Some(&variable.content),
        }
    }

    /// In how many ways `name` may be set, besides the last.
    pub(crate) fn alternatives(&self, name: &[u8]) -> usize {
        self.variables.get(name).map_or(0, |variable| variable.others.len())
    }

    /// Sets `name`; in a branch, what it held before stays possible.
    pub(crate) fn set(&mut self, name: &[u8], content: Content, in_branch: bool) {
        match self.variables.get_mut(name) {
            Some(variable) => {
                let before = std::mem::replace(&mut variable.content, content);
                if !in_branch {
                    variable.others.clear();
                } else if before != variable.content && variable.others.len() < MOST_ALTERNATIVES {
                    variable.others.push(before);
                }
            }
            None => {
                self.variables.insert(name.to_vec(), Variable { content, others: Vec::new() });
            }
        }
    }

    /// For changing a part of an array.
    pub(crate) fn get_mut(&mut self, name: &[u8]) -> Option<&mut Content> {
        self.variables.get_mut(name).map(|variable| &mut variable.content)
    }

    pub(crate) fn unset(&mut self, name: &[u8]) {
        self.variables.remove(name);
    }

    /// The names that begin with `start`, in order.
    pub(crate) fn names(&self, start: &[u8]) -> Vec<Vec<u8>> {
        let mut names: Vec<_> =
            self.variables.keys().filter(|name| name.starts_with(start)).cloned().collect();
        names.sort();
        names
    }
}

//! What a shell knows while it runs: variables, functions, aliases, the folder it stands in.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::ops::{Deref, DerefMut};
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
    /// What copying it costs.
    pub(crate) fn weight(&self) -> usize {
        let all = |values: &mut dyn Iterator<Item = &Value>| -> usize {
            values.map(|value| ENTRY + value.text.len() / 8).sum()
        };
        match self {
            Self::Scalar(value) => value.text.len(),
            Self::Array(values) => all(&mut values.values()),
            Self::Map(values) => 2 * all(&mut values.values()),
            Self::Reference(_) => ENTRY,
        }
    }

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

impl Variable {
    fn weight(&self) -> usize {
        ENTRY + self.others.iter().chain([&self.content]).map(|c| c.weight() / 8).sum::<usize>()
    }
}

/// What copying one entry of a map costs.
const ENTRY: usize = 16;

/// A map that subshells share until one of them changes it. What the copies cost is counted.
#[derive(Debug, Clone)]
pub(crate) struct Shared<V> {
    map: Rc<HashMap<Vec<u8>, V>>,
    weigh: fn(&V) -> usize,
    copied: Rc<Cell<usize>>,
}

impl<V> Shared<V> {
    fn new(weigh: fn(&V) -> usize, copied: &Rc<Cell<usize>>) -> Self {
        Self { map: Rc::default(), weigh, copied: Rc::clone(copied) }
    }

    /// All of it; nothing stays.
    pub(crate) fn emptied(&mut self) -> Self {
        let empty = Self::new(self.weigh, &self.copied);
        std::mem::replace(self, empty)
    }
}

impl<V> Deref for Shared<V> {
    type Target = HashMap<Vec<u8>, V>;

    fn deref(&self) -> &Self::Target {
        &self.map
    }
}

impl<V: Clone> DerefMut for Shared<V> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        if Rc::strong_count(&self.map) > 1 {
            let weight: usize = self.map.values().map(self.weigh).sum();
            self.copied.set(self.copied.get().saturating_add(weight));
        }
        Rc::make_mut(&mut self.map)
    }
}

/// The shell's state.
#[derive(Debug, Clone)]
pub(crate) struct Environment {
    variables: Shared<Variable>,
    pub(crate) functions: Shared<Rc<Command>>,
    pub(crate) aliases: Shared<Vec<u8>>,
    copied: Rc<Cell<usize>>,
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
        let copied = Rc::default();
        Self {
            variables: Shared::new(Variable::weight, &copied),
            functions: Shared::new(|_| ENTRY, &copied),
            aliases: Shared::new(|text| ENTRY + text.len() / 8, &copied),
            copied,
            zero: Value::known("bash"),
            positional: Vec::new(),
            positional_unknown: true,
            directory: Value::known(directory),
            previous_directory: Value::unknown(Taint::ENVIRONMENT),
        }
    }

    /// What a copy costs.
    pub(crate) fn weight(&self) -> usize {
        let positional = self.positional.iter().map(|value| ENTRY + value.text.len() / 8);
        ENTRY + positional.sum::<usize>() + self.directory.text.len() / 8
    }

    /// What copies cost since it was asked last.
    pub(crate) fn take_copied(&self) -> usize {
        self.copied.take()
    }

    /// How many variables there are.
    pub(crate) fn len(&self) -> usize {
        self.variables.len()
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
        if self.variables.contains_key(name) {
            self.variables.remove(name);
        }
    }

    /// The names that begin with `start`, in order.
    pub(crate) fn names(&self, start: &[u8]) -> Vec<Vec<u8>> {
        let mut names: Vec<_> =
            self.variables.keys().filter(|name| name.starts_with(start)).cloned().collect();
        names.sort();
        names
    }
}

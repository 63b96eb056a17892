//! The files that the commands themselves make, and what is in them.

use std::collections::HashMap;

use super::expand::Field;
use super::value::{Taint, Value};

/// Files made so far.
#[derive(Debug, Default)]
pub(crate) struct Files {
    contents: HashMap<Vec<u8>, Value>,
    /// Symbolic links: the path and what it stands for.
    links: Vec<(Vec<u8>, Vec<u8>)>,
    /// Programs of the system under another name.
    programs: HashMap<Vec<u8>, Vec<u8>>,
    pipes: usize,
}

/// How many files and links are remembered.
const MOST: usize = 512;

impl Files {
    pub(crate) fn write(&mut self, path: &[u8], content: Value) {
        if self.contents.len() < MOST {
            self.contents.insert(path.to_vec(), content);
        }
    }

    pub(crate) fn append(&mut self, path: &[u8], content: &Value) {
        match self.contents.get_mut(path) {
            Some(value) => value.push_value(content),
            None => self.write(path, content.clone()),
        }
    }

    pub(crate) fn forget(&mut self, path: &[u8]) {
        self.contents.remove(path);
    }

    pub(crate) fn read(&self, path: &[u8]) -> Option<&Value> {
        self.contents.get(path)
    }

    /// Whether the commands made no file so far.
    pub(crate) fn is_empty(&self) -> bool {
        self.contents.is_empty()
    }

    /// Whether the commands made a file of that name.
    pub(crate) fn is_made(&self, path: &[u8]) -> bool {
        self.contents.contains_key(path) || self.programs.contains_key(path)
    }

    pub(crate) fn copy(&mut self, from: &[u8], to: &[u8]) {
        if let Some(content) = self.contents.get(from).cloned() {
            self.write(to, content);
        }
    }

    /// A copy of a program of the system.
    pub(crate) fn copy_program(&mut self, from: &[u8], to: &[u8]) {
        if self.programs.len() < MOST {
            self.programs.insert(to.to_vec(), from.to_vec());
        }
    }

    pub(crate) fn program(&self, path: &[u8]) -> Option<&[u8]> {
        self.programs.get(path).map(Vec::as_slice)
    }

    pub(crate) fn link(&mut self, path: &[u8], target: &[u8]) {
        if self.links.len() < MOST {
            self.links.push((path.to_vec(), target.to_vec()));
        }
    }

    /// How many links there are to follow.
    pub(crate) fn links(&self) -> usize {
        self.links.len()
    }

    /// The path with a link at its start replaced by what the link stands for.
    pub(crate) fn followed(&self, path: &[u8]) -> Option<Vec<u8>> {
        self.links.iter().rev().find_map(|(link, target)| {
            let rest = path.strip_prefix(link.as_slice())?;
            (rest.is_empty() || rest.starts_with(b"/")).then(|| [target.as_slice(), rest].concat())
        })
    }

    /// A name for something that is read through a descriptor.
    pub(crate) fn pipe(&mut self, content: Value) -> Value {
        self.pipes += 1;
        let path = format!("/dev/fd/{}", 62 + self.pipes);
        self.write(path.as_bytes(), content);
        Value::known(path)
    }

    /// One file of those that a pattern matches: the pattern stands for it.
    pub(crate) fn some_of(&self, field: &Field) -> Value {
        field.value.clone().tainted(Taint::NONE)
    }
}

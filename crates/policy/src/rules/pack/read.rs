//! From the text of a pack to its entries, each with its lines.

use super::entry::{Entry, OF_A_RULE};
use super::error::{PackError, quoted, suggestion};
use ctrlz_yaml::{Content, Limits, Mark, Name, Node};

/// More values than any pack has.
const LIMITS: Limits = Limits { noun: "pack", most_nodes: 200_000 };

/// What a pack's text holds.
#[derive(Debug, Default)]
pub(super) struct Document {
    pub(super) rules: Vec<Written>,
    pub(super) overrides: Vec<Written>,
    pub(super) notes: Vec<String>,
}

/// An entry and where it stands.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) entry: Entry,
    pub(super) line: usize,
    /// The keys that are there, and their lines.
    pub(super) keys: Vec<(String, usize)>,
}

impl Written {
    pub(super) fn has(&self, key: &str) -> bool {
        self.keys.iter().any(|(name, _)| name == key)
    }

    /// An error about a key of this entry.
    pub(super) fn error(&self, pack: &str, key: &str, message: impl Into<String>) -> PackError {
        let of_key = self.keys.iter().rfind(|(name, _)| name == key);
        PackError {
            pack: pack.to_owned(),
            line: of_key.map_or(self.line, |(_, line)| *line),
            rule: (!self.entry.form.id.is_empty()).then(|| self.entry.form.id.clone()),
            key: (!key.is_empty()).then(|| key.to_owned()),
            message: message.into(),
        }
    }
}

/// Reads the text of a pack.
pub(super) fn document(pack: &str, text: &str) -> Result<Document, PackError> {
    let at = |mark: Mark, key: &str, message: String| PackError {
        pack: pack.to_owned(),
        line: mark.line,
        rule: None,
        key: (!key.is_empty()).then(|| key.to_owned()),
        message,
    };
    let root = ctrlz_yaml::parse(text, LIMITS).map_err(|error| at(error.at, "", error.reason))?;
    let mut document = Document::default();
    let entries = match root.content {
        Content::Nothing => return Ok(document),
        Content::List(rules) => {
            document.rules = written(pack, rules, "id")?;
            return Ok(document);
        }
        Content::Mapping(entries) => entries,
        Content::Scalar { .. } => {
            let message = "a pack is a list of rules, or a mapping with `rules:`".to_owned();
            return Err(at(root.at, "", message));
        }
    };
    let mut seen: Vec<String> = Vec::new();
    for (name, node) in entries {
        if seen.contains(&name.text) {
            return Err(at(name.at, &name.text, "it stands there twice".to_owned()));
        }
        seen.push(name.text.clone());
        let list = |node: Node| match node.content {
            Content::List(items) => Ok(items),
            Content::Nothing => Ok(Vec::new()),
            _ => Err(at(node.at, &name.text, "expected a list".to_owned())),
        };
        match name.text.as_str() {
            "version" => match &node.content {
                Content::Scalar { text: version, .. } if version == "1" => {}
                _ => {
                    let message = "this ctrlz reads version 1".to_owned();
                    return Err(at(node.at, "version", message));
                }
            },
            "rules" => document.rules = written(pack, list(node)?, "id")?,
            "overrides" => document.overrides = written(pack, list(node)?, "rule")?,
            "notes" => {
                let refuse = |mark, message: &str| at(mark, "notes", message.to_owned());
                document.notes = texts(node).map_err(|(mark, message)| refuse(mark, message))?;
            }
            other => {
                let known = ["version", "rules", "overrides", "notes"];
                let near = suggestion(other, known.into_iter());
                return Err(at(name.at, "", format!("there is no key {}{near}", quoted(other))));
            }
        }
    }
    Ok(document)
}

/// The entries of a list; `id` is the key of their name.
fn written(pack: &str, items: Vec<Node>, id: &str) -> Result<Vec<Written>, PackError> {
    items.into_iter().map(|item| entry(pack, item, id)).collect()
}

fn entry(pack: &str, node: Node, id: &str) -> Result<Written, PackError> {
    let mut written = Written { line: node.at.line, ..Written::default() };
    let Content::Mapping(pairs) = node.content else {
        return Err(written.error(pack, "", "expected a mapping of keys"));
    };
    // The name first, so that every error can tell it.
    for (name, value) in &pairs {
        if let (true, Content::Scalar { text, .. }) = (name.text == id, &value.content) {
            written.entry.form.id.clone_from(text);
        }
    }
    for (name, value) in pairs {
        let Name { at, text: key } = name;
        let twice = written.has(&key);
        written.keys.push((key.clone(), at.line));
        if twice {
            return Err(written.error(pack, &key, "it stands there twice"));
        }
        let value_line = value.at.line;
        if let Err(message) = set(&mut written.entry, &key, id, value) {
            let mut error = written.error(pack, &key, message);
            error.line = error.line.max(value_line.min(at.line + 1));
            return Err(error);
        }
    }
    Ok(written)
}

/// Puts a key's value into its place.
fn set(entry: &mut Entry, key: &str, id: &str, value: Node) -> Result<(), String> {
    let known = |key: &str| key == id || key != "id" && OF_A_RULE.contains(&key);
    if !known(key) {
        let keys = OF_A_RULE.into_iter().filter(|key| known(key)).chain([id]);
        return Err(format!("there is no such key{}", suggestion(key, keys)));
    }
    match key {
        _ if key == id => entry.form.id = text(value)?,
        "risk" => entry.form.risk = text(value)?,
        "reason" => entry.form.reason = text(value)?,
        "hint" => entry.form.hint = text(value)?,
        "when" => entry.when = Some(text(value)?),
        "allow" => {
            entry.allow = match text(value)?.as_str() {
                "true" => true,
                "false" => false,
                other => return Err(format!("{} is neither true nor false", quoted(other))),
            }
        }
        "prefix" => entry.prefix = places(value)?,
        _ => {
            let items = texts(value).map_err(|(_, message)| message.to_owned())?;
            if let Some(list) = entry.list_mut(key) {
                *list = items;
            }
        }
    }
    Ok(())
}

fn text(node: Node) -> Result<String, String> {
    match node.content {
        Content::Scalar { text, .. } => Ok(text),
        _ => Err("expected a text".to_owned()),
    }
}

/// A text, or a list of them.
fn texts(node: Node) -> Result<Vec<String>, (Mark, &'static str)> {
    let items = match node.content {
        Content::Scalar { text, .. } => return Ok(vec![text]),
        Content::List(items) => items,
        _ => return Err((node.at, "expected a text or a list of texts")),
    };
    items
        .into_iter()
        .map(|item| match item.content {
            Content::Scalar { text, .. } => Ok(text),
            _ => Err((item.at, "expected a text")),
        })
        .collect()
}

/// A list of texts, or of lists of them.
fn places(node: Node) -> Result<Vec<Vec<String>>, String> {
    let Content::List(items) = node.content else {
        return Err("expected a list: the program, then its first arguments".to_owned());
    };
    let places: Vec<Vec<String>> = items
        .into_iter()
        .map(|item| texts(item).map_err(|(_, message)| message.to_owned()))
        .collect::<Result<_, _>>()?;
    match places.iter().any(Vec::is_empty) {
        true => Err("a place needs at least one text".to_owned()),
        false => Ok(places),
    }
}

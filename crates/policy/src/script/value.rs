//! What an expression is known to be.

use crate::effect::UNKNOWN;

use super::form::FunctionId;

/// Where a value comes from: a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Origin(u16);

impl Origin {
    pub(super) const NONE: Self = Self(0);
    /// Another machine.
    pub(super) const NETWORK: Self = Self(1);
    /// It was decoded.
    pub(super) const DECODED: Self = Self(1 << 1);
    /// The arguments or the standard input of the program.
    pub(super) const INPUT: Self = Self(1 << 2);
    /// A file that holds secrets.
    pub(super) const SECRET: Self = Self(1 << 3);
    /// The whole environment.
    pub(super) const ENVIRONMENT: Self = Self(1 << 4);
    /// A file.
    pub(super) const FILE: Self = Self(1 << 5);
    /// A parameter of a function whose calls are not seen.
    pub(super) const PARAMETER: Self = Self(1 << 6);
    /// It was put together so that nobody reads it: from codes, backwards, decoded.
    pub(super) const HIDDEN: Self = Self(1 << 7);
    /// A name found while going through a tree of files.
    pub(super) const WALK: Self = Self(1 << 8);
    /// It was encrypted.
    pub(super) const ENCRYPTED: Self = Self(1 << 9);
    /// Keys, the clipboard, the screen or the camera of the user.
    pub(super) const WATCHED: Self = Self(1 << 10);

    pub(super) const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub(super) const fn has_any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is a secret of whoever runs the program, of all this.
    pub(super) const fn secrets(self) -> Self {
        Self(self.0 & (Self::SECRET.0 | Self::ENVIRONMENT.0 | Self::WATCHED.0))
    }

    pub(super) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// The longest text that is followed.
pub(super) const LONGEST_TEXT: usize = 128 * 1024;
/// The most items of a list that are followed.
pub(super) const MOST_ITEMS: usize = 20_000;
/// How deep lists may stand in lists.
const DEEPEST: usize = 8;

/// A value and where it comes from.
#[derive(Debug, Clone, Default)]
pub(super) struct Value {
    pub(super) kind: Kind,
    pub(super) origin: Origin,
}

#[derive(Debug, Clone, Default)]
pub(super) enum Kind {
    /// Nothing is known.
    #[default]
    Unknown,
    /// A text or bytes; [`UNKNOWN`] stands for a part that is not known.
    Text(Vec<u8>),
    Number(i64),
    List(Vec<Value>),
    Map(Vec<(Vec<u8>, Value)>),
    /// A module, a function of one, or what such a function returned, by its qualified name:
    /// `os`, `os.system`, `socket.socket().recv`.
    Named(String),
    /// A path object (`pathlib.Path`).
    Path(Vec<u8>),
    /// An open file, by its path.
    File(Vec<u8>),
    /// A function of the program.
    Function(FunctionId),
    /// A method of a value, not called yet.
    Method(Box<Value>, String),
    /// Something to be called, and what it is called with besides: `functools.partial`, `bind`.
    Bound(Box<Value>, Vec<Value>, Vec<(Vec<u8>, Value)>),
}

impl Value {
    pub(super) fn unknown(origin: Origin) -> Self {
        Self { kind: Kind::Unknown, origin }
    }

    pub(super) fn text(text: impl Into<Vec<u8>>) -> Self {
        Self::text_from(text, Origin::NONE)
    }

    pub(super) fn text_from(text: impl Into<Vec<u8>>, origin: Origin) -> Self {
        let text = text.into();
        if text.len() > LONGEST_TEXT {
            return Self::unknown(origin);
        }
        Self { kind: Kind::Text(text), origin }
    }

    pub(super) fn number(number: i64) -> Self {
        Self { kind: Kind::Number(number), origin: Origin::NONE }
    }

    /// `callee`, with these arguments before others.
    pub(super) fn bound(callee: Self, given: Vec<Self>, named: Vec<(Vec<u8>, Self)>) -> Self {
        if !within_bounds(given.iter().chain(named.iter().map(|(_, item)| item))) {
            return Self::unknown(callee.origin);
        }
        // A chain of these would go as deep as it is written.
        if !within_bounds(std::iter::once(&callee)) {
            return Self::unknown(callee.origin);
        }
        let origin = callee.origin;
        Self { kind: Kind::Bound(Box::new(callee), given, named), origin }
    }

    pub(super) fn named(name: impl Into<String>) -> Self {
        Self::named_from(name, Origin::NONE)
    }

    pub(super) fn named_from(name: impl Into<String>, origin: Origin) -> Self {
        let name = name.into();
        // A chain of calls that goes on and on says nothing new.
        if name.len() > 200 {
            return Self::unknown(origin);
        }
        Self { kind: Kind::Named(name), origin }
    }

    pub(super) fn list(items: Vec<Self>) -> Self {
        let origin = items.iter().fold(Origin::NONE, |all, item| all.with(item.origin));
        if !within_bounds(items.iter()) {
            return Self::unknown(origin);
        }
        Self { kind: Kind::List(items), origin }
    }

    pub(super) fn map(entries: Vec<(Vec<u8>, Self)>) -> Self {
        let origin = entries.iter().fold(Origin::NONE, |all, (_, item)| all.with(item.origin));
        if !within_bounds(entries.iter().map(|(_, item)| item)) {
            return Self::unknown(origin);
        }
        Self { kind: Kind::Map(entries), origin }
    }

    pub(super) fn from(mut self, origin: Origin) -> Self {
        self.origin = self.origin.with(origin);
        self
    }

    /// How much there is to copy, and whether that is within bounds. It looks no further.
    fn measure(&self, deep: usize, room: &mut usize) -> bool {
        let own = match &self.kind {
            Kind::Text(text) => 1 + text.len() / 64,
            _ => 1,
        };
        let Some(left) = room.checked_sub(own) else { return false };
        *room = left;
        match &self.kind {
            Kind::List(items) => deep > 0 && items.iter().all(|item| item.measure(deep - 1, room)),
            Kind::Map(entries) => {
                deep > 0 && entries.iter().all(|(_, item)| item.measure(deep - 1, room))
            }
            Kind::Method(inner, _) => deep > 0 && inner.measure(deep - 1, room),
            Kind::Bound(inner, given, named) => {
                deep > 0
                    && inner.measure(deep - 1, room)
                    && given.iter().all(|item| item.measure(deep - 1, room))
                    && named.iter().all(|(_, item)| item.measure(deep - 1, room))
            }
            _ => true,
        }
    }

    /// How much there is to copy.
    pub(super) fn weight(&self) -> usize {
        let mut room = MOST_ITEMS;
        self.measure(DEEPEST + 1, &mut room);
        MOST_ITEMS - room
    }

    pub(super) fn name(&self) -> Option<&str> {
        match &self.kind {
            Kind::Named(name) => Some(name),
            _ => None,
        }
    }

    /// The text, of a text only.
    pub(super) fn as_text(&self) -> Option<&[u8]> {
        match &self.kind {
            Kind::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn as_number(&self) -> Option<i64> {
        match &self.kind {
            Kind::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// What stands in a text into which this value is put.
    pub(super) fn to_text(&self) -> Vec<u8> {
        match &self.kind {
            Kind::Text(text) | Kind::Path(text) | Kind::File(text) => text.clone(),
            Kind::Number(number) => number.to_string().into_bytes(),
            _ => vec![UNKNOWN],
        }
    }

    /// Whether nothing of the text is known.
    pub(super) fn is_blank(&self) -> bool {
        match &self.kind {
            Kind::Text(text) | Kind::Path(text) | Kind::File(text) => {
                text.contains(&UNKNOWN)
                    && text.iter().all(|byte| *byte == UNKNOWN || byte.is_ascii_whitespace())
            }
            Kind::Number(_) | Kind::List(_) | Kind::Map(_) => false,
            _ => true,
        }
    }
}

fn within_bounds<'a>(mut items: impl Iterator<Item = &'a Value>) -> bool {
    let mut room = MOST_ITEMS;
    items.all(|item| item.measure(DEEPEST, &mut room))
}

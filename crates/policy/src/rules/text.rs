//! Texts of rules.
//!
//! A constant that points to another has to be relocated when a program starts, and there are
//! thousands of these. So the texts of the built-in rules are one long text, and each is a place
//! in it.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use super::builtin::{TEXT, TEXTS};

/// A text of a rule.
#[derive(Clone)]
pub struct Text(Kept);

#[derive(Clone)]
enum Kept {
    /// Where it stands among the texts of the built-in rules.
    BuiltIn { start: u32, length: u16 },
    /// Of a pack.
    Own(Box<str>),
}

impl Text {
    /// A text of the built-in rules.
    pub(super) const fn built_in(start: u32, length: u16) -> Self {
        Self(Kept::BuiltIn { start, length })
    }

    /// The text, borrowed where it lasts.
    pub(crate) fn lasting(&self) -> Cow<'static, str> {
        match &self.0 {
            Kept::BuiltIn { start, length } => Cow::Borrowed(built_in(*start, *length)),
            Kept::Own(text) => Cow::Owned(text.to_string()),
        }
    }
}

fn built_in(start: u32, length: u16) -> &'static str {
    let start = start as usize;
    TEXT.get(start..start + usize::from(length)).unwrap_or_default()
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        match &self.0 {
            Kept::BuiltIn { start, length } => built_in(*start, *length),
            Kept::Own(text) => text,
        }
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(Kept::Own(text.into()))
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

/// A list of texts of a rule.
#[derive(Clone)]
pub(crate) struct Texts(KeptList);

#[derive(Clone)]
enum KeptList {
    /// Where it stands among the lists of the built-in rules.
    BuiltIn { first: u16, count: u16 },
    /// Of a pack.
    Own(Box<[Text]>),
}

impl Texts {
    /// None.
    pub(crate) const NONE: Self = Self::built_in(0, 0);

    /// A list of the built-in rules.
    pub(super) const fn built_in(first: u16, count: u16) -> Self {
        Self(KeptList::BuiltIn { first, count })
    }
}

impl Deref for Texts {
    type Target = [Text];

    fn deref(&self) -> &[Text] {
        match &self.0 {
            KeptList::BuiltIn { first, count } => {
                let first = usize::from(*first);
                TEXTS.get(first..first + usize::from(*count)).unwrap_or_default()
            }
            KeptList::Own(texts) => texts,
        }
    }
}

impl<T: AsRef<str>> FromIterator<T> for Texts {
    fn from_iter<I: IntoIterator<Item = T>>(texts: I) -> Self {
        Self(KeptList::Own(texts.into_iter().map(|text| Text::from(text.as_ref())).collect()))
    }
}

impl fmt::Debug for Texts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

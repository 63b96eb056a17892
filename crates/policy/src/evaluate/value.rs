//! A text as far as it can be known beforehand, and where its parts come from.

use std::rc::Rc;

use crate::effect::UNKNOWN;

/// The longest text that is followed; what is longer ends with something unknown.
const LONGEST: usize = 256 << 10;

/// Where the parts of a text come from: a set of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Taint(u16);

impl Taint {
    /// A variable that nobody set here: the environment's, or none.
    pub(crate) const UNSET: Self = Self(1);
    /// The environment or an argument: somebody else's choice.
    pub(crate) const ENVIRONMENT: Self = Self(1 << 1);
    /// The output of a program whose work is not known.
    pub(crate) const OUTPUT: Self = Self(1 << 2);
    /// What a file holds.
    pub(crate) const FILE: Self = Self(1 << 3);
    /// Data of the network.
    pub(crate) const NETWORK: Self = Self(1 << 4);
    /// The network, without encryption or without a name: anybody's data.
    pub(crate) const STRANGER: Self = Self(1 << 5);
    /// It was decoded from something that does not show what it says.
    pub(crate) const DECODED: Self = Self(1 << 6);
    /// Secrets.
    pub(crate) const SECRET: Self = Self(1 << 7);
    /// It never ends.
    pub(crate) const ENDLESS: Self = Self(1 << 8);
    /// It was put together so that it is hard to read: from pieces, codes or patterns.
    pub(crate) const ASSEMBLED: Self = Self(1 << 9);
    /// Whoever starts the command types it.
    pub(crate) const TYPED: Self = Self(1 << 10);

    /// A variable whose name says that it is a secret.
    pub(crate) const NAMED_SECRET: Self = Self(1 << 11);
    /// Names that a search of whole folders lists.
    pub(crate) const LISTED: Self = Self(1 << 12);

    /// One after the other of a list that is not known: the variable of a loop.
    pub(crate) const EACH: Self = Self(1 << 13);

    pub(crate) const NONE: Self = Self(0);

    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A text, in which [`UNKNOWN`] stands for each part that cannot be known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Value {
    pub(crate) text: Vec<u8>,
    pub(crate) taint: Taint,
    /// Bytes that are no text, where a program passes them on to the next.
    pub(crate) binary: Option<Rc<[u8]>>,
}

impl Value {
    pub(crate) fn known(text: impl Into<Vec<u8>>) -> Self {
        Self::new(text.into(), Taint::NONE)
    }

    pub(crate) fn unknown(taint: Taint) -> Self {
        Self::new(vec![UNKNOWN], taint)
    }

    pub(crate) fn new(text: Vec<u8>, taint: Taint) -> Self {
        Self { text, taint, binary: None }
    }

    pub(crate) fn tainted(mut self, taint: Taint) -> Self {
        self.taint = self.taint.with(taint);
        self
    }

    pub(crate) fn is_known(&self) -> bool {
        !self.text.contains(&UNKNOWN)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Whether nothing of it is known.
    pub(crate) fn is_wholly_unknown(&self) -> bool {
        !self.text.is_empty() && self.text.iter().all(|byte| *byte == UNKNOWN)
    }

    pub(crate) fn push_value(&mut self, other: &Self) {
        let alone = self.text.is_empty();
        self.push(&other.text);
        self.taint = self.taint.with(other.taint);
        self.binary = if alone { other.binary.clone() } else { None };
    }

    pub(crate) fn push(&mut self, text: &[u8]) {
        if self.text.is_empty() {
            self.binary.clone_from(&None);
        }
        if self.text.len() + text.len() <= LONGEST {
            self.text.extend_from_slice(text);
        } else if self.text.last() != Some(&UNKNOWN) {
            self.text.push(UNKNOWN);
        }
    }

    /// The text as people read it; for what is unknown, the sign that shows it.
    pub(crate) fn lossy(&self) -> String {
        String::from_utf8_lossy(&self.text).into_owned()
    }

    /// Without the newlines at the end, as a command substitution leaves them out.
    pub(crate) fn without_last_newlines(mut self) -> Self {
        while self.text.last() == Some(&b'\n') {
            self.text.pop();
        }
        self
    }

    /// The same kind of text, made anew by a pure function of known text; unknown if it is.
    pub(crate) fn map(&self, function: impl FnOnce(&[u8]) -> Vec<u8>) -> Self {
        if self.is_known() {
            Self::new(function(&self.text), self.taint)
        } else {
            Self::unknown(self.taint)
        }
    }
}

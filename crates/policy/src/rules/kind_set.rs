//! Sets of kinds, as rules ask for them.

use std::fmt;
use std::marker::PhantomData;

use crate::effect::EffectKind;
use crate::evaluate::RemarkKind;
use crate::path_class::PathClass;

/// A kind that a set can hold; there are at most 64 of a sort.
pub(crate) trait Kind: Copy {
    /// Its number among those of its sort.
    fn number(self) -> u8;
}

impl Kind for EffectKind {
    fn number(self) -> u8 {
        self as u8
    }
}

impl Kind for PathClass {
    fn number(self) -> u8 {
        self as u8
    }
}

impl Kind for RemarkKind {
    fn number(self) -> u8 {
        self as u8
    }
}

/// Some kinds of one sort.
pub(crate) struct KindSet<K>(u64, PhantomData<fn() -> K>);

impl<K> KindSet<K> {
    /// The kinds of these numbers.
    pub(crate) const fn of_numbers(mut numbers: &[u8]) -> Self {
        let mut set = 0;
        while let [number, rest @ ..] = numbers {
            assert!(*number < 64, "more kinds than a set can hold");
            set |= 1 << *number;
            numbers = rest;
        }
        Self(set, PhantomData)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0 == 0
    }
}

impl<K: Kind> KindSet<K> {
    pub(crate) fn contains(&self, kind: K) -> bool {
        self.0 & (1 << kind.number()) != 0
    }
}

impl<K: Kind> FromIterator<K> for KindSet<K> {
    fn from_iter<I: IntoIterator<Item = K>>(kinds: I) -> Self {
        kinds
            .into_iter()
            .fold(Self::of_numbers(&[]), |set, kind| Self(set.0 | 1 << kind.number(), PhantomData))
    }
}

impl<K> Clone for KindSet<K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for KindSet<K> {}

impl<K> fmt::Debug for KindSet<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

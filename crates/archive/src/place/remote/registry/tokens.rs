//! Tokens for requests of our own.

use std::sync::{Arc, Mutex, PoisonError};

use super::request::Right;

/// What signing in gave, by what it allows: a token, or nothing where none is needed.
#[derive(Clone, Default)]
pub(super) struct Tokens(Arc<Mutex<[Option<Option<String>>; 2]>>);

impl Tokens {
    fn slot(right: Right) -> usize {
        usize::from(right == Right::Push)
    }

    pub(super) fn get(&self, right: Right) -> Option<Option<String>> {
        let tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.get(Self::slot(right)).cloned().flatten()
    }

    pub(super) fn set(&self, right: Right, token: Option<String>) {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = tokens.get_mut(Self::slot(right)) {
            *slot = Some(token);
        }
    }

    pub(super) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = [None, None];
    }
}

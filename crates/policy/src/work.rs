//! How much may be done for one text.

/// What may still be done for a text, in units of about 30 ns: what a command costs that is only
/// looked at is some hundred. Work is counted, not time: the same text always ends the same way.
#[derive(Debug)]
pub(crate) struct Work {
    left: usize,
}

impl Work {
    pub(crate) const fn new(units: usize) -> Self {
        Self { left: units }
    }

    /// Takes `units` away, and tells whether there were so many. Once they are not there, nothing
    /// is left.
    pub(crate) fn spend(&mut self, units: usize) -> bool {
        match self.left.checked_sub(units) {
            Some(left) => {
                self.left = left;
                true
            }
            None => {
                self.left = 0;
                false
            }
        }
    }

    pub(crate) const fn left(&self) -> usize {
        self.left
    }
}

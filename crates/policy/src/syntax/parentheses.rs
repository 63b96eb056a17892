//! Which `((` is closed by `))`: what is not, are two parentheses.
//!
//! The shell looks ahead for the end before it knows what it reads. Here one look also answers for
//! all pairs that it passes, and all looks of a text together are bounded, so that no text can
//! make them costly.

use super::cursor::Parser;

/// A look ahead ends where more than this is open: the parser would not follow.
const DEEPEST: usize = 2 * super::cursor::MAX_DEPTH;

/// What the looks ahead have found so far.
pub(super) struct Parentheses {
    /// The second parenthesis of every `((` that was passed, in order, and what closes it.
    found: Vec<(usize, Option<usize>)>,
    /// How many bytes may still be looked at.
    budget: usize,
}

impl Parentheses {
    pub(super) fn new(length: usize) -> Self {
        Self { found: Vec::new(), budget: length.saturating_mul(2).saturating_add(1024) }
    }

    /// Takes as many bytes as are allowed, at most `wanted`.
    fn take(&mut self, wanted: usize) -> usize {
        wanted.min(self.budget)
    }
}

#[derive(Clone, Copy)]
enum Open {
    /// With the index of its entry in `found`.
    Parenthesis(Option<usize>),
    Quote,
    Brace,
}

impl Parser<'_> {
    /// For a `((`, of which the second parenthesis stands at `open`: where the `))` is that closes
    /// it. None if it is not closed so.
    pub(super) fn double_parenthesis_end(&mut self, open: usize) -> Option<usize> {
        let known = self.parentheses.found.binary_search_by_key(&open, |&(start, _)| start);
        let close = match known {
            Ok(index) => self.parentheses.found.get(index).and_then(|&(_, close)| close),
            Err(index) => {
                let record = index == self.parentheses.found.len();
                self.look_for_end(open, record)
            }
        }?;
        (self.byte(close + 1) == Some(b')')).then_some(close)
    }

    fn look_for_end(&mut self, open: usize, record: bool) -> Option<usize> {
        let allowed = self.parentheses.take(self.end.saturating_sub(open));
        let text = self.slice(open, open + allowed);
        let mut stack: Vec<Open> = Vec::new();
        let mut place = 0;
        let close = loop {
            if stack.len() > DEEPEST {
                break None;
            }
            let Some(&byte) = text.get(place) else { break None };
            let next = text.get(place + 1).copied();
            let in_quote = matches!(stack.last(), Some(Open::Quote));
            match byte {
                b'\\' => place += 1,
                b'$' if next == Some(b'{') => {
                    stack.push(Open::Brace);
                    place += 1;
                }
                b'$' if next == Some(b'(') && in_quote => {
                    place += 1;
                    self.open_parenthesis(&mut stack, open + place, record);
                }
                b'"' if in_quote => {
                    stack.pop();
                }
                _ if in_quote => {}
                b'"' => stack.push(Open::Quote),
                b'\'' => match memchr::memchr(b'\'', text.get(place + 1..).unwrap_or_default()) {
                    Some(length) => place += length + 1,
                    None => place = text.len(),
                },
                b'(' => self.open_parenthesis(&mut stack, open + place, record),
                b')' => {
                    if let Some(&Open::Parenthesis(entry)) = stack.last() {
                        stack.pop();
                        if let Some(entry) =
                            entry.and_then(|entry| self.parentheses.found.get_mut(entry))
                        {
                            entry.1 = Some(open + place);
                        }
                        if stack.is_empty() {
                            break Some(open + place);
                        }
                    }
                }
                b'}' if matches!(stack.last(), Some(Open::Brace)) => {
                    stack.pop();
                }
                _ => {}
            }
            place += 1;
        };
        self.parentheses.budget = self.parentheses.budget.saturating_sub(place.min(allowed));
        close
    }

    fn open_parenthesis(&mut self, stack: &mut Vec<Open>, at: usize, record: bool) {
        let double = at > 0 && self.byte(at - 1) == Some(b'(');
        let entry = (record && double).then(|| {
            self.parentheses.found.push((at, None));
            self.parentheses.found.len() - 1
        });
        stack.push(Open::Parenthesis(entry));
    }

    /// For a `[` at `open`: where the `]` is that closes it, on the same line.
    pub(super) fn subscript_end(&mut self, open: usize) -> Option<usize> {
        let allowed = self.parentheses.take(self.end.saturating_sub(open));
        let text = self.slice(open, open + allowed);
        let mut depth = 0_usize;
        let mut place = 0;
        let close = loop {
            let Some(&byte) = text.get(place) else { break None };
            match byte {
                b'\\' => place += 1,
                b'\n' | b';' => break None,
                b'\'' | b'"' => {
                    match memchr::memchr(byte, text.get(place + 1..).unwrap_or_default()) {
                        Some(length) => place += length + 1,
                        None => place = text.len(),
                    }
                }
                b'[' => depth += 1,
                b']' => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        break Some(open + place);
                    }
                }
                _ => {}
            }
            place += 1;
        };
        self.parentheses.budget = self.parentheses.budget.saturating_sub(place.min(allowed));
        close
    }
}

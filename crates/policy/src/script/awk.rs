//! What awk's functions do, and its marks: pipes and files.

use crate::effect::{EffectKind, Qualities};
use crate::source_range::SourceRange;

use super::scan::{Meaning, Scan};
use super::tokens::TokenKind;
use super::value::{Origin, Value};

pub(super) fn meaning(name: &str) -> Option<Meaning> {
    match name {
        "system" => Some(Meaning::Run),
        _ => None,
    }
}

impl Scan {
    /// awk: `"command" | getline`
    pub(super) fn awk_text(&mut self, at: usize) {
        // A text inside a joined one was seen from its beginning.
        if at > 0 && matches!(self.phrases.kind(at - 1), Some(TokenKind::Text(..))) {
            return;
        }
        let (value, end) = self.phrases.value(at, 0);
        let mut next = end;
        while self.phrases.is_mark(next, b')') || self.phrases.is_mark(next, b'&') {
            next += 1;
        }
        let range = self.phrases.range(at, end);
        let text = value.to_text();
        if text.starts_with(b"/inet") {
            let host = String::from_utf8_lossy(&text).into_owned();
            self.gather.connected(host, range);
            return;
        }
        let piped = self.phrases.is_mark(next, b'|')
            && matches!(
                self.phrases.name_at(next + 1).or(self.phrases.name_at(next + 2)),
                Some(b"getline")
            );
        if piped {
            self.gather.shell(&value, range);
        }
    }

    /// awk: `print | "command"`, `print > "file"`
    pub(super) fn awk_redirect(&mut self, at: usize, range: SourceRange) {
        let mut next = at + 1;
        let appends = self.phrases.is_mark(next, b'>');
        while self.phrases.is_mark(next, b'&')
            || self.phrases.is_mark(next, b'>')
            || self.phrases.is_mark(next, b'(')
        {
            next += 1;
        }
        let known = matches!(self.phrases.kind(next), Some(TokenKind::Text(..)))
            || self
                .phrases
                .name_at(next)
                .is_some_and(|name| self.phrases.variables.contains_key(name));
        if !known {
            // Commands from a connection, `while ((s |& getline c) > 0)`, have no text.
            let co_process = self.phrases.is_mark(at + 1, b'&');
            let read = self.phrases.name_at(next) == Some(b"getline");
            if co_process
                && read
                && at > 0
                && !matches!(self.phrases.kind(at - 1), Some(TokenKind::Text(..)))
            {
                let variable = self.phrases.name_at(at - 1).map(<[u8]>::to_vec).unwrap_or_default();
                let from = self.phrases.variables.get(&variable).cloned().unwrap_or_default();
                let target = self.phrases.name_at(next + 1).map(<[u8]>::to_vec).unwrap_or_default();
                if from.to_text().starts_with(b"/inet") {
                    self.phrases.variables.insert(target, Value::unknown(Origin::NETWORK));
                } else {
                    self.gather.shell(&from, range);
                }
            }
            return;
        }
        let (value, end) = self.phrases.value(next, 0);
        let range = range.join(self.phrases.range(next, end));
        if self.phrases.is_mark(at, b'|') {
            if !value.to_text().starts_with(b"/inet") {
                self.gather.shell(&value, range);
            }
        } else {
            let kind = if appends { EffectKind::Write } else { EffectKind::Overwrite };
            self.gather.path(kind, &value, Qualities::NONE, range);
        }
    }
}

//! Here-documents: their delimiters, and their texts behind the line.

use crate::source_range::SourceRange;

use super::cursor::Parser;
use super::quote::Text;
use super::tree::{Part, RedirectKind, Word};

/// A here-document whose text was not reached yet.
pub(super) struct Pending {
    /// Its place among the documents.
    number: usize,
    delimiter: Vec<u8>,
    expands: bool,
    strip_tabs: bool,
}

/// Marks the range of a body that stands among the documents, at the number in `start`.
pub(super) const ELSEWHERE: usize = usize::MAX;

impl Parser<'_> {
    /// Behind `<<` or `<<-`: the delimiter, and where it ends.
    pub(super) fn here_document(&mut self, strip_tabs: bool) -> (RedirectKind, usize) {
        let start = self.at;
        let (word, end) = self.target();
        let source = self.slice(start, end).trim_ascii();
        let quoted = |part: &Part| matches!(part, Part::Quoted(_) | Part::DoubleQuoted(_));
        let expands = !word.parts.iter().any(quoted);
        let delimiter = plain_text(&word.parts).unwrap_or_else(|| source.to_vec());
        let number = self.documents.len();
        self.documents.push(Word { parts: Vec::new(), range: self.range(end, end), coded: false });
        self.pending.push(Pending { number, delimiter, expands, strip_tabs });
        let body =
            Word { parts: Vec::new(), range: SourceRange::new(number, ELSEWHERE), coded: false };
        (RedirectKind::HereDocument { body, expands }, end)
    }

    /// Reads the texts of the here-documents of the line before.
    pub(super) fn read_documents(&mut self) {
        for pending in std::mem::take(&mut self.pending) {
            let start = self.at;
            let (end, next) = self.document_end(&pending);
            let text = Text::Document { strip_tabs: pending.strip_tabs };
            let looked_at = next.saturating_sub(start);
            let too_deep = self.document_budget < looked_at;
            self.document_budget = self.document_budget.saturating_sub(looked_at);
            let parts = if too_deep {
                vec![Part::TooDeep]
            } else if pending.expands {
                let parts = self
                    .nested(|parser| parser.within(start, end, |parser| parser.text_parts(text)));
                parts.unwrap_or_else(|| vec![Part::TooDeep])
            } else {
                plain_document(self.slice(start, end), pending.strip_tabs)
            };
            // What stands in a text that ended within it reads no other text.
            self.pending.clear();
            let range = self.range(start, end);
            if let Some(document) = self.documents.get_mut(pending.number) {
                *document = Word { parts, range, coded: false };
            }
            self.at = next;
        }
    }

    /// Where the text ends, and where reading goes on behind its delimiter.
    fn document_end(&self, pending: &Pending) -> (usize, usize) {
        let mut start = self.at;
        let mut joined = false;
        if self.document_budget == 0 {
            return (self.end, self.end);
        }
        while start < self.end {
            let end = self.line_end(start);
            let line = self.slice(start, end);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let tabs = line.iter().take_while(|&&byte| pending.strip_tabs && byte == b'\t').count();
            if !joined && let Some(rest) = line.get(tabs..) {
                if let Some(b"") = rest.strip_prefix(pending.delimiter.as_slice()) {
                    return (start, self.end.min(end + 1));
                }
                let closed = self.in_substitution
                    && !pending.delimiter.is_empty()
                    && rest
                        .strip_prefix(pending.delimiter.as_slice())
                        .is_some_and(|rest| rest.starts_with(b")"));
                if closed {
                    return (start, start + tabs + pending.delimiter.len());
                }
            }
            let backslashes = line.iter().rev().take_while(|&&byte| byte == b'\\').count();
            joined = pending.expands && backslashes % 2 == 1;
            start = end + 1;
        }
        (self.end, self.end)
    }
}

/// The text that these parts stand for, if they need no expansion.
fn plain_text(parts: &[Part]) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    for part in parts {
        match part {
            Part::Literal(bytes) | Part::Quoted(bytes) => text.extend_from_slice(bytes),
            Part::DoubleQuoted(inner) => {
                for part in inner {
                    match part {
                        Part::Literal(bytes) | Part::Quoted(bytes) => {
                            text.extend_from_slice(bytes);
                        }
                        _ => return None,
                    }
                }
            }
            _ => return None,
        }
    }
    Some(text)
}

/// The text of a document without expansions.
fn plain_document(text: &[u8], strip_tabs: bool) -> Vec<Part> {
    if text.is_empty() {
        return Vec::new();
    }
    let mut plain = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        let tabs = line.iter().take_while(|&&byte| strip_tabs && byte == b'\t').count();
        let line = line.get(tabs..).unwrap_or_default();
        match line.strip_suffix(b"\r\n") {
            Some(line) => {
                plain.extend_from_slice(line);
                plain.push(b'\n');
            }
            None => plain.extend_from_slice(line),
        }
    }
    vec![Part::Quoted(plain)]
}

//! The place in the text, and the limits of what is read.

use crate::source_range::SourceRange;

use super::character;
use super::here_document::Pending;
use super::keyword::Closers;
use super::parentheses::Parentheses;
use super::tree::{List, Word};

/// How deeply commands, substitutions and quotations may be nested.
pub(super) const MAX_DEPTH: usize = 64;

/// How many words, parts of words and redirections are read; a command and an expansion count as
/// several, as they cost more. It bounds time and memory: a tree takes some hundred bytes for each.
/// It is enough for a script of ten thousand lines.
pub(super) const MAX_NODES: usize = 100_000;

/// What a command counts.
pub(super) const COMMAND_NODES: usize = 5;

/// What an expansion counts.
pub(super) const EXPANSION_NODES: usize = 2;

/// What a text between backquotes counts that has to be read apart.
pub(super) const APART_NODES: usize = 10;

/// Reads one text.
pub(super) struct Parser<'text> {
    pub(super) text: &'text [u8],
    /// The next byte.
    pub(super) at: usize,
    /// Where reading ends: of the text, or of the part of it that is being read.
    pub(super) end: usize,
    pub(super) depth: usize,
    /// How many nodes may still be read.
    pub(super) nodes: usize,
    /// What would end a list that is being read.
    pub(super) closers: Closers,
    /// Within `$(…)`, a here-document may end with its delimiter and the parenthesis.
    pub(super) in_substitution: bool,
    /// Here-documents whose text begins on the next line.
    pub(super) pending: Vec<Pending>,
    /// The texts of here-documents, in the order of their operators.
    pub(super) documents: Vec<Word>,
    pub(super) parentheses: Parentheses,
    /// How many bytes may still be looked at for the ends of here-documents. Their texts lie
    /// within each other only where they are nested, so few times the text's length is plenty.
    pub(super) document_budget: usize,
    /// The range of everything that is read, where the text has no exact place of its own.
    pub(super) place: Option<SourceRange>,
}

impl<'text> Parser<'text> {
    pub(super) fn new(text: &'text [u8]) -> Self {
        Self {
            text,
            at: 0,
            end: text.len(),
            depth: 0,
            nodes: MAX_NODES,
            closers: Closers::NONE,
            in_substitution: false,
            pending: Vec::new(),
            documents: Vec::new(),
            parentheses: Parentheses::new(text.len()),
            document_budget: text.len().saturating_mul(4).saturating_add(1024),
            place: None,
        }
    }

    /// The whole text as a program.
    pub(super) fn program(&mut self) -> List {
        let mut list = self.list(Closers::NONE);
        self.place_documents(&mut list);
        list
    }

    /// The byte at `offset`, as it stands.
    #[inline]
    pub(super) fn byte(&self, offset: usize) -> Option<u8> {
        if offset < self.end { self.text.get(offset).copied() } else { None }
    }

    /// The bytes from `start` up to `end`.
    pub(super) fn slice(&self, start: usize, end: usize) -> &'text [u8] {
        self.text.get(start..end).unwrap_or_default()
    }

    /// What is left.
    pub(super) fn rest(&self) -> &'text [u8] {
        self.slice(self.at, self.end)
    }

    pub(super) fn range(&self, start: usize, end: usize) -> SourceRange {
        self.place.unwrap_or(SourceRange::new(start, end.max(start)))
    }

    /// The next byte. Lines that a backslash joins are joined, and the carriage return of a line
    /// end is passed over.
    #[inline]
    pub(super) fn peek(&mut self) -> Option<u8> {
        let byte = self.byte(self.at)?;
        if byte == b'\\' || byte == b'\r' { self.peek_joined() } else { Some(byte) }
    }

    fn peek_joined(&mut self) -> Option<u8> {
        loop {
            let byte = self.byte(self.at)?;
            let next = self.byte(self.at + 1);
            match (byte, next) {
                (b'\\', Some(b'\n')) => self.at += 2,
                (b'\\', Some(b'\r')) if self.byte(self.at + 2) == Some(b'\n') => self.at += 3,
                (b'\r', Some(b'\n') | None) => self.at += 1,
                _ => return Some(byte),
            }
        }
    }

    /// The byte behind the next one.
    pub(super) fn peek_second(&mut self) -> Option<u8> {
        self.peek()?;
        let place = self.at;
        self.at += 1;
        let second = self.peek();
        self.at = place;
        second
    }

    /// Passes over `expected`, if it comes next.
    pub(super) fn eat(&mut self, expected: &[u8]) -> bool {
        let place = self.at;
        for &byte in expected {
            if self.peek() != Some(byte) {
                self.at = place;
                return false;
            }
            self.at += 1;
        }
        true
    }

    /// The name that comes next; empty if none does.
    pub(super) fn take_name(&mut self) -> Vec<u8> {
        let mut name = Vec::new();
        loop {
            let run = self.rest().iter().take_while(|&&byte| character::is_name(byte)).count();
            name.extend_from_slice(self.slice(self.at, self.at + run));
            self.at += run;
            let end = self.at;
            if run == 0 || !self.peek().is_some_and(character::is_name) {
                self.at = end;
                return name;
            }
        }
    }

    /// Passes over blanks.
    #[inline]
    pub(super) fn skip_blanks(&mut self) {
        while self.peek().is_some_and(character::is_blank) {
            self.at += 1;
        }
    }

    /// Passes over blanks, comments and line ends.
    pub(super) fn skip_lines(&mut self) {
        loop {
            self.skip_blanks();
            match self.peek() {
                Some(b'\n') => self.end_line(),
                Some(b'#') => self.skip_comment(),
                _ => return,
            }
        }
    }

    /// Passes over a line end, and the here-documents behind it.
    pub(super) fn end_line(&mut self) {
        self.at += 1;
        if !self.pending.is_empty() {
            self.read_documents();
        }
    }

    /// Passes over a comment, up to the line end.
    pub(super) fn skip_comment(&mut self) {
        self.at = self.line_end(self.at);
    }

    /// The offset of the next line end, or of the end.
    pub(super) fn line_end(&self, from: usize) -> usize {
        memchr::memchr(b'\n', self.slice(from, self.end)).map_or(self.end, |length| from + length)
    }

    /// Counts one node. False if there were too many.
    #[inline]
    pub(super) fn count_node(&mut self) -> bool {
        self.count_nodes(1)
    }

    #[inline]
    pub(super) fn count_nodes(&mut self, nodes: usize) -> bool {
        self.nodes = self.nodes.saturating_sub(nodes);
        self.nodes != 0
    }

    /// Reads one level deeper. None if that is too deep: then the line is passed over.
    pub(super) fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.depth >= MAX_DEPTH {
            self.at = self.line_end(self.at);
            return None;
        }
        self.depth += 1;
        let found = read(self);
        self.depth -= 1;
        Some(found)
    }

    /// Reads from `start` as if the text ended at `end`, and stays there.
    pub(super) fn within<T>(
        &mut self,
        start: usize,
        end: usize,
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let outer_end = self.end;
        let outer_closers = std::mem::replace(&mut self.closers, Closers::NONE);
        let end = end.min(outer_end);
        self.at = start;
        self.end = end;
        let found = read(self);
        self.at = end;
        self.end = outer_end;
        self.closers = outer_closers;
        found
    }
}

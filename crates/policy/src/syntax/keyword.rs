//! Reserved words, and what ends a list.

use super::character;
use super::cursor::Parser;

/// The words that mean something at the beginning of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keyword {
    Not,
    OpenBrace,
    CloseBrace,
    OpenCondition,
    Case,
    Coprocess,
    Do,
    Done,
    Elif,
    Else,
    Esac,
    Fi,
    For,
    Function,
    If,
    In,
    Select,
    Then,
    Time,
    Until,
    While,
}

/// A set of the things that can end a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Closers(u16);

impl Closers {
    pub(super) const NONE: Self = Self(0);
    pub(super) const PARENTHESIS: Self = Self(1);
    pub(super) const BRACE: Self = Self(1 << 1);
    pub(super) const THEN: Self = Self(1 << 2);
    pub(super) const ELIF: Self = Self(1 << 3);
    pub(super) const ELSE: Self = Self(1 << 4);
    pub(super) const FI: Self = Self(1 << 5);
    pub(super) const DO: Self = Self(1 << 6);
    pub(super) const DONE: Self = Self(1 << 7);
    pub(super) const ESAC: Self = Self(1 << 8);
    /// `;;`, `;&`, `;;&`, `;|`
    pub(super) const ARM: Self = Self(1 << 9);

    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl Keyword {
    fn of(word: &[u8]) -> Option<Self> {
        Some(match word {
            b"!" => Self::Not,
            b"{" => Self::OpenBrace,
            b"}" => Self::CloseBrace,
            b"[[" => Self::OpenCondition,
            b"case" => Self::Case,
            b"coproc" => Self::Coprocess,
            b"do" => Self::Do,
            b"done" => Self::Done,
            b"elif" => Self::Elif,
            b"else" => Self::Else,
            b"esac" => Self::Esac,
            b"fi" => Self::Fi,
            b"for" => Self::For,
            b"function" => Self::Function,
            b"if" => Self::If,
            b"in" => Self::In,
            b"select" => Self::Select,
            b"then" => Self::Then,
            b"time" => Self::Time,
            b"until" => Self::Until,
            b"while" => Self::While,
            _ => return None,
        })
    }

    /// The lists that it ends.
    pub(super) const fn closes(self) -> Closers {
        match self {
            Self::CloseBrace => Closers::BRACE,
            Self::Do => Closers::DO,
            Self::Done => Closers::DONE,
            Self::Elif => Closers::ELIF,
            Self::Else => Closers::ELSE,
            Self::Esac => Closers::ESAC,
            Self::Fi => Closers::FI,
            Self::Then => Closers::THEN,
            _ => Closers::NONE,
        }
    }
}

/// The length of the longest reserved word.
const LONGEST: usize = 8;

impl Parser<'_> {
    /// The reserved word that comes next, and where it ends.
    pub(super) fn keyword(&mut self) -> Option<(Keyword, usize)> {
        let first = self.peek()?;
        if !matches!(first, b'a'..=b'z' | b'!' | b'{' | b'}' | b'[') {
            return None;
        }
        let place = self.at;
        let mut word = [0; LONGEST];
        let mut length = 0;
        let mut end = place;
        loop {
            match self.peek() {
                Some(byte) if !character::ends_word(byte) => {
                    let Some(slot) = word.get_mut(length) else {
                        self.at = place;
                        return None;
                    };
                    *slot = byte;
                    length += 1;
                    self.at += 1;
                    end = self.at;
                }
                _ => break,
            }
        }
        self.at = place;
        Keyword::of(word.get(..length)?).map(|keyword| (keyword, end))
    }

    /// Passes over this reserved word, if it comes next.
    pub(super) fn eat_keyword(&mut self, expected: Keyword) -> bool {
        match self.keyword() {
            Some((keyword, end)) if keyword == expected => {
                self.at = end;
                true
            }
            _ => false,
        }
    }

    /// Whether what comes next ends a list that is being read.
    pub(super) fn at_closer(&mut self) -> bool {
        match self.peek() {
            None => true,
            Some(b')') => self.closers.has(Closers::PARENTHESIS),
            Some(b';') => self.closers.has(Closers::ARM) && self.at_arm_end(),
            Some(_) if self.closers == Closers::NONE => false,
            Some(_) => self.keyword().is_some_and(|(word, _)| self.closers.has(word.closes())),
        }
    }

    /// Whether `;;`, `;&` or `;|` comes next.
    pub(super) fn at_arm_end(&mut self) -> bool {
        self.peek() == Some(b';') && matches!(self.peek_second(), Some(b';' | b'&' | b'|'))
    }
}

//! The one pass over the bytes: it looks only at where something can begin.
//!
//! Nothing is built beforehand, since a process that judges one command would pay for it each
//! time: a byte's class is a table look-up, and most bytes stand inside a word and are passed over.

use super::payload;
use super::personal::{self, Emails};
use super::secret::{self, Commands, assignment, block, command, token};
use super::{ContentKind, Hit};

/// What one pass found.
#[derive(Debug)]
pub(super) struct Scan {
    /// In the order of the text, except for what is known at the end only; secrets and personal
    /// data do not overlap each other.
    pub(super) hits: Vec<Hit>,
    /// Whether all bytes are printable ASCII, tabs or line feeds.
    pub(super) printable_ascii: bool,
}

/// What can begin at a byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Nothing.
    Plain,
    Letter,
    Digit,
    Equals,
    Colon,
    Dash,
    At,
    Percent,
    Dot,
    Dollar,
    Parenthesis,
    /// What ends a command, in a shell and outside quotes.
    Separator,
    /// Controls and bytes over 127.
    Unprintable,
}

const fn class(byte: u8) -> Class {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' => Class::Letter,
        b'0'..=b'9' => Class::Digit,
        b'=' => Class::Equals,
        b':' => Class::Colon,
        b'-' => Class::Dash,
        b'@' => Class::At,
        b'%' => Class::Percent,
        b'.' => Class::Dot,
        b'$' => Class::Dollar,
        b'(' => Class::Parenthesis,
        b'\n' | b';' | b'|' | b'&' => Class::Separator,
        b'\t' | b' '..=b'~' => Class::Plain,
        _ => Class::Unprintable,
    }
}

/// Whether a byte can belong to the same token as its neighbour.
pub(super) const fn is_token_byte(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-')
}

/// The four bytes before a position, the nearest one lowest.
#[derive(Debug, Clone, Copy)]
struct Before(u32);

impl Before {
    const START: Self = Self(0x2020_2020);

    fn push(&mut self, byte: u8) {
        self.0 = self.0 << 8 | u32::from(byte);
    }

    const fn nth(self, distance: u32) -> u8 {
        (self.0 >> (8 * distance)).to_le_bytes()[0]
    }

    /// Whether an escape that lets a token begin may end here or at the next byte.
    fn is_near_escape(self) -> bool {
        self.0.to_le_bytes().iter().take(3).any(|byte| matches!(byte, b'\\' | b'%'))
    }

    /// Whether a token can begin here: after no token byte, or after `\n`, `\t`, `\r` or `%3D`
    /// as they stand in quoted or encoded text.
    #[inline]
    const fn is_boundary(self) -> bool {
        !is_token_byte(self.nth(0))
            || (self.nth(1) == b'\\' && matches!(self.nth(0), b'n' | b't' | b'r'))
            || (self.nth(2) == b'%'
                && self.nth(1).is_ascii_hexdigit()
                && self.nth(0).is_ascii_hexdigit())
    }
}

pub(super) fn scan(text: &[u8]) -> Scan {
    let mut scan = Scan { hits: Vec::new(), printable_ascii: true };
    let mut before = Before::START;
    let mut commands = Commands::default();
    let mut assignments = assignment::Assignments::default();
    let mut emails = Emails::default();
    let mut position = 0;
    while let Some(&byte) = text.get(position) {
        let begins = class(byte);
        // Most bytes: inside a word, or a sign that begins nothing.
        if begins == Class::Plain {
            before.push(byte);
            position += 1;
            continue;
        }
        if matches!(begins, Class::Letter | Class::Digit) && !before.is_boundary() {
            // Nothing begins in the rest of the word either, unless an escape ends in it.
            let rest = text.get(position..).unwrap_or_default();
            let length = if before.is_near_escape() {
                1
            } else {
                rest.iter().position(|byte| !byte.is_ascii_alphanumeric()).unwrap_or(rest.len())
            };
            for byte in rest.iter().take(length).skip(length.saturating_sub(4)) {
                before.push(*byte);
            }
            position += length;
            continue;
        }
        let hit = match begins {
            Class::Plain => None,
            Class::Letter => {
                let hit = token::at(text, position)
                    .or_else(|| personal::bank_account(text, position))
                    .or_else(|| command::piped_password(text, position));
                if hit.is_none() {
                    commands.word(text, position);
                }
                hit
            }
            Class::Digit => personal::number(text, position),
            Class::Equals => assignments.at(text, position),
            Class::Colon => block::url_password(text, position)
                .or_else(|| block::bot_token(text, position))
                .or_else(|| assignments.at(text, position)),
            Class::Dash => block::private_key(text, position)
                .or_else(|| assignments.option(text, position))
                .or_else(|| commands.option(text, position)),
            Class::At => {
                emails.at(text, position);
                None
            }
            Class::Percent => payload::percent(text, position),
            Class::Dot => payload::dots(text, position),
            Class::Dollar => payload::lookup(text, position),
            Class::Parenthesis => payload::function_import(text, position),
            Class::Separator => {
                if byte != b'&' || text.get(position.saturating_add(1)) == Some(&b'&') {
                    commands.end(before.nth(0) == b'\\');
                }
                None
            }
            Class::Unprintable => {
                scan.printable_ascii = false;
                // What redaction left behind is nothing to look into.
                let marker = secret::marker_length(text.get(position..).unwrap_or_default());
                if marker > 0 {
                    position = position.saturating_add(marker);
                    before = Before::START;
                    before.push(b'>');
                    continue;
                }
                None
            }
        };
        match hit {
            Some(hit) if hit.range.end > position => {
                let end = hit.range.end;
                // A value can begin after the position that gave it away, and hold what the second
                // pass has to see.
                let passed = text.get(position..end).unwrap_or_default();
                if !passed.iter().all(|byte| class(*byte) != Class::Unprintable) {
                    scan.printable_ascii = false;
                }
                scan.hits.push(hit);
                before = Before::START;
                before.push(text.get(end.saturating_sub(1)).copied().unwrap_or(b' '));
                position = end;
            }
            Some(hit) => {
                // It stands before the position, as the user name does in `echo u:p | chpasswd`.
                if scan.hits.last().is_none_or(|last| last.range.end <= hit.range.start) {
                    scan.hits.push(hit);
                }
                before.push(byte);
                position = position.saturating_add(1);
            }
            None => {
                before.push(byte);
                position = position.saturating_add(1);
            }
        }
    }
    if let Some((start, end)) = emails.many() {
        scan.hits.push(Hit::new(ContentKind::EmailAddresses, start, end));
    }
    scan
}

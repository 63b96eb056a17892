//! Numbers that belong to a person: cards, accounts, social security.

use super::{ContentKind, Hit};
use ctrlz_core::verdict::Risk;

/// So many addresses are a list of people; fewer are an author, a recipient, a maintainer.
const MANY_EMAILS: usize = 20;

/// At a digit that begins a number: the number of a card or a social security number.
pub(super) fn number(text: &[u8], start: usize) -> Option<Hit> {
    let rest = text.get(start..)?;
    if rest.get(3) == Some(&b'-') {
        return social_security(text, start);
    }
    // Cards are written in one piece or in groups, of which the first has four digits.
    if !rest.get(..4)?.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut digits = [0_u8; 20];
    let mut count = 0;
    let mut length: usize = 0;
    let mut grouped = false;
    while let Some(&byte) = rest.get(length) {
        if byte.is_ascii_digit() {
            *digits.get_mut(count)? = byte.wrapping_sub(b'0');
            count = count.saturating_add(1);
        } else if matches!(byte, b' ' | b'-')
            && count >= 4
            && rest.get(length.saturating_add(1)).is_some_and(u8::is_ascii_digit)
            && rest.get(length.saturating_sub(1)).is_some_and(u8::is_ascii_digit)
        {
            grouped = true;
        } else {
            break;
        }
        length = length.saturating_add(1);
    }
    let follows = rest.get(length).copied().unwrap_or(b' ');
    let joined = super::scan::is_token_byte(follows)
        || (follows == b'.' && rest.get(length.saturating_add(1)).is_some_and(u8::is_ascii_digit));
    let digits = digits.get(..count)?;
    if joined || !is_card(digits, grouped) {
        return None;
    }
    let end = start.saturating_add(length);
    let hit = Hit::new(ContentKind::PaymentCard, start, end);
    let zeros = digits.iter().filter(|digit| **digit == 0).count();
    // 4000 0000 0000 … is a round number that happens to pass.
    Some(if zeros > 12 { hit.at_risk(Risk::Low) } else { hit })
}

/// Whether the digits are a card's: an issuer's prefix, its length, and the check digit.
fn is_card(digits: &[u8], grouped: bool) -> bool {
    let prefix = digits.iter().take(4).fold(0_u32, |sum, digit| sum * 10 + u32::from(*digit));
    let length_fits = match prefix {
        3400..=3499 | 3700..=3799 => digits.len() == 15,
        3000..=3059 | 3600..=3699 | 3800..=3999 => digits.len() == 14,
        3528..=3589 => digits.len() == 16,
        // The old length of 13 in one piece is a time stamp more often than a card.
        4000..=4999 => digits.len() == 16 || (digits.len() == 13 && grouped) || digits.len() == 19,
        5100..=5599 | 2221..=2720 => digits.len() == 16,
        6011 | 6200..=6299 | 6440..=6599 => matches!(digits.len(), 16..=19),
        _ => false,
    };
    length_fits && passes_luhn(digits)
}

/// The check of ISO/IEC 7812-1, annex B.
fn passes_luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(index, digit)| match (index % 2, u32::from(*digit) * 2) {
            (0, _) => u32::from(*digit),
            (_, doubled) => doubled / 10 + doubled % 10,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// `ddd-dd-dddd` with a word before it that says what it is.
fn social_security(text: &[u8], start: usize) -> Option<Hit> {
    let end = start.checked_add(11)?;
    let number = text.get(start..end)?;
    let shaped = number.iter().enumerate().all(|(index, byte)| match index {
        3 | 6 => *byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    if !shaped || text.get(end).copied().is_some_and(super::scan::is_token_byte) {
        return None;
    }
    // Areas that were never given out.
    if number.starts_with(b"000") || number.starts_with(b"666") || number.starts_with(b"9") {
        return None;
    }
    let context = text.get(start.saturating_sub(40)..start)?;
    let named = context.windows(3).any(|part| part.eq_ignore_ascii_case(b"ssn"))
        || context.windows(15).any(|part| part.eq_ignore_ascii_case(b"social security"))
        || context.windows(15).any(|part| part.eq_ignore_ascii_case(b"social_security"));
    named.then(|| Hit::new(ContentKind::SocialSecurityNumber, start, end))
}

/// At a letter that begins a word: an IBAN of ISO 13616, in one piece or in groups of four.
pub(super) fn bank_account(text: &[u8], start: usize) -> Option<Hit> {
    let rest = text.get(start..)?;
    let &[first, second, third, fourth, ..] = rest else { return None };
    if !(first.is_ascii_uppercase()
        && second.is_ascii_uppercase()
        && third.is_ascii_digit()
        && fourth.is_ascii_digit())
    {
        return None;
    }
    let wanted = account_length([first, second])?;
    let mut account = [0_u8; 34];
    let mut count = 0;
    let mut length: usize = 0;
    while count < wanted {
        let &byte = rest.get(length)?;
        if byte.is_ascii_digit() || byte.is_ascii_uppercase() {
            *account.get_mut(count)? = byte;
            count = count.saturating_add(1);
        } else if byte != b' ' || count % 4 != 0 {
            return None;
        }
        length = length.saturating_add(1);
    }
    if rest.get(length).copied().is_some_and(super::scan::is_token_byte) {
        return None;
    }
    let (head, tail) = account.get(..count)?.split_at_checked(4)?;
    let remainder = tail.iter().chain(head).fold(0_u32, |sum, byte| match byte {
        b'0'..=b'9' => (sum * 10 + u32::from(byte.wrapping_sub(b'0'))) % 97,
        _ => (sum * 100 + u32::from(byte.wrapping_sub(b'A')) + 10) % 97,
    });
    (remainder == 1)
        .then(|| Hit::new(ContentKind::BankAccount, start, start.saturating_add(length)))
}

/// How long an account number of a country is, by the registry of ISO 13616.
const fn account_length(country: [u8; 2]) -> Option<usize> {
    Some(match &country {
        b"NO" => 15,
        b"BE" => 16,
        b"DK" | b"FI" | b"FO" | b"GL" | b"NL" => 18,
        b"MK" | b"SI" => 19,
        b"AT" | b"BA" | b"EE" | b"KZ" | b"LT" | b"LU" | b"XK" => 20,
        b"CH" | b"CR" | b"HR" | b"LI" | b"LV" => 21,
        b"BG" | b"BH" | b"DE" | b"GB" | b"GE" | b"IE" | b"ME" | b"RS" => 22,
        b"AE" | b"GI" | b"IL" => 23,
        b"AD" | b"CZ" | b"ES" | b"MD" | b"PK" | b"RO" | b"SA" | b"SE" | b"SK" | b"TN" => 24,
        b"LY" | b"PT" => 25,
        b"IS" | b"TR" => 26,
        b"FR" | b"GR" | b"IT" | b"MC" | b"SM" => 27,
        b"AL" | b"AZ" | b"BY" | b"CY" | b"DO" | b"GT" | b"HU" | b"LB" | b"PL" => 28,
        b"BR" | b"EG" | b"PS" | b"QA" | b"UA" => 29,
        b"JO" | b"KW" | b"MU" => 30,
        b"MT" | b"SC" => 31,
        _ => return None,
    })
}

/// The e-mail addresses seen so far.
#[derive(Debug, Default)]
pub(super) struct Emails {
    count: usize,
    first: usize,
    last: usize,
}

impl Emails {
    /// At an `@`: counts what looks like an address.
    pub(super) fn at(&mut self, text: &[u8], position: usize) {
        let local = position.checked_sub(1).and_then(|index| text.get(index));
        if !local.is_some_and(u8::is_ascii_alphanumeric) {
            return;
        }
        let domain = text.get(position.saturating_add(1)..).unwrap_or_default();
        let length = domain
            .iter()
            .take(64)
            .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
            .count();
        let domain = domain.get(..length).unwrap_or_default();
        let dot = domain.iter().position(|byte| *byte == b'.');
        if dot.is_none_or(|dot| dot == 0 || dot.saturating_add(2) >= length) {
            return;
        }
        if self.count == 0 {
            self.first = position;
        }
        self.count = self.count.saturating_add(1);
        self.last = position.saturating_add(1).saturating_add(length);
    }

    /// From the first to the last, if they are many.
    pub(super) fn many(&self) -> Option<(usize, usize)> {
        (self.count >= MANY_EMAILS).then_some((self.first, self.last))
    }
}

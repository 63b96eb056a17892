//! What can be found in the bytes, in words.

use super::{Hit, SecretKind};
use crate::source_range::SourceRange;
use ctrlz_core::verdict::Risk;

/// Characters shown on either side of what was found.
const EXCERPT_CONTEXT: usize = 12;
/// Bytes of what was found that are shown.
const EXCERPT_LENGTH: usize = 32;

/// One thing that the bytes show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ContentFinding {
    /// What it is.
    pub(crate) kind: ContentKind,
    /// Where it stands.
    pub(crate) range: SourceRange,
    /// How bad it is here: at most what [`ContentKind::risk`] says, since a documented example of
    /// a key is less than a key.
    pub(crate) risk: Risk,
    /// What stands there, fit for a terminal and a log: no control characters, no secrets.
    pub(crate) excerpt: String,
}

/// What the bytes can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ContentKind {
    /// Longer than the caller's limit.
    TooLarge,
    /// Bytes that are not UTF-8.
    NotUtf8,
    /// A zero byte.
    NulByte,
    /// An escape sequence that only sets colours.
    TerminalColour,
    /// An escape sequence that moves the cursor, erases, or gives the terminal orders.
    TerminalEscape,
    /// A carriage return or a backspace that lets one text cover another.
    OverwritingCharacter,
    /// Another control character.
    ControlCharacter,
    /// A bidirectional control that shows text in another order than it runs.
    BidirectionalControl,
    /// A direction mark or a closed isolate in text that is written from right to left.
    DirectionMark,
    /// An invisible character inside a word or in a run of its like.
    HiddenCharacter,
    /// An invisible character that joins or separates nothing.
    InvisibleCharacter,
    /// A space that is none to the shell.
    UnusualSpace,
    /// A word in letters of another script that looks like a program that can do harm.
    ImitatedProgram,
    /// A host name that mixes scripts so that it looks like another.
    ImitatedHost,
    /// A word that mixes ASCII letters with look-alikes of another script.
    MixedScript,
    /// A password, key or token.
    Secret(SecretKind),
    /// The number of a payment card.
    PaymentCard,
    /// An international bank account number.
    BankAccount,
    /// A social security number of the United States.
    SocialSecurityNumber,
    /// Many e-mail addresses.
    EmailAddresses,
    /// `${jndi:…}`: a lookup that loads code into whoever logs it.
    LookupPayload,
    /// `() { :;}; …`: a function whose tail an old bash runs on import.
    FunctionImportPayload,
    /// A chain of `../` that leads to a directory of the system.
    TraversalChain,
    /// A chain of `../` that is percent-encoded so that a filter does not see it.
    EncodedTraversal,
    /// `%0a` or `%0d`: a line break that a server may decode into a header or a command.
    EncodedLineBreak,
    /// `%00`: a zero byte that cuts a path short where it is decoded.
    EncodedNul,
}

impl ContentKind {
    /// The stable name, in kebab case.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::TooLarge => "too-large",
            Self::NotUtf8 => "not-utf8",
            Self::NulByte => "nul-byte",
            Self::TerminalColour => "terminal-colour",
            Self::TerminalEscape => "terminal-escape",
            Self::OverwritingCharacter => "overwriting-character",
            Self::ControlCharacter => "control-character",
            Self::BidirectionalControl => "bidirectional-control",
            Self::DirectionMark => "direction-mark",
            Self::HiddenCharacter => "hidden-character",
            Self::InvisibleCharacter => "invisible-character",
            Self::UnusualSpace => "unusual-space",
            Self::ImitatedProgram => "imitated-program",
            Self::ImitatedHost => "imitated-host",
            Self::MixedScript => "mixed-script",
            Self::Secret(secret) => secret.name(),
            Self::PaymentCard => "payment-card",
            Self::BankAccount => "bank-account",
            Self::SocialSecurityNumber => "social-security-number",
            Self::EmailAddresses => "email-addresses",
            Self::LookupPayload => "lookup-payload",
            Self::FunctionImportPayload => "function-import-payload",
            Self::TraversalChain => "traversal-chain",
            Self::EncodedTraversal => "encoded-traversal",
            Self::EncodedLineBreak => "encoded-line-break",
            Self::EncodedNul => "encoded-nul",
        }
    }

    /// How bad it is as a rule. High is for what nobody writes without meaning to deceive.
    pub(crate) const fn risk(self) -> Risk {
        match self {
            Self::NulByte
            | Self::TerminalEscape
            | Self::OverwritingCharacter
            | Self::BidirectionalControl
            | Self::HiddenCharacter
            | Self::ImitatedProgram
            | Self::ImitatedHost => Risk::High,
            Self::Secret(_)
            | Self::PaymentCard
            | Self::BankAccount
            | Self::SocialSecurityNumber
            | Self::LookupPayload
            | Self::FunctionImportPayload
            | Self::EncodedTraversal => Risk::Medium,
            Self::TooLarge
            | Self::NotUtf8
            | Self::TerminalColour
            | Self::ControlCharacter
            | Self::DirectionMark
            | Self::InvisibleCharacter
            | Self::UnusualSpace
            | Self::MixedScript
            | Self::EmailAddresses
            | Self::TraversalChain
            | Self::EncodedLineBreak
            | Self::EncodedNul => Risk::Low,
        }
    }

    /// Why it matters.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::TooLarge => "the text is longer than anybody reads before agreeing to it",
            Self::NotUtf8 => "some bytes are not UTF-8, so programs may read them differently",
            Self::NulByte => "a zero byte ends the text for some programs and not for others",
            Self::TerminalColour => "an escape sequence changes the terminal's colours",
            Self::TerminalEscape => {
                "an escape sequence can repaint the terminal, so that what is shown is not what runs"
            }
            Self::OverwritingCharacter => {
                "on a terminal the text after this character covers the text before it"
            }
            Self::ControlCharacter => "a control character that is not shown",
            Self::BidirectionalControl => {
                "a bidirectional control shows the text in another order than it runs"
            }
            Self::DirectionMark => "a direction mark in text that is written from right to left",
            Self::HiddenCharacter => "an invisible character makes this another word than it seems",
            Self::InvisibleCharacter => "an invisible character",
            Self::UnusualSpace => "a space that separates no words in a shell",
            Self::ImitatedProgram => {
                "letters of another script imitate the name of a program that can do harm"
            }
            Self::ImitatedHost => "letters of another script imitate another host's name",
            Self::MixedScript => "a word mixes letters of different scripts that look alike",
            Self::Secret(SecretKind::PrivateKey) => {
                "a private key: whoever reads a log or a history of this can act as its owner"
            }
            Self::Secret(_) => "a secret in the text reaches process lists, histories and logs",
            Self::PaymentCard => "the number of a payment card",
            Self::BankAccount => "the number of a bank account",
            Self::SocialSecurityNumber => "a social security number",
            Self::EmailAddresses => "a list of e-mail addresses",
            Self::LookupPayload => "a lookup that makes vulnerable loggers load code",
            Self::FunctionImportPayload => {
                "a function definition that makes an old bash run what follows it"
            }
            Self::TraversalChain => "a path climbs out of its directory into the system's",
            Self::EncodedTraversal => "a path climbs up in an encoding that filters overlook",
            Self::EncodedLineBreak => "an encoded line break can inject a line where it is decoded",
            Self::EncodedNul => "an encoded zero byte can cut a path short where it is decoded",
        }
    }

    /// What to do instead.
    pub(crate) const fn hint(self) -> &'static str {
        match self {
            Self::TooLarge => "put it into a file and have that checked in parts",
            Self::NotUtf8 => "write the bytes as $'\\xNN', so that it is seen what they are",
            Self::NulByte
            | Self::TerminalColour
            | Self::TerminalEscape
            | Self::OverwritingCharacter
            | Self::ControlCharacter => {
                "write it as an escape, such as $'\\e' or \\033, or remove it"
            }
            Self::BidirectionalControl
            | Self::DirectionMark
            | Self::HiddenCharacter
            | Self::InvisibleCharacter => "remove the character, or write it as $'\\uNNNN'",
            Self::UnusualSpace => "use an ordinary space",
            Self::ImitatedProgram | Self::ImitatedHost | Self::MixedScript => {
                "type the word anew in one script"
            }
            Self::Secret(SecretKind::PrivateKey) => {
                "keep the key in a file of mode 600 and name that"
            }
            Self::Secret(_) => {
                "pass it in a file or in a variable that is set elsewhere, and replace it if it is live"
            }
            Self::PaymentCard
            | Self::BankAccount
            | Self::SocialSecurityNumber
            | Self::EmailAddresses => "keep personal data in a file, or use invented values",
            Self::LookupPayload
            | Self::FunctionImportPayload
            | Self::TraversalChain
            | Self::EncodedTraversal
            | Self::EncodedLineBreak
            | Self::EncodedNul => "run it only against a system that you are asked to test",
        }
    }

    /// What stands for it in every output, where it must not be shown; the same as the name.
    pub(crate) const fn redaction(self) -> Option<&'static str> {
        match self {
            Self::Secret(_)
            | Self::PaymentCard
            | Self::BankAccount
            | Self::SocialSecurityNumber => Some(self.name()),
            _ => None,
        }
    }
}

/// The hits as findings, at most `of_a_kind` of one kind. `hits` are ordered by where they stand.
pub(super) fn tell(text: &[u8], hits: &[Hit], of_a_kind: usize) -> Vec<ContentFinding> {
    let redacted: Vec<SourceRange> =
        hits.iter().filter(|hit| hit.kind.redaction().is_some()).map(|hit| hit.range).collect();
    let mut told: Vec<(ContentKind, Risk, usize)> = Vec::new();
    let mut findings = Vec::new();
    for hit in hits {
        // The same kind at another risk is counted by itself: a flood of harmless hits hides none.
        match told.iter_mut().find(|(kind, risk, _)| *kind == hit.kind && *risk == hit.risk) {
            Some((_, _, count)) if *count >= of_a_kind => continue,
            Some((_, _, count)) => *count = count.saturating_add(1),
            None => told.push((hit.kind, hit.risk, 1)),
        }
        findings.push(ContentFinding {
            kind: hit.kind,
            range: hit.range,
            risk: hit.risk,
            excerpt: excerpt(text, *hit, &redacted),
        });
    }
    findings
}

/// What stands at a hit, with a little of what surrounds it up to the nearest range of `redacted`.
fn excerpt(text: &[u8], hit: Hit, redacted: &[SourceRange]) -> String {
    let SourceRange { start, end } = hit.range;
    let mut from = start.saturating_sub(EXCERPT_CONTEXT);
    let mut to = end.min(start.saturating_add(EXCERPT_LENGTH)).saturating_add(EXCERPT_CONTEXT);
    to = to.min(text.len());
    // Those ranges do not overlap each other, so the neighbours are the only ones near.
    let (before, after) = redacted.split_at(redacted.partition_point(|range| range.start < start));
    if let Some(previous) = before.last() {
        from = from.max(previous.end).min(text.len());
    }
    if let Some(next) = after.first() {
        to = to.min(next.start);
    }
    let mut shown = String::new();
    if let Some(kind) = hit.kind.redaction() {
        push_printable(&mut shown, text.get(from..start).unwrap_or_default());
        shown.push_str("‹redacted: ");
        shown.push_str(kind);
        shown.push('›');
    } else {
        push_printable(&mut shown, text.get(from..to).unwrap_or_default());
    }
    shown
}

/// Adds `bytes` with everything escaped that a terminal would not show as it is.
fn push_printable(shown: &mut String, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            if letter.is_control() || super::character::is_invisible(letter) {
                shown.extend(letter.escape_unicode());
            } else {
                shown.push(letter);
            }
        }
        // A character that the cut went through is no invalid byte of the text; either way it
        // cannot be shown.
        if !chunk.invalid().is_empty() {
            shown.push('…');
        }
    }
}

//! Tokens that tell by their first letters whose they are.
//!
//! A matcher is only tried where a word begins, and no matcher's run of letters contains the
//! beginning of another word, so the whole text is read a bounded number of times.

use super::super::{ContentKind, Hit};
use super::SecretKind;
use super::randomness::{decode_base64_url, is_varied};
use ctrlz_core::verdict::Risk;

/// The letters of which a token's body is made.
#[derive(Debug, Clone, Copy)]
enum Letters {
    /// `A-Z`, `0-9`.
    Upper,
    /// `A-Z`, `a-z`, `0-9`.
    Alphanumeric,
    /// The same, `_` and `-`.
    Token,
    /// The same, `/` and `.`.
    Path,
    /// `0-9`, `a-f`.
    Hex,
}

impl Letters {
    const fn contains(self, byte: u8) -> bool {
        match self {
            Self::Upper => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
            Self::Alphanumeric => byte.is_ascii_alphanumeric(),
            Self::Token => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'),
            Self::Path => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'/' | b'.'),
            Self::Hex => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        }
    }
}

/// How a kind of token looks: a prefix, then so many letters.
#[derive(Debug, Clone, Copy)]
struct Shape {
    prefix: &'static str,
    letters: Letters,
    least: usize,
    most: usize,
    kind: SecretKind,
    /// Whether a digit is needed among the letters, since words are written like this as well.
    digit: bool,
}

const ANY: usize = usize::MAX;
/// The longest secret path of an address that is read.
const PATH_MAX: usize = 128;

const fn exact(prefix: &'static str, letters: Letters, length: usize, kind: SecretKind) -> Shape {
    Shape { prefix, letters, least: length, most: length, kind, digit: false }
}

const fn least(prefix: &'static str, letters: Letters, least: usize, kind: SecretKind) -> Shape {
    Shape { prefix, letters, least, most: ANY, kind, digit: false }
}

const fn with_digit(
    prefix: &'static str,
    letters: Letters,
    least: usize,
    kind: SecretKind,
) -> Shape {
    Shape { prefix, letters, least, most: ANY, kind, digit: true }
}

/// The shapes whose prefix begins with a byte.
fn shapes(first: u8) -> &'static [Shape] {
    use Letters::{Alphanumeric, Hex, Path, Token, Upper};
    use SecretKind as Kind;
    match first {
        b'A' => {
            const {
                &[
                    exact("AKIA", Upper, 16, Kind::AwsAccessKey),
                    exact("ASIA", Upper, 16, Kind::AwsAccessKey),
                    exact("ABIA", Upper, 16, Kind::AwsAccessKey),
                    exact("ACCA", Upper, 16, Kind::AwsAccessKey),
                    with_digit("AIza", Token, 30, Kind::GoogleApiKey),
                    least("AGE-SECRET-KEY-1", Upper, 40, Kind::PrivateKey),
                    with_digit("ATATT3", Token, 40, Kind::ServiceToken),
                ]
            }
        }
        b'G' => const { &[with_digit("GOCSPX-", Token, 20, Kind::GoogleOauth)] },
        b'H' => const { &[with_digit("HRKU-", Token, 30, Kind::ServiceToken)] },
        b'P' => const { &[with_digit("PMAK-", Token, 40, Kind::ServiceToken)] },
        b'S' => const { &[exact("SK", Hex, 32, Kind::TwilioKey)] },
        b'c' => const { &[exact("cio", Alphanumeric, 32, Kind::ServiceToken)] },
        b'd' => {
            const {
                &[
                    with_digit("dop_v1_", Alphanumeric, 32, Kind::DigitaloceanToken),
                    with_digit("doo_v1_", Alphanumeric, 32, Kind::DigitaloceanToken),
                    with_digit("dor_v1_", Alphanumeric, 32, Kind::DigitaloceanToken),
                    with_digit("dapi", Hex, 32, Kind::DatabricksToken),
                    least("dckr_pat_", Token, 16, Kind::DockerToken),
                    least("dckr_oat_", Token, 16, Kind::DockerToken),
                    with_digit("discord.com/api/webhooks/", Path, 40, Kind::WebhookUrl),
                    with_digit("discordapp.com/api/webhooks/", Path, 40, Kind::WebhookUrl),
                ]
            }
        }
        b'f' => const { &[with_digit("figd_", Token, 30, Kind::ServiceToken)] },
        b'g' => {
            const {
                &[
                    least("ghp_", Alphanumeric, 20, Kind::GithubToken),
                    least("gho_", Alphanumeric, 20, Kind::GithubToken),
                    least("ghu_", Alphanumeric, 20, Kind::GithubToken),
                    least("ghs_", Alphanumeric, 20, Kind::GithubToken),
                    least("ghr_", Alphanumeric, 20, Kind::GithubToken),
                    least("github_pat_", Token, 22, Kind::GithubToken),
                    least("glpat-", Token, 16, Kind::GitlabToken),
                    with_digit("gldt-", Token, 16, Kind::GitlabToken),
                    with_digit("glrt-", Token, 16, Kind::GitlabToken),
                    with_digit("glptt-", Token, 16, Kind::GitlabToken),
                    with_digit("glsa_", Token, 30, Kind::ServiceToken),
                    with_digit("glc_", Token, 30, Kind::ServiceToken),
                ]
            }
        }
        b'h' => {
            const {
                &[
                    least("hf_", Alphanumeric, 24, Kind::HuggingFaceToken),
                    least("hvs.", Token, 20, Kind::VaultToken),
                    least("hvb.", Token, 20, Kind::VaultToken),
                    least("hvr.", Token, 20, Kind::VaultToken),
                    least("hooks.slack.com/services/", Path, 20, Kind::WebhookUrl),
                    least("hooks.slack.com/workflows/", Path, 20, Kind::WebhookUrl),
                ]
            }
        }
        b'l' => const { &[with_digit("lin_api_", Alphanumeric, 30, Kind::ServiceToken)] },
        b'n' => {
            const {
                &[
                    with_digit("npm_", Alphanumeric, 30, Kind::NpmToken),
                    with_digit("nfp_", Alphanumeric, 30, Kind::ServiceToken),
                ]
            }
        }
        b'o' => const { &[with_digit("oy2", Alphanumeric, 43, Kind::ServiceToken)] },
        b'p' => {
            const {
                &[
                    with_digit("pypi-", Token, 40, Kind::PypiToken),
                    with_digit("pul-", Hex, 40, Kind::ServiceToken),
                    with_digit("pscale_tkn_", Token, 30, Kind::ServiceToken),
                ]
            }
        }
        b'r' => {
            const {
                &[
                    least("rk_live_", Alphanumeric, 16, Kind::StripeKey),
                    least("rk_test_", Alphanumeric, 16, Kind::StripeKey),
                    with_digit("rubygems_", Hex, 40, Kind::ServiceToken),
                ]
            }
        }
        b's' => {
            const {
                &[
                    least("sk_live_", Alphanumeric, 16, Kind::StripeKey),
                    least("sk_test_", Alphanumeric, 16, Kind::StripeKey),
                    least("sk-ant-", Token, 16, Kind::AnthropicKey),
                    least("sk-proj-", Token, 20, Kind::OpenaiKey),
                    with_digit("sk-", Token, 20, Kind::OpenaiKey),
                    with_digit("shpat_", Hex, 32, Kind::ServiceToken),
                    with_digit("shpss_", Hex, 32, Kind::ServiceToken),
                    with_digit("shpca_", Hex, 32, Kind::ServiceToken),
                    with_digit("sbp_", Hex, 40, Kind::ServiceToken),
                    with_digit("sntrys_", Token, 40, Kind::ServiceToken),
                ]
            }
        }
        b't' => const { &[with_digit("tskey-", Token, 20, Kind::ServiceToken)] },
        b'w' => const { &[with_digit("whsec_", Alphanumeric, 24, Kind::StripeKey)] },
        b'x' => {
            const {
                &[
                    least("xoxb-", Token, 16, Kind::SlackToken),
                    least("xoxa-", Token, 16, Kind::SlackToken),
                    least("xoxp-", Token, 16, Kind::SlackToken),
                    least("xoxr-", Token, 16, Kind::SlackToken),
                    least("xoxs-", Token, 16, Kind::SlackToken),
                    least("xoxe-", Token, 16, Kind::SlackToken),
                    least("xoxe.", Token, 16, Kind::SlackToken),
                    with_digit("xapp-", Token, 20, Kind::SlackToken),
                    with_digit("xai-", Alphanumeric, 40, Kind::ServiceToken),
                ]
            }
        }
        b'y' => const { &[with_digit("ya29.", Token, 30, Kind::GoogleOauth)] },
        _ => &[],
    }
}

/// At a letter that begins a word: the token there, if there is one.
pub(in super::super) fn at(text: &[u8], start: usize) -> Option<Hit> {
    let rest = text.get(start..)?;
    let first = *rest.first()?;
    match first {
        b'e' => return json_web_token(text, start),
        b'S' if rest.starts_with(b"SG.") => return sendgrid(rest, start),
        b'M' | b'N' | b'O' => return discord(rest, start),
        _ => {}
    }
    shapes(first).iter().find_map(|shape| {
        let body = rest.strip_prefix(shape.prefix.as_bytes())?;
        // A path can hold the beginning of another, so it is read only so far.
        let most = if matches!(shape.letters, Letters::Path) { PATH_MAX } else { ANY };
        let length =
            body.iter().take(most).take_while(|byte| shape.letters.contains(**byte)).count();
        let body = body.get(..length)?;
        let fits = length >= shape.least
            && length <= shape.most
            && is_varied(body)
            && (!shape.digit || body.iter().any(u8::is_ascii_digit))
            // `sk-learn-like-names-2-of-files`: a key has letters of both cases, or no dashes.
            && (shape.prefix != "sk-" || body.iter().any(u8::is_ascii_uppercase)
                || !body.contains(&b'-'));
        if !fits {
            return None;
        }
        let end = start + shape.prefix.len() + length;
        let hit = Hit::new(ContentKind::Secret(shape.kind), start, end);
        // Letters that read `EXAMPLE` are no promise: in its full form it is taken for a key.
        let documented = shape.prefix.ends_with("_test_");
        Some(if documented { hit.at_risk(Risk::Low) } else { hit })
    })
}

/// Whether what a block holds says itself that it is an example.
pub(super) fn is_example(body: &[u8]) -> bool {
    body.windows(7).any(|part| part.eq_ignore_ascii_case(b"EXAMPLE"))
}

/// The run of letters at the start, at least so many, and what follows it.
fn run(text: &[u8], letters: Letters, least: usize) -> Option<(&[u8], &[u8])> {
    let length = text.iter().take_while(|byte| letters.contains(**byte)).count();
    if length < least { None } else { text.split_at_checked(length) }
}

/// Three parts in base64url, of which the first decodes to JSON that names an algorithm.
fn json_web_token(text: &[u8], start: usize) -> Option<Hit> {
    let rest = text.get(start..)?;
    if !rest.starts_with(b"eyJ") {
        return None;
    }
    let (header, tail) = run(rest, Letters::Token, 10)?;
    let (claims, tail) = run(tail.strip_prefix(b".")?, Letters::Token, 4)?;
    let (signature, _) = run(tail.strip_prefix(b".")?, Letters::Token, 0)?;
    let decoded = decode_base64_url(header.get(..header.len().min(1024))?);
    let names = |word: &[u8]| decoded.windows(word.len()).any(|part| part == word);
    if !decoded.starts_with(b"{") || !(names(b"\"alg\"") || names(b"\"enc\"")) {
        return None;
    }
    let end = start + header.len() + claims.len() + signature.len() + 2;
    let hit = Hit::new(ContentKind::Secret(SecretKind::JsonWebToken), start, end);
    // Without a signature it opens nothing that is worth opening.
    Some(if signature.is_empty() { hit.at_risk(Risk::Low) } else { hit })
}

fn sendgrid(rest: &[u8], start: usize) -> Option<Hit> {
    let (id, tail) = run(rest.get(3..)?, Letters::Token, 16)?;
    let (secret, _) = run(tail.strip_prefix(b".")?, Letters::Token, 30)?;
    let end = start + 4 + id.len() + secret.len();
    is_varied(secret).then(|| Hit::new(ContentKind::Secret(SecretKind::SendgridKey), start, end))
}

/// An id in base64 (digits, so it begins with M, N or O), a time stamp, a signature.
fn discord(rest: &[u8], start: usize) -> Option<Hit> {
    let (id, tail) = run(rest, Letters::Token, 23)?;
    let (stamp, tail) = run(tail.strip_prefix(b".")?, Letters::Token, 6)?;
    let (signature, _) = run(tail.strip_prefix(b".")?, Letters::Token, 27)?;
    let fits = id.len() <= 28
        && (stamp.len() == 6 || stamp.len() == 7)
        && signature.len() <= 45
        && decode_base64_url(id).iter().all(u8::is_ascii_digit)
        && is_varied(signature);
    let end = start + id.len() + stamp.len() + signature.len() + 2;
    fits.then(|| Hit::new(ContentKind::Secret(SecretKind::DiscordToken), start, end))
}

//! Taking secrets out of what a sink says.
//!
//! A command may repeat its arguments, a variable or a header on standard error, and an address may
//! be a secret by itself. What is told of a failure is kept in files and shown to whoever looks, so it
//! goes through here first: what the configuration of the sink, or a variable that is named like a
//! secret, holds is taken out literally, and what looks like a secret by the rule that the caller gives.

/// Takes out of a text what looks like a secret.
pub type Redact<'r> = dyn Fn(&str) -> String + 'r;

/// Shorter than this, a word is no secret, and taking it out would tear apart what is said.
const SHORTEST: usize = 6;
/// From this length on, a word of a script may be a secret though it has no digit.
const LONG: usize = 16;
/// What names of variables have in them that hold secrets. The address of a proxy may have a password.
const SECRET_NAMES: [&str; 9] =
    ["TOKEN", "SECRET", "PASS", "KEY", "CREDENTIAL", "AUTH", "COOKIE", "WEBHOOK", "PROXY"];
/// What stands for what was taken out.
const MARK: &str = "‹redacted›";

/// `said` without the secrets that are in `given`, which is what the configuration says about the
/// sink, in the environment, or by the looks of it.
pub(crate) fn discreet(said: &str, given: &[&str], redact: &Redact<'_>) -> String {
    let variables: Vec<String> = variables().collect();
    let mut secrets: Vec<&str> = variables.iter().map(String::as_str).collect();
    given.iter().for_each(|one| add_words(one, &mut secrets));
    // The longest first: one may be part of another.
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    let mut text = said.to_owned();
    for secret in secrets {
        if text.contains(secret) {
            text = text.replace(secret, MARK);
        }
    }
    redact(&text)
}

/// The words of an argument that may be secrets: all of one that has no blanks, as it is the value of
/// an option; of a script those that no program and no ordinary word looks like.
fn add_words<'a>(argument: &'a str, to: &mut Vec<&'a str>) {
    let is_script = argument.contains(char::is_whitespace);
    let is_option = argument.starts_with('-');
    let whole = argument.split(|c: char| c.is_whitespace() || "\"'`;|&<>()".contains(c));
    let apart = argument.split(|c: char| !(c.is_ascii_alphanumeric() || "_-+.~%".contains(c)));
    for word in whole.chain(apart) {
        let may_be = match (is_script, is_option) {
            (false, false) => true,
            _ => word.len() >= LONG || word.contains(|c: char| c.is_ascii_digit()),
        };
        if word.len() >= SHORTEST && may_be {
            to.push(word);
        }
    }
    // `--token=value`
    if let Some((_, value)) = argument.split_once('=').filter(|_| is_option && !is_script)
        && value.len() >= SHORTEST
    {
        to.push(value);
    }
}

/// The values of variables that are named like secrets.
fn variables() -> impl Iterator<Item = String> {
    let is_secret = |name: &str| {
        let name = name.to_ascii_uppercase();
        SECRET_NAMES.iter().any(|part| name.contains(part))
    };
    std::env::vars_os().filter_map(move |(name, value)| {
        let value = value.into_string().ok()?;
        (is_secret(&name.to_string_lossy()) && value.len() >= SHORTEST).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without(said: &str, given: &[&str]) -> String {
        discreet(said, given, &str::to_owned)
    }

    #[test]
    fn what_the_configuration_holds_is_taken_out() {
        for (said, given, left) in [
            ("no such user: hunter", &["--user", "hunter"][..], "no such user: ‹redacted›"),
            ("bad token sesame!", &["--token=sesame!"], "bad token ‹redacted›"),
            (
                "curl: (6) cannot resolve hooks.example/T0/B0/aZ3kq9Lw",
                &["-c", "curl https://hooks.example/T0/B0/aZ3kq9Lw"],
                "curl: (6) cannot resolve hooks.example/T0/B0/‹redacted›",
            ),
            (
                "> Authorization: Bearer correcthorsebatterystaple",
                &["-c", "curl -H 'Authorization: Bearer correcthorsebatterystaple'"],
                "> Authorization: Bearer ‹redacted›",
            ),
            // What is said beside it stays readable.
            ("sh: 1: notify: not found", &["-c", "notify $HOME/x"], "sh: 1: notify: not found"),
        ] {
            assert_eq!(without(said, given), left, "{given:?}");
        }
    }

    #[test]
    fn the_callers_rule_is_asked_last() {
        let rule = |text: &str| text.replace("looks", "‹looks›");
        assert_eq!(discreet("what looks so", &[], &rule), "what ‹looks› so");
    }
}

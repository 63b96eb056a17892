//! `.rules` files of Codex: `prefix_rule(…)` and `host_executable(…)`.

use super::starlark::{self, Call, Content, Value};
use super::{ImportError, Names};
use crate::rules::Pack;
use crate::rules::pack::{Entry, quoted};

/// Translates a rules file of Codex.
///
/// `forbidden` becomes a rule of critical risk, `prompt` one of high risk, `allow` a rule that
/// vouches for the call where its pack may loosen. A rule without a decision allows, as there.
/// `match` and `not_match` become the examples; those that contradict how ctrlz reads the command
/// are left out and told in the notes.
///
/// # Errors
///
/// What is not of that form, with its place.
pub fn codex(name: &str, text: &str) -> Result<Pack, ImportError> {
    let calls = starlark::calls(text)?;
    let mut names = Names::default();
    let mut entries: Vec<Entry> = Vec::new();
    let mut notes = Vec::new();
    let mut executables: Vec<(String, Vec<String>)> = Vec::new();
    for call in calls {
        match call.name.as_str() {
            "prefix_rule" => entries.push(prefix_rule(call, &mut names)?),
            "host_executable" => executables.push(host_executable(call)?),
            other => notes.push(format!(
                "line {}: {} is not translated: only prefix_rule and host_executable are",
                call.at.0,
                quoted(other)
            )),
        }
    }
    for entry in entries.iter_mut().filter(|entry| entry.allow) {
        let programs = entry.prefix.first().cloned().unwrap_or_default();
        let of_entry = executables.iter().filter(|(name, _)| programs.contains(name));
        entry.executable = of_entry.flat_map(|(_, paths)| paths.iter().cloned()).collect();
    }
    super::claude::checked(name, entries, notes)
}

fn fail<T>(at: (usize, usize), message: impl Into<String>) -> Result<T, ImportError> {
    Err(ImportError { line: at.0, column: at.1, message: message.into() })
}

fn prefix_rule(call: Call, names: &mut Names) -> Result<Entry, ImportError> {
    let mut entry = Entry::default();
    let mut decision = ("allow".to_owned(), call.at);
    for (key, value) in call.arguments {
        match key.as_str() {
            "pattern" => entry.prefix = pattern(value)?,
            "decision" => {
                let at = value.at;
                decision = (text(value)?, at);
            }
            "justification" if value.content == Content::Nothing => {}
            "justification" => entry.form.reason = text(value)?,
            "match" => entry.form.matches = commands(value)?,
            "not_match" => entry.form.no_match = commands(value)?,
            other => {
                return fail(call.at, format!("prefix_rule has no argument {}", quoted(other)));
            }
        }
    }
    if entry.prefix.is_empty() {
        return fail(call.at, "prefix_rule needs a pattern that is not empty");
    }
    let (risk, reason) = match decision.0.as_str() {
        "allow" => ("low", ""),
        "prompt" => ("high", "the rules of Codex ask before it"),
        "forbidden" => ("critical", "the rules of Codex forbid it"),
        other => {
            let message = format!("{} is none of allow, prompt, forbidden", quoted(other));
            return fail(decision.1, message);
        }
    };
    risk.clone_into(&mut entry.form.risk);
    entry.allow = risk == "low";
    if entry.form.reason.trim().is_empty() {
        reason.clone_into(&mut entry.form.reason);
    }
    entry.form.id =
        names.next(entry.prefix.iter().filter_map(|place| place.first()).map(String::as_str));
    Ok(entry)
}

fn host_executable(call: Call) -> Result<(String, Vec<String>), ImportError> {
    let (mut name, mut paths) = (None, Vec::new());
    for (key, value) in call.arguments {
        match key.as_str() {
            "name" => name = Some(text(value)?),
            "paths" => paths = texts(value)?,
            other => {
                return fail(call.at, format!("host_executable has no argument {}", quoted(other)));
            }
        }
    }
    match name {
        Some(name) => Ok((name, paths)),
        None => fail(call.at, "host_executable needs a name"),
    }
}

fn text(value: Value) -> Result<String, ImportError> {
    match value.content {
        Content::Text(text) => Ok(text),
        _ => fail(value.at, "expected a text"),
    }
}

fn list(value: Value) -> Result<Vec<Value>, ImportError> {
    match value.content {
        Content::List(items) => Ok(items),
        Content::Nothing => Ok(Vec::new()),
        Content::Text(_) => fail(value.at, "expected a list"),
    }
}

fn texts(value: Value) -> Result<Vec<String>, ImportError> {
    list(value)?.into_iter().map(text).collect()
}

/// A list of texts, or of lists of alternatives.
fn pattern(value: Value) -> Result<Vec<Vec<String>>, ImportError> {
    let places = list(value)?.into_iter().map(|place| match place.content {
        Content::Text(text) => Ok(vec![text]),
        Content::List(ref items) if items.is_empty() => fail(place.at, "no alternatives"),
        _ => texts(place),
    });
    places.collect()
}

/// A list of commands, each a text or a list of arguments.
fn commands(value: Value) -> Result<Vec<String>, ImportError> {
    let commands = list(value)?.into_iter().map(|command| match command.content {
        Content::Text(text) => Ok(text),
        _ => Ok(texts(command)?.iter().map(|word| in_quotes(word)).collect::<Vec<_>>().join(" ")),
    });
    commands.collect()
}

/// An argument as a shell is told it.
fn in_quotes(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=@%+,".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

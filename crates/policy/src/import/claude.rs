//! Permission rules of Claude Code: `permissions.deny`, `ask` and `allow` of its settings.

use serde_json::Value;

use super::{ImportError, Names};
use crate::rules::Pack;
use crate::rules::form::OneOrMore;
use crate::rules::pack::{Entry, escaped, quoted};

/// Translates the settings of Claude Code.
///
/// `deny` becomes rules of critical risk, `ask` of high risk, and `allow` rules that vouch for the
/// call where the pack may loosen; the strictest wins, as there. `Bash(…)` becomes rules about
/// calls; `Read(…)`, `Edit(…)`, `Write(…)` and `WebFetch(domain:…)` rules about effects, whatever
/// program has them. What is allowed there needs no rule here, since reading and writing files is
/// judged by what they are; that and whatever else has no meaning here, such as tools of MCP
/// servers, is told in the notes.
///
/// # Errors
///
/// What is no JSON, or has another form, with its place.
pub fn claude(name: &str, text: &str) -> Result<Pack, ImportError> {
    let settings: Value = serde_json::from_str(text).map_err(|error| ImportError {
        line: error.line().max(1),
        column: error.column().max(1),
        message: error.to_string().split(" at line ").next().unwrap_or_default().to_owned(),
    })?;
    let fail = |message: String| Err(ImportError { line: 1, column: 1, message });
    let Value::Object(settings) = &settings else {
        return fail("expected an object with `permissions`".to_owned());
    };
    let empty = serde_json::Map::new();
    let permissions = match settings.get("permissions") {
        None | Some(Value::Null) => &empty,
        Some(Value::Object(permissions)) => permissions,
        Some(_) => return fail("`permissions` is no object".to_owned()),
    };
    let mut names = Names::default();
    let mut entries = Vec::new();
    let mut notes = Vec::new();
    for decision in [Decision::Deny, Decision::Ask, Decision::Allow] {
        let rules = match permissions.get(decision.word()) {
            None | Some(Value::Null) => continue,
            Some(Value::Array(rules)) => rules,
            Some(_) => return fail(format!("`permissions.{}` is no list", decision.word())),
        };
        for rule in rules {
            let Value::String(rule) = rule else {
                return fail(format!("`permissions.{}` holds what is no text", decision.word()));
            };
            match translated(rule, decision) {
                Ok(mut entry) => {
                    entry.form.id = names.next([decision.word(), rule].into_iter());
                    entries.push(entry);
                }
                Err(why) => notes.push(format!("{} {}: {why}", decision.word(), quoted(rule))),
            }
        }
    }
    let known = ["deny", "ask", "allow"];
    for key in permissions.keys().filter(|key| !known.contains(&key.as_str())) {
        notes.push(format!("permissions.{}: it is not translated", quoted(key)));
    }
    checked(name, entries, notes)
}

/// A pack of the entries, without the examples that do not hold here.
pub(super) fn checked(
    name: &str,
    mut entries: Vec<Entry>,
    mut notes: Vec<String>,
) -> Result<Pack, ImportError> {
    let pack = Pack::of_entries(name, entries.clone(), notes.clone())?;
    let failing = pack.failing_examples();
    if failing.is_empty() {
        return Ok(pack);
    }
    for entry in &mut entries {
        let mine = |error: &&crate::rules::PackError| error.rule.as_deref() == Some(&entry.form.id);
        let messages: Vec<String> =
            failing.iter().filter(mine).map(|e| e.message.clone()).collect();
        if messages.is_empty() {
            continue;
        }
        let fails = |verb: &str, command: &str| {
            messages.iter().any(|message| *message == format!("it {verb} {}", quoted(command)))
        };
        entry.form.matches.retain(|command| !fails("does not match", command));
        entry.form.no_match.retain(|command| !fails("matches", command));
        for message in messages {
            notes.push(format!("{}: an example was left out: {message}", entry.form.id));
        }
    }
    Ok(Pack::of_entries(name, entries, notes)?)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    Deny,
    Ask,
    Allow,
}

impl Decision {
    fn word(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Ask => "ask",
            Self::Allow => "allow",
        }
    }
}

fn translated(rule: &str, decision: Decision) -> Result<Entry, String> {
    let (tool, argument) = match rule.split_once('(') {
        None => (rule, None),
        Some((tool, rest)) => match rest.strip_suffix(')') {
            Some(argument) => (tool, Some(argument)),
            None => return Err("it has no closing parenthesis".to_owned()),
        },
    };
    let mut entry = Entry::default();
    let form = &mut entry.form;
    let (risk, reason) = match decision {
        Decision::Deny => ("critical", "the settings of Claude Code deny it"),
        Decision::Ask => ("high", "the settings of Claude Code ask before it"),
        Decision::Allow => ("low", "the settings of Claude Code allow it"),
    };
    risk.clone_into(&mut form.risk);
    reason.clone_into(&mut form.reason);
    entry.allow = decision == Decision::Allow;
    match tool {
        "Bash" => entry.command = vec![command(argument.unwrap_or("*"))?],
        "Read" | "Edit" | "Write" | "MultiEdit" | "NotebookEdit" | "WebFetch" if entry.allow => {
            return Err("what it allows is judged by what it touches".to_owned());
        }
        "Read" => {
            form.effect = list(["read", "send", "secret"]);
            form.path = OneOrMore(paths(argument.unwrap_or("//**"))?);
        }
        "Edit" | "Write" | "MultiEdit" | "NotebookEdit" => {
            form.effect = list(["write", "overwrite", "delete", "permission", "owner"]);
            form.path = OneOrMore(paths(argument.unwrap_or("//**"))?);
        }
        "WebFetch" => {
            form.effect = list(["fetch", "send", "connect", "network-code"]);
            form.host = OneOrMore(match argument {
                None => vec!["*".to_owned()],
                Some(argument) => hosts(argument)?,
            });
        }
        _ if tool.starts_with("mcp__") => {
            return Err("it is about a tool of an MCP server, which runs no command".to_owned());
        }
        _ => return Err("there is nothing like this tool here".to_owned()),
    }
    Ok(entry)
}

fn list<const N: usize>(words: [&str; N]) -> OneOrMore {
    OneOrMore(words.into_iter().map(str::to_owned).collect())
}

/// A pattern of commands: `*` stands for anything, `:*` at the end for ` *`.
fn command(text: &str) -> Result<String, String> {
    let text = text.trim();
    let text = match text.strip_suffix(":*") {
        Some(prefix) => format!("{prefix} *"),
        None => text.to_owned(),
    };
    if text.is_empty() {
        return Err("it names no command".to_owned());
    }
    if text.contains(['|', ';', '&', '<', '>', '$', '`', '\n', '"', '\'']) {
        return Err(
            "it is about the text of several commands; here each is judged alone".to_owned()
        );
    }
    // Only the star means something there.
    let parts: Vec<_> = text.split('*').map(escaped).collect();
    Ok(parts.join("*"))
}

/// Patterns of paths: `//` is the root, `~/` the home folder, everything else the project.
fn paths(text: &str) -> Result<Vec<String>, String> {
    if text.is_empty() || text.starts_with('!') {
        return Err("it names no path".to_owned());
    }
    let (start, below) = if let Some(below) = text.strip_prefix("//") {
        ("/", below)
    } else if let Some(below) = text.strip_prefix("~/") {
        ("~/", below)
    } else {
        ("./", text.strip_prefix('/').or_else(|| text.strip_prefix("./")).unwrap_or(text))
    };
    // A star crosses slashes here, and a folder stands for all that is in it.
    let (anywhere, below) = match below.strip_prefix("**/") {
        Some(below) => (true, below),
        // As in .gitignore: a name without a slash lies anywhere.
        None => {
            (start == "./" && below == text && !below.trim_end_matches('/').contains('/'), below)
        }
    };
    let below = below.trim_end_matches('/').replace("/**/", "/*").replace("**", "*");
    let mut patterns = vec![format!("{start}{below}")];
    if anywhere && !below.starts_with('*') {
        patterns.push(format!("{start}*/{below}"));
    }
    for at in 0..patterns.len() {
        let Some(pattern) = patterns.get(at) else { continue };
        match pattern.strip_suffix("/*") {
            Some("" | "." | "~") | None if pattern.ends_with('*') => {}
            Some(folder) => patterns.push(folder.to_owned()),
            None => patterns.push(format!("{pattern}/*")),
        }
    }
    Ok(patterns)
}

fn hosts(text: &str) -> Result<Vec<String>, String> {
    match text.strip_prefix("domain:").map(str::trim) {
        Some(domain) if !domain.is_empty() && !domain.contains('/') => {
            let domain = domain.to_ascii_lowercase();
            let below =
                if domain.starts_with("*.") { domain.clone() } else { format!("*.{domain}") };
            Ok(vec![domain, below])
        }
        _ => Err("it names no domain".to_owned()),
    }
}

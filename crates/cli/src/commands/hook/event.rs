//! What an agent tells before it acts. Fields that are not known are passed over; one that is
//! needed and missing is an error.

use std::path::PathBuf;

use serde_json::{Map, Value};

/// The moment at which the agent asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// Before a tool is used.
    PreToolUse,
    /// Before the user is asked for permission.
    PermissionRequest,
}

/// An event.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) moment: Moment,
    /// The folder that the agent stands in.
    pub(super) folder: PathBuf,
    pub(super) input: Map<String, Value>,
    pub(super) acts: Vec<Act>,
}

/// What a tool is about to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Runs a text of the shell.
    Shell(String),
    /// Starts a program.
    Program(Vec<String>),
    /// Writes a file; with `adds`, a part of one.
    Write { path: String, content: String, adds: bool },
    /// Deletes a file.
    Delete { path: String },
}

impl Event {
    /// Understands an event.
    pub(super) fn read(text: &[u8]) -> Result<Self, String> {
        let value: Value = serde_json::from_slice(text)
            .map_err(|error| format!("the event on standard input is no JSON: {error}"))?;
        let moment = match text_of(&value, "hook_event_name")? {
            "PreToolUse" => Moment::PreToolUse,
            "PermissionRequest" => Moment::PermissionRequest,
            other => return Err(format!("the event `{other}` is none that this hook answers")),
        };
        let tool = text_of(&value, "tool_name")?;
        let input = match value.get("tool_input") {
            Some(Value::Object(input)) => input.clone(),
            None | Some(Value::Null) => Map::new(),
            Some(_) => return Err("`tool_input` of the event is no object".to_owned()),
        };
        let folder = match value.get("cwd") {
            None | Some(Value::Null) => std::env::current_dir()
                .map_err(|error| format!("cannot tell the working folder: {error}"))?,
            Some(folder) => PathBuf::from(folder.as_str().ok_or("`cwd` of the event is no text")?),
        };
        if !folder.is_absolute() {
            return Err("`cwd` of the event is no absolute path".to_owned());
        }
        let acts = acts(tool, &input)?;
        Ok(Self { moment, folder, input, acts })
    }
}

impl Event {
    /// One line for people: the command, or what is done to which file.
    pub(super) fn title(&self) -> String {
        match self.acts.first() {
            Some(Act::Shell(text)) => text.clone(),
            Some(Act::Program(words)) => words.join(" "),
            Some(Act::Write { path, .. }) => format!("write {path}"),
            Some(Act::Delete { path }) => format!("delete {path}"),
            None => String::new(),
        }
    }
}

fn text_of<'v>(value: &'v Value, name: &str) -> Result<&'v str, String> {
    let text = value.get(name).and_then(Value::as_str);
    text.ok_or_else(|| format!("the event has no text `{name}`"))
}

/// What a tool does with its input; nothing for tools that are not known.
fn acts(tool: &str, input: &Map<String, Value>) -> Result<Vec<Act>, String> {
    let text = |name: &str| {
        let text = input.get(name).and_then(Value::as_str).map(str::to_owned);
        text.ok_or_else(|| format!("the input of {tool} has no text `{name}`"))
    };
    Ok(match tool {
        "Bash" | "shell" | "local_shell" | "shell_command" | "exec_command" => {
            vec![command(tool, input)?]
        }
        "Write" => {
            vec![Act::Write { path: text("file_path")?, content: text("content")?, adds: false }]
        }
        "Edit" => {
            vec![Act::Write { path: text("file_path")?, content: text("new_string")?, adds: true }]
        }
        "MultiEdit" => {
            let edits = input.get("edits").and_then(Value::as_array);
            let edits = edits.ok_or("the input of MultiEdit has no list `edits`")?;
            let path = text("file_path")?;
            let new =
                |edit: &Value| edit.get("new_string").and_then(Value::as_str).map(str::to_owned);
            let parts: Option<Vec<String>> = edits.iter().map(new).collect();
            let content = parts.ok_or("an edit has no text `new_string`")?.join("\n");
            vec![Act::Write { path, content, adds: true }]
        }
        "NotebookEdit" => {
            let content = text("new_source").unwrap_or_default();
            vec![Act::Write { path: text("notebook_path")?, content, adds: true }]
        }
        "apply_patch" => patch(&text("command").or_else(|_| text("input"))?)?,
        _ => Vec::new(),
    })
}

/// The command of a shell tool: a text, or a program and its arguments.
fn command(tool: &str, input: &Map<String, Value>) -> Result<Act, String> {
    let missing = || format!("the input of {tool} has no `command`");
    match input.get("command").or_else(|| input.get("cmd")).ok_or_else(missing)? {
        Value::String(text) => Ok(Act::Shell(text.clone())),
        Value::Array(words) if !words.is_empty() => {
            let words: Option<Vec<String>> =
                words.iter().map(|word| word.as_str().map(str::to_owned)).collect();
            words.map(Act::Program).ok_or_else(missing)
        }
        _ => Err(missing()),
    }
}

/// What a patch of Codex does: `*** Add File: PATH` and its kin, each followed by lines.
fn patch(text: &str) -> Result<Vec<Act>, String> {
    let mut acts: Vec<Act> = Vec::new();
    for line in text.lines() {
        let write = |path: &str, adds| Act::Write {
            path: path.trim().to_owned(),
            content: String::new(),
            adds,
        };
        let act = if let Some(path) = line.strip_prefix("*** Add File: ") {
            write(path, false)
        } else if let Some(path) = line.strip_prefix("*** Update File: ") {
            write(path, true)
        } else if let Some(path) = line.strip_prefix("*** Move to: ") {
            write(path, false)
        } else if let Some(path) = line.strip_prefix("*** Delete File: ") {
            Act::Delete { path: path.trim().to_owned() }
        } else {
            if let (Some(added), Some(Act::Write { content, .. })) =
                (line.strip_prefix('+'), acts.last_mut())
            {
                content.push_str(added);
                content.push('\n');
            }
            continue;
        };
        acts.push(act);
    }
    if acts.is_empty() { Err("the patch names no file".to_owned()) } else { Ok(acts) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn acts_of(event: &str) -> Vec<Act> {
        Event::read(event.as_bytes()).expect("an event").acts
    }

    #[test]
    fn tools_are_understood_and_others_passed_over() {
        let event = |tool: &str, input: &str| {
            acts_of(&format!(
                r#"{{"hook_event_name":"PreToolUse","cwd":"/x","new":1,"tool_name":"{tool}","tool_input":{input}}}"#
            ))
        };
        assert_eq!(event("Bash", r#"{"command":"ls","timeout":1}"#), [Act::Shell("ls".into())]);
        assert_eq!(
            event("shell", r#"{"command":["bash","-lc","ls"]}"#),
            [Act::Program(vec!["bash".into(), "-lc".into(), "ls".into()])]
        );
        assert_eq!(
            event(
                "MultiEdit",
                r#"{"file_path":"a","edits":[{"new_string":"x"},{"new_string":"y"}]}"#
            ),
            [Act::Write { path: "a".into(), content: "x\ny".into(), adds: true }]
        );
        assert!(event("mcp__server__tool", "{}").is_empty());
        let patch =
            r"*** Begin Patch\n*** Update File: a\n@@\n-x\n+y\n*** Delete File: b\n*** End Patch\n";
        assert_eq!(
            event("apply_patch", &format!(r#"{{"command":"{patch}"}}"#)),
            [
                Act::Write { path: "a".into(), content: "y\n".into(), adds: true },
                Act::Delete { path: "b".into() }
            ]
        );
    }

    #[test]
    fn what_is_missing_is_an_error() {
        for event in [
            "",
            "[]",
            "{}",
            r#"{"hook_event_name":"PostToolUse","tool_name":"Bash"}"#,
            r#"{"hook_event_name":"PreToolUse","tool_input":{}}"#,
            r#"{"hook_event_name":"PreToolUse","tool_name":"Bash","tool_input":{}}"#,
            r#"{"hook_event_name":"PreToolUse","tool_name":"Bash","tool_input":[]}"#,
            r#"{"hook_event_name":"PreToolUse","tool_name":"Bash","tool_input":{"command":[1]}}"#,
            r#"{"hook_event_name":"PreToolUse","cwd":"x","tool_name":"Bash","tool_input":{"command":"ls"}}"#,
            r#"{"hook_event_name":"PreToolUse","tool_name":"Write","tool_input":{"content":"x"}}"#,
            r#"{"hook_event_name":"PreToolUse","tool_name":"apply_patch","tool_input":{"command":"x"}}"#,
        ] {
            assert!(Event::read(event.as_bytes()).is_err(), "{event}");
        }
    }
}

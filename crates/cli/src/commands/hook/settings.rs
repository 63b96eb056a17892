//! The hook's entry in an agent's settings.

use serde::Serialize;
use serde_json::Value;

use super::json_text::{self, Node};
use super::wrap;
use crate::arguments::Agent;

const EVENT: &str = "PreToolUse";

/// An entry of the settings: what a command is called for.
#[derive(Debug, Serialize)]
pub(super) struct Entry {
    matcher: &'static str,
    hooks: [Handler; 1],
}

#[derive(Debug, Serialize)]
struct Handler {
    r#type: &'static str,
    command: String,
    /// Seconds.
    timeout: u32,
    /// Claude Code knows it since of late, older versions take no notice.
    #[serde(rename = "onFailure", skip_serializing_if = "Option::is_none")]
    on_failure: Option<&'static str>,
}

impl Entry {
    /// The entry that calls `command` for `agent`.
    pub(super) fn new(agent: Agent, command: String) -> Self {
        let (matcher, on_failure) = match agent {
            Agent::Claude => ("Bash|Write|Edit|MultiEdit|NotebookEdit", Some("block")),
            Agent::Codex => ("Bash|apply_patch", None),
        };
        Self { matcher, hooks: [Handler { r#type: "command", command, timeout: 10, on_failure }] }
    }
}

/// Why settings were left alone.
#[derive(Debug, thiserror::Error)]
pub(super) enum SettingsError {
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    #[error("`{0}` is not of the kind that hooks have")]
    Shape(&'static str),
}

/// `text` with `entry`, and without other entries for the agent's hook of this program.
pub(super) fn with(text: &str, agent: Agent, entry: &Entry) -> Result<String, SettingsError> {
    let text = if text.trim().is_empty() { "{}\n" } else { text };
    let wanted = serde_json::to_value(entry)?;
    let root = json_text::parse(text)?;
    let own = own_entries(text, &root, agent);
    if let [(group, _)] = own.as_slice()
        && group == &wanted
    {
        return Ok(text.to_owned());
    }
    let text = without(text, agent)?;
    let root = json_text::parse(&text)?;
    if !root.is_object() {
        return Err(SettingsError::Shape("the settings"));
    }
    let Some((_, hooks)) = root.member("hooks") else {
        let hooks = serde_json::json!({ EVENT: [] });
        let text = json_text::add(&text, &root, 0, Some("hooks"), &hooks)?;
        return with_element(&text, entry);
    };
    if !hooks.is_object() {
        return Err(SettingsError::Shape("hooks"));
    }
    if hooks.member(EVENT).is_some() {
        return with_element(&text, entry);
    }
    let none: [u8; 0] = [];
    let text = json_text::add(&text, hooks, 1, Some(EVENT), &none)?;
    with_element(&text, entry)
}

fn with_element(text: &str, entry: &Entry) -> Result<String, SettingsError> {
    let root = json_text::parse(text)?;
    let list = root.member("hooks").and_then(|(_, hooks)| hooks.member(EVENT));
    let (_, list) = list.filter(|(_, list)| list.is_array()).ok_or(SettingsError::Shape(EVENT))?;
    Ok(json_text::add(text, list, 2, None, entry)?)
}

/// `text` without the entries for the agent's hook of this program, and without what only they
/// were in.
pub(super) fn without(text: &str, agent: Agent) -> Result<String, SettingsError> {
    let mut text = text.to_owned();
    loop {
        let root = json_text::parse(&text)?;
        let Some((_, path)) = own_entries(&text, &root, agent).into_iter().next() else {
            return Ok(text);
        };
        let mut shorter = None;
        // The outermost one that holds nothing else goes.
        for (container, index) in path {
            shorter = Some(json_text::remove(&text, container, index));
            if container.children().len() > 1 {
                break;
            }
        }
        match shorter {
            Some(shorter) if shorter.len() < text.len() => text = shorter,
            _ => return Ok(text),
        }
    }
}

/// The containers that an entry lies in and its place in each, the innermost first.
type Path<'n> = Vec<(&'n Node, usize)>;

/// The entries for the agent's hook of this program, and where each lies.
fn own_entries<'n>(text: &str, root: &'n Node, agent: Agent) -> Vec<(Value, Path<'n>)> {
    let mut found = Vec::new();
    let Some((at_hooks, hooks)) = root.member("hooks") else { return found };
    for (at_event, (_, groups)) in hooks.children().into_iter().enumerate() {
        if !groups.is_array() {
            continue;
        }
        for (at_group, (_, group)) in groups.children().into_iter().enumerate() {
            let Some((_, handlers)) = group.member("hooks") else { continue };
            for (at, (_, handler)) in handlers.children().into_iter().enumerate() {
                let handler: Value = serde_json::from_str(handler.text(text)).unwrap_or_default();
                if !is_own(&handler, agent) {
                    continue;
                }
                // A group without handlers is nothing, whatever else it says.
                let mut path = vec![(handlers, at)];
                if handlers.children().len() == 1 {
                    path = vec![(groups, at_group), (hooks, at_event), (root, at_hooks)];
                }
                let group = serde_json::from_str(group.text(text)).unwrap_or_default();
                found.push((group, path));
            }
        }
    }
    found
}

fn is_own(handler: &Value, agent: Agent) -> bool {
    let Some(command) = handler.get("command").and_then(Value::as_str) else { return false };
    let arguments = handler.get("args").and_then(Value::as_array);
    let arguments = arguments.into_iter().flatten().filter_map(Value::as_str);
    let line = std::iter::once(command).chain(arguments).collect::<Vec<_>>().join(" ");
    wrap::is_own(&line, agent.word())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry::new(Agent::Claude, "ctrlz hook claude".to_owned())
    }

    #[track_caller]
    fn installed(text: &str) -> String {
        let installed = with(text, Agent::Claude, &entry()).expect("installed");
        serde_json::from_str::<Value>(&installed).expect("JSON");
        assert_eq!(with(&installed, Agent::Claude, &entry()).expect("again"), installed);
        installed
    }

    #[test]
    fn what_was_installed_is_taken_out_and_all_else_stays() {
        for text in [
            "{\n  \"model\": \"x\",\n  \"permissions\": {\"allow\": []}\n}\n",
            "{\n\t\"hooks\": {\n\t\t\"Stop\": []\n\t},\n\t\"z\": 1.50\n}",
            r#"{"hooks": {"PreToolUse": [{"matcher": "Bash", "hooks": [{"type": "command", "command": "x"}]}]}}"#,
        ] {
            let out = without(&installed(text), Agent::Claude).expect("uninstalled");
            let value = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
            assert_eq!(value(&out), value(text));
            assert!(installed(text).contains("ctrlz hook claude"));
        }
        let text = "{\n  \"model\": \"x\"\n}\n";
        assert_eq!(without(&installed(text), Agent::Claude).expect("out"), text);
        assert_eq!(without(&installed(""), Agent::Claude).expect("out"), "{}\n");
    }

    #[test]
    fn the_entry_is_written_as_people_write_it() {
        assert_eq!(
            installed(""),
            r#"{
  "hooks": {
    "PreToolUse": [
      {
        "matcher": "Bash|Write|Edit|MultiEdit|NotebookEdit",
        "hooks": [
          {
            "type": "command",
            "command": "ctrlz hook claude",
            "timeout": 10,
            "onFailure": "block"
          }
        ]
      }
    ]
  }
}
"#
        );
    }

    #[test]
    fn another_form_of_the_own_entry_is_replaced_and_others_are_not() {
        let text = r#"{"hooks":{"PreToolUse":[{"matcher":"Bash","hooks":[
            {"type":"command","command":"other"},
            {"type":"command","command":"/old/ctrlz","args":["hook","claude"]},
            {"type":"command","command":"ctrlz hook codex"}]}]}}"#;
        let out = installed(text);
        assert!(out.contains("\"other\"") && out.contains("hook codex"), "{out}");
        assert!(!out.contains("/old/ctrlz"), "{out}");
        assert_eq!(out.matches("ctrlz hook claude").count(), 1, "{out}");
    }

    #[test]
    fn settings_of_another_shape_are_left_alone() {
        for text in ["[]", "{\"hooks\": []}", "{\"hooks\": {\"PreToolUse\": {}}}", "{"] {
            assert!(with(text, Agent::Claude, &entry()).is_err(), "{text}");
        }
    }
}

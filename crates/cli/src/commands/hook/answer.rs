//! From an opinion to the words of the agent.

use ctrlz_core::verdict::Risk;
use serde_json::{Map, Value, json};

use super::event::{Event, Moment};
use super::judge::Opinion;
use super::wrap;
use crate::arguments::{Agent, HookOptions, OnHigh, OnLow};
use crate::commands::past;

const WRAPPED: &str = "ctrlz runs this command as a transaction, since it is risky: isolated, with \
the network off, and what it changes does not reach the real folder until `ctrlz commit`. \
`ctrlz diff` shows the changes, `ctrlz undo` takes them back.";

/// What the agent is told.
enum Reply {
    /// Its own rules decide.
    NoOpinion,
    /// Its own rules decide, and the model reads this.
    Remark(String),
    Allow {
        reason: String,
        input: Option<Map<String, Value>>,
        remark: Option<&'static str>,
    },
    Ask(String),
    Deny(String),
}

/// The answer in the agent's format; `None` for no opinion.
pub(super) fn reply(
    event: &Event,
    opinion: &Opinion,
    agent: Agent,
    options: HookOptions,
) -> Result<Option<Value>, String> {
    let mut reply = decide(event, opinion, agent, options);
    if let Reply::Deny(reason) = &mut reply {
        // What was denied is remembered where a sandbox is, so that the same in other words is known.
        let record = match &opinion.later {
            Some((_, _, record)) if opinion.risk <= Risk::Medium => record,
            _ => &opinion.record,
        };
        let title = event.title();
        if let Err(failure) = past::refused(&event.folder, &title, record.clone(), reason) {
            reason.push_str("; and the journal cannot keep that: ");
            reason.push_str(&failure.into_message());
        }
    }
    Ok(match event.moment {
        Moment::PreToolUse => pre_tool_use(reply),
        Moment::PermissionRequest => permission_request(reply),
    })
}

fn decide(event: &Event, opinion: &Opinion, agent: Agent, options: HookOptions) -> Reply {
    let reasons = || format!("ctrlz: {}", opinion.reasons);
    match opinion.risk {
        Risk::Critical => Reply::Deny(reasons()),
        Risk::High => match options.on_high {
            OnHigh::Deny => Reply::Deny(reasons()),
            OnHigh::Ask => Reply::Ask(reasons()),
            OnHigh::Wrap => match wrap::wrapped(&event.input, &event.acts) {
                Some(input) => {
                    Reply::Allow { reason: reasons(), input: Some(input), remark: Some(WRAPPED) }
                }
                None if agent == Agent::Claude => Reply::Ask(reasons()),
                None => Reply::Deny(reasons()),
            },
        },
        Risk::Low | Risk::Medium => match &opinion.later {
            Some((risk, reasons, _)) => of_script(*risk, reasons, options.on_high),
            None if opinion.has_acts && options.on_low == OnLow::Allow => Reply::Allow {
                reason: format!("ctrlz: {} risk", opinion.risk),
                input: None,
                remark: None,
            },
            None => Reply::NoOpinion,
        },
    }
}

/// A script is written that would be dangerous to run. The agent will hardly be asked again when
/// it runs it, since a command does not show what is in its files.
fn of_script(risk: Risk, reasons: &str, on_high: OnHigh) -> Reply {
    let reason = format!("ctrlz: running this script would be dangerous: {reasons}");
    match (risk, on_high) {
        (Risk::Critical, _) | (_, OnHigh::Deny) => Reply::Deny(reason),
        (_, OnHigh::Ask) => Reply::Ask(reason),
        (_, OnHigh::Wrap) => {
            Reply::Remark(format!("{reason}. Run it with `ctrlz run -- …`, which can be undone."))
        }
    }
}

fn pre_tool_use(reply: Reply) -> Option<Value> {
    let mut output = json!({ "hookEventName": "PreToolUse" });
    let mut set = |name: &str, value: Value| {
        if let Some(fields) = output.as_object_mut() {
            fields.insert(name.to_owned(), value);
        }
    };
    let mut decide = |decision: &str, reason: String| {
        set("permissionDecision", decision.into());
        set("permissionDecisionReason", reason.into());
    };
    match reply {
        Reply::NoOpinion => return None,
        Reply::Remark(text) => set("additionalContext", text.into()),
        Reply::Ask(reason) => decide("ask", reason),
        Reply::Deny(reason) => decide("deny", reason),
        Reply::Allow { reason, input, remark } => {
            decide("allow", reason);
            if let Some(input) = input {
                set("updatedInput", input.into());
            }
            if let Some(remark) = remark {
                set("additionalContext", remark.into());
            }
        }
    }
    Some(json!({ "hookSpecificOutput": output }))
}

/// The user is about to be asked; no opinion lets that happen.
fn permission_request(reply: Reply) -> Option<Value> {
    let decision = match reply {
        Reply::NoOpinion | Reply::Remark(_) | Reply::Ask(_) => return None,
        Reply::Deny(reason) => {
            json!({ "behavior": "deny", "message": reason, "interrupt": false })
        }
        Reply::Allow { input: Some(input), .. } => {
            json!({ "behavior": "allow", "updatedInput": input })
        }
        Reply::Allow { .. } => json!({ "behavior": "allow" }),
    };
    Some(json!({
        "hookSpecificOutput": { "hookEventName": "PermissionRequest", "decision": decision }
    }))
}

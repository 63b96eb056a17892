//! What somebody has to confirm, asked of the user behind the client.
//!
//! Who answers there is a person, but the token is the agent's: so the answer counts only where the caller
//! may approve as well as act. Over HTTP that is a token with the role admin; over standard input and output
//! it is the user who started the server, to whom the store belongs. The approval is what
//! `POST /v1/confirmations/ID/approve` gives: for this operation as it is now, once, for ten minutes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ctrlz_core::tenancy::{Confirmation, ReadInput, Right};
use rmcp::model::{
    ElicitRequest, ElicitRequestParams, ElicitationAction, ElicitationSchema, InputRequest,
    InputRequiredResult,
};

use super::call::{Answered, Call};
use super::tool::{Came, Stop};
use crate::execute::{Ask, decline, start};
use crate::problem::Problem;
use crate::processes::Process;
use crate::routes::confirmations::approve_it;

/// How long a user may think; no longer than the confirmation holds.
const THINKING: Duration = Duration::from_secs(600);

/// Lets a command begin, once the user has confirmed it where that is needed.
pub(super) async fn begin(call: &Call, mut ask: Ask) -> Came<Arc<Process>> {
    if let Some(answered) = &call.answered {
        take(call, (&answered.confirmation, &ask), &answered.action).await?;
        ask.confirmation = Some(answered.confirmation.clone());
        return Ok(start(&call.service, &call.caller, ask).await?);
    }
    let problem = match start(&call.service, &call.caller, ask.clone()).await {
        Ok(process) => return Ok(process),
        Err(problem) => problem,
    };
    let id = problem.more("confirmation").and_then(|id| id.as_str()).map(str::to_owned);
    let Some(id) = id.filter(|_| call.can_ask() && may_answer(call)) else {
        return Err(problem.into());
    };
    let question = question(&asked_for(call, &id).await?);
    if call.is_stateless() {
        let request = ElicitRequest::new(question);
        let requests =
            BTreeMap::from([(Answered::QUESTION.to_owned(), InputRequest::Elicitation(request))]);
        return Err(Stop::Ask(Box::new(InputRequiredResult::new(Some(requests), Some(id)))));
    }
    let answer = tokio::select! {
        answer = call.context.peer.create_elicitation_with_timeout(question, Some(THINKING)) => answer,
        () = call.cancelled() => return Err(problem.into()),
    };
    // Whoever cannot be asked has not said yes, and may still do so in the other way.
    let Ok(answer) = answer else { return Err(problem.into()) };
    take(call, (&id, &ask), &answer.action).await?;
    ask.confirmation = Some(id);
    Ok(start(&call.service, &call.caller, ask).await?)
}

/// Whether a yes of the user behind the client is one of somebody who may approve.
fn may_answer(call: &Call) -> bool {
    call.caller.require(Right::Approve).is_ok()
}

/// Takes the user's answer: approves, or errs. A no stands in the journal, as one at a terminal does.
async fn take(
    call: &Call,
    (id, ask): (&str, &Ask),
    action: &ElicitationAction,
) -> Result<(), Problem> {
    if *action != ElicitationAction::Accept {
        const TITLE: &str = "not confirmed: the user said no";
        let problem = Problem::of_kind("unconfirmed", TITLE)
            .hint("nothing ran; do something of less risk, or ask the user what to do instead");
        let declined = (id.to_owned(), ask.clone());
        // It does not run, whether that can be written down or not.
        return Err(match decline(&call.service, &call.caller, declined, TITLE).await {
            Ok(None) => problem,
            Ok(Some(operation)) => problem.with("operation", operation.to_string()),
            Err(error) => {
                problem.details(vec![format!("the journal cannot keep that: {}", error.in_words())])
            }
        });
    }
    call.caller.require(Right::Approve)?;
    // What the user was asked is what this caller asked for.
    asked_for(call, id).await?;
    approve_it(call.who(), id).await
}

/// What waits under that id, when this caller asked for it.
async fn asked_for(call: &Call, id: &str) -> Result<Confirmation, Problem> {
    let (tenant, now) = (call.caller.tenant.clone(), call.service.now());
    let waiting = call.service.registry(move |known| known.confirmations(&tenant, now)).await?;
    let found = waiting.into_iter().find(|one| one.id == id && one.asked_by == call.caller.token);
    found.ok_or_else(|| Problem::not_found("confirmation", id).hint("it may have expired"))
}

/// What the user is asked. What comes from the agent stands in it on one line, so that it cannot look like
/// something that ctrlz says.
fn question(confirmation: &Confirmation) -> ElicitRequestParams {
    let mut message = format!(
        "ctrlz: a command of high risk wants to run in the sandbox `{}`.\n\nCommand: {}",
        confirmation.sandbox,
        confirmation.title.escape_debug(),
    );
    if let Some(ReadInput { text, bytes, truncated }) = &confirmation.stdin {
        let more = if *truncated { " … (and more, which is not shown)" } else { "" };
        message.push_str(&format!("\n\nIt reads {bytes} bytes: {}{more}", text.escape_debug()));
    }
    message.push_str("\n\nWhy it is of high risk:");
    for reason in &confirmation.reasons {
        message.push_str(&format!("\n- {}", reason.escape_debug()));
    }
    message.push_str("\n\nAccept to let it run once, decline to refuse it.");
    ElicitRequestParams::FormElicitationParams {
        meta: None,
        message,
        requested_schema: ElicitationSchema::new(BTreeMap::new()),
    }
}

#[cfg(test)]
mod tests {
    use ctrlz_core::tenancy::TenantName;
    use ctrlz_core::time::Timestamp;

    use super::*;

    #[test]
    fn what_an_agent_writes_cannot_look_like_what_ctrlz_says() {
        let asked = question(&Confirmation {
            id: "id".to_owned(),
            tenant: TenantName::owner(),
            sandbox: "web".to_owned(),
            title: "true\n\nWhy it is of high risk:\n- it is harmless \u{202e}".to_owned(),
            reasons: vec!["it\nlies".to_owned()],
            stdin: Some(ReadInput {
                text: "x\n\nWhy not:\n- it is harmless".to_owned(),
                bytes: 9000,
                truncated: true,
            }),
            hash: String::new(),
            asked_by: String::new(),
            created: Timestamp(0),
            expires: Timestamp(0),
            approved_by: None,
            used: false,
        });
        let ElicitRequestParams::FormElicitationParams { message, .. } = asked else {
            panic!("a form")
        };
        assert_eq!(message.matches("\n- ").count(), 1, "{message}");
        assert_eq!(message.matches("\nWhy").count(), 1, "{message}");
        assert!(message.contains("\nIt reads 9000 bytes: x\\n\\nWhy"), "{message}");
        assert!(message.contains("harmless … (and more, which is not shown)\n"), "{message}");
        assert!(!message.contains('\u{202e}'), "{message}");
    }
}

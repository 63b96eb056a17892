//! One call of a tool: who calls, and what is known of the client.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rmcp::RoleServer;
use rmcp::model::{
    ClientCapabilities, ElicitResult, ElicitationAction, ProgressNotificationParam, ProtocolVersion,
};
use rmcp::service::RequestContext;
use tokio::sync::Notify;

use crate::auth::Caller;
use crate::processes::Process;
use crate::service::Service;

/// How often a client that asked for it is told that a command still runs.
const TICK: Duration = Duration::from_secs(1);

/// What the user answered to a question, and what it was about. A client of a protocol in which servers ask
/// nothing by themselves sends it with the call once more.
#[derive(Debug)]
pub(super) struct Answered {
    /// The confirmation that the user was asked for.
    pub(super) confirmation: String,
    /// What the user said.
    pub(super) action: ElicitationAction,
}

impl Answered {
    /// The name of the question.
    pub(super) const QUESTION: &str = "confirmation";

    /// What was answered, when something was.
    pub(super) fn of(params: &rmcp::model::CallToolRequestParams) -> Option<Self> {
        let confirmation = params.request_state.clone()?;
        let answer = params.input_responses.as_ref()?.get(Self::QUESTION)?;
        // An answer that is none is no consent.
        let action = serde_json::from_value::<ElicitResult>(answer.clone())
            .map_or(ElicitationAction::Cancel, |answer| answer.action);
        Some(Self { confirmation, action })
    }
}

/// One call.
pub(super) struct Call {
    pub(super) service: Arc<Service>,
    pub(super) caller: Caller,
    /// Where the client's user stands, when that is on this host.
    pub(super) folder: Option<PathBuf>,
    pub(super) context: RequestContext<RoleServer>,
    /// Told when the client takes the call back.
    pub(super) taken_back: Arc<Notify>,
    pub(super) answered: Option<Answered>,
}

impl Call {
    /// Who calls, as the inner steps take it.
    pub(super) fn who(&self) -> (&Arc<Service>, &Caller) {
        (&self.service, &self.caller)
    }

    /// Whether the client speaks a revision without sessions, in which servers do not ask by themselves.
    pub(super) fn is_stateless(&self) -> bool {
        let version = self.context.protocol_version();
        version.is_some_and(|version| version.as_str() >= ProtocolVersion::V_2026_07_28.as_str())
    }

    /// Whether the client can show its user a form.
    pub(super) fn can_ask(&self) -> bool {
        let declared: Option<ClientCapabilities> = self.context.client_capabilities();
        let elicitation = declared.and_then(|declared| declared.elicitation);
        // Clients of the first revision with elicitation name no mode, and mean forms.
        elicitation.is_some_and(|found| found.form.is_some() || found.url.is_none())
    }

    /// Comes back when the client wants no answer any more. A connection that is lost says so only where the
    /// protocol says that it does: without sessions, over HTTP.
    pub(super) async fn cancelled(&self) {
        let over_http = self.context.extensions.get::<axum::http::request::Parts>().is_some();
        if over_http && self.is_stateless() {
            tokio::select! {
                () = self.taken_back.notified() => {}
                () = self.context.ct.cancelled() => {}
            }
        } else {
            self.taken_back.notified().await;
        }
    }

    /// Tells the client, for as long as it is polled, how far a process has come, if it asked for that.
    pub(super) async fn tell_progress(&self, process: &Process) {
        let Some(token) = self.context.meta.get_progress_token() else {
            return std::future::pending().await;
        };
        let mut ticks = 0_u32;
        loop {
            tokio::time::sleep(TICK).await;
            ticks += 1;
            let written = *process.log.follow().borrow();
            let state = match process.operation.borrow().is_some() {
                true => format!("running, {written} bytes written"),
                false => "waiting for its turn".to_owned(),
            };
            let told = ProgressNotificationParam::new(token.clone(), f64::from(ticks));
            // Who cannot be told finds out by the answer.
            let _ = self.context.peer.notify_progress(told.with_message(state)).await;
        }
    }
}

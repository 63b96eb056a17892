//! The server as the SDK calls it, one for each session.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::request::Parts;
use ctrlz_core::tenancy::Right;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CancelledNotificationParam, Implementation,
    ListToolsResult, PaginatedRequestParams, RequestId, ServerCapabilities, ServerConfig,
};
use rmcp::service::{NotificationContext, RequestContext};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use tokio::sync::Notify;

use super::call::{Answered, Call};
use super::catalogue::{self, ALL};
use super::tool::failed;
use crate::auth::Caller;
use crate::problem::Problem;
use crate::service::Service;

/// What a model is told of all tools together.
const INSTRUCTIONS: &str = "Sandboxes in which commands run isolated and can be taken back. \
    Make one with sandbox_create and run commands with sandbox_exec; nothing outside of it changes until \
    sandbox_commit. sandbox_undo takes the last step back, whatever it was; sandbox_snapshot and \
    sandbox_rollback keep points and return to them. Every command is judged first: one of high risk needs \
    a person's confirmation, one of critical risk never runs. sandbox_check judges without running.";

/// Who calls.
#[derive(Debug, Clone)]
enum Who {
    /// The user of this host who started it, in that folder.
    Local(Box<Caller>, PathBuf),
    /// Whoever the request's token is of.
    Each,
}

/// The server.
#[derive(Debug, Clone)]
pub(super) struct Server {
    service: Arc<Service>,
    who: Who,
    /// The calls that a client may take back.
    calls: Arc<Mutex<HashMap<RequestId, Arc<Notify>>>>,
}

impl Server {
    /// For a user of this host who stands in a folder.
    pub(super) fn local(service: Arc<Service>, caller: Caller, folder: PathBuf) -> Self {
        Self { service, who: Who::Local(Box::new(caller), folder), calls: Arc::default() }
    }

    /// For clients with tokens.
    pub(super) fn for_tokens(service: Arc<Service>) -> Self {
        Self { service, who: Who::Each, calls: Arc::default() }
    }

    fn caller(&self, context: &RequestContext<RoleServer>) -> Result<Caller, Problem> {
        match &self.who {
            Who::Local(caller, _) => Ok((**caller).clone()),
            Who::Each => {
                let parts = context.extensions.get::<Parts>();
                let caller = parts.and_then(|parts| parts.extensions.get::<Caller>());
                // A request that was let in has one.
                caller.cloned().ok_or_else(|| Problem::internal("who calls is unknown"))
            }
        }
    }

    /// Who calls, when they may call that.
    fn let_in(
        &self,
        context: &RequestContext<RoleServer>,
        right: Right,
    ) -> Result<Caller, Problem> {
        let caller = self.caller(context)?;
        caller.require(right)?;
        if right != Right::Look && self.service.is_draining() {
            return Err(Problem::stopping());
        }
        Ok(caller)
    }
}

/// A call that a client may take back, as long as it lasts.
struct Known<'s>(&'s Server, RequestId);

impl<'s> Known<'s> {
    fn new(server: &'s Server, id: RequestId) -> (Self, Arc<Notify>) {
        let notify = Arc::new(Notify::new());
        let mut calls = server.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.insert(id.clone(), Arc::clone(&notify));
        drop(calls);
        (Self(server, id), notify)
    }
}

impl Drop for Known<'_> {
    fn drop(&mut self) {
        self.0.calls.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let mut info = ServerConfig::new(ServerCapabilities::builder().enable_tools().build());
        info.server_info = Implementation::new("ctrlz", self.service.parts.version);
        info.with_instructions(INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(ALL.iter().map(|entry| entry.tool.clone()).collect()))
    }

    fn get_tool(&self, name: &str) -> Option<rmcp::model::Tool> {
        catalogue::named(name).map(|entry| entry.tool.clone())
    }

    async fn call_tool(
        &self,
        mut params: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let entry = catalogue::named(&params.name).ok_or_else(|| {
            ErrorData::invalid_params(format!("there is no tool `{}`", params.name), None)
        })?;
        let caller = match self.let_in(&context, entry.right) {
            Ok(caller) => caller,
            Err(problem) => return Ok(failed(&problem).into()),
        };
        let (_known, taken_back) = Known::new(self, context.id.clone());
        let answered = Answered::of(&params);
        let folder = match &self.who {
            Who::Local(_, folder) => Some(folder.clone()),
            Who::Each => None,
        };
        let service = Arc::clone(&self.service);
        let call = Call { service, caller, folder, context, taken_back, answered };
        Ok((entry.call)(call, params.arguments.take().unwrap_or_default()).await)
    }

    async fn on_cancelled(
        &self,
        cancelled: CancelledNotificationParam,
        _: NotificationContext<RoleServer>,
    ) {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(call) = cancelled.request_id.and_then(|id| calls.get(&id)) {
            call.notify_one();
        }
    }
}

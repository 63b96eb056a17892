//! A no to what has to be confirmed.

use std::sync::Arc;

use ctrlz_core::id::OperationId;
use ctrlz_core::tenancy::Confirmation;

use super::{Ask, bound};
use crate::auth::Caller;
use crate::problem::Problem;
use crate::service::{Service, on_core, unregistered};

/// Takes back a question that waits for an approval, and writes down that its command was not let run, as a no at
/// a terminal is. Nothing is written down for one that waits no more, or was for another command.
///
/// # Errors
/// When the registry or the store cannot be written, or the sandbox is gone.
pub(crate) async fn decline(
    service: &Arc<Service>,
    caller: &Caller,
    (id, ask): (String, Ask),
    reason: &'static str,
) -> Result<Option<OperationId>, Problem> {
    let Ask { sandbox, command, .. } = ask;
    let (inner, who) = (Arc::clone(service), caller.clone());
    let declined = service.with(caller, move |session| {
        let registry = &inner.parts.registry;
        let waiting = registry.confirmations(&who.tenant, inner.now());
        let waiting = waiting.map_err(|error| unregistered(&error))?;
        let mine = |one: &Confirmation| one.id == id && one.asked_by == who.token;
        let Some(asked) = waiting.into_iter().find(mine) else { return Ok(None) };
        let is_withdrawn = registry.withdraw(&who.tenant, &id);
        if !is_withdrawn.map_err(|error| unregistered(&error))? {
            return Ok(None);
        }
        let sandbox = on_core(session, |core| Ok(core.store().sandbox_named(&sandbox)?))?;
        let judged = session.judge(&sandbox, &command)?;
        match bound(&judged, &command) == asked.hash {
            true => session.refuse(&sandbox, &command, &judged, reason).map(Some),
            false => Ok(None),
        }
    });
    declined.await
}

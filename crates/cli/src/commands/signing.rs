//! Signing how far the event log has come, as commands do it.

use std::time::{Duration, SystemTime};

use ctrlz_config::{AuditLogging, Config};
use ctrlz_engine::in_full;
use ctrlz_store::audit::{Notary, NotaryError};

use crate::clock;
use crate::context::Context;
use crate::show::plain;

/// For at most so long an event stays unsigned, while somebody signs.
pub(super) const LONGEST: Duration = Duration::from_secs(300);
/// At most so many events stay unsigned.
pub(super) const MOST: i64 = 1000;

/// Signs after a command, where the configuration asks for it and no daemon does it, when the last time
/// is long ago. The first time makes the key. That it fails is told, and fails nothing else.
pub(super) fn after(context: &Context, config: &Config) {
    if config.security_config.audit_logging == AuditLogging::Disabled
        || super::daemon::is_running(&context.directory)
    {
        return;
    }
    if let Err(error) = sign_when_due(context) {
        eprintln!("ctrlz: the event log could not be signed: {}", plain(&in_full(&error)));
    }
}

fn sign_when_due(context: &Context) -> Result<(), NotaryError> {
    let notary = Notary::of(&context.directory);
    let unsigned = context.store().log_head()?.last - notary.signed_to()?;
    // A time in the future is that of a clock that was wrong.
    let age = notary.signed_at()?.and_then(|at| SystemTime::now().duration_since(at).ok());
    let is_due = unsigned >= MOST || age.is_none_or(|age| age >= LONGEST);
    if unsigned > 0 && is_due {
        notary.sign(context.store(), clock::now())?;
    }
    Ok(())
}

/// Signs where somebody has begun to sign.
pub(super) fn where_begun(context: &Context) {
    let notary = Notary::of(&context.directory);
    if notary.signed_to().is_ok_and(|signed| signed > 0) {
        let _ = notary.sign(context.store(), clock::now());
    }
}

//! Who asks.

use std::sync::OnceLock;

use ctrlz_core::actor::{Actor, ActorKind};

/// The token for which a service started this process, as the log is to know it. Whoever may set it may
/// write to the store, and so to its log.
pub(crate) const API_KEY: &str = "CTRLZ_API_KEY_ID";

static USER: OnceLock<u32> = OnceLock::new();

/// The user who started ctrlz, or a client of the service that did. To be asked once before this process
/// or its child enters a user namespace, in which the user has another number.
pub(crate) fn current() -> Actor {
    let user = *USER.get_or_init(|| rustix::process::getuid().as_raw());
    match std::env::var(API_KEY) {
        Ok(id) => Actor { kind: ActorKind::ApiKey, id },
        Err(_) => Actor::user(user),
    }
}

//! Who asks.

use std::sync::OnceLock;

use ctrlz_core::actor::Actor;

static USER: OnceLock<u32> = OnceLock::new();

/// The user who started ctrlz. To be asked once before this process or its child enters a user
/// namespace, in which the user has another number.
pub(crate) fn current() -> Actor {
    Actor::user(*USER.get_or_init(|| rustix::process::getuid().as_raw()))
}

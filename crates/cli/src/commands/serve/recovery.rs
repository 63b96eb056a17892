//! What the service before this one was killed in the middle of is ended when this one begins: nobody
//! should have to use a sandbox, or to wait for a daemon, to learn what became of its last operation.

use std::sync::Arc;

use ctrlz_core::actor::Actor;
use ctrlz_core::tenancy::{Registry, TenantName};
use ctrlz_engine::in_full;

use super::backend::Stores;
use crate::context::WhenBusy;
use crate::failure::Failure;

/// Begins to look through all stores, on a thread of its own: nothing else waits for it.
pub(super) fn begin(stores: Arc<Stores>, registry: Arc<dyn Registry>) -> std::io::Result<()> {
    let look = move || {
        let tenants = match registry.tenants() {
            Ok(tenants) => tenants,
            Err(error) => {
                eprintln!("ctrlz: cannot list the tenants to recover: {}", in_full(&error));
                return;
            }
        };
        for tenant in tenants {
            // It is tried again when the sandbox is used.
            if let Err(failure) = recover(&stores, &tenant.name) {
                let words = failure.in_words();
                eprintln!("ctrlz: cannot recover the store of `{}`: {words}", tenant.name);
            }
        }
    };
    std::thread::Builder::new().name("recovery".to_owned()).spawn(look).map(drop)
}

fn recover(stores: &Stores, tenant: &TenantName) -> Result<(), Failure> {
    let Some(context) = stores.lease_unnoticed(tenant, Actor::system("recovery"))? else {
        return Ok(());
    };
    context.with_core(WhenBusy::WaitSilently, |core| Ok(core.end_interrupted().map(drop)?))
}

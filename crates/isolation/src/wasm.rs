//! The driver `wasm`: the sandbox is the native one, and what runs in it is this program, with its
//! WebAssembly engine.

use ctrlz_core::isolation::{Launch, Network, RootView};
use ctrlz_core::wasm::Surroundings;

/// The launch of the engine that runs the module which `launch` names.
pub(crate) fn inside(launch: Launch) -> Launch {
    let workspace = match &launch.root {
        // The native driver, which is next, refuses an image.
        RootView::Host { workspace_at } | RootView::Image { workspace_at, .. } => {
            workspace_at.clone()
        }
        RootView::Workspace { .. } => "/".into(),
    };
    let around = Surroundings {
        workspace,
        network: launch.network == Network::Host,
        memory: launch.limits.memory,
    };
    Launch { argv: around.command(launch.argv), ..launch }
}

//! `ctrlz mcp`: an agent of this user, over standard input and output.

use std::sync::Arc;

use ctrlz_server::Stdio;

use super::{Wired, runtime, stopped, told, wired};
use crate::Answer;
use crate::arguments::McpArguments;
use crate::{actor, places, show};

pub(crate) fn mcp(arguments: &McpArguments) -> Answer {
    let user = actor::current();
    // Before the service leaves the folder in which it was started.
    let folder = places::canonical(&arguments.folder)?;
    let Wired { service, daemons, .. } = wired(places::store()?, Vec::new(), None, true)?;
    let runtime = runtime()?;
    let served = runtime.block_on(async {
        let (input, output) = (tokio::io::stdin(), tokio::io::stdout());
        let stdio = Stdio { user, folder, input, output };
        let stop = stopped()?;
        ctrlz_server::serve_stdio(Arc::clone(&service), stdio, stop).await.map_err(told)
    });
    // A read of standard input that nobody answers holds up nothing.
    runtime.shutdown_background();
    drop(daemons);
    served?;
    show::done()
}

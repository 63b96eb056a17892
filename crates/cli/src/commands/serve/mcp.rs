//! `ctrlz mcp`: an agent of this user, over standard input and output.

use std::sync::Arc;

use ctrlz_server::{Level, LogBounds, Stdio};

use super::{How, Wired, runtime, stopped, told, wired};
use crate::Answer;
use crate::arguments::McpArguments;
use crate::{actor, places, show};

pub(crate) fn mcp(arguments: &McpArguments) -> Answer {
    let user = actor::current();
    // Before the service leaves the folder in which it was started.
    let folder = places::canonical(&arguments.folder)?;
    // Clients show what is on standard error to nobody, or to everybody.
    let log = (None, Level::Error);
    let logs = LogBounds::default();
    let how = How { hosts: Vec::new(), tls: None, daemons: true, log, logs };
    let Wired { service, background, .. } = wired(places::store()?, how)?;
    let runtime = runtime()?;
    let served = runtime.block_on(async {
        let (input, output) = (tokio::io::stdin(), tokio::io::stdout());
        let stdio = Stdio { user, folder, input, output };
        let stop = stopped()?;
        ctrlz_server::serve_stdio(Arc::clone(&service), stdio, stop).await.map_err(told)
    });
    // A read of standard input that nobody answers holds up nothing.
    runtime.shutdown_background();
    background.end();
    served?;
    show::done()
}

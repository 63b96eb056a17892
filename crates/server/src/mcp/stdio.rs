//! MCP over standard input and output, for the user who started it.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use ctrlz_core::actor::Actor;
use rmcp::service::ServerInitializeError;
use rmcp::transport::async_rw::AsyncRwTransport;
use tokio::io::{AsyncRead, AsyncWrite};

use super::server::Server;
use crate::auth::Caller;
use crate::problem::Problem;
use crate::processes::end;
use crate::service::Service;

/// The longest message.
const LONGEST: usize = 16 << 20;

/// Whom it is for, and how they speak.
#[derive(Debug)]
pub struct Stdio<I, O> {
    /// The user to whom the store belongs.
    pub user: Actor,
    /// The folder that new sandboxes start from.
    pub folder: PathBuf,
    /// Where messages come from.
    pub input: I,
    /// Where messages go; nothing else does.
    pub output: O,
}

/// Answers until the input ends or `stop` is over. What runs then may end within five seconds when the input
/// ended, and is told to end at once when `stop` was over; then it is ended.
///
/// # Errors
/// When the client begins with something else than MCP.
pub async fn serve_stdio<I, O>(
    service: Arc<Service>,
    stdio: Stdio<I, O>,
    stop: impl Future<Output = ()>,
) -> Result<(), Problem>
where
    I: AsyncRead + Send + Unpin + 'static,
    O: AsyncWrite + Send + Unpin + 'static,
{
    let server = Server::local(Arc::clone(&service), Caller::local(stdio.user), stdio.folder);
    let transport = AsyncRwTransport::new_server(stdio.input, stdio.output);
    let mut stop = Box::pin(stop);
    let begun = tokio::select! {
        begun = rmcp::serve_server(server, transport.with_max_line_length(LONGEST)) => begun,
        () = &mut stop => return Ok(()),
    };
    let running = match begun {
        Ok(running) => running,
        // Somebody who looked whether it starts.
        Err(ServerInitializeError::ConnectionClosed(_)) => return Ok(()),
        Err(ServerInitializeError::ExpectedInitializeRequest(_)) => {
            let title = "the first message is neither `initialize` nor another request of MCP";
            return Err(Problem::bad_request(title));
        }
        Err(error) => return Err(Problem::internal(format!("the handshake: {error}"))),
    };
    let over = running.cancellation_token();
    let mut waiting = Box::pin(running.waiting());
    let ended = tokio::select! {
        ended = &mut waiting => Some(ended),
        () = &mut stop => None,
    };
    service.begin_to_drain();
    end(&service.processes.running()).await;
    service.processes.stored().await;
    let ended = match ended {
        Some(ended) => ended,
        // What was ended is still answered.
        None => {
            over.cancel();
            waiting.await
        }
    };
    ended.map(drop).map_err(|error| Problem::internal(format!("the server ended: {error}")))
}

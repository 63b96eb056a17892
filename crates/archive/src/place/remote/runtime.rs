//! The runtime behind the places, and the way from its streams to readers.

use std::future::Future;
use std::io::{self, Read};
use std::pin::Pin;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use futures_util::{Stream, StreamExt};

use crate::ArchiveError;

/// A runtime of one place. One thread waits for the network; what there is to compute is computed
/// by whoever called.
#[derive(Debug, Clone)]
pub(super) struct Runtime(Arc<tokio::runtime::Runtime>);

impl Runtime {
    pub(super) fn new() -> Result<Self, ArchiveError> {
        // One kind of TLS for the whole program. It fails when it was chosen before, which is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("ctrlz-places")
            .enable_all()
            .build()
            .map_err(ArchiveError::io("start a thread for", "a remote place"))?;
        Ok(Self(Arc::new(runtime)))
    }

    /// Waits for `future`.
    pub(super) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.0.block_on(future)
    }

    /// Starts `future` on the runtime's own thread.
    pub(super) fn start<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        self.0.spawn(future)
    }
}

type Chunks = Pin<Box<dyn Stream<Item = Result<Bytes, ArchiveError>> + Send>>;

/// A stream as a reader.
pub(super) struct StreamReader {
    runtime: Runtime,
    stream: Chunks,
    current: Bytes,
}

impl StreamReader {
    pub(super) fn new(
        runtime: &Runtime,
        stream: impl Stream<Item = Result<Bytes, ArchiveError>> + Send + 'static,
    ) -> Self {
        Self { runtime: runtime.clone(), stream: Box::pin(stream), current: Bytes::new() }
    }
}

impl Read for StreamReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.runtime.wait(self.stream.next()) {
                Some(chunk) => self.current = chunk?,
                None => return Ok(0),
            }
        }
        let length = self.current.len().min(buffer.len());
        if let Some(to) = buffer.get_mut(..length) {
            self.current.copy_to_slice(to);
        }
        Ok(length)
    }
}

//! Lines that are written by a thread of their own: whoever reads them may be slow, or have stopped,
//! and the service goes on.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// How many lines may wait. What comes then is counted and dropped.
const WAITING: usize = 8192;
/// How long their end is waited for.
const END: Duration = Duration::from_secs(1);

enum Piece {
    Line(Vec<u8>),
    /// All before it is written when somebody takes this.
    End(SyncSender<()>),
}

/// Where lines go.
#[derive(Clone)]
pub(super) struct Lines {
    to: SyncSender<Piece>,
    dropped: Arc<AtomicU64>,
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lines").field("dropped", &self.dropped).finish_non_exhaustive()
    }
}

impl Lines {
    pub(super) fn to_standard_error() -> Self {
        Self::to(io::stderr())
    }

    fn to(out: impl Write + Send + 'static) -> Self {
        let (to, from) = sync_channel(WAITING);
        let dropped = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&dropped);
        // It ends with the last sender.
        std::thread::spawn(move || write(out, &from, &counted));
        Self { to, dropped }
    }

    /// Waits until all lines are written, unless nobody reads them.
    pub(super) fn finish(&self) {
        let (done, is_done) = sync_channel(1);
        let _ = self.to.try_send(Piece::End(done));
        let _ = is_done.recv_timeout(END);
    }
}

fn write(mut out: impl Write, from: &Receiver<Piece>, dropped: &AtomicU64) {
    for piece in from {
        // Where a log cannot be written, there is nowhere to tell that.
        match piece {
            Piece::Line(line) => {
                let _ = out.write_all(&line);
            }
            Piece::End(done) => {
                let _ = out.flush();
                let _ = done.try_send(());
            }
        }
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let _ = writeln!(
                out,
                "{{\"level\":\"WARN\",\"message\":\"lines were dropped\",\"lines\":{lost}}}"
            );
        }
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { lines: self, text: Vec::new() }
    }
}

/// A line that is being made; it goes when it is dropped.
pub(super) struct Line<'a> {
    lines: &'a Lines,
    text: Vec<u8>,
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        let line = Piece::Line(std::mem::take(&mut self.text));
        if let Err(TrySendError::Full(_)) = self.lines.to.try_send(line) {
            self.lines.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Condvar, Mutex};

    use super::*;

    /// A reader that does not read before it is let.
    #[derive(Clone, Default)]
    struct Slow(Arc<Shared>);

    /// Whether it reads, and what it has read.
    #[derive(Default)]
    struct Shared {
        state: Mutex<(bool, Vec<u8>)>,
        let_go: Condvar,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let state = self.0.state.lock().expect("unpoisoned");
            let mut state = self.0.let_go.wait_while(state, |(may, _)| !*may).expect("unpoisoned");
            state.1.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_has_stopped_holds_up_nobody_and_hears_what_it_missed() {
        let slow = Slow::default();
        let lines = Lines::to(slow.clone());
        for number in 0..WAITING + 100 {
            writeln!(lines.make_writer(), "{number}").expect("taken");
        }
        lines.finish();
        slow.0.state.lock().expect("unpoisoned").0 = true;
        slow.0.let_go.notify_all();
        let mut text = String::new();
        while !text.contains(&format!("\n{}\n", WAITING - 1)) {
            lines.finish();
            text = String::from_utf8(slow.0.state.lock().expect("unpoisoned").1.clone())
                .expect("text");
        }
        assert!(
            text.starts_with("0\n{\"level\":\"WARN\",\"message\":\"lines were dropped\""),
            "{text}"
        );
    }
}

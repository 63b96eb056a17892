//! The engine: how modules are compiled.

use std::hash::{Hash, Hasher};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};

use crate::error::WasmError;

/// Bytes of the stack of a guest's calls.
pub(crate) const STACK: usize = 1 << 20;

/// How often the time of calls is looked at, where it is limited.
const TICK: Duration = Duration::from_millis(10);

/// How the length of calls is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Metering {
    /// Not at all.
    #[default]
    None,
    /// By fuel, about one unit an instruction: the same in every run, at some speed.
    Fuel,
    /// By the clock, to about 10 ms.
    Time,
}

/// How modules are compiled. What was compiled with other settings cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Settings {
    /// How the length of calls is held.
    pub metering: Metering,
    /// What WebAssembly leaves open is settled: every NaN has the same bits, and relaxed vector
    /// instructions compute alike everywhere.
    pub deterministic: bool,
}

/// An engine.
#[derive(Debug, Clone)]
pub struct Engine {
    pub(crate) inner: wasmtime::Engine,
    settings: Settings,
    ticker: Arc<Mutex<Option<Ticker>>>,
}

impl Engine {
    /// An engine with these settings.
    ///
    /// # Errors
    /// [`WasmError::Engine`] where this processor or kernel lacks what it needs.
    pub fn new(settings: Settings) -> Result<Self, WasmError> {
        let mut config = wasmtime::Config::new();
        config
            .consume_fuel(settings.metering == Metering::Fuel)
            .epoch_interruption(settings.metering == Metering::Time)
            .cranelift_nan_canonicalization(settings.deterministic)
            .relaxed_simd_deterministic(settings.deterministic)
            .max_wasm_stack(STACK)
            // Calls of the host run on the same stack.
            .async_stack_size(2 * STACK);
        if is_address_space_limited() {
            // By default 4 GiB of addresses are reserved for each memory, so that its bounds need no
            // checks.
            config.memory_reservation(0).memory_reservation_for_growth(1 << 20);
            config.memory_guard_size(1 << 16).memory_may_move(true);
        }
        let inner = wasmtime::Engine::new(&config)
            .map_err(|error| WasmError::Engine { what: crate::error::chain(&error) })?;
        Ok(Self { inner, settings, ticker: Arc::default() })
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> Settings {
        self.settings
    }

    /// Stands for all that decides what compiling answers: version, settings, processor.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut hasher = Fingerprint(blake3::Hasher::new());
        self.inner.precompile_compatibility_hash().hash(&mut hasher);
        *hasher.0.finalize().as_bytes()
    }

    /// How many ticks `span` has; from now on there are ticks.
    pub(crate) fn ticks(&self, span: Duration) -> Result<u64, WasmError> {
        let mut ticker = self.ticker.lock().unwrap_or_else(PoisonError::into_inner);
        if ticker.is_none() {
            *ticker = Some(Ticker::start(self.inner.weak())?);
        }
        let ticks = span.as_nanos().div_ceil(TICK.as_nanos());
        // The tick that is under way is a part of one.
        Ok(u64::try_from(ticks).unwrap_or(u64::MAX / 2).min(u64::MAX / 2) + 1)
    }
}

/// Whether addresses themselves are scarce (`ulimit -v`).
fn is_address_space_limited() -> bool {
    getrlimit(Resource::As).current.is_some()
}

/// Counts time for an engine, until it is dropped.
#[derive(Debug)]
struct Ticker {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    fn start(engine: wasmtime::EngineWeak) -> Result<Self, WasmError> {
        let (stop, stopped) = channel::<()>();
        let tick = move || {
            while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                let Some(engine) = engine.upgrade() else { return };
                engine.increment_epoch();
            }
        };
        let thread = std::thread::Builder::new().name("wasm ticks".to_owned()).spawn(tick);
        let thread = thread.map_err(|error| WasmError::Engine {
            what: format!("no thread can be started that counts time: {error}"),
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Fingerprint(blake3::Hasher);

impl Hasher for Fingerprint {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Nobody asks: the whole of it is read.
    fn finish(&self) -> u64 {
        0
    }
}

//! WASI for components that bring it along: deterministic, and mostly empty. No environment, files,
//! network or input; clocks that do not run; random numbers from a fixed seed; output to the log.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime::component::{HasData, Linker, Resource};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::clocks::WasiClocksCtxView;
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock;
use wasmtime_wasi::p2::pipe::MemoryInputPipe;
use wasmtime_wasi::p2::{DynPollable, OutputStream, Pollable, StreamError, StreamResult, subscribe};
use wasmtime_wasi::random::Deterministic;
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxView, WasiView, async_trait};

use super::log::{SharedVoice, Stream};
use super::work::Work;

/// The most bytes of output that a guest may bring in one call.
const MAX_OUTPUT_BYTES: usize = 64 << 10;

/// The most random bytes that a guest may ask for in one call. They have no price, so a call may not take long.
const MAX_RANDOM_BYTES: u64 = 4 << 10;

const NANOSECONDS_PER_READ: u64 = 1000;

/// What one instance sees of WASI.
pub(super) fn context(voice: &SharedVoice, work: &Work, input: &[u8]) -> WasiCtx {
    let output = |stream| Output { voice: voice.clone(), work: work.clone(), stream };
    let mut builder = WasiCtx::builder();
    builder
        .stdin(MemoryInputPipe::new(input.to_vec()))
        .stdout(output(Stream::Output))
        .stderr(output(Stream::Error))
        .secure_random(Deterministic::new(fixed_bytes()))
        .insecure_random(Deterministic::new(fixed_bytes()))
        .insecure_random_seed(0)
        .max_random_size(MAX_RANDOM_BYTES)
        .wall_clock(StandingClock::default())
        .monotonic_clock(StandingClock::default())
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false);
    builder.build()
}

/// Links WASI 0.2, without a way to wait.
pub(super) fn add_to_linker<T: WasiView>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_sync(linker)?;
    // A guest that slept in a host call could not be stopped: the limits of time and fuel reach
    // only its own code. So every timer is over at once.
    linker.allow_shadowing(true);
    monotonic_clock::add_to_linker::<T, NoWaiting>(linker, |state| NoWaitingView(state.ctx()))?;
    linker.allow_shadowing(false);
    Ok(())
}

/// A clock that moves by a microsecond whenever it is read, so that loops which wait for time to
/// pass come to an end. As a wall clock it stands.
#[derive(Default)]
struct StandingClock {
    reads: AtomicU64,
}

impl HostWallClock for StandingClock {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(NANOSECONDS_PER_READ)
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

impl HostMonotonicClock for StandingClock {
    fn resolution(&self) -> u64 {
        NANOSECONDS_PER_READ
    }

    fn now(&self) -> u64 {
        (self.reads.fetch_add(1, Ordering::Relaxed) + 1) * NANOSECONDS_PER_READ
    }
}

/// The monotonic clock without timers.
struct NoWaiting;

struct NoWaitingView<'a>(WasiCtxView<'a>);

impl HasData for NoWaiting {
    type Data<'a> = NoWaitingView<'a>;
}

impl monotonic_clock::Host for NoWaitingView<'_> {
    fn now(&mut self) -> wasmtime::Result<monotonic_clock::Instant> {
        monotonic_clock::Host::now(&mut self.clocks())
    }

    fn resolution(&mut self) -> wasmtime::Result<monotonic_clock::Duration> {
        monotonic_clock::Host::resolution(&mut self.clocks())
    }

    fn subscribe_instant(&mut self, _: monotonic_clock::Instant) -> wasmtime::Result<Resource<DynPollable>> {
        self.ready_at_once()
    }

    fn subscribe_duration(&mut self, _: monotonic_clock::Duration) -> wasmtime::Result<Resource<DynPollable>> {
        self.ready_at_once()
    }
}

impl NoWaitingView<'_> {
    fn clocks(&mut self) -> WasiClocksCtxView<'_> {
        WasiClocksCtxView { ctx: self.0.ctx.clocks(), table: self.0.table }
    }

    fn ready_at_once(&mut self) -> wasmtime::Result<Resource<DynPollable>> {
        let timer = self.0.table.push(OverTimer)?;
        subscribe(self.0.table, timer)
    }
}

/// A timer that is over.
struct OverTimer;

#[async_trait]
impl Pollable for OverTimer {
    async fn ready(&mut self) {}
}

/// Standard output or error of one instance.
#[derive(Clone)]
struct Output {
    voice: SharedVoice,
    work: Work,
    stream: Stream,
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    /// Only WASI 0.3 asks for it, which is not linked.
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.work.charge(1, bytes.len()).map_err(StreamError::Trap)?;
        self.voice.write(self.stream, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(MAX_OUTPUT_BYTES)
    }
}

#[async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

/// The seed of every instance: xorshift, as in `adapter.wat`.
fn fixed_bytes() -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..4096).map(|_| next()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instance_gets_the_same_random_bytes_and_the_same_time() {
        assert_eq!(fixed_bytes(), fixed_bytes());
        assert!(fixed_bytes().windows(2).any(|pair| pair[0] != pair[1]));
        let read = || {
            let clock = StandingClock::default();
            (HostMonotonicClock::now(&clock), HostMonotonicClock::now(&clock), HostWallClock::now(&clock))
        };
        assert_eq!(read(), (1000, 2000, Duration::ZERO));
        assert_eq!(read(), read());
    }
}

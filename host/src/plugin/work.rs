//! What host functions do for a guest has its price in fuel, too: else an event under fuel could keep the host busy
//! for days with few instructions of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wasmtime::Trap;

/// The price of any call of the host, and of each row or key in it. Reading one takes as long as some thousand
/// instructions.
const CALL_FUEL: u64 = 5_000;

/// The fuel that is left for host functions in the call that runs. It is apart from that of the guest's own code, and
/// as much.
#[derive(Clone, Debug, Default)]
pub(super) struct Work(Arc<AtomicU64>);

impl Work {
    /// For calls that the clock ends.
    pub const UNLIMITED: u64 = u64::MAX;

    /// Before a call.
    pub fn grant(&self, fuel: u64) {
        self.0.store(fuel, Ordering::Relaxed);
    }

    /// Takes the price of a call of the host that brings or gets so many bytes.
    ///
    /// # Errors
    /// [`Trap::OutOfFuel`].
    pub fn charge(&self, calls: usize, bytes: usize) -> wasmtime::Result<()> {
        let price = (calls as u64).saturating_mul(CALL_FUEL).saturating_add(bytes as u64);
        match self.0.load(Ordering::Relaxed) {
            Self::UNLIMITED => Ok(()),
            left => {
                self.0.store(left.saturating_sub(price), Ordering::Relaxed);
                if left < price { Err(Trap::OutOfFuel.into()) } else { Ok(()) }
            }
        }
    }
}

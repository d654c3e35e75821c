//! The WebAssembly engines: what they compile to, how running code is stopped. Two of them, because
//! counting fuel is built into the compiled code.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::thread;
use std::time::Duration;

use wasmtime::{Config, Engine, OptLevel, RegallocAlgorithm, Strategy};

/// How running code is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Metering {
    /// By the clock. Fast; what is stopped where differs from machine to machine.
    Time,
    /// By counting instructions. Slower; the same on every machine.
    Fuel,
}

/// How much trouble the compiler takes. All of it gives the same results, and every engine runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effort {
    /// Takes half the time, for larger and slower code.
    Quick,
    Full,
}

impl Metering {
    pub fn name(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Fuel => "fuel",
        }
    }
}

impl Effort {
    pub fn name(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Full => "full",
        }
    }
}

/// How often the clock of [`Metering::Time`] moves.
const TICK: Duration = Duration::from_millis(10);

/// Both engines, and the thread that moves the clock of one of them.
#[derive(Clone)]
pub(super) struct Engines {
    timed: Engine,
    fueled: Engine,
}

impl Engines {
    /// The thread ends when the last use of the engine ends.
    pub fn new(stack_kib: usize) -> wasmtime::Result<Self> {
        let engine = |metering| {
            let mut config = config(metering, Effort::Full);
            config.max_wasm_stack(stack_kib << 10);
            Engine::new(&config)
        };
        let engines = Self { timed: engine(Metering::Time)?, fueled: engine(Metering::Fuel)? };
        let clock = engines.timed.weak();
        thread::Builder::new().name("plugin-clock".into()).spawn(move || {
            while let Some(engine) = clock.upgrade() {
                engine.increment_epoch();
                drop(engine);
                thread::sleep(TICK);
            }
        })?;
        Ok(engines)
    }

    pub fn get(&self, metering: Metering) -> &Engine {
        match metering {
            Metering::Time => &self.timed,
            Metering::Fuel => &self.fueled,
        }
    }
}

/// How many ticks of the clock `time` takes, at least.
pub(super) fn ticks(time: Duration) -> u64 {
    time.as_millis().div_ceil(TICK.as_millis()) as u64 + 1
}

/// An engine that only compiles. What it makes fits the engine in [`Engines`].
pub(super) fn compiler(metering: Metering, effort: Effort) -> wasmtime::Result<Engine> {
    Engine::new(&config(metering, effort))
}

/// Changes whenever code compiled by another build of this engine could not be loaded.
pub(super) fn compatibility(engine: &Engine) -> u64 {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.finish()
}

/// Memory is allocated on demand: how much, is limited for each instance (see `limits.rs`), and how
/// many there are, by the number of projections.
fn config(metering: Metering, effort: Effort) -> Config {
    let mut config = Config::new();
    let (optimisation, registers) = match effort {
        Effort::Quick => (OptLevel::None, RegallocAlgorithm::SinglePass),
        Effort::Full => (OptLevel::Speed, RegallocAlgorithm::Backtracking),
    };
    config
        .strategy(Strategy::Cranelift)
        .cranelift_opt_level(optimisation)
        .cranelift_regalloc_algorithm(registers)
        .cranelift_nan_canonicalization(true)
        .wasm_relaxed_simd(false)
        .wasm_component_model(true)
        .epoch_interruption(metering == Metering::Time)
        .consume_fuel(metering == Metering::Fuel);
    // Threads are not compiled into this build of Wasmtime: see the features in Cargo.toml.
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiler_makes_what_the_engine_loads_and_only_that() {
        let engines = Engines::new(512).expect("starts");
        let same = |metering| {
            let compiler = compiler(metering, Effort::Full).expect("starts");
            compatibility(&compiler) == compatibility(engines.get(Metering::Time))
        };
        assert!(same(Metering::Time));
        assert!(!same(Metering::Fuel));
    }

    #[test]
    fn threads_and_relaxed_simd_are_off() {
        let engines = Engines::new(512).expect("starts");
        let valid = |text: &str| {
            let wasm = wat::parse_str(text).expect("valid text");
            wasmtime::Module::validate(engines.get(Metering::Time), &wasm).is_ok()
        };
        assert!(valid("(module (memory 1 1))"));
        assert!(!valid("(module (memory 1 1 shared))"));
        assert!(!valid("(module (func (param v128) (result v128) local.get 0 local.get 0 i8x16.relaxed_swizzle))"));
    }
}

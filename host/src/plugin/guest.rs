//! One running instance: its state, its limits, and what a failed call of it means.

use std::time::{Duration, Instant};

use wasmtime::component::ResourceTable;
use wasmtime::{Engine, Store, Trap, WasmBacktrace};
use wasmtime_wasi::{I32Exit, WasiCtx, WasiCtxView, WasiView};

use super::engine::ticks;
use super::limits::{Limiter, Limits};
use super::log::{SharedVoice, printable};
use super::wasi;
use super::work::Work;
use crate::code::CallFailure;
use crate::projection::ApplyFailure;
use crate::read_model::{ReadBudget, ReadModelDraft, ReadModelError};

/// How many frames of a trap are told, innermost first.
const MAX_FRAMES: usize = 4;

/// What host functions see of the instance that calls them.
pub(super) struct State {
    /// The draft of the call that is running; detached between calls.
    pub draft: ReadModelDraft,
    pub voice: SharedVoice,
    pub work: Work,
    limiter: Limiter,
    wasi: WasiCtx,
    resources: ResourceTable,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.resources }
    }
}

/// What one call may use.
#[derive(Clone, Copy, Debug)]
pub(super) enum Budget {
    /// For each call.
    Time(Duration),
    /// For each event of the call.
    Fuel(u64),
}

/// An instance and its state. Of no more use after a failed call.
pub(super) struct Guest<Instance> {
    store: Store<State>,
    instance: Instance,
    budget: Budget,
}

/// What an instance is made with.
pub(super) struct Settings<'a> {
    pub limits: Limits,
    pub budget: Budget,
    pub voice: SharedVoice,
    /// What it finds on standard input.
    pub input: &'a [u8],
}

impl<Instance> Guest<Instance> {
    /// A fresh instance.
    ///
    /// # Errors
    /// When it needs more memory than allowed, or its start function fails.
    pub fn new(
        engine: &Engine,
        settings: Settings<'_>,
        instantiate: impl FnOnce(&mut Store<State>) -> wasmtime::Result<Instance>,
    ) -> Result<Self, ApplyFailure> {
        let Settings { limits, budget, voice, input } = settings;
        let mut resources = ResourceTable::new();
        resources.set_max_capacity(1000);
        let work = Work::default();
        let state = State {
            draft: ReadModelDraft::default(),
            limiter: Limiter::new(limits),
            wasi: wasi::context(&voice, &work, input),
            work,
            resources,
            voice,
        };
        let mut store = Store::new(engine, state);
        store.limiter(|state| &mut state.limiter);
        // A call cannot bring more to the host than its memory holds.
        store.set_hostcall_fuel(limits.memory_bytes);
        budget.grant(&mut store, 1).map_err(|error| CallFailure::Trapped(error.to_string()))?;
        let instance = instantiate(&mut store);
        match instance {
            Ok(instance) => Ok(Self { store, instance, budget }),
            Err(error) => Err(failure(error, &mut store, budget)),
        }
    }

    /// Calls the guest with the draft in its hands; `events` is how many events the call is about.
    ///
    /// # Errors
    /// Every [`ApplyFailure`] but `Rejected`.
    pub fn call<Answer>(
        &mut self,
        draft: &mut ReadModelDraft,
        events: usize,
        call: impl FnOnce(&Instance, &mut Store<State>) -> wasmtime::Result<Answer>,
    ) -> Result<Answer, ApplyFailure> {
        self.budget.grant(&mut self.store, events).map_err(|error| CallFailure::Trapped(error.to_string()))?;
        draft.limit_reads(self.budget.of_reads(events));
        self.store.data_mut().draft = std::mem::take(draft);
        let answer = call(&self.instance, &mut self.store);
        *draft = std::mem::take(&mut self.store.data_mut().draft);
        match answer {
            Ok(answer) => {
                let state = self.store.data_mut();
                state.limiter.take_refused();
                state.voice.end_call();
                Ok(answer)
            }
            Err(error) => Err(failure(error, &mut self.store, self.budget)),
        }
    }
}

impl<Instance> Guest<Instance> {
    /// As [`Self::call`], of a world without a read model; what the guest answers as an error is a failure too.
    ///
    /// # Errors
    /// See [`CallFailure`].
    pub fn call_alone<Answer>(
        &mut self,
        events: usize,
        call: impl FnOnce(&Instance, &mut Store<State>) -> wasmtime::Result<Result<Answer, String>>,
    ) -> Result<Answer, CallFailure> {
        let answer = self.call(&mut ReadModelDraft::default(), events, call)?;
        answer.map_err(rejected)
    }
}

impl From<ApplyFailure> for CallFailure {
    fn from(failure: ApplyFailure) -> Self {
        match failure {
            ApplyFailure::Call(failure) => failure,
            // Nothing else than a call for a read model that is not there.
            ApplyFailure::ReadModel(error) => Self::Trapped(error.to_string()),
        }
    }
}

impl Budget {
    fn grant(self, store: &mut Store<State>, events: usize) -> wasmtime::Result<()> {
        match self {
            Self::Time(time) => {
                store.data().work.grant(Work::UNLIMITED);
                store.set_epoch_deadline(ticks(time));
            }
            Self::Fuel(fuel) => {
                let fuel = fuel_of(fuel, events);
                store.data().work.grant(fuel);
                store.set_fuel(fuel)?;
            }
        }
        Ok(())
    }

    /// The clock and the fuel reach only the guest's own code, so reads have limits of their own.
    fn of_reads(self, events: usize) -> ReadBudget {
        /// A step of SQLite takes as long as some instructions of a guest.
        const STEP_FUEL: u64 = 50;
        match self {
            Self::Time(time) => ReadBudget::Until(Instant::now() + time),
            Self::Fuel(fuel) => ReadBudget::Steps(fuel_of(fuel, events) / STEP_FUEL),
        }
    }
}

fn fuel_of(per_event: u64, events: usize) -> u64 {
    per_event.saturating_mul(events.max(1) as u64)
}

/// A guest's own words, as one line that can be kept.
pub(super) fn rejected(reason: String) -> CallFailure {
    CallFailure::Rejected(printable(&reason))
}

fn trapped(reason: &str) -> CallFailure {
    CallFailure::Trapped(printable(reason))
}

/// What a failed read or write of the read model means.
pub(super) fn read_model_failure(error: ReadModelError) -> ApplyFailure {
    match error {
        ReadModelError::Mismatch(reason) => trapped(&reason).into(),
        error => ApplyFailure::ReadModel(error),
    }
}

fn failure(error: wasmtime::Error, store: &mut Store<State>, budget: Budget) -> ApplyFailure {
    let state = store.data_mut();
    let refused = state.limiter.take_refused().or_else(|| state.limiter.name_limit(&error.root_cause().to_string()));
    let last_words = state.voice.end_call();
    let place = error.downcast_ref::<WasmBacktrace>().map(place).unwrap_or_default();
    let too_long = |budget| match budget {
        Budget::Time(time) => {
            CallFailure::Interrupted(format!("a call took longer than {} s{place}", time.as_secs_f64()))
        }
        Budget::Fuel(fuel) => CallFailure::OutOfFuel(format!(
            "a call needed more than {fuel} units of fuel for each of its events, the limit fuel_per_event{place}"
        )),
    };
    let error = match error.downcast::<ReadModelError>() {
        Ok(ReadModelError::Mismatch(error)) => return trapped(&format!("{error}{place}")).into(),
        Ok(ReadModelError::TooLong) => return too_long(budget).into(),
        Ok(error) => return ApplyFailure::ReadModel(error),
        Err(error) => error,
    };
    let failure = match (error.downcast_ref::<Trap>(), budget) {
        // How deep the stack is, is up to the compiler: optimised code under fuel has the last word.
        (Some(Trap::StackOverflow), Budget::Time(_)) => {
            CallFailure::Interrupted(format!("{}{place}", short_reason(&error)))
        }
        (Some(Trap::Interrupt), Budget::Time(_)) | (Some(Trap::OutOfFuel), Budget::Fuel(_)) => too_long(budget),
        _ => {
            let mut reason = format!("{}{place}", short_reason(&error));
            for more in [refused, last_words.map(|words| format!("its last words: {words}"))].into_iter().flatten() {
                reason.push_str("; ");
                reason.push_str(&more);
            }
            trapped(&reason)
        }
    };
    failure.into()
}

fn short_reason(error: &wasmtime::Error) -> String {
    if let Some(trap) = error.downcast_ref::<Trap>() {
        let text = trap.to_string();
        return text.strip_prefix("wasm trap: ").unwrap_or(&text).to_owned();
    }
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        return format!("it ended itself with exit status {}", exit.0);
    }
    error.root_cause().to_string()
}

/// Where in the guest it happened, innermost function first.
fn place(backtrace: &WasmBacktrace) -> String {
    // Without a name are the bridges that componentizing put in, and stripped plugins.
    let names = backtrace.frames().iter().filter_map(|frame| frame.func_name());
    let names: Vec<_> = names.take(MAX_FRAMES).map(|name| format!("`{name}`")).collect();
    if names.is_empty() { String::new() } else { printable(&format!(" in {}", names.join(", called by "))) }
}

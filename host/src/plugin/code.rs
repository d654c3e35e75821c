//! Loaded code of a plugin, whichever world it is of: makes instances, and knows what the plugin said of itself.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use wasmtime::component::InstancePre;
use wasmtime::{Engine, Store};

use super::compile::Source;
use super::engine::Metering;
use super::error::{PluginError, Problem};
use super::guest::{Budget, Guest, Settings, State};
use super::log::{PluginLog, SharedVoice};
use super::{Host, host_calls};
use crate::code::{CallFailure, ComponentDigest, PluginName};
use crate::projection::{ApplyFailure, Description, Projection, ProjectionCode};
use crate::read_model::ReadModelDraft;

/// What a world's instances can do. Implemented by generated types.
pub(super) trait GuestWorld: Sized + Send + 'static {
    /// Everything about an instance that can be done once.
    type Template: Send + Sync;

    /// What the plugin says of itself, checked.
    type Description: Send + Sync;

    /// # Errors
    /// When the component does not fit the world.
    fn template(prepared: InstancePre<State>) -> wasmtime::Result<Self::Template>;

    /// # Errors
    /// When the start function fails or a limit is hit.
    fn instantiate(template: &Self::Template, store: &mut Store<State>) -> wasmtime::Result<Self>;

    /// The inner error is a rule that the description breaks.
    ///
    /// # Errors
    /// When the guest traps.
    fn describe(&self, store: &mut Store<State>) -> wasmtime::Result<Result<Self::Description, Problem>>;

    fn name(description: &Self::Description) -> &PluginName;
}

/// A world whose instances fill a read model.
pub(super) trait ProjectionWorld: GuestWorld<Description = Description> {
    fn into_projection(guest: Guest<Self>) -> Box<dyn Projection>;
}

/// Code of the world `World`.
pub(super) struct Code<World: GuestWorld> {
    pub(super) host: Arc<Host>,
    source: Source,
    pub description: World::Description,
    log: Arc<PluginLog>,
    timed: World::Template,
    /// Made when an event is first accused: most plugins never need it.
    metered: Mutex<Option<Arc<World::Template>>>,
}

/// Compiles the source and asks it to describe itself.
///
/// # Errors
/// Names the plugin's file and what is wrong with it.
pub(super) fn load<World: GuestWorld>(
    host: &Arc<Host>,
    file: &str,
    source: Source,
) -> Result<Arc<Code<World>>, PluginError> {
    let rejected = |problem| PluginError::Rejected { file: file.into(), problem };
    let timed = template::<World>(host, &source, Metering::Time).map_err(rejected)?;
    let description = describe::<World>(host, file, &timed).map_err(rejected)?;
    let log = PluginLog::new(World::name(&description).as_str(), host.options.log_bytes_per_second);
    let host = Arc::clone(host);
    Ok(Arc::new(Code { host, source, description, log, timed, metered: Mutex::new(None) }))
}

fn template<World: GuestWorld>(host: &Host, source: &Source, metering: Metering) -> Result<World::Template, Problem> {
    let engine = host.engines.get(metering);
    let component = host.compiler.component(source, metering, engine)?;
    let prepared = host_calls::linker(engine).and_then(|linker| linker.instantiate_pre(&component));
    prepared
        .and_then(World::template)
        .map_err(|error| Problem::Mismatch { world: source.world.name(), reason: format!("{error:#}") })
}

fn describe<World: GuestWorld>(
    host: &Host,
    file: &str,
    template: &World::Template,
) -> Result<World::Description, Problem> {
    let budget = Budget::Time(Duration::from_secs(host.options.describe_seconds));
    let log = PluginLog::new(file, host.options.log_bytes_per_second);
    let guest = guest::<World>(host, host.engines.get(Metering::Time), template, (budget, &log));
    guest
        .and_then(|mut guest| guest.call(&mut ReadModelDraft::default(), 0, World::describe))
        .map_err(|failure| Problem::Describe { reason: failure.to_string() })?
}

fn guest<World: GuestWorld>(
    host: &Host,
    engine: &Engine,
    template: &World::Template,
    (budget, log): (Budget, &Arc<PluginLog>),
) -> Result<Guest<World>, ApplyFailure> {
    let settings = Settings {
        limits: host.options.limits(),
        budget,
        voice: SharedVoice::new(Arc::clone(log)),
        input: &host.options.input,
    };
    Guest::new(engine, settings, |store| World::instantiate(template, store))
}

impl<World: GuestWorld> Code<World> {
    pub fn digest(&self) -> &ComponentDigest {
        &self.source.digest
    }

    /// A fresh instance under the wall-clock limit.
    ///
    /// # Errors
    /// When the code does not start.
    pub fn timed(&self) -> Result<Guest<World>, ApplyFailure> {
        self.timed_for(Duration::from_secs(self.host.options.call_seconds))
    }

    /// A fresh instance, with this time for its start and for each call.
    ///
    /// # Errors
    /// When the code does not start.
    pub fn timed_for(&self, time: Duration) -> Result<Guest<World>, ApplyFailure> {
        let budget = Budget::Time(time);
        guest::<World>(&self.host, self.host.engines.get(Metering::Time), &self.timed, (budget, &self.log))
    }

    /// A fresh instance under the deterministic fuel limit.
    ///
    /// # Errors
    /// When the code does not start.
    pub fn metered(&self) -> Result<Guest<World>, ApplyFailure> {
        // The same code compiled before, so this is trouble of the machine and worth another try.
        let template = self.metered_template().map_err(|problem| CallFailure::Interrupted(problem.to_string()))?;
        let budget = Budget::Fuel(self.host.options.fuel_per_event);
        guest::<World>(&self.host, self.host.engines.get(Metering::Fuel), &template, (budget, &self.log))
    }

    fn metered_template(&self) -> Result<Arc<World::Template>, Problem> {
        // Holds a finished template or none, so a panic elsewhere does no harm.
        let mut metered = self.metered.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(template) = &*metered {
            return Ok(Arc::clone(template));
        }
        let template = Arc::new(template::<World>(&self.host, &self.source, Metering::Fuel)?);
        *metered = Some(Arc::clone(&template));
        Ok(template)
    }
}

impl<World: ProjectionWorld> ProjectionCode for Code<World> {
    fn description(&self) -> &Description {
        &self.description
    }

    fn digest(&self) -> &ComponentDigest {
        self.digest()
    }

    fn instantiate(&self) -> Result<Box<dyn Projection>, ApplyFailure> {
        self.timed().map(World::into_projection)
    }

    fn instantiate_metered(&self) -> Result<Box<dyn Projection>, ApplyFailure> {
        self.metered().map(World::into_projection)
    }
}

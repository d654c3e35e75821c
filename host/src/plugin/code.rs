//! Loaded code of a projection, whichever world it is of: makes instances, and knows what the
//! plugin said of itself.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use wasmtime::component::InstancePre;
use wasmtime::{Engine, Store};

use super::bindings::typed::lantern::plugin::schema::ProjectionDescription;
use super::compile::Source;
use super::engine::Metering;
use super::error::{PluginError, Problem};
use super::guest::{Budget, Guest, Settings, State};
use super::log::{PluginLog, SharedVoice};
use super::{Host, description, host_calls};
use crate::projection::{ApplyFailure, ComponentDigest, Description, Projection, ProjectionCode};
use crate::read_model::ReadModelDraft;

/// What a world's instances can do. Implemented by generated types.
pub(super) trait ProjectionWorld: Sized + Send + 'static {
    /// Everything about an instance that can be done once.
    type Template: Send + Sync;

    /// # Errors
    /// When the component does not fit the world.
    fn template(prepared: InstancePre<State>) -> wasmtime::Result<Self::Template>;

    /// # Errors
    /// When the start function fails or a limit is hit.
    fn instantiate(template: &Self::Template, store: &mut Store<State>) -> wasmtime::Result<Self>;

    /// # Errors
    /// When the guest traps.
    fn describe(&self, store: &mut Store<State>) -> wasmtime::Result<ProjectionDescription>;

    fn into_projection(guest: Guest<Self>) -> Box<dyn Projection>;
}

/// Code of the world `World`.
struct Code<World: ProjectionWorld> {
    host: Arc<Host>,
    source: Source,
    description: Description,
    log: Arc<PluginLog>,
    timed: World::Template,
    /// Made when an event is first accused: most plugins never need it.
    metered: Mutex<Option<Arc<World::Template>>>,
}

/// Compiles the source and asks it to describe itself.
///
/// # Errors
/// Names the plugin's file and what is wrong with it.
pub(super) fn load<World: ProjectionWorld>(
    host: &Arc<Host>,
    file: &str,
    source: Source,
) -> Result<Arc<dyn ProjectionCode>, PluginError> {
    let rejected = |problem| PluginError::Rejected { file: file.into(), problem };
    let timed = template::<World>(host, &source, Metering::Time).map_err(rejected)?;
    let described = describe::<World>(host, file, &timed).map_err(rejected)?;
    let description = description::check(described).map_err(rejected)?;
    let log = PluginLog::new(description.name.as_str(), host.options.log_bytes_per_second);
    let host = Arc::clone(host);
    Ok(Arc::new(Code::<World> { host, source, description, log, timed, metered: Mutex::new(None) }))
}

fn template<World: ProjectionWorld>(
    host: &Host,
    source: &Source,
    metering: Metering,
) -> Result<World::Template, Problem> {
    let engine = host.engines.get(metering);
    let component = host.compiler.component(source, metering, engine)?;
    let prepared = host_calls::linker(engine).and_then(|linker| linker.instantiate_pre(&component));
    prepared
        .and_then(World::template)
        .map_err(|error| Problem::Mismatch { world: source.world.name(), reason: format!("{error:#}") })
}

fn describe<World: ProjectionWorld>(
    host: &Host,
    file: &str,
    template: &World::Template,
) -> Result<ProjectionDescription, Problem> {
    let budget = Budget::Time(Duration::from_secs(host.options.describe_seconds));
    let log = PluginLog::new(file, host.options.log_bytes_per_second);
    let guest = guest::<World>(host, host.engines.get(Metering::Time), template, (budget, &log));
    guest
        .and_then(|mut guest| guest.call(&mut ReadModelDraft::default(), 0, World::describe))
        .map_err(|failure| Problem::Describe { reason: failure.to_string() })
}

fn guest<World: ProjectionWorld>(
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

impl<World: ProjectionWorld> Code<World> {
    fn metered(&self) -> Result<Arc<World::Template>, Problem> {
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
        &self.source.digest
    }

    fn instantiate(&self) -> Result<Box<dyn Projection>, ApplyFailure> {
        let budget = Budget::Time(Duration::from_secs(self.host.options.call_seconds));
        let engine = self.host.engines.get(Metering::Time);
        let guest = guest::<World>(&self.host, engine, &self.timed, (budget, &self.log))?;
        Ok(World::into_projection(guest))
    }

    fn instantiate_metered(&self) -> Result<Box<dyn Projection>, ApplyFailure> {
        // The same code compiled before, so this is trouble of the machine and worth another try.
        let template = self.metered().map_err(|problem| ApplyFailure::Interrupted(problem.to_string()))?;
        let budget = Budget::Fuel(self.host.options.fuel_per_event);
        let engine = self.host.engines.get(Metering::Fuel);
        let guest = guest::<World>(&self.host, engine, &template, (budget, &self.log))?;
        Ok(World::into_projection(guest))
    }
}

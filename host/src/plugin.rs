//! Plugins: files of WebAssembly that become code of their kind. The only module that knows
//! Wasmtime. It runs guest code and never trusts it: a plugin can stop only itself.
//!
//! A file goes through `watch` (it is there, and whole), `component` (it is what it should be),
//! `compile` (in a process of its own) and `code` (it describes itself) before anyone sees it.

use std::path::PathBuf;
use std::sync::Arc;

use crate::aggregate::AggregateCode;
use crate::code::{ComponentDigest, PluginName};
use crate::conflict::ConflictResolverCode;
use crate::projection::ProjectionCode;
use crate::upcast::UpcasterCode;

mod aggregate;
mod bindings;
mod cache;
mod code;
mod columnar;
mod compile;
mod component;
mod componentize;
mod conflict_resolver;
mod description;
mod engine;
mod error;
mod folder;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod guest;
mod guest_events;
mod host_calls;
mod imports;
mod limits;
mod log;
mod projection;
mod sources;
mod upcaster;
mod wasi;
mod watch;
mod work;

#[cfg(test)]
mod tests;

pub use compile::{CompilerProcess, compile_main};
pub use component::{digest, imported_interfaces};
pub use error::{PluginError, Problem};
pub use folder::FolderChange;
pub use sources::{Saved, SourceWatcher};
pub use watch::{FolderWatcher, WatchOptions, watch};

use cache::Cache;
use compile::{CompileLimits, Compiler, Source, Urgency};
use component::World;
use engine::{Engines, Metering};
use limits::Limits;

/// What plugins may use. All limits are for one instance, unless they say otherwise.
#[derive(Clone, Debug)]
pub struct PluginOptions {
    /// A folder for compiled code, made if it is missing. Only the daemon's user may enter it.
    pub cache_dir: PathBuf,
    /// Compiled files kept; the oldest go first.
    pub max_cached_artefacts: usize,
    /// Where plugins are compiled.
    pub compiler: CompilerProcess,
    /// The largest plugin file.
    pub max_file_bytes: u64,
    /// Processor time to compile one plugin. On the clock it may take four times as long.
    pub compile_seconds: u64,
    /// Address space to compile one plugin.
    pub compile_memory_mib: u64,
    /// Plugins from this size on are compiled quickly first, to be optimised later.
    pub quick_compile_bytes: u64,
    /// All linear memories together.
    pub memory_mib: usize,
    /// Elements of all tables together.
    pub max_table_elements: usize,
    /// Tables, and also core instances and memories: a component may consist of several.
    pub max_tables: usize,
    /// The guest's call stack. Threads that call guests need as much, and some more.
    pub stack_kib: usize,
    /// Wall-clock time for `describe`.
    pub describe_seconds: u64,
    /// Wall-clock time, in milliseconds, for one decision of a conflict resolver, and for its start.
    pub resolve_ms: u64,
    /// Wall-clock time, in milliseconds, for one call of an aggregate, and for its start.
    pub aggregate_ms: u64,
    /// Wall-clock time for one call of `apply` or `flush`.
    pub call_seconds: u64,
    /// Fuel for each event of a metered call; a unit is about one instruction.
    pub fuel_per_event: u64,
    /// What instances find on standard input. For trying sources without building them; else nothing.
    pub input: Arc<[u8]>,
    /// Log lines of all instances of a plugin together; what exceeds it is dropped and counted.
    pub log_bytes_per_second: usize,
}

impl PluginOptions {
    /// The defaults, with this folder for compiled code.
    pub fn new(cache_dir: impl Into<PathBuf>) -> Self {
        Self {
            cache_dir: cache_dir.into(),
            max_cached_artefacts: 64,
            compiler: CompilerProcess::ThisProgram,
            max_file_bytes: 64 << 20,
            compile_seconds: 60,
            compile_memory_mib: 2048,
            quick_compile_bytes: 1_000_000,
            memory_mib: 128,
            max_table_elements: 1_000_000,
            max_tables: 64,
            stack_kib: 512,
            describe_seconds: 5,
            resolve_ms: 1000,
            aggregate_ms: 1000,
            call_seconds: 10,
            fuel_per_event: 1_000_000_000,
            input: Arc::default(),
            log_bytes_per_second: 64 << 10,
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            memory_bytes: self.memory_mib << 20,
            table_elements: self.max_table_elements,
            max_instances: self.max_tables,
            max_memories: self.max_tables,
            max_tables: self.max_tables,
        }
    }
}

/// Loads plugins. A cheap handle.
#[derive(Clone)]
pub struct PluginHost(Arc<Host>);

/// What everything that is loaded shares.
struct Host {
    options: PluginOptions,
    engines: Engines,
    compiler: Compiler,
}

/// A plugin that is ready to run.
pub struct LoadedPlugin {
    /// The name of its world in `wit/worlds.wit`.
    pub world: &'static str,
    /// Code that is not optimised yet should be: see [`PluginHost::optimise`].
    pub is_optimised: bool,
    pub code: LoadedCode,
}

impl LoadedPlugin {
    /// # Errors
    /// Says that it is something else.
    pub fn into_projection(self) -> Result<Arc<dyn ProjectionCode>, String> {
        let Self { world, code, .. } = self;
        let name = code.name().clone();
        code.projection()
            .ok_or_else(|| format!("the plugin {name} is of the world {world}; this works with projections"))
    }
}

/// What a plugin provides.
#[derive(Clone)]
pub enum LoadedCode {
    Projection(Arc<dyn ProjectionCode>),
    ConflictResolver(Arc<dyn ConflictResolverCode>),
    Upcaster(Arc<dyn UpcasterCode>),
    Aggregate(Arc<dyn AggregateCode>),
}

impl LoadedCode {
    pub fn name(&self) -> &PluginName {
        match self {
            Self::Projection(code) => &code.description().name,
            Self::ConflictResolver(code) => code.name(),
            Self::Upcaster(code) => code.name(),
            Self::Aggregate(code) => code.name(),
        }
    }

    pub fn digest(&self) -> &ComponentDigest {
        match self {
            Self::Projection(code) => code.digest(),
            Self::ConflictResolver(code) => code.digest(),
            Self::Upcaster(code) => code.digest(),
            Self::Aggregate(code) => code.digest(),
        }
    }

    /// The code of a projection; none when it is something else.
    pub fn projection(self) -> Option<Arc<dyn ProjectionCode>> {
        match self {
            Self::Projection(code) => Some(code),
            _ => None,
        }
    }
}

impl PluginHost {
    /// # Errors
    /// When the folder for compiled code cannot be made, or the limits make no engine.
    pub fn new(options: PluginOptions) -> Result<Self, PluginError> {
        let cache = Cache::open(&options.cache_dir, options.max_cached_artefacts).map_err(|error| {
            PluginError::Start { reason: format!("the folder {} is not usable: {error}", options.cache_dir.display()) }
        })?;
        let limits = CompileLimits { seconds: options.compile_seconds, memory_mib: options.compile_memory_mib };
        let compiler = Compiler::new(options.compiler.clone(), limits, cache);
        let engines =
            Engines::new(options.stack_kib).map_err(|error| PluginError::Start { reason: format!("{error:#}") })?;
        Ok(Self(Arc::new(Host { options, engines, compiler })))
    }

    /// Checks a plugin file, compiles it or finds it compiled, and asks it to describe itself.
    /// `file` is its name, for messages. Takes as long as the compiler does; a large plugin is
    /// compiled quickly.
    ///
    /// # Errors
    /// Says what is wrong with the file and what to do.
    pub fn load(&self, file: &str, bytes: &[u8]) -> Result<LoadedPlugin, PluginError> {
        let is_large = bytes.len() as u64 >= self.0.options.quick_compile_bytes;
        self.load_apart(file, bytes, if is_large { Urgency::Soon } else { Urgency::Once })
    }

    /// The same plugin, optimised. The compiler works on it when nothing else waits for it.
    ///
    /// # Errors
    /// As [`Self::load`], and when [`Self::close`] was called.
    pub fn optimise(&self, file: &str, bytes: &[u8]) -> Result<LoadedPlugin, PluginError> {
        self.load_apart(file, bytes, Urgency::Background)
    }

    /// Ends all work in the background.
    pub fn close(&self) {
        self.0.compiler.close();
    }

    fn load_apart(&self, file: &str, bytes: &[u8], urgency: Urgency) -> Result<LoadedPlugin, PluginError> {
        // A thread of its own: guests wait for WASI there without minding an async caller, and a
        // panic over a hostile file ends here.
        let loading = || std::thread::scope(|scope| scope.spawn(|| self.load_here(file, bytes, urgency)).join());
        loading().unwrap_or_else(|_| {
            let problem = Problem::Compile { reason: "reading it made Lantern panic; please report the file".into() };
            Err(PluginError::Rejected { file: file.into(), problem })
        })
    }

    fn load_here(&self, file: &str, bytes: &[u8], urgency: Urgency) -> Result<LoadedPlugin, PluginError> {
        let rejected = |problem| PluginError::Rejected { file: file.into(), problem };
        let (size, limit) = (bytes.len() as u64, self.0.options.max_file_bytes);
        if size > limit {
            return Err(rejected(Problem::TooLarge { bytes: size, limit }));
        }
        let world = component::inspect(bytes).map_err(rejected)?.world;
        let source = Source { bytes: bytes.into(), digest: digest(bytes), world, urgency };
        let engine = self.0.engines.get(Metering::Time);
        let is_optimised = urgency != Urgency::Soon || self.0.compiler.has_optimised(&source, engine);
        let code = match world {
            World::Projection => {
                LoadedCode::Projection(code::load::<bindings::typed::Projection>(&self.0, file, source)?)
            }
            World::ColumnarProjection => {
                LoadedCode::Projection(code::load::<bindings::columnar::ColumnarProjection>(&self.0, file, source)?)
            }
            World::ConflictResolver => LoadedCode::ConflictResolver(code::load::<
                bindings::conflict_resolver::ConflictResolver,
            >(&self.0, file, source)?),
            World::Upcaster => LoadedCode::Upcaster(code::load::<bindings::upcaster::Upcaster>(&self.0, file, source)?),
            World::Aggregate => {
                LoadedCode::Aggregate(code::load::<bindings::aggregate::Aggregate>(&self.0, file, source)?)
            }
        };
        Ok(LoadedPlugin { world: world.name(), is_optimised, code })
    }
}

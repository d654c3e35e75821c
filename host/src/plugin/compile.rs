//! Compiling, in a process of its own that may be killed: small code can take a compiler minutes
//! and gigabytes. One at a time, and only once for the same code; a large plugin quickly first, and
//! optimised when nobody waits for the compiler.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, setpriority_process, setrlimit};
use wasmtime::Engine;
use wasmtime::component::Component;

use super::cache::{Artefact, Cache, Draft, Key, write_artefact};
use super::component::{self, World};
use super::componentize::{self, ADAPTER, ADAPTER_WIT, WIT};
use super::engine::{self, Effort, Metering};
use super::error::Problem;
use crate::code::ComponentDigest;

/// Where plugins are compiled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CompilerProcess {
    /// A child running the program that runs now.
    #[default]
    ThisProgram,
    /// A child running this program; its `main` must call [`compile_main`] for the argument
    /// `compile-plugin`.
    Program(PathBuf),
    /// This process, without limits of time and memory. For tests and for embedding with plugins
    /// that are trusted.
    InProcess,
}

/// The limits of one compilation.
#[derive(Clone, Copy, Debug)]
pub(super) struct CompileLimits {
    /// Wall-clock time; the child may use as much processor time on each core.
    pub seconds: u64,
    /// Address space of the child.
    pub memory_mib: u64,
}

/// A plugin file that was inspected and found sound.
pub(super) struct Source {
    pub bytes: Arc<[u8]>,
    pub digest: ComponentDigest,
    pub world: World,
    pub urgency: Urgency,
}

/// When a plugin's code is needed, and how good it has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Urgency {
    /// Now, in any form; optimised if it is in the cache.
    Soon,
    /// Now, and optimised.
    Once,
    /// Optimised, when the compiler has nothing else to do.
    Background,
}

/// Turns plugin files into compiled code.
pub(super) struct Compiler {
    process: CompilerProcess,
    limits: CompileLimits,
    cache: Cache,
    one_at_a_time: Mutex<()>,
    /// Compilations that are needed now and wait for their turn.
    waiting: AtomicUsize,
    closed: AtomicBool,
}

/// Until work in the background looks again whether it is its turn.
const GIVE_WAY: Duration = Duration::from_millis(20);

/// What the child could not do. Its exit code says which.
#[derive(Debug)]
enum Refusal {
    /// The module does not fit its world.
    Mismatch(String),
    /// The code cannot be compiled.
    Compile(String),
    /// The child could not do its work at all.
    Broken(String),
}

impl Compiler {
    pub fn new(process: CompilerProcess, limits: CompileLimits, cache: Cache) -> Self {
        Self { process, limits, cache, one_at_a_time: Mutex::default(), waiting: 0.into(), closed: false.into() }
    }

    /// Ends what is compiled in the background, now and later.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// Whether optimised code is in the cache.
    pub fn has_optimised(&self, source: &Source, engine: &Engine) -> bool {
        self.cache.path(&key(source, engine, Effort::Full)).is_file()
    }

    /// Compiled code for the engine, from the cache if it has it.
    ///
    /// # Errors
    /// When the plugin cannot be compiled within the limits, or the compiler cannot be run.
    pub fn component(&self, source: &Source, metering: Metering, engine: &Engine) -> Result<Component, Problem> {
        let optimised = key(source, engine, Effort::Full);
        let quick = key(source, engine, Effort::Quick);
        // Under fuel an event gets its verdict: soon, and from the same code as everywhere.
        let urgency = if metering == Metering::Fuel { Urgency::Once } else { source.urgency };
        let is_quick = urgency == Urgency::Soon;
        let cached_quick = || if is_quick { self.cached(&quick, engine) } else { None };
        let cached = || self.cached(&optimised, engine).or_else(cached_quick);
        if let Some(component) = cached() {
            return Ok(component);
        }
        loop {
            let _one = self.turn(urgency)?;
            // Another thread may have waited for the same code.
            if let Some(component) = cached() {
                return Ok(component);
            }
            let (key, effort) = if is_quick { (&quick, Effort::Quick) } else { (&optimised, Effort::Full) };
            let mut draft = self.cache.draft(key).map_err(broken)?;
            let in_background = urgency == Urgency::Background;
            let request = Request { key: key.clone(), metering, effort, in_background, limits: self.limits };
            if self.compile(source, &request, &mut draft)? {
                let artefact = self.cache.store(key, draft).map_err(broken)?;
                if in_background {
                    self.cache.remove(&quick);
                }
                return load(engine, &artefact).map_err(broken);
            }
        }
    }

    /// Waits until the compiler is free; what is needed now goes first. The lock guards nothing but the processor.
    fn turn(&self, urgency: Urgency) -> Result<MutexGuard<'_, ()>, Problem> {
        let lock = || self.one_at_a_time.lock().unwrap_or_else(PoisonError::into_inner);
        if urgency != Urgency::Background {
            self.waiting.fetch_add(1, Ordering::Relaxed);
            let turn = lock();
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Ok(turn);
        }
        while !self.closed.load(Ordering::Relaxed) {
            let turn = lock();
            if self.waiting.load(Ordering::Relaxed) == 0 {
                return Ok(turn);
            }
            drop(turn);
            thread::sleep(GIVE_WAY);
        }
        Err(broken("Lantern stops"))
    }

    fn gives_way(&self, request: &Request) -> bool {
        let is_wanted = || self.waiting.load(Ordering::Relaxed) > 0 || self.closed.load(Ordering::Relaxed);
        request.in_background && is_wanted()
    }

    fn cached(&self, key: &Key, engine: &Engine) -> Option<Component> {
        let loaded = load(engine, &self.cache.read(key)?);
        loaded.inspect_err(|error| tracing::warn!(%error, "compiled code is not usable; compiling again")).ok()
    }

    /// Answers whether it is done, or gave way to what is needed now.
    fn compile(&self, source: &Source, request: &Request, draft: &mut Draft) -> Result<bool, Problem> {
        let program = match &self.process {
            CompilerProcess::InProcess => {
                let compiled = compile(source.bytes.to_vec(), request.metering, request.effort);
                let compiled = compiled.map_err(|refusal| refusal.problem(source.world))?;
                return write_artefact(&request.key, &compiled, &mut draft.file).map(|()| true).map_err(broken);
            }
            CompilerProcess::Program(program) => program.clone(),
            // Not its path: another build may lie there by now.
            CompilerProcess::ThisProgram if cfg!(target_os = "linux") => "/proc/self/exe".into(),
            CompilerProcess::ThisProgram => std::env::current_exe().map_err(broken)?,
        };
        let mut child = Command::new(program)
            .arg("compile-plugin")
            .env_clear()
            // Each thread reserves address space, which the limit counts.
            .env("RAYON_NUM_THREADS", "4")
            .env("MALLOC_ARENA_MAX", "2")
            .stdin(Stdio::piped())
            .stdout(draft.file.try_clone().map_err(broken)?)
            .stderr(Stdio::piped())
            .spawn()
            .map_err(broken)?;
        let ended = request.run(&mut child, &source.bytes, || self.gives_way(request));
        // Already over, unless it is to be stopped.
        let _ = child.kill();
        let status = child.wait().map_err(broken)?;
        let mut complaint = String::new();
        if let Some(stderr) = child.stderr.take() {
            // What it said before it died is told; a broken pipe says nothing more.
            let _ = stderr.take(MAX_COMPLAINT_BYTES).read_to_string(&mut complaint);
        }
        match ended {
            Ended::GaveWay => Ok(false),
            Ended::InTime if status.success() => Ok(true),
            Ended::InTime => Err(self.verdict(status, complaint.trim(), source.world)),
            Ended::TooLate => Err(Problem::CompileTooSlow { limit: self.limits.time() }),
        }
    }

    fn verdict(&self, status: ExitStatus, complaint: &str, world: World) -> Problem {
        use std::os::unix::process::ExitStatusExt;
        if let Some(refusal) = status.code().and_then(|code| Refusal::from_exit(code, complaint)) {
            return refusal.problem(world);
        }
        let out_of_memory =
            ["memory allocation of", "Cannot allocate memory", "out of memory", "Resource temporarily unavailable"];
        if out_of_memory.iter().any(|words| complaint.contains(words)) {
            return Problem::CompileTooLarge { limit_mib: self.limits.memory_mib };
        }
        if status.signal() == Some(rustix::process::Signal::XCPU.as_raw()) {
            return Problem::CompileTooSlow { limit: self.limits.time() };
        }
        Problem::Compiler { reason: format!("{status}; it said: {complaint:?}") }
    }
}

/// A machine that is busy with other things gives the compiler so many seconds for one of work.
const PATIENCE: u32 = 4;

/// The most that is kept of what the child says.
const MAX_COMPLAINT_BYTES: u64 = 8 << 10;

impl CompileLimits {
    fn time(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

fn key(source: &Source, engine: &Engine, effort: Effort) -> Key {
    let mut parts = vec![source.digest.0.as_bytes(), ADAPTER.as_bytes(), ADAPTER_WIT.as_bytes()];
    parts.extend(WIT.iter().map(|(_, text)| text.as_bytes()));
    // Covers Wasmtime's version, its settings, and whether fuel is counted.
    let compatibility = engine::compatibility(engine).to_le_bytes();
    parts.extend([env!("CARGO_PKG_VERSION").as_bytes(), &compatibility, effort.name().as_bytes()]);
    Key::of(&parts)
}

fn load(engine: &Engine, artefact: &Artefact) -> wasmtime::Result<Component> {
    // SAFETY: the bytes are what our own compiler wrote: their checksum is right, they lie in a
    // folder that only the daemon's user can enter, and the engine refuses those of another build.
    unsafe { Component::deserialize(engine, artefact.bytes()) }
}

fn broken(error: impl std::fmt::Display) -> Problem {
    Problem::Compiler { reason: error.to_string() }
}

/// What the child reads from its standard input, before the plugin's bytes.
struct Request {
    key: Key,
    metering: Metering,
    effort: Effort,
    in_background: bool,
    limits: CompileLimits,
}

enum Ended {
    InTime,
    TooLate,
    GaveWay,
}

impl Request {
    /// Feeds the child and waits until it is done, its time is over, or it has to give way.
    fn run(&self, child: &mut Child, bytes: &[u8], gives_way: impl Fn() -> bool) -> Ended {
        let deadline = Instant::now() + PATIENCE * self.limits.time();
        let stdin = child.stdin.take();
        thread::scope(|scope| {
            scope.spawn(move || {
                // A child that stops reading has failed, and its exit code says how.
                let _ = stdin
                    .map(|mut stdin| stdin.write_all(self.to_line().as_bytes()).and_then(|()| stdin.write_all(bytes)));
            });
            loop {
                match child.try_wait() {
                    Ok(Some(_)) | Err(_) => return Ended::InTime,
                    Ok(None) => {}
                }
                let ended = if gives_way() { Ended::GaveWay } else { Ended::TooLate };
                if matches!(ended, Ended::GaveWay) || Instant::now() >= deadline {
                    // Ends the thread that feeds it, too.
                    let _ = child.kill();
                    return ended;
                }
                thread::sleep(Duration::from_millis(2));
            }
        })
    }

    fn to_line(&self) -> String {
        let Self { key, metering, effort, in_background, limits } = self;
        let (metering, effort) = (metering.name(), effort.name());
        format!("{} {metering} {effort} {in_background} {} {}\n", key.as_str(), limits.seconds, limits.memory_mib)
    }

    fn from_line(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let key = Key::from_text(words.next()?);
        let word = words.next()?;
        let metering = [Metering::Time, Metering::Fuel].into_iter().find(|metering| metering.name() == word)?;
        let word = words.next()?;
        let effort = [Effort::Quick, Effort::Full].into_iter().find(|effort| effort.name() == word)?;
        let in_background = words.next()?.parse().ok()?;
        let limits = CompileLimits { seconds: words.next()?.parse().ok()?, memory_mib: words.next()?.parse().ok()? };
        Some(Self { key, metering, effort, in_background, limits })
    }
}

impl Refusal {
    fn exit(&self) -> (u8, &str) {
        match self {
            Self::Mismatch(reason) => (10, reason),
            Self::Compile(reason) => (11, reason),
            Self::Broken(reason) => (12, reason),
        }
    }

    fn from_exit(code: i32, reason: &str) -> Option<Self> {
        match code {
            10 => Some(Self::Mismatch(reason.into())),
            11 => Some(Self::Compile(reason.into())),
            12 => Some(Self::Broken(reason.into())),
            _ => None,
        }
    }

    fn problem(self, world: World) -> Problem {
        match self {
            Self::Mismatch(reason) => Problem::Mismatch { world: world.name(), reason },
            Self::Compile(reason) => Problem::Compile { reason },
            Self::Broken(reason) => Problem::Compiler { reason },
        }
    }
}

/// The whole of the child process: limits itself, reads a plugin from standard input and writes
/// compiled code to standard output, which is a file. Only the daemon calls it.
pub fn compile_main() -> ExitCode {
    ExitCode::from(compile_into(io::stdout().lock()))
}

/// Answers with the exit code.
pub(super) fn compile_into(mut output: impl Write) -> u8 {
    let Err(refusal) = compile_from(io::stdin().lock(), &mut output) else { return 0 };
    let (code, reason) = refusal.exit();
    eprintln!("{reason}");
    code
}

fn compile_from(input: impl Read, output: &mut impl Write) -> Result<(), Refusal> {
    let broken = |error: io::Error| Refusal::Broken(error.to_string());
    let mut input = BufReader::new(input);
    let mut line = String::new();
    input.by_ref().take(1024).read_line(&mut line).map_err(broken)?;
    let request = Request::from_line(&line).ok_or_else(|| {
        Refusal::Broken("this command is for the daemon: it compiles plugins in a process of its own".into())
    })?;
    limit_this_process(request.limits).map_err(broken)?;
    if request.in_background {
        // A wish: what cannot be granted does no harm.
        let _ = setpriority_process(None, 10);
    }
    let mut bytes = Vec::new();
    input.read_to_end(&mut bytes).map_err(broken)?;
    let compiled = compile(bytes, request.metering, request.effort)?;
    write_artefact(&request.key, &compiled, output).map_err(broken)
}

fn limit_this_process(limits: CompileLimits) -> io::Result<()> {
    let limit = |resource, most: u64, maximum: u64| {
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(maximum) }).map_err(io::Error::from)
    };
    // The signal that tells what happened comes before the one that does not.
    limit(Resource::Cpu, limits.seconds, limits.seconds + 5)?;
    limit(Resource::As, limits.memory_mib << 20, limits.memory_mib << 20)?;
    limit(Resource::Core, 0, 0)
}

fn compile(bytes: Vec<u8>, metering: Metering, effort: Effort) -> Result<Vec<u8>, Refusal> {
    let inspected = component::inspect(&bytes).map_err(|problem| Refusal::Compile(problem.to_string()))?;
    let component = componentize::componentize(bytes, inspected.world, inspected.form)
        .map_err(|error| Refusal::Mismatch(format!("{error:#}")))?;
    let engine = engine::compiler(metering, effort).map_err(|error| Refusal::Broken(format!("{error:#}")))?;
    engine.precompile_component(&component).map_err(|error| Refusal::Compile(format!("{error:#}")))
}

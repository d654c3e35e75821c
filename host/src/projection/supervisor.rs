//! All projections: which code runs which build, and what people ask of them.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;

use super::ProjectionCode;
use super::builds::{Builds, READ_MODELS};
use super::load_code::LoadCode;
use super::managed::{All, Managed, Shared, delete_orphans, delete_strangers};
use super::status::{ProjectionState, ProjectionStatus};
use super::upcasting::Upcasted;
use super::worker::{Command, Worker, WorkerOptions};
use crate::code::ComponentDigest;
use crate::crash_point;
use crate::event::{Position, StreamName};
use crate::event_store::EventStore;
use crate::read_model::{DeadLetter, ReadModelError, ReadModelFile};
use crate::sqlite::MigrateError;
use crate::upcast::Upcasters;

/// How long to wait until a worker has done what it was told: it may be in the middle of a step.
const ANSWER_WAIT: Duration = Duration::from_secs(30);

/// Why a projection could not be shown or told something.
#[derive(Debug, thiserror::Error)]
pub enum ProjectionError {
    #[error("there is no projection {name:?}; known are: {}", list(known))]
    NotFound { name: String, known: Vec<String> },
    #[error("projection {name:?}: {reason}")]
    NotPossible { name: String, reason: String },
    #[error(transparent)]
    ReadModel(#[from] ReadModelError),
    #[error("the catalog cannot be read or written: {0}")]
    Catalog(#[from] rusqlite::Error),
    #[error("the catalog cannot be opened: {0}")]
    OpenCatalog(#[from] MigrateError),
    #[error("the folder of read models cannot be used: {0}")]
    Folder(std::io::Error),
    #[error("the machine gives no thread for a projection: {0}")]
    Thread(std::io::Error),
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

/// What came of a plugin that provides a projection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Installed {
    /// The projection is new: history is replayed into its first read model.
    New,
    /// The same code as before goes on from its checkpoint.
    Resumed,
    /// Other code goes on from the checkpoint.
    Swapped,
    /// History is replayed into a new read model, which is swapped in when it has caught up.
    Replaying,
}

/// All projections of a daemon. A cheap handle.
#[derive(Clone)]
pub struct Projections {
    pub(super) shared: Arc<Shared>,
}

impl Projections {
    /// Opens the catalog. No projection runs before its code is [installed](Self::install).
    ///
    /// # Errors
    /// When the catalog or the folder of the read models cannot be used.
    pub fn open(
        events: EventStore,
        data: &Path,
        options: WorkerOptions,
        load_code: Box<dyn LoadCode>,
    ) -> Result<Self, ProjectionError> {
        let folder = data.join(READ_MODELS);
        std::fs::create_dir_all(&folder).map_err(ProjectionError::Folder)?;
        let builds = Builds::open(&data.join("catalog.db"))?;
        let mut projections = BTreeMap::new();
        for entry in builds.load()? {
            delete_strangers(&events, &entry, &folder).map_err(ProjectionError::Folder)?;
            projections.insert(entry.name.clone(), Managed::at_rest(entry, &folder));
        }
        delete_orphans(&folder, &projections).map_err(ProjectionError::Folder)?;
        let all = Mutex::new(All { builds, upcasters: Upcasters::default(), projections });
        Ok(Self { shared: Arc::new(Shared { events, folder, options, load_code, all }) })
    }

    /// Takes code that a file in the plugin folder provides. Same read-model version and tables:
    /// the code is swapped between two steps. Otherwise history is replayed beside the old one.
    ///
    /// # Errors
    /// When another file provides the projection already, or the catalog cannot be written.
    pub fn install(&self, file: &str, code: Arc<dyn ProjectionCode>) -> Result<Installed, ProjectionError> {
        let name = code.description().name.as_str().to_owned();
        // Loading the code of the active build may take a compilation: not under the lock.
        let active_code = self.code_of_active(&name, &code);
        let mut all = self.shared.lock();
        let All { builds, upcasters, projections } = &mut *all;
        let upcast = Upcasted::of(&code, upcasters);
        let Some(managed) = projections.get_mut(&name) else {
            let managed = Managed { code: Some(code), ..self.shared.first_build(file, upcast)? };
            builds.save(&managed.entry)?;
            projections.insert(name, managed);
            return Ok(Installed::New);
        };
        if managed.code.is_some() && managed.entry.plugin_file != file {
            let reason = format!("the file {} provides it already; remove one of the two", managed.entry.plugin_file);
            return Err(ProjectionError::NotPossible { name, reason });
        }
        managed.entry.plugin_file = file.to_owned();
        managed.code = Some(code);
        if let Some(old) = active_code.filter(|_| managed.active.worker.is_none()) {
            self.shared.run_active(managed, old)?;
        }
        let installed = self.shared.run(managed, upcast)?;
        crash_point::reached("code-replaced");
        builds.save(&managed.entry)?;
        crash_point::reached("code-saved");
        Ok(installed)
    }

    /// From now on these are the upcasters. A projection that they touch otherwise than before replays history beside
    /// the old read model, which goes on with the old ones. Answers with the names of those that do.
    pub fn set_upcasters(&self, upcasters: Upcasters) -> Vec<String> {
        let mut all = self.shared.lock();
        let All { builds, upcasters: present, projections } = &mut *all;
        *present = upcasters;
        let mut replaying = Vec::new();
        for managed in projections.values_mut() {
            let Some(code) = &managed.code else { continue };
            let (code, before) = (Upcasted::of(code, present), managed.entry.clone());
            let run = self.shared.run(managed, code);
            let entry = &managed.entry;
            if let Err(error) = run.and_then(|_| Ok(builds.save(entry)?)) {
                tracing::error!(projection = %entry.name, %error, "it cannot go on with the new upcasters");
            }
            if entry.candidate.is_some() && entry.candidate != before.candidate {
                replaying.push(entry.name.clone());
            }
        }
        replaying
    }

    /// Has every build that runs this code go on with it as it is now: the same, and compiled better.
    pub fn renew(&self, code: &Arc<dyn ProjectionCode>) {
        if let Some(managed) = self.shared.lock().projections.get_mut(code.description().name.as_str()) {
            managed.renew(code);
        }
    }

    /// Goes on with the code that was active last: the file in the folder is no longer sound.
    /// Answers whether the file belongs to a projection.
    ///
    /// # Errors
    /// When the code is gone or the worker cannot start.
    pub fn keep_active(&self, file: &str) -> Result<bool, ProjectionError> {
        let digest = {
            let all = self.shared.lock();
            let managed = all.projections.values().find(|managed| managed.entry.plugin_file == file);
            let Some(managed) = managed else { return Ok(false) };
            if managed.active.worker.is_some() {
                return Ok(true);
            }
            managed.entry.active.digest.clone()
        };
        let code = self
            .shared
            .load_code
            .projection(&digest)
            .map_err(|reason| ProjectionError::NotPossible { name: file.to_owned(), reason })?;
        self.install(file, code).map(|_| true)
    }

    /// Stops the projection whose file is gone from the folder. Its read model stays queryable.
    pub fn remove(&self, file: &str) -> Option<String> {
        let mut all = self.shared.lock();
        let managed =
            all.projections.values_mut().find(|managed| managed.code.is_some() && managed.entry.plugin_file == file)?;
        managed.code = None;
        let workers: Vec<_> =
            [managed.active.worker.take(), managed.candidate.take().and_then(|slot| slot.worker)].into();
        let reason = format!("its file {file} is gone from the plugin folder; the read model stays as it is");
        managed.active.progress.set_state(ProjectionState::PluginMissing, Some(reason));
        let name = managed.entry.name.clone();
        let progress = Arc::clone(&managed.active.progress);
        drop(all);
        workers.into_iter().flatten().for_each(Worker::stop);
        let report = progress.report();
        tracing::info!(projection = %name, position = %report.position, file, "the plugin is gone; its read model stays");
        Some(name)
    }

    /// Commits and stops every projection.
    pub fn shut_down(&self) {
        let workers: Vec<_> = {
            let mut all = self.shared.lock();
            all.projections.values_mut().flat_map(Managed::take_workers).collect()
        };
        workers.into_iter().for_each(Worker::stop);
    }

    /// The digests of all code that a build may need.
    pub fn digests(&self) -> HashSet<ComponentDigest> {
        let all = self.shared.lock();
        let entries = all.projections.values().map(|managed| &managed.entry);
        entries
            .flat_map(|entry| std::iter::once(&entry.active).chain(&entry.candidate))
            .flat_map(|build| std::iter::once(&build.digest).chain(build.upcasters.iter().map(|code| &code.digest)))
            .cloned()
            .collect()
    }

    /// How every projection stands, by name.
    pub fn statuses(&self) -> Vec<ProjectionStatus> {
        let head = self.shared.events.head();
        self.shared.lock().projections.values().map(|managed| managed.status(head)).collect()
    }

    /// How one projection stands.
    ///
    /// # Errors
    /// When there is no such projection.
    pub fn status(&self, name: &str) -> Result<ProjectionStatus, ProjectionError> {
        let head = self.shared.events.head();
        self.with(name, |managed, _| Ok(managed.status(head)))
    }

    /// Stops applying events until [`Self::resume`], also across restarts.
    ///
    /// # Errors
    /// When there is no such projection, or the catalog cannot be written.
    pub fn pause(&self, name: &str) -> Result<(), ProjectionError> {
        let (done, paused) = sync_channel(2);
        self.with(name, |managed, builds| {
            managed.tell(Command::Pause(done.clone()))?;
            managed.tell_candidate(Command::Pause(done));
            managed.entry.paused = true;
            Ok(builds.save(&managed.entry)?)
        })?;
        // Each worker lets go of its end when it stands still, after the step it is in.
        while paused.recv_timeout(ANSWER_WAIT).is_ok() {}
        Ok(())
    }

    /// Goes on after a pause, or tries again after a stop.
    ///
    /// # Errors
    /// As [`Self::pause`].
    pub fn resume(&self, name: &str) -> Result<(), ProjectionError> {
        self.with(name, |managed, builds| {
            managed.tell(Command::Resume)?;
            managed.tell_candidate(Command::Resume);
            // Here too, so that a query that comes next waits instead of being refused.
            managed.active.progress.set_state(ProjectionState::CatchingUp, None);
            managed.entry.paused = false;
            Ok(builds.save(&managed.entry)?)
        })
    }

    /// Replays history into a new read model, which is swapped in when it has caught up. A replay
    /// that is under way starts anew.
    ///
    /// # Errors
    /// When there is no such projection, its plugin is gone, or the catalog cannot be written.
    pub fn replay(&self, name: &str) -> Result<(), ProjectionError> {
        let shared = &self.shared;
        let upcasters = shared.lock().upcasters.clone();
        self.with(name, |managed, builds| {
            let code = Upcasted::of(&managed.running_code()?, &upcasters);
            managed.drop_candidate(&shared.folder);
            shared.run_candidate(managed, code)?;
            builds.save(&managed.entry)?;
            crash_point::reached("replay-saved");
            Ok(())
        })
    }

    /// Gives up the replay that is under way; the active read model is not touched.
    ///
    /// # Errors
    /// When there is no such projection or no replay.
    pub fn cancel_replay(&self, name: &str) -> Result<(), ProjectionError> {
        self.with(name, |managed, builds| {
            if managed.candidate.is_none() {
                return Err(managed.not_possible("no replay is under way"));
            }
            managed.drop_candidate(&self.shared.folder);
            Ok(builds.save(&managed.entry)?)
        })
    }

    /// The read model that answers queries.
    ///
    /// # Errors
    /// When there is no such projection.
    pub fn read_model(&self, name: &str) -> Result<ReadModelFile, ProjectionError> {
        self.with(name, |managed, _| Ok(managed.active.read_model.clone()))
    }

    /// Follows the position up to which the active read model shows every event.
    ///
    /// # Errors
    /// When there is no such projection.
    pub fn checkpoint_changes(&self, name: &str) -> Result<watch::Receiver<Position>, ProjectionError> {
        self.with(name, |managed, _| Ok(managed.active.progress.visible_to()))
    }

    /// Parked events after a position, in the order of the log.
    ///
    /// # Errors
    /// When there is no such projection, or the read model cannot be read.
    pub fn dead_letters(&self, name: &str, after: Position, limit: usize) -> Result<Vec<DeadLetter>, ProjectionError> {
        Ok(self.read_model(name)?.dead_letters(after, limit)?)
    }

    /// Has the parked events of one stream, or of all, applied again in order.
    ///
    /// # Errors
    /// When there is no such projection, or it does not run.
    pub fn retry_dead_letters(&self, name: &str, stream: Option<&StreamName>) -> Result<(), ProjectionError> {
        let stream = stream.map(|stream| stream.as_str().to_owned());
        self.with(name, |managed, _| managed.tell(Command::Retry(stream)))
    }

    /// Forgets a failed event, and applies those that waited behind it. The event stays in the log.
    ///
    /// # Errors
    /// When there is no such projection, it does not run, or the event has not failed.
    pub fn discard_dead_letter(&self, name: &str, position: Position) -> Result<(), ProjectionError> {
        let (reply, answer) = sync_channel(1);
        self.with(name, |managed, _| managed.tell(Command::Discard { position, reply }))?;
        let refused = |reason: String| ProjectionError::NotPossible { name: name.to_owned(), reason };
        match answer.recv_timeout(ANSWER_WAIT) {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(refused(format!("the event at position {position} is no failed event"))),
            Ok(Err(reason)) => Err(refused(reason)),
            Err(_) => Err(refused("it did not answer in time; look at its dead letters again".into())),
        }
    }

    fn with<T>(
        &self,
        name: &str,
        act: impl FnOnce(&mut Managed, &Builds) -> Result<T, ProjectionError>,
    ) -> Result<T, ProjectionError> {
        let mut all = self.shared.lock();
        let All { builds, projections, .. } = &mut *all;
        let known = || projections.keys().cloned().collect();
        if !projections.contains_key(name) {
            return Err(ProjectionError::NotFound { name: name.to_owned(), known: known() });
        }
        let Some(managed) = projections.get_mut(name) else { unreachable!("looked up above") };
        act(managed, builds)
    }
}

//! One projection with its builds and workers, and the moves between them.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::ProjectionCode;
use super::builds::{Build, Builds, Entry};
use super::load_code::LoadCode;
use super::status::{BuildStatus, Progress, ProjectionState, ProjectionStatus};
use super::supervisor::{Installed, ProjectionError};
use super::upcasting::Upcasted;
use super::worker::{Assignment, Command, Worker, WorkerOptions};
use crate::crash_point;
use crate::event::Position;
use crate::event_store::EventStore;
use crate::read_model::{ReadModelFile, Schema, delete_files, read_model_of};
use crate::upcast::Upcasters;

/// What every handle and every worker of a replay shares.
pub(super) struct Shared {
    pub events: EventStore,
    pub folder: PathBuf,
    pub options: WorkerOptions,
    pub load_code: Box<dyn LoadCode>,
    pub all: Mutex<All>,
}

pub(super) struct All {
    pub builds: Builds,
    /// All that there are now.
    pub upcasters: Upcasters,
    pub projections: BTreeMap<String, Managed>,
}

pub(super) struct Managed {
    pub entry: Entry,
    /// The code of the file in the folder; none while the file is gone.
    pub code: Option<Arc<dyn ProjectionCode>>,
    pub active: Slot,
    pub candidate: Option<Slot>,
}

/// One build and its worker.
pub(super) struct Slot {
    pub read_model: ReadModelFile,
    pub progress: Arc<Progress>,
    pub worker: Option<Worker>,
    /// Through which the worker reads.
    pub upcasters: Upcasters,
}

impl Shared {
    pub fn lock(&self) -> MutexGuard<'_, All> {
        // Every change is saved in the catalog before it is made here, so a panic leaves no mix.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A projection that was never seen before, with its first build under way.
    pub fn first_build(
        self: &Arc<Self>,
        file: &str,
        code: Arc<dyn ProjectionCode>,
    ) -> Result<Managed, ProjectionError> {
        let description = code.description();
        let build = Build::of(1, &*code);
        let entry = Entry {
            name: description.name.as_str().to_owned(),
            plugin_file: file.to_owned(),
            paused: false,
            next_build: 2,
            active: build.clone(),
            candidate: None,
        };
        let active = self.start(&entry, &build, code, None)?;
        Ok(Managed { entry, code: None, active, candidate: None })
    }

    /// Goes on with this code: in the active build if it fits, else in a new one beside it.
    pub fn run(
        self: &Arc<Self>,
        managed: &mut Managed,
        code: Arc<dyn ProjectionCode>,
    ) -> Result<Installed, ProjectionError> {
        if !managed.fits_active(&code) {
            return self.run_candidate(managed, code);
        }
        self.keep_replaying(managed, &code)?;
        self.run_active(managed, code)
    }

    /// Runs the active build with this code, from its checkpoint on.
    pub fn run_active(
        self: &Arc<Self>,
        managed: &mut Managed,
        code: Arc<dyn ProjectionCode>,
    ) -> Result<Installed, ProjectionError> {
        let same = managed.entry.active.digest == *code.digest();
        managed.entry.active.digest = code.digest().clone();
        let upcasters = code.upcasters();
        match &managed.active.worker {
            Some(_) if same && upcasters.is_same_code(&managed.active.upcasters) => {}
            Some(worker) => {
                worker.tell(Command::Replace(code));
                managed.active.upcasters = upcasters;
            }
            None => managed.active = self.start(&managed.entry, &managed.entry.active, code, None)?,
        }
        Ok(if same { Installed::Resumed } else { Installed::Swapped })
    }

    /// Fills a new build with this code beside the active one, or goes on filling the one that a
    /// daemon before this one began.
    pub fn run_candidate(
        self: &Arc<Self>,
        managed: &mut Managed,
        code: Arc<dyn ProjectionCode>,
    ) -> Result<Installed, ProjectionError> {
        if !managed.is_candidate(&code) {
            managed.drop_candidate(&self.folder);
            managed.entry.candidate = Some(Build::of(managed.entry.next_build, &*code));
            managed.entry.next_build += 1;
        }
        if managed.candidate.is_none()
            && let Some(build) = &managed.entry.candidate
        {
            let (shared, name, number) = (Arc::downgrade(self), managed.entry.name.clone(), build.number);
            let swap = move || shared.upgrade().is_some_and(|shared| shared.swap_in(&name, number));
            managed.candidate = Some(self.start(&managed.entry, build, code, Some(Box::new(swap)))?);
            crash_point::reached("replay-started");
        }
        Ok(Installed::Replaying)
    }

    /// Before code that fits the active build runs it: a replay into the same read-model version, with the same
    /// upcasters, goes on with that code, any other is given up.
    fn keep_replaying(
        self: &Arc<Self>,
        managed: &mut Managed,
        code: &Arc<dyn ProjectionCode>,
    ) -> Result<(), ProjectionError> {
        match &managed.entry.candidate {
            Some(build) if build.fits(&**code) => {
                self.run_candidate(managed, Arc::clone(code))?;
            }
            Some(_) => managed.drop_candidate(&self.folder),
            None => {}
        }
        Ok(())
    }

    /// Makes the candidate the active build. Called by its worker, whenever it has caught up. The answer is no as long
    /// as the active build is ahead or at work, so that queries never go back in time: also one that reads the old file
    /// while the new one is put in its place.
    fn swap_in(&self, name: &str, number: u64) -> bool {
        let mut all = self.lock();
        let All { builds, projections, .. } = &mut *all;
        let Some(managed) = projections.get_mut(name) else { return false };
        let Some(build) = managed.entry.candidate.clone().filter(|build| build.number == number) else { return false };
        let Some(candidate) = managed.candidate.take() else { return false };
        let visible_to = |slot: &Slot| *slot.progress.visible_to().borrow();
        let entry = Entry { active: build, candidate: None, ..managed.entry.clone() };
        let old = Arc::clone(&managed.active.progress);
        let still = old.stand_still().filter(|_| visible_to(&candidate) >= visible_to(&managed.active));
        let Some(mut replaced) = still else {
            managed.candidate = Some(candidate);
            return false;
        };
        crash_point::reached("swap-decided");
        if let Err(error) = builds.save(&entry) {
            tracing::error!(projection = %name, %error, "the finished replay cannot be swapped in: the catalog cannot be written");
            managed.candidate = Some(candidate);
            return false;
        }
        crash_point::reached("swap-saved");
        *replaced = true;
        managed.entry = entry;
        let position = visible_to(&candidate);
        std::mem::replace(&mut managed.active, candidate).retire();
        let read_model_version = managed.entry.active.read_model_version;
        tracing::info!(projection = %name, read_model_version, build = number, %position, "the replay has caught up and serves queries");
        true
    }

    fn start(
        &self,
        entry: &Entry,
        build: &Build,
        code: Arc<dyn ProjectionCode>,
        swap: Option<Box<dyn FnMut() -> bool + Send>>,
    ) -> Result<Slot, ProjectionError> {
        let path = entry.file_of(&self.folder, build);
        let state = if entry.paused { ProjectionState::Paused } else { ProjectionState::CatchingUp };
        let known = ReadModelFile::open(&path).and_then(|file| file.standing());
        let (position, dead_letters) = known.unwrap_or_default();
        let progress = Arc::new(Progress::new(state, position, dead_letters));
        let read_model = ReadModelFile { path: path.clone(), schema: Arc::new(code.description().schema.clone()) };
        let upcasters = code.upcasters();
        let assignment = Assignment {
            events: self.events.clone(),
            code,
            path,
            paused: entry.paused,
            options: self.options.clone(),
            progress: Arc::clone(&progress),
            swap,
        };
        let worker = Some(Worker::start(assignment).map_err(ProjectionError::Thread)?);
        Ok(Slot { read_model, progress, worker, upcasters })
    }
}

impl Managed {
    /// A projection of the catalog whose code has not been seen yet.
    pub fn at_rest(entry: Entry, folder: &Path) -> Self {
        let path = entry.file_of(folder, &entry.active);
        let reason =
            format!("its file {} is not in the plugin folder; the read model stays as it is", entry.plugin_file);
        // A file that is missing or damaged is made anew when the code comes.
        let read_model =
            ReadModelFile::open(&path).unwrap_or_else(|_| ReadModelFile { path, schema: Arc::new(Schema::default()) });
        let (position, dead_letters) = read_model.standing().unwrap_or_default();
        let progress = Progress::new(ProjectionState::PluginMissing, position, dead_letters);
        progress.set_state(ProjectionState::PluginMissing, Some(reason));
        let active = Slot { read_model, progress: Arc::new(progress), worker: None, upcasters: Upcasters::default() };
        Self { entry, code: None, active, candidate: None }
    }

    /// Whether the code can go on with the active read model.
    pub fn fits_active(&self, code: &Arc<dyn ProjectionCode>) -> bool {
        let tables = &*self.active.read_model.schema;
        self.entry.active.fits(&**code) && (*tables == code.description().schema || tables.tables().is_empty())
    }

    fn is_candidate(&self, code: &Arc<dyn ProjectionCode>) -> bool {
        let candidate = self.entry.candidate.as_ref();
        candidate.is_some_and(|build| build.fits(&**code) && build.digest == *code.digest())
    }

    /// Gives up the replay that is under way, or that stands still since its code went, if there is one. The caller saves
    /// the entry.
    pub fn drop_candidate(&mut self, folder: &Path) {
        let Some(build) = self.entry.candidate.take() else { return };
        match self.candidate.take() {
            Some(candidate) => candidate.retire(),
            None => delete_retired(&self.entry.file_of(folder, &build)),
        }
    }

    pub fn take_workers(&mut self) -> impl Iterator<Item = Worker> {
        let candidate = self.candidate.as_mut().and_then(|slot| slot.worker.take());
        [self.active.worker.take(), candidate].into_iter().flatten()
    }

    /// The code that the file in the folder provides.
    pub fn running_code(&self) -> Result<Arc<dyn ProjectionCode>, ProjectionError> {
        let file = &self.entry.plugin_file;
        self.code
            .clone()
            .ok_or_else(|| self.not_possible(&format!("put its plugin {file} back into the plugin folder first")))
    }

    /// The same code, compiled better, for everything that runs it.
    pub fn renew(&mut self, code: &Arc<dyn ProjectionCode>) {
        if self.code.as_ref().is_some_and(|own| own.digest() == code.digest()) {
            self.code = Some(Arc::clone(code));
        }
        let Entry { active, candidate, .. } = &self.entry;
        let builds = [(Some(active), Some(&self.active)), (candidate.as_ref(), self.candidate.as_ref())];
        for (build, slot) in builds {
            if build.is_some_and(|build| build.digest == *code.digest())
                && let Some(slot) = slot
                && let Some(worker) = &slot.worker
            {
                // One that does not listen goes on with what it has.
                worker.tell(Command::Replace(Upcasted::of(code, &slot.upcasters)));
            }
        }
    }

    /// Tells the active build's worker.
    pub fn tell(&self, command: Command) -> Result<(), ProjectionError> {
        match self.running()?.tell(command) {
            true => Ok(()),
            false => Err(self.not_possible("too many commands wait already; try again")),
        }
    }

    /// Tells the worker of a replay, if one is under way.
    pub fn tell_candidate(&self, command: Command) {
        if let Some(worker) = self.candidate.as_ref().and_then(|slot| slot.worker.as_ref())
            && !worker.tell(command)
        {
            tracing::warn!(projection = %self.entry.name, "the replay does not listen");
        }
    }

    /// The active build's worker.
    fn running(&self) -> Result<&Worker, ProjectionError> {
        let file = &self.entry.plugin_file;
        let missing =
            || self.not_possible(&format!("it does not run: put its plugin {file} back into the plugin folder first"));
        self.active.worker.as_ref().ok_or_else(missing)
    }

    pub fn not_possible(&self, reason: &str) -> ProjectionError {
        ProjectionError::NotPossible { name: self.entry.name.clone(), reason: reason.to_owned() }
    }

    pub fn status(&self, head: Position) -> ProjectionStatus {
        let candidate = self.candidate.as_ref().zip(self.entry.candidate.as_ref());
        ProjectionStatus {
            name: self.entry.name.clone(),
            plugin_file: self.entry.plugin_file.clone(),
            active: self.active.status(&self.entry.active, head),
            replay: candidate.map(|(slot, build)| slot.status(build, head)),
            tables: self.active.read_model.schema.tables().to_vec(),
        }
    }
}

impl Slot {
    fn status(&self, build: &Build, head: Position) -> BuildStatus {
        let report = self.progress.report();
        BuildStatus {
            read_model_version: build.read_model_version,
            build: build.number,
            component_digest: build.digest.0.clone(),
            upcasters: build.upcasters.clone(),
            read_model_path: self.read_model.path.clone(),
            state: report.state,
            events_per_second: report.events_per_second(),
            reason: report.reason,
            position: report.position,
            // Events may have been appended and applied since the head was read.
            head: head.max(report.position),
            dead_letters: report.dead_letters,
            waiting: report.waiting,
        }
    }

    /// Ends the build and deletes its read model; queries that have it open end undisturbed.
    fn retire(self) {
        let told = self.worker.is_some_and(|worker| worker.tell(Command::Retire));
        if !told {
            delete_retired(&self.read_model.path);
        }
    }
}

/// Deletes the read model of a build that nobody needs any more. What cannot be deleted now is at the next start.
pub(super) fn delete_retired(path: &Path) {
    if let Err(error) = delete_files(path) {
        tracing::warn!(path = %path.display(), %error, "a retired read model could not be deleted");
    }
}

/// Deletes read models that are not of this log, or ahead of it: another log was put in its place. Done before any event
/// is appended, since the log could then reach their checkpoint with other events.
pub(super) fn delete_strangers(events: &EventStore, entry: &Entry, folder: &Path) -> std::io::Result<()> {
    for build in std::iter::once(&entry.active).chain(&entry.candidate) {
        let path = entry.file_of(folder, build);
        let belongs = ReadModelFile::open(&path).and_then(|file| file.belongs_to(events.log_id(), events.head()));
        // What cannot be read is looked at when its projection starts.
        if matches!(belongs, Ok(false)) {
            tracing::warn!(path = %path.display(), "the read model is not of this log or ahead of it, as after a restore; it is filled again");
            delete_files(&path)?;
        }
    }
    Ok(())
}

/// Deletes the files of builds that no projection knows: a daemon died between two moves.
pub(super) fn delete_orphans(folder: &Path, projections: &BTreeMap<String, Managed>) -> std::io::Result<()> {
    let known: HashSet<PathBuf> = projections
        .values()
        .flat_map(|managed| {
            let entry = &managed.entry;
            std::iter::once(&entry.active).chain(&entry.candidate).map(|build| entry.file_of(folder, build))
        })
        .collect();
    for file in std::fs::read_dir(folder)? {
        let path = read_model_of(&file?.path());
        if path.extension().is_some_and(|extension| extension == "db") && !known.contains(&path) {
            tracing::info!(path = %path.display(), "a read model that no projection uses is deleted");
            delete_files(&path)?;
        }
    }
    Ok(())
}

//! Commits rows while the plugin works on: the one commit that may be under way has a thread.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvError, SyncSender, TryRecvError, sync_channel};
use std::time::Duration;

use super::changes::Changes;
use super::{Commit, ReadModelDraft, ReadModelError, ReadModelWriter};
use crate::cpu_time::thread_cpu_time;
use crate::crash_point;
use crate::event::Position;

#[cfg(test)]
pub mod slow;

/// A [`ReadModelWriter`] with a thread for long commits, which starts with the first of them and
/// ends when this is dropped; a commit under way is done before.
pub struct WriteBehind {
    /// Gone while a commit is under way.
    writer: Option<ReadModelWriter>,
    thread: Option<(SyncSender<Job>, Receiver<Done>)>,
    cpu_time: Duration,
    #[cfg(test)]
    pub slow: Option<slow::Slow>,
}

struct Job {
    writer: ReadModelWriter,
    changes: Arc<Changes>,
    checkpoint: Position,
    #[cfg(test)]
    stop: Option<slow::Stop>,
}

struct Done {
    writer: ReadModelWriter,
    outcome: Result<Position, ReadModelError>,
    /// Of the thread, since it started.
    cpu_time: Duration,
}

impl WriteBehind {
    pub fn new(writer: ReadModelWriter) -> Self {
        Self {
            writer: Some(writer),
            thread: None,
            cpu_time: Duration::ZERO,
            #[cfg(test)]
            slow: None,
        }
    }

    /// CPU time that the thread has used for commits that ended.
    pub fn cpu_time(&self) -> Duration {
        self.cpu_time
    }

    /// The writer, while no commit is under way.
    ///
    /// # Errors
    /// When the thread has ended, which only a bug makes it do.
    pub fn writer(&mut self) -> Result<&mut ReadModelWriter, ReadModelError> {
        self.writer.as_mut().ok_or_else(ended)
    }

    /// Starts to commit the draft with the checkpoint. Ask for the [`Self::outcome`] of the commit
    /// before this one first. The draft goes on to show its rows.
    ///
    /// # Errors
    /// When a commit is under way, or the machine gives no thread.
    pub fn begin(&mut self, draft: &mut ReadModelDraft, checkpoint: Position) -> Result<(), ReadModelError> {
        if self.thread.is_none() {
            self.thread = Some(start().map_err(|error| ReadModelError::Thread(error.to_string()))?);
        }
        let writer = self.writer.take().ok_or_else(ended)?;
        let job = Job {
            writer,
            changes: draft.begin_commit(),
            checkpoint,
            #[cfg(test)]
            stop: self.slow.as_mut().map(slow::Slow::begin),
        };
        let sent = self.thread.as_ref().is_some_and(|(jobs, _)| jobs.send(job).is_ok());
        #[cfg(test)]
        self.slow.iter().for_each(slow::Slow::wait_until_it_stands);
        if sent { Ok(()) } else { Err(ended()) }
    }

    /// How the commit under way of this draft ended, with its checkpoint: told once, and none when
    /// there is no such commit or, unless `wait`, it still works.
    pub fn outcome(&mut self, draft: &mut ReadModelDraft, wait: bool) -> Option<Result<Position, ReadModelError>> {
        if self.writer.is_some() {
            return None;
        }
        #[cfg(test)]
        let wait = match self.slow.as_mut().map(|slow| slow.ends(wait)) {
            Some(false) => return None,
            ends => wait || ends == Some(true),
        };
        let (_, answers) = self.thread.as_ref()?;
        let done =
            if wait { answers.recv().map_err(|RecvError| TryRecvError::Disconnected) } else { answers.try_recv() };
        match done {
            Ok(Done { writer, outcome, cpu_time }) => {
                self.cpu_time = cpu_time;
                draft.end_commit();
                self.writer = Some(writer);
                Some(outcome)
            }
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Err(ended())),
        }
    }
}

impl Drop for WriteBehind {
    /// Whoever opens the file next must not see its checkpoint move.
    fn drop(&mut self) {
        if let (None, Some((_, answers))) = (&self.writer, &self.thread) {
            #[cfg(test)]
            self.slow.iter_mut().for_each(|slow| _ = slow.ends(true));
            // Whether it succeeded is written in the file.
            let _ = answers.recv();
        }
    }
}

fn start() -> std::io::Result<(SyncSender<Job>, Receiver<Done>)> {
    let (jobs, inbox) = sync_channel::<Job>(1);
    let (outbox, answers) = sync_channel(1);
    std::thread::Builder::new().name("write behind".to_owned()).spawn(move || {
        while let Ok(job) = inbox.recv() {
            let Job { mut writer, changes, checkpoint, .. } = job;
            #[cfg(test)]
            let _standing = job.stop.map(slow::Stop::watch);
            let commit = Commit { checkpoint: Some(checkpoint), ..Commit::default() };
            crash_point::reached("commit-behind-begun");
            let outcome = writer.write(&changes, &commit).map(|()| checkpoint);
            crash_point::reached("commit-behind-done");
            if outbox.send(Done { writer, outcome, cpu_time: thread_cpu_time() }).is_err() {
                return;
            }
        }
    })?;
    Ok((jobs, answers))
}

fn ended() -> ReadModelError {
    ReadModelError::Thread("it has ended".to_owned())
}

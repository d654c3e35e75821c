//! Reads the next batch of the log while the one before is being worked on. It changes when
//! something is read, never what: events do not change, so a full batch read early is the same as
//! one read late.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use super::scan_reader::{Request, ScanReader, Scanned};
use super::{EventStoreError, EventView, ReadLimit};
use crate::event::{EventBatch, Interest, Position};

/// Reads a long part of the log, with a thread that is one batch ahead of whoever uses it.
/// The thread ends when this is dropped.
pub struct ReadAhead {
    /// Gone while a batch is read ahead.
    reader: Option<ScanReader>,
    under_way: Option<Request>,
    requests: SyncSender<Job>,
    answers: Receiver<(Job, Answer)>,
    /// A batch whose memory can be used again.
    spare: Arc<EventBatch>,
}

struct Job {
    reader: ScanReader,
    request: Request,
    batch: Arc<EventBatch>,
}

type Answer = Result<Scanned, EventStoreError>;

impl ReadAhead {
    /// Starts the thread, which waits until there is something to read ahead.
    ///
    /// # Errors
    /// When the machine gives no thread.
    pub(super) fn new(reader: ScanReader) -> Result<Self, EventStoreError> {
        let (requests, inbox) = sync_channel::<Job>(1);
        let (outbox, answers) = sync_channel(1);
        std::thread::Builder::new().name("read ahead".to_owned()).spawn(move || {
            while let Ok(mut job) = inbox.recv() {
                let answer = job.reader.read_after(&job.request, &mut job.batch);
                if outbox.send((job, answer)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { reader: Some(reader), under_way: None, requests, answers, spare: Arc::default() })
    }

    /// Replaces the batch by events after a position that one of the interests selects, in the order of their
    /// positions. The limit is for what is stored; it need not be reached. Without a view the batch is empty only at
    /// the end of the log. The next batch is read while the caller works on this one.
    ///
    /// # Errors
    /// As [`super::LogReader::read_after`].
    pub fn read_after(
        &mut self,
        after: Position,
        interests: &Arc<[Interest]>,
        limit: ReadLimit,
        batch: &mut Arc<EventBatch>,
    ) -> Result<Scanned, EventStoreError> {
        let wanted = Request { after, interests: Arc::clone(interests), limit };
        let answer = match self.finish()? {
            Some((request, answer)) if request == wanted => {
                std::mem::swap(batch, &mut self.spare);
                answer
            }
            _ => self.reader()?.read_after(&wanted, batch),
        };
        let scanned = answer?;
        if !scanned.at_end {
            self.begin(Request { after: scanned.to, ..wanted })?;
        }
        Ok(scanned)
    }

    /// What the reader sees of the events at these positions and wants.
    ///
    /// # Errors
    /// As [`super::LogReader::read_positions`].
    pub fn read_positions(
        &mut self,
        positions: &[Position],
        interests: &[Interest],
        batch: &mut Arc<EventBatch>,
    ) -> Result<(), EventStoreError> {
        self.read_stored(positions, batch)?;
        self.reader()?.show(interests, batch)
    }

    /// The events at these positions as they are stored.
    ///
    /// # Errors
    /// As [`super::LogReader::read_positions`].
    pub fn read_stored(&mut self, positions: &[Position], batch: &mut Arc<EventBatch>) -> Result<(), EventStoreError> {
        self.finish()?;
        self.reader()?.read_stored(positions, batch)
    }

    /// From now on sees events like this. Drops what is read ahead.
    ///
    /// # Errors
    /// When the thread has ended.
    pub fn look_through(&mut self, view: Option<Arc<dyn EventView>>) -> Result<(), EventStoreError> {
        self.finish()?;
        self.reader()?.view = view;
        Ok(())
    }

    /// From now on notes the CPU time of the reads.
    pub fn measure(&mut self) {
        if let Some(reader) = &mut self.reader {
            reader.cpu.get_or_insert_default();
        }
    }

    /// CPU time of all reads since [`ReadAhead::measure`]. Drops what is read ahead.
    ///
    /// # Errors
    /// When the thread has ended.
    pub fn cpu_time(&mut self) -> Result<Duration, EventStoreError> {
        self.finish()?;
        Ok(self.reader()?.cpu.unwrap_or_default())
    }

    fn begin(&mut self, request: Request) -> Result<(), EventStoreError> {
        if let Some(reader) = self.reader.take() {
            self.under_way = Some(request.clone());
            let batch = std::mem::take(&mut self.spare);
            self.requests.send(Job { reader, request, batch }).map_err(|_| ended())?;
        }
        Ok(())
    }

    /// Waits for what is read ahead; its batch is then the spare one.
    fn finish(&mut self) -> Result<Option<(Request, Answer)>, EventStoreError> {
        if self.under_way.take().is_none() {
            return Ok(None);
        }
        let (job, answer) = self.answers.recv().map_err(|_| ended())?;
        self.reader = Some(job.reader);
        self.spare = job.batch;
        Ok(Some((job.request, answer)))
    }

    fn reader(&mut self) -> Result<&mut ScanReader, EventStoreError> {
        self.reader.as_mut().ok_or_else(ended)
    }
}

/// Only a bug ends the thread early.
fn ended() -> EventStoreError {
    std::io::Error::other("the thread that reads the event log ahead has ended").into()
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use super::super::fixture::{Fixture, request};
    use super::*;

    const THREE: ReadLimit = ReadLimit { events: 3, bytes: usize::MAX };

    fn everything() -> Arc<[Interest]> {
        [Interest::everything()].into()
    }

    fn ten_events() -> Fixture {
        let fixture = Fixture::new();
        fixture.store.append(request("order-1", 1..=10)).unwrap();
        fixture
    }

    fn positions(ahead: &mut ReadAhead, after: u64, limit: ReadLimit) -> (Vec<u64>, u64) {
        let mut batch = Arc::default();
        let scanned = ahead.read_after(Position(after), &everything(), limit, &mut batch).unwrap();
        (batch.positions.clone(), scanned.to.0)
    }

    #[test]
    fn batch_after_batch_comes_as_without_reading_ahead() {
        let fixture = ten_events();
        let mut ahead = fixture.store.read_ahead(None).unwrap();
        assert_eq!(positions(&mut ahead, 0, THREE), (vec![1, 2, 3], 3));
        assert_eq!(positions(&mut ahead, 3, THREE), (vec![4, 5, 6], 6));
        assert_eq!(positions(&mut ahead, 6, THREE), (vec![7, 8, 9], 9));
        assert_eq!(positions(&mut ahead, 9, THREE), (vec![10], 10));
        assert_eq!(positions(&mut ahead, 10, THREE), (vec![], 10));
    }

    #[test]
    fn whoever_goes_back_or_asks_otherwise_gets_what_was_asked_for() {
        let fixture = ten_events();
        let mut ahead = fixture.store.read_ahead(None).unwrap();
        assert_eq!(positions(&mut ahead, 0, THREE), (vec![1, 2, 3], 3));
        assert_eq!(positions(&mut ahead, 0, THREE), (vec![1, 2, 3], 3));
        assert_eq!(positions(&mut ahead, 3, ReadLimit { events: 1, ..THREE }), (vec![4], 4));
        let mut batch = Arc::default();
        let nothing = [Interest { category: Some("cart".into()), event_types: vec![] }].into();
        let scanned = ahead.read_after(Position(4), &nothing, THREE, &mut batch).unwrap();
        assert_eq!(scanned, Scanned { to: Position(10), at_end: true });
        assert!(batch.is_empty());
        ahead.read_positions(&[Position(9)], &everything(), &mut batch).unwrap();
        assert_eq!(batch.positions, [9]);
    }

    #[test]
    fn an_event_that_came_after_the_read_ahead_is_not_missed() {
        let fixture = Fixture::new();
        fixture.store.append(request("order-1", 1..=3)).unwrap();
        let mut ahead = fixture.store.read_ahead(None).unwrap();
        assert_eq!(positions(&mut ahead, 0, THREE), (vec![1, 2, 3], 3));
        // The batch that is read ahead is empty, or has this event already.
        fixture.store.append(request("order-1", [4])).unwrap();
        let mut read = positions(&mut ahead, 3, THREE).0;
        read.extend(positions(&mut ahead, 3 + read.len() as u64, THREE).0);
        assert_eq!(read, [4]);
    }

    #[test]
    fn damage_that_is_found_ahead_is_told_when_the_reader_comes_there() {
        let fixture = ten_events().reopened_after(|connection| {
            connection.execute("UPDATE events SET time = time + 1 WHERE position = 5", []).unwrap();
        });
        let mut ahead = fixture.store.read_ahead(None).unwrap();
        assert_eq!(positions(&mut ahead, 0, THREE), (vec![1, 2, 3], 3));
        let error = ahead.read_after(Position(3), &everything(), THREE, &mut Arc::default()).unwrap_err();
        assert!(matches!(error, EventStoreError::Corrupt { position: Position(5), .. }), "{error}");
    }
}

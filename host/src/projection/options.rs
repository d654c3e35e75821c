//! Limits of one projection.

/// How much a projection does at a time, and how much may go wrong.
#[derive(Clone, Debug)]
pub struct RunnerOptions {
    /// Events in one call of the plugin.
    pub batch_events: usize,
    /// Bytes of events in one call of the plugin; one larger event still goes alone.
    pub batch_bytes: usize,
    /// Changed rows after which the rows are committed.
    pub flush_rows: usize,
    /// Bytes of changed rows after which the rows are committed.
    pub flush_bytes: u64,
    /// Events after which the rows are committed.
    pub flush_events: usize,
    /// Memory for the writes of one batch of events, and for those of one commit.
    pub draft_bytes: usize,
    /// Events that nobody wanted, after which the checkpoint is written anyway.
    pub checkpoint_events: u64,
    /// Times the daemon may end while the plugin runs at one checkpoint before events go one by
    /// one; after twice as many the next event is parked unseen.
    pub unfinished_runs: u32,
    /// Failed and waiting events together; one more stops the projection.
    pub max_dead_letters: u64,
}

impl Default for RunnerOptions {
    fn default() -> Self {
        Self {
            batch_events: 4_000,
            batch_bytes: 4 << 20,
            flush_rows: 100_000,
            flush_bytes: 16 << 20,
            flush_events: 1_000_000,
            draft_bytes: 256 << 20,
            checkpoint_events: 10_000,
            unfinished_runs: 3,
            max_dead_letters: 100_000,
        }
    }
}

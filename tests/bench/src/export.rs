//! The history for other projects: the events as JSON lines, and the check of the rows that they came to.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::ensure;
use serde_json::json;

use crate::history::{History, scratch};
use crate::native::{Serde, cached};
use crate::rows::{ORDERS_AND_CUSTOMERS, RowsDigest};
use crate::workload::{Pattern, Workload};

/// Writes the first events of the clustered history, a line each. `data` and `metadata` are text, as they are stored.
///
/// # Errors
/// When the file cannot be written.
pub fn export(file: &Path, events: usize) -> anyhow::Result<()> {
    let mut lines = BufWriter::new(File::create(file)?);
    for (stream, event) in Workload::new(Pattern::Clustered).take(events) {
        let line = json!({
            "id": event.id,
            "stream": stream.as_str(),
            "type": event.event_type,
            "time": event.time.0,
            "data": std::str::from_utf8(&event.data)?,
            "metadata": event.metadata,
        });
        writeln!(lines, "{line}")?;
    }
    Ok(lines.flush()?)
}

/// Checks that the tables `orders` and `customers` of a SQLite file are those of the first events.
///
/// # Errors
/// When they are not.
pub fn check(file: &Path, events: u64) -> anyhow::Result<()> {
    let folder = scratch()?;
    let rows = folder.path().join("expected.db");
    cached::<Serde>(&History::of(Pattern::Clustered, events)?.file(), &rows, events)?;
    let (found, expected) = (RowsDigest::of(file, ORDERS_AND_CUSTOMERS)?, RowsDigest::of(&rows, ORDERS_AND_CUSTOMERS)?);
    ensure!(found == expected, "{}: {found}; expected are {expected}", file.display());
    Ok(())
}

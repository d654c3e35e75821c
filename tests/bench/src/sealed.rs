//! The log with its events sealed, against the same log as rows: what it takes on disk, and how long a replay takes that
//! finds nothing of it in memory.

use std::fs::File;
use std::path::Path;

use anyhow::ensure;
use rustix::fs::{Advice, fadvise};

use crate::compare::replayed_rows;
use crate::history::{History, file_bytes};
use crate::measure::Spread;
use crate::replay::{load_packages, plugin_host};
use crate::report::{Target, Wanted};

/// # Errors
/// When a replay fails, or the two come to different rows.
pub fn sealed(history: &History, rounds: usize) -> anyhow::Result<Vec<Target>> {
    let sealed = history.sealed()?;
    let codes = load_packages(&plugin_host()?, &["orders-events"])?;
    let logs = [history, &sealed];
    let mut speeds = Vec::new();
    for round in 1..=rounds {
        let runs = logs.map(|log| {
            forget(&log.file())?;
            let events = log.open()?;
            let run = replayed_rows(&events, &codes);
            events.close();
            run
        });
        let [(rows, plain), (sealed_rows, packed)] =
            runs.into_iter().collect::<anyhow::Result<Vec<_>>>()?.try_into().expect("two logs");
        ensure!(rows == sealed_rows, "rows: {rows}; sealed: {sealed_rows}");
        eprintln!("round {round}: rows {plain:?}, sealed {packed:?}");
        speeds.push(plain.wall.as_secs_f64() / packed.wall.as_secs_f64());
    }
    let size = file_bytes(&sealed.file()) as f64 / file_bytes(&history.file()) as f64;
    Ok(vec![
        Target {
            what: "sealed log: its file against that of the rows",
            wanted: Wanted::AtMost(0.3),
            ratio: Spread::of([size]),
        },
        Target {
            what: "sealed log, cold: speed of a replay against rows",
            wanted: Wanted::AtLeast(1.5),
            ratio: Spread::of(speeds),
        },
    ])
}

/// Has the system forget what it keeps of a file in memory.
fn forget(path: &Path) -> anyhow::Result<()> {
    let file = File::open(path)?;
    file.sync_all()?;
    Ok(fadvise(&file, 0, None, Advice::DontNeed)?)
}

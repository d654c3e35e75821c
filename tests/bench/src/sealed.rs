//! The log with its events sealed, against the same log as rows: what it takes on disk, and how long a replay takes that
//! finds nothing of it in memory. And what sealing costs those who work meanwhile.

use std::fs::{self, File};
use std::path::Path;

use anyhow::ensure;
use lantern::event_store::{EventStore, EventStoreOptions};
use rustix::fs::{Advice, fadvise};

use crate::compare::replayed_rows;
use crate::history::{History, file_bytes, scratch};
use crate::measure::{Spread, measure};
use crate::replay::{load_packages, plugin_host};
use crate::report::{Target, Wanted};
use crate::workload::{Pattern, Workload};

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

/// An import of so many events and a replay of this log, each with the log being sealed meanwhile and not.
///
/// # Errors
/// When a replay fails, or comes to different rows.
pub fn beside(history: &History, rounds: usize) -> anyhow::Result<Vec<Target>> {
    let codes = load_packages(&plugin_host()?, &["orders-events"])?;
    let mut ratios = [const { Vec::new() }; 4];
    for round in 1..=rounds {
        let mut imports = Vec::new();
        let mut replays = Vec::new();
        let folder = scratch()?;
        for seal in [false, true] {
            let options = EventStoreOptions { seal, ..EventStoreOptions::default() };
            let log = folder.path().join(format!("import-{seal}.db"));
            let store = EventStore::open(&log, options.clone())?;
            let mut events = Workload::new(Pattern::Clustered).take(usize::try_from(history.events)?);
            let (done, cost) = measure(|| {
                let batches = std::iter::from_fn(|| Some(events.by_ref().take(1000).collect::<Vec<_>>()));
                batches.take_while(|batch| !batch.is_empty()).try_for_each(|batch| store.import(batch).map(drop))
            });
            done?;
            eprintln!(
                "round {round}: import {cost:?}, sealed {}, {} bytes",
                store.stats().sealed_events,
                file_bytes(&log)
            );
            store.close();
            imports.push(cost);
            let log = folder.path().join(format!("replay-{seal}.db"));
            fs::copy(history.file(), &log)?;
            let store = EventStore::open(&log, options)?;
            let (rows, cost) = replayed_rows(&store, &codes)?;
            eprintln!("round {round}: replay {cost:?}, sealed {}", store.stats().sealed_events);
            store.close();
            replays.push((rows, cost));
        }
        ensure!(replays[0].0 == replays[1].0, "rows: {}; sealed meanwhile: {}", replays[0].0, replays[1].0);
        let replays = replays.iter().map(|(_, cost)| *cost).collect();
        for (costs, ratios) in [imports, replays].iter().zip(ratios.chunks_exact_mut(2)) {
            ratios[0].push(costs[1].wall.as_secs_f64() / costs[0].wall.as_secs_f64());
            ratios[1].push(costs[1].cpu.as_secs_f64() / costs[0].cpu.as_secs_f64());
        }
    }
    let of = [
        "import while the log is sealed: wall clock against an import without",
        "import while the log is sealed: CPU against an import without",
        "replay while the log is sealed: wall clock against a replay without",
        "replay while the log is sealed: CPU against a replay without",
    ];
    let target = |(what, ratios)| Target { what, wanted: Wanted::AtMost(1.25), ratio: Spread::of(ratios) };
    Ok(of.into_iter().zip(ratios).map(target).collect())
}

/// Has the system forget what it keeps of a file in memory.
fn forget(path: &Path) -> anyhow::Result<()> {
    let file = File::open(path)?;
    file.sync_all()?;
    Ok(fadvise(&file, 0, None, Advice::DontNeed)?)
}

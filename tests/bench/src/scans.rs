//! Projections that share a scan of the log, and one that wants little of it. Their rows are checked against what SQLite
//! itself finds in the log.

use anyhow::ensure;
use lantern::event_store::EventStore;

use crate::history::{History, scratch};
use crate::measure::{Cost, Spread};
use crate::replay::{Code, load, load_packages, plugin_host, replay};
use crate::report::{Target, Wanted};
use crate::rows::RowsDigest;

/// How many projections run over one log.
const MANY: u8 = 10;

const ACTIVITY: &str = "SELECT customer, events, last_seen FROM activity ORDER BY customer";
const ACTIVITY_IN_LOG: &str =
    "SELECT data ->> 'customer' AS customer, count(*), max(time) FROM events GROUP BY 1 ORDER BY 1";
const RETURNS: &str = "SELECT customer, orders, refund_cents FROM returns ORDER BY customer";
const RETURNS_IN_LOG: &str = "SELECT data ->> 'customer' AS customer, count(*), sum(data ->> 'refund_cents')
    FROM events WHERE kind_id IN (SELECT id FROM kinds WHERE event_type = 'OrderReturned') GROUP BY 1 ORDER BY 1";

/// Ten projections at once against the same ten one after the other.
///
/// # Errors
/// When a projection fails or comes to wrong rows.
pub fn many(history: &History, rounds: usize) -> anyhow::Result<Vec<Target>> {
    let (host, events) = (plugin_host()?, history.open()?);
    let file = lantern_tests::build_plugins(&["customer-activity"]).remove(0);
    let plugin = std::fs::read(file)?;
    let codes: Vec<Code> =
        (0..MANY).map(|digit| load(&host, "customer-activity", &renamed(&plugin, digit))).collect::<Result<_, _>>()?;
    let expected = RowsDigest::of(&history.file(), &[ACTIVITY_IN_LOG])?;
    let mut ratios = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        let together = checked(&events, &codes, ACTIVITY, &expected)?;
        let mut apart = Cost::default();
        for code in &codes {
            let alone = checked(&events, std::slice::from_ref(code), ACTIVITY, &expected)?;
            apart = Cost { wall: apart.wall + alone.wall, cpu: apart.cpu + alone.cpu };
        }
        eprintln!("round {round}: ten at once {together:?}, one after the other {apart:?}");
        ratios.0.push(together.cpu.as_secs_f64() / apart.cpu.as_secs_f64());
        ratios.1.push(together.wall.as_secs_f64() / apart.wall.as_secs_f64());
    }
    Ok(vec![
        Target {
            what: "ten projections at once: CPU against ten replays",
            wanted: Wanted::AtMost(0.7),
            ratio: Spread::of(ratios.0),
        },
        Target {
            what: "ten projections at once: wall clock against ten replays",
            wanted: Wanted::AtMost(0.7),
            ratio: Spread::of(ratios.1),
        },
    ])
}

/// A projection that wants one event in five hundred against one that wants all, on a log of rows and on a sealed one.
///
/// # Errors
/// When a projection fails or comes to wrong rows.
pub fn narrow(history: &History, rounds: usize) -> anyhow::Result<Vec<Target>> {
    let logs = [("rows", history.open()?), ("sealed", history.sealed()?.open()?)];
    let codes = load_packages(&plugin_host()?, &["order-returns", "customer-activity"])?;
    let (narrow, full) = codes.split_at(1);
    let expected = RowsDigest::of(&history.file(), &[RETURNS_IN_LOG])?;
    let expected_full = RowsDigest::of(&history.file(), &[ACTIVITY_IN_LOG])?;
    let mut shares = [const { Vec::new() }; 4];
    for round in 1..=rounds {
        for ((name, events), shares) in logs.iter().zip(shares.chunks_exact_mut(2)) {
            let little = checked(events, narrow, RETURNS, &expected)?;
            let all = checked(events, full, ACTIVITY, &expected_full)?;
            eprintln!("round {round}, {name}: 0.2 % of the events {little:?}, all {all:?}");
            shares[0].push(100.0 * little.wall.as_secs_f64() / all.wall.as_secs_f64());
            shares[1].push(100.0 * little.cpu.as_secs_f64() / all.cpu.as_secs_f64());
        }
    }
    let of = [
        "0.2 % of the events, rows: wall clock in percent of a full scan",
        "0.2 % of the events, rows: CPU in percent of a full scan",
        "0.2 % of the events, sealed log: wall clock in percent of a full scan",
        "0.2 % of the events, sealed log: CPU in percent of a full scan",
    ];
    let target = |(what, shares)| Target { what, wanted: Wanted::AtMost(1.0), ratio: Spread::of(shares) };
    Ok(of.into_iter().zip(shares).map(target).collect())
}

fn checked(events: &EventStore, codes: &[Code], query: &str, expected: &RowsDigest) -> anyhow::Result<Cost> {
    let folder = scratch()?;
    let (files, cost) = replay(events, codes, folder.path())?;
    for file in files {
        let found = RowsDigest::of(&file, &[query])?;
        ensure!(found == *expected, "{}: {found}; expected are {expected}", file.display());
    }
    Ok(cost)
}

/// The same plugin under another name: the digit in it is changed, and nothing else.
fn renamed(plugin: &[u8], digit: u8) -> Vec<u8> {
    let name = b"customer-activity-0";
    let mut plugin = plugin.to_vec();
    let place = plugin.windows(name.len()).position(|bytes| bytes == name).expect("the plugin says its name");
    plugin[place + name.len() - 1] += digit;
    plugin
}

//! What only a whole daemon shows: its memory during a replay, and how long a row takes to follow its event. Also how
//! fast a compiled plugin is back.

use std::os::unix::fs::symlink;
use std::time::Instant;

use anyhow::{Context, ensure};
use lantern_tests::TestHost;
use serde_json::json;

use crate::history::History;
use crate::measure::Spread;
use crate::replay::{load, plugin_host};

const PLUGIN: &str = "orders-events";

/// The most memory that `lantern serve` had, in MiB, while it replayed the history with its default settings.
///
/// # Errors
/// When the log cannot be put into its place, or the process does not tell of its memory.
pub fn memory(history: &History) -> anyhow::Result<f64> {
    let mut host = TestHost::start();
    host.stop();
    let log = host.data_folder().join("events.db");
    std::fs::remove_file(&log)?;
    symlink(history.file(), &log)?;
    host.start_again();
    host.drop_in("orders.wasm", &plugin()?);
    // In steps, because waiting has an end.
    for part in 1..=100 {
        let position = history.events * part / 100;
        host.wait_until(PLUGIN, &format!("has reached {position}"), |status| {
            status["position"].as_u64() >= Some(position)
        });
    }
    host.wait_until_live(PLUGIN);
    let status = std::fs::read_to_string(format!("/proc/{}/status", host.process_id()))?;
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB")?.trim().parse::<f64>().ok());
    Ok(peak.context("the process does not say how much memory it had")? / 1024.0)
}

/// Milliseconds to load a plugin that is compiled already: the file is checked, the compiled code read and verified, and
/// the plugin asked to describe itself.
///
/// # Errors
/// When Lantern does not take the plugin.
pub fn reload(times: usize) -> anyhow::Result<Spread> {
    let plugin = plugin()?;
    load(&plugin_host()?, PLUGIN, &plugin)?;
    let millis = (0..times).map(|_| {
        let host = plugin_host()?;
        let started = Instant::now();
        load(&host, PLUGIN, &plugin)?;
        Ok(started.elapsed().as_secs_f64() * 1e3)
    });
    Ok(Spread::of(millis.collect::<anyhow::Result<Vec<_>>>()?))
}

/// How long appends over HTTP took, one after the other, and how long until their rows answered: in milliseconds.
pub struct Latency {
    pub append: Vec<f64>,
    pub append_and_row: Vec<f64>,
}

/// Appends to a daemon with its default settings, so each event is on disk before its append is answered.
///
/// # Errors
/// When a row does not show the event.
pub fn latency(appends: usize) -> anyhow::Result<Latency> {
    let host = TestHost::start();
    host.drop_in("orders.wasm", &plugin()?);
    host.wait_until_live(PLUGIN);
    let api = host.api();
    let scan = json!([{ "event_type": "ParcelScanned", "data": { "customer": "c-1", "status": "in transit" } }]);
    let mut latency = Latency { append: Vec::new(), append_and_row: Vec::new() };
    for count in 1..=appends {
        let started = Instant::now();
        let position = api.append("order-1", &scan);
        latency.append.push(started.elapsed().as_secs_f64() * 1e3);
        let rows =
            api.get(&format!("/projections/{PLUGIN}/tables/orders?order_id=eq.1&at_least={position}")).expect(200);
        latency.append_and_row.push(started.elapsed().as_secs_f64() * 1e3);
        ensure!(rows[0]["scans"] == count, "the row does not show event {count}: {rows}");
    }
    Ok(latency)
}

fn plugin() -> anyhow::Result<Vec<u8>> {
    Ok(std::fs::read(lantern_tests::build_plugins(&[PLUGIN]).remove(0))?)
}

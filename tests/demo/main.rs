//! `cargo demo`: Lantern in two minutes, with a real daemon in a folder that is gone afterwards. Every command it runs is
//! printed as a reader would type it.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use lantern_tests::{TestHost, build_plugins, lantern};

fn main() {
    println!("Building lantern and two plugins; the first time takes some minutes.");
    lantern();
    let built = build_plugins(&["seat-availability", "order-summary"]);
    let [seats, orders] = built.as_slice() else { unreachable!("two were asked for") };
    let demo = Demo { host: TestHost::start() };

    demo.says("A daemon runs in a fresh folder.");
    println!(
        "$ lantern serve --data-dir {} --listen {}",
        demo.data(),
        demo.host.server().trim_start_matches("http://")
    );
    demo.says("Events are appended to a stream. Each says what it expects of the stream: here no event, then one.");
    demo.append("ConferenceOpened", r#"{"seats":100}"#, "no-stream");
    demo.append("SeatsReserved", r#"{"seats":43}"#, "1");

    demo.says("A plugin is dropped in: Lantern checks it, compiles it and replays history into its read model.");
    demo.copy(seats, "seat-availability.wasm");
    demo.host.wait_until_live("seat-availability");
    demo.lantern("query seat-availability conferences");
    demo.says("From now on it follows the log.");
    demo.append("ReservationCancelled", r#"{"seats":3}"#, "stream-exists");
    demo.lantern("query seat-availability conferences --at-least 3");

    demo.says("A longer history: 20,000 events of 5,000 orders, and the plugin for them.");
    let history = demo.host.folder().join("orders.jsonl");
    fs::write(&history, order_history(5_000)).expect("a file can be written");
    demo.lantern(&format!("events import {}", history.display()));
    demo.copy(orders, "order-summary.wasm");
    demo.host.wait_until_live("order-summary");
    demo.lantern("query order-summary customers --order paid_cents.desc --limit 3");
    demo.says(
        "A replay fills a new read model from all of history. The old one answers queries until it is swapped in.",
    );
    demo.lantern("projection replay order-summary --watch");

    demo.says("A broken file does not replace a plugin that works.");
    let broken = demo.host.plugin_folder().join("seat-availability.wasm");
    println!("$ echo oops > {}", broken.display());
    demo.host.drop_in("seat-availability.wasm", b"oops\n");
    demo.host.wait_for_plugin("seat-availability.wasm", "is rejected", |plugin| plugin["state"] == "rejected");
    demo.lantern("plugin list");
    demo.lantern("projection list");

    demo.end();
}

struct Demo {
    host: TestHost,
}

impl Demo {
    fn says(&self, sentence: &str) {
        println!("\n# {sentence}");
    }

    /// Runs `lantern` with these words.
    fn lantern(&self, arguments: &str) {
        println!("$ lantern {arguments}");
        self.run(&arguments.split(' ').collect::<Vec<_>>());
    }

    fn append(&self, event_type: &str, data: &str, expected: &str) {
        let stream = "conference-rust-2026";
        println!("$ lantern events append {stream} --type {event_type} --data '{data}' --expected {expected}");
        self.run(&["events", "append", stream, "--type", event_type, "--data", data, "--expected", expected]);
    }

    fn run(&self, arguments: &[&str]) {
        let ended = self.host.cli().show(arguments);
        assert!(ended.success(), "lantern {}: {ended}\n{}", arguments.join(" "), self.host.log());
    }

    fn copy(&self, plugin: &Path, file: &str) {
        println!("$ cp target/plugins/{file} {}/", self.host.plugin_folder().display());
        self.host.drop_in(file, &fs::read(plugin).expect("a plugin that was built can be read"));
    }

    fn data(&self) -> String {
        self.host.data_folder().display().to_string()
    }

    fn end(mut self) {
        self.says(
            "The daemon is asked to stop, and its folder goes with it. Next: \"Write your first plugin\" in README.md.",
        );
        assert!(self.host.stop().success(), "the daemon stops well:\n{}", self.host.log());
    }
}

/// JSON lines for an import: each order is placed, gets an item, is paid and shipped.
fn order_history(orders: u64) -> String {
    const CUSTOMERS: [&str; 7] = ["ann", "bob", "cleo", "dora", "emil", "fay", "gus"];
    let mut lines = String::new();
    for order in 0..orders {
        let customer = CUSTOMERS[(order * order % 7) as usize];
        let item =
            format!(r#"{{"product":"tea","quantity":{},"unit_price_cents":{}}}"#, 1 + order % 4, 250 + order % 90);
        let placed = format!(r#"{{"customer":"{customer}"}}"#);
        let events =
            [("OrderPlaced", placed.as_str()), ("ItemAdded", &item), ("OrderPaid", "{}"), ("OrderShipped", "{}")];
        for (event_type, data) in events {
            writeln!(lines, r#"{{"stream":"order-{order}","event_type":"{event_type}","data":{data}}}"#)
                .expect("a string takes everything");
        }
    }
    lines
}

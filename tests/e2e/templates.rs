//! The templates of plugins that are no projections: each is made, built, checked, dropped into a daemon, and does its work.

use std::fs;

use lantern_tests::{Cli, TestHost, plugin};
use serde_json::json;

use crate::accounts::{ACCOUNTS, FILE as ACCOUNTS_FILE};
use crate::author::rust_template;

/// Makes a plugin of this kind, builds it and drops it into the daemon.
fn take(host: &TestHost, name: &str, kind: &str) {
    let (_folder, project, cli) = rust_template(name, kind);
    let built = cli.json(&["plugin", "build", &project.to_string_lossy()]);
    assert_eq!((&built["name"], &built["world"]), (&json!(name), &json!(kind)));
    let file = built["file"].as_str().expect("a build says where its file is");
    let checked = cli.ok(&["plugin", "check", file]);
    assert!(checked.contains("this plugin would be taken"), "{checked}");
    says_what_to_do_with_it(&cli, &project.to_string_lossy(), kind);
    let file_name = format!("{name}.wasm");
    host.drop_in(&file_name, &fs::read(file).expect("it was built"));
    host.wait_for_plugin(&file_name, "is loaded", |plugin| plugin["state"] == "loaded");
}

/// A test of rows is for projections.
fn says_what_to_do_with_it(cli: &Cli, project: &str, kind: &str) {
    for command in [["plugin", "test", project].as_slice(), &["dev", project]] {
        let refused = cli.run(command);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.stderr.contains("projection") && refused.stderr.contains("hint: "), "{refused:?}");
    }
    let tested = cli.run(&["plugin", "test", project]).stderr;
    assert!(tested.contains(&format!("is of the world {kind}")) && tested.contains("cargo test"), "{tested}");
}

fn append(host: &TestHost, event: (&str, &str), expected: &str) -> String {
    let (event_type, data) = event;
    let arguments = ["events", "append", "account-1", "--type", event_type, "--data", data, "--expected", expected];
    host.cli().ok(&arguments)
}

#[test]
fn a_conflict_resolver_from_its_template_rewrites_an_append_that_comes_second() {
    let host = TestHost::start();
    take(&host, "account-merge", "conflict-resolver");
    append(&host, ("Opened", r#"{"name":"Ann"}"#), "no-stream");
    append(&host, ("Renamed", r#"{"name":"Anna","before":"Ann"}"#), "1");
    append(&host, ("Renamed", r#"{"name":"Annie","before":"Ann"}"#), "1");
    let events = host.cli().ok(&["events", "read", "account-1", "--json"]);
    assert!(events.contains(r#"{"before":"Anna","name":"Annie"}"#), "{events}");
    let conflicts = host.cli().ok(&["conflict", "list"]);
    assert!(conflicts.contains("account-merge") && conflicts.contains("rewrite"), "{conflicts}");
}

#[test]
fn an_upcaster_from_its_template_shows_projections_events_of_the_past_as_new_ones() {
    let host = TestHost::start();
    host.drop_in(ACCOUNTS_FILE, &plugin("accounts-first"));
    append(&host, ("Deposited", r#"{"euros":5}"#), "no-stream");
    let parked = host.wait_until_live(ACCOUNTS);
    assert_eq!(parked["dead_letters"], 1, "{parked}");
    take(&host, "cents", "upcaster");
    host.wait_until(ACCOUNTS, "has applied it", |status| status["build"] == 2 && status["dead_letters"] == 0);
    let rows = host.cli().json(&["query", ACCOUNTS, "accounts"]);
    assert_eq!(rows[0]["balance"], 500, "{rows}");
}

#[test]
fn an_aggregate_from_its_template_decides_commands() {
    let host = TestHost::start();
    take(&host, "account-desk", "aggregate");
    let command = |arguments: &[&str]| host.cli().run(&[&["aggregate", "command", "account", "1"], arguments].concat());
    let early = command(&["--type", "Close"]);
    assert!(early.code == Some(1) && early.stderr.contains("the account is not open"), "{early:?}");
    assert_eq!(command(&["--type", "Open"]).code, Some(0));
    assert_eq!(command(&["--type", "Rename", "--data", r#"{"name":"Ann"}"#]).code, Some(0));
    let state = host.cli().json(&["aggregate", "show", "account", "1"]);
    assert_eq!(state["state"], json!({ "is_open": true, "name": "Ann" }), "{state}");
}

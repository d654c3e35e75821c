//! The command line as people and scripts use it: what it prints, and how it ends.

use lantern_tests::{Cli, TestHost, plugin};
use serde_json::{Value, json};

use crate::accounts::{ACCOUNTS, FILE, history};

/// A file of a test.
fn file(host: &TestHost, name: &str, content: &[u8]) -> String {
    let path = host.folder().join(name);
    std::fs::write(&path, content).expect("a file can be written");
    path.to_string_lossy().into_owned()
}

#[test]
fn a_walk_from_an_empty_folder_to_rows() {
    let host = TestHost::start();
    let cli = host.cli();
    let appended = cli.ok(&[
        "events",
        "append",
        "account-ann",
        "--type",
        "Deposited",
        "--data",
        r#"{"amount":70}"#,
        "--expected",
        "no-stream",
    ]);
    assert!(appended.contains("account-ann") && appended.contains('1'), "{appended}");
    let import = file(&host, "more.jsonl", history(1_000).as_bytes());
    let imported = cli.json(&["events", "import", &import]);
    assert_eq!(
        (&imported["appended"], &imported["skipped"], &imported["last_position"]),
        (&json!(1000), &json!(0), &json!(1001))
    );
    assert_eq!(cli.json(&["events", "import", &import])["skipped"], json!(1000), "an import can be run again");
    assert!(cli.ok(&["events", "read", "account-ann"]).contains("Deposited"));

    assert!(cli.ok(&["projection", "list"]).contains("no projections yet"));
    host.drop_in(FILE, &plugin("accounts-first"));
    host.wait_until_live(ACCOUNTS);
    assert!(cli.ok(&["projection", "list"]).contains("live"));
    let shown = cli.ok(&["projection", "show", ACCOUNTS]);
    assert!(shown.contains("accounts (id text") && shown.contains("1,001 of 1,001"), "{shown}");
    assert!(cli.ok(&["plugin", "list"]).contains(FILE));
    let rows = cli.ok(&["query", ACCOUNTS, "accounts", "--where", "id=eq.ann", "--select", "id,balance"]);
    assert!(rows.contains("ann") && rows.contains("70") && rows.contains("position 1,001"), "{rows}");

    cli.ok(&["projection", "pause", ACCOUNTS]);
    host.wait_until(ACCOUNTS, "is paused", |status| status["state"] == "paused");
    cli.ok(&["projection", "resume", ACCOUNTS]);
    host.wait_until_live(ACCOUNTS);
    let replayed = cli.ok(&["projection", "replay", ACCOUNTS, "--watch"]);
    assert!(replayed.contains("answers queries"), "{replayed}");
    assert!(cli.ok(&["dead-letter", "list"]).contains("no dead letters"));
}

#[test]
fn every_answer_comes_as_json_for_scripts() {
    let host = TestHost::start();
    let cli = host.cli();
    let appended = cli.json(&["events", "append", "account-1", "--type", "Deposited", "--data", r#"{"amount":5}"#]);
    assert_eq!((&appended["version"], &appended["appended"]), (&json!(1), &json!(true)));
    assert_eq!(cli.json(&["events", "read", "account-1"])["data"], json!({ "amount": 5 }));
    assert_eq!(cli.json(&["plugin", "list"]), json!([]));
    host.drop_in(FILE, &plugin("accounts-first"));
    host.wait_until_live(ACCOUNTS);
    assert_eq!(cli.json(&["plugin", "list"])[0]["state"], "loaded");
    assert_eq!(cli.json(&["projection", "list"])[0]["name"], ACCOUNTS);
    assert_eq!(cli.json(&["projection", "show", ACCOUNTS])["tables"][0]["name"], "accounts");
    assert_eq!(cli.json(&["query", ACCOUNTS, "accounts"])[0]["balance"], json!(5));
    assert_eq!(cli.json(&["projection", "replay", ACCOUNTS, "--watch"])["build"], json!(2));
    assert_eq!(cli.json(&["dead-letter", "list", ACCOUNTS]), json!([]));
}

#[test]
fn exit_codes_tell_success_failure_and_wrong_usage_apart() {
    let host = TestHost::start();
    let cli = host.cli();
    assert_eq!(cli.run(&["projection", "list"]).code, Some(0));
    let unknown = cli.run(&["projection", "show", "nothing"]);
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.stderr.starts_with("error: ") && unknown.stderr.contains("\nhint: "), "{unknown:?}");
    assert_eq!(unknown.stdout, "");
    for wrong in [vec!["projection"], vec!["projection", "shw", "x"], vec!["events", "append", "account-1", "--type"]] {
        assert_eq!(cli.run(&wrong).code, Some(2), "lantern {}", wrong.join(" "));
    }
    let conflict = cli.run(&["events", "append", "account-1", "--type", "A", "--data", "1", "--expected", "7"]);
    assert_eq!(conflict.code, Some(1));
    assert!(conflict.stderr.contains("account-1") && conflict.stderr.contains('7'), "{conflict:?}");
    let nobody = Cli::new("http://127.0.0.1:1").run(&["projection", "list"]);
    assert_eq!(nobody.code, Some(1));
    assert!(nobody.stderr.contains("lantern serve"), "{nobody:?}");
}

#[test]
fn a_bad_record_is_named_by_its_line_and_the_import_goes_on_after_it_is_corrected() {
    let host = TestHost::start();
    let cli = host.cli();
    let mut lines: Vec<String> = history(2_500).lines().map(str::to_owned).collect();
    let right = std::mem::replace(&mut lines[1_699], r#"{"aggregate_type":"account","aggregate_id":"1"}"#.into());
    let path = file(&host, "records.jsonl", lines.join("\n").as_bytes());
    let failed = cli.run(&["events", "import", &path]);
    assert_eq!(failed.code, Some(1));
    assert!(failed.stderr.contains("line 1700") || failed.stderr.contains("line 1,700"), "{failed:?}");
    assert_eq!(host.head(), 1_699, "everything before the bad line is in the log");
    lines[1_699] = right;
    let path = file(&host, "records.jsonl", lines.join("\n").as_bytes());
    let done = cli.json(&["events", "import", &path]);
    assert_eq!((&done["appended"], &done["skipped"]), (&json!(801), &json!(1_699)));
}

#[test]
fn a_plugin_file_is_checked_without_a_daemon() {
    let host = TestHost::start();
    let alone = Cli::new("http://127.0.0.1:1");
    let good = file(&host, "good.wasm", &plugin("accounts-first"));
    let checked = alone.ok(&["plugin", "check", &good]);
    assert!(checked.contains(ACCOUNTS) && checked.contains("columnar-projection"), "{checked}");
    assert!(alone.json(&["plugin", "check", &good]).to_string().contains(ACCOUNTS));
    for (content, why) in [(&b"no plugin"[..], "not WebAssembly"), (&plugin("accounts-first")[..5_000], "cut off")] {
        let refused = alone.run(&["plugin", "check", &file(&host, "bad.wasm", content)]);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.stderr.contains(why) && refused.stderr.contains("hint: "), "{refused:?}");
    }
    assert_eq!(alone.run(&["plugin", "check", "/no/such/file.wasm"]).code, Some(1));
}

#[test]
fn settings_come_from_flags_then_the_environment_then_the_file_and_unknown_ones_are_refused() {
    let host = TestHost::start();
    let printed = |cli: Cli, arguments: &[&str]| cli.run(&[&["serve", "--print-config"], arguments].concat());
    let good = b"[http]\nmax_connections = 7\nmax_file_work = 8\nlisten = \"127.0.0.1:1111\"\n";
    let config = file(&host, "good.toml", good);
    let variables = host.cli().with_variable("LANTERN_HTTP__MAX_FILE_WORK", "9");
    let variables = variables.with_variable("LANTERN_HTTP__LISTEN", "127.0.0.1:2222");
    let shown = printed(variables, &["--config", &config, "--listen", "127.0.0.1:3333"]).stdout;
    for line in ["max_connections = 7", "max_file_work = 9", "listen = \"127.0.0.1:3333\""] {
        assert!(shown.lines().any(|shown| shown == line), "{line} is missing in {shown}");
    }
    let printed = |arguments: &[&str]| printed(host.cli(), arguments);
    let misspelt = host.cli().with_variable("LANTERN_HTTP__MAX_FILE_WRK", "9").run(&["serve", "--print-config"]);
    assert!(misspelt.code == Some(1) && misspelt.stderr.contains("max_file_wrk"), "{misspelt:?}");
    let unknown = printed(&["--config", &file(&host, "bad.toml", b"[http]\nmax_conections = 7\n")]);
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.stderr.contains("max_conections") && unknown.stderr.contains("max_connections"), "{unknown:?}");
    let wrong = printed(&["--config", &file(&host, "wrong.toml", b"[http]\nmax_connections = \"many\"\n")]);
    assert!(wrong.code == Some(1) && wrong.stderr.contains("http.max_connections"), "{wrong:?}");
}

#[test]
fn a_log_is_read_by_category_and_type_and_events_keep_their_order() {
    let host = TestHost::start();
    let cli = host.cli();
    cli.ok(&["events", "import", &file(&host, "records.jsonl", history(1_200).as_bytes())]);
    let printed =
        cli.ok(&["events", "read", "--category", "branch", "--type", "Withdrawn", "--limit", "2000", "--json"]);
    let events: Vec<Value> =
        printed.lines().map(|line| serde_json::from_str(line).expect("a line is an event")).collect();
    assert!(!events.is_empty());
    assert!(events.iter().all(|event| event["stream"].as_str().is_some_and(|stream| stream.starts_with("branch-"))));
    assert!(events.is_sorted_by_key(|event| event["position"].as_u64()));
    let backwards = cli.ok(&["events", "read", "account-7", "--backwards", "--limit", "1", "--json"]);
    let newest: Value = serde_json::from_str(&backwards).expect("one event");
    let forwards = cli.ok(&["events", "read", "account-7", "--limit", "2000", "--json"]);
    assert_eq!(forwards.lines().last().and_then(|line| serde_json::from_str(line).ok()), Some(newest));
}

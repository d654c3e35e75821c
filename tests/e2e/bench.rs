//! `lantern bench`: a replay for the figures alone.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use lantern_tests::{Cli, TestHost, plugin, rows_of};
use serde_json::json;

use crate::accounts::{ACCOUNTS, FILE, deposited, history, import};

/// All files below a folder with their sizes and times, but for those that SQLite has next to a file that is open.
fn files(folder: &Path) -> BTreeMap<String, (u64, SystemTime)> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry");
        let (path, about) = (entry.path(), entry.metadata().expect("a file"));
        let name = path.to_string_lossy().into_owned();
        if about.is_dir() {
            files.extend(self::files(&path));
        } else if !name.ends_with("-shm") && !name.ends_with("-wal") {
            files.insert(name, (about.len(), about.modified().expect("a time")));
        }
    }
    files
}

/// A plugin file, the data folder and a folder for temporary files, as arguments and as a command line.
fn bench_of(host: &TestHost, edition: &'static str) -> (Vec<String>, Cli) {
    let file = host.folder().join(format!("{edition}.wasm"));
    std::fs::write(&file, plugin(edition)).expect("a file can be written");
    let temporary = host.folder().join("temporary");
    std::fs::create_dir_all(&temporary).expect("a folder can be made");
    let data = host.data_folder();
    let arguments = ["bench", &file.to_string_lossy(), "--data-dir", &data.to_string_lossy()].map(str::to_owned);
    (arguments.to_vec(), host.cli().with_variable("TMPDIR", &temporary.to_string_lossy()))
}

fn words(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

#[test]
fn a_dry_run_tells_rate_stages_and_bottleneck_and_changes_nothing() {
    let mut host = TestHost::start();
    host.drop_in(FILE, &plugin("accounts-first"));
    let events = import(&host, &history(5_000));
    host.wait_until_live(ACCOUNTS);
    let rows: usize = rows_of(&host, ACCOUNTS).values().map(Vec::len).sum();
    let (arguments, cli) = bench_of(&host, "accounts-first");
    for daemon_runs in [true, false] {
        if !daemon_runs {
            host.stop();
        }
        let before = files(host.folder());
        let report = cli.json(&words(&arguments));
        assert_eq!(files(host.folder()), before, "the daemon runs: {daemon_runs}");
        assert_eq!(
            (&report["projection"], &report["events"], &report["rows"]),
            (&json!(ACCOUNTS), &json!(events), &json!(rows))
        );
        let wanted = report["events_applied"].as_u64().expect("a number");
        assert!(0 < wanted && wanted < events, "{report}");
        let cpu = |stage: &str| report["cpu_seconds"][stage].as_f64().expect("a number");
        assert!(["read", "plugin", "write"].into_iter().all(|stage| cpu(stage) > 0.0), "{report}");
        let most = ["read", "plugin", "write"].into_iter().max_by(|a, b| cpu(a).total_cmp(&cpu(b)));
        assert_eq!(report["bottleneck"].as_str(), most, "{report}");
        for figure in ["wall_seconds", "events_per_second", "read_model_bytes", "peak_memory_bytes"] {
            assert!(report[figure].as_f64().is_some_and(|value| value > 0.0), "{figure}: {report}");
        }
    }
    let part = [&words(&arguments)[..], &["--events", "2000"]].concat();
    assert!(cli.json(&part)["events"].as_u64().is_some_and(|part| (2_000..events).contains(&part)));
    assert!(cli.ok(&part).contains("\nbottleneck "));
}

#[test]
fn what_cannot_be_measured_is_told_with_its_reason() {
    let host = TestHost::start();
    host.api().append("account-1", &json!([deposited(20), deposited(13)]));
    let (arguments, cli) = bench_of(&host, "accounts-failing");
    let failed = cli.run(&words(&arguments));
    assert_eq!(failed.code, Some(1));
    for part in ["accounts cannot apply event 2, Deposited of stream account-1: ", "was not thought of"] {
        assert!(failed.stderr.contains(part), "{part}: {}", failed.stderr);
    }

    let no_plugin = host.folder().join("hello.wasm");
    std::fs::write(&no_plugin, "hello").expect("a file can be written");
    let data = host.data_folder();
    for (plugin, folder, reason) in [
        (no_plugin.as_path(), data.as_path(), "it is not WebAssembly"),
        (Path::new("/no/such.wasm"), data.as_path(), "cannot read /no/such.wasm"),
        (no_plugin.as_path(), Path::new("/no/such"), "there is no event log in /no/such"),
    ] {
        let refused = cli.run(&["bench", &plugin.to_string_lossy(), "--data-dir", &folder.to_string_lossy()]);
        assert_eq!(refused.code, Some(1));
        assert!(refused.stderr.contains(reason), "{reason}: {}", refused.stderr);
    }
}

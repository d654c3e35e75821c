//! Disks that are full, files that are damaged, of another format or of another time; verifying, backing up, restoring.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use lantern_tests::{Output, Seeded, TestHost, is_dense, log_of, plugin, rows_of};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::accounts::{ACCOUNTS, FILE, deposited, folded_plainly, history, import};

/// A small file system of its own. Only root may make one.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(folder: &Path, megabytes: u32) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "tmpfs"]).arg(folder);
        mount.output().is_ok_and(|output| output.status.success()).then(|| Self(folder.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("--lazy").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "{} is still mounted", self.0.display());
    }
}

fn with_rows(events: u64) -> TestHost {
    let host = TestHost::start();
    host.drop_in(FILE, &plugin("accounts-first"));
    import(&host, &history(events));
    host.wait_until_live(ACCOUNTS);
    host
}

/// A command on the host's data folder, whether or not its daemon runs.
fn on_folder(host: &TestHost, arguments: &[&str]) -> Output {
    let data = host.data_folder();
    let data = ["--data-dir", data.to_str().expect("a readable path"), "--json"];
    lantern_tests::Cli::new("http://127.0.0.1:1").run(&[arguments, &data].concat())
}

#[track_caller]
fn report(output: &Output, code: i32) -> Value {
    assert_eq!(output.code, Some(code), "{output:?}");
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[track_caller]
fn assert_folded(host: &TestHost) {
    host.wait_until_live(ACCOUNTS);
    let log = log_of(&host.api());
    assert!(is_dense(&log));
    assert_eq!(rows_of(host, ACCOUNTS), folded_plainly(&log));
}

fn read_model(host: &TestHost) -> PathBuf {
    host.api().projection(ACCOUNTS)["read_model_path"].as_str().expect("a path").into()
}

#[test]
fn a_full_disk_refuses_appends_with_507_serves_reads_and_goes_on_when_there_is_room() {
    let mut host = TestHost::with_settings("[projections]\nmax_retry_wait_ms = 100\n");
    host.stop();
    let data = host.data_folder();
    let Some(_disk) = SmallDisk::mount(&data, 16) else {
        return eprintln!("not tested: only root may mount a small disk; the tests of the event log play one");
    };
    fs::create_dir_all(host.plugin_folder()).expect("there is room");
    let ballast = data.join("ballast");
    fs::write(&ballast, vec![1; 4 << 20]).expect("there is room");
    host.start_again();
    host.drop_in(FILE, &plugin("accounts-first"));
    let api = host.api();
    api.append("account-1", &json!([deposited(1)]));
    host.wait_until_live(ACCOUNTS);
    let event = json!({ "event_type": "Deposited", "data": { "amount": 1, "note": "x".repeat(500) } });
    let (count, refused) = append_until_full(&host, &json!(vec![event; 20]));
    let appended = 1 + 20 * count;
    assert_eq!(
        (refused["code"].as_str(), &refused["type"]),
        (Some("disk_full"), &json!("urn:lantern:problem:disk_full"))
    );
    assert!(refused["hint"].as_str().is_some_and(|hint| hint.contains("make room")), "{refused}");
    assert_eq!(host.head(), appended, "no half of a request is there");
    assert_eq!(api.get("/streams/account-1/events?limit=3").expect(200)["events"].as_array().map(Vec::len), Some(3));
    assert_eq!(api.get("/readyz").status, 200);
    assert_eq!(api.get("/projections/accounts/tables/accounts").status, 200);
    let waits = |status: &Value| {
        status["position"] == appended || status["reason"].as_str().is_some_and(|reason| reason.contains("full"))
    };
    host.wait_until(ACCOUNTS, "has applied everything or waits for room", waits);
    fs::remove_file(&ballast).expect("it is there");
    api.append("account-2", &json!([deposited(1)]));
    assert_eq!(host.head(), appended + 1);
    assert_folded(&host);
}

/// Appends until the disk is full. Answers how many appends succeeded, and the refusal.
fn append_until_full(host: &TestHost, batch: &Value) -> (u64, Value) {
    for count in 0..2000 {
        let answer = host.api().post("/streams/account-1/events", batch);
        if answer.status != 201 {
            return (count, answer.expect(507));
        }
    }
    panic!("the disk is larger than thought");
}

#[test]
fn a_log_or_a_catalog_of_a_newer_lantern_or_of_something_else_is_refused_and_not_changed() {
    let mut host = with_rows(100);
    host.stop();
    for (file, change, reason) in [
        ("events.db", "PRAGMA user_version = 99", "file format 99"),
        ("catalog.db", "PRAGMA user_version = 99", "file format 99"),
        ("events.db", "PRAGMA application_id = 7; PRAGMA journal_mode = DELETE", "something else"),
        ("catalog.db", "PRAGMA application_id = 7; PRAGMA journal_mode = DELETE", "something else"),
    ] {
        let path = host.data_folder().join(file);
        let sound = fs::read(&path).expect("it is there");
        Connection::open(&path).expect("opens").execute_batch(change).expect("changes");
        let before = fs::read(&path).expect("it is there");
        let output = on_folder(&host, &["serve", "--listen", "127.0.0.1:0"]);
        assert_eq!(output.code, Some(1), "{file}: {output:?}");
        assert!(output.stderr.contains(reason), "{file}: {output:?}");
        assert!(fs::read(&path).expect("it is there") == before, "{file} was changed");
        fs::write(&path, sound).expect("there is room");
    }
    host.start_again();
    assert_folded(&host);
}

#[test]
fn a_read_model_of_a_newer_lantern_stops_its_projection_and_is_not_changed() {
    let mut host = with_rows(100);
    let path = read_model(&host);
    host.stop();
    Connection::open(&path).expect("opens").execute_batch("PRAGMA user_version = 99").expect("changes");
    let before = fs::read(&path).expect("it is there");
    host.start_again();
    let status = host.wait_until(ACCOUNTS, "is stopped", |status| status["state"] == "stopped");
    let reason = status["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("file format 99") && reason.contains("projection resume"), "{status}");
    assert!(fs::read(&path).expect("it is there") == before, "it was changed");
    fs::rename(&path, host.folder().join("away.db")).expect("it can be moved");
    host.cli().ok(&["projection", "resume", ACCOUNTS]);
    assert_folded(&host);
}

#[test]
fn a_read_model_whose_file_is_damaged_is_filled_again() {
    let mut host = with_rows(2_000);
    let path = read_model(&host);
    for place in [0, 3 * 4096] {
        host.stop();
        let mut content = fs::read(&path).expect("it is there");
        content[place..place + 512].fill(0xa5);
        fs::write(&path, content).expect("there is room");
        host.start_again();
        import(&host, &history(2_000));
        assert_folded(&host);
    }
    assert!(host.log().contains("is thrown away and filled again"), "{}", host.log());
}

#[test]
fn verify_tells_a_sound_log_from_a_damaged_one_while_the_daemon_runs() {
    let mut host = with_rows(3_000);
    let sound = report(&on_folder(&host, &["verify"]), 0);
    assert_eq!((&sound["sound"], &sound["events"]), (&json!(true), &json!(3000)));
    let log = host.data_folder().join("events.db");
    let change = "UPDATE events SET data = replace(data, 'amount', 'amounT') WHERE position = 1234";
    Connection::open(&log).expect("opens").execute(change, []).expect("changes");
    let damaged = report(&on_folder(&host, &["verify"]), 1);
    assert_eq!((&damaged["sound"], &damaged["position"]), (&json!(false), &json!(1234)), "{damaged}");
    host.stop();
    let told = host_less(&["verify", "--data-dir", host.data_folder().to_str().expect("a readable path")]);
    assert_eq!(told.code, Some(1));
    assert!(told.stderr.contains("position 1234") && told.stderr.contains("lantern restore"), "{told:?}");
    let nothing = host_less(&["verify", "--data-dir", "/nowhere"]);
    assert!(nothing.code == Some(1) && nothing.stderr.contains("there is no event log"), "{nothing:?}");
}

fn host_less(arguments: &[&str]) -> Output {
    lantern_tests::Cli::new("http://127.0.0.1:1").run(arguments)
}

#[test]
fn verify_names_the_row_of_a_read_model_that_is_not_that_of_a_replay() {
    let host = with_rows(3_000);
    let sound = report(&on_folder(&host, &["verify", "projection", ACCOUNTS]), 0);
    assert_eq!((&sound["sound"], &sound["position"]), (&json!(true), &json!(3000)), "{sound}");
    let change = "UPDATE accounts SET balance = balance + 1 WHERE id = '117'";
    Connection::open(read_model(&host)).expect("opens").execute(change, []).expect("changes");
    let damaged = report(&on_folder(&host, &["verify", "projection", ACCOUNTS]), 1);
    assert_eq!((&damaged["table"], &damaged["key"]), (&json!("accounts"), &json!({ "id": "117" })), "{damaged}");
    assert!(damaged["summary"].as_str().is_some_and(|what| what.contains("balance: expected")), "{damaged}");
    let unknown = on_folder(&host, &["verify", "projection", "nobody"]);
    assert!(unknown.code == Some(1) && unknown.stderr.contains("known are: accounts"), "{unknown:?}");
}

#[test]
fn a_backup_made_under_four_writers_is_restored_whole_and_its_read_models_are_those_of_a_fold() {
    let mut host = with_rows(5_000);
    let backup = host.folder().join("backup.db");
    let backup_file = backup.to_str().expect("a readable path");
    let enough = AtomicBool::new(false);
    let (told, written) = std::thread::scope(|scope| {
        let writers = [0, 1, 2, 3].map(|writer| {
            let (api, enough) = (host.api(), &enough);
            scope.spawn(move || {
                let mut random = Seeded::new(writer);
                let mut last = 0;
                while !enough.load(Ordering::Relaxed) {
                    let account = format!("account-{}", random.below(50));
                    last = api.append(&account, &json!([deposited(random.below(100) as i64), deposited(1)]));
                }
                last
            })
        });
        let told = on_folder(&host, &["backup", backup_file]);
        enough.store(true, Ordering::Relaxed);
        (told, writers.map(|writer| writer.join().expect("it writes to the end")))
    });
    let events = report(&told, 0)["events"].as_u64().expect("a number");
    assert!(written.iter().all(|last| *last > events), "the writers were not held up: {written:?} after {events}");
    let before = log_of(&host.api());
    assert!(events >= 5_000 && (events as usize) < before.len());
    assert_eq!(on_folder(&host, &["backup", backup_file]).code, Some(1), "a backup is not overwritten");

    let refused = on_folder(&host, &["restore", backup_file, "--force"]);
    assert!(refused.code == Some(1) && refused.stderr.contains("a daemon serves"), "{refused:?}");
    host.stop();
    let refused = on_folder(&host, &["restore", backup_file]);
    assert!(refused.code == Some(1) && refused.stderr.contains("--force"), "{refused:?}");
    let restored = report(&on_folder(&host, &["restore", backup_file, "--force"]), 0);
    assert_eq!(restored["events"], json!(events));
    assert!(host.data_folder().join("events.db.replaced").is_file());
    host.start_again();
    host.wait_until_live(ACCOUNTS);
    assert!(log_of(&host.api()) == before[..events as usize], "the log is not what it was then");
    assert_folded(&host);
    host.api().append("account-1", &json!([deposited(7)]));
    assert_folded(&host);
}

#[test]
fn a_log_from_before_under_read_models_of_later_is_noticed_even_when_it_has_grown_past_them() {
    let mut host = with_rows(1_000);
    let older = host.folder().join("older.db");
    report(&on_folder(&host, &["backup", older.to_str().expect("a readable path")]), 0);
    host.api().append("account-1", &json!([deposited(1_000), deposited(1_000)]));
    host.wait_until_live(ACCOUNTS);
    host.take_out(FILE);
    host.wait_until(ACCOUNTS, "is at rest", |status| status["state"] == "plugin-missing");
    host.stop();
    let log = host.data_folder().join("events.db");
    fs::copy(&older, &log).expect("there is room");
    host.start_again();
    let other: Vec<_> = (0..5).map(deposited).collect();
    assert_eq!(host.api().append("account-2", &json!(other)), 1_005, "past the 1,002 of the read model");
    host.drop_in(FILE, &plugin("accounts-first"));
    assert_folded(&host);
}

//! The loop of an author, without a daemon: a template, its build, its test, and `lantern dev` with real saves.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;

use lantern_guest_build::Toolchain;
use lantern_tests::{Cli, TestHost, eventually_ok, plugin, workspace};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::accounts::{ACCOUNTS, deposited, history};

/// A plugin's folder whose source is WebAssembly already: its build is to copy it.
struct Project {
    folder: TempDir,
    cli: Cli,
}

impl Project {
    fn new(source: &[u8], events: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let toml = "name = \"accounts\"\nlanguage = \"wasm\"\nbuild = [\"cp\", \"source.wasm\", \"built.wasm\"]\n\
                    output = \"built.wasm\"\nwatch = [\"source.wasm\"]\n";
        let project = Self { folder, cli: Cli::new("http://127.0.0.1:1") };
        project.save("plugin.toml", toml.as_bytes());
        project.save("source.wasm", source);
        project.save("events.jsonl", events.as_bytes());
        project
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self) -> String {
        self.folder.path().to_string_lossy().into_owned()
    }

    fn save(&self, name: &str, content: &[u8]) {
        fs::write(self.path(name), content).expect("the folder is there");
    }

    fn test(&self, arguments: &[&str]) -> lantern_tests::Output {
        self.cli.run(&[&["plugin", "test", &self.text()], arguments].concat())
    }
}

/// A running `lantern dev`, and what it has printed.
struct Dev {
    process: Child,
    printed: PathBuf,
    seen: usize,
}

impl Dev {
    fn start(cli: &Cli, folder: &Path, arguments: &[&str]) -> Self {
        let printed = folder.join("printed");
        let output = fs::File::create(&printed).expect("a file can be made");
        let process = cli.start_into(&[&["dev", &folder.to_string_lossy()], arguments].concat(), output);
        Self { process, printed, seen: 0 }
    }

    /// Waits until it has printed this, after what was waited for before; answers all it printed since then.
    #[track_caller]
    fn prints(&mut self, text: &str) -> String {
        let (news, seen) = eventually_ok(&format!("lantern dev prints {text:?}"), || {
            let all = fs::read_to_string(&self.printed).expect("it can be read");
            let news = all[self.seen..].to_owned();
            let end = news.find(text).and_then(|start| Some(start + news[start..].find('\n')? + 1));
            end.map(|end| (news[..end].to_owned(), self.seen + end)).ok_or(news)
        });
        self.seen = seen;
        news
    }

    fn interrupt(mut self) -> Option<i32> {
        kill_process(Pid::from_child(&self.process), Signal::INT).expect("the process is there");
        self.process.wait().expect("the process is ours").code()
    }
}

fn deposit(account: &str, amount: i64) -> String {
    let mut event = deposited(amount);
    event["stream"] = json!(format!("account-{account}"));
    format!("{event}\n")
}

#[test]
fn a_test_compares_rows_and_says_what_differs() {
    let project = Project::new(&plugin("accounts-first"), &[deposit("ann", 5), deposit("bob", 7)].concat());
    let missing = project.test(&[]);
    assert!(missing.code == Some(1) && missing.stderr.contains("--write"), "{missing:?}");
    assert_eq!(project.test(&["--write"]).code, Some(0));
    let rows: Value = serde_json::from_slice(&fs::read(project.path("rows.json")).expect("written")).expect("JSON");
    assert_eq!(rows["accounts"][1], json!({ "id": "bob", "balance": 7, "entries": 1, "changed_at": 2 }));
    let same = project.test(&[]);
    assert!(same.code == Some(0) && same.stdout.contains("3 rows: as expected"), "{same:?}");

    project.save("source.wasm", &plugin("accounts-changed"));
    let other = project.test(&[]);
    assert_eq!(other.code, Some(1));
    assert!(other.stdout.contains("accounts: 2 different"), "{other:?}");
    assert!(other.stdout.contains("~ ann  balance: expected 5, got 10"), "{other:?}");
    let json = project.test(&["--json"]);
    let json: Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!((&json["as_expected"], &json["events"]), (&json!(false), &json!(2)));
}

#[test]
fn events_that_are_not_applied_fail_a_test_unless_they_are_expected() {
    let events = [deposit("ann", 14), deposit("ann", 1), deposit("bob", 7), deposit("cid", 13)].concat();
    let project = Project::new(&plugin("accounts-failing"), &events);
    project.save("rows.json", br#"{"accounts": [{"id": "bob", "balance": 7, "entries": 1, "changed_at": 3}]}"#);
    let failed = project.test(&[]);
    assert_eq!(failed.code, Some(1));
    for line in [
        "position 1, Deposited of account-ann@1: deposits of 14 are refused",
        "position 2, Deposited of account-ann@2: waits",
        "position 4, Deposited of account-cid@1: the plugin trapped",
    ] {
        assert!(failed.stdout.contains(line), "{line} is missing: {failed:?}");
    }
    assert!(failed.stdout.contains("a deposit of 13 was not thought of"), "the plugin's last words: {failed:?}");
    assert_eq!(project.test(&["--write"]).code, Some(0));
    let written = fs::read_to_string(project.path("rows.json")).expect("written");
    assert!(written.contains("\"dead_letters\": [1,2,4]"), "{written}");
    assert_eq!(project.test(&[]).code, Some(0));
    project.save("source.wasm", &plugin("accounts-first"));
    let applied = project.test(&[]).stdout;
    assert!(applied.contains("position 4 was expected to be parked, and was applied"), "{applied}");
}

#[test]
fn a_projection_that_keeps_something_outside_its_rows_does_not_pass() {
    let project = Project::new(&plugin("accounts-stateful"), &[deposit("ann", 5), deposit("ann", 7)].concat());
    let unsteady = project.test(&["--write"]);
    assert_eq!(unsteady.code, Some(1));
    assert!(unsteady.stdout.contains("a replay would differ"), "{unsteady:?}");
    assert!(unsteady.stdout.contains("~ ann  balance 13 → 12"), "{unsteady:?}");
}

#[test]
fn a_build_is_checked_and_what_is_wrong_with_it_is_said() {
    let project = Project::new(&plugin("accounts-first"), "");
    let cli = &project.cli;
    let built = cli.ok(&["plugin", "build", &project.text()]);
    assert!(built.contains("built.wasm: ") && built.contains("tables accounts, totals"), "{built}");
    let refused = |why: &str| {
        let output = cli.run(&["plugin", "build", &project.text()]);
        assert!(output.code == Some(1) && output.stderr.contains(why), "{why}: {output:?}");
    };
    project.save("source.wasm", b"no plugin");
    refused("it is not WebAssembly");
    fs::remove_file(project.path("source.wasm")).expect("it was there");
    refused("`cp source.wasm built.wasm` failed");
    let toml = fs::read_to_string(project.path("plugin.toml")).expect("written");
    project.save("plugin.toml", toml.replace("\"cp\"", "\"no-such-compiler\"").as_bytes());
    refused("there is no program `no-such-compiler`");
    project.save("plugin.toml", format!("{toml}wach = []\n").as_bytes());
    refused("wach");
}

#[test]
fn every_save_shows_what_it_did_to_the_rows() {
    let project = Project::new(&plugin("accounts-first"), &[deposit("ann", 13), deposit("bob", 7)].concat());
    let mut dev = Dev::start(&project.cli, project.folder.path(), &[]);
    let first = dev.prints("watching source.wasm");
    assert!(first.contains("accounts: 2 rows") && first.contains("2 events, 3 rows"), "{first}");

    project.save("source.wasm", &plugin("accounts-changed"));
    let changed = dev.prints("after the save");
    for line in ["source.wasm saved", "accounts: 2 changed", "~ ann  balance 13 → 26"] {
        assert!(changed.contains(line), "{line} is missing: {changed}");
    }
    project.save("source.wasm", &plugin("accounts-failing"));
    let parked = dev.prints("after the save");
    assert!(parked.contains("- ann") && parked.contains("a deposit of 13 was not thought of"), "{parked}");
    project.save("source.wasm", b"half a fil");
    dev.prints("the rows stay as they were");
    project.save("events.jsonl", [deposit("ann", 13), deposit("bob", 7), deposit("eve", 1)].concat().as_bytes());
    dev.prints("the rows stay as they were");
    project.save("source.wasm", &plugin("accounts-failing"));
    let back = dev.prints("after the save");
    assert!(back.contains("accounts: 1 added") && back.contains("+ eve  balance 1"), "{back}");
    assert_eq!(dev.interrupt(), Some(130));
}

#[test]
fn a_log_of_a_running_daemon_can_be_worked_on() {
    let host = TestHost::start();
    crate::accounts::import(&host, &history(500));
    let project = Project::new(&plugin("accounts-first"), "");
    let data = host.data_folder().to_string_lossy().into_owned();
    let mut dev = Dev::start(&project.cli, project.folder.path(), &["--data-dir", &data, "--events", "300"]);
    let first = dev.prints("watching");
    assert!(first.contains("300 events"), "{first}");
    crate::accounts::import(&host, &deposit("late", 1));
    assert_eq!(host.head(), 501, "the daemon goes on writing");
    assert_eq!(dev.interrupt(), Some(130));
}

/// The Rust template of this kind with what is compiled once for all tests, and an environment in which it compiles.
pub(crate) fn rust_template(name: &str, kind: &str) -> (TempDir, PathBuf, Cli) {
    let toolchain = Toolchain::find().expect("a compiler for WebAssembly");
    let cargo = toolchain.cargo();
    let set = cargo.get_envs().filter_map(|(name, value)| Some((name.to_str()?, value?.to_str()?)));
    let cli = set.fold(Cli::new("http://127.0.0.1:1"), |cli, (name, value)| cli.with_variable(name, value));
    let folder = TempDir::new().expect("a folder");
    let project = folder.path().join(name);
    cli.ok(&["plugin", "new", name, "--lang", "rust", "--kind", kind, "--dir", &project.to_string_lossy()]);
    let target = workspace().join("target/author");
    fs::create_dir_all(&target).expect("made");
    std::os::unix::fs::symlink(target, project.join("target")).expect("linked");
    // The versions that this repository has tested.
    fs::copy(workspace().join("Cargo.lock"), project.join("Cargo.lock")).expect("copied");
    (folder, project, cli)
}

#[test]
fn the_rust_template_goes_from_new_to_rows_that_a_save_changes() {
    let (_folder, project, cli) = rust_template("seat-board", "projection");
    let path = project.to_string_lossy();
    let tested = cli.ok(&["plugin", "test", &path]);
    assert!(tested.contains("5 events, 2 rows: as expected"), "{tested}");

    let mut dev = Dev::start(&cli, &project, &[]);
    let first = dev.prints("watching src");
    assert!(first.contains("account-1       3  Renamed"), "{first}");
    let source = project.join("src/lib.rs");
    let text = fs::read_to_string(&source).expect("the template has it");
    fs::write(&source, text.replace("row.events += 1", "row.events += 2")).expect("written");
    let changed = dev.prints("after the save");
    assert!(changed.contains("src/lib.rs saved") && changed.contains("~ account-1  events 3 → 6"), "{changed}");
    fs::write(&source, text.replace("row.events += 1", "row.events +")).expect("written");
    dev.prints("the rows stay as they were");
    assert_eq!(dev.interrupt(), Some(130));

    fs::write(&source, text).expect("written");
    let built = cli.json(&["plugin", "build", &path]);
    let host = TestHost::start();
    host.drop_in("seat-board.wasm", &fs::read(built["file"].as_str().expect("a file")).expect("it was built"));
    host.wait_until_live("seat-board");
    crate::accounts::import(&host, &fs::read_to_string(project.join("events.jsonl")).expect("the template has it"));
    let rows = host.cli().ok(&["query", "seat-board", "seat_board", "--at-least", "5"]);
    assert!(rows.contains("account-2"), "{rows}");
}

#[test]
fn names_folders_and_languages_are_checked_before_anything_is_written() {
    let folder = TempDir::new().expect("a folder");
    let cli = Cli::new("http://127.0.0.1:1");
    let dir = folder.path().join("new").to_string_lossy().into_owned();
    for (name, language, why) in [("Accounts", "rust", "no plugin name"), (ACCOUNTS, "cobol", "there is one for")] {
        let refused = cli.run(&["plugin", "new", name, "--lang", language, "--dir", &dir]);
        assert!(refused.code == Some(1) && refused.stderr.contains(why), "{refused:?}");
        assert!(!Path::new(&dir).exists());
    }
    let refused = cli.run(&["plugin", "new", ACCOUNTS, "--lang", "go", "--kind", "aggregate", "--dir", &dir]);
    assert!(refused.code == Some(1) && refused.stderr.contains("there is one for rust"), "{refused:?}");
    assert!(!Path::new(&dir).exists());
    let made = cli.ok(&["plugin", "new", ACCOUNTS, "--lang", "rust", "--dir", &dir]);
    assert_eq!(made.lines().count(), 4, "{made}");
    let again = cli.run(&["plugin", "new", ACCOUNTS, "--lang", "rust", "--dir", &dir]);
    assert!(again.code == Some(1) && again.stderr.contains("not empty"), "{again:?}");
}

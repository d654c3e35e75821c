//! Tokens: made and revoked by the command line, asked for by the daemon.

use std::fs::{self, File};

use lantern_tests::{Cli, TestHost, eventually};
use serde_json::json;

/// Makes a token for this daemon.
fn create(host: &TestHost, name: &str, scope: &str) -> String {
    let data = host.data_folder();
    let token = host.cli().ok(&["token", "create", name, "--scope", scope, "--data-dir", data.to_str().expect("text")]);
    token.trim().to_owned()
}

const APPEND: [&str; 6] = ["events", "append", "order-1", "--type", "Placed", "--data"];

#[test]
fn with_the_first_token_everyone_needs_one_and_a_revoked_one_is_worth_nothing() {
    let host = TestHost::start();
    let data = host.data_folder();
    let data = data.to_str().expect("text");
    host.cli().ok(&[&APPEND[..], &["1"]].concat());
    let admin = create(&host, "operator", "admin");
    let refused = host.cli().run(&[&APPEND[..], &["2"]].concat());
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("asks for a token") && refused.stderr.contains("LANTERN_TOKEN"), "{refused:?}");

    let operator = host.cli().with_variable("LANTERN_TOKEN", &admin);
    operator.ok(&[&APPEND[..], &["2"]].concat());
    assert_eq!(operator.json(&["projection", "list"]), json!([]));
    host.cli().ok(&["events", "read", "--token", &admin]);

    let list = host.cli().ok(&["token", "list", "--data-dir", data]);
    assert!(list.contains("operator") && list.contains("admin") && !list.contains(&admin[8..]), "{list}");
    host.cli().ok(&["token", "revoke", "operator", "--data-dir", data]);
    let refused = operator.run(&["events", "read"]);
    assert!(refused.stderr.contains("not known here, or was revoked"), "{refused:?}");
    fs::remove_file(host.data_folder().join("tokens")).expect("it is there");
    assert_eq!(host.api().get("/events").status, 401, "a file that goes away does not open the API");
    assert_eq!(host.api().get("/healthz").status, 200);
    assert!(!host.log().contains(&admin), "the log holds a token");
}

#[test]
fn a_token_may_do_only_what_its_scopes_say() {
    let host = TestHost::start();
    let cli = |name, scope| host.cli().with_variable("LANTERN_TOKEN", &create(&host, name, scope));
    let (shop, reports, both) = (cli("shop", "append"), cli("reports", "read"), cli("both", "read,append"));
    shop.ok(&[&APPEND[..], &["1"]].concat());
    reports.ok(&["events", "read", "order-1"]);
    both.ok(&[&APPEND[..], &["2"]].concat());
    both.ok(&["events", "read"]);
    for (cli, arguments, scope) in [
        (&shop, &["events", "read"][..], "read"),
        (&reports, &["events", "append", "order-1", "--type", "A", "--data", "1"], "append"),
        (&both, &["projection", "pause", "orders"], "admin"),
    ] {
        let refused = cli.run(arguments);
        assert_eq!(refused.code, Some(1), "{arguments:?}: {refused:?}");
        assert!(refused.stderr.contains(&format!("this needs the scope {scope}")), "{refused:?}");
        assert!(refused.stderr.contains("hint: use a token with the scope"), "{refused:?}");
    }
}

#[test]
fn an_import_without_a_token_says_so_however_large_it_is() {
    let host = TestHost::start();
    create(&host, "operator", "admin");
    let file = host.folder().join("events.jsonl");
    let record = json!({ "stream": "a-1", "event_type": "A", "data": "x".repeat(100_000) }).to_string() + "\n";
    fs::write(&file, record.repeat(100)).expect("written");
    let refused = host.cli().run(&["events", "import", file.to_str().expect("text")]);
    assert!(refused.stderr.contains("asks for a token"), "{refused:?}");
}

/// What `lantern serve` says when it listens, or why it does not.
fn serve(settings: &[(&str, &str)], listen: &str) -> Result<String, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, said) = (folder.path().join("data"), folder.path().join("said"));
    let cli = settings.iter().fold(Cli::new("http://127.0.0.1:1"), |cli, (name, value)| cli.with_variable(name, value));
    let arguments = ["serve", "--listen", listen, "--data-dir", data.to_str().expect("text")];
    let mut daemon = cli.start_into(&arguments, File::create(&said).expect("a file"));
    let said = eventually("the daemon listens or ends", || {
        let text = fs::read_to_string(&said).unwrap_or_default();
        match daemon.try_wait().expect("the process is ours") {
            Some(_) => Some(Err(fs::read_to_string(&said).unwrap_or_default())),
            None => text.contains("Lantern listens on").then_some(Ok(text)),
        }
    });
    if said.is_ok() {
        daemon.kill().expect("it runs");
        daemon.wait().expect("the process is ours");
    }
    said
}

#[test]
fn other_machines_are_let_in_only_with_tokens() {
    let refused = serve(&[], "0.0.0.0:0").expect_err("it listens for everyone");
    for part in ["0.0.0.0:0 can be reached from other machines", "lantern token create", "open_without_tokens"] {
        assert!(refused.contains(part), "{refused}");
    }
    assert!(serve(&[], "[::]:0").is_err());
    assert!(serve(&[], "127.0.0.1:0").is_ok());
    let open = serve(&[("LANTERN_HTTP__OPEN_WITHOUT_TOKENS", "true")], "0.0.0.0:0").expect("it is asked to");
    assert!(open.contains("cross the network unencrypted"), "{open}");

    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("tokens");
    let settings = [("LANTERN_HTTP__TOKENS_FILE", file.to_str().expect("text"))];
    let missing = serve(&settings, "127.0.0.1:0").expect_err("there is no such file");
    assert!(missing.contains("lantern token create"), "{missing}");
    let cli = Cli::new("http://127.0.0.1:1").with_variable(settings[0].0, settings[0].1);
    cli.ok(&["token", "create", "operator", "--scope", "admin"]);
    assert!(serve(&settings, "0.0.0.0:0").is_ok());
    fs::write(&file, "operator admin 12\n").expect("written");
    let wrong = serve(&settings, "127.0.0.1:0").expect_err("a line is wrong");
    assert!(wrong.contains("line 1 of the tokens file") && wrong.contains("64 hexadecimal digits"), "{wrong}");
}

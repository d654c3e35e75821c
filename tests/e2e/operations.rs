//! What operators look at: health, metrics, the description of the API, and the log.

use lantern_tests::{TestHost, plugin};
use serde_json::json;

use crate::accounts::{ACCOUNTS, FILE, deposited};

#[test]
fn health_and_readiness_are_told() {
    let host = TestHost::start();
    host.api().append("account-1", &json!([deposited(1)]));
    assert_eq!(host.api().get("/healthz").expect(200)["status"], "alive");
    let ready = host.api().get("/readyz").expect(200);
    assert_eq!((&ready["status"], &ready["head"]), (&json!("ready"), &json!(1)));
}

#[test]
fn metrics_tell_how_far_log_and_projections_are() {
    let host = TestHost::start();
    host.drop_in(FILE, &plugin("accounts-first"));
    host.api().append("account-1", &json!([deposited(1), deposited(2)]));
    host.wait_until_live(ACCOUNTS);
    let answer = host.api().get("/metrics");
    assert!(answer.header("content-type").is_some_and(|media| media.starts_with("text/plain")));
    let text = answer.text();
    let of_accounts = |line: &&str| line.contains("accounts") && line.ends_with(" 2") && line.contains("position");
    assert!(text.lines().any(|line| of_accounts(&line)), "the position of the projection: {text}");
    assert!(text.lines().any(|line| line.contains("head") && line.ends_with(" 2")), "the head of the log: {text}");
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        assert!(line.rsplit(' ').next().is_some_and(|value| value.parse::<f64>().is_ok()), "no metric: {line}");
    }
}

#[test]
fn the_description_of_the_api_lists_every_route_and_nothing_else_is_served() {
    let host = TestHost::start();
    let openapi = host.api().get("/openapi.json").expect(200);
    assert!(openapi["openapi"].as_str().is_some_and(|version| version.starts_with("3.")));
    let paths = openapi["paths"].as_object().expect("paths");
    for path in
        ["/streams/{stream}/events", "/events", "/events/subscribe", "/projections/{name}/tables/{table}", "/plugins"]
    {
        assert!(paths.contains_key(path), "{path} is not described");
    }
    let nothing = host.api().get("/nothing").expect(404);
    assert_eq!(nothing["code"], "no_such_route");
    assert_eq!(host.api().delete("/plugins").expect(405)["code"], "method_not_allowed");
    let unknown = host.api().get("/events?afer=3").expect(400);
    assert_eq!((&unknown["code"], &unknown["parameter"]), (&json!("unknown_parameter"), &json!("afer")));
}

#[test]
fn what_a_plugin_says_stands_in_the_log_with_its_name() {
    let host = TestHost::start();
    host.drop_in(FILE, &plugin("accounts-failing"));
    host.api().append("account-1", &json!([deposited(13)]));
    host.wait_until(ACCOUNTS, "has a dead letter", |status| status["dead_letters"] == 1);
    let log = host.log();
    let said = log.lines().find(|line| line.contains("was not thought of") && line.contains("plugin"));
    assert!(said.is_some_and(|line| line.contains("accounts")), "{log}");
}

#[test]
fn a_second_daemon_on_the_same_folder_is_refused_and_told_why() {
    let host = TestHost::start();
    let data = host.data_folder();
    let second =
        host.cli().run(&["serve", "--data-dir", data.to_str().expect("a readable path"), "--listen", "127.0.0.1:0"]);
    assert_eq!(second.code, Some(1));
    assert!(second.stderr.contains("another lantern serves"), "{second:?}");
    assert_eq!(host.api().get("/healthz").status, 200);
}

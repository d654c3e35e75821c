//! Events that a plugin cannot apply: parked by stream and in order, shown, and applied again by themselves.

use lantern_tests::{TestHost, eventually, log_of, plugin, rows_of};
use serde_json::{Value, json};

use crate::accounts::{ACCOUNTS, FILE, deposited, folded_plainly, history, import, withdrawn};

/// A daemon whose plugin has failed on two of its streams.
fn with_dead_letters() -> TestHost {
    let host = TestHost::start();
    import(&host, &history(1_500));
    host.drop_in(FILE, &plugin("accounts-failing"));
    host.wait_until_live(ACCOUNTS);
    let api = host.api();
    api.append("account-trap", &json!([deposited(5), deposited(13), withdrawn(1)]));
    api.append("account-reject", &json!([deposited(14)]));
    api.append("account-fine", &json!([deposited(7)]));
    api.append("account-trap", &json!([deposited(13), deposited(8)]));
    api.append("account-fine", &json!([deposited(7)]));
    host.wait_until_live(ACCOUNTS);
    host
}

fn dead_letters(host: &TestHost) -> Vec<Value> {
    let mut answer = host.api().get("/projections/accounts/dead-letters").expect(200);
    let Value::Array(letters) = answer["dead_letters"].take() else { panic!("{answer}") };
    letters
}

fn balance(host: &TestHost, account: &str) -> Value {
    let path = format!("/projections/accounts/tables/accounts?id=eq.{account}");
    let rows = host.api().get(&path).expect(200);
    rows.get(0).map_or(Value::Null, |row| row["balance"].clone())
}

fn wait_for_counts(host: &TestHost, failed: u64, waiting: u64) -> Value {
    host.wait_until(ACCOUNTS, &format!("has {failed} failed and {waiting} waiting events"), |status| {
        status["dead_letters"] == failed && status["waiting"] == waiting
    })
}

#[test]
fn an_event_that_fails_parks_its_stream_in_order_and_no_other() {
    let host = with_dead_letters();
    let status = wait_for_counts(&host, 2, 3);
    assert_eq!(status["state"], "live");
    assert_eq!(balance(&host, "trap"), json!(5), "what came before the failed event stays");
    assert_eq!(balance(&host, "fine"), json!(14), "other streams go on");
    assert_eq!(balance(&host, "reject"), Value::Null);

    let letters = dead_letters(&host);
    let told: Vec<_> = letters
        .iter()
        .map(|letter| json!([letter["position"], letter["stream"], letter["version"], letter["kind"]]))
        .collect();
    let expected = [
        json!([1502, "account-trap", 2, "failed"]),
        json!([1503, "account-trap", 3, "waiting"]),
        json!([1504, "account-reject", 1, "failed"]),
        json!([1506, "account-trap", 4, "waiting"]),
        json!([1507, "account-trap", 5, "waiting"]),
    ];
    assert_eq!(told, expected);
    let reason = |index: usize| letters[index]["reason"].as_str().unwrap_or_default().to_owned();
    assert!(reason(0).contains("a deposit of 13 was not thought of"), "{}", reason(0));
    assert!(reason(2).contains("deposits of 14 are refused"), "{}", reason(2));
    assert_eq!(
        (&letters[0]["event_type"], &letters[0]["component_digest"]),
        (&json!("Deposited"), &status["component_digest"])
    );
    let log = host.log();
    let line = log.lines().find(|line| line.contains("parked") && line.contains("position=1502")).unwrap_or_default();
    for fact in ["projection=accounts", "account-trap", "Deposited", "was not thought of"] {
        assert!(line.contains(fact), "the log says everything about it: {log}");
    }
    let failing = host.cli().ok(&["dead-letter", "list", ACCOUNTS]);
    assert!(failing.contains("account-trap@2") && failing.contains("was not thought of"), "{failing}");
}

#[test]
fn a_fixed_plugin_applies_what_was_parked_by_itself_and_the_rows_are_those_of_a_clean_replay() {
    let host = with_dead_letters();
    wait_for_counts(&host, 2, 3);
    host.drop_in(FILE, &plugin("accounts-first"));
    wait_for_counts(&host, 0, 0);
    assert_eq!(dead_letters(&host), Vec::<Value>::new());
    let driven = rows_of(&host, ACCOUNTS);
    host.cli().ok(&["projection", "replay", ACCOUNTS, "--watch"]);
    let status = host.api().projection(ACCOUNTS);
    assert_eq!((&status["build"], &status["replay"]), (&json!(2), &Value::Null));
    let replayed = rows_of(&host, ACCOUNTS);
    assert_eq!(driven, replayed);
    assert_eq!(replayed, folded_plainly(&log_of(&host.api())));
}

#[test]
fn parked_events_survive_a_kill_and_are_applied_when_the_daemon_comes_back_with_a_fixed_plugin() {
    let mut host = with_dead_letters();
    wait_for_counts(&host, 2, 3);
    host.kill();
    host.start_again();
    wait_for_counts(&host, 2, 3);
    host.api().append("account-reject", &json!([deposited(1)]));
    wait_for_counts(&host, 2, 4);
    host.kill();
    host.drop_in(FILE, &plugin("accounts-first"));
    host.start_again();
    wait_for_counts(&host, 0, 0);
    host.wait_until_live(ACCOUNTS);
    assert_eq!(rows_of(&host, ACCOUNTS), folded_plainly(&log_of(&host.api())));
}

#[test]
fn a_replay_under_the_failing_plugin_parks_the_same_events() {
    let host = with_dead_letters();
    wait_for_counts(&host, 2, 3);
    let (rows, letters) = (rows_of(&host, ACCOUNTS), dead_letters(&host));
    host.cli().ok(&["projection", "replay", ACCOUNTS, "--watch"]);
    wait_for_counts(&host, 2, 3);
    assert_eq!(rows_of(&host, ACCOUNTS), rows);
    let places = |letters: &[Value]| letters.iter().map(|letter| letter["position"].clone()).collect::<Vec<_>>();
    assert_eq!(places(&dead_letters(&host)), places(&letters));
}

#[test]
fn a_retry_counts_and_a_discard_lets_the_stream_go_on() {
    let host = with_dead_letters();
    wait_for_counts(&host, 2, 3);
    let cli = host.cli();
    cli.ok(&["dead-letter", "retry", ACCOUNTS, "--stream", "account-trap"]);
    eventually("the event was tried again", || {
        let letters = dead_letters(&host);
        (letters[0]["attempts"] == 2 && letters[2]["attempts"] == 1).then_some(())
    });
    cli.ok(&["dead-letter", "retry", ACCOUNTS]);
    eventually("both were tried again", || {
        let letters = dead_letters(&host);
        (letters[0]["attempts"] == 3 && letters[2]["attempts"] == 2).then_some(())
    });

    let refused = cli.run(&["dead-letter", "discard", ACCOUNTS, "1503"]);
    assert_eq!(refused.code, Some(1), "an event that waits cannot be discarded: {refused:?}");
    cli.ok(&["dead-letter", "discard", ACCOUNTS, "1504"]);
    wait_for_counts(&host, 1, 3);
    cli.ok(&["dead-letter", "discard", ACCOUNTS, "1502"]);
    wait_for_counts(&host, 1, 1);
    assert_eq!(balance(&host, "trap"), json!(4), "5 and -1 are applied, then the next 13 fails");
    cli.ok(&["dead-letter", "discard", ACCOUNTS, "1506"]);
    wait_for_counts(&host, 0, 0);
    assert_eq!(balance(&host, "trap"), json!(12));
    let given_up = [1502, 1504, 1506].map(|position| json!(position));
    let log = log_of(&host.api()).into_iter().filter(|event| !given_up.contains(&event["position"]));
    assert_eq!(rows_of(&host, ACCOUNTS), folded_plainly(&log.collect::<Vec<_>>()));
}

#[test]
fn a_projection_that_fails_disturbs_no_other_projection() {
    let host = with_dead_letters();
    host.drop_in("orders.wasm", &plugin("order-summary"));
    host.api().append("order-1", &json!([{ "event_type": "OrderPlaced", "data": { "customer": "ann" } }]));
    host.wait_until_live("order-summary");
    let orders = host.api().get("/projections/order-summary/tables/orders").expect(200);
    assert_eq!(orders[0]["customer"], "ann");
    assert_eq!(host.api().projection("order-summary")["dead_letters"], json!(0));
    wait_for_counts(&host, 2, 3);
}

//! Projections from outside: they catch up, can be asked for freshness, paused, replayed, taken out and put back.

use lantern_tests::{Rows, TestHost, eventually, log_of, plugin, rows_of};
use serde_json::{Value, json};

use crate::accounts::{ACCOUNTS, FILE, deposited, folded_plainly, history, import, withdrawn};

/// A commit for each event: a replay of some ten thousand events takes seconds.
pub const SLOW: &str = "[projections]\nbatch_events = 1\nflush_events = 1\n";

fn balance(host: &TestHost, account: &str, freshness: &str) -> Value {
    let path = format!("/projections/accounts/tables/accounts?id=eq.{account}&select=balance{freshness}");
    host.api().get(&path).expect(200)[0]["balance"].take()
}

fn expected(host: &TestHost) -> Rows {
    folded_plainly(&log_of(&host.api()))
}

#[test]
fn a_plugin_that_is_dropped_in_shows_rows_for_all_of_history_and_keeps_them_current() {
    let host = TestHost::start();
    import(&host, &history(3_000));
    host.drop_in(FILE, &plugin("accounts-first"));
    let status = host.wait_until_live(ACCOUNTS);
    assert_eq!((&status["position"], &status["head"], &status["lag"]), (&json!(3_000), &json!(3_000), &json!(0)));
    assert_eq!((&status["read_model_version"], &status["percent"]), (&json!(1), &json!(100.0)));
    assert_eq!(rows_of(&host, ACCOUNTS), expected(&host));

    let known = host.wait_for_plugin(FILE, "is loaded", |plugin| plugin["state"] == "loaded");
    assert_eq!((&known["name"], &known["world"]), (&json!(ACCOUNTS), &json!("columnar-projection")));
    assert_eq!(known["digest"], status["component_digest"]);

    host.api().append("account-new", &json!([deposited(100), withdrawn(30)]));
    host.wait_until_live(ACCOUNTS);
    assert_eq!(balance(&host, "new", ""), json!(70));
    assert_eq!(rows_of(&host, ACCOUNTS), expected(&host));
}

#[test]
fn a_query_reads_its_own_writes_when_it_says_at_least_which_position() {
    let host = TestHost::start();
    host.drop_in(FILE, &plugin("accounts-first"));
    host.wait_until_live(ACCOUNTS);
    let api = host.api();
    for step in 1..=50 {
        let position = api.append("account-1", &json!([deposited(1)]));
        let path = format!("/projections/accounts/tables/accounts?id=eq.1&at_least={position}");
        let answer = api.get(&path);
        let shown: u64 = answer.header("lantern-position").and_then(|text| text.parse().ok()).expect("a position");
        assert!(shown >= position, "an answer of position {shown} for at_least={position}");
        assert_eq!(answer.header("lantern-projection-state"), Some("live"));
        assert_eq!(answer.json()[0]["balance"], json!(step));
    }
    let beyond = api.get("/projections/accounts/tables/accounts?at_least=51").expect(400);
    assert_eq!(beyond["code"], "position_beyond_head");
}

#[test]
fn a_position_is_reached_when_its_event_is_one_that_the_projection_does_not_want() {
    let host = TestHost::start();
    host.drop_in(FILE, &plugin("accounts-first"));
    host.api().append("account-1", &json!([deposited(1)]));
    host.wait_until_live(ACCOUNTS);
    for position in 2..10 {
        assert_eq!(host.api().append("order-1", &json!([{ "event_type": "Placed", "data": {} }])), position);
        let answer = host.api().get(&format!("/projections/accounts/tables/accounts?at_least={position}"));
        let shown = answer.header("lantern-position").map(str::to_owned);
        assert_eq!((shown, &answer.json()[0]["balance"]), (Some(position.to_string()), &json!(1)));
    }
}

#[test]
fn a_table_is_queried_by_filters_order_selection_and_pages() {
    let host = TestHost::start();
    let api = host.api();
    for (account, amount) in [("a", 300), ("b", 100), ("c", 200), ("d", 100)] {
        api.append(&format!("account-{account}"), &json!([deposited(amount)]));
    }
    host.drop_in(FILE, &plugin("accounts-first"));
    host.wait_until_live(ACCOUNTS);
    let ids = |query: &str| {
        let rows = api.get(&format!("/projections/accounts/tables/accounts?{query}")).expect(200);
        let ids = rows.as_array().expect("rows").iter().map(|row| row["id"].as_str().unwrap_or_default().to_owned());
        ids.collect::<String>()
    };
    assert_eq!(ids("balance=gte.200"), "ac");
    assert_eq!(ids("order=balance.desc,id.desc"), "acdb");
    assert_eq!(ids("order=balance&limit=2&offset=1"), "dc");
    assert_eq!(ids("id=in.(a,d)&balance=lt.300"), "d");
    let page = api.get("/projections/accounts/tables/accounts?select=id&limit=3&count=exact");
    assert_eq!(page.header("content-range"), Some("0-2/4"));
    assert_eq!(page.json(), json!([{ "id": "a" }, { "id": "b" }, { "id": "c" }]));
    for (bad, code) in
        [("nothing=eq.1", "invalid_query"), ("balance=much", "invalid_query"), ("order=id.up", "invalid_query")]
    {
        assert_eq!(api.get(&format!("/projections/accounts/tables/accounts?{bad}")).expect(400)["code"], code, "{bad}");
    }
    assert_eq!(api.get("/projections/accounts/tables/none").expect(404)["known"], json!(["accounts", "totals"]));
    assert_eq!(api.get("/projections/none").expect(404)["known"], json!([ACCOUNTS]));
}

#[test]
fn a_paused_projection_stands_still_says_so_and_goes_on_when_resumed_even_after_a_restart() {
    let mut host = TestHost::start();
    host.drop_in(FILE, &plugin("accounts-first"));
    host.api().append("account-1", &json!([deposited(1)]));
    host.wait_until_live(ACCOUNTS);
    host.api().post("/projections/accounts/pause", &json!({})).expect(200);
    host.wait_until(ACCOUNTS, "is paused", |status| status["state"] == "paused");
    let position = host.api().append("account-1", &json!([deposited(1)]));

    let waiting = host.api().get(&format!("/projections/accounts/tables/accounts?at_least={position}")).expect(409);
    assert_eq!((&waiting["code"], &waiting["state"]), (&json!("projection_not_running"), &json!("paused")));
    assert_eq!(balance(&host, "1", ""), json!(1), "what is there stays queryable");

    assert!(host.stop().success());
    host.start_again();
    host.wait_until(ACCOUNTS, "is paused after a restart", |status| status["state"] == "paused");
    assert_eq!(host.api().projection(ACCOUNTS)["position"], json!(1));
    host.api().post("/projections/accounts/resume", &json!({})).expect(200);
    assert_eq!(balance(&host, "1", &format!("&at_least={position}")), json!(2));
}

#[test]
fn a_replay_fills_a_new_file_with_the_same_rows_and_takes_the_old_one_away() {
    let host = TestHost::start();
    import(&host, &history(3_000));
    host.drop_in(FILE, &plugin("accounts-first"));
    let before = host.wait_until_live(ACCOUNTS);
    let rows = rows_of(&host, ACCOUNTS);
    host.api().post("/projections/accounts/replay", &json!({})).expect(200);
    let after = host.wait_until(ACCOUNTS, "serves the next build", |status| status["build"] == 2);
    assert_eq!((&after["replay"], &after["position"]), (&Value::Null, &json!(3_000)));
    assert_eq!(rows_of(&host, ACCOUNTS), rows);
    assert_eq!(rows, expected(&host));
    assert_ne!(before["read_model_path"], after["read_model_path"]);
    let old = before["read_model_path"].as_str().expect("a path").to_owned();
    eventually("the old file is gone", || (!std::path::Path::new(&old).exists()).then_some(()));
}

#[test]
fn a_replay_that_is_cancelled_leaves_the_read_model_as_it_was() {
    let host = TestHost::with_settings(SLOW);
    import(&host, &history(20_000));
    host.drop_in(FILE, &plugin("accounts-first"));
    let before = host.wait_until_live(ACCOUNTS);
    let started = host.api().post("/projections/accounts/replay", &json!({})).expect(200);
    assert_eq!((&started["build"], &started["replay"]["build"]), (&json!(1), &json!(2)));
    let cancelled = host.api().delete("/projections/accounts/replay").expect(200);
    assert_eq!((&cancelled["build"], &cancelled["replay"]), (&json!(1), &Value::Null));
    assert_eq!(cancelled["read_model_path"], before["read_model_path"]);
    assert_eq!(host.api().delete("/projections/accounts/replay").expect(409)["code"], "not_possible");
    assert_eq!(rows_of(&host, ACCOUNTS), expected(&host));
    let files = || std::fs::read_dir(host.data_folder().join("read-models")).expect("a folder").count();
    eventually("only the files of one read model are left", || (files() <= 3).then_some(()));
}

#[test]
fn a_plugin_that_is_taken_out_leaves_its_rows_queryable_and_says_so() {
    let mut host = TestHost::start();
    host.drop_in(FILE, &plugin("accounts-first"));
    host.api().append("account-1", &json!([deposited(5)]));
    host.wait_until_live(ACCOUNTS);
    host.take_out(FILE);
    let gone = host.wait_until(ACCOUNTS, "misses its plugin", |status| status["state"] == "plugin-missing");
    assert!(gone["reason"].as_str().is_some_and(|reason| reason.contains(FILE)), "{gone}");
    assert_eq!(host.api().get("/plugins").expect(200)["plugins"], json!([]));
    let position = host.api().append("account-1", &json!([deposited(5)]));

    let answer = host.api().get("/projections/accounts/tables/accounts?id=eq.1");
    assert_eq!(answer.header("lantern-projection-state"), Some("plugin-missing"));
    assert_eq!((answer.header("lantern-position"), &answer.json()[0]["balance"]), (Some("1"), &json!(5)));
    let waiting = host.api().get(&format!("/projections/accounts/tables/accounts?at_least={position}")).expect(409);
    assert_eq!(waiting["code"], "projection_not_running");

    assert!(host.stop().success());
    host.start_again();
    assert_eq!(balance(&host, "1", ""), json!(5), "and after a restart");
    host.drop_in(FILE, &plugin("accounts-first"));
    let back = host.wait_until_live(ACCOUNTS);
    assert_eq!((&back["build"], &back["position"]), (&json!(1), &json!(2)), "it goes on from its checkpoint");
    assert_eq!(balance(&host, "1", ""), json!(10));
}

#[test]
fn the_same_projection_in_two_files_is_refused_until_the_first_is_gone() {
    let host = TestHost::start();
    host.drop_in("a.wasm", &plugin("accounts-first"));
    host.wait_until_live(ACCOUNTS);
    host.drop_in("b.wasm", &plugin("accounts-changed"));
    let refused = host.wait_for_plugin("b.wasm", "is rejected", |plugin| plugin["state"] == "rejected");
    assert!(refused["reason"].as_str().is_some_and(|reason| reason.contains("a.wasm")), "{refused}");
    host.take_out("a.wasm");
    host.wait_for_plugin("b.wasm", "takes over", |plugin| plugin["state"] == "loaded");
    let status = host.wait_until_live(ACCOUNTS);
    assert_eq!(status["plugin_file"], "b.wasm");
}

//! New code for a projection while queries and appends go on.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use lantern_tests::{Api, TestHost, eventually, log_of, plugin, rows_of};
use serde_json::{Value, json};
use ureq::http::Request;

use crate::accounts::{ACCOUNTS, FILE, deposited, folded, folded_plainly, history, import};

/// Threads that query without a pause.
const HAMMERS: usize = 4;

/// What the hammers have seen.
#[derive(Default)]
struct Seen {
    stop: AtomicBool,
    queries: AtomicU64,
    failed: AtomicU64,
    backward: AtomicU64,
}

impl Seen {
    /// Queries rows again and again; the position of its answers must never go back.
    fn hammer(&self, api: &Api, query: &str) {
        let mut newest = 0;
        while !self.stop.load(Ordering::Relaxed) {
            let request = Request::get(format!("/projections/accounts/tables/accounts?{query}"));
            let answer = api.try_send(request.body(Vec::new()).expect("a valid request"));
            self.queries.fetch_add(1, Ordering::Relaxed);
            let position = answer.ok().filter(|answer| answer.status == 200 && answer.json()[0]["id"].is_string());
            match position.and_then(|answer| answer.header("lantern-position")?.parse::<u64>().ok()) {
                None => self.failed.fetch_add(1, Ordering::Relaxed),
                Some(position) => {
                    let went_back = u64::from(position < newest);
                    newest = newest.max(position);
                    self.backward.fetch_add(went_back, Ordering::Relaxed)
                }
            };
        }
    }

    /// Appends without a pause, so that every swap happens while the log grows.
    fn append(&self, api: &Api) {
        while !self.stop.load(Ordering::Relaxed) {
            api.append("account-0", &json!([deposited(1)]));
        }
    }

    fn wait_for_more_queries(&self) {
        let before = self.queries.load(Ordering::Relaxed);
        eventually("the hammers go on", || (self.queries.load(Ordering::Relaxed) > before + 100).then_some(()));
    }

    /// Answers how many queries there were.
    #[track_caller]
    fn assert_no_failure_and_no_step_back(&self) -> u64 {
        let queries = self.queries.load(Ordering::Relaxed);
        assert_eq!(self.failed.load(Ordering::Relaxed), 0, "failed queries of {queries}");
        assert_eq!(self.backward.load(Ordering::Relaxed), 0, "steps back in {queries} queries");
        queries
    }
}

/// Stops the hammers also when the test fails.
struct StopAtEnd<'a>(&'a Seen);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

#[test]
fn new_read_models_and_replays_are_swapped_in_without_a_failed_query_or_a_step_back() {
    let host = TestHost::start();
    import(&host, &history(20_000));
    host.drop_in(FILE, &plugin("accounts-first"));
    host.wait_until_live(ACCOUNTS);
    let (seen, api) = (Seen::default(), host.api());
    thread::scope(|scope| {
        let _stop = StopAtEnd(&seen);
        for _ in 0..HAMMERS {
            scope.spawn(|| seen.hammer(&host.api(), "order=balance.desc&limit=20"));
        }
        scope.spawn(|| seen.append(&api));
        let swapped = |what: &str, build: u64, version: u64| {
            host.wait_until(ACCOUNTS, what, |now| {
                now["build"] == build && now["read_model_version"] == version && now["replay"] == Value::Null
            });
            seen.wait_for_more_queries();
        };
        host.drop_in(FILE, &plugin("accounts-second"));
        swapped("serves the new read-model version", 2, 2);
        host.api().post("/projections/accounts/replay", &json!({})).expect(200);
        swapped("serves the replay", 3, 2);
        host.drop_in(FILE, &plugin("accounts-first"));
        swapped("serves the old read-model version again", 4, 1);
        host.drop_in(FILE, &plugin("accounts-second"));
        swapped("serves the new read-model version again", 5, 2);
    });
    let queries = seen.assert_no_failure_and_no_step_back();
    host.wait_until_live(ACCOUNTS);
    assert_eq!(rows_of(&host, ACCOUNTS), folded(&log_of(&api), |amount, _| 100 * amount));
    println!("{queries} queries over four swaps");
}

#[test]
fn a_swap_waits_until_the_new_read_model_has_overtaken_the_old_one() {
    let host = TestHost::start();
    import(&host, &history(500));
    host.drop_in(FILE, &plugin("accounts-first"));
    host.wait_until_live(ACCOUNTS);
    let (seen, api) = (Seen::default(), host.api());
    thread::scope(|scope| {
        let _stop = StopAtEnd(&seen);
        for _ in 0..HAMMERS {
            scope.spawn(|| seen.hammer(&host.api(), "limit=1"));
        }
        scope.spawn(|| seen.append(&host.api()));
        for replay in 2..62 {
            api.post("/projections/accounts/replay", &json!({})).expect(200);
            host.wait_until(ACCOUNTS, "serves the replay", |now| now["build"] == replay);
        }
    });
    seen.assert_no_failure_and_no_step_back();
}

#[test]
fn changed_code_of_the_same_read_model_version_goes_on_from_the_checkpoint() {
    let mut host = TestHost::start();
    import(&host, &history(2_000));
    host.drop_in(FILE, &plugin("accounts-first"));
    let first = host.wait_until_live(ACCOUNTS);
    host.drop_in(FILE, &plugin("accounts-changed"));
    let second =
        host.wait_until(ACCOUNTS, "runs the changed code", |now| now["component_digest"] != first["component_digest"]);
    assert_eq!((&second["build"], &second["position"]), (&json!(1), &json!(2_000)));
    assert_eq!(second["read_model_path"], first["read_model_path"]);
    host.wait_for_plugin(FILE, "is loaded", |plugin| {
        plugin["digest"] == second["component_digest"] && plugin["state"] == "loaded"
    });
    host.api().append("account-1", &json!([deposited(10), deposited(11)]));
    host.wait_until_live(ACCOUNTS);
    let since = |amount: i64, position: u64| if position > 2_000 { 2 * amount } else { amount };
    assert_eq!(rows_of(&host, ACCOUNTS), folded(&log_of(&host.api()), since));

    assert!(host.stop().success());
    host.start_again();
    host.api().append("account-1", &json!([deposited(12)]));
    host.wait_until_live(ACCOUNTS);
    assert_eq!(rows_of(&host, ACCOUNTS), folded(&log_of(&host.api()), since), "the changed code runs after a restart");
    host.api().post("/projections/accounts/replay", &json!({})).expect(200);
    host.wait_until(ACCOUNTS, "has replayed", |now| now["build"] == 2);
    assert_eq!(rows_of(&host, ACCOUNTS), folded(&log_of(&host.api()), |amount, _| 2 * amount));
}

#[test]
fn a_file_that_was_replaced_while_the_daemon_was_away_is_noticed_at_its_start() {
    let mut host = TestHost::start();
    import(&host, &history(2_000));
    host.drop_in(FILE, &plugin("accounts-first"));
    host.wait_until_live(ACCOUNTS);
    assert!(host.stop().success());
    host.drop_in(FILE, &plugin("accounts-second"));
    host.start_again();
    host.wait_until(ACCOUNTS, "serves the new read-model version", |now| now["read_model_version"] == 2);
    host.wait_until_live(ACCOUNTS);
    assert_eq!(rows_of(&host, ACCOUNTS), folded(&log_of(&host.api()), |amount, _| 100 * amount));
}

#[test]
fn going_back_to_the_old_file_during_a_replay_gives_the_replay_up() {
    let host = TestHost::with_settings(crate::projections::SLOW);
    import(&host, &history(30_000));
    host.drop_in(FILE, &plugin("accounts-first"));
    let before = host.wait_until_live(ACCOUNTS);
    host.drop_in(FILE, &plugin("accounts-second"));
    host.wait_until(ACCOUNTS, "is replaying", |now| now["replay"] != Value::Null);
    host.drop_in(FILE, &plugin("accounts-first"));
    let after = host.wait_until(ACCOUNTS, "is itself again", |now| now["replay"] == Value::Null);
    assert_eq!((&after["build"], &after["read_model_version"]), (&json!(1), &json!(1)));
    assert_eq!(after["read_model_path"], before["read_model_path"]);
    host.api().append("account-1", &json!([deposited(10)]));
    host.wait_until_live(ACCOUNTS);
    assert_eq!(rows_of(&host, ACCOUNTS), folded_plainly(&log_of(&host.api())));
}

#[test]
fn a_large_plugin_serves_with_quick_code_until_its_optimised_code_takes_that_place() {
    // Every plugin is large enough.
    let mut host = TestHost::with_settings("[plugins]\nquick_compile_bytes = 1\n");
    let optimised = |host: &TestHost| host.log().matches("plugin optimised name=accounts").count();
    import(&host, &history(2_000));
    host.drop_in(FILE, &plugin("accounts-first"));
    host.wait_until_live(ACCOUNTS);
    eventually("the plugin is optimised", || (optimised(&host) == 1).then_some(()));
    host.api().append("account-0", &json!([deposited(1)]));
    host.wait_until_live(ACCOUNTS);
    assert_eq!(rows_of(&host, ACCOUNTS), folded_plainly(&log_of(&host.api())));
    assert_eq!(host.api().projection(ACCOUNTS)["build"], 1);
    host.stop();
    host.start_again();
    host.api().append("account-0", &json!([deposited(1)]));
    host.wait_for_plugin(FILE, "is loaded", |plugin| plugin["state"] == "loaded");
    host.wait_until_live(ACCOUNTS);
    assert_eq!(rows_of(&host, ACCOUNTS), folded_plainly(&log_of(&host.api())));
    assert_eq!(optimised(&host), 1, "what is optimised is found again");
}

//! Files that are torn, wrong or hostile: each is dropped over a plugin that works, which goes on as if nothing were.

use lantern_tests::{TestHost, log_of, plugin, rows_of};
use serde_json::{Value, json};

use crate::accounts::{ACCOUNTS, FILE, deposited, folded_plainly, history, import};

/// A module of the world `projection` without anything in it, with these imports and this body of `describe`.
fn module(imports: &str, describe: &str) -> Vec<u8> {
    let text = format!(
        r#"(module {imports}
            (memory (export "memory") 1)
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
            (func (export "describe") (result i32) {describe})
            (func (export "apply") (param i32 i32) (result i32) (i32.const 0)))"#
    );
    assembled(&text)
}

fn assembled(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("the fixture is valid")
}

/// A working plugin that serves, and what is dropped over it.
struct Serving {
    host: TestHost,
    position: u64,
}

impl Serving {
    fn start() -> Self {
        let host = TestHost::with_settings("[plugins]\ndescribe_seconds = 1\n");
        import(&host, &history(500));
        host.drop_in(FILE, &plugin("accounts-first"));
        host.wait_until_live(ACCOUNTS);
        Self { host, position: 500 }
    }

    /// Drops a bad file over the good one: the answer, the log and `plugin list` say why, and nothing else changes.
    #[track_caller]
    fn refuses(&mut self, file: &[u8], why: &str) {
        self.host.drop_in(FILE, file);
        let is_refused = |plugin: &Value| {
            let (state, reason) = (&plugin["state"], plugin["reason"].as_str().unwrap_or_default());
            state == "rejected" && reason.contains(why)
        };
        let refused = self.host.wait_for_plugin(FILE, &format!("is rejected because {why:?}"), is_refused);
        assert!(refused["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "there is something to do: {refused}");
        let log = self.host.log();
        let line = log.lines().find(|line| line.contains(why) && line.contains(FILE));
        assert!(line.is_some_and(|line| line.contains("goes on serving")), "the log says what is the matter: {log}");
        let list = self.host.cli().ok(&["plugin", "list"]);
        assert!(list.contains(&format!("{FILE}: ")) && list.contains(why) && list.contains("hint: "), "{list}");

        self.position = self.host.api().append("account-1", &json!([deposited(1)]));
        let query = format!("/projections/accounts/tables/accounts?at_least={}", self.position);
        let answer = self.host.api().get(&query);
        assert_eq!(answer.header("lantern-projection-state"), Some("live"), "{}", answer.text());
        let status = self.host.api().projection(ACCOUNTS);
        assert_eq!(
            (&status["build"], &status["replay"], &status["plugin_file"]),
            (&json!(1), &Value::Null, &json!(FILE))
        );
    }
}

#[test]
fn a_torn_foreign_or_wrong_file_leaves_the_old_plugin_serving() {
    let mut serving = Serving::start();
    let good = plugin("accounts-first");
    serving.refuses(&good[..good.len() / 2], "cut off");
    serving.refuses(b"#!/bin/sh\necho this is no plugin\n", "not WebAssembly");
    serving.refuses(b"", "cut off");
    let resolver = r#"(module (func (export "describe")) (func (export "resolve")))"#;
    serving.refuses(&assembled(resolver), "conflict-resolver");
    serving.refuses(&assembled(r#"(module (func (export "_start")))"#), "command line");
    serving.refuses(&assembled(r#"(module (func (export "describe")) (func (export "apply")))"#), "does not fit");
    serving.refuses(&module(r#"(import "env" "open_file" (func (param i32)))"#, "(i32.const 0)"), "env::open_file");
    serving.refuses(&module(r#"(import "wasi:http/types@0.2.0" "get" (func))"#, "(i32.const 0)"), "wasi:http/types");

    serving.host.drop_in(FILE, &good);
    serving.host.wait_for_plugin(FILE, "is loaded again", |plugin| plugin["state"] == "loaded");
    serving.host.wait_until_live(ACCOUNTS);
    assert_eq!(rows_of(&serving.host, ACCOUNTS), folded_plainly(&log_of(&serving.host.api())));
}

#[test]
fn a_plugin_that_misbehaves_when_it_is_asked_to_describe_itself_leaves_the_old_one_serving() {
    let mut serving = Serving::start();
    serving.refuses(&module("", "(loop $forever (br $forever)) (i32.const 0)"), "`describe` failed");
    serving.refuses(&module("", "unreachable"), "`describe` failed");
    serving.refuses(&module("", "(i32.const 65530)"), "`describe` failed");
    let hungry = "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable";
    serving.refuses(&module("", hungry), "`describe` failed");
    serving.refuses(&module("", "(i32.const 0)"), "its description is not allowed");
}

#[test]
fn a_bad_file_over_a_good_one_does_not_matter_after_a_restart_either() {
    let mut serving = Serving::start();
    serving.refuses(b"no plugin", "not WebAssembly");
    assert!(serving.host.stop().success());
    serving.host.start_again();
    serving.refuses(b"still no plugin", "not WebAssembly");
    serving.host.kill();
    serving.host.start_again();
    serving.refuses(b"no plugin again", "not WebAssembly");
    assert_eq!(rows_of(&serving.host, ACCOUNTS), folded_plainly(&log_of(&serving.host.api())));
}

#[test]
fn a_bad_file_that_never_was_a_plugin_is_refused_and_disturbs_nobody() {
    let host = TestHost::start();
    host.drop_in("bad.wasm", b"no plugin");
    host.drop_in(FILE, &plugin("accounts-first"));
    host.wait_for_plugin("bad.wasm", "is rejected", |plugin| plugin["state"] == "rejected");
    host.wait_until_live(ACCOUNTS);
    assert_eq!(host.api().get("/projections").expect(200)["projections"].as_array().map(Vec::len), Some(1));
    host.take_out("bad.wasm");
    host.wait_for_plugin(FILE, "is the only one", |_| host.api().plugin("bad.wasm").is_none());
}

//! The run: rounds of disturbance and death on one data folder, each judged by the oracle.
//!
//! `LANTERN_CHAOS_SEED=N` chooses what happens, `LANTERN_CHAOS_KILLS=N` how often.

use std::collections::BTreeMap;
use std::fs;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use lantern_tests::{Api, TestHost, eventually, log_of, rows_of};
use serde_json::json;
use ureq::http::Request;

use crate::clients::{Client, Report, Told};
use crate::editions::Edition;
use crate::oracle::{Oracle, integrity, is_settled, settled};
use crate::plan::{Death, Plan, Plans, crash_points};
use crate::{FILE, PROJECTION};

const SEED: u64 = 2013;
const KILLS: u64 = 60;
/// So often everything is read again, and compared with a clean replay.
const FULL_LOOK: u64 = 100;

const CLIENTS: u64 = 3;
/// Requests of one client in a round.
const REQUESTS: u64 = 16;
/// Appended before the first death, so that there is something to seal and to replay.
const FIRST_EVENTS: u64 = 240;
/// Between two looks at a daemon that does not answer.
const LOOK: Duration = Duration::from_millis(5);

/// Small batches, commits and segments, so that most deaths come in the middle of something.
const SETTINGS: &str = "
[events]
seal_after_events = 60
segment_events = 10
rare_percent = 40
sealing_percent = 50
[projections]
batch_events = 20
flush_events = 40
[plugins]
settle_ms = 10
";

/// The daemon with all that is around it.
struct Run {
    host: TestHost,
    clients: Vec<Client>,
    told: Told,
    oracle: Oracle,
    /// Of the file in the plugin folder.
    edition: Edition,
    /// How often a crash point was reached.
    reached: BTreeMap<String, u64>,
    kills: u64,
}

#[test]
fn a_daemon_that_dies_at_any_moment_loses_doubles_and_mixes_nothing() {
    let (seed, kills) = (setting("LANTERN_CHAOS_SEED", SEED), setting("LANTERN_CHAOS_KILLS", KILLS));
    println!("LANTERN_CHAOS_SEED={seed} LANTERN_CHAOS_KILLS={kills}");
    let mut plans = Plans::new(seed);
    let mut run = Run::new(seed);
    let mut round = 0;
    while run.kills < kills {
        round += 1;
        let plan = plans.next(run.edition);
        let died = run.round(&plan);
        println!("round {round}: {died}");
        if let Death::AtPoint { name, .. } = &plan.death
            && !run.reached.contains_key(name)
        {
            plans.miss(name);
        }
        if round % FULL_LOOK == 0 {
            run.look_at_everything();
        }
    }
    run.let_clients_finish();
    run.look_at_everything();
    let never: Vec<_> = crash_points().into_iter().filter(|point| !run.reached.contains_key(point)).collect();
    println!("{} kills, {} events, {} requests unanswered", run.kills, run.oracle.log.len(), run.told.unanswered);
    println!("crash points reached: {:?}", run.reached);
    assert!(kills < KILLS || never.is_empty(), "these crash points were never reached: {never:?}");
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

impl Run {
    fn new(seed: u64) -> Self {
        let edition = Edition::First;
        let host = TestHost::with_settings(SETTINGS);
        host.drop_in(FILE, &edition.file());
        let clients = (0..CLIENTS).map(|number| Client::new(seed, number)).collect();
        let (told, oracle, reached) = (Told::default(), Oracle::new(edition), BTreeMap::new());
        let mut run = Self { host, clients, told, oracle, edition, reached, kills: 0 };
        while (run.told.places.len() as u64) < FIRST_EVENTS {
            run.let_clients_finish();
        }
        run.judge();
        run
    }

    /// Disturbs the daemon until it is dead, starts it again and has it judged. Answers what happened.
    fn round(&mut self, plan: &Plan) -> String {
        let before = (self.told.places.len(), self.told.unanswered);
        let mut listens = true;
        if plan.appends_first {
            self.let_clients_finish();
        }
        if plan.forgets_compiled || matches!(plan.death, Death::AtPoint { .. }) {
            self.host.kill();
            if plan.forgets_compiled {
                // As after a loss: it compiles again.
                let _ = fs::remove_dir_all(self.host.data_folder().join("compiled"));
            }
            listens = match &plan.death {
                Death::AtPoint { name, time } => self.host.start_again_to_crash_at(&format!("{name}:{time}")),
                _ => self.host.start_again_to_crash_at("nowhere"),
            };
        }
        let mut reached = !listens;
        if listens {
            reached = self.disturb(plan);
        }
        self.kills += 1;
        if let (Death::AtPoint { name, .. }, true) = (&plan.death, reached) {
            *self.reached.entry(name.clone()).or_default() += 1;
        }
        self.host.start_again();
        if plan.dies_twice {
            self.host.kill();
            self.kills += 1;
            self.host.start_again();
        }
        self.judge();
        let (answered, unanswered) = (self.told.places.len() - before.0, self.told.unanswered - before.1);
        let Plan { death, reload, replays, dies_twice, .. } = plan;
        let missed = if matches!(death, Death::AtPoint { .. }) && !reached { " (not reached, killed)" } else { "" };
        let head = self.oracle.log.len();
        format!(
            "{death}{missed}; reload {reload:?}, {replays} replays, twice {dies_twice}; {answered} events acknowledged, \
             {unanswered} requests in flight; {head} events"
        )
    }

    fn judge(&mut self) {
        self.oracle.judge(&self.host, &self.told, self.edition);
    }

    /// Has the clients append and the plugin exchanged until the daemon is dead. Answers whether it died by itself.
    fn disturb(&mut self, plan: &Plan) -> bool {
        let api = self.host.api();
        let (reports, inbox) = sync_channel(CLIENTS as usize);
        let Self { host, clients, told, edition, .. } = self;
        let mut disturbance =
            Disturbance { host, edition, api: api.clone(), plan, answers: 0, started: Instant::now(), acts: 0 };
        thread::scope(|scope| {
            for client in clients {
                let (api, reports) = (api.clone(), reports.clone());
                scope.spawn(move || client.work(&api, REQUESTS, &reports));
            }
            drop(reports);
            disturbance.while_clients_work(&inbox, told)
        });
        disturbance.end()
    }

    /// Has the clients work undisturbed until each knows what became of its last request.
    fn let_clients_finish(&mut self) {
        let api = self.host.api();
        let (reports, inbox) = sync_channel(64);
        for client in &mut self.clients {
            client.work(&api, 8, &reports);
            inbox.try_iter().for_each(|report| self.told.note(&report));
            assert!(!client.is_unsure(), "a daemon that lives answers");
        }
    }

    /// Reads everything again: the log is what it was, and the rows are those of a daemon that was never killed.
    fn look_at_everything(&mut self) {
        self.judge();
        if !self.oracle.expects_rows_of_a_clean_replay() {
            self.host.api().post("/projections/accounts/replay", &json!({})).expect(200);
            self.judge();
        }
        assert!(self.oracle.expects_rows_of_a_clean_replay());
        assert!(log_of(&self.host.api()) == self.oracle.log, "an old event is not what it was");
        let rows = rows_of(&self.host, PROJECTION);
        self.host.kill();
        let clean = self.clean_replay();
        assert!(rows_of(&clean, PROJECTION) == rows, "the rows are not those of a clean replay");
        assert!(log_of(&clean.api()) == self.oracle.log, "the copy of the log is another");
        let log = self.host.data_folder().join("events.db");
        assert_eq!(integrity(&log).unwrap_or_else(|error| error.to_string()), "ok");
        self.host.start_again();
    }

    /// A daemon that has a copy of the log, and nothing else of the one that was killed.
    fn clean_replay(&self) -> TestHost {
        let mut clean = TestHost::start();
        clean.stop();
        for file in ["events.db", "events.db-wal"] {
            let _ = fs::remove_file(clean.data_folder().join(file));
            // There may be no write-ahead log.
            let _ = fs::copy(self.host.data_folder().join(file), clean.data_folder().join(file));
        }
        clean.start_again();
        clean.drop_in(FILE, &self.edition.file());
        clean.wait_until(PROJECTION, "is there", |_| true);
        settled(&clean, self.edition);
        clean
    }
}

impl Drop for Run {
    /// What a failed round leaves behind is the evidence.
    fn drop(&mut self) {
        if thread::panicking() {
            println!("the folder of the failed round stays: {}", self.host.keep_folder().display());
        }
    }
}

/// One round's way to death.
struct Disturbance<'a> {
    host: &'a mut TestHost,
    edition: &'a mut Edition,
    api: Api,
    plan: &'a Plan,
    started: Instant,
    answers: u64,
    /// How much was done of what the plan asks for.
    acts: u64,
}

impl Disturbance<'_> {
    fn while_clients_work(&mut self, inbox: &Receiver<Report>, told: &mut Told) {
        loop {
            match inbox.recv_timeout(LOOK) {
                Ok(report) => {
                    self.answers += u64::from(report.answer.is_some());
                    told.note(&report);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if !self.is_over() && self.answers >= (self.acts + 1) * self.plan.act_after {
                self.act();
            }
        }
    }

    /// Does what is left to do and waits for the end. Answers whether the daemon came to it by itself.
    fn end(mut self) -> bool {
        while !self.is_over() && self.acts <= self.plan.replays {
            self.act();
        }
        let digest = self.edition.digest();
        let mut by_itself = true;
        eventually("the daemon is dead, or has nothing left to do", || {
            if self.is_over() {
                return Some(());
            }
            let status = self.api.find_projection(PROJECTION)?;
            let is_idle = is_settled(&status, status["head"].as_u64()?, &digest);
            if is_idle && matches!(self.plan.death, Death::AtPoint { .. } | Death::AfterAnswers(_)) {
                by_itself = false;
                self.host.kill();
            }
            None
        });
        by_itself
    }

    /// Exchanges the plugin, then asks for the replays, one act at a time.
    fn act(&mut self) {
        if self.acts == 0 {
            if let Some(edition) = self.plan.reload {
                *self.edition = edition;
                self.host.drop_in(FILE, &edition.file());
            }
        } else if self.acts <= self.plan.replays {
            let replay = Request::post("/projections/accounts/replay").body(Vec::new()).expect("a valid request");
            // It may die of it.
            let _ = self.api.try_send(replay);
        }
        self.acts += 1;
    }

    /// Whether the daemon is dead. Kills it when its time has come.
    fn is_over(&mut self) -> bool {
        let is_time = match self.plan.death {
            Death::AfterAnswers(answers) => self.answers >= answers,
            Death::AfterMilliseconds(milliseconds) => self.started.elapsed() >= Duration::from_millis(milliseconds),
            Death::AtPoint { .. } => false,
        };
        let has_ended = self.host.has_ended();
        if is_time && !has_ended {
            self.host.kill();
        }
        is_time || has_ended
    }
}

//! Installing, replaying, pausing and removing projections.

use super::*;

/// Waits until the projection has applied everything in the log and no replay is under way.
fn settled(projections: &Projections) -> ProjectionStatus {
    let mut visible = projections.checkpoint_changes("counting").expect("known");
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    loop {
        let status = projections.status("counting").expect("known");
        let at_head = *visible.borrow_and_update() == status.active.head;
        if at_head && status.replay.is_none() && status.active.state == ProjectionState::Live {
            return status;
        }
        assert!(std::time::Instant::now() < deadline, "it never settled: {status:?}");
        std::thread::yield_now();
        visible = projections.checkpoint_changes("counting").expect("known");
    }
}

#[test]
fn new_code_of_the_same_version_goes_on_and_of_another_version_replays() {
    let log = Log::new();
    log.append("order-1", "Placed");
    let projections = log.projections(&[]);
    let install = |code: &Counting| projections.install("counting.wasm", code.code()).expect("installs");
    assert_eq!(install(&Counting::new("a", fine)), Installed::New);
    let first = settled(&projections);
    assert_eq!(install(&Counting::new("b", fine)), Installed::Swapped);
    log.append("order-1", "Paid");
    let second = settled(&projections);
    assert_eq!(second.active.read_model_path, first.active.read_model_path);
    assert_eq!(install(&Counting::new("c", fine).version(2)), Installed::Replaying);
    let third = settled(&projections);
    assert_eq!((third.active.read_model_version, third.active.component_digest.as_str()), (2, "c"));
    assert_eq!(rows(&third.active.read_model_path), expected(&[("order-1", 2)]));
    projections.shut_down();
}

#[test]
fn a_projection_whose_file_is_gone_stops_and_stays_queryable_across_restarts() {
    let log = Log::new();
    log.append("order-1", "Placed");
    let projections = log.projections(&[]);
    let code = Counting::new("a", fine);
    projections.install("counting.wasm", code.code()).expect("installs");
    settled(&projections);
    assert_eq!(projections.remove("counting.wasm").as_deref(), Some("counting"));
    log.append("order-1", "Paid");
    drop(projections);
    let projections = log.projections(&[]);
    let status = projections.status("counting").expect("known");
    assert_eq!((status.active.state, status.active.lag()), (ProjectionState::PluginMissing, 1));
    let file = projections.read_model("counting").expect("known");
    assert_eq!(rows(&file.path), expected(&[("order-1", 1)]));
    assert_eq!(*file.schema, code.description.schema);
    assert_eq!(projections.install("counting.wasm", code.code()).expect("installs"), Installed::Resumed);
    assert_eq!(rows(&settled(&projections).active.read_model_path), expected(&[("order-1", 2)]));
    projections.shut_down();
}

#[test]
fn a_second_file_with_the_same_projection_is_refused() {
    let log = Log::new();
    let projections = log.projections(&[]);
    projections.install("one.wasm", Counting::new("a", fine).code()).expect("installs");
    let refused = projections.install("two.wasm", Counting::new("b", fine).code()).expect_err("refused");
    assert!(refused.to_string().contains("one.wasm"), "{refused}");
    projections.shut_down();
}

#[test]
fn a_pause_survives_a_restart_and_a_resume_ends_it() {
    let log = Log::new();
    let code = Counting::new("a", fine);
    let projections = log.projections(&[]);
    projections.install("counting.wasm", code.code()).expect("installs");
    settled(&projections);
    projections.pause("counting").expect("pauses");
    projections.shut_down();
    drop(projections);
    log.append("order-1", "Placed");
    let projections = log.projections(&[]);
    projections.install("counting.wasm", code.code()).expect("installs");
    let status = projections.status("counting").expect("known");
    assert_eq!((status.active.state, status.active.lag()), (ProjectionState::Paused, 1));
    projections.resume("counting").expect("resumes");
    settled(&projections);
    projections.shut_down();
}

#[test]
fn a_replay_can_be_cancelled_and_one_cut_short_by_a_restart_goes_on_beside_the_old_code() {
    let log = Log::new();
    log.append("order-1", "Placed");
    let old = Counting::new("old", fine);
    let new = Counting::new("new", fine).version(2);
    let projections = log.projections(&[]);
    projections.install("counting.wasm", old.code()).expect("installs");
    settled(&projections);
    // Paused, so that the replay stays where it is.
    projections.pause("counting").expect("pauses");
    projections.install("counting.wasm", new.code()).expect("installs");
    projections.cancel_replay("counting").expect("cancels");
    assert!(projections.status("counting").expect("known").replay.is_none());
    assert!(projections.cancel_replay("counting").is_err(), "there was nothing to cancel");
    projections.replay("counting").expect("replays");
    let begun = projections.status("counting").expect("known").replay.expect("under way");
    assert_eq!((begun.read_model_version, begun.build), (2, 3));
    projections.shut_down();
    drop(projections);

    let restarted = log.projections(&[&old]);
    assert_eq!(restarted.install("counting.wasm", new.code()).expect("installs"), Installed::Replaying);
    let status = restarted.status("counting").expect("known");
    assert_eq!((status.active.read_model_version, status.active.component_digest.as_str()), (1, "old"));
    assert_eq!(status.replay.map(|replay| replay.build), Some(3));
    log.append("order-1", "Paid");
    restarted.resume("counting").expect("resumes");
    let status = settled(&restarted);
    assert_eq!((status.active.read_model_version, status.active.build), (2, 3));
    assert_eq!(rows(&status.active.read_model_path), expected(&[("order-1", 2)]));
    restarted.shut_down();
}

#[test]
fn renewed_code_takes_the_place_of_the_same_code_and_changes_nothing_else() {
    let log = Log::new();
    log.append("order-1", "Placed");
    let projections = log.projections(&[]);
    projections.install("counting.wasm", Counting::new("a", fine).code()).expect("installs");
    settled(&projections);
    // Told from the first by what it does, which else would be the same.
    projections.renew(&Counting::new("b", traps_on_poison).code());
    log.append("order-2", "Poison");
    assert_eq!(settled(&projections).active.dead_letters, 0, "other code is not taken");
    projections.pause("counting").expect("pauses");
    projections.renew(&Counting::new("a", traps_on_poison).code());
    log.append("order-3", "Poison");
    projections.resume("counting").expect("resumes");
    let status = settled(&projections);
    assert_eq!((status.active.dead_letters, status.active.build), (1, 1));
    projections.replay("counting").expect("replays");
    assert_eq!(settled(&projections).active.dead_letters, 2, "a replay runs the renewed code, too");
    projections.shut_down();
}

#[test]
fn what_a_crash_has_left_of_a_retired_read_model_is_deleted_at_the_next_start() {
    let log = Log::new();
    log.append("order-1", "Placed");
    let projections = log.projections(&[]);
    projections.install("counting.wasm", Counting::new("a", fine).code()).expect("installs");
    settled(&projections);
    projections.shut_down();
    drop(projections);
    let left = ["counting.1.7.db-wal", "counting.1.7.db-shm", "counting.1.8.db-journal", "gone.1.1.db"];
    let left = left.map(|name| log.path("read-models").join(name));
    left.iter().for_each(|path| std::fs::write(path, b"left").expect("writes"));
    log.projections(&[]);
    assert!(!left.iter().any(|path| path.exists()));
    assert!(log.path("read-models/counting.1.1.db").exists());
}

#[test]
fn a_replay_that_stands_still_leaves_no_file_when_it_is_given_up() {
    let log = Log::new();
    log.append("order-1", "Placed");
    let (old, new, newer) = (Counting::new("a", fine), Counting::new("b", fine), Counting::new("c", fine));
    let projections = log.projections(&[]);
    projections.install("counting.wasm", old.code()).expect("installs");
    settled(&projections);
    projections.pause("counting").expect("pauses");
    projections.install("counting.wasm", new.version(2).code()).expect("installs");
    projections.shut_down();
    drop(projections);
    let begun = log.path("read-models/counting.2.2.db");
    std::fs::write(&begun, b"begun").expect("writes");
    let projections = log.projections(&[&old]);
    projections.install("counting.wasm", newer.version(3).code()).expect("installs");
    assert_eq!(projections.status("counting").expect("known").replay.map(|replay| replay.build), Some(3));
    assert!(!begun.exists());
    projections.shut_down();
}

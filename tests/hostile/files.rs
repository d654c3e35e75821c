//! What else may lie in the plugin folder and in the folder of compiled code: files that are torn, grow, change or are
//! no files.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use lantern_tests::TestHost;
use rustix::fs::{CWD, mkfifoat};
use serde_json::{Value, json};

use crate::SETTINGS;
use crate::guest::Guest;

fn is_rejected(plugin: &Value) -> bool {
    plugin["state"] == "rejected"
}

/// A daemon with a plugin that does no harm, and an event for it.
fn serving() -> TestHost {
    let host = TestHost::with_settings(SETTINGS);
    host.api().append("order-01", &json!([{ "event_type": "Placed", "data": 1 }]));
    host.drop_in("neighbour.wasm", &Guest::counting("neighbour", "order").build());
    host.wait_until_live("neighbour");
    host
}

#[track_caller]
fn still_serves(host: &TestHost) {
    host.api().append("order-01", &json!([{ "event_type": "Placed", "data": 1 }]));
    host.wait_until_live("neighbour");
    let rows = host.api().get("/projections/neighbour/tables/rows").expect(200);
    assert_eq!(rows[0]["n"], json!(host.head()), "every event is counted once");
}

#[test]
fn a_file_torn_at_any_place_is_refused_and_the_whole_file_is_taken() {
    let host = serving();
    let whole = Guest::counting("torn", "order").build();
    let pieces = (0..64).map(|piece| (format!("torn-{piece}.wasm"), whole.len() * piece / 64));
    let pieces: Vec<_> = pieces.collect();
    pieces.iter().for_each(|(file, length)| host.drop_in(file, &whole[..*length]));
    for (file, length) in &pieces {
        let plugin = host.wait_for_plugin(file, "is refused", is_rejected);
        let reason = plugin["reason"].as_str().unwrap_or_default();
        assert!(reason.contains("cut off") || reason.contains("something unknown"), "{length} bytes: {reason}");
    }
    let mut growing = File::create(host.plugin_folder().join("torn.wasm")).expect("a file can be made");
    for byte in &whole {
        growing.write_all(&[*byte]).expect("a file can be written");
        growing.flush().expect("a file can be written");
    }
    host.wait_until_live("torn");
    still_serves(&host);
}

#[test]
fn a_file_that_is_replaced_while_it_is_compiled_ends_as_the_last_one() {
    let host = serving();
    let editions: Vec<_> = (0..12).map(|n| Guest::counting(&format!("edition-{n}"), "order").build()).collect();
    for edition in &editions {
        // Renamed over the other, and written into it.
        let part = host.plugin_folder().join("part");
        fs::write(&part, edition).expect("a file can be written");
        fs::rename(&part, host.plugin_folder().join("renamed.wasm")).expect("a file can be renamed");
        host.drop_in("written.wasm", edition);
        host.wait_for_plugin("renamed.wasm", "was seen", |_| true);
    }
    // Both now hold a projection of the same name: one of them has it, and the other says so.
    host.wait_until_live("edition-11");
    let of_both = |state: &str| {
        let has = |file| {
            host.api().plugin(file).is_some_and(|plugin| plugin["state"] == state && plugin["name"] == "edition-11")
        };
        has("renamed.wasm") || has("written.wasm")
    };
    host.wait_for_plugin("renamed.wasm", "or the other has the last edition", |_| {
        of_both("loaded") && of_both("rejected")
    });
    still_serves(&host);
}

/// Puts what is no plugin into a folder. Answers the name and part of the reason that is told.
fn oddities(folder: &Path) -> Vec<(String, &'static str)> {
    let good = Guest::counting("odd", "order").build();
    let aside = folder.join("aside");
    fs::write(&aside, &good).expect("a file can be written");
    symlink(&aside, folder.join("link.wasm")).expect("a link can be made");
    symlink("/dev/zero", folder.join("endless.wasm")).expect("a link can be made");
    symlink(folder.join("round.wasm"), folder.join("round.wasm")).expect("a link can be made");
    fs::create_dir(folder.join("folder.wasm")).expect("a folder can be made");
    mkfifoat(CWD, folder.join("pipe.wasm"), 0o600.into()).expect("a pipe can be made");
    UnixListener::bind(folder.join("socket.wasm")).expect("a socket can be made");
    let huge = File::create(folder.join("sparse.wasm")).expect("a file can be made");
    huge.set_len(1 << 40).expect("a file may be sparse");
    let long = format!("{}.wasm", "n".repeat(150));
    let names = ["with space.wasm", "line\nfeed.wasm", "\u{202e}backwards.wasm", "quote\".wasm", &long];
    let unlinkable =
        [("link.wasm", "symbolic link"), ("endless.wasm", "symbolic link"), ("round.wasm", "symbolic link")];
    let irregular =
        [("folder.wasm", "no regular file"), ("pipe.wasm", "no regular file"), ("socket.wasm", "no regular file")];
    let mut told: Vec<_> =
        [unlinkable, irregular].concat().into_iter().map(|(name, why)| (name.to_owned(), why)).collect();
    told.push(("sparse.wasm".into(), "max_file_bytes is 1048576"));
    for name in names {
        fs::write(folder.join(name), &good).expect("a file can be written");
        told.push((name.to_owned(), "its name is not allowed"));
    }
    fs::write(folder.join(OsStr::from_bytes(b"\xff\xfe.wasm")), &good).expect("a file can be written");
    told.push(("\u{fffd}\u{fffd}.wasm".into(), "its name is not allowed"));
    fs::write(folder.join(".hidden.wasm"), &good).expect("a file can be written");
    fs::write(folder.join("whole.wasm.part"), &good).expect("a file can be written");
    told
}

#[test]
fn what_is_no_file_of_a_sound_name_is_refused_with_the_reason_and_what_to_do() {
    let host = serving();
    let told = oddities(&host.plugin_folder());
    for (file, why) in &told {
        let plugin = host.wait_for_plugin(file, "is refused", is_rejected);
        assert!(plugin["reason"].as_str().is_some_and(|reason| reason.contains(why)), "{file:?}: {plugin}");
        assert!(plugin["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{file:?}: {plugin}");
    }
    let plugins = host.api().get("/plugins").expect(200);
    assert_eq!(
        plugins["plugins"].as_array().map(Vec::len),
        Some(told.len() + 1),
        "nothing else was looked at: {plugins}"
    );
    assert!(host.log().contains("plugin=line\\nfeed.wasm"), "no name makes a line of the log: {}", host.log());
    let listed = host.cli().ok(&["plugin", "list"]);
    assert!(listed.contains("line\\nfeed.wasm: ") && listed.contains("\\u{202e}backwards.wasm: "), "{listed}");
    assert!(!listed.contains('\u{202e}') && !listed.contains("\nfeed.wasm"), "a name is obeyed: {listed}");
    assert!(host.api().find_projection("odd").is_none());
    still_serves(&host);
}

#[test]
fn a_file_that_may_not_be_read_is_refused_until_it_may() {
    let host = serving();
    let path = host.plugin_folder().join("secret.wasm");
    let part = host.plugin_folder().join("part");
    fs::write(&part, Guest::counting("secret", "order").build()).expect("a file can be written");
    fs::set_permissions(&part, Permissions::from_mode(0o000)).expect("the file is ours");
    let is_superuser = File::open(&part).is_ok();
    fs::rename(&part, &path).expect("a file can be renamed");
    if !is_superuser {
        let plugin = host.wait_for_plugin("secret.wasm", "is refused", is_rejected);
        assert!(plugin["reason"].as_str().is_some_and(|reason| reason.contains("cannot be read")), "{plugin}");
    }
    fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("the file is ours");
    host.wait_until_live("secret");
}

/// The files of compiled code.
fn artefacts(host: &TestHost) -> Vec<PathBuf> {
    let files = fs::read_dir(host.data_folder().join("compiled")).expect("the folder is there");
    let mut files: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    files.sort();
    files
}

#[test]
fn compiled_code_that_was_changed_or_exchanged_is_never_run_but_compiled_again() {
    let mut host = serving();
    host.drop_in("other.wasm", &Guest::typed("other", "unreachable").build());
    host.wait_for_plugin("other.wasm", "is loaded", |plugin| plugin["state"] == "loaded");
    let compiled: Vec<_> =
        artefacts(&host).into_iter().map(|path| (fs::read(&path).expect("it is there"), path)).collect();
    assert_eq!(compiled.len(), 2, "one for each plugin: {compiled:?}", compiled = artefacts(&host));
    let [(first, first_path), (second, second_path)] = &compiled[..] else { panic!("two files") };
    type Forgery<'a> = (&'a str, Vec<u8>, Vec<u8>);
    let flipped = |bytes: &[u8], at: usize| {
        let mut bytes = bytes.to_vec();
        bytes[at] ^= 1;
        bytes
    };
    let forgeries: [Forgery<'_>; 5] = [
        ("exchanged", second.clone(), first.clone()),
        ("changed in the middle", flipped(first, first.len() / 2), flipped(second, second.len() / 2)),
        ("with another checksum", flipped(first, 0), flipped(second, 31)),
        ("cut off", first[..first.len() / 2].to_vec(), Vec::new()),
        ("longer", [&first[..], b"x"].concat(), [&second[..], &second[..]].concat()),
    ];
    for (what, of_first, of_second) in forgeries {
        assert!(host.stop().success());
        fs::write(first_path, of_first).expect("a file can be written");
        fs::write(second_path, of_second).expect("a file can be written");
        host.start_again();
        for file in ["neighbour.wasm", "other.wasm"] {
            host.wait_for_plugin(file, "is loaded", |plugin| plugin["state"] == "loaded");
        }
        still_serves(&host);
        let again = [first_path, second_path].map(|path| fs::read(path).expect("it is there"));
        assert!(again == [first.clone(), second.clone()], "{what}: it was compiled again, to the same code");
    }
}

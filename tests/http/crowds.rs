//! Very many connections that ask for nothing.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use lantern_tests::{TestHost, eventually_ok};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;

use crate::sockets::{connect, memory_mib};

/// As many as the machine allows, if it allows fewer.
const CROWD: usize = 10_000;
/// Files that the tests beside this one may need.
const OTHERS: u64 = 500;

/// Raises how many files may be open, for this process and what it starts, and returns how large a crowd can be.
fn crowd_size() -> usize {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).expect("the hard limit is allowed");
    let most = limit.maximum.map_or(CROWD, |files| files.saturating_sub(OTHERS) as usize);
    if most < CROWD {
        println!("this machine allows only {most} of {CROWD} sockets");
    }
    most.min(CROWD)
}

fn is_closed(mut socket: &TcpStream) -> bool {
    socket.set_nonblocking(true).expect("it can be set");
    !matches!(socket.read(&mut [0; 1]), Err(error) if error.kind() == ErrorKind::WouldBlock)
}

#[test]
fn ten_thousand_silent_connections_keep_nobody_out_and_cost_little() {
    // No limit of time is to help here.
    const PATIENT: &str = "header_timeout_seconds = 3600\nidle_timeout_seconds = 3600\n";
    let usual = TestHost::with_settings(&format!("[http]\n{PATIENT}"));
    let size = crowd_size();
    let roomy = TestHost::with_settings(&format!("[http]\n{PATIENT}max_connections = {}\n", size + 100));
    for (host, places, most_mib) in [(&usual, 1024, 100), (&roomy, size + 100, 500)] {
        let before = memory_mib(host);
        // Every other one begins to ask and does not go on.
        let begun = |index| if index % 2 == 0 { &b""[..] } else { b"GET /healthz HTTP/1.1\r\nhost: loc" };
        let crowd = (0..size).map(|index| {
            let mut socket = connect(host);
            socket.write_all(begun(index)).expect("sent");
            socket
        });
        let crowd: Vec<_> = crowd.collect();
        host.api().append("order-1", &json!([{ "event_type": "A", "data": 1 }]));
        let open = eventually_ok("no more than there are places stay open", || {
            let open = crowd.iter().filter(|socket| !is_closed(socket)).count();
            if open <= places { Ok(open) } else { Err(open.to_string()) }
        });
        assert!(open + 100 > places.min(size), "only {open} of {places} places are used");
        let more = memory_mib(host).saturating_sub(before);
        println!("{size} connections, {open} of them open: {more} MiB more");
        assert!(more < most_mib, "the daemon has {more} MiB more than before");
    }
}

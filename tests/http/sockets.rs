//! Bare sockets, for what no HTTP client would send.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use lantern_tests::TestHost;

pub const ALIVE: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// A read that waits longer fails the test.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn connect(host: &TestHost) -> TcpStream {
    let (_, address) = host.server().split_once("://").expect("an address has a scheme");
    let socket = TcpStream::connect(address).expect("the daemon accepts connections");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time-out can be set");
    socket.set_nodelay(true).expect("it can be set");
    socket
}

/// Sends bytes, and returns everything that comes until the daemon closes the connection.
pub fn answers(host: &TestHost, bytes: &[u8]) -> String {
    let mut socket = connect(host);
    // The daemon may have seen enough before everything is sent.
    let _ = socket.write_all(bytes);
    rest(&mut socket)
}

/// Everything that comes until the daemon closes the connection.
pub fn rest(socket: &mut TcpStream) -> String {
    let mut text = Vec::new();
    match socket.read_to_end(&mut text) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("the daemon keeps the connection: {error}; {}", String::from_utf8_lossy(&text)),
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// How much memory the daemon has now, in MiB.
pub fn memory_mib(host: &TestHost) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", host.process_id())).expect("the daemon runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux says how much");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
}

/// How many sockets the daemon has open.
pub fn open_sockets(host: &TestHost) -> usize {
    let files = std::fs::read_dir(format!("/proc/{}/fd", host.process_id())).expect("the daemon runs");
    let target = |file: std::io::Result<std::fs::DirEntry>| std::fs::read_link(file.ok()?.path()).ok();
    files.filter_map(target).filter(|target| target.to_string_lossy().starts_with("socket:")).count()
}

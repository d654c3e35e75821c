//! https: certificates from files, and the command line that trusts them.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use lantern_tests::{Cli, Output, TestHost};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

use crate::sockets::{answers, connect, rest};

/// A certificate authority of its own, and the certificate of a server that it signed.
struct Certificates {
    folder: TempDir,
}

impl Certificates {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, pem: String| fs::write(folder.path().join(name), pem).expect("written");
        let mut authority = CertificateParams::new([]).expect("no names");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        write("ca.pem", authority.self_signed(&key).expect("signed").pem());
        let authority = Issuer::new(authority, key);
        let key = KeyPair::generate().expect("a key");
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let certificate = CertificateParams::new(names).expect("names").signed_by(&key, &authority);
        write("certificate.pem", certificate.expect("signed").pem());
        write("key.pem", key.serialize_pem());
        Self { folder }
    }

    fn file(&self, name: &str) -> String {
        let path: PathBuf = self.folder.path().join(name);
        path.to_str().expect("text").to_owned()
    }

    fn settings(&self) -> String {
        let (certificate, key) = (self.file("certificate.pem"), self.file("key.pem"));
        format!("[http]\nheader_timeout_seconds = 1\ntls_certificate = {certificate:?}\ntls_key = {key:?}\n")
    }
}

const READ: [&str; 2] = ["events", "read"];

#[test]
fn the_command_line_uses_a_daemon_with_a_certificate_it_is_told_to_trust() {
    let certificates = Certificates::new();
    let host = TestHost::with_settings(&certificates.settings());
    assert!(host.server().starts_with("https://"), "{}", host.server());
    let cli = host.cli().with_variable("LANTERN_CA", &certificates.file("ca.pem"));
    cli.ok(&["events", "append", "order-1", "--type", "Placed", "--data", "1"]);
    let text = cli.ok(&READ);
    assert!(text.contains("Placed"), "{text}");
    let by_name = host.server().replace("127.0.0.1", "localhost");
    host.cli().ok(&["events", "read", "--server", &by_name, "--ca-certificate", &certificates.file("ca.pem")]);
}

#[test]
fn a_new_certificate_in_the_same_files_counts_from_the_next_connection_on() {
    let (certificates, renewed) = (Certificates::new(), Certificates::new());
    let host = TestHost::with_settings(&certificates.settings());
    let trusting = |certificates: &Certificates| host.cli().with_variable("LANTERN_CA", &certificates.file("ca.pem"));
    let replace = |name: &str| fs::rename(renewed.file(name), certificates.file(name)).expect("replaced");
    trusting(&certificates).ok(&READ);
    replace("certificate.pem");
    trusting(&certificates).ok(&READ);
    assert!(host.log().contains("the certificate of before stays in use"), "{}", host.log());
    replace("key.pem");
    trusting(&renewed).ok(&READ);
    assert_says(&trusting(&certificates).run(&READ), &["certificate", "--ca-certificate"]);
    assert_eq!(host.log().matches("read the new certificate").count(), 1, "{}", host.log());
}

#[track_caller]
fn assert_says(output: &Output, parts: &[&str]) {
    assert_eq!(output.code, Some(1), "{output:?}");
    for part in parts {
        assert!(output.stderr.contains(part), "{part}: {}", output.stderr);
    }
}

#[test]
fn a_certificate_that_is_not_trusted_and_a_wrong_scheme_are_told() {
    let certificates = Certificates::new();
    let host = TestHost::with_settings(&certificates.settings());
    assert_says(&host.cli().run(&READ), &["certificate", "--ca-certificate"]);
    let other = Certificates::new().file("ca.pem");
    assert_says(&host.cli().with_variable("LANTERN_CA", &other).run(&READ), &["cannot read the certificates", &other]);
    let stranger = Certificates::new();
    let output = host.cli().with_variable("LANTERN_CA", &stranger.file("ca.pem")).run(&READ);
    assert_says(&output, &["certificate", "--ca-certificate"]);
    let output = host.cli().with_variable("LANTERN_CA", &certificates.file("key.pem")).run(&READ);
    assert_says(&output, &["there is no certificate in", "key.pem"]);
    let plain = host.server().replace("https://", "http://");
    assert_says(&Cli::new(&plain).run(&READ), &["https://"]);
    let open = TestHost::start();
    assert_says(&Cli::new(&open.server().replace("http://", "https://")).run(&READ), &["http://"]);
}

#[test]
fn a_greeting_that_is_none_or_never_ends_is_cut_off() {
    let certificates = Certificates::new();
    let host = TestHost::with_settings(&certificates.settings());
    let plain = answers(&host, b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n");
    assert!(!plain.contains("200 OK"), "{plain}");
    let mut silent = connect(&host);
    let mut begun = connect(&host);
    begun.write_all(b"\x16\x03\x01\x02\x00\x01\x00").expect("sent");
    assert_eq!((rest(&mut silent), rest(&mut begun)), (String::new(), String::new()));
    host.cli().with_variable("LANTERN_CA", &certificates.file("ca.pem")).ok(&READ);
}

#[test]
fn a_certificate_or_key_that_cannot_be_used_is_named() {
    let certificates = Certificates::new();
    let stranger = Certificates::new();
    let (certificate, key) = (certificates.file("certificate.pem"), certificates.file("key.pem"));
    let missing = certificates.file("missing.pem");
    let foreign = stranger.file("key.pem");
    for (certificate, key, parts) in [
        (&missing, &key, &["cannot read the certificate in", "missing.pem"][..]),
        (&certificate, &missing, &["cannot read the private key in", "missing.pem"]),
        (&key, &key, &["cannot read the certificate in", "there is none"]),
        (&certificate, &certificate, &["cannot read the private key in", "there is none"]),
        (&certificate, &foreign, &["cannot be used", "certificate.pem", "key.pem"]),
        (&certificate, &String::new(), &["cannot read the private key"]),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let cli = Cli::new("http://127.0.0.1:1")
            .with_variable("LANTERN_HTTP__TLS_CERTIFICATE", certificate)
            .with_variable("LANTERN_HTTP__TLS_KEY", key);
        let data = folder.path().to_str().expect("text");
        assert_says(&cli.run(&["serve", "--listen", "127.0.0.1:0", "--data-dir", data]), parts);
    }
}

//! The HTTP client of every command that asks a daemon. Knows the daemon's errors and how to tell a
//! person about them; knows nothing about any one command.

use std::fmt::{self, Display, Write as _};
use std::io::{self, BufReader};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::RequestBuilder;
use ureq::http::Response;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

/// How long to try to reach the daemon.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an answer may be silent, which is longer than a query waits for its position and than the daemon's stream
/// of events goes without a sign of life.
const SILENCE: Duration = Duration::from_secs(120);
/// Answers larger than this are refused.
const MAX_ANSWER_BYTES: u64 = 1 << 30;
/// A body larger than this waits until the daemon wants it: a refusal would get lost while it is being sent.
const ASKS_FIRST_BYTES: usize = 16 << 10;

/// What the daemon, or the way to it, answered instead of a result.
#[derive(Debug)]
pub struct Failure {
    pub message: String,
    pub hint: Option<String>,
    /// The HTTP status; `None` when there was no answer at all.
    pub status: Option<u16>,
    /// The whole problem document, with a stable `code`.
    pub facts: Value,
}

impl Failure {
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: Some(hint.into()), status: None, facts: Value::Null }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// A path of the daemon's API with its query.
#[derive(Clone, Debug)]
pub struct Target(String);

impl Target {
    /// Each segment is escaped, so a stream name may hold any character.
    pub fn new(segments: &[&str]) -> Self {
        let mut target = String::new();
        for segment in segments {
            target.push('/');
            escape(segment, &mut target);
        }
        Self(target)
    }

    #[must_use]
    pub fn with(mut self, name: &str, value: impl Display) -> Self {
        self.0.push(if self.0.contains('?') { '&' } else { '?' });
        escape(name, &mut self.0);
        self.0.push('=');
        escape(&value.to_string(), &mut self.0);
        self
    }

    #[must_use]
    pub fn with_each<T: Display>(self, name: &str, values: impl IntoIterator<Item = T>) -> Self {
        values.into_iter().fold(self, |target, value| target.with(name, value))
    }
}

fn escape(text: &str, into: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b',' | b':' => {
                into.push(byte as char)
            }
            _ => {
                // Writing to a string cannot fail.
                let _ = write!(into, "%{byte:02X}");
            }
        }
    }
}

/// The lines of an answer as they come.
pub type Lines = BufReader<ureq::BodyReader<'static>>;

/// A successful answer.
pub struct Answer(Response<ureq::Body>);

impl Answer {
    /// # Errors
    /// When the body does not arrive whole or is not the JSON that was expected.
    pub fn json<T: DeserializeOwned>(mut self) -> anyhow::Result<T> {
        let text =
            self.0.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_vec().context("the answer broke off")?;
        let text: &[u8] = if text.is_empty() { b"null" } else { &text };
        serde_json::from_slice(text).context("the daemon's answer is not what this version of `lantern` expects")
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.0.headers().get(name)?.to_str().ok()
    }

    /// The body as it comes, for streams without an end.
    pub fn lines(self) -> Lines {
        BufReader::new(self.0.into_body().into_with_config().limit(u64::MAX).reader())
    }
}

/// A connection to one daemon.
pub struct Client {
    agent: ureq::Agent,
    server: String,
    /// The value of the header Authorization.
    authorization: Option<String>,
}

impl Client {
    /// `server` is an address like `http://127.0.0.1:7171`; without a scheme it means `http://`. `trusted` is a PEM file
    /// with the certificates that https may lead to, in place of those that browsers trust.
    ///
    /// # Errors
    /// When that file cannot be read or has no certificate.
    pub fn new(server: &str, token: Option<String>, trusted: Option<&Path>) -> anyhow::Result<Self> {
        let trusted = trusted.map_or(Ok(RootCerts::WebPki), certificates)?;
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT))
            .timeout_per_read(Some(SILENCE))
            .user_agent(concat!("lantern/", env!("CARGO_PKG_VERSION")))
            .tls_config(TlsConfig::builder().root_certs(trusted).build())
            .build();
        let server = server.trim_end_matches('/');
        let server = if server.contains("://") { server.to_owned() } else { format!("http://{server}") };
        let token = token.as_deref().map(str::trim);
        let is_one = token.is_none_or(|token| token.bytes().all(|byte| byte.is_ascii_graphic()));
        anyhow::ensure!(
            is_one,
            "what --token or LANTERN_TOKEN gives is no token: it has a space or another odd character"
        );
        let authorization = token.map(|token| format!("Bearer {token}"));
        Ok(Self { agent: config.into(), server, authorization })
    }

    pub fn get(&self, target: &Target) -> Result<Answer, Failure> {
        self.answered(self.with_token(self.agent.get(self.url(target))).call())
    }

    /// Continues a stream of server-sent events after the event of this id.
    pub fn get_events(&self, target: &Target, last_event_id: &str) -> Result<Answer, Failure> {
        let request = self.with_token(self.agent.get(self.url(target))).header("accept", "text/event-stream");
        self.answered(request.header("last-event-id", last_event_id).call())
    }

    pub fn delete(&self, target: &Target) -> Result<Answer, Failure> {
        self.answered(self.with_token(self.agent.delete(self.url(target))).call())
    }

    pub fn post(&self, target: &Target, content: Content<'_>) -> Result<Answer, Failure> {
        let mut request = self.with_token(self.agent.post(self.url(target)));
        for (name, value) in content.headers {
            request = request.header(*name, value);
        }
        if content.body.len() > ASKS_FIRST_BYTES {
            request = request.header("expect", "100-continue");
        }
        self.answered(request.content_type(content.media_type).send(content.body))
    }

    fn with_token<Body>(&self, request: RequestBuilder<Body>) -> RequestBuilder<Body> {
        match &self.authorization {
            Some(authorization) => request.header("authorization", authorization),
            None => request,
        }
    }

    fn url(&self, target: &Target) -> String {
        format!("{}{}", self.server, target.0)
    }

    fn answered(&self, result: Result<Response<ureq::Body>, ureq::Error>) -> Result<Answer, Failure> {
        let mut response = result.map_err(|error| unreachable_daemon(&self.server, &error))?;
        if response.status().is_success() {
            return Ok(Answer(response));
        }
        let body = response.body_mut().read_to_string().unwrap_or_default();
        Err(refused(response.status(), &body))
    }
}

fn certificates(file: &Path) -> anyhow::Result<RootCerts> {
    let pem = std::fs::read(file).with_context(|| format!("cannot read the certificates in {}", file.display()))?;
    let found = parse_pem(&pem).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    let found: Vec<_> = found.collect();
    anyhow::ensure!(!found.is_empty(), "there is no certificate in {}", file.display());
    Ok(RootCerts::new_with_certs(&found))
}

/// What a request carries.
pub struct Content<'a> {
    pub media_type: &'a str,
    pub headers: &'a [(&'a str, String)],
    pub body: &'a [u8],
}

impl<'a> Content<'a> {
    pub fn json(body: &'a [u8]) -> Self {
        Self { media_type: "application/json", headers: &[], body }
    }

    pub fn nothing() -> Self {
        Self::json(b"{}")
    }
}

fn unreachable_daemon(server: &str, error: &ureq::Error) -> Failure {
    const START: &str = "start one with `lantern serve`, or name another one with --server or LANTERN_SERVER";
    const TRUST: &str = "name the certificate to trust with --ca-certificate or LANTERN_CA; a daemon without TLS has an address with http://";
    let mut hint = START;
    let reason = match error {
        ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            "nothing listens there".to_owned()
        }
        ureq::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
            hint = TRUST;
            format!("https is not possible with it ({error})")
        }
        ureq::Error::Protocol(_) => {
            hint = "if it has a certificate, its address starts with https://";
            "what answers there speaks no HTTP".to_owned()
        }
        ureq::Error::Io(error) => format!("the connection broke off ({error})"),
        ureq::Error::ConnectionFailed => "nothing listens there".to_owned(),
        ureq::Error::HostNotFound => "there is no such host".to_owned(),
        ureq::Error::Timeout(_) => "it did not answer in time".to_owned(),
        other => other.to_string(),
    };
    Failure::new(format!("no answer from a Lantern daemon at {server}: {reason}"), hint)
}

fn refused(status: ureq::http::StatusCode, body: &str) -> Failure {
    let facts: Value = serde_json::from_str(body).unwrap_or(Value::Null);
    let text = |name: &str| facts.get(name).and_then(Value::as_str).map(str::to_owned);
    let message = text("detail").or_else(|| text("title")).unwrap_or_else(|| {
        let body: String = body.trim().chars().take(200).collect();
        format!("the server answered {status}{}{body}", if body.is_empty() { "" } else { ": " })
    });
    Failure { message, hint: text("hint").map(|hint| in_commands(&hint)), status: Some(status.as_u16()), facts }
}

/// A hint that names a route, with the command for it.
fn in_commands(hint: &str) -> String {
    let hint = hint.replace("send the header Authorization: Bearer TOKEN", "give one with LANTERN_TOKEN or --token");
    let hint = hint.replace("GET /plugins", "`lantern plugin list`").replace("Expected-Version: ", "--expected ");
    let hint = hint.replace("GET /conflicts ", "`lantern conflict list` ");
    let hint = match hint.split_once("GET /conflicts/").and_then(|(before, rest)| Some((before, rest.split_once(' ')?)))
    {
        Some((before, (id, after))) => format!("{before}`lantern conflict show {id}` {after}"),
        None => hint,
    };
    let Some((before, rest)) = hint.split_once("GET /projections/") else { return hint };
    let end = rest.find([' ', ';', ',', '/']).unwrap_or(rest.len());
    let (name, after) = rest.split_at(end);
    if after.starts_with('/') { hint } else { format!("{before}`lantern projection show {name}`{after}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_escapes_what_would_change_its_meaning() {
        let target = Target::new(&["streams", "a/b c?é", "events"]).with("col umn", "like.%&x").with("limit", 3);
        assert_eq!(target.0, "/streams/a%2Fb%20c%3F%C3%A9/events?col%20umn=like.%25%26x&limit=3");
    }

    #[test]
    fn a_problem_document_becomes_its_detail_and_hint() {
        let body = r#"{"title":"T","detail":"the stream is at 3","hint":"read it","code":"wrong_expected_version","actual":3}"#;
        let failure = refused(ureq::http::StatusCode::CONFLICT, body);
        assert_eq!(failure.to_string(), "the stream is at 3");
        assert_eq!(failure.hint.as_deref(), Some("read it"));
        assert_eq!((failure.facts["code"].as_str(), failure.status), (Some("wrong_expected_version"), Some(409)));
        assert_eq!(failure.facts["actual"], 3);
    }

    #[test]
    fn a_hint_names_commands_instead_of_routes() {
        assert_eq!(in_commands("GET /plugins says why"), "`lantern plugin list` says why");
        assert_eq!(in_commands("GET /projections/orders shows it"), "`lantern projection show orders` shows it");
        assert_eq!(in_commands("GET /projections/orders/x shows it"), "GET /projections/orders/x shows it");
        assert_eq!(in_commands("append with Expected-Version: 1"), "append with --expected 1");
        assert_eq!(in_commands("GET /conflicts/7-a shows it"), "`lantern conflict show 7-a` shows it");
        assert_eq!(in_commands("GET /conflicts lists them"), "`lantern conflict list` lists them");
    }

    #[test]
    fn an_answer_that_is_no_problem_document_is_shown_as_it_is() {
        let failure = refused(ureq::http::StatusCode::BAD_GATEWAY, "<html>no</html>");
        assert_eq!(failure.to_string(), "the server answered 502 Bad Gateway: <html>no</html>");
    }

    #[test]
    fn a_daemon_that_is_not_there_is_named_with_what_to_do() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        drop(listener);
        let client = Client::new(&address, None, None).expect("no certificates are needed");
        let failure = client.get(&Target::new(&["projections"])).err().expect("nothing listens");
        assert!(failure.message.contains(&address) && failure.message.contains("nothing listens"), "{failure}");
        assert!(failure.hint.expect("a hint").contains("lantern serve"));
    }
}

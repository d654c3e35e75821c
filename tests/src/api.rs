//! A small client for the daemon's HTTP API. Every answer is taken as it comes, also an error: tests look at both.

use std::time::Duration;

use serde_json::Value;
use ureq::http::{HeaderMap, Request, Response};

/// How long a request may take as a whole, also one for an endless answer: a test fails and does not hang.
const PATIENCE: Duration = Duration::from_secs(60);

/// The API of one daemon.
#[derive(Clone, Debug)]
pub struct Api {
    agent: ureq::Agent,
    server: String,
    token: Option<String>,
}

/// What the daemon answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
    headers: HeaderMap,
}

impl Answer {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body, if the status is as expected.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        if self.body.is_empty() { Value::Null } else { self.json() }
    }
}

impl Api {
    /// `server` is an address like `http://127.0.0.1:7171`.
    pub fn new(server: &str) -> Self {
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE)).build();
        Self { agent: config.into(), server: server.to_owned(), token: None }
    }

    /// Shows a token with every request.
    #[must_use]
    pub fn with_token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// Sends a request, whose target is a path. Fails only when there is no answer at all.
    ///
    /// # Errors
    /// When the connection fails.
    pub fn try_send(&self, request: Request<Vec<u8>>) -> Result<Answer, ureq::Error> {
        let (status, headers, mut body) = self.open(request)?;
        let body = body.with_config().limit(1 << 30).read_to_vec()?;
        Ok(Answer { status, body, headers })
    }

    /// As [`Self::try_send`], for a request that is answered for sure.
    #[track_caller]
    pub fn send(&self, request: Request<Vec<u8>>) -> Answer {
        self.try_send(request).unwrap_or_else(|error| panic!("{}: no answer: {error}", self.server))
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        self.send(bodyless("GET", path))
    }

    #[track_caller]
    pub fn delete(&self, path: &str) -> Answer {
        self.send(bodyless("DELETE", path))
    }

    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(json("POST", path, body))
    }

    /// Appends events to a stream that expects nothing, and answers the position of the last one.
    #[track_caller]
    pub fn append(&self, stream: &str, events: &Value) -> u64 {
        let appended = self.post(&format!("/streams/{stream}/events"), events).expect(201);
        appended["last_position"].as_u64().expect("an append answers a position")
    }

    #[track_caller]
    pub fn projection(&self, name: &str) -> Value {
        self.get(&format!("/projections/{name}")).expect(200)
    }

    /// The projection, or none as long as it is not there.
    pub fn find_projection(&self, name: &str) -> Option<Value> {
        let answer = self.try_send(bodyless("GET", &format!("/projections/{name}"))).ok()?;
        (answer.status == 200).then(|| answer.json())
    }

    /// What became of a file in the plugin folder.
    #[track_caller]
    pub fn plugin(&self, file: &str) -> Option<Value> {
        let plugins = self.get("/plugins").expect(200);
        plugins["plugins"].as_array()?.iter().find(|plugin| plugin["file"] == file).cloned()
    }

    /// The lines of an endless answer, as they come.
    #[track_caller]
    pub fn lines(&self, request: Request<Vec<u8>>) -> impl Iterator<Item = String> + use<> {
        let (status, _, body) = self.open(request).expect("the stream opens");
        assert_eq!(status, 200);
        let reader = std::io::BufReader::new(body.into_with_config().limit(u64::MAX).reader());
        std::io::BufRead::lines(reader).map_while(Result::ok)
    }

    fn open(&self, mut request: Request<Vec<u8>>) -> Result<(u16, HeaderMap, ureq::Body), ureq::Error> {
        let url = format!("{}{}", self.server, request.uri());
        *request.uri_mut() = url.parse().expect("a path makes a valid address");
        if let Some(token) = &self.token {
            let authorization = format!("Bearer {token}").try_into().expect("a token is plain text");
            request.headers_mut().insert("authorization", authorization);
        }
        let response: Response<ureq::Body> = self.agent.run(request)?;
        let (parts, body) = response.into_parts();
        Ok((parts.status.as_u16(), parts.headers, body))
    }
}

fn bodyless(method: &str, path: &str) -> Request<Vec<u8>> {
    Request::builder().method(method).uri(path).body(Vec::new()).expect("a valid request")
}

fn json(method: &str, path: &str, body: &Value) -> Request<Vec<u8>> {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    request.body(body.to_string().into_bytes()).expect("a valid request")
}

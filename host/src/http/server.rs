//! The accept loop: how many connections there are, how long each may take, and how they end.
//!
//! hyper has limits for the size of a request's head and for the time between two of them; the rest
//! of the limits that keep slow and silent peers from holding the server are here and in `socket`.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tower::ServiceExt;

use super::app::App;
use super::routes::router;
use super::socket::{Pace, TimedSocket, Turn};
use super::tls::{Certificate, TlsError};
use super::{AppState, HttpOptions};

/// After the machine refused a connection, for example for want of file descriptors.
const PAUSE_AFTER_REFUSAL: Duration = Duration::from_millis(100);

/// The HTTP API, ready to take connections.
#[derive(Clone)]
pub struct Server {
    app: Arc<App>,
    router: Router,
    tls: Option<Arc<Certificate>>,
}

impl Server {
    /// # Errors
    /// When the certificate or its key cannot be used.
    pub fn new(state: AppState, options: HttpOptions) -> Result<Self, TlsError> {
        let tls = options.tls.as_ref().map(Certificate::open).transpose()?.map(Arc::new);
        let app = App::new(state, options);
        Ok(Self { router: router(Arc::clone(&app)), app, tls })
    }

    /// Serves until `shutdown` is over, then lets open requests end within
    /// [`HttpOptions::shutdown_timeout`]. Subscriptions end at once.
    ///
    /// # Errors
    /// When the listener has no address.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        tracing::info!(address = %listener.local_addr()?, tls = self.tls.is_some(), "listening");
        let app = Arc::clone(&self.app);
        let slots = Arc::new(Semaphore::new(app.options.max_connections));
        let mut connections = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        loop {
            while connections.try_join_next().is_some() {}
            let socket = tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((socket, _)) => socket,
                    Err(error) => {
                        tracing::warn!(%error, "a connection was not accepted");
                        sleep(PAUSE_AFTER_REFUSAL).await;
                        continue;
                    }
                },
                () = &mut shutdown => break,
            };
            if slots.available_permits() == 0 {
                app.crowded.notify_one();
            }
            let slot = tokio::select! {
                slot = Arc::clone(&slots).acquire_owned() => slot,
                () = &mut shutdown => break,
            };
            let connection = self.clone().connection(socket);
            connections.spawn(async move {
                connection.await;
                drop(slot);
            });
        }
        drop(listener);
        app.stop();
        let all_ended = async { while connections.join_next().await.is_some() {} };
        if timeout(app.options.shutdown_timeout, all_ended).await.is_err() {
            tracing::warn!(connections = connections.len(), "closing connections that are still open");
        }
        Ok(())
    }

    async fn connection(self, socket: TcpStream) {
        // Answers are small and written whole; there is nothing to wait for.
        let _ = socket.set_nodelay(true);
        let pace = Arc::new(Pace::default());
        let socket = TimedSocket::new(socket, Arc::clone(&pace), &self.app.options);
        let Some(tls) = &self.tls else { return self.requests(socket, &pace).await };
        let greeting = tls.acceptor().accept(socket);
        let greeted = tokio::select! {
            biased;
            greeted = greeting => greeted,
            () = self.app.stopped() => return,
            () = chosen_to_go(&self.app, &pace) => return,
        };
        match greeted {
            Ok(socket) => self.requests(socket, &pace).await,
            Err(error) => tracing::debug!(%error, "a connection did not come to https"),
        }
    }

    async fn requests(&self, socket: impl AsyncRead + AsyncWrite + Unpin, pace: &Arc<Pace>) {
        let options = &self.app.options;
        let service = service_fn(|request: Request<Incoming>| {
            let turn = pace.turn();
            let answer = self.router.clone().oneshot(request.map(Body::new));
            async { answer.await.map(|answer| answer.map(|body| Answer { body, _turn: turn })) }
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(options.idle_timeout).max_buf_size(options.max_head_bytes);
        let mut connection = pin!(http.serve_connection(TokioIo::new(socket), service));
        // The connection comes first: what it has just done decides whether it is silent.
        let ended = tokio::select! {
            biased;
            ended = connection.as_mut() => ended,
            () = self.app.stopped() => {
                if pace.had_no_turn() {
                    return;
                }
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            () = chosen_to_go(&self.app, pace) => return,
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended early");
        }
    }
}

/// Ends when the server needs room and no other connection has been silent for longer. Those who wait
/// are woken in the order in which they came.
async fn chosen_to_go(app: &App, pace: &Pace) {
    let mut chosen = None;
    poll_fn(|cx| {
        if !pace.is_silent() {
            chosen = None;
            return Poll::Pending;
        }
        chosen.get_or_insert_with(|| Box::pin(app.crowded.notified())).as_mut().poll(cx)
    })
    .await
}

/// The body of an answer, whose turn lasts until it is handed over.
struct Answer {
    body: Body,
    _turn: Turn,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Instant;

    use tempfile::TempDir;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::oneshot;
    use tokio::task::JoinHandle;

    use super::super::tests::state;
    use super::*;
    use crate::code::Registry;

    /// Longer than a test takes when all is well.
    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(50);

    struct Running {
        address: SocketAddr,
        stop: oneshot::Sender<()>,
        served: JoinHandle<io::Result<()>>,
        _folder: TempDir,
    }

    /// No limit is short but those that a test makes so.
    fn patient() -> HttpOptions {
        HttpOptions {
            header_timeout: LONG,
            idle_timeout: LONG,
            body_timeout: LONG,
            write_timeout: LONG,
            shutdown_timeout: LONG,
            ..HttpOptions::default()
        }
    }

    async fn start(options: HttpOptions) -> Running {
        let folder = tempfile::tempdir().expect("a folder");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel();
        let shutdown = async { drop(stopped.await) };
        let server =
            Server::new(state(folder.path(), &Registry::default()), options).expect("no certificate is needed");
        Running { address, stop, served: tokio::spawn(server.serve(listener, shutdown)), _folder: folder }
    }

    impl Running {
        async fn send(&self, text: &str) -> TcpStream {
            let mut socket = TcpStream::connect(self.address).await.expect("connects");
            socket.write_all(text.as_bytes()).await.expect("sends");
            socket
        }
    }

    /// Everything until the server closes.
    async fn rest(mut socket: TcpStream) -> String {
        let mut bytes = Vec::new();
        match timeout(LONG / 2, socket.read_to_end(&mut bytes)).await {
            Ok(_) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(_) => panic!("the server did not close: {}", String::from_utf8_lossy(&bytes)),
        }
    }

    /// Up to the end of the head of an answer.
    async fn head(socket: &mut TcpStream) -> String {
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            let byte = timeout(LONG / 2, socket.read_u8()).await.expect("an answer");
            bytes.push(byte.expect("a head"));
        }
        String::from_utf8(bytes).expect("text")
    }

    /// A whole answer whose head says how long its body is.
    async fn answer(socket: &mut TcpStream) -> String {
        let head = head(socket).await;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.expect("a length").parse().expect("a number")];
        timeout(LONG / 2, socket.read_exact(&mut body)).await.expect("in time").expect("a body");
        head
    }

    const GET: &str = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";

    #[tokio::test]
    async fn a_silent_connection_and_a_head_that_never_ends_are_closed() {
        let server = start(HttpOptions { header_timeout: SHORT, ..patient() }).await;
        for text in ["", "GET /healthz HTTP/1.1\r\nhost: loc"] {
            assert_eq!(rest(server.send(text).await).await, "", "{text:?}");
        }
    }

    #[tokio::test]
    async fn the_second_head_of_a_connection_has_the_same_limit_and_silence_before_it_has_another() {
        let server = start(HttpOptions { header_timeout: SHORT, ..patient() }).await;
        let mut socket = server.send(GET).await;
        assert!(answer(&mut socket).await.starts_with("HTTP/1.1 200"));
        assert!(timeout(3 * SHORT, socket.read_u8()).await.is_err(), "silence between two requests was not allowed");
        socket.write_all(GET.as_bytes()).await.expect("sends");
        socket.write_all(b"GET /healthz HT").await.expect("sends");
        let answers = rest(socket).await;
        assert_eq!(answers.matches("HTTP/1.1 200").count(), 1, "{answers}");

        let server = start(HttpOptions { idle_timeout: SHORT, ..patient() }).await;
        let answers = rest(server.send(GET).await).await;
        assert_eq!(answers.matches("HTTP/1.1 200").count(), 1, "{answers}");
    }

    #[tokio::test]
    async fn a_body_that_never_ends_is_answered_and_closed() {
        let server = start(HttpOptions { body_timeout: SHORT, ..patient() }).await;
        let post = "POST /streams/a-1/events HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n[";
        let answer = rest(server.send(post).await).await;
        assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("body_timeout"), "{answer}");
    }

    #[tokio::test]
    async fn what_is_too_large_is_refused() {
        let server = start(HttpOptions { max_body_bytes: 1000, max_head_bytes: 8192, ..patient() }).await;
        let post =
            "POST /events/import HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 1001\r\n\r\n";
        assert!(rest(server.send(post).await).await.starts_with("HTTP/1.1 413"));
        let long = format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: {}", "x".repeat(9000));
        assert!(rest(server.send(&long).await).await.starts_with("HTTP/1.1 431"));
        let many = format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\n{}\r\n", "x: x\r\n".repeat(200));
        assert!(rest(server.send(&many).await).await.starts_with("HTTP/1.1 431"));
        assert!(rest(server.send("\0\0 nonsense\r\n\r\n").await).await.starts_with("HTTP/1.1 400"));
    }

    #[tokio::test]
    async fn a_peer_that_takes_no_answer_is_let_go() {
        let options = HttpOptions { write_timeout: SHORT, ..patient() };
        let server = start(options).await;
        // Asks for far more than the buffers of both sides hold and reads none of it.
        let mut socket = server.send(GET).await;
        let requests = "GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(2000);
        let started = Instant::now();
        while timeout(LONG / 2, socket.write_all(requests.as_bytes())).await.expect("ends").is_ok() {}
        assert!(started.elapsed() < LONG / 2);
    }

    #[tokio::test]
    async fn connections_over_the_cap_wait_for_those_at_work_and_take_the_place_of_a_silent_one() {
        let server = start(HttpOptions { max_connections: 1, ..patient() }).await;
        let mut first = server.send("GET /events/subscribe HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        head(&mut first).await;
        let mut second = server.send(GET).await;
        assert!(timeout(SHORT, second.read_u8()).await.is_err(), "the second was answered beside the first");
        drop(first);
        assert!(answer(&mut second).await.starts_with("HTTP/1.1 200"));
        let mut third = server.send(GET).await;
        assert!(head(&mut third).await.starts_with("HTTP/1.1 200"));
        assert_eq!(rest(second).await, "");
    }

    #[tokio::test]
    async fn shutdown_ends_silent_connections_and_subscriptions_at_once() {
        let server = start(patient()).await;
        let silent = server.send("").await;
        let mut used = server.send(GET).await;
        head(&mut used).await;
        let mut subscribed = server.send("GET /events/subscribe HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        head(&mut subscribed).await;
        server.stop.send(()).expect("still serving");
        for socket in [silent, used, subscribed] {
            rest(socket).await;
        }
        timeout(LONG / 2, server.served).await.expect("in time").expect("no panic").expect("served");
        assert!(TcpStream::connect(server.address).await.is_err());
    }

    #[tokio::test]
    async fn shutdown_does_not_wait_longer_than_its_deadline() {
        let server = start(HttpOptions { shutdown_timeout: SHORT, ..patient() }).await;
        let post =
            "POST /events/import HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 100\r\n\r\n";
        let mut stalled = server.send(post).await;
        assert!(head(&mut stalled).await.starts_with("HTTP/1.1 100"));
        server.stop.send(()).expect("still serving");
        timeout(LONG / 2, server.served).await.expect("in time").expect("no panic").expect("served");
        assert_eq!(rest(stalled).await, "");
    }
}

//! The accept loop: how many connections there are, how long each may take, and how they end.
//!
//! hyper has limits for the size of a request's head and for the time between two of them; the rest
//! of the limits that keep slow and silent peers from holding the server are here.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep, timeout};
use tower::ServiceExt;

use super::app::App;
use super::routes::router;
use super::{AppState, HttpOptions};

/// After the machine refused a connection, for example for want of file descriptors.
const PAUSE_AFTER_REFUSAL: Duration = Duration::from_millis(100);

/// Serves until `shutdown` is over, then lets open requests end within
/// [`HttpOptions::shutdown_timeout`]. Subscriptions end at once.
///
/// # Errors
/// When the listener has no address.
pub async fn serve(
    listener: TcpListener,
    state: AppState,
    options: HttpOptions,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    tracing::info!(address = %listener.local_addr()?, "listening");
    let app = App::new(state, options);
    let router = router(Arc::clone(&app));
    let slots = Arc::new(Semaphore::new(app.options.max_connections));
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        while connections.try_join_next().is_some() {}
        let slot = tokio::select! {
            slot = Arc::clone(&slots).acquire_owned() => slot,
            () = &mut shutdown => break,
        };
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
        let connection = connection(socket, router.clone(), Arc::clone(&app));
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

async fn connection(socket: TcpStream, router: Router, app: Arc<App>) {
    let options = &app.options;
    // Answers are small and written whole; there is nothing to wait for.
    let _ = socket.set_nodelay(true);
    let turns = Arc::new(AtomicUsize::new(0));
    let socket = TimedSocket {
        socket,
        turns: Arc::clone(&turns),
        header_timeout: options.header_timeout,
        write_timeout: options.write_timeout,
        head: Some((0, Box::pin(sleep(options.header_timeout)))),
        write: None,
    };
    let service = service_fn(|request: Request<Incoming>| {
        turns.fetch_add(1, Ordering::Relaxed);
        let answer = router.clone().oneshot(request.map(Body::new));
        let turns = Arc::clone(&turns);
        async move {
            let answer = answer.await;
            turns.fetch_add(1, Ordering::Relaxed);
            answer
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(options.idle_timeout).max_buf_size(options.max_head_bytes);
    let mut connection = pin!(http.serve_connection(TokioIo::new(socket), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = app.stopped() => {
            if turns.load(Ordering::Relaxed) == 0 {
                return;
            }
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// A socket whose peer has to keep up.
///
/// hyper allows the same time for the silence between two requests and for a request's head; here the
/// head gets a limit of its own, from its first byte on.
struct TimedSocket {
    socket: TcpStream,
    /// Counts the start and the end of every request's handling: even while a head is awaited.
    turns: Arc<AtomicUsize>,
    header_timeout: Duration,
    write_timeout: Duration,
    /// When the head that began in this turn has to be complete.
    head: Option<(usize, Pin<Box<Sleep>>)>,
    /// When the write that waits for the peer has to go on.
    write: Option<Pin<Box<Sleep>>>,
}

impl TimedSocket {
    fn timed_write<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(written) = write(Pin::new(&mut self.socket), cx) {
            self.write = None;
            return Poll::Ready(written);
        }
        let limit = self.write.get_or_insert_with(|| Box::pin(sleep(self.write_timeout)));
        ready!(limit.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer takes no more of the answer")))
    }
}

impl AsyncRead for TimedSocket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let turn = this.turns.load(Ordering::Relaxed);
        this.head.take_if(|(began, _)| *began != turn);
        let filled = buffer.filled().len();
        if let Poll::Ready(read) = Pin::new(&mut this.socket).poll_read(cx, buffer) {
            if turn.is_multiple_of(2) && this.head.is_none() && buffer.filled().len() > filled {
                this.head = Some((turn, Box::pin(sleep(this.header_timeout))));
            }
            return Poll::Ready(read);
        }
        let Some((_, limit)) = &mut this.head else { return Poll::Pending };
        ready!(limit.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the request's head did not arrive in time")))
    }
}

impl AsyncWrite for TimedSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.timed_write(cx, |socket, cx| socket.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.timed_write(cx, |socket, cx| socket.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
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

    struct Server {
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

    async fn start(options: HttpOptions) -> Server {
        let folder = tempfile::tempdir().expect("a folder");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel();
        let shutdown = async { drop(stopped.await) };
        let served = tokio::spawn(serve(listener, state(folder.path(), &Registry::default()), options, shutdown));
        Server { address, stop, served, _folder: folder }
    }

    impl Server {
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
    async fn connections_over_the_cap_wait_for_a_place() {
        let server = start(HttpOptions { max_connections: 1, ..patient() }).await;
        let mut first = server.send(GET).await;
        head(&mut first).await;
        let mut second = server.send(GET).await;
        assert!(timeout(SHORT, second.read_u8()).await.is_err(), "the second was answered beside the first");
        drop(first);
        assert!(head(&mut second).await.starts_with("HTTP/1.1 200"));
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

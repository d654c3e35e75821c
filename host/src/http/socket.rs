//! A socket whose peer has to keep up.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use super::HttpOptions;

/// Whether a connection waits for its peer, and for what.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Counts the start and the end of every request: even while a head is awaited.
    turns: AtomicUsize,
    /// Whether the peer takes no more of an answer at the moment.
    is_full: AtomicBool,
}

impl Pace {
    /// Starts a request, which ends when the turn is dropped.
    pub fn turn(self: &Arc<Self>) -> Turn {
        self.turns.fetch_add(1, Ordering::Relaxed);
        Turn(Arc::clone(self))
    }

    pub fn had_no_turn(&self) -> bool {
        self.turns.load(Ordering::Relaxed) == 0
    }

    /// Whether the peer has everything that it asked for.
    pub fn is_silent(&self) -> bool {
        self.turns.load(Ordering::Relaxed).is_multiple_of(2) && !self.is_full.load(Ordering::Relaxed)
    }
}

/// A request and its answer.
#[derive(Debug)]
pub(super) struct Turn(Arc<Pace>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.turns.fetch_add(1, Ordering::Relaxed);
    }
}

/// hyper allows the same time for the silence between two requests and for a request's head; here the
/// head gets a limit of its own, from its first byte on.
pub(super) struct TimedSocket {
    socket: TcpStream,
    pace: Arc<Pace>,
    header_timeout: Duration,
    write_timeout: Duration,
    /// When the head that began in this turn has to be complete.
    head: Option<(usize, Pin<Box<Sleep>>)>,
    /// When the write that waits for the peer has to go on.
    write: Option<Pin<Box<Sleep>>>,
    /// How long a peer that is still sending gets to read its answer.
    farewell: Option<Pin<Box<Sleep>>>,
}

impl TimedSocket {
    pub fn new(socket: TcpStream, pace: Arc<Pace>, options: &HttpOptions) -> Self {
        let HttpOptions { header_timeout, write_timeout, .. } = *options;
        let head = Some((0, Box::pin(sleep(header_timeout))));
        Self { socket, pace, header_timeout, write_timeout, head, write: None, farewell: None }
    }

    fn timed_write<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(written) = write(Pin::new(&mut self.socket), cx) {
            self.write = None;
            self.pace.is_full.store(false, Ordering::Relaxed);
            return Poll::Ready(written);
        }
        self.pace.is_full.store(true, Ordering::Relaxed);
        let limit = self.write.get_or_insert_with(|| Box::pin(sleep(self.write_timeout)));
        ready!(limit.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer takes no more of the answer")))
    }
}

impl AsyncRead for TimedSocket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let turn = this.pace.turns.load(Ordering::Relaxed);
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

    /// A peer whose body was refused goes on sending it. To close on it would take the answer away
    /// again before it is read: what still comes is read and thrown away.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(Pin::new(&mut this.socket).poll_shutdown(cx))?;
        let mut scratch = [0; 16 << 10];
        loop {
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut this.socket).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    this.farewell.get_or_insert_with(|| Box::pin(sleep(this.header_timeout)));
                }
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => {
                    let Some(farewell) = &mut this.farewell else { return Poll::Ready(Ok(())) };
                    return farewell.as_mut().poll(cx).map(Ok);
                }
            }
        }
    }
}

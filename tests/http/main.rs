//! The HTTP API against clients that are strange, hostile, slow or many, and who is let in: over real sockets, with a
//! real daemon and the command line.

mod crowds;
mod limits;
mod malformed;
mod slow;
mod sockets;
mod tls;
mod tokens;

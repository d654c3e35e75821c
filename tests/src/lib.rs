//! What the tests and the demo share: a real daemon in a folder of its own, a client for its API, the command line, the
//! plugins, and ways to wait. It looks at Lantern from outside: nothing in this library uses the library `lantern`.
//!
//! | Folder | Asks |
//! |---|---|
//! | `architecture/` | does the source keep the rules of `host/ARCHITECTURE.md`? |
//! | `e2e/` | do the promises of the README hold, through HTTP and the command line? |
//! | `interleavings/` | does every order of up to four commands at once, resolved by a plugin, equal a serial one? |
//! | `chaos/` | does a daemon that is killed at any moment lose, double or mix anything? |
//! | `hostile/` | is every hostile plugin stopped, with a reason, while the others go on? |
//! | `fuzz/` | what breaks a promise about bytes of others? A package of its own, for `cargo fuzz` |
//! | `http/` | does the API stand clients that are strange, hostile, slow or many, and let in only those it should? |
//! | `conformance/` | do plugins in all languages give the rows of one plain fold? |
//! | `flights/` | does a million real events give the figures that another program computes? |
//! | `plugins/` | the plugins that `e2e/` drops in |
//! | `bench/` | how fast is a replay, against native code and other projects? A package of its own |
//! | `demo/` | `cargo demo`, for people |

mod api;
mod binary;
mod cli;
mod host;
mod plugins;
mod rows;
mod seeded;
mod wait;

pub use api::{Answer, Api};
pub use binary::{lantern, workspace};
pub use cli::{Cli, Output};
pub use host::TestHost;
pub use plugins::{build_plugins, plugin};
pub use rows::{Rows, is_dense, log_after, log_of, rows_of};
pub use seeded::Seeded;
pub use wait::{eventually, eventually_ok};

//! The parts of the benchmark: a history of orders, the programs that replay it, and how they are measured and compared.
//!
//! | File | What |
//! |---|---|
//! | `workload.rs`, `history.rs` | the events, and the log that holds them |
//! | `native.rs`, `pipelined.rs` | programs that a user might write instead of using Lantern |
//! | `replay.rs` | Lantern, through its own supervisor |
//! | `naive.rs` | the plugin host that one writes first |
//! | `scans.rs` | many projections over one log, and a narrow one |
//! | `sealed.rs` | a sealed log against one of rows |
//! | `daemon.rs` | memory of a daemon, live latency, hot reload |
//! | `export.rs` | the same events for other projects, see `peers/` |
//! | `rows.rs` | whether two programs came to the same rows |
//! | `measure.rs`, `report.rs`, `compare.rs` | time, rounds, ratios and tables |

pub mod compare;
pub mod daemon;
pub mod export;
pub mod history;
pub mod measure;
pub mod naive;
pub mod native;
pub mod pipelined;
pub mod replay;
pub mod report;
pub mod rows;
pub mod scans;
pub mod sealed;
pub mod workload;

//! A daemon that is killed at any moment, over and over on the same folder, while clients append, plugins are exchanged and
//! replays run: after each death an oracle looks at everything it has. And what else clients meet: answers that are lost,
//! and others who write to the same stream.

mod clients;
mod contention;
mod editions;
mod fold;
mod kills;
mod lost_answers;
mod oracle;
mod plan;

/// The projection that every edition provides.
const PROJECTION: &str = "accounts";
/// The file that every edition is dropped in as.
const FILE: &str = "accounts.wasm";

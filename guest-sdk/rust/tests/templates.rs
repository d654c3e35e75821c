//! Runs the tests of the templates here, where everything that they need is compiled already.

#[path = "../template-aggregate/src/lib.rs"]
mod aggregate;
#[path = "../template-conflict-resolver/src/lib.rs"]
mod conflict_resolver;
#[path = "../template/src/lib.rs"]
mod projection;
#[path = "../template-upcaster/src/lib.rs"]
mod upcaster;

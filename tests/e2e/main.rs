//! The promises of the README, asked of a real daemon through its HTTP API and the command line.
//!
//! | Promise | Where it is asked |
//! |---|---|
//! | 1. an acknowledged append is on disk; positions and versions are dense | `append_and_read`, `crash`, `storage` |
//! | 2. a read model equals a fold of the log; a replay gives the same rows | `projections`, `upcasters`, `crash`, `storage`, `../flights` |
//! | 3. rows, checkpoint and dead letters commit together | `crash`, `failures` |
//! | 4. a replay never interrupts queries | `hot_reload` |
//! | 5. a plugin can stop only its own projection | `failures`, `hostile_plugins` |
//! | 6. a file that is torn, hostile or wrong never replaces a plugin that works | `hostile_plugins` |
//! | 7. every error names plugin, position, stream and what to do | `append_and_read`, `failures`, `commands` |

mod accounts;
mod aggregate_faults;
mod aggregates;
mod append_and_read;
mod author;
mod bench;
mod cloud_events;
mod commands;
mod conflict_faults;
mod conflicts;
mod crash;
mod failures;
mod hostile_plugins;
mod hot_reload;
mod operations;
mod projections;
mod storage;
mod subscribe;
mod templates;
mod upcasters;

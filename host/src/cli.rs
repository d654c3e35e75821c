//! The command grammar: noun, then verb. Each noun has its file; `serve`, `dev`, `bench` and what an author does with a plugin
//! work here, all others ask a daemon over its HTTP API, so that there is one way to do each thing.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use client::{Client, Failure};
use output::Format;

mod aggregate;
mod backup;
mod bench;
mod client;
mod conflict;
mod dead_letter;
mod dev;
mod events;
mod import;
mod interrupt;
mod output;
mod plugin;
mod progress;
mod projection;
mod query;
mod records;
mod replay;
mod rows;
mod serve;
mod tail;
mod token;
mod trial;
mod verify;

/// Streams stored events to WebAssembly projections and serves their read models.
#[derive(Parser)]
#[command(name = "lantern", version, propagate_version = true, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    everywhere: Everywhere,
    #[command(subcommand)]
    command: Command,
}

#[derive(Args)]
#[command(next_help_heading = "Global options")]
struct Everywhere {
    /// Address of the daemon
    #[arg(long, global = true, env = "LANTERN_SERVER", default_value = "http://127.0.0.1:7171", value_name = "URL")]
    server: String,
    /// Token that the daemon asks for; the variable keeps it out of the list of processes
    #[arg(long, global = true, env = "LANTERN_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<String>,
    /// PEM file with the certificates to trust for https, in place of those that browsers trust
    #[arg(long, global = true, env = "LANTERN_CA", value_name = "FILE")]
    ca_certificate: Option<PathBuf>,
    /// Print JSON instead of text for people
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Run the daemon
    Serve(serve::Serve),
    /// Append, import, read and follow events
    #[command(subcommand)]
    Events(events::Events),
    /// See and control projections
    #[command(subcommand, visible_alias = "projections")]
    Projection(projection::Projection),
    /// Read a table of a projection's read model
    Query(query::Query),
    /// See, retry and discard events that a projection could not apply
    #[command(subcommand, visible_alias = "dead-letters")]
    DeadLetter(dead_letter::DeadLetter),
    /// See states, and send commands
    #[command(subcommand, visible_alias = "aggregates")]
    Aggregate(aggregate::Aggregate),
    /// See conflicts of writers and what was decided; try another resolver on them
    #[command(subcommand, visible_alias = "conflicts")]
    Conflict(conflict::Conflict),
    /// See the daemon's plugins; write, build, test and check your own
    #[command(subcommand, visible_alias = "plugins")]
    Plugin(plugin::Plugin),
    /// Make, list and revoke the tokens that the daemon lets people in with
    #[command(subcommand, visible_alias = "tokens")]
    Token(token::Token),
    /// Measure a replay of the log through a plugin, without changing anything
    ///
    /// The daemon may be running. Rows go to the folder for temporary files (TMPDIR) and are deleted.
    Bench(bench::Bench),
    /// Verify the whole log, or a read model against a replay, without changing anything
    ///
    /// The daemon may be running. Ends with 1 when something is damaged.
    Verify(verify::Verify),
    /// Copy the log into a new file, and verify the copy; the daemon may be running
    ///
    /// Read models are not copied: they are filled again from the log. Plugins are files that you have.
    Backup(backup::Backup),
    /// Put a backup in the place of the log, while no daemon runs
    Restore(backup::Restore),
    /// Work on a plugin: build it on every save and see what changes in the rows
    Dev(dev::Dev),
    /// Compile a plugin from standard input: the daemon runs this in a child process
    #[command(hide = true)]
    CompilePlugin,
}

/// What every command that asks a daemon gets.
pub(crate) struct Context {
    client: Client,
    format: Format,
}

/// Runs the command of the process's arguments.
///
/// The exit code is 0 when it worked, 1 when it failed, 2 when the arguments were wrong and 130 after Ctrl-C.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let format = if cli.everywhere.json { Format::Json } else { Format::Person };
    run(cli, format).unwrap_or_else(|error| report(&error))
}

fn run(cli: Cli, format: Format) -> anyhow::Result<ExitCode> {
    let Everywhere { server, token, ca_certificate, .. } = cli.everywhere;
    let context = Context { client: Client::new(&server, token, ca_certificate.as_deref())?, format };
    match cli.command {
        Command::Serve(serve) => serve.run(format),
        Command::Events(events) => events.run(&context),
        Command::Projection(projection) => projection.run(&context),
        Command::Query(query) => query.run(&context),
        Command::DeadLetter(dead_letter) => dead_letter.run(&context),
        Command::Aggregate(aggregate) => aggregate.run(&context),
        Command::Conflict(conflict) => conflict.run(&context),
        Command::Plugin(plugin) => plugin.run(&context),
        Command::Token(token) => token.run(format),
        Command::Bench(bench) => bench.run(format),
        Command::Verify(verify) => verify.run(format),
        Command::Backup(backup) => backup.run(format),
        Command::Restore(restore) => restore.run(format),
        Command::Dev(dev) => dev.run(format),
        Command::CompilePlugin => Ok(crate::plugin::compile_main()),
    }
}

/// Tells a person what went wrong and what to do.
fn report(error: &anyhow::Error) -> ExitCode {
    if error.chain().any(is_closed_pipe) {
        return ExitCode::SUCCESS;
    }
    tell(error);
    ExitCode::FAILURE
}

fn tell(error: &anyhow::Error) {
    eprintln!("error: {error:#}");
    if let Some(hint) = error.chain().find_map(|cause| cause.downcast_ref::<Failure>()?.hint.as_deref()) {
        eprintln!("hint: {hint}");
    }
}

/// Whoever read the output has seen enough of it.
fn is_closed_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_grammar_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_of_the_manual_parses() {
        for line in [
            "serve --listen 127.0.0.1:0 --data-dir d --plugins-dir p",
            "serve --print-config",
            "events append order-1 --type Placed --data {} --expected no-stream",
            "events import flights.jsonl",
            "events import - --json",
            "events read order-1 --from 3 --limit 5 --backwards",
            "events read --after 10 --category order --type Placed --type Paid",
            "events tail --after 0 --category order",
            "projection list --json",
            "projection show orders --server http://elsewhere:1",
            "projection replay orders --watch",
            "projection cancel-replay orders",
            "projection pause orders",
            "projections resume orders",
            "query orders totals --where total=gte.100 --where customer=eq.7 --order total.desc --limit 3 --at-least 9",
            "dead-letter list",
            "dead-letter retry orders --stream order-1",
            "dead-letter discard orders 17",
            "aggregate list",
            "aggregate show conference rust-2026 --version 3",
            "aggregate show conference rust-2026 --time 2026-01-31T12:00:00Z",
            "aggregate command conference rust-2026 --type OpenConference --data {} --metadata {}",
            "aggregate command order 1 --type Pay --id 01977e5e-8f2e-7000-8000-000000000001",
            "aggregates delete-snapshots",
            "conflict list --stream seats-1 --resolution reject --limit 5",
            "conflicts list --category seats --before 0190163d-8694-739b-aea5-966c26f8ad90",
            "conflict show 0190163d-8694-739b-aea5-966c26f8ad90",
            "conflict rehearse some.wasm --data-dir d --fail-on-difference --json",
            "plugin list",
            "plugin check some.wasm",
            "bench some.wasm --data-dir d --events 1000 --json",
            "verify",
            "verify --data-dir d --json",
            "verify projection orders --data-dir d",
            "backup copy.db --data-dir d",
            "restore copy.db --data-dir d --force",
            "plugin new seat-board --lang rust --dir somewhere",
            "plugin build",
            "plugin build some/folder",
            "plugin test some.wasm --given events.jsonl --expect rows.json",
            "plugin test some/folder --write",
            "dev",
            "dev some/folder --given events.jsonl",
            "dev some/folder --data-dir lantern-data --events 1000",
            "token create order-service --scope append",
            "token create reports --scope read,append --data-dir d",
            "tokens list --json",
            "token revoke reports",
            "projection list --server https://elsewhere --token lantern_0 --ca-certificate ca.pem",
            "compile-plugin",
        ] {
            let words = std::iter::once("lantern").chain(line.split(' '));
            if let Err(error) = Cli::try_parse_from(words) {
                panic!("lantern {line}: {error}");
            }
        }
    }

    #[test]
    fn options_that_do_not_go_together_are_refused() {
        for line in [
            "events read order-1 --after 3",
            "events read order-1 --category order",
            "events read --from 3",
            "events read --backwards",
            "events append order-1 --data {}",
            "events append order-1 --type Placed --data {} --expected newest",
            "query orders totals --where total",
            "dev some/folder --events 1000",
            "dev some/folder --given events.jsonl --data-dir lantern-data",
            "dead-letter discard orders",
            "token create order-service",
            "token create order-service --scope write",
        ] {
            let words = std::iter::once("lantern").chain(line.split(' '));
            assert!(Cli::try_parse_from(words).is_err(), "lantern {line} was taken");
        }
    }
}

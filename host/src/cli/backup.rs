//! `lantern backup` copies the log while it is written to; `lantern restore` puts a copy in its place.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;

use super::client::Failure;
use super::interrupt::INTERRUPTED;
use super::output::{self, Format, grouped, size};
use super::verify::{Place, Watched};
use crate::daemon;
use crate::event::Position;
use crate::event_store::{copy_log, set_log_aside};

#[derive(Args)]
pub struct Backup {
    /// The file to make
    file: PathBuf,
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
pub struct Restore {
    /// A file that `lantern backup` made
    file: PathBuf,
    #[command(flatten)]
    place: Place,
    /// Put it in the place of the log that is there, which is kept as events.db.replaced
    #[arg(long)]
    force: bool,
}

impl Backup {
    pub fn run(&self, format: Format) -> anyhow::Result<ExitCode> {
        let log = self.place.log()?;
        if self.file.exists() {
            let message = format!("{} is there already", self.file.display());
            return Err(Failure::new(message, "name a new file; a backup is never overwritten").into());
        }
        let mut watched = Watched::start()?;
        let copied = copy_log(&log, &self.file, |verifying| watched.show_verifying(verifying, Position(0)))?;
        drop(watched);
        let Some(events) = copied else { return Ok(ExitCode::from(INTERRUPTED)) };
        let bytes = std::fs::metadata(&self.file)?.len();
        let summary = format!("{}: {} events, {}, verified", self.file.display(), grouped(events.0), size(bytes));
        match format {
            Format::Json => output::print(json!({ "events": events.0, "bytes": bytes }))?,
            Format::Person => output::print(summary)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Restore {
    pub fn run(&self, format: Format) -> anyhow::Result<ExitCode> {
        let folder = self.place.options()?.data_dir;
        let log = folder.join("events.db");
        if !self.file.is_file() {
            let message = format!("there is no file {}", self.file.display());
            return Err(Failure::new(message, "name a file that `lantern backup` made").into());
        }
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let Some(_lock) = daemon::try_lock(&folder)? else {
            let message = format!("a daemon serves {}", folder.display());
            return Err(Failure::new(message, "stop it first, or restore into another folder with --data-dir").into());
        };
        if log.exists() && !self.force {
            let message = format!("there is an event log in {}", folder.display());
            let hint = "give --force to put the backup in its place; the log is kept as events.db.replaced";
            return Err(Failure::new(message, hint).into());
        }
        let mut watched = Watched::start()?;
        let restored = folder.join("events.db.restored");
        if restored.exists() {
            // From a time when this was cut short.
            std::fs::remove_file(&restored)?;
        }
        let copied = copy_log(&self.file, &restored, |verifying| watched.show_verifying(verifying, Position(0)))?;
        drop(watched);
        let Some(events) = copied else { return Ok(ExitCode::from(INTERRUPTED)) };
        let replaced = if log.exists() { Some(set_log_aside(&log)?) } else { None };
        std::fs::rename(&restored, &log).with_context(|| format!("cannot make {}", log.display()))?;
        // They may be ahead of this log, or have grown from events that it does not have.
        match std::fs::remove_dir_all(folder.join("read-models")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let kept = replaced.as_ref().map(|path| format!("; what was there is {}", path.display())).unwrap_or_default();
        let summary = format!(
            "{} has {} events, verified{kept}; `lantern serve` fills the read models again",
            log.display(),
            grouped(events.0)
        );
        match format {
            Format::Json => output::print(json!({ "events": events.0, "replaced": replaced }))?,
            Format::Person => output::print(summary)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

//! Copies of the log: made of one that is written to, and put in the place of one that is lost.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};

use super::{EventStore, EventStoreError, EventStoreOptions, Verifying};
use crate::event::Position;
use crate::sqlite;

/// Copies a log into a new file, as of one moment, and verifies the copy. It has its name when it is whole and on
/// disk. A daemon may be writing to the log, and is not held up. Answers the last position of the copy; none when
/// `go_on` answered no, and then there is no copy. Blocks.
///
/// # Errors
/// When there is a file of this name, when the log cannot be read or the copy not be written, and as
/// [`EventStore::verify`].
pub fn copy_log(
    log: &Path,
    copy: &Path,
    go_on: impl FnMut(Verifying) -> bool,
) -> Result<Option<Position>, EventStoreError> {
    let partial = with_ending(copy, ".partial");
    let failed = |source| EventStoreError::Copy { copy: copy.to_owned(), source };
    if copy.exists() {
        return Err(failed(std::io::ErrorKind::AlreadyExists.into()));
    }
    remove(&partial).map_err(failed)?;
    let copied = copy_and_verify(log, &partial, go_on);
    if !matches!(copied, Ok(Some(_))) {
        remove(&partial).map_err(failed)?;
        return copied;
    }
    let put_in_place = || {
        File::open(&partial)?.sync_all()?;
        std::fs::rename(&partial, copy)?;
        sync_folder(copy)
    };
    put_in_place().map_err(failed)?;
    copied
}

fn copy_and_verify(
    log: &Path,
    partial: &Path,
    go_on: impl FnMut(Verifying) -> bool,
) -> Result<Option<Position>, EventStoreError> {
    let failed = |source| EventStoreError::Sqlite { doing: "copy", path: log.to_owned(), source };
    sqlite::copy(log, partial).map_err(failed)?;
    // Also brings the copy of an older log up to date.
    let options = EventStoreOptions { seal: false, ..EventStoreOptions::default() };
    let store = EventStore::open(partial, options)?;
    let verified = store.verify(go_on);
    store.close();
    verified
}

/// Gives a log another name, so that there is none any more: `events.db` becomes `events.db.replaced`, in the place of
/// one that was replaced before. No daemon may have it open. Answers the new name.
///
/// # Errors
/// When the file cannot be renamed.
pub fn set_log_aside(log: &Path) -> std::io::Result<PathBuf> {
    let aside = with_ending(log, ".replaced");
    remove(&aside)?;
    let wal = with_ending(log, "-wal");
    if wal.exists() {
        std::fs::rename(wal, with_ending(&aside, "-wal"))?;
    }
    remove(&with_ending(log, "-shm"))?;
    std::fs::rename(log, &aside)?;
    sync_folder(log)?;
    Ok(aside)
}

/// Deletes a log and SQLite's companions, as far as they are there.
fn remove(path: &Path) -> std::io::Result<()> {
    for ending in ["", "-wal", "-shm", "-journal"] {
        match std::fs::remove_file(with_ending(path, ending)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn sync_folder(file: &Path) -> std::io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use super::super::fixture::{Fixture, request};
    use super::*;
    use rusqlite::Connection;

    #[test]
    fn a_copy_has_every_event_and_is_a_log_of_its_own() {
        let fixture = Fixture::in_segments_of(4);
        fixture.store.append(request("order-1", 1..=10)).unwrap();
        assert_eq!(fixture.seal(), 8);
        let copy = fixture.path().with_file_name("copy.db");
        assert_eq!(copy_log(&fixture.path(), &copy, |_| true).unwrap(), Some(Position(10)));
        fixture.store.append(request("order-1", 11..=12)).unwrap();
        let store = EventStore::open(&copy, EventStoreOptions::default()).unwrap();
        assert_eq!((store.head(), store.log_id()), (Position(10), fixture.store.log_id()));
        assert_eq!(store.append(request("order-1", [20])).unwrap().last_position, Position(11));
    }

    #[test]
    fn a_copy_of_a_damaged_log_is_refused_and_nothing_is_left_of_it() {
        let fixture = Fixture::new();
        fixture.store.append(request("order-1", 1..=10)).unwrap();
        let fixture = fixture.reopened_after(|connection| {
            connection.execute("UPDATE events SET data = '{}' WHERE position = 7", []).unwrap();
        });
        let copy = fixture.path().with_file_name("copy.db");
        let error = copy_log(&fixture.path(), &copy, |_| true).unwrap_err();
        assert!(matches!(error, EventStoreError::Corrupt { position: Position(7), .. }), "{error}");
        let names = std::fs::read_dir(fixture.path().parent().unwrap()).unwrap();
        let left = names.filter(|name| name.as_ref().unwrap().file_name().to_string_lossy().starts_with("copy"));
        assert_eq!(left.count(), 0);
    }

    #[test]
    fn a_copy_never_takes_the_place_of_another_file() {
        let fixture = Fixture::new();
        let copy = fixture.path().with_file_name("copy.db");
        std::fs::write(&copy, "precious").unwrap();
        let error = copy_log(&fixture.path(), &copy, |_| true).unwrap_err().to_string();
        assert!(error.contains("copy.db"), "{error}");
        assert_eq!(std::fs::read(&copy).unwrap(), b"precious");
    }

    #[test]
    fn a_log_that_is_set_aside_can_still_be_opened_with_what_was_in_its_write_ahead_log() {
        let fixture = Fixture::new();
        fixture.store.append(request("order-1", 1..=3)).unwrap();
        // As after a kill: what is committed is in the write-ahead log.
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("events.db");
        for ending in ["", "-wal"] {
            std::fs::copy(with_ending(&fixture.path(), ending), with_ending(&log, ending)).unwrap();
        }
        let aside = set_log_aside(&log).unwrap();
        let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|name| name.unwrap().file_name()).collect();
        assert!(names.iter().all(|name| name.to_string_lossy().starts_with("events.db.replaced")), "{names:?}");
        let events = Connection::open(aside).unwrap().query_row("SELECT count(*) FROM events", [], |row| row.get(0));
        assert_eq!(events, Ok(3));
    }
}

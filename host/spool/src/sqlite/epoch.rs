//! Tells a database that is older than its state directory. A small file beside it counts what the database counts too:
//! starts, and the greatest number of a message that was known when the last deletion at a server was begun. A database
//! that knows less is a copy of an earlier time, put back.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension as _, params};

use super::fault::Outcome;
use super::rows::{signed, unsigned};
use crate::disk::{Disk, File, Kind, open_regular};
use crate::{Error, Result};

/// Name of the note in the database.
const NOTE: &str = "spool/epoch";

/// What both count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    /// Starts.
    pub(super) epoch: u64,
    /// The greatest number given to a message.
    pub(super) messages: u64,
}

/// How old the database is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    /// As it was left.
    Current,
    /// A copy of an earlier time.
    Older { file: Count, database: Count },
    /// The file is missing or cannot be read.
    Unknown,
}

/// Where the file is.
pub(super) fn path(state: &Path) -> PathBuf {
    state.join("epoch")
}

/// What the file counts; `None` when there is none or it cannot be read.
pub(super) fn of_file(state: &Path) -> Option<Count> {
    let mut text = String::new();
    open_regular(&path(state), false).ok()?.take(100).read_to_string(&mut text).ok()?;
    let (told, crc) = text.trim_end().rsplit_once(' ')?;
    if u32::from_str_radix(crc, 16).ok()? != crc32c::crc32c(told.as_bytes()) {
        return None;
    }
    let (epoch, messages) = told.split_once(' ')?;
    Some(Count { epoch: epoch.parse().ok()?, messages: messages.parse().ok()? })
}

/// What the database counts.
pub(super) fn of_database(sql: &Connection) -> Outcome<Count> {
    let note: Option<String> =
        sql.query_row("SELECT text FROM notes WHERE scope = ?1", [NOTE], |row| row.get(0)).optional()?;
    let number = "SELECT seq FROM sqlite_sequence WHERE name = 'messages'";
    let messages: Option<i64> = sql.query_row(number, [], |row| row.get(0)).optional()?;
    let epoch = note.and_then(|text| text.parse().ok()).unwrap_or(0);
    Ok(Count { epoch, messages: unsigned(messages.unwrap_or(0)) })
}

/// How old the database is.
pub(super) fn age(state: &Path, sql: &Connection) -> Outcome<Age> {
    let database = of_database(sql)?;
    Ok(match of_file(state) {
        Some(file) if file.epoch > database.epoch || file.messages > database.messages => {
            Age::Older { file, database }
        }
        Some(_) => Age::Current,
        // What an earlier version left has neither.
        None if database.epoch == 0 && !path(state).exists() => Age::Current,
        None => Age::Unknown,
    })
}

/// The file, held open by the writer.
pub(super) struct Epoch {
    file: File,
    count: Count,
}

impl Epoch {
    /// Another start: counted in the database first, then in the file.
    pub(super) fn begin(state: &Path, sql: &Connection, disk: &Disk) -> Outcome<Self> {
        let before = of_database(sql)?;
        let epoch = of_file(state).map_or(before.epoch, |file| file.epoch.max(before.epoch)) + 1;
        let mut set = sql.prepare(
            "INSERT INTO notes (scope, text, at) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET text = excluded.text",
        )?;
        set.execute(params![NOTE, epoch.to_string(), signed(0)])?;
        let count = Count { epoch, messages: before.messages };
        let begun = open(state, disk).and_then(|file| {
            let begun = Self { file, count };
            begun.write()?;
            disk.sync_directory(state)?;
            Ok(begun)
        });
        Ok(begun.map_err(|source| Error::storage(state, "count its starts", source))?)
    }

    /// Records how far the database is. What is deleted at a server after this is missed should the database be put back.
    pub(super) fn record(&mut self, sql: &Connection) -> Result<()> {
        let failed = |source| Error::Io { doing: "record how far it is", source };
        let now = of_database(sql).map_err(|_| failed(io::Error::other("the database does not say")))?;
        if now.messages > self.count.messages {
            self.count.messages = now.messages;
            self.write().map_err(failed)?;
        }
        Ok(())
    }

    fn write(&self) -> io::Result<()> {
        // Always as long, so that it is written over in one sector.
        let told = format!("{:020} {:020}", self.count.epoch, self.count.messages);
        let line = format!("{told} {:08x}\n", crc32c::crc32c(told.as_bytes()));
        self.file.write_all_at(line.as_bytes(), 0)?;
        self.file.sync_data()
    }
}

/// Makes a database that was just made count on from there.
pub(super) fn count_on(sql: &Connection, from: Count) -> Outcome<()> {
    let mut set = sql.prepare("INSERT OR REPLACE INTO notes (scope, text, at) VALUES (?1, ?2, ?3)")?;
    set.execute(params![NOTE, from.epoch.to_string(), signed(0)])?;
    if of_database(sql)?.messages < from.messages {
        sql.execute("DELETE FROM sqlite_sequence WHERE name = 'messages'", [])?;
        let mut set = sql.prepare("INSERT INTO sqlite_sequence (name, seq) VALUES ('messages', ?1)")?;
        set.execute([signed(from.messages)])?;
    }
    Ok(())
}

/// Writes the file for a state that is a copy.
pub(super) fn write(state: &Path, count: Count) -> io::Result<()> {
    Epoch { file: open(state, &Disk::default())?, count }.write()
}

fn open(state: &Path, disk: &Disk) -> io::Result<File> {
    let path = path(state);
    match disk.open(Kind::Epoch, &path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => disk.create(Kind::Epoch, &path),
        opened => opened,
    }
}

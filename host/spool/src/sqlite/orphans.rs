//! Mail in segments that the database does not know, because an older copy of it was put back. Such records are neither
//! cut off nor deleted: they are kept aside until a repair brings them in. After an ordinary crash there are none to
//! keep: what was not committed then is still on the server.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use postroom_mail::MessageId;
use rusqlite::{Connection, params};

use super::epoch::{self, Age};
use super::fault::Outcome;
use super::rows::{self, signed};
use super::scan::{self, Piece};
use super::segments;
use crate::body::each_chunk;
use crate::disk::open_regular;
use crate::health::RESTORED;
use crate::{Error, Result};

/// What marks a directory that `backup` made; a state that holds it was restored from it.
pub(super) const MARKER: &str = "backup";
/// What the marker is called once that was noticed.
const NOTICED: &str = "restored-backup";

/// What an older copy cannot know.
const AGAIN: &str =
    "what waits for delivery may have been delivered since: by SMTP it may be sent again, once at most";

/// Where they are.
pub(super) fn directory(state: &Path) -> PathBuf {
    state.join("orphans")
}

/// Whether there are any.
pub(super) fn any(state: &Path) -> bool {
    files(state).is_ok_and(|files| !files.is_empty())
}

/// The files they are in, sorted.
pub(super) fn files(state: &Path) -> Result<Vec<PathBuf>> {
    let failed = |source| Error::Io { doing: "look through what was kept aside", source };
    let mut files = Vec::new();
    match fs::read_dir(directory(state)) {
        Ok(entries) => {
            for entry in entries {
                let path = entry.map_err(failed)?.path();
                if path.extension().is_some_and(|extension| extension == "seg") {
                    files.push(path);
                }
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    files.sort();
    Ok(files)
}

/// Where to keep what the database does not know: only when it is, or may be, older than the segments. Says so.
pub(super) fn wanted(state: &Path, sql: &Connection) -> Outcome<Option<PathBuf>> {
    let told = match epoch::age(state, sql)? {
        Age::Older { file, database } => Some(format!(
            "an older copy of the database was put back: it knows {} starts and {} messages, this state has seen {} and at \
             least {}; mail that was deleted at the servers in between is not known any more",
            database.epoch, database.messages, file.epoch, file.messages
        )),
        Age::Unknown => {
            tracing::warn!(
                "the file `epoch` is missing from the state or unreadable: mail the database does not know is kept"
            );
            return Ok(Some(directory(state)));
        }
        Age::Current => None,
    };
    let restored = fs::read_to_string(state.join(MARKER)).ok();
    let restored = restored.map(|text| format!("this state was restored from a backup: {}", text.trim()));
    let text = told.or(restored).map(|text| format!("{text}; {AGAIN}"));
    if let Some(text) = &text {
        tracing::warn!("{text}; `postroom doctor` says more");
        // What waits in it may have been delivered since: each counts as one attempt of which nobody knows.
        sql.execute("UPDATE effects SET sending = attempts WHERE state = 'pending' AND sending IS NULL", [])?;
        let mut note = sql.prepare(
            "INSERT INTO notes (scope, text, at) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET text = excluded.text",
        )?;
        note.execute(params![RESTORED, text, signed(0)])?;
    }
    Ok(text.map(|_| directory(state)))
}

/// What a restored backup did not know is kept by now: the next start is an ordinary one.
pub(super) fn noticed(state: &Path) -> Result<()> {
    match fs::rename(state.join(MARKER), state.join(NOTICED)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::storage(state, "take note of a restored backup", error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Keeps a segment as it is, when there is mail in it that is not known: beyond what is committed of it, or before, should
/// the database know another file by its number.
pub(super) fn keep(sql: &Connection, path: &Path, directory: &Path) -> Outcome<()> {
    let failed = |source| Error::storage(directory, "keep mail the database does not know", source);
    let file = open_regular(path, false).map_err(failed)?;
    let len = file.metadata().map_err(failed)?.len();
    let mut found = HashSet::new();
    let collect = &mut |piece| {
        if let Piece::Whole(whole) = piece {
            found.insert(whole.message);
        }
        Ok(())
    };
    scan::scan(&file, 0, len, collect).map_err(failed)?;
    let mut unknown = 0;
    for message in found {
        unknown += u64::from(!known(sql, path, message)?);
    }
    if unknown > 0 {
        let kept = copy(&file, path, len, directory).map_err(failed)?;
        tracing::warn!(path = %kept.display(), messages = unknown, "kept mail the database does not know");
    }
    Ok(())
}

/// Whether a message is known, and its body can be read where the database says, or is freed.
fn known(sql: &Connection, beside: &Path, message: MessageId) -> Outcome<bool> {
    Ok(match rows::place(sql, message)? {
        None => false,
        Some(None) => true,
        Some(Some((place, size))) => {
            beside.parent().is_some_and(|directory| segments::read(directory, message, place, size).is_ok())
        }
    })
}

fn copy(file: &File, from: &Path, len: u64, directory: &Path) -> io::Result<PathBuf> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let stem = from.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut number = 0;
    let (path, mut target) = loop {
        let path = directory.join(format!("{stem}-{number}.seg"));
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => break (path, file),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(error),
        }
    };
    each_chunk(file, 0, len, |octets| io::Write::write_all(&mut target, octets))?;
    target.sync_all()?;
    File::open(directory)?.sync_all()?;
    if let Some(state) = directory.parent() {
        File::open(state)?.sync_all()?;
    }
    Ok(path)
}

//! The connections that answer questions. Each answer is of one moment; nothing is changed through them.

use std::path::Path;
use std::sync::{Arc, Mutex};

use postroom_mail::{MessageId, Timestamp};
use rusqlite::Connection;

use super::fault::{Fault, Outcome};
use super::health::{self, Check};
use super::segments::Place;
use super::{locked, rows, schema, segment_directory, segments};
use crate::disk::Disk;
use crate::{Body, Error, Result};

/// Idle ones that are kept.
const READERS: usize = 4;

/// Read connections, opened when needed, and kept.
#[derive(Clone)]
pub(super) struct Readers {
    pub(super) state: Arc<Path>,
    pub(super) disk: Disk,
    idle: Arc<Mutex<Vec<Connection>>>,
    open: fn(&Path, &Disk) -> Outcome<Connection>,
}

/// Bodies that were read.
#[derive(Default)]
pub(super) struct Checked {
    pub(super) sound: Vec<Check>,
    /// With what is wrong.
    pub(super) damaged: Vec<(MessageId, String)>,
    pub(super) octets: u64,
}

impl Readers {
    pub(super) fn new(state: &Path, disk: Disk) -> Self {
        Self { state: state.into(), disk, idle: Arc::default(), open: schema::open_reader }
    }

    /// Connections that leave the files as they are, also the log, when they end.
    pub(super) fn untouched(state: &Path) -> Self {
        Self { open: schema::open_untouched, ..Self::new(state, Disk::default()) }
    }

    /// Asks within one read transaction, so that all of an answer is of one moment.
    pub(super) fn with<T>(&self, question: impl FnOnce(&Connection) -> Outcome<T>) -> Result<T> {
        let idle = locked(&self.idle).pop();
        let asked = match idle {
            Some(connection) => Ok(connection),
            None => (self.open)(&self.state, &self.disk),
        };
        let answer = asked.and_then(|mut connection| {
            let transaction = connection.transaction()?;
            let answer = question(&transaction)?;
            transaction.finish()?;
            let mut idle = locked(&self.idle);
            if idle.len() < READERS {
                idle.push(connection);
            }
            Ok(answer)
        });
        answer.map_err(|fault: Fault| fault.into_error(&self.state))
    }

    /// Reads bodies of which none was read for a while, up to about `limit` octets, at least one.
    pub(super) fn check(&self, limit: u64, now: Timestamp) -> Result<Checked> {
        let mut checked = Checked::default();
        for check in self.with(|sql| health::due(sql, now))? {
            if checked.octets > 0 && checked.octets.saturating_add(check.size) > limit {
                break;
            }
            checked.octets = checked.octets.saturating_add(check.size.max(1));
            match self.body(check.message).and_then(|body| body.verify(check.message, &check.digest)) {
                Ok(()) => checked.sound.push(check),
                Err(Error::Corrupt { what }) => checked.damaged.push((check.message, what)),
                Err(Error::Gone(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(checked)
    }

    /// Where the body of a message is, when it is damaged.
    pub(super) fn damaged_at(&self, message: MessageId) -> Result<Option<Place>> {
        let found = self.with(|sql| health::of(sql, message))?;
        let Some(check) = found else { return Ok(None) };
        match self.body(message).and_then(|body| body.verify(message, &check.digest)) {
            Ok(()) | Err(Error::Gone(_)) => Ok(None),
            Err(Error::Corrupt { .. }) => Ok(Some(check.place)),
            Err(error) => Err(error),
        }
    }

    pub(super) fn body(&self, message: MessageId) -> Result<Body> {
        let mut before = None;
        loop {
            let Some((place, size)) = self.with(|sql| rows::place(sql, message))?.flatten() else {
                return Err(Error::Gone(message));
            };
            match segments::read(&segment_directory(&self.state), message, place, size) {
                // It may have been moved or swept between the question and the file.
                Err(Error::Corrupt { .. }) if before != Some(place) => before = Some(place),
                result => return result,
            }
        }
    }
}

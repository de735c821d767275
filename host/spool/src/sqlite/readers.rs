//! The connections that answer questions. Each answer is of one moment; nothing is changed through them.

use std::path::Path;
use std::sync::{Arc, Mutex};

use postroom_mail::MessageId;
use rusqlite::Connection;

use super::fault::{Fault, Outcome};
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
}

impl Readers {
    pub(super) fn new(state: &Path, disk: Disk) -> Self {
        Self { state: state.into(), disk, idle: Arc::default() }
    }

    /// Asks within one read transaction, so that all of an answer is of one moment.
    pub(super) fn with<T>(&self, question: impl FnOnce(&Connection) -> Outcome<T>) -> Result<T> {
        let idle = locked(&self.idle).pop();
        let asked = match idle {
            Some(connection) => Ok(connection),
            None => schema::open_reader(&self.state, &self.disk),
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

//! Failures inside this implementation, before they become the spool's own errors. SQL does not leave this module.

use std::path::Path;

use rusqlite::ErrorCode;

use crate::Error;

/// A call failed: in the database, or for a reason of the spool's own.
#[derive(Debug)]
pub(super) enum Fault {
    Sql(rusqlite::Error),
    Spool(Error),
}

/// Result of anything inside this implementation.
pub(super) type Outcome<T> = Result<T, Fault>;

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Spool(error)
    }
}

impl From<serde_json::Error> for Fault {
    fn from(error: serde_json::Error) -> Self {
        Self::Spool(Error::Corrupt { what: format!("a stored record cannot be read: {error}") })
    }
}

impl Fault {
    /// As the spool's error, for the state at `state`.
    pub(super) fn into_error(self, state: &Path) -> Error {
        match self {
            Self::Spool(error) => error,
            Self::Sql(error) => database(&error, state, false),
        }
    }
}

/// What a failure of the database means; `maybe_applied` says that it was the commit that failed.
pub(super) fn database(error: &rusqlite::Error, state: &Path, maybe_applied: bool) -> Error {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Error::Full { path: state.display().to_string() },
        Some(ErrorCode::ReadOnly) => Error::ReadOnly { path: state.display().to_string() },
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            Error::Corrupt { what: format!("the database in {}: {error}", state.display()) }
        }
        Some(ErrorCode::SystemIoFailure) if maybe_applied => Error::CommitFailed { what: error.to_string() },
        _ => Error::Database { what: error.to_string(), maybe_applied },
    }
}

//! Lines for the operator. Texts are lower-case fragments; what varies goes into fields. Never log bodies.
//!
//! ```
//! postroom_sdk::log::info("stored", &[("part", &"1.2"), ("octets", &1024)]);
//! ```

use std::fmt::Display;

use crate::seam;

/// Severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Every step.
    Trace,
    /// For the author of the plugin.
    Debug,
    /// What was done.
    Info,
    /// Something the operator should look at.
    Warn,
    /// Something is broken.
    Error,
}

/// A line at a level.
pub fn emit(level: Level, text: &str, fields: &[(&str, &dyn Display)]) {
    let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), value.to_string())).collect();
    seam::log(level, text, fields);
}

/// A line at [`Level::Trace`].
pub fn trace(text: &str, fields: &[(&str, &dyn Display)]) {
    emit(Level::Trace, text, fields);
}

/// A line at [`Level::Debug`].
pub fn debug(text: &str, fields: &[(&str, &dyn Display)]) {
    emit(Level::Debug, text, fields);
}

/// A line at [`Level::Info`].
pub fn info(text: &str, fields: &[(&str, &dyn Display)]) {
    emit(Level::Info, text, fields);
}

/// A line at [`Level::Warn`].
pub fn warn(text: &str, fields: &[(&str, &dyn Display)]) {
    emit(Level::Warn, text, fields);
}

/// A line at [`Level::Error`].
pub fn error(text: &str, fields: &[(&str, &dyn Display)]) {
    emit(Level::Error, text, fields);
}

//! Lines for the operator. Texts are lower-case fragments; what varies goes into fields. Never log bodies.
//!
//! ```
//! postroom_sdk::log::info("stored", &[("part", &"1.2"), ("octets", &1024)]);
//! ```

use std::fmt::Display;

use crate::seam;

/// Severity.
///
/// ```
/// use postroom_sdk::log::Level;
///
/// assert!(Level::Trace < Level::Debug && Level::Info < Level::Warn && Level::Warn < Level::Error);
/// ```
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
///
/// ```
/// use postroom_bench::{Bench, Mail};
/// use postroom_sdk::log::{self, Level};
///
/// let run = Bench::new().run_fn(&Mail::new(), |_| {
///     log::emit(Level::Warn, "odd", &[("parts", &3)]);
///     Ok(())
/// });
/// assert_eq!(run.logs[0].level, Level::Warn);
/// ```
pub fn emit(level: Level, text: &str, fields: &[(&str, &dyn Display)]) {
    let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), value.to_string())).collect();
    seam::log(level, text, fields);
}

/// A line at [`Level::Trace`].
///
/// ```
/// use postroom_bench::{Bench, Mail};
/// use postroom_sdk::log::{self, Level};
///
/// let run = Bench::new().run_fn(&Mail::new(), |_| {
///     log::trace("looked at", &[("part", &"1.2")]);
///     Ok(())
/// });
/// assert_eq!(run.logs[0].level, Level::Trace);
/// ```
pub fn trace(text: &str, fields: &[(&str, &dyn Display)]) {
    emit(Level::Trace, text, fields);
}

/// A line at [`Level::Debug`].
///
/// ```
/// use postroom_bench::{Bench, Mail};
/// use postroom_sdk::log::{self, Level};
///
/// let run = Bench::new().run_fn(&Mail::new(), |_| {
///     log::debug("skipped", &[("reason", &"text")]);
///     Ok(())
/// });
/// assert_eq!(run.logs[0].level, Level::Debug);
/// ```
pub fn debug(text: &str, fields: &[(&str, &dyn Display)]) {
    emit(Level::Debug, text, fields);
}

/// A line at [`Level::Info`].
///
/// ```
/// use postroom_bench::{Bench, Mail};
/// use postroom_sdk::log::{self, Level};
///
/// let run = Bench::new().run_fn(&Mail::new(), |_| {
///     log::info("stored", &[("octets", &1024)]);
///     Ok(())
/// });
/// assert_eq!(run.logs[0].level, Level::Info);
/// ```
pub fn info(text: &str, fields: &[(&str, &dyn Display)]) {
    emit(Level::Info, text, fields);
}

/// A line at [`Level::Warn`].
///
/// ```
/// use postroom_bench::{Bench, Mail};
/// use postroom_sdk::log::{self, Level};
///
/// let run = Bench::new().run_fn(&Mail::new(), |_| {
///     log::warn("no date", &[]);
///     Ok(())
/// });
/// assert_eq!(run.logs[0].level, Level::Warn);
/// ```
pub fn warn(text: &str, fields: &[(&str, &dyn Display)]) {
    emit(Level::Warn, text, fields);
}

/// A line at [`Level::Error`].
///
/// ```
/// use postroom_bench::{Bench, Mail};
/// use postroom_sdk::log::{self, Level};
///
/// let run = Bench::new().run_fn(&Mail::new(), |_| {
///     log::error("the list cannot be read", &[]);
///     Ok(())
/// });
/// assert_eq!(run.logs[0].level, Level::Error);
/// ```
pub fn error(text: &str, fields: &[(&str, &dyn Display)]) {
    emit(Level::Error, text, fields);
}

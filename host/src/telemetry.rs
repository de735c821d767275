//! Logs. No subjects, addresses or message text above debug, and never a secret.

use std::io::IsTerminal;

use anyhow::Context;
use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// Starts logging to standard error. `level` is a level, or a filter as tracing's `EnvFilter` takes.
///
/// # Errors
/// When the filter cannot be read, or logging was started before.
pub fn start(level: &str, format: LogFormat) -> anyhow::Result<()> {
    let directives = match level {
        "error" | "warn" | "info" | "debug" | "trace" => format!("warn,postroom={level}"),
        other => other.to_owned(),
    };
    let filter = EnvFilter::try_new(&directives)
        .with_context(|| format!("log level {level:?}: write error, warn, info, debug or trace"))?;
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    let builder = builder.with_ansi(std::io::stderr().is_terminal());
    let started = match format {
        LogFormat::Text => builder.compact().try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("cannot start logging: {error}"))
}

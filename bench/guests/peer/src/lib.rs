//! The peer's plugins: one that does nothing, and one that looks for a word in the subject of a raw message.

use extism_pdk::{FnResult, config, plugin_fn};

/// Nothing.
#[plugin_fn]
pub fn noop() -> FnResult<()> {
    Ok(())
}

/// Answers a label when the subject holds the configured word. The peer hands the whole message over.
#[plugin_fn]
pub fn subject(raw: Vec<u8>) -> FnResult<String> {
    let word = config::get("word")?.unwrap_or_default();
    let head = raw.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(raw.len());
    let head = String::from_utf8_lossy(&raw[..head]);
    let subject = head.lines().find_map(|line| line.strip_prefix("Subject:")).unwrap_or_default();
    Ok(if subject.contains(&word) { "found".to_owned() } else { String::new() })
}

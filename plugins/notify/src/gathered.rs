//! What is kept from message to message: the lines of the next digest, and how many notices there were. Both are committed
//! with the message, so a message that is tried again is counted once.

use postroom_sdk::{Date, Fault, Message, kv, log, span::Span};
use serde::{Deserialize, Serialize};

use crate::Settings;
use crate::text::Template;

/// Most lines of a digest.
pub(crate) const LINES: usize = 500;
/// Octets of all lines: below the 64 KiB of a value, with the ids beside them.
const OCTETS: usize = 32 << 10;
const PENDING: &str = "pending";
const RATE: &str = "rate";
const LINE: &str = "{received} {name}: {subject}";

/// The next digest.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Pending {
    /// When its first message was retrieved, milliseconds since 1970 UTC.
    since: i64,
    count: u64,
    /// The beginning of the id, and the line.
    lines: Vec<(String, String)>,
}

impl Pending {
    /// What is there; begun by a message that was retrieved then.
    pub(crate) fn read(received: Date) -> Result<Self, Fault> {
        let new = Self { since: received.millis(), count: 0, lines: Vec::new() };
        Ok(read(PENDING)?.unwrap_or(new))
    }

    /// Adds a message, once.
    pub(crate) fn add(&mut self, message: &Message, settings: &Settings) {
        let id: String = message.id().chars().take(16).collect();
        if self.lines.iter().any(|(known, _)| *known == id) {
            return;
        }
        self.count += 1;
        let line = match &settings.line {
            Some(line) => line.render(message, self.count),
            None => Template::try_from(LINE.to_owned())
                .map(|line| line.render(message, self.count))
                .unwrap_or_default(),
        };
        let used: usize = self.lines.iter().map(|(_, line)| line.len()).sum();
        if self.lines.len() < settings.max_lines && used + line.len() <= OCTETS {
            self.lines.push((id, line));
        }
    }

    /// Whether its period is over.
    pub(crate) fn is_due(&self, received: Date, period: Span) -> bool {
        received.millis().saturating_sub(self.since) >= period.millis()
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn since(&self) -> Date {
        Date::from_millis(self.since)
    }

    pub(crate) fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(|(_, line)| line.as_str())
    }

    /// Messages that have no line.
    pub(crate) fn unlisted(&self) -> u64 {
        self.count.saturating_sub(self.lines.len() as u64)
    }

    pub(crate) fn keep(&self) -> Result<(), Fault> {
        write(PENDING, self)
    }

    pub(crate) fn forget() -> Result<(), Fault> {
        kv::delete(PENDING)
    }
}

/// How many notices there were.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Rate {
    since: i64,
    sent: u32,
    untold: u64,
}

impl Rate {
    /// The count of the time that a moment is in.
    pub(crate) fn read(received: Date, per: Span) -> Result<Self, Fault> {
        let new = |untold| Self { since: received.millis(), sent: 0, untold };
        let found: Option<Self> = read(RATE)?;
        Ok(found.map_or(new(0), |rate| {
            let is_over = received.millis().saturating_sub(rate.since) >= per.millis();
            if is_over { new(rate.untold) } else { rate }
        }))
    }

    /// Counts a message: as told, or, when there were enough, as untold.
    pub(crate) fn admits(&mut self, at_most: u32) -> bool {
        let admits = self.sent < at_most;
        if admits {
            self.sent += 1;
        } else {
            self.untold += 1;
        }
        admits
    }

    /// How many were not told of since the last notice.
    pub(crate) fn take(&mut self) -> u64 {
        std::mem::take(&mut self.untold)
    }

    pub(crate) fn keep(&self) -> Result<(), Fault> {
        write(RATE, self)
    }
}

/// State that cannot be read is begun anew: it is a courtesy, and no mail depends on it.
fn read<T: for<'de> Deserialize<'de>>(key: &str) -> Result<Option<T>, Fault> {
    let Some(octets) = kv::get(key)? else { return Ok(None) };
    let read = serde_json::from_slice(&octets);
    if read.is_err() {
        log::warn("the state is damaged and begun anew", &[("key", &key)]);
    }
    Ok(read.ok())
}

fn write<T: Serialize>(key: &str, value: &T) -> Result<(), Fault> {
    let octets = serde_json::to_vec(value).map_err(|error| Fault::Other(error.to_string()))?;
    kv::set(key, &octets)
}

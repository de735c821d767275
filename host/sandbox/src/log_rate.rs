//! How much a step logs over all its calls. What one call may log is bounded by itself; but a thousand calls that log as much
//! as they may would fill the disk. Only lines are lost, never a message.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use postroom_mail::LogLine;

use postroom_contract::{kept_size, octets};

const MINUTE: Duration = Duration::from_secs(60);

/// What is left of a minute's octets. Refilled as time passes.
#[derive(Debug)]
pub(crate) struct LogRate {
    a_minute: u64,
    left: Mutex<(u64, Option<Instant>)>,
}

impl LogRate {
    pub(crate) fn new(a_minute: u64) -> Self {
        Self { a_minute, left: Mutex::new((a_minute, None)) }
    }

    /// The lines that are still within the rate, and one that says how many were not.
    pub(crate) fn admit(&self, mut lines: Vec<LogLine>, now: Instant) -> Vec<LogLine> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = left.1.map_or(MINUTE, |since| now.saturating_duration_since(since)).min(MINUTE);
        let refill = u128::from(self.a_minute) * passed.as_millis() / MINUTE.as_millis();
        let refill = u64::try_from(refill).unwrap_or(u64::MAX);
        // Less than an octet: the time goes on counting.
        if refill > 0 {
            *left = ((left.0 + refill).min(self.a_minute), Some(now));
        }
        let mut kept = 0;
        for line in &lines {
            let size = kept_size(line);
            if size > left.0 {
                break;
            }
            left.0 -= size;
            kept += 1;
        }
        let dropped = lines.len() - kept;
        if dropped > 0 {
            lines.truncate(kept);
            let message = format!(
                "{dropped} log lines were dropped: the step logged more than {} a minute",
                octets(self.a_minute)
            );
            lines.push(LogLine { level: "warn".to_owned(), message, fields: Vec::new() });
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(count: usize) -> Vec<LogLine> {
        // With what a line costs by itself: a hundred octets.
        let line = LogLine { level: "info".to_owned(), message: "x".repeat(36), fields: Vec::new() };
        assert_eq!(kept_size(&line), 100);
        vec![line; count]
    }

    #[test]
    fn what_passes_the_rate_is_dropped_and_counted() {
        let (rate, start) = (LogRate::new(1000), Instant::now());
        assert_eq!(rate.admit(lines(8), start).len(), 8);
        let admitted = rate.admit(lines(5), start);
        assert_eq!(admitted.len(), 3);
        assert_eq!(
            admitted[2].message,
            "3 log lines were dropped: the step logged more than 1000 octets a minute"
        );
        assert_eq!(rate.admit(lines(1), start).len(), 1, "only that it was dropped");
        assert!(rate.admit(Vec::new(), start).is_empty());
    }

    #[test]
    fn time_gives_back_what_was_used_and_no_more() {
        let (rate, start) = (LogRate::new(1000), Instant::now());
        rate.admit(lines(10), start);
        assert_eq!(rate.admit(lines(10), start + MINUTE / 2).len(), 6, "five lines and the notice");
        assert_eq!(rate.admit(lines(10), start + 100 * MINUTE).len(), 10);
    }

    #[test]
    fn calls_in_quick_succession_do_not_stop_the_clock() {
        let (rate, start) = (LogRate::new(1000), Instant::now());
        rate.admit(lines(10), start);
        (1..6000).for_each(|at| drop(rate.admit(Vec::new(), start + Duration::from_millis(at))));
        assert_eq!(rate.admit(lines(1), start + Duration::from_millis(6000))[0].message, "x".repeat(36));
    }
}

//! How many calls a target gets in a minute: a bucket that fills evenly. Knows no clock.

use std::time::{Duration, Instant};

const MINUTE: Duration = Duration::from_secs(60);

/// Holds one minute's worth of calls, full at first.
#[derive(Debug)]
pub(super) struct Rate {
    per_minute: u32,
    left: f64,
    at: Instant,
}

impl Rate {
    pub(super) fn new(per_minute: u32, now: Instant) -> Self {
        Self { per_minute, left: per_minute.into(), at: now }
    }

    /// Takes one call out, if there is one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let most = f64::from(self.per_minute);
        let passed = now.saturating_duration_since(self.at);
        self.left = (self.left + most * passed.as_secs_f64() / MINUTE.as_secs_f64()).min(most);
        self.at = self.at.max(now);
        if self.left < 1.0 {
            return false;
        }
        self.left -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_has_so_many_calls_and_no_more_are_saved_up() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut rate = Rate::new(3, start);
        assert_eq!([0; 4].map(|_| rate.take(at(0))), [true, true, true, false]);
        assert!(!rate.take(at(19)) && rate.take(at(21)), "one every twenty seconds");
        assert!(!rate.take(at(22)));
        assert_eq!([0; 4].map(|_| rate.take(at(3600))), [true, true, true, false]);
        assert!(!rate.take(at(0)), "a clock that goes back gives nothing");
        assert!(!Rate::new(0, start).take(at(3600)));
    }
}

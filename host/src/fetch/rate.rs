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

    /// Takes one call out, or says how long it is until there is one. A rate of nothing never has one.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let most = f64::from(self.per_minute);
        let passed = now.saturating_duration_since(self.at);
        self.left = (self.left + most * passed.as_secs_f64() / MINUTE.as_secs_f64()).min(most);
        self.at = self.at.max(now);
        if self.left < 1.0 {
            let missing = (1.0 - self.left) * MINUTE.as_secs_f64() / most;
            return Err(Duration::try_from_secs_f64(missing).unwrap_or(Duration::MAX));
        }
        self.left -= 1.0;
        Ok(())
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
        let mut takes = |seconds| rate.take(at(seconds)).is_ok();
        assert_eq!([0; 4].map(|_| takes(0)), [true, true, true, false]);
        assert!(!takes(19) && takes(21), "one every twenty seconds");
        assert!(!takes(22));
        assert_eq!([0; 4].map(|_| takes(3600)), [true, true, true, false]);
        assert!(!takes(0), "a clock that goes back gives nothing");
        assert_eq!(Rate::new(0, start).take(at(3600)), Err(Duration::MAX));
    }

    #[test]
    fn who_comes_too_early_is_told_how_long_to_wait() {
        let start = Instant::now();
        let mut rate = Rate::new(2, start);
        assert_eq!([rate.take(start), rate.take(start)], [Ok(()), Ok(())]);
        let wait = rate.take(start + Duration::from_secs(10)).unwrap_err();
        assert!(wait.abs_diff(Duration::from_secs(20)) < Duration::from_millis(1), "{wait:?}");
        assert_eq!(rate.take(start + Duration::from_secs(10) + wait + Duration::from_millis(1)), Ok(()));
    }
}

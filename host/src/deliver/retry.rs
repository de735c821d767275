//! When a failed effect is due again, from its attempts alone.

use std::time::Duration;

/// The first wait.
const FIRST: Duration = Duration::from_secs(30);
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// The wait after attempt `attempt` (from 1) failed: 30 s, doubled each time, at most an hour. `None` when the waits so
/// far have used up `window`: then it is time to give up.
pub(super) fn wait_after(attempt: u32, window: Duration) -> Option<Duration> {
    let waited: Duration = (1..attempt).map(nominal).sum();
    (waited < window).then(|| nominal(attempt))
}

fn nominal(attempt: u32) -> Duration {
    let doubled = 1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
    FIRST.saturating_mul(doubled.max(1)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_an_hour() {
        let window = Duration::from_secs(5 * 86_400);
        assert_eq!(wait_after(1, window), Some(Duration::from_secs(30)));
        assert_eq!(wait_after(2, window), Some(Duration::from_secs(60)));
        assert_eq!(wait_after(8, window), Some(LONGEST));
        assert_eq!(wait_after(60, window), Some(LONGEST));
    }

    #[test]
    fn gives_up_once_the_window_is_used_up() {
        let window = Duration::from_secs(5 * 86_400);
        let last = (1..).find(|&attempt| wait_after(attempt, window).is_none());
        assert_eq!(last, Some(127), "5 days of hourly tries after the first eight");
        assert_eq!(wait_after(1, Duration::ZERO), None);
    }
}

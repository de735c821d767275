//! When an account that brings no mail is suspicious: accounts break without an error, by a filter, a forward, a full quota.
//! Pure.

use std::time::Duration;

use postroom_mail::Timestamp;

use crate::config::Silence;

/// Fewer arrivals show no rhythm.
const ENOUGH: usize = 8;
/// Nobody is woken for less.
const LEAST: Duration = Duration::from_secs(24 * 60 * 60);
/// So much longer than the longest pause so far is suspicious.
const FACTOR: u32 = 3;

/// What to say when it has been silent for too long. `arrivals` are the latest, newest first.
pub(super) fn alarm(silence: Silence, arrivals: &[Timestamp], now: Timestamp) -> Option<String> {
    let last = *arrivals.first()?;
    let quiet = now.since(last);
    let allowed = match silence {
        Silence::Never => return None,
        Silence::After(allowed) => allowed,
        Silence::Rhythm if arrivals.len() < ENOUGH => return None,
        Silence::Rhythm => {
            let pauses = arrivals.windows(2).map(|pair| pair[0].since(pair[1]));
            pauses.max()?.saturating_mul(FACTOR).max(LEAST)
        }
    };
    (quiet > allowed).then(|| {
        format!(
            "no new mail for {}, which is longer than {}: see whether the account still gets mail",
            words(quiet),
            words(allowed)
        )
    })
}

fn words(time: Duration) -> String {
    let hours = time.as_secs() / 3600;
    if hours >= 48 { format!("{} days", hours / 24) } else { format!("{hours} hours") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn every(hours: i64, count: i64) -> Vec<Timestamp> {
        (0..count).map(|n| Timestamp((1000 - n * hours) * HOUR)).collect()
    }

    #[test]
    fn a_rhythm_that_stops_raises_an_alarm() {
        let daily = every(20, 10);
        let after = |hours: i64| alarm(Silence::Rhythm, &daily, Timestamp((1000 + hours) * HOUR));
        assert_eq!(after(60), None);
        assert!(after(61).unwrap().starts_with("no new mail for 2 days, which is longer than 2 days"));
    }

    #[test]
    fn a_busy_account_may_still_be_quiet_for_a_day() {
        let busy = every(1, 20);
        assert_eq!(alarm(Silence::Rhythm, &busy, Timestamp(1024 * HOUR)), None);
        assert!(alarm(Silence::Rhythm, &busy, Timestamp(1025 * HOUR)).is_some());
    }

    #[test]
    fn without_a_rhythm_only_a_configured_time_raises_it() {
        let few = every(1, 3);
        let late = Timestamp(9000 * HOUR);
        assert_eq!(alarm(Silence::Rhythm, &few, late), None);
        assert_eq!(alarm(Silence::Never, &every(1, 20), late), None);
        assert!(alarm(Silence::After(Duration::from_secs(7200)), &few, late).is_some());
        assert_eq!(alarm(Silence::Rhythm, &[], late), None);
    }
}

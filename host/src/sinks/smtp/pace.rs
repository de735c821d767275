//! Owns how much mail goes to each domain in a minute and in a day: a token bucket for each, in memory only, as the
//! breakers are. A restart or a reload begins anew. Must not read a clock or delay anything itself.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use postroom_mail::{Address, Envelope, Timestamp};

const MINUTE: i64 = 60_000;
const DAY: i64 = 86_400_000;
/// Highest limits: below them a token takes more than a few milliseconds to come back.
const MOST_PER_MINUTE: u32 = 10_000;
const MOST_PER_DAY: u32 = 1_000_000;
/// Who has to wait looks again after so long at the latest: others may have given back what they took.
const LONGEST_WAIT: i64 = 60 * 60 * 1000;
/// So many domains are remembered before those at rest are forgotten.
const DOMAINS: usize = 1024;

/// The limits, and what was taken of them.
#[derive(Debug)]
pub(super) struct Pace {
    limits: Vec<Limit>,
    buckets: Mutex<BTreeMap<String, Vec<Bucket>>>,
}

#[derive(Clone, Copy, Debug)]
struct Limit {
    name: &'static str,
    most: u32,
    /// Milliseconds in which a whole bucket comes back.
    period: i64,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// When it is full again, milliseconds.
    full: i64,
    /// Who waits was told to come at times up to this, one after the other.
    promised: i64,
}

/// Why mail has to wait, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Not before.
    pub until: Timestamp,
    /// For the operator.
    pub reason: String,
}

impl Pace {
    /// The error is a text for the operator.
    pub(super) fn new(per_minute: Option<u32>, per_day: Option<u32>) -> Result<Self, String> {
        let table =
            [("per_minute", per_minute, MINUTE, MOST_PER_MINUTE), ("per_day", per_day, DAY, MOST_PER_DAY)];
        let mut limits = Vec::new();
        for (name, most, period, highest) in table {
            match most {
                None => {}
                Some(most) if (1..=highest).contains(&most) => limits.push(Limit { name, most, period }),
                Some(_) => return Err(format!("`{name}` must be from 1 to {highest}")),
            }
        }
        Ok(Self { limits, buckets: Mutex::default() })
    }

    /// Takes a token for each recipient, or none for any.
    pub(super) fn take(&self, envelope: &Envelope, now: Timestamp) -> Result<(), Wait> {
        if self.limits.is_empty() {
            return Ok(());
        }
        let mut buckets = self.lock();
        if buckets.len() > DOMAINS {
            buckets.retain(|_, lanes| lanes.iter().any(|bucket| bucket.full.max(bucket.promised) > now.0));
        }
        let wanted = by_domain(envelope);
        let mut worst: Option<Wait> = None;
        for (domain, count) in &wanted {
            let lanes = buckets.entry(domain.clone()).or_insert_with(|| self.full(now));
            for (limit, bucket) in self.limits.iter().zip(lanes) {
                let Some(until) = limit.wait(bucket, *count, now) else { continue };
                if worst.as_ref().is_none_or(|worst| worst.until < until) {
                    let Limit { name, most, .. } = limit;
                    let reason = format!(
                        "{domain} gets no more than {name} = {most} of this sink; the mail waits its turn"
                    );
                    worst = Some(Wait { until, reason });
                }
            }
        }
        match worst {
            Some(wait) => Err(wait),
            None => {
                self.move_all(&mut buckets, &wanted, now, 1);
                Ok(())
            }
        }
    }

    /// Puts back what [`Pace::take`] took, when nothing was sent.
    pub(super) fn give_back(&self, envelope: &Envelope, now: Timestamp) {
        self.move_all(&mut self.lock(), &by_domain(envelope), now, -1);
    }

    fn move_all(
        &self,
        buckets: &mut BTreeMap<String, Vec<Bucket>>,
        wanted: &BTreeMap<String, i64>,
        now: Timestamp,
        sign: i64,
    ) {
        for (domain, count) in wanted {
            for (limit, bucket) in self.limits.iter().zip(buckets.get_mut(domain).into_iter().flatten()) {
                bucket.full = bucket.full.max(now.0).saturating_add(sign * count * limit.interval());
            }
        }
    }

    fn full(&self, now: Timestamp) -> Vec<Bucket> {
        self.limits.iter().map(|_| Bucket { full: now.0, promised: now.0 }).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Vec<Bucket>>> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Limit {
    /// Until one token is back.
    fn interval(&self) -> i64 {
        self.period / i64::from(self.most)
    }

    /// When so many tokens are there, if they are not now. Those who wait are told times one after the other, so that a
    /// long queue does not come all at once for the next token. More than a whole bucket is lent by a full one.
    fn wait(&self, bucket: &mut Bucket, count: i64, now: Timestamp) -> Option<Timestamp> {
        let cost = count * self.interval();
        let earliest = bucket.full.saturating_add((cost - self.period).min(0));
        if earliest <= now.0 {
            return None;
        }
        let latest = now.0.saturating_add(LONGEST_WAIT).max(earliest);
        let until = bucket.promised.max(earliest).min(latest);
        bucket.promised = until.saturating_add(cost).min(latest);
        Some(Timestamp(until))
    }
}

/// How many recipients are in which domain.
fn by_domain(envelope: &Envelope) -> BTreeMap<String, i64> {
    let mut domains = BTreeMap::new();
    for domain in envelope.to.iter().map(Address::domain) {
        *domains.entry(domain.to_ascii_lowercase()).or_default() += 1;
    }
    domains
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(recipients: &[&str]) -> Envelope {
        Envelope { from: None, to: recipients.iter().map(|to| Address::new(*to).unwrap()).collect() }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp(1_000_000_000 + seconds * 1000)
    }

    fn until(pace: &Pace, recipients: &[&str], seconds: i64) -> Option<i64> {
        let wait = pace.take(&to(recipients), at(seconds)).err()?;
        Some((wait.until.0 - at(0).0) / 1000)
    }

    #[test]
    fn a_domain_gets_its_number_at_once_and_then_one_at_each_interval() {
        let pace = Pace::new(Some(6), None).unwrap();
        for _ in 0..6 {
            assert_eq!(until(&pace, &["a@x.example"], 0), None);
        }
        assert_eq!(until(&pace, &["a@y.example"], 0), None, "another domain has its own");
        assert_eq!(until(&pace, &["A@X.example"], 0), Some(10));
        assert_eq!(until(&pace, &["b@x.example"], 0), Some(20), "who waits is told another time each");
        assert_eq!(until(&pace, &["a@x.example"], 10), None);
        assert_eq!(until(&pace, &["b@x.example"], 20), None);
        assert!(until(&pace, &["c@x.example"], 20).is_some());
        let wait = pace.take(&to(&["a@x.example"]), at(20)).unwrap_err();
        assert!(wait.reason.contains("x.example gets no more than per_minute = 6"), "{}", wait.reason);
    }

    #[test]
    fn both_limits_hold_and_a_refusal_takes_nothing() {
        let pace = Pace::new(Some(60), Some(3)).unwrap();
        assert_eq!(until(&pace, &["a@x.example", "b@x.example"], 0), None);
        assert_eq!(until(&pace, &["a@y.example", "c@x.example", "d@x.example"], 0), Some(28_800));
        for _ in 0..3 {
            assert_eq!(until(&pace, &["a@y.example"], 0), None, "the refused effect took none of y's");
        }
        assert_eq!(until(&pace, &["c@x.example"], 0), None, "one is left");
    }

    #[test]
    fn what_was_not_sent_is_given_back() {
        let pace = Pace::new(Some(1), None).unwrap();
        for _ in 0..5 {
            assert_eq!(until(&pace, &["a@x.example"], 0), None);
            pace.give_back(&to(&["a@x.example"]), at(0));
        }
    }

    #[test]
    fn more_recipients_than_the_limit_go_when_nobody_went_before_them() {
        let pace = Pace::new(Some(2), None).unwrap();
        let four = ["a@x.example", "b@x.example", "c@x.example", "d@x.example"];
        assert_eq!(until(&pace, &four, 0), None);
        assert_eq!(until(&pace, &["a@x.example"], 0), Some(90), "and then pay for it");
    }

    #[test]
    fn in_a_day_nobody_gets_more_than_a_bucket_and_what_came_back() {
        let pace = Pace::new(None, Some(10)).unwrap();
        let sent = (0..86_400).filter(|&second| until(&pace, &["a@x.example"], second).is_none()).count();
        assert_eq!(sent, 19, "ten at once and nine that came back before the day was over");
    }

    #[test]
    fn no_limit_is_no_limit_and_senseless_ones_are_refused() {
        let pace = Pace::new(None, None).unwrap();
        assert!((0..1000).all(|_| until(&pace, &["a@x.example"], 0).is_none()));
        assert!(Pace::new(Some(0), None).unwrap_err().contains("per_minute"));
        assert!(Pace::new(None, Some(2_000_000)).unwrap_err().contains("per_day"));
    }
}

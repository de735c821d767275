//! One attempt at one effect, and what its outcome means for the effect and for its sink. Settles nothing.

use std::sync::Arc;
use std::time::Duration;

use postroom_failpoint::reach;
use postroom_mail::rules::neutral;
use postroom_mail::{Disposition, Octets, Timestamp};
use postroom_spool::{EffectLease, Remedy, Settlement, Spool};

use super::breaker::Breakers;
use super::{doubt, retry};
use crate::chance::Chance;
use crate::clock::Clock;
use crate::pipeline::RETRIEVAL;
use crate::sinks::{DeliveryError, Job, Sink};

/// So much later than its sink an effect is tried again that found the sink misconfigured.
const AFTER_PROBE: Duration = Duration::from_secs(1);
/// A message that was retrieved so long ago may have been delivered before by a state that was lost, or put back since.
const FRESH: Duration = Duration::from_secs(60 * 60);

/// What an attempt needs.
pub(super) struct Attempt<'a> {
    pub(super) spool: &'a dyn Spool,
    pub(super) clock: &'a Clock,
    pub(super) chance: &'a Chance,
    pub(super) breakers: &'a Breakers,
    /// How long the effect is tried.
    pub(super) window: Duration,
    pub(super) sink: &'a Sink,
    pub(super) lease: &'a EffectLease,
}

impl Attempt<'_> {
    /// Has the sink carry it out, unless it is too much in doubt.
    pub(super) async fn carry_out(&self) -> Settlement {
        let lease = self.lease;
        if let Some(parked) = doubt::parked(self.sink, lease) {
            return parked;
        }
        let body = match self.spool.open(lease.message).await {
            Ok(body) => body,
            Err(postroom_spool::Error::Corrupt { what }) => return self.damaged(what).await,
            Err(error) => return self.unreadable(&error),
        };
        let sending = || self.spool.sending(lease, self.clock.now());
        let job = Job {
            effect: &lease.effect,
            message: lease.message,
            provenance: &lease.provenance,
            raw: Arc::new(body) as Arc<dyn Octets>,
            again: lease.attempt > 1 || self.clock.now().since(lease.provenance.retrieved) > FRESH,
            now: self.clock.now(),
            sending: &sending,
        };
        self.reached("opened");
        if let Err(wait) = self.sink.take(&lease.effect, self.clock.now()) {
            return Settlement::Hold { at: wait.until, reason: wait.reason };
        }
        match self.sink.deliver(&job).await {
            Ok(receipt) => {
                self.reached("delivered");
                self.breakers.succeeded(&lease.effect.sink);
                Settlement::Done(receipt)
            }
            Err(error) => {
                self.reached("failed");
                // What is in doubt may have arrived.
                if !matches!(error, DeliveryError::InDoubt { .. }) {
                    self.sink.give_back(&lease.effect, self.clock.now());
                }
                self.failed(&error)
            }
        }
    }

    fn reached(&self, stage: &str) {
        reach(format_args!("deliver.{:?}", self.sink.kind()), stage);
    }

    /// What the server still has is retrieved again by the next poll; the effect is due when it is here.
    async fn damaged(&self, what: String) -> Settlement {
        let now = self.clock.now();
        tracing::error!(message = %self.lease.message.0.short(12), %what, "a body is damaged");
        let reason = format!("the message's body is damaged: {what}");
        match self.spool.damaged(self.lease.message, what, now).await {
            // A disk that reads it only at times is not to be asked without a pause.
            Ok(Remedy::Sound) => Settlement::Hold { at: now.after(Duration::from_secs(5)), reason },
            Ok(Remedy::Retrieve) => Settlement::Hold {
                at: now.after(RETRIEVAL),
                reason: format!("{reason}; it is retrieved again by the next poll"),
            },
            Ok(Remedy::Lost) => Settlement::Park { reason },
            // Should the database be damaged, recording this says so too, and stops the host.
            Err(error) => self.unreadable(&error),
        }
    }

    /// A body that cannot be read now may be readable later; one that is damaged or gone will not.
    fn unreadable(&self, error: &postroom_spool::Error) -> Settlement {
        let reason = error.to_string();
        match error.disposition() {
            Disposition::Retry { .. } => {
                Settlement::Hold { at: self.clock.now().after(Duration::from_secs(60)), reason }
            }
            Disposition::Park | Disposition::Stop => Settlement::Park { reason },
        }
    }

    fn failed(&self, error: &DeliveryError) -> Settlement {
        let (lease, now) = (self.lease, self.clock.now());
        let (sink, reason) = (&lease.effect.sink, in_words(error));
        tracing::warn!(
            message = %lease.message.0.short(12), %sink, attempt = lease.attempt, %reason, "an effect failed"
        );
        match error {
            DeliveryError::Configuration { .. } => {}
            _ if error.is_of_the_sink() => self.breakers.failed(sink, &reason, now, self.chance),
            _ => self.breakers.answered(sink, now),
        }
        match error {
            // The sink is at fault, not the effect: nothing more is tried there for a while, and no attempt is used up.
            DeliveryError::Configuration { .. } => {
                let until = self.breakers.misconfigured(sink, &reason, now, self.chance);
                // A little later than the sink, so that another effect is the next probe: it may be this one alone that fails.
                Settlement::Hold { at: until.after(AFTER_PROBE), reason }
            }
            DeliveryError::InDoubt { .. } => {
                doubt::lost_answer(self.sink, lease, self.again(now, doubt::WAIT), reason)
            }
            DeliveryError::Temporary { .. } | DeliveryError::Permanent { .. } => match error.disposition() {
                Disposition::Retry { after } => match retry::wait_after(lease.attempt, self.window) {
                    Some(wait) => {
                        let wait = after.map_or(wait, |after| after.max(wait));
                        Settlement::Retry { at: self.again(now, wait), reason }
                    }
                    None => Settlement::Park {
                        reason: format!("{reason} (gave up after {} attempts)", lease.attempt),
                    },
                },
                Disposition::Park | Disposition::Stop => Settlement::Park { reason },
            },
        }
    }

    fn again(&self, now: Timestamp, wait: Duration) -> Timestamp {
        now.after(self.chance.around(wait))
    }
}

/// An error and its causes in one line; each says its own level only.
fn in_words(error: &DeliveryError) -> String {
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let said = error.to_string();
        if !words.contains(&said) {
            words.push_str(": ");
            words.push_str(&said);
        }
        cause = error.source();
    }
    neutral(&words, 500)
}

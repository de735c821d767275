//! The pipeline and the deliveries in the order of the host. A plan is made of each message without a look at it; what a
//! sink does is its model's business.

use std::time::Duration;

use postroom_mail::{Disposition, Octets as _};
use postroom_spool::{EffectLease, Error, Leases, MessageLease, Receipt, Settlement, Spool};

use crate::host::{ATTEMPTS, Host};
use crate::mails::{self, plan};
use crate::sinks::Sink;

/// The wait after a passing failure.
const WAIT: Duration = Duration::from_secs(30);

impl Host {
    pub(crate) async fn pipeline(&mut self) -> Result<(), Error> {
        self.give_back(Leases::Messages).await?;
        let limit = 1 + self.random.below(3);
        let leases = self.spool().lease_messages(limit, self.now).await?;
        let mut broken = None;
        for lease in leases {
            if let Err(error) = self.run(lease).await {
                broken = broken.or(Some(error));
            }
        }
        self.after(Leases::Messages, broken).await
    }

    async fn run(&mut self, lease: MessageLease) -> Result<(), Error> {
        let (spool, now) = (self.spool(), self.now);
        if lease.attempt > ATTEMPTS {
            return spool.quarantine(lease, "tried too often".into(), Vec::new(), now).await;
        }
        let body = match spool.open(lease.message).await {
            Ok(body) => body,
            Err(error) => match error.disposition() {
                Disposition::Retry { .. } => {
                    return spool.put_back(lease, now.after(WAIT), error.to_string(), now).await;
                }
                Disposition::Park | Disposition::Stop => {
                    return spool.quarantine(lease, error.to_string(), Vec::new(), now).await;
                }
            },
        };
        assert_eq!(body.len(), lease.provenance.size);
        if lease.attempt == 1 && lease.provenance.uid.0.ends_with(b"3") {
            return spool.defer(lease, now.after(WAIT), "not today".into(), Vec::new(), now).await;
        }
        let plan = plan(&lease.provenance);
        spool.plan(lease, plan, now).await.map(drop)
    }

    pub(crate) async fn deliver(&mut self, sink: Sink) -> Result<(), Error> {
        self.give_back(Leases::Effects).await?;
        let limit = 1 + self.random.below(4);
        let leases = self.spool().lease_effects(&sink.name(), limit, self.now).await?;
        let mut broken = None;
        for lease in leases {
            let settlement = self.attempt(sink, &lease).await;
            if let Err(error) = self.spool().settle(lease, settlement, self.now).await {
                broken = broken.or(Some(error));
            }
        }
        self.after(Leases::Effects, broken).await
    }

    async fn attempt(&mut self, sink: Sink, lease: &EffectLease) -> Settlement {
        let at = self.now.after(WAIT);
        let body = match self.spool().open(lease.message).await {
            Ok(body) => body,
            Err(error) => {
                let reason = error.to_string();
                return match error.disposition() {
                    Disposition::Retry { .. } => Settlement::Hold { at, reason },
                    Disposition::Park | Disposition::Stop => Settlement::Park { reason },
                };
            }
        };
        if let Err(error) = body.verify(lease.message, &lease.effect.digest) {
            return Settlement::Park { reason: error.to_string() };
        }
        assert_eq!(lease.effect.id, mails::effect(&lease.provenance, sink).id);
        match sink {
            Sink::Store if lease.attempt == 1 && lease.provenance.uid.0.ends_with(b"1") => {
                return Settlement::Retry { at, reason: "slow down".into() };
            }
            // Twice in doubt: a third mail would be one too many.
            Sink::Relay if lease.doubts >= 2 => {
                return Settlement::Doubt { at: None, reason: "in doubt".into() };
            }
            Sink::Relay => {
                if let Err(error) = self.spool().sending(lease, self.now).await {
                    return Settlement::Retry { at, reason: error.to_string() };
                }
                if lease.attempt == 1 && lease.provenance.uid.0.ends_with(b"2") {
                    return Settlement::Retry { at, reason: "greylisted".into() };
                }
            }
            Sink::Directory | Sink::Maildir | Sink::Store => {}
        }
        let event = self.world.sinks.deliver(sink, lease.effect.id, lease.message);
        let already = event.is_none();
        event.into_iter().for_each(|event| self.journal.event(event));
        if sink == Sink::Relay && lease.doubts == 0 && lease.provenance.uid.0.ends_with(b"4") {
            return Settlement::Doubt { at: Some(at), reason: "its answer was lost".into() };
        }
        Settlement::Done(Receipt {
            stored: None,
            location: "there".into(),
            proof: lease.effect.digest.to_string(),
            already,
        })
    }

    /// What was leased is given back after a failure; and later, should that fail as well.
    async fn after(&mut self, leases: Leases, broken: Option<Error>) -> Result<(), Error> {
        let Some(error) = broken else { return Ok(()) };
        self.owed[slot(leases)] = true;
        if error.disposition() != Disposition::Stop {
            self.give_back(leases).await?;
        }
        Err(error)
    }

    async fn give_back(&mut self, leases: Leases) -> Result<(), Error> {
        if self.owed[slot(leases)] {
            self.spool().release(leases, self.now).await?;
            self.owed[slot(leases)] = false;
        }
        Ok(())
    }
}

fn slot(leases: Leases) -> usize {
    match leases {
        Leases::Messages | Leases::Unrecorded => 0,
        Leases::Effects => 1,
    }
}

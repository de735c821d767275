//! One transport and one spool, over lost answers and crashes: what the receiver has is never more than was promised.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use postroom_mail::{
    Action, Address, Content, Digest, Effect, Envelope, MessageId, Plan, Provenance, Timestamp, Uid, Verdict,
};
use postroom_practice::receiver::ReceiverFault;
use postroom_practice::{Receiver, ReceiverConfig, Security, Times};
use postroom_spool::{Arrival, EffectRecord, EffectState, MemorySpool, Spool, SqliteSpool};

use super::*;
use crate::chance::Chance;
use crate::clock::Clock;
use crate::sinks::SinkConfig;

const RAW: &[u8] = b"Message-ID: <m@a.example>\r\nSubject: a\r\n\r\nbody\r\n";

/// A relay, a message that is to go there, and a clock that goes on by itself to whatever is due.
struct Relay {
    spool: Arc<dyn Spool>,
    receiver: Receiver,
    sink: Sink,
    now: Arc<AtomicI64>,
    chance: Chance,
    breakers: Breakers,
    message: MessageId,
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

impl Relay {
    async fn start(spool: Arc<dyn Spool>, more: &str) -> Self {
        let receiver = Receiver::start(ReceiverConfig::new(Security::Plain)).await.unwrap();
        let config: SinkConfig = toml::from_str(&format!(
            "type = \"smtp\"\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\ninsecure_plaintext = \"I accept\"\n{more}",
            receiver.addr().port()
        ))
        .unwrap();
        let sink = Sink::build(&name("relay"), &config, std::path::Path::new(".")).unwrap();
        let message = planned(&*spool).await;
        let (now, chance) = (Arc::new(AtomicI64::new(10_000)), Chance::seeded(9));
        Self { spool, receiver, sink, now, chance, breakers: Breakers::default(), message }
    }

    /// The next attempt, and how it would be settled; `None` when nothing is left to try.
    async fn attempt(&self) -> Option<(EffectLease, Settlement)> {
        let due = self.spool.next_due(&[name("relay")]).await.unwrap()?;
        self.now.fetch_max(due.0, Ordering::Relaxed);
        let now = Arc::clone(&self.now);
        let clock = Clock::from_fn(move || Timestamp(now.load(Ordering::Relaxed)));
        let lease = self.spool.lease_effects(&name("relay"), 1, clock.now()).await.unwrap().pop()?;
        let attempt = Attempt {
            spool: &*self.spool,
            clock: &clock,
            chance: &self.chance,
            breakers: &self.breakers,
            window: Duration::from_secs(86_400),
            sink: &self.sink,
            lease: &lease,
        };
        let settlement = attempt.carry_out().await;
        Some((lease, settlement))
    }

    async fn settle(&self, (lease, settlement): (EffectLease, Settlement)) {
        let now = Timestamp(self.now.load(Ordering::Relaxed));
        self.spool.settle(lease, settlement, now).await.unwrap();
    }

    /// As a restart: what was leased is due again.
    async fn crash(&self) {
        self.spool.release(Leases::Effects, Timestamp(self.now.load(Ordering::Relaxed))).await.unwrap();
    }

    async fn record(&self) -> EffectRecord {
        self.spool.history(self.message).await.unwrap().unwrap().effects.remove(0)
    }

    fn deliveries(&self) -> usize {
        self.receiver.accepted().len()
    }
}

/// Admits one message and plans one effect that sends it.
async fn planned(spool: &dyn Spool) -> MessageId {
    let mut incoming = spool.incoming(1 << 20).unwrap();
    incoming.write(RAW).unwrap();
    let provenance = Provenance {
        account: name("home"),
        uid: Uid(b"uid-1".to_vec()),
        ordinal: 0,
        digest: Digest::of(RAW),
        size: RAW.len() as u64,
        retrieved: Timestamp(1000),
    };
    let arrival = Arrival { provenance, body: incoming.seal().unwrap(), header: None, listed: None };
    spool.admit(vec![arrival]).await.unwrap();
    let lease = spool.lease_messages(1, Timestamp(2000)).await.unwrap().pop().unwrap();
    let envelope = Envelope { from: None, to: vec![Address::new("b@b.example").unwrap()] };
    let action = Action::Send { envelope, add_headers: Vec::new() };
    let digest = Digest::of(RAW);
    let effect = Effect {
        id: Effect::derive_id(
            &lease.message,
            &name("main"),
            &name("forward"),
            &name("relay"),
            &action,
            &digest,
        ),
        step: name("forward"),
        sink: name("relay"),
        action,
        content: Content::raw(RAW.len() as u64),
        digest,
        size: RAW.len() as u64,
        required: true,
    };
    let (message, effects) = (lease.message, vec![effect]);
    let plan = Plan {
        effects,
        labels: Vec::new(),
        verdict: Verdict::Keep,
        kv: Vec::new(),
        kv_seen: Vec::new(),
        trace: Vec::new(),
    };
    spool.plan(lease, plan, Timestamp(3000)).await.unwrap();
    message
}

const HOLD: &str = "in_doubt = \"hold\"";

#[tokio::test]
async fn answers_lost_after_the_final_dot_deliver_at_most_twice_and_then_it_is_the_operators() {
    for (more, most) in [("", 2), (HOLD, 1)] {
        for lost in 1..=3 {
            let relay = Relay::start(Arc::new(MemorySpool::new()), more).await;
            relay.receiver.inject(ReceiverFault::AcceptThenDrop, Times::Next(lost));
            while let Some(outcome) = relay.attempt().await {
                relay.settle(outcome).await;
            }
            let record = relay.record().await;
            assert!(relay.deliveries() <= most, "{more} {lost}: {record:?}");
            let delivered = record.state == EffectState::Done;
            assert_eq!(delivered, more.is_empty() && lost == 1, "{more} {lost}: {record:?}");
            if !delivered {
                assert_eq!((record.state, record.doubts as usize), (EffectState::Parked, most));
                let reason = record.reason.unwrap();
                for words in ["in doubt", "receiving side", "queue retry", "queue release"] {
                    assert!(reason.contains(words), "{words:?} is not in {reason}");
                }
            }
        }
    }
}

#[tokio::test]
async fn crashes_between_the_final_dot_and_the_receipt_deliver_at_most_twice() {
    for (more, most) in [("", 2), (HOLD, 1)] {
        let state = tempfile::tempdir().unwrap();
        let spool: Arc<dyn Spool> = Arc::new(SqliteSpool::open(&state.path().join("state")).unwrap());
        let relay = Relay::start(spool, more).await;
        for _ in 0..10 {
            // The server took it; this process died before it could say so.
            let Some((lease, settlement)) = relay.attempt().await else { break };
            match settlement {
                Settlement::Done(_) => {
                    drop(lease);
                    relay.crash().await;
                }
                other => relay.settle((lease, other)).await,
            }
        }
        let record = relay.record().await;
        assert_eq!(relay.deliveries(), most, "{record:?}");
        assert_eq!((record.state, record.doubts as usize), (EffectState::Parked, most));
    }
}

/// Every mix of four outcomes: taken, answer lost, refused for now, a crash after the answer.
#[tokio::test]
async fn no_mix_of_crashes_refusals_and_lost_answers_delivers_more_than_was_promised() {
    const STEPS: u32 = 4;
    for (more, most) in [("", 2), (HOLD, 1)] {
        for mix in 0..3_u32.pow(STEPS) {
            let relay = Relay::start(Arc::new(MemorySpool::new()), more).await;
            for step in 0..STEPS {
                relay.receiver.clear_faults();
                let what = mix / 3_u32.pow(step) % 3;
                match what {
                    0 => relay.receiver.inject(ReceiverFault::AcceptThenDrop, Times::Next(1)),
                    1 => {
                        let (stage, text) =
                            (postroom_practice::receiver::Stage::Message, "4.3.0 later".into());
                        relay
                            .receiver
                            .inject(ReceiverFault::Reply { stage, code: 451, text }, Times::Next(1));
                    }
                    _ => {}
                }
                let Some((lease, settlement)) = relay.attempt().await else { break };
                match (what, settlement) {
                    (2, Settlement::Done(_)) => relay.crash().await,
                    (_, settlement) => relay.settle((lease, settlement)).await,
                }
            }
            relay.receiver.clear_faults();
            while let Some(outcome) = relay.attempt().await {
                relay.settle(outcome).await;
            }
            let record = relay.record().await;
            let deliveries = relay.deliveries();
            assert!(deliveries <= most, "{more} {mix}: {deliveries} deliveries, {record:?}");
            match record.state {
                EffectState::Done => assert!(deliveries >= 1, "{more} {mix}: lost"),
                EffectState::Parked => assert_eq!(record.doubts as usize, most, "{more} {mix}"),
                EffectState::Pending | EffectState::Inflight => panic!("{more} {mix}: {record:?}"),
            }
        }
    }
}

/// A sink that fails as a whole is tried a few times, not once for each effect; what was not tried has lost no attempt.
#[tokio::test]
async fn a_dead_relay_opens_the_breaker_and_says_why() {
    let relay = Relay::start(Arc::new(MemorySpool::new()), "").await;
    let stage = postroom_practice::receiver::Stage::Greeting;
    let fault = ReceiverFault::Reply { stage, code: 421, text: "overloaded".into() };
    relay.receiver.inject(fault, Times::Always);
    let mut tried = 0;
    while relay.breakers.left_alone().is_empty() {
        let outcome = relay.attempt().await.unwrap();
        assert!(matches!(outcome.1, Settlement::Retry { .. }), "{:?}", outcome.1);
        relay.settle(outcome).await;
        tried += 1;
    }
    assert_eq!(tried, 5);
    let left = &relay.breakers.left_alone()[&name("relay")];
    assert!(left.reason.contains("overloaded"), "{left:?}");
    relay.receiver.clear_faults();
    let outcome = relay.attempt().await.unwrap();
    relay.settle(outcome).await;
    assert!(relay.breakers.left_alone().is_empty(), "one success closes it");
}

/// A relay that has its share is no failing relay: the message waits, loses no attempt, and goes when it may.
#[tokio::test]
async fn mail_beyond_the_pace_of_its_domain_waits_without_an_attempt_and_then_goes() {
    let relay = Relay::start(Arc::new(MemorySpool::new()), "per_minute = 1").await;
    let now = Timestamp(relay.now.load(Ordering::Relaxed));
    let effect = relay.spool.history(relay.message).await.unwrap().unwrap().effects.remove(0).effect;
    relay.sink.take(&effect, now).unwrap();
    let outcome = relay.attempt().await.unwrap();
    let Settlement::Hold { at, reason } = &outcome.1 else { panic!("{:?}", outcome.1) };
    assert_eq!(*at, now.after(Duration::from_secs(60)));
    assert!(reason.contains("b.example gets no more than per_minute = 1"), "{reason}");
    relay.settle(outcome).await;
    assert_eq!(relay.deliveries(), 0);
    assert!(relay.breakers.left_alone().is_empty());

    relay.receiver.inject(
        ReceiverFault::Reply {
            stage: postroom_practice::receiver::Stage::Message,
            code: 451,
            text: "4.3.0 later".into(),
        },
        Times::Next(1),
    );
    let refused = relay.attempt().await.unwrap();
    assert_eq!(refused.0.attempt, 1, "waiting was no attempt");
    assert!(matches!(refused.1, Settlement::Retry { .. }), "{:?}", refused.1);
    relay.settle(refused).await;
    // What was refused is given back, so the next attempt is not held.
    let sent = relay.attempt().await.unwrap();
    assert!(matches!(sent.1, Settlement::Done(_)), "{:?}", sent.1);
    relay.settle(sent).await;
    assert_eq!(relay.deliveries(), 1);
}

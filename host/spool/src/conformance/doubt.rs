//! Doubt: an attempt that may have happened without anybody knowing is counted as that, and only that is.

use postroom_mail::{MessageId, Timestamp};

use super::Factory;
use super::sample::{Fresh, admit, effect, lease_one, name, plan, receipt};
use crate::{EffectLease, EffectRecord, EffectState, Error, Leases, MessageState, Settlement};

pub(super) async fn suite(factory: Factory<'_>) {
    an_attempt_that_was_sending_and_never_settled_is_a_doubt(factory()).await;
    a_known_outcome_takes_the_doubt_back_and_a_lost_answer_keeps_it(factory()).await;
    a_lease_that_no_longer_holds_may_send_nothing(factory()).await;
    trying_again_takes_one_doubt_back(factory()).await;
}

const NOW: Timestamp = Timestamp(2000);

/// Plans one effect at the relay.
async fn relayed(spool: &Fresh) -> MessageId {
    let message = admit(&**spool, "u", b"octets").await;
    let lease = lease_one(&**spool, NOW).await;
    let effects = vec![effect(&lease, "relay", "a", true)];
    spool.plan(lease, plan(effects), NOW).await.unwrap();
    message
}

async fn lease(spool: &Fresh) -> EffectLease {
    spool.lease_effects(&name("relay"), 1, NOW).await.unwrap().pop().expect("it is due")
}

async fn record(spool: &Fresh, message: MessageId) -> EffectRecord {
    spool.history(message).await.unwrap().unwrap().effects.remove(0)
}

async fn an_attempt_that_was_sending_and_never_settled_is_a_doubt(spool: Fresh) {
    let message = relayed(&spool).await;
    let leased = lease(&spool).await;
    assert_eq!(leased.doubts, 0);
    spool.release(Leases::Effects, NOW).await.unwrap();
    for doubts in 0..3 {
        let leased = lease(&spool).await;
        assert_eq!(leased.doubts, doubts, "only attempts that passed the mark");
        assert_eq!(record(&spool, message).await.doubts, doubts, "this one is under way");
        spool.sending(&leased, NOW).await.unwrap();
        spool.sending(&leased, NOW).await.unwrap();
        assert_eq!(record(&spool, message).await.doubts, doubts, "this one is under way");
        spool.release(Leases::Effects, NOW).await.unwrap();
        assert_eq!(record(&spool, message).await.doubts, doubts + 1, "nobody will settle it");
    }
}

async fn a_known_outcome_takes_the_doubt_back_and_a_lost_answer_keeps_it(spool: Fresh) {
    let message = relayed(&spool).await;
    let again = || Settlement::Retry { at: NOW, reason: "451 later".into() };
    let held = || Settlement::Hold { at: NOW, reason: "530 who are you".into() };
    let lost = |at| Settlement::Doubt { at, reason: "no answer".into() };
    for (settlement, doubts) in [(again(), 0), (lost(Some(NOW)), 1), (held(), 1), (again(), 1)] {
        let leased = lease(&spool).await;
        spool.sending(&leased, NOW).await.unwrap();
        spool.settle(leased, settlement, NOW).await.unwrap();
        assert_eq!(record(&spool, message).await.doubts, doubts);
    }
    let leased = lease(&spool).await;
    assert_eq!((leased.doubts, leased.attempt), (1, 4), "a doubt is an attempt");
    spool.sending(&leased, NOW).await.unwrap();
    spool.settle(leased, lost(None), NOW).await.unwrap();
    let found = record(&spool, message).await;
    assert_eq!((found.state, found.doubts, found.due), (EffectState::Parked, 2, None));
    let history = spool.history(message).await.unwrap().unwrap();
    assert_eq!(history.state, MessageState::Quarantined, "it is required");
    assert!(history.events.iter().any(|event| event.text.contains("may or may not have happened")));
}

async fn trying_again_takes_one_doubt_back(spool: Fresh) {
    let message = relayed(&spool).await;
    for at in [Some(NOW), None] {
        let leased = lease(&spool).await;
        spool.sending(&leased, NOW).await.unwrap();
        spool.settle(leased, Settlement::Doubt { at, reason: "no answer".into() }, NOW).await.unwrap();
    }
    assert_eq!(record(&spool, message).await.doubts, 2);
    spool.retry(vec![message], None, NOW).await.unwrap().remove(0).outcome.unwrap();
    assert_eq!(record(&spool, message).await.doubts, 1, "one more may be sent, not two");
    let leased = lease(&spool).await;
    assert_eq!(leased.doubts, 1);
    spool.sending(&leased, NOW).await.unwrap();
    spool.release(Leases::Effects, NOW).await.unwrap();
    // A mark that nobody settled counts before one is taken back.
    for doubts in [1, 0, 0] {
        spool.discard(vec![message], NOW).await.unwrap().remove(0).outcome.unwrap();
        spool.retry(vec![message], None, NOW).await.unwrap().remove(0).outcome.unwrap();
        assert_eq!(record(&spool, message).await.doubts, doubts);
    }
}

async fn a_lease_that_no_longer_holds_may_send_nothing(spool: Fresh) {
    let message = relayed(&spool).await;
    let leased = lease(&spool).await;
    spool.release(Leases::Effects, NOW).await.unwrap();
    assert!(matches!(spool.sending(&leased, NOW).await, Err(Error::Conflict(_))));
    let second = lease(&spool).await;
    assert!(matches!(spool.sending(&leased, NOW).await, Err(Error::Conflict(_))), "another attempt's");
    spool.sending(&second, NOW).await.unwrap();
    spool.settle(second, Settlement::Done(receipt()), NOW).await.unwrap();
    assert_eq!(record(&spool, message).await.doubts, 0);
}

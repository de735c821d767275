//! Sweeping frees what ended long enough ago, and nothing else.

use std::time::Duration;

use postroom_mail::{Plan, Timestamp};

use super::Factory;
use super::sample::{self, Fresh, admit, arrival, effect, lease_one, listed, name, plan};
use crate::{DeletePolicy, Error, Forget, MessageState, Remedy, Settlement, Why};

const NOW: Timestamp = Timestamp(2000);

pub(super) async fn suite(factory: Factory<'_>) {
    a_sweep_frees_what_ended_long_ago(factory()).await;
    a_sweep_keeps_what_is_open(factory()).await;
    a_sweep_keeps_the_only_copy(factory()).await;
    a_sweep_keeps_what_the_server_may_not_have(factory()).await;
    a_discarded_message_whose_copy_was_let_go_keeps_its_last_one(factory()).await;
    what_is_sound_is_not_marked_as_damaged(factory()).await;
}

async fn a_sweep_frees_what_ended_long_ago(spool: Fresh) {
    let keep = Duration::from_secs(10);
    let done = admit(&*spool, "done", &sample::noise(3, 5000)).await;
    let lease = lease_one(&*spool, Timestamp(2000)).await;
    spool.plan(lease, plan(Vec::new()), Timestamp(2000)).await.unwrap();
    let body = spool.open(done).await.unwrap();
    assert_eq!(spool.sweep(keep, Timestamp(11_999)).await.unwrap().bodies, 0, "one millisecond early");
    let swept = spool.sweep(keep, Timestamp(12_000)).await.unwrap();
    assert_eq!(swept.bodies, 1);
    assert!(swept.octets >= 5000, "{swept:?}");
    assert!(matches!(spool.open(done).await, Err(Error::Gone(_))));
    assert_eq!(sample::octets(&body), sample::noise(3, 5000), "an open body stays readable");
    assert_eq!(spool.sweep(keep, Timestamp(i64::MAX)).await.unwrap().bodies, 0, "it is gone already");
    // The ledger forgets nothing.
    assert_eq!(spool.reconcile(&name("shop"), &[listed("done", 5000)]).await.unwrap().known, 1);
    let again = arrival(&*spool, "done", &sample::noise(3, 5000));
    assert!(!spool.admit(vec![again]).await.unwrap()[0].new);
    assert_eq!(spool.history(done).await.unwrap().unwrap().state, MessageState::Done);
    let next = admit(&*spool, "next", b"after the sweep").await;
    assert_eq!(sample::octets(&spool.open(next).await.unwrap()), b"after the sweep");
}

async fn a_sweep_keeps_the_only_copy(spool: Fresh) {
    let (shop, at_once) = (name("shop"), DeletePolicy::Spooled { after: Duration::ZERO });
    let listing = [listed("kept", 6), listed("there", 6)];
    let kept = admit(&*spool, "kept", b"octets").await;
    spool.plan(lease_one(&*spool, NOW).await, plan(Vec::new()), NOW).await.unwrap();
    let there = admit(&*spool, "there", b"octets").await;
    spool.plan(lease_one(&*spool, NOW).await, plan(Vec::new()), NOW).await.unwrap();
    let proofs = spool.removable(&shop, &listing[..1], at_once, NOW).await.unwrap().removable;
    spool.removed(proofs, NOW).await.unwrap();
    assert_eq!(spool.sweep(Duration::ZERO, Timestamp(i64::MAX)).await.unwrap().bodies, 1);
    assert_eq!(sample::octets(&spool.open(kept).await.unwrap()), b"octets");
    assert!(matches!(spool.open(there).await, Err(Error::Gone(_))));
    let removals = spool.removable(&shop, &listing[1..], at_once, NOW).await.unwrap();
    assert!(removals.removable.is_empty(), "now the server's is the only copy");
    assert_eq!(removals.kept[0].why, Why::NoCopy);
}

async fn a_sweep_keeps_what_the_server_may_not_have(spool: Fresh) {
    let (shop, at_once) = (name("shop"), DeletePolicy::Spooled { after: Duration::ZERO });
    let all = ["taken", "forgotten", "reused", "there"];
    let listing = all.map(|uid| listed(uid, 6));
    let mut messages = Vec::new();
    for uid in all {
        messages.push(admit(&*spool, uid, b"octets").await);
        spool.plan(lease_one(&*spool, NOW).await, plan(Vec::new()), NOW).await.unwrap();
    }
    // The answer to QUIT is lost, and then the row.
    let proofs = spool.removable(&shop, &listing[1..2], at_once, NOW).await.unwrap().removable;
    spool.deleting(&proofs, NOW).await.unwrap();
    spool.forget(&shop, Forget::Uid(listing[1].uid.clone()), NOW).await.unwrap();
    let other = admit(&*spool, "reused", b"another message").await;
    let missing = [listing[2].clone(), listing[3].clone()];
    spool.observe(&shop, &missing, true, Duration::MAX, NOW).await.unwrap();
    assert_eq!(spool.sweep(Duration::ZERO, Timestamp(i64::MAX)).await.unwrap().bodies, 1);
    for message in &messages[..3] {
        assert_eq!(sample::octets(&spool.open(*message).await.unwrap()), b"octets");
    }
    assert!(matches!(spool.open(messages[3]).await, Err(Error::Gone(_))), "the server has it");
    assert_eq!(sample::octets(&spool.open(other).await.unwrap()), b"another message", "it is not done");
    let back = [listing[0].clone(), listing[2].clone(), listing[3].clone()];
    spool.observe(&shop, &back, true, Duration::MAX, NOW).await.unwrap();
    assert_eq!(spool.sweep(Duration::ZERO, Timestamp(i64::MAX)).await.unwrap().bodies, 1, "it is back");
    assert!(matches!(spool.open(messages[0]).await, Err(Error::Gone(_))));
}

async fn a_discarded_message_whose_copy_was_let_go_keeps_its_last_one(spool: Fresh) {
    let (shop, listing) = (name("shop"), [listed("u", 6)]);
    let message = admit(&*spool, "u", b"octets").await;
    let lease = lease_one(&*spool, NOW).await;
    let effects = vec![effect(&lease, "vault", "a", true)];
    spool.plan(lease, Plan { effects, ..sample::discard() }, NOW).await.unwrap();
    let lease = spool.lease_effects(&name("vault"), 1, NOW).await.unwrap().remove(0);
    spool.settle(lease, Settlement::Park { reason: "no".into() }, NOW).await.unwrap();
    spool.let_go(vec![message], None, NOW).await.unwrap().remove(0).outcome.unwrap();
    assert_eq!(sample::state(&*spool, message).await, MessageState::Discarded);
    let done = DeletePolicy::Done { after: Duration::ZERO, keep: None, over: None };
    let spooled = DeletePolicy::Spooled { after: Duration::ZERO };
    let kept = spool.removable(&shop, &listing, done, NOW).await.unwrap().kept;
    assert_eq!(kept.first().map(|kept| kept.why), Some(Why::NoCopy));
    let proofs = spool.removable(&shop, &listing, spooled, NOW).await.unwrap().removable;
    spool.removed(proofs, NOW).await.unwrap();
    assert_eq!(spool.sweep(Duration::ZERO, Timestamp(i64::MAX)).await.unwrap().bodies, 0, "the only copy");
    spool.returned(&shop, &listing[0], NOW).await.unwrap();
    assert_eq!(spool.sweep(Duration::ZERO, Timestamp(i64::MAX)).await.unwrap().bodies, 1);
    let kept = spool.removable(&shop, &listing, spooled, NOW).await.unwrap().kept;
    assert_eq!(kept.first().map(|kept| kept.why), Some(Why::NoCopy), "now the server's is");
}

async fn a_sweep_keeps_what_is_open(spool: Fresh) {
    let now = Timestamp(2000);
    let planned = admit(&*spool, "planned", b"planned").await;
    let lease = lease_one(&*spool, now).await;
    let effects = vec![effect(&lease, "vault", "a", true)];
    spool.plan(lease, plan(effects), now).await.unwrap();
    let parked = admit(&*spool, "parked", b"parked").await;
    let lease = lease_one(&*spool, now).await;
    let effects = vec![effect(&lease, "copy", "a", true)];
    spool.plan(lease, plan(effects), now).await.unwrap();
    let lease = spool.lease_effects(&name("copy"), 1, now).await.unwrap().remove(0);
    spool.settle(lease, Settlement::Park { reason: "no".into() }, now).await.unwrap();
    let aside = admit(&*spool, "aside", b"aside").await;
    let lease = lease_one(&*spool, now).await;
    let effects = vec![effect(&lease, "vault", "b", false)];
    spool.plan(lease, sample::quarantine(effects), now).await.unwrap();
    let discarded = admit(&*spool, "discarded", b"discarded").await;
    let lease = lease_one(&*spool, now).await;
    spool.plan(lease, sample::discard(), now).await.unwrap();
    let spooled = admit(&*spool, "spooled", b"spooled").await;
    assert_eq!(spool.sweep(Duration::ZERO, Timestamp(i64::MAX)).await.unwrap().bodies, 1);
    assert!(matches!(spool.open(discarded).await, Err(Error::Gone(_))));
    for (message, octets) in
        [(planned, &b"planned"[..]), (parked, b"parked"), (aside, b"aside"), (spooled, b"spooled")]
    {
        assert_eq!(sample::octets(&spool.open(message).await.unwrap()), octets);
    }
}

async fn what_is_sound_is_not_marked_as_damaged(spool: Fresh) {
    let later = Timestamp(NOW.0 + 8 * 24 * 3_600_000);
    let message = admit(&*spool, "sound", b"octets").await;
    assert_eq!(spool.scrub(u64::MAX, later).await.unwrap().damaged, []);
    let remedy = spool.damaged(message, "so it seemed".to_owned(), later).await.unwrap();
    assert_eq!(remedy, Remedy::Sound);
    assert_eq!(spool.reconcile(&name("shop"), &[listed("sound", 6)]).await.unwrap().known, 1);
    assert_eq!(sample::octets(&spool.open(message).await.unwrap()), b"octets");
}

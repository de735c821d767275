//! Inbox and outbox: attempts are counted, plans are final, effects end in a receipt or with a reason.

use postroom_mail::{Digest, KvSeen, Plan, Timestamp, Verdict};

use super::Factory;
use super::sample::{self, Fresh, admit, effect, lease_one, name, plan, receipt, state, write};
use crate::{
    EffectLease, EffectState, Error, Leases, MessageLease, MessageState, Planned, Receipt, Settlement, Spool,
    Stored,
};

pub(super) async fn suite(factory: Factory<'_>) {
    messages_are_leased_oldest_first_and_counted(factory()).await;
    a_deferred_message_waits_for_its_time(factory()).await;
    a_quarantined_message_stays_aside(factory()).await;
    a_plan_is_final(factory()).await;
    effects_go_to_their_sink_in_order(factory()).await;
    a_message_is_done_with_its_last_effect(factory()).await;
    a_parked_required_effect_quarantines(factory()).await;
    a_parked_optional_effect_does_not(factory()).await;
    a_retried_effect_waits_for_its_time(factory()).await;
    what_waits_can_be_made_due_now(factory()).await;
    messages_of_an_account_can_be_made_due_and_others_stay(factory()).await;
    a_message_put_back_loses_no_attempt(factory()).await;
    a_held_effect_loses_no_attempt(factory()).await;
    released_messages_are_due_again(factory()).await;
    runs_that_could_not_be_recorded_do_not_count(factory()).await;
    released_effects_are_due_again(factory()).await;
    a_verdict_comes_true_after_the_effects(factory()).await;
    the_same_effect_twice_is_one(factory()).await;
    state_of_steps_is_committed_with_the_plan(factory()).await;
    the_octets_of_a_steps_state_are_its_keys_its_values_and_some_for_each_entry(factory()).await;
    a_plan_that_was_decided_by_another_state_is_dropped_and_counts_no_attempt(factory()).await;
    the_next_due_time_is_the_least(factory()).await;
    receipts_are_told_in_the_order_in_which_they_came(factory()).await;
}

const NOW: Timestamp = Timestamp(2000);

/// A lease like this one, as if its first holder was given up and came back.
fn copy(lease: &MessageLease) -> MessageLease {
    let (provenance, message, attempt) = (lease.provenance.clone(), lease.message, lease.attempt);
    MessageLease { provenance, message, attempt }
}

async fn sink_lease(spool: &dyn Spool, sink: &str, now: Timestamp) -> EffectLease {
    spool.lease_effects(&name(sink), 1, now).await.unwrap().pop().expect("an effect is due")
}

async fn messages_are_leased_oldest_first_and_counted(spool: Fresh) {
    let mut admitted = Vec::new();
    for uid in ["c", "a", "b"] {
        admitted.push(admit(&*spool, uid, uid.as_bytes()).await);
    }
    assert!(spool.lease_messages(9, Timestamp(999)).await.unwrap().is_empty(), "retrieved at 1000");
    let first = spool.lease_messages(2, NOW).await.unwrap();
    let second = spool.lease_messages(2, NOW).await.unwrap();
    let leased: Vec<_> = first.iter().chain(&second).map(|lease| (lease.message, lease.attempt)).collect();
    assert_eq!(leased, admitted.iter().map(|message| (*message, 1)).collect::<Vec<_>>());
    assert!(spool.lease_messages(9, NOW).await.unwrap().is_empty(), "all are out");
    assert_eq!(state(&*spool, admitted[0]).await, MessageState::Running);
    assert_eq!(first[0].provenance.message(), admitted[0]);
}

async fn a_deferred_message_waits_for_its_time(spool: Fresh) {
    let message = admit(&*spool, "u", b"octets").await;
    let lease = lease_one(&*spool, NOW).await;
    let stale = copy(&lease);
    spool.defer(lease, Timestamp(5000), "trap".into(), Vec::new(), NOW).await.unwrap();
    let history = spool.history(message).await.unwrap().unwrap();
    assert_eq!((history.state, history.reason.as_deref()), (MessageState::Spooled, Some("trap")));
    assert!(spool.lease_messages(9, Timestamp(4999)).await.unwrap().is_empty());
    let lease = lease_one(&*spool, Timestamp(5000)).await;
    assert_eq!(lease.attempt, 2);
    let refused = spool.plan(stale, plan(Vec::new()), NOW).await;
    assert!(matches!(refused, Err(Error::Conflict(_))), "a lease that was given back is void: {refused:?}");
    spool.plan(lease, plan(Vec::new()), NOW).await.unwrap();
    assert_eq!(state(&*spool, message).await, MessageState::Done);
    assert_eq!(spool.history(message).await.unwrap().unwrap().reason, None);
}

async fn what_waits_can_be_made_due_now(spool: Fresh) {
    admit(&*spool, "u", b"octets").await;
    let lease = lease_one(&*spool, NOW).await;
    spool.defer(lease, Timestamp(9000), "later".into(), Vec::new(), NOW).await.unwrap();
    assert_eq!(spool.expedite(NOW).await.unwrap(), 1);
    assert_eq!(spool.expedite(NOW).await.unwrap(), 0, "nothing waits any more");
    assert_eq!(lease_one(&*spool, NOW).await.attempt, 2, "attempts stay counted");
}

async fn messages_of_an_account_can_be_made_due_and_others_stay(spool: Fresh) {
    admit(&*spool, "u", b"octets").await;
    let lease = lease_one(&*spool, NOW).await;
    spool.put_back(lease, Timestamp(9000), "paused".into(), NOW).await.unwrap();
    assert_eq!(spool.hasten(&[name("other")], NOW).await.unwrap(), 0);
    assert!(spool.lease_messages(9, NOW).await.unwrap().is_empty(), "another account's stay");
    assert_eq!(spool.hasten(&[name("other"), name("shop")], NOW).await.unwrap(), 1);
    assert_eq!(spool.hasten(&[name("shop")], NOW).await.unwrap(), 0, "it is due already");
    assert_eq!(lease_one(&*spool, NOW).await.attempt, 1);
}

async fn a_message_put_back_loses_no_attempt(spool: Fresh) {
    let message = admit(&*spool, "u", b"octets").await;
    let lease = lease_one(&*spool, NOW).await;
    spool.defer(lease, NOW, "trap".into(), Vec::new(), NOW).await.unwrap();
    for _ in 0..3 {
        let lease = lease_one(&*spool, NOW).await;
        assert_eq!(lease.attempt, 2);
        let late = copy(&lease);
        spool.put_back(lease, Timestamp(5000), "no room".into(), NOW).await.unwrap();
        let history = spool.history(message).await.unwrap().unwrap();
        assert_eq!((history.state, history.attempts), (MessageState::Spooled, 1));
        assert_eq!(history.reason.as_deref(), Some("no room"));
        assert_eq!(history.events.last().unwrap().text, "to be tried again: no room");
        assert_eq!(spool.next_due(&[]).await.unwrap(), Some(Timestamp(5000)));
        let refused = spool.put_back(late, NOW, "twice".into(), NOW).await;
        assert!(matches!(refused, Err(Error::Conflict(_))), "{refused:?}");
        assert_eq!(spool.history(message).await.unwrap().unwrap().attempts, 1, "a refusal changes nothing");
        spool.expedite(NOW).await.unwrap();
    }
}

async fn a_held_effect_loses_no_attempt(spool: Fresh) {
    let message = admit(&*spool, "u", b"octets").await;
    let lease = lease_one(&*spool, NOW).await;
    let effects = vec![effect(&lease, "vault", "a", true)];
    spool.plan(lease, plan(effects), NOW).await.unwrap();
    let lease = sink_lease(&*spool, "vault", NOW).await;
    spool.settle(lease, Settlement::Retry { at: NOW, reason: "busy".into() }, NOW).await.unwrap();
    for now in [3000, 4000, 5000] {
        let lease = sink_lease(&*spool, "vault", Timestamp(now)).await;
        assert_eq!(lease.attempt, 2);
        let hold = Settlement::Hold { at: Timestamp(now + 1000), reason: "no route".into() };
        spool.settle(lease, hold, Timestamp(now)).await.unwrap();
        let record = spool.history(message).await.unwrap().unwrap().effects.remove(0);
        assert_eq!((record.state, record.attempts), (EffectState::Pending, 1));
        assert_eq!((record.due, record.reason.as_deref()), (Some(Timestamp(now + 1000)), Some("no route")));
        assert!(spool.lease_effects(&name("vault"), 9, Timestamp(now + 999)).await.unwrap().is_empty());
    }
    assert_eq!(state(&*spool, message).await, MessageState::Planned);
}

async fn runs_that_could_not_be_recorded_do_not_count(spool: Fresh) {
    admit(&*spool, "u", b"octets").await;
    for _ in 0..9 {
        assert_eq!(lease_one(&*spool, NOW).await.attempt, 1);
        assert_eq!(spool.release(Leases::Unrecorded, NOW).await.unwrap(), 1);
    }
}

async fn released_messages_are_due_again(spool: Fresh) {
    assert_eq!(spool.release(Leases::Messages, NOW).await.unwrap(), 0, "nothing is leased");
    for uid in ["a", "b", "c", "d"] {
        admit(&*spool, uid, uid.as_bytes()).await;
    }
    let mut leases = spool.lease_messages(3, NOW).await.unwrap();
    let lease = leases.remove(0);
    spool.plan(lease, plan(vec![effect(&leases[0], "vault", "a", true)]), NOW).await.unwrap();
    let held = sink_lease(&*spool, "vault", NOW).await;
    assert_eq!(spool.release(Leases::Messages, Timestamp(6000)).await.unwrap(), 2);
    for lease in leases {
        let refused = spool.put_back(lease, NOW, "late".into(), NOW).await;
        assert!(matches!(refused, Err(Error::Conflict(_))), "a released lease is void: {refused:?}");
    }
    assert_eq!(lease_one(&*spool, Timestamp(5999)).await.attempt, 1, "the one that was never leased");
    let again = spool.lease_messages(9, Timestamp(6000)).await.unwrap();
    assert_eq!(again.iter().map(|lease| lease.attempt).collect::<Vec<_>>(), [2, 2], "attempts stay counted");
    spool.settle(held, Settlement::Done(receipt()), NOW).await.unwrap();
}

async fn released_effects_are_due_again(spool: Fresh) {
    admit(&*spool, "u", b"octets").await;
    let lease = lease_one(&*spool, NOW).await;
    let effects = ["a", "b", "c"].map(|key| effect(&lease, "vault", key, true));
    spool.plan(lease, plan(effects.into()), NOW).await.unwrap();
    admit(&*spool, "running", b"octets").await;
    let running = lease_one(&*spool, NOW).await;
    let mut held = spool.lease_effects(&name("vault"), 2, NOW).await.unwrap();
    let parked = held.remove(0);
    spool.settle(parked, Settlement::Park { reason: "no".into() }, NOW).await.unwrap();
    assert_eq!(spool.release(Leases::Effects, Timestamp(6000)).await.unwrap(), 1);
    let refused = spool.settle(held.remove(0), Settlement::Done(receipt()), NOW).await;
    assert!(matches!(refused, Err(Error::Conflict(_))), "a released lease is void: {refused:?}");
    let first = spool.lease_effects(&name("vault"), 9, Timestamp(5999)).await.unwrap();
    assert_eq!(first.iter().map(|lease| lease.attempt).collect::<Vec<_>>(), [1], "never leased before");
    let again = spool.lease_effects(&name("vault"), 9, Timestamp(6000)).await.unwrap();
    assert_eq!(again.iter().map(|lease| lease.attempt).collect::<Vec<_>>(), [2], "attempts stay counted");
    spool.plan(running, plan(Vec::new()), NOW).await.unwrap();
}

async fn a_quarantined_message_stays_aside(spool: Fresh) {
    let message = admit(&*spool, "u", b"octets").await;
    let lease = lease_one(&*spool, NOW).await;
    spool.quarantine(lease, "attempt 5 failed".into(), Vec::new(), NOW).await.unwrap();
    let history = spool.history(message).await.unwrap().unwrap();
    assert_eq!((history.state, history.attempts), (MessageState::Quarantined, 1));
    assert_eq!(history.reason.as_deref(), Some("attempt 5 failed"));
    assert!(spool.lease_messages(9, Timestamp(i64::MAX)).await.unwrap().is_empty());
    assert_eq!(sample::octets(&spool.open(message).await.unwrap()), b"octets");
}

async fn a_plan_is_final(spool: Fresh) {
    let message = admit(&*spool, "u", b"octets").await;
    let lease = lease_one(&*spool, NOW).await;
    let (second, third) = (copy(&lease), copy(&lease));
    let effects = vec![effect(&lease, "vault", "a", true)];
    let late = vec![effect(&lease, "vault", "b", true)];
    spool.plan(lease, plan(effects), NOW).await.unwrap();
    let refused = spool.plan(second, Plan { kv: vec![write("s", "k", Some(b"v"))], ..plan(late) }, NOW).await;
    assert!(matches!(refused, Err(Error::Conflict(_))), "{refused:?}");
    assert!(matches!(spool.defer(third, NOW, "late".into(), Vec::new(), NOW).await, Err(Error::Conflict(_))));
    let history = spool.history(message).await.unwrap().unwrap();
    assert_eq!((history.effects.len(), history.state), (1, MessageState::Planned));
    assert_eq!(spool.kv_get("s", "k").unwrap(), None);
    assert_eq!((history.labels, history.trace), (plan(Vec::new()).labels, plan(Vec::new()).trace));
    assert_eq!(history.verdict, Some(Verdict::Keep));
}

async fn effects_go_to_their_sink_in_order(spool: Fresh) {
    let mut expected = Vec::new();
    for uid in ["u1", "u2"] {
        admit(&*spool, uid, uid.as_bytes()).await;
        let lease = lease_one(&*spool, NOW).await;
        let effects = vec![
            effect(&lease, "vault", "b", true),
            effect(&lease, "vault", "a", true),
            sample::send(&lease, "relay"),
        ];
        expected.extend(effects[..2].iter().map(|effect| (effect.clone(), 1)));
        spool.plan(lease, plan(effects), NOW).await.unwrap();
    }
    let first = spool.lease_effects(&name("vault"), 3, NOW).await.unwrap();
    let second = spool.lease_effects(&name("vault"), 3, NOW).await.unwrap();
    let leased: Vec<_> =
        first.iter().chain(&second).map(|lease| (lease.effect.clone(), lease.attempt)).collect();
    assert_eq!(leased, expected);
    assert!(first.iter().all(|lease| lease.provenance.message() == lease.message));
    assert_eq!(spool.lease_effects(&name("relay"), 9, NOW).await.unwrap().len(), 2);
    assert!(spool.lease_effects(&name("none"), 9, NOW).await.unwrap().is_empty());
}

async fn a_message_is_done_with_its_last_effect(spool: Fresh) {
    let message = admit(&*spool, "u", b"octets").await;
    let lease = lease_one(&*spool, NOW).await;
    let effects = vec![effect(&lease, "vault", "a", true), effect(&lease, "copy", "a", false)];
    spool.plan(lease, plan(effects), NOW).await.unwrap();
    let lease = sink_lease(&*spool, "vault", NOW).await;
    spool.settle(lease, Settlement::Done(receipt()), NOW).await.unwrap();
    assert_eq!(state(&*spool, message).await, MessageState::Planned);
    let lease = sink_lease(&*spool, "copy", NOW).await;
    spool.settle(lease, Settlement::Done(receipt()), NOW).await.unwrap();
    let history = spool.history(message).await.unwrap().unwrap();
    assert_eq!(history.state, MessageState::Done);
    for record in history.effects {
        assert_eq!((record.state, record.attempts, record.due), (EffectState::Done, 1, None));
        assert_eq!(record.receipt, Some(receipt()));
    }
}

async fn a_parked_required_effect_quarantines(spool: Fresh) {
    let message = admit(&*spool, "u", b"octets").await;
    let lease = lease_one(&*spool, NOW).await;
    let effects = vec![effect(&lease, "vault", "a", true), effect(&lease, "copy", "a", true)];
    spool.plan(lease, plan(effects), NOW).await.unwrap();
    let lease = sink_lease(&*spool, "vault", NOW).await;
    spool.settle(lease, Settlement::Park { reason: "550 no".into() }, NOW).await.unwrap();
    let history = spool.history(message).await.unwrap().unwrap();
    assert_eq!(history.state, MessageState::Quarantined, "at once");
    assert!(history.reason.unwrap().contains("550 no"));
    let lease = sink_lease(&*spool, "copy", NOW).await;
    spool.settle(lease, Settlement::Done(receipt()), NOW).await.unwrap();
    let history = spool.history(message).await.unwrap().unwrap();
    assert_eq!(history.state, MessageState::Quarantined, "for good");
    let states: Vec<_> = history.effects.iter().map(|record| record.state).collect();
    assert_eq!(states, [EffectState::Parked, EffectState::Done], "the others go on");
}

async fn a_parked_optional_effect_does_not(spool: Fresh) {
    let message = admit(&*spool, "u", b"octets").await;
    let lease = lease_one(&*spool, NOW).await;
    spool
        .plan(lease, plan(vec![sample::send(&lease_like(message, &spool).await, "relay")]), NOW)
        .await
        .unwrap();
    let lease = sink_lease(&*spool, "relay", NOW).await;
    spool.settle(lease, Settlement::Park { reason: "550 no".into() }, NOW).await.unwrap();
    assert_eq!(state(&*spool, message).await, MessageState::Done);
    let counts = spool.counts(None).await.unwrap();
    assert_eq!((counts.effects_parked, counts.effects_open), (1, 0));
}

/// What a lease of the message says, without taking it.
async fn lease_like(message: postroom_mail::MessageId, spool: &Fresh) -> MessageLease {
    let history = spool.history(message).await.unwrap().unwrap();
    MessageLease { provenance: history.provenance, message, attempt: history.attempts }
}

async fn a_retried_effect_waits_for_its_time(spool: Fresh) {
    let message = admit(&*spool, "u", b"octets").await;
    let lease = lease_one(&*spool, NOW).await;
    let effects = vec![effect(&lease, "vault", "a", true)];
    spool.plan(lease, plan(effects), NOW).await.unwrap();
    let lease = sink_lease(&*spool, "vault", NOW).await;
    let retry = Settlement::Retry { at: Timestamp(9000), reason: "421 later".into() };
    spool.settle(lease, retry, NOW).await.unwrap();
    let record = spool.history(message).await.unwrap().unwrap().effects.remove(0);
    assert_eq!((record.state, record.due), (EffectState::Pending, Some(Timestamp(9000))));
    assert_eq!(record.reason.as_deref(), Some("421 later"));
    assert!(spool.lease_effects(&name("vault"), 9, Timestamp(8999)).await.unwrap().is_empty());
    let lease = sink_lease(&*spool, "vault", Timestamp(9000)).await;
    assert_eq!(lease.attempt, 2);
    spool.settle(lease, Settlement::Done(receipt()), Timestamp(9000)).await.unwrap();
    assert_eq!(state(&*spool, message).await, MessageState::Done);
}

async fn a_verdict_comes_true_after_the_effects(spool: Fresh) {
    for (verdict, before, after) in [
        (sample::discard().verdict, MessageState::Planned, MessageState::Discarded),
        (sample::quarantine(Vec::new()).verdict, MessageState::Quarantined, MessageState::Quarantined),
    ] {
        let message = admit(&*spool, &format!("{after:?}"), b"octets").await;
        let lease = lease_one(&*spool, NOW).await;
        let effects = vec![effect(&lease, "vault", "a", true)];
        spool.plan(lease, Plan { verdict, ..plan(effects) }, NOW).await.unwrap();
        assert_eq!(state(&*spool, message).await, before);
        assert!(spool.history(message).await.unwrap().unwrap().reason.unwrap().starts_with("step: "));
        let lease = sink_lease(&*spool, "vault", NOW).await;
        spool.settle(lease, Settlement::Done(receipt()), NOW).await.unwrap();
        assert_eq!(state(&*spool, message).await, after);
    }
}

async fn the_same_effect_twice_is_one(spool: Fresh) {
    let message = admit(&*spool, "u", b"octets").await;
    let lease = lease_one(&*spool, NOW).await;
    let effects = vec![effect(&lease, "vault", "a", true), effect(&lease, "vault", "a", true)];
    spool.plan(lease, plan(effects), NOW).await.unwrap();
    assert_eq!(spool.history(message).await.unwrap().unwrap().effects.len(), 1);
    assert_eq!(spool.lease_effects(&name("vault"), 9, NOW).await.unwrap().len(), 1);
}

async fn state_of_steps_is_committed_with_the_plan(spool: Fresh) {
    for (uid, value) in [("1", Some(&b"one"[..])), ("2", Some(b"")), ("3", None)] {
        admit(&*spool, uid, b"octets").await;
        let lease = lease_one(&*spool, NOW).await;
        let kv = vec![write("home/step/shop", "seen", value), write("home/step/shop", uid, Some(b"x"))];
        spool.plan(lease, Plan { kv, ..plan(Vec::new()) }, NOW).await.unwrap();
        assert_eq!(spool.kv_get("home/step/shop", "seen").unwrap().as_deref(), value);
    }
    assert_eq!(spool.kv_get("home/step/shop", "1").unwrap().as_deref(), Some(&b"x"[..]));
    assert_eq!(spool.kv_get("home/step/other", "1").unwrap(), None);
}

async fn the_octets_of_a_steps_state_are_its_keys_its_values_and_some_for_each_entry(spool: Fresh) {
    let scope = "home/step/shop";
    assert_eq!(spool.kv_total(scope).unwrap(), 0);
    let large = vec![0_u8; 100_000];
    for (uid, key, value, expected) in [
        ("1", "one", Some(&b"12345"[..]), 64 + 8),
        // Octets of the key, not characters, and of a value that is text to nobody.
        ("2", "\u{fc}\u{4e2d}", Some(b"\0\xff"), 128 + 8 + 7),
        ("3", "one", Some(b""), 128 + 3 + 7),
        ("4", "large", Some(&large), 192 + 3 + 7 + 100_005),
        ("5", "large", None, 128 + 3 + 7),
    ] {
        admit(&*spool, uid, b"octets").await;
        let lease = lease_one(&*spool, NOW).await;
        let kv = vec![write(scope, key, value), write("home/step/other", uid, Some(b"of another scope"))];
        spool.plan(lease, Plan { kv, ..plan(Vec::new()) }, NOW).await.unwrap();
        assert_eq!(spool.kv_total(scope).unwrap(), expected, "{key:?}");
    }
}

async fn a_plan_that_was_decided_by_another_state_is_dropped_and_counts_no_attempt(spool: Fresh) {
    let scope = "home/step/shop";
    let (mine, other) = (Some(&b"5"[..]), Some(&b"6"[..]));
    let seen = |digest| vec![KvSeen { scope: scope.to_owned(), key: "count".to_owned(), digest }];
    admit(&*spool, "1", b"one").await;
    admit(&*spool, "2", b"two").await;
    let mut leases = spool.lease_messages(2, NOW).await.unwrap();
    let (second, first) = (leases.remove(1), leases.remove(0));
    let late = second.message;
    let both = Plan { kv: vec![write(scope, "count", mine)], kv_seen: seen(None), ..plan(Vec::new()) };
    assert_eq!(spool.plan(first, both.clone(), NOW).await.unwrap(), Planned::Committed);
    assert_eq!(spool.plan(second, both, NOW).await.unwrap(), Planned::Stale);
    assert_eq!(spool.kv_get(scope, "count").unwrap().as_deref(), mine, "nothing of it was written");
    let again = lease_one(&*spool, NOW).await;
    assert_eq!((again.message, again.attempt), (late, 1));
    let now = seen(Some(Digest::of(b"5")));
    let plan = Plan { kv: vec![write(scope, "count", other)], kv_seen: now, ..plan(Vec::new()) };
    assert_eq!(spool.plan(again, plan, NOW).await.unwrap(), Planned::Committed);
    assert_eq!(spool.kv_get(scope, "count").unwrap().as_deref(), other);
}

async fn the_next_due_time_is_the_least(spool: Fresh) {
    let sinks = [name("vault"), name("copy")];
    assert_eq!(spool.next_due(&sinks).await.unwrap(), None);
    admit(&*spool, "u1", b"octets").await;
    assert_eq!(spool.next_due(&sinks).await.unwrap(), Some(Timestamp(1000)));
    let lease = lease_one(&*spool, NOW).await;
    assert_eq!(spool.next_due(&sinks).await.unwrap(), None, "what is leased does not count");
    let effects = vec![effect(&lease, "vault", "a", true), effect(&lease, "else", "a", true)];
    spool.plan(lease, plan(effects), NOW).await.unwrap();
    assert_eq!(spool.next_due(&sinks).await.unwrap(), Some(NOW));
    assert_eq!(spool.next_due(&sinks[1..]).await.unwrap(), None, "nothing for that sink");
    let lease = sink_lease(&*spool, "vault", NOW).await;
    let retry = Settlement::Retry { at: Timestamp(7000), reason: "later".into() };
    spool.settle(lease, retry, NOW).await.unwrap();
    assert_eq!(spool.next_due(&sinks).await.unwrap(), Some(Timestamp(7000)));
    admit(&*spool, "u2", b"octets").await;
    let lease = lease_one(&*spool, NOW).await;
    spool.defer(lease, Timestamp(6000), "later".into(), Vec::new(), NOW).await.unwrap();
    assert_eq!(spool.next_due(&sinks).await.unwrap(), Some(Timestamp(6000)));
}

async fn receipts_are_told_in_the_order_in_which_they_came(spool: Fresh) {
    let message = admit(&*spool, "u1", b"one").await;
    let lease = lease_one(&*spool, NOW).await;
    let effects = vec![
        effect(&lease, "vault", "a", true),
        effect(&lease, "vault", "b", true),
        effect(&lease, "bucket", "c", true),
        effect(&lease, "vault", "d", true),
    ];
    let ids: Vec<_> = effects.iter().map(|effect| effect.id).collect();
    spool.plan(lease, plan(effects), NOW).await.unwrap();
    let mut vault = spool.lease_effects(&name("vault"), 3, NOW).await.unwrap();
    assert!(spool.receipts(&name("vault"), 0, 9).await.unwrap().is_empty(), "nothing is settled");
    // The second one first, one of another sink between, one that waits.
    let held = vault.remove(2);
    let first = vault.remove(0);
    let proof = Receipt {
        stored: Some(Stored { key: "b".into(), size: 3, digest: Some(Digest::of(b"one")) }),
        ..receipt()
    };
    spool.settle(vault.remove(0), Settlement::Done(proof.clone()), Timestamp(3000)).await.unwrap();
    let other = sink_lease(&*spool, "bucket", NOW).await;
    spool.settle(other, Settlement::Done(receipt()), Timestamp(3001)).await.unwrap();
    spool.settle(first, Settlement::Done(receipt()), Timestamp(3002)).await.unwrap();
    let at = Timestamp(9000);
    spool.settle(held, Settlement::Retry { at, reason: "later".into() }, Timestamp(3003)).await.unwrap();

    let told = spool.receipts(&name("vault"), 0, 9).await.unwrap();
    let shown: Vec<_> = told.iter().map(|told| (told.effect.id, told.at)).collect();
    assert_eq!(shown, [(ids[1], Timestamp(3000)), (ids[0], Timestamp(3002))]);
    assert!(told[0].number < told[1].number);
    assert_eq!((&told[0].receipt, told[0].message), (&proof, message));
    assert_eq!(told[0].plugin, Some(("filter".to_owned(), Digest::of(b"component"))));
    assert_eq!(told[0].labels, plan(Vec::new()).labels);
    let rest = spool.receipts(&name("vault"), told[0].number, 9).await.unwrap();
    assert_eq!(rest, told[1..]);
    assert_eq!(spool.receipts(&name("vault"), 0, 1).await.unwrap(), told[..1]);
    assert_eq!(spool.receipts(&name("bucket"), 0, 9).await.unwrap().len(), 1);
}

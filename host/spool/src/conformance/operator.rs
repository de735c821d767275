//! The operator's verbs: what was set aside can be tried again, let go or given up, and nothing is doubled or lost by it.

use std::time::Duration;

use postroom_mail::{MessageId, Timestamp};

use super::Factory;
use super::sample::{
    self, Fresh, admit, arrival_in, effect, lease_one, listed, name, plan, quarantine, receipt, state,
};
use crate::{Aside, DeletePolicy, EffectState, MessageState, Refusal, Selection, Settlement, Spool, Why};

pub(super) async fn suite(factory: Factory<'_>) {
    a_failed_message_runs_again_with_all_its_attempts(factory()).await;
    a_run_that_failed_leaves_its_trace(factory()).await;
    a_message_a_step_set_aside_runs_again_and_doubles_nothing(factory()).await;
    a_later_plan_lets_go_of_what_it_does_not_ask_for(factory()).await;
    a_parked_effect_is_tried_again_under_its_id(factory()).await;
    what_waits_is_tried_at_once(factory()).await;
    a_released_message_goes_on_and_is_not_a_receipt(factory()).await;
    a_verdict_is_overruled(factory()).await;
    without_a_plan_nothing_can_be_released(factory()).await;
    what_waits_for_one_sink_can_be_let_go(factory()).await;
    a_dropped_message_can_be_taken_back_until_it_is_swept(factory()).await;
    what_was_let_go_before_a_drop_stays_let_go(factory()).await;
    a_message_taken_back_before_its_plan_loses_nothing_of_the_plan_before(factory()).await;
    a_later_plan_leaves_alone_what_the_operator_let_go(factory()).await;
    a_later_plan_may_ask_again_for_what_one_did_not(factory()).await;
    what_is_under_way_is_left_alone(factory()).await;
    a_selection_takes_what_fits_it(factory()).await;
}

const NOW: Timestamp = Timestamp(2000);
const LATER: Timestamp = Timestamp(9000);
const AT_ONCE: DeletePolicy = DeletePolicy::Done { after: Duration::ZERO, keep: None, over: None };

async fn settle(spool: &dyn Spool, sink: &str, settlement: Settlement) {
    let lease = spool.lease_effects(&name(sink), 1, LATER).await.unwrap().pop().expect("an effect is due");
    spool.settle(lease, settlement, NOW).await.unwrap();
}

fn park() -> Settlement {
    Settlement::Park { reason: "no such bucket".into() }
}

/// Planned with one required effect of the whole message at `sink`.
async fn planned(spool: &dyn Spool, uid: &str, sink: &str) -> MessageId {
    let message = admit(spool, uid, uid.as_bytes()).await;
    let lease = lease_one(spool, NOW).await;
    let effects = vec![effect(&lease, sink, uid, true)];
    spool.plan(lease, plan(effects), NOW).await.unwrap();
    message
}

async fn retry(spool: &dyn Spool, message: MessageId) -> Result<String, Refusal> {
    spool.retry(vec![message], None, LATER).await.unwrap().remove(0).outcome
}

async fn let_go(spool: &dyn Spool, message: MessageId) -> Result<String, Refusal> {
    spool.let_go(vec![message], None, LATER).await.unwrap().remove(0).outcome
}

async fn discard(spool: &dyn Spool, message: MessageId) -> Result<String, Refusal> {
    spool.discard(vec![message], LATER).await.unwrap().remove(0).outcome
}

async fn why(spool: &dyn Spool, uid: &str, size: u64) -> Option<Why> {
    let removals = spool.removable(&name("shop"), &[listed(uid, size)], AT_ONCE, LATER).await.unwrap();
    removals.kept.first().map(|kept| kept.why)
}

async fn a_failed_message_runs_again_with_all_its_attempts(spool: Fresh) {
    let message = admit(&*spool, "u", b"octets").await;
    for _ in 0..2 {
        let lease = lease_one(&*spool, NOW).await;
        spool.defer(lease, NOW, "trap".into(), Vec::new(), NOW).await.unwrap();
    }
    let lease = lease_one(&*spool, NOW).await;
    spool.quarantine(lease, "trap".into(), Vec::new(), NOW).await.unwrap();
    for _ in 0..2 {
        retry(&*spool, message).await.unwrap();
        let history = spool.history(message).await.unwrap().unwrap();
        assert_eq!((history.state, history.attempts, history.reason), (MessageState::Spooled, 0, None));
    }
    let lease = lease_one(&*spool, LATER).await;
    assert_eq!(lease.attempt, 1);
    let effects = vec![effect(&lease, "vault", "a", true)];
    spool.plan(lease, plan(effects), LATER).await.unwrap();
    settle(&*spool, "vault", Settlement::Done(receipt())).await;
    assert_eq!(state(&*spool, message).await, MessageState::Done);
    assert_eq!(retry(&*spool, message).await, Err(Refusal::NothingAside), "once more changes nothing");
    let events = spool.history(message).await.unwrap().unwrap().events;
    assert!(events.iter().any(|event| event.text == crate::life::RUN_AGAIN), "{events:?}");
}

async fn a_run_that_failed_leaves_its_trace(spool: Fresh) {
    let message = admit(&*spool, "u", b"octets").await;
    let mut trace = plan(Vec::new()).trace;
    trace[0].outcome = "failed: trap".into();
    let lease = lease_one(&*spool, NOW).await;
    spool.defer(lease, NOW, "trap".into(), trace.clone(), NOW).await.unwrap();
    assert_eq!(spool.history(message).await.unwrap().unwrap().trace, trace);
    trace[0].outcome = "failed: trap again".into();
    let lease = lease_one(&*spool, NOW).await;
    spool.quarantine(lease, "trap".into(), trace.clone(), NOW).await.unwrap();
    retry(&*spool, message).await.unwrap();
    let lease = lease_one(&*spool, LATER).await;
    spool.quarantine(lease, "not begun".into(), Vec::new(), NOW).await.unwrap();
    assert_eq!(spool.history(message).await.unwrap().unwrap().trace, trace, "what is known stays");
}

async fn a_message_a_step_set_aside_runs_again_and_doubles_nothing(spool: Fresh) {
    let message = admit(&*spool, "u", b"octets").await;
    let lease = lease_one(&*spool, NOW).await;
    let effects = vec![effect(&lease, "vault", "a", true), effect(&lease, "copy", "a", true)];
    spool.plan(lease, quarantine(effects.clone()), NOW).await.unwrap();
    settle(&*spool, "vault", Settlement::Done(receipt())).await;
    settle(&*spool, "copy", park()).await;
    retry(&*spool, message).await.unwrap();
    let lease = lease_one(&*spool, LATER).await;
    spool.plan(lease, plan(effects), LATER).await.unwrap();
    let history = spool.history(message).await.unwrap().unwrap();
    let told: Vec<_> = history.effects.iter().map(|record| (record.state, record.attempts)).collect();
    assert_eq!(told, [(EffectState::Done, 1), (EffectState::Pending, 1)], "what is done stays done");
    assert_eq!(history.state, MessageState::Planned);
    settle(&*spool, "copy", Settlement::Done(receipt())).await;
    assert_eq!(state(&*spool, message).await, MessageState::Done);
}

async fn a_later_plan_lets_go_of_what_it_does_not_ask_for(spool: Fresh) {
    let message = admit(&*spool, "u", b"octets").await;
    let lease = lease_one(&*spool, NOW).await;
    let effects = vec![effect(&lease, "old", "a", true)];
    spool.plan(lease, quarantine(effects), NOW).await.unwrap();
    settle(&*spool, "old", park()).await;
    retry(&*spool, message).await.unwrap();
    let lease = lease_one(&*spool, LATER).await;
    let effects = vec![effect(&lease, "vault", "a", true)];
    spool.plan(lease, plan(effects), LATER).await.unwrap();
    settle(&*spool, "vault", Settlement::Done(receipt())).await;
    let history = spool.history(message).await.unwrap().unwrap();
    assert_eq!(history.state, MessageState::Done);
    assert_eq!(history.effects[0].waived, Some(LATER));
    assert_eq!(why(&*spool, "u", 6).await, None, "the receipt of the new plan is enough");
}

async fn a_parked_effect_is_tried_again_under_its_id(spool: Fresh) {
    let message = planned(&*spool, "u", "vault").await;
    settle(&*spool, "vault", Settlement::Retry { at: NOW, reason: "busy".into() }).await;
    settle(&*spool, "vault", park()).await;
    let before = spool.history(message).await.unwrap().unwrap();
    assert_eq!((before.state, before.effects[0].attempts), (MessageState::Quarantined, 2));
    for _ in 0..2 {
        retry(&*spool, message).await.unwrap();
    }
    let after = spool.history(message).await.unwrap().unwrap();
    assert_eq!((after.state, after.reason), (MessageState::Planned, None));
    let record = &after.effects[0];
    assert_eq!((after.effects.len(), record.effect.id), (1, before.effects[0].effect.id));
    assert_eq!((record.state, record.attempts, record.due), (EffectState::Pending, 1, Some(LATER)));
    settle(&*spool, "vault", Settlement::Done(receipt())).await;
    assert_eq!(state(&*spool, message).await, MessageState::Done);
}

async fn what_waits_is_tried_at_once(spool: Fresh) {
    let message = planned(&*spool, "u", "vault").await;
    let far = Timestamp(99_000);
    settle(&*spool, "vault", Settlement::Retry { at: far, reason: "busy".into() }).await;
    retry(&*spool, message).await.unwrap();
    let record = spool.history(message).await.unwrap().unwrap().effects.remove(0);
    assert_eq!((record.due, record.attempts), (Some(LATER), 1), "the attempts stay counted");
    let other = spool.retry(vec![message], Some(name("other")), LATER).await.unwrap().remove(0);
    assert_eq!(other.outcome, Err(Refusal::NothingAside));
}

async fn a_released_message_goes_on_and_is_not_a_receipt(spool: Fresh) {
    let message = planned(&*spool, "u", "vault").await;
    settle(&*spool, "vault", park()).await;
    assert_eq!(why(&*spool, "u", 1).await, Some(Why::Quarantined));
    let told = let_go(&*spool, message).await.unwrap();
    assert_eq!(told, "the operator let go of store vault:u (1 octets)");
    let history = spool.history(message).await.unwrap().unwrap();
    assert_eq!((history.state, history.reason), (MessageState::Done, None));
    assert_eq!((history.effects[0].state, history.effects[0].waived), (EffectState::Parked, Some(LATER)));
    assert_eq!(history.events.last().unwrap().text, told);
    assert_eq!(why(&*spool, "u", 1).await, Some(Why::NoCopy));
    let counts = spool.counts(None).await.unwrap();
    assert_eq!((counts.effects_parked, counts.effects_waived, counts.done), (0, 1, 1));
    assert!(spool.queue(crate::QueueFilter::default()).await.unwrap().is_empty());
    assert_eq!(let_go(&*spool, message).await, Err(Refusal::NothingAside));
    // The operator can change his mind.
    retry(&*spool, message).await.unwrap();
    settle(&*spool, "vault", Settlement::Done(receipt())).await;
    assert_eq!(why(&*spool, "u", 1).await, None);
}

async fn a_verdict_is_overruled(spool: Fresh) {
    let message = admit(&*spool, "u", b"octets").await;
    let lease = lease_one(&*spool, NOW).await;
    let effects = vec![effect(&lease, "vault", "a", true)];
    spool.plan(lease, quarantine(effects), NOW).await.unwrap();
    let told = let_go(&*spool, message).await.unwrap();
    assert_eq!(told, "released by the operator, against step step: odd");
    assert_eq!(state(&*spool, message).await, MessageState::Planned, "its effects go out first");
    settle(&*spool, "vault", Settlement::Done(receipt())).await;
    assert_eq!(state(&*spool, message).await, MessageState::Done);
    assert_eq!(why(&*spool, "u", 6).await, None);
}

async fn without_a_plan_nothing_can_be_released(spool: Fresh) {
    let message = admit(&*spool, "u", b"octets").await;
    let lease = lease_one(&*spool, NOW).await;
    spool.quarantine(lease, "trap".into(), Vec::new(), NOW).await.unwrap();
    let before = spool.history(message).await.unwrap();
    assert_eq!(let_go(&*spool, message).await, Err(Refusal::NoPlan));
    assert_eq!(spool.history(message).await.unwrap(), before, "a refusal changes nothing");
    let unknown = sample::arrival(&*spool, "never", b"x").provenance.message();
    assert_eq!(let_go(&*spool, unknown).await, Err(Refusal::Unknown));
}

async fn what_waits_for_one_sink_can_be_let_go(spool: Fresh) {
    let message = admit(&*spool, "u", b"octets").await;
    let lease = lease_one(&*spool, NOW).await;
    let effects = vec![effect(&lease, "vault", "a", true), effect(&lease, "gone", "a", true)];
    spool.plan(lease, plan(effects), NOW).await.unwrap();
    settle(&*spool, "vault", Settlement::Done(receipt())).await;
    assert_eq!(let_go(&*spool, message).await, Err(Refusal::NothingAside), "what waits is not set aside");
    let decided = spool.let_go(vec![message], Some(name("gone")), LATER).await.unwrap();
    decided[0].outcome.as_ref().unwrap();
    assert_eq!(state(&*spool, message).await, MessageState::Done);
    assert!(spool.lease_effects(&name("gone"), 9, LATER).await.unwrap().is_empty());
    assert_eq!(why(&*spool, "u", 6).await, None, "the other receipt stands for the whole message");
}

async fn a_dropped_message_can_be_taken_back_until_it_is_swept(spool: Fresh) {
    let keep = Duration::from_secs(10);
    let message = planned(&*spool, "u", "vault").await;
    discard(&*spool, message).await.unwrap();
    let history = spool.history(message).await.unwrap().unwrap();
    assert_eq!((history.state, history.dropped), (MessageState::Discarded, Some(LATER)));
    assert_eq!(history.reason.as_deref(), Some("dropped by the operator"));
    assert!(spool.lease_effects(&name("vault"), 9, LATER).await.unwrap().is_empty(), "nothing goes out");
    assert_eq!(why(&*spool, "u", 1).await, Some(Why::Dropped));
    let spooled = DeletePolicy::Spooled { after: Duration::ZERO };
    let kept = spool.removable(&name("shop"), &[listed("u", 1)], spooled, LATER).await.unwrap().kept;
    assert_eq!(kept[0].why, Why::Dropped, "whatever the policy");
    assert_eq!(discard(&*spool, message).await, Err(Refusal::Ended));
    assert_eq!(spool.sweep(keep, LATER.after(keep - Duration::from_millis(1))).await.unwrap().bodies, 0);

    retry(&*spool, message).await.unwrap();
    let history = spool.history(message).await.unwrap().unwrap();
    assert_eq!((history.state, history.dropped), (MessageState::Planned, None));
    assert_eq!((history.effects[0].state, history.effects[0].waived), (EffectState::Pending, None));

    discard(&*spool, message).await.unwrap();
    assert_eq!(spool.sweep(keep, LATER.after(keep)).await.unwrap().bodies, 1);
    assert_eq!(retry(&*spool, message).await, Err(Refusal::Gone));
    assert_eq!(why(&*spool, "u", 1).await, None, "the grace period is over");

    let waiting = admit(&*spool, "waiting", b"octets").await;
    discard(&*spool, waiting).await.unwrap();
    assert!(spool.lease_messages(9, LATER).await.unwrap().is_empty());
    retry(&*spool, waiting).await.unwrap();
    assert_eq!(lease_one(&*spool, LATER).await.message, waiting, "the pipeline never saw it");
}

async fn let_go_at(spool: &dyn Spool, message: MessageId, sink: &str) {
    spool.let_go(vec![message], Some(name(sink)), NOW).await.unwrap().remove(0).outcome.unwrap();
}

/// Where each effect is, and whether it was let go of.
async fn parts(spool: &dyn Spool, message: MessageId) -> Vec<(EffectState, bool)> {
    let effects = spool.history(message).await.unwrap().unwrap().effects;
    effects.iter().map(|record| (record.state, record.waived.is_some())).collect()
}

async fn what_was_let_go_before_a_drop_stays_let_go(spool: Fresh) {
    let message = admit(&*spool, "u", b"octets").await;
    let lease = lease_one(&*spool, NOW).await;
    let effects = vec![effect(&lease, "vault", "a", true), effect(&lease, "gone", "a", true)];
    spool.plan(lease, plan(effects), NOW).await.unwrap();
    let_go_at(&*spool, message, "gone").await;
    discard(&*spool, message).await.unwrap();
    retry(&*spool, message).await.unwrap();
    let told = parts(&*spool, message).await;
    assert_eq!(told, [(EffectState::Pending, false), (EffectState::Parked, true)]);
}

async fn a_message_taken_back_before_its_plan_loses_nothing_of_the_plan_before(spool: Fresh) {
    let message = admit(&*spool, "u", b"octets").await;
    let lease = lease_one(&*spool, NOW).await;
    let effects = vec![effect(&lease, "vault", "a", true)];
    spool.plan(lease, quarantine(effects.clone()), NOW).await.unwrap();
    discard(&*spool, message).await.unwrap();
    retry(&*spool, message).await.unwrap();
    assert_eq!(parts(&*spool, message).await, [(EffectState::Parked, false)], "the next plan decides");
    spool.plan(lease_one(&*spool, LATER).await, plan(effects), LATER).await.unwrap();
    assert_eq!(parts(&*spool, message).await, [(EffectState::Pending, false)]);
    settle(&*spool, "vault", Settlement::Done(receipt())).await;
    assert_eq!(why(&*spool, "u", 6).await, None);
}

async fn a_later_plan_leaves_alone_what_the_operator_let_go(spool: Fresh) {
    let message = admit(&*spool, "u", b"octets").await;
    let lease = lease_one(&*spool, NOW).await;
    let effects = vec![effect(&lease, "vault", "a", true)];
    spool.plan(lease, quarantine(effects.clone()), NOW).await.unwrap();
    settle(&*spool, "vault", park()).await;
    let_go_at(&*spool, message, "vault").await;
    retry(&*spool, message).await.unwrap();
    spool.plan(lease_one(&*spool, LATER).await, plan(effects), LATER).await.unwrap();
    assert_eq!(parts(&*spool, message).await, [(EffectState::Parked, true)], "it is not sent after all");
    assert_eq!(state(&*spool, message).await, MessageState::Done);
    assert_eq!(why(&*spool, "u", 6).await, Some(Why::NoCopy));
}

async fn a_later_plan_may_ask_again_for_what_one_did_not(spool: Fresh) {
    let message = admit(&*spool, "u", b"octets").await;
    let lease = lease_one(&*spool, NOW).await;
    let effects = vec![effect(&lease, "vault", "a", true)];
    spool.plan(lease, quarantine(effects.clone()), NOW).await.unwrap();
    settle(&*spool, "vault", park()).await;
    retry(&*spool, message).await.unwrap();
    spool.plan(lease_one(&*spool, LATER).await, quarantine(Vec::new()), LATER).await.unwrap();
    assert_eq!(parts(&*spool, message).await, [(EffectState::Parked, true)]);
    retry(&*spool, message).await.unwrap();
    spool.plan(lease_one(&*spool, LATER).await, plan(effects), LATER).await.unwrap();
    assert_eq!(parts(&*spool, message).await, [(EffectState::Pending, false)]);
}

async fn what_is_under_way_is_left_alone(spool: Fresh) {
    let message = planned(&*spool, "u", "vault").await;
    let inflight = spool.lease_effects(&name("vault"), 1, NOW).await.unwrap().remove(0);
    assert_eq!(discard(&*spool, message).await, Err(Refusal::Busy));
    assert_eq!(retry(&*spool, message).await, Err(Refusal::Busy));
    let decided = spool.let_go(vec![message], Some(name("vault")), NOW).await.unwrap();
    assert_eq!(decided[0].outcome, Err(Refusal::Busy));
    spool.settle(inflight, Settlement::Done(receipt()), NOW).await.unwrap();
    assert_eq!(discard(&*spool, message).await, Err(Refusal::Ended));
    let running = admit(&*spool, "running", b"octets").await;
    let lease = lease_one(&*spool, NOW).await;
    for outcome in
        [retry(&*spool, running).await, let_go(&*spool, running).await, discard(&*spool, running).await]
    {
        assert_eq!(outcome, Err(Refusal::Busy));
    }
    spool.plan(lease, plan(Vec::new()), NOW).await.unwrap();
}

async fn a_selection_takes_what_fits_it(spool: Fresh) {
    let parked = planned(&*spool, "parked", "vault").await;
    settle(&*spool, "vault", park()).await;
    let waits = planned(&*spool, "waits", "copy").await;
    let failed = admit(&*spool, "failed", b"octets").await;
    let lease = lease_one(&*spool, NOW).await;
    spool.quarantine(lease, "out of fuel".into(), Vec::new(), NOW).await.unwrap();
    let dropped = admit(&*spool, "dropped", b"octets").await;
    discard(&*spool, dropped).await.unwrap();
    let other = arrival_in(&*spool, "home", "other", 0, b"octets", Timestamp(5000));
    let other = spool.admit(vec![other]).await.unwrap()[0].message;
    let done = admit(&*spool, "done", b"octets").await;
    let lease = lease_one(&*spool, NOW).await;
    assert_eq!(lease.message, done, "the other one is due later");
    spool.plan(lease, plan(Vec::new()), NOW).await.unwrap();

    let all = Selection::default();
    let cases = [
        (all.clone(), vec![parked, waits, failed, other]),
        (Selection { account: Some(name("home")), ..all.clone() }, vec![other]),
        (Selection { state: Some(Aside::Quarantined), ..all.clone() }, vec![parked, failed]),
        (Selection { state: Some(Aside::Parked), ..all.clone() }, vec![parked]),
        (Selection { state: Some(Aside::Waiting), ..all.clone() }, vec![waits, other]),
        (Selection { state: Some(Aside::Dropped), ..all.clone() }, vec![dropped]),
        (Selection { sink: Some(name("vault")), ..all.clone() }, vec![parked]),
        (Selection { sink: Some(name("copy")), ..all.clone() }, vec![waits]),
        (Selection { reason: Some("FUEL".into()), ..all.clone() }, vec![failed]),
        (Selection { reason: Some("such bucket".into()), ..all.clone() }, vec![parked]),
        (Selection { older: Some(Duration::from_secs(8)), ..all.clone() }, vec![parked, waits, failed]),
        (Selection { messages: vec![done, parked], ..all.clone() }, vec![parked, done]),
        (Selection { messages: vec![done], state: Some(Aside::Parked), ..all.clone() }, vec![]),
        (Selection { account: Some(name("home")), reason: Some("fuel".into()), ..all.clone() }, vec![]),
    ];
    for (selection, expected) in cases {
        let selected = spool.select(selection.clone(), LATER).await.unwrap();
        let messages: Vec<_> = selected.iter().map(|selected| selected.message).collect();
        assert_eq!(messages, expected, "{selection:?}");
    }
    let first = spool.select(all, LATER).await.unwrap().remove(0);
    assert_eq!((first.state, first.parked, first.open), (MessageState::Quarantined, 1, 0));
    assert_eq!(first.reason.as_deref(), Some("store vault:parked (6 octets): no such bucket"));
}

//! Bodies and the ledger: what is admitted is here once and whole, and only what is safe elsewhere may be deleted.

use std::time::Duration;

use postroom_mail::{Digest, MessageId, Piece, Timestamp};

use super::Factory;
use super::sample::{
    self, Fresh, admit, arrival, arrival_in, effect, lease_one, listed, name, plan, receipt,
};
use crate::{DeletePolicy, Error, Listed, MessageState, PollOutcome, Settlement, Spool};

const AT_ONCE: DeletePolicy = DeletePolicy::Done { after: Duration::ZERO, keep: None, over: None };

pub(super) async fn suite(factory: Factory<'_>) {
    bodies_of_every_size_come_back_whole(factory()).await;
    a_message_beyond_the_limit_is_refused(factory()).await;
    admitting_twice_keeps_one(factory()).await;
    a_batch_is_admitted_whole_or_not_at_all(factory()).await;
    reconcile_tells_new_from_known(factory()).await;
    only_a_finished_message_is_removable(factory()).await;
    what_shows_after_its_removal_is_retrieved_again(factory()).await;
    a_copy_that_is_gone_does_not_vouch_for_another(factory()).await;
    an_implicit_keep_is_never_removable(factory()).await;
    extracted_parts_alone_are_no_copy(factory()).await;
    a_discarded_message_is_removable(factory()).await;
    a_reused_unique_id_counts_for_the_latest_message(factory()).await;
    unique_ids_that_are_not_unique_need_every_copy_safe(factory()).await;
    polls_are_recorded(factory()).await;
}

async fn bodies_of_every_size_come_back_whole(spool: Fresh) {
    for (uid, len) in [("none", 0), ("one", 1), ("some", 4096), ("border", 1 << 20), ("large", 25_000_000)] {
        let octets = sample::noise(len as u64, len);
        let message = admit(&*spool, uid, &octets).await;
        let body = spool.open(message).await.unwrap();
        assert!(sample::octets(&body) == octets, "{len} octets come back");
        body.verify(message, &Digest::of(&octets)).unwrap();
        assert!(matches!(body.verify(message, &Digest::of(b"other")), Err(Error::Corrupt { .. })));
    }
    let unknown = arrival(&*spool, "never", b"x").provenance.message();
    assert!(matches!(spool.open(unknown).await, Err(Error::Gone(_))));
}

async fn a_message_beyond_the_limit_is_refused(spool: Fresh) {
    let mut incoming = spool.incoming(10).unwrap();
    incoming.write(b"12345").unwrap();
    assert!(matches!(incoming.write(b"678901"), Err(Error::TooLarge { limit: 10 })));
    assert!(incoming.seal().is_err(), "a message with a hole is not sealed");
    let mut incoming = spool.incoming(10).unwrap();
    incoming.write(b"1234567890").unwrap();
    assert_eq!(incoming.seal().unwrap().size(), 10);
}

async fn admitting_twice_keeps_one(spool: Fresh) {
    let message = admit(&*spool, "u1", b"octets").await;
    let twice = vec![arrival(&*spool, "u1", b"octets"), arrival(&*spool, "u2", b"octets")];
    let admitted = spool.admit(twice).await.unwrap();
    assert_eq!((admitted[0].message, admitted[0].new), (message, false));
    assert!(admitted[1].new && admitted[1].message != message, "the same octets under another unique-id");
    let twins = vec![arrival(&*spool, "u3", b"twins"), arrival(&*spool, "u3", b"twins")];
    let admitted = spool.admit(twins).await.unwrap();
    assert_eq!((admitted[0].new, admitted[1].new), (true, false), "twice in one call");
    assert_eq!(spool.counts(None).await.unwrap().admitted, 3);
    assert_eq!(spool.lease_messages(10, Timestamp(1000)).await.unwrap().len(), 3);
}

async fn a_batch_is_admitted_whole_or_not_at_all(spool: Fresh) {
    let good = arrival(&*spool, "good", b"good");
    let mut bad = arrival(&*spool, "bad", b"bad");
    bad.provenance.digest = Digest::of(b"something else");
    let refused = spool.admit(vec![good, bad]).await;
    assert!(matches!(refused, Err(Error::Conflict(_))), "{refused:?}");
    assert_eq!(spool.counts(None).await.unwrap().admitted, 0);
    let listing = [listed("good", 4)];
    assert_eq!(spool.reconcile(&name("shop"), &listing).await.unwrap().new, [0]);
    let message = admit(&*spool, "good", b"good").await;
    assert_eq!(sample::octets(&spool.open(message).await.unwrap()), b"good");
}

async fn reconcile_tells_new_from_known(spool: Fresh) {
    admit(&*spool, "b", b"b").await;
    let listing = [listed("a", 1), listed("b", 1), listed("c", 1), Listed { ordinal: 1, ..listed("b", 1) }];
    let reconciled = spool.reconcile(&name("shop"), &listing).await.unwrap();
    assert_eq!((reconciled.new, reconciled.known), (vec![0, 2, 3], 1));
    let elsewhere = spool.reconcile(&name("home"), &listing).await.unwrap();
    assert_eq!((elsewhere.new.len(), elsewhere.known), (4, 0), "another account");
}

async fn provable(spool: &dyn Spool, listing: &[Listed], policy: DeletePolicy, now: i64) -> Vec<usize> {
    let proofs = spool.removable(&name("shop"), listing, policy, Timestamp(now)).await.unwrap().removable;
    proofs.iter().map(crate::Removable::index).collect()
}

async fn only_a_finished_message_is_removable(spool: Fresh) {
    let octets = sample::noise(1, 50_000);
    let message = admit(&*spool, "u1", &octets).await;
    let listing = [listed("other", 9), listed("u1", 50_000)];
    let after = DeletePolicy::Done { after: Duration::from_secs(60), keep: None, over: None };
    assert!(provable(&*spool, &listing, AT_ONCE, 2000).await.is_empty(), "while it waits");
    let lease = lease_one(&*spool, Timestamp(2000)).await;
    assert!(provable(&*spool, &listing, AT_ONCE, 2000).await.is_empty(), "while it runs");
    let effects = vec![effect(&lease, "vault", "a", true), effect(&lease, "vault", "b", true)];
    spool.plan(lease, plan(effects), Timestamp(2000)).await.unwrap();
    for left in [2, 1] {
        assert!(provable(&*spool, &listing, AT_ONCE, 2000).await.is_empty(), "with {left} effects open");
        let lease = spool.lease_effects(&name("vault"), 1, Timestamp(2000)).await.unwrap().remove(0);
        assert!(provable(&*spool, &listing, AT_ONCE, 2000).await.is_empty(), "while the sink works");
        spool.settle(lease, Settlement::Done(receipt()), Timestamp(2000)).await.unwrap();
    }
    assert_eq!(provable(&*spool, &listing, AT_ONCE, 2000).await, [1]);
    assert!(provable(&*spool, &listing, DeletePolicy::Never, 9_000_000).await.is_empty());
    assert!(provable(&*spool, &listing, after, 60_999).await.is_empty(), "retrieved at 1000");
    assert_eq!(provable(&*spool, &listing, after, 61_000).await, [1]);
    for (size, agrees) in [(49_000, true), (52_000, true), (10, false), (60_000, false), (u64::MAX, false)] {
        let proved = provable(&*spool, &[listed("u1", size)], AT_ONCE, 2000).await;
        assert_eq!(proved.len(), usize::from(agrees), "listed as {size}");
    }
    let proofs = spool.removable(&name("shop"), &listing, AT_ONCE, Timestamp(2000)).await.unwrap().removable;
    assert_eq!((proofs[0].message(), spool.counts(None).await.unwrap().removed), (message, 0));
    spool.removed(proofs, Timestamp(3000)).await.unwrap();
    assert_eq!(spool.history(message).await.unwrap().unwrap().removed, Some(Timestamp(3000)));
    assert_eq!(spool.counts(None).await.unwrap().removed, 1);
}

/// Takes the proof for the one entry that has one, and confirms it.
async fn remove_one(spool: &dyn Spool, listing: &[Listed], now: i64) -> MessageId {
    let proofs = spool.removable(&name("shop"), listing, AT_ONCE, Timestamp(now)).await.unwrap().removable;
    assert_eq!(proofs.len(), 1, "exactly one entry may go");
    let message = proofs[0].message();
    spool.removed(proofs, Timestamp(now)).await.unwrap();
    message
}

async fn what_shows_after_its_removal_is_retrieved_again(spool: Fresh) {
    let (account, listing) = (name("shop"), [listed("u1", 6)]);
    let first = admit(&*spool, "u1", b"first!").await;
    let lease = lease_one(&*spool, Timestamp(2000)).await;
    spool.plan(lease, sample::discard(), Timestamp(2000)).await.unwrap();
    assert_eq!(spool.reconcile(&account, &listing).await.unwrap().known, 1, "until it is removed");
    for now in [3000, 4000] {
        assert_eq!(remove_one(&*spool, &listing, now).await, first);
        let reconciled = spool.reconcile(&account, &listing).await.unwrap();
        assert_eq!((reconciled.new, reconciled.known), (vec![0], 0));
        assert!(provable(&*spool, &listing, AT_ONCE, now).await.is_empty(), "nobody knows what it is now");
        let again = spool.admit(vec![arrival(&*spool, "u1", b"first!")]).await.unwrap();
        assert_eq!((again[0].message, again[0].new), (first, false), "it is still the same");
        assert_eq!(spool.history(first).await.unwrap().unwrap().removed, None);
        assert_eq!(spool.counts(None).await.unwrap().removed, 0);
        assert_eq!(spool.reconcile(&account, &listing).await.unwrap().known, 1);
        assert!(spool.lease_messages(9, Timestamp(now)).await.unwrap().is_empty(), "it is not run again");
    }
    assert_eq!(remove_one(&*spool, &listing, 5000).await, first);
    let second = admit(&*spool, "u1", b"second").await;
    assert_eq!(
        spool.history(first).await.unwrap().unwrap().removed,
        Some(Timestamp(5000)),
        "that one is gone"
    );
    assert_eq!(spool.reconcile(&account, &listing).await.unwrap().known, 1);
    assert!(provable(&*spool, &listing, AT_ONCE, 6000).await.is_empty(), "the second still waits");
    let lease = lease_one(&*spool, Timestamp(6000)).await;
    assert_eq!(lease.message, second);
    spool.plan(lease, sample::discard(), Timestamp(6000)).await.unwrap();
    assert_eq!(remove_one(&*spool, &listing, 6000).await, second);
}

async fn a_copy_that_is_gone_does_not_vouch_for_another(spool: Fresh) {
    for (ordinal, octets) in [(0, b"first!"), (1, b"second")] {
        let arrival = arrival_in(&*spool, "shop", "same", ordinal, octets, Timestamp(1000));
        spool.admit(vec![arrival]).await.unwrap();
        let lease = lease_one(&*spool, Timestamp(2000)).await;
        spool.plan(lease, sample::discard(), Timestamp(2000)).await.unwrap();
    }
    let listing = [listed("same", 6), Listed { ordinal: 1, ..listed("same", 6) }];
    let mut proofs =
        spool.removable(&name("shop"), &listing, AT_ONCE, Timestamp(2000)).await.unwrap().removable;
    assert_eq!(proofs.len(), 2);
    proofs.truncate(1);
    spool.removed(proofs, Timestamp(2000)).await.unwrap();
    assert!(
        provable(&*spool, &listing, AT_ONCE, 3000).await.is_empty(),
        "one of the two was never retrieved"
    );
    assert!(provable(&*spool, &listing[..1], AT_ONCE, 3000).await.is_empty(), "the other has moved up");
    assert_eq!(spool.reconcile(&name("shop"), &listing).await.unwrap().new, [0]);
}

async fn an_implicit_keep_is_never_removable(spool: Fresh) {
    let message = admit(&*spool, "none", b"octets").await;
    let lease = lease_one(&*spool, Timestamp(2000)).await;
    spool.plan(lease, plan(Vec::new()), Timestamp(2000)).await.unwrap();
    assert_eq!(sample::state(&*spool, message).await, MessageState::Done);
    admit(&*spool, "optional", b"octets").await;
    let lease = lease_one(&*spool, Timestamp(2000)).await;
    let effects = vec![effect(&lease, "vault", "a", false)];
    spool.plan(lease, plan(effects), Timestamp(2000)).await.unwrap();
    let lease = spool.lease_effects(&name("vault"), 1, Timestamp(2000)).await.unwrap().remove(0);
    spool.settle(lease, Settlement::Done(receipt()), Timestamp(2000)).await.unwrap();
    let listing = [listed("none", 6), listed("optional", 6)];
    assert!(provable(&*spool, &listing, AT_ONCE, i64::MAX).await.is_empty());
}

async fn extracted_parts_alone_are_no_copy(spool: Fresh) {
    admit(&*spool, "u1", b"octets").await;
    let lease = lease_one(&*spool, Timestamp(2000)).await;
    let mut part = effect(&lease, "vault", "a", true);
    part.content.pieces = vec![Piece::Raw { offset: 2, len: 3 }];
    spool.plan(lease, plan(vec![part]), Timestamp(2000)).await.unwrap();
    let lease = spool.lease_effects(&name("vault"), 1, Timestamp(2000)).await.unwrap().remove(0);
    spool.settle(lease, Settlement::Done(receipt()), Timestamp(2000)).await.unwrap();
    assert!(provable(&*spool, &[listed("u1", 6)], AT_ONCE, i64::MAX).await.is_empty());
}

async fn a_discarded_message_is_removable(spool: Fresh) {
    let message = admit(&*spool, "u1", b"octets").await;
    let lease = lease_one(&*spool, Timestamp(2000)).await;
    spool.plan(lease, sample::discard(), Timestamp(2000)).await.unwrap();
    assert_eq!(sample::state(&*spool, message).await, MessageState::Discarded);
    assert_eq!(provable(&*spool, &[listed("u1", 6)], AT_ONCE, 2000).await, [0]);
    admit(&*spool, "u2", b"octets").await;
    let lease = lease_one(&*spool, Timestamp(2000)).await;
    spool.plan(lease, sample::quarantine(Vec::new()), Timestamp(2000)).await.unwrap();
    assert!(
        provable(&*spool, &[listed("u2", 6)], AT_ONCE, 2000).await.is_empty(),
        "but not a quarantined one"
    );
}

async fn a_reused_unique_id_counts_for_the_latest_message(spool: Fresh) {
    admit(&*spool, "u1", b"first!").await;
    let lease = lease_one(&*spool, Timestamp(2000)).await;
    spool.plan(lease, sample::discard(), Timestamp(2000)).await.unwrap();
    assert_eq!(provable(&*spool, &[listed("u1", 6)], AT_ONCE, 2000).await, [0]);
    let second = admit(&*spool, "u1", b"second").await;
    assert!(provable(&*spool, &[listed("u1", 6)], AT_ONCE, 2000).await.is_empty(), "the second still waits");
    assert_eq!(sample::octets(&spool.open(second).await.unwrap()), b"second");
}

async fn unique_ids_that_are_not_unique_need_every_copy_safe(spool: Fresh) {
    for (ordinal, octets) in [(0, b"first!"), (1, b"second")] {
        let arrival = arrival_in(&*spool, "shop", "same", ordinal, octets, Timestamp(1000));
        assert!(spool.admit(vec![arrival]).await.unwrap()[0].new);
    }
    let listing = [listed("same", 6), Listed { ordinal: 1, ..listed("same", 6) }];
    for proved in [vec![], vec![0, 1]] {
        let lease = spool.lease_messages(1, Timestamp(2000)).await.unwrap().remove(0);
        spool.plan(lease, sample::discard(), Timestamp(2000)).await.unwrap();
        assert_eq!(provable(&*spool, &listing, AT_ONCE, 2000).await, proved);
    }
    let third = [&listing[..], &[Listed { ordinal: 2, ..listed("same", 6) }]].concat();
    assert!(provable(&*spool, &third, AT_ONCE, 2000).await.is_empty(), "one of the three is not here");
}

async fn polls_are_recorded(spool: Fresh) {
    let (account, listed) = (name("shop"), 7);
    spool
        .close_poll(&account, PollOutcome::Failed { reason: "no route".into() }, Timestamp(1))
        .await
        .unwrap();
    spool.close_poll(&account, PollOutcome::Failed { reason: "refused".into() }, Timestamp(2)).await.unwrap();
    let status = spool.accounts().await.unwrap().remove(0);
    assert_eq!((status.failures, status.last_success), (2, None));
    assert_eq!(status.last_error, Some((Timestamp(2), "refused".into())));
    for now in [3, 4, 5] {
        spool.close_poll(&account, PollOutcome::Complete { listed }, Timestamp(now)).await.unwrap();
        let status = spool.accounts().await.unwrap().remove(0);
        assert_eq!((status.failures, status.last_error, status.listed), (0, None, Some(7)));
        assert_eq!(status.last_success, Some(Timestamp(now)));
    }
}

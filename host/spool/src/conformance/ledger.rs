//! The ledger against servers that change their minds: doubtful sizes, missing entries, new unique-ids, lost answers.

use std::time::Duration;

use postroom_mail::{Digest, Timestamp, Uid};

use super::Factory;
use super::sample::{self, Fresh, admit, arrival, lease_one, listed, name};
use crate::{
    Adoption, DeletePolicy, Error, Forget, Listed, NOTE, PollOutcome, Reconciled, Seen, SeenBy, Spool, Why,
};

const NOW: Timestamp = Timestamp(2000);
const AT_ONCE: DeletePolicy = DeletePolicy::Spooled { after: Duration::ZERO };
const DAY: i64 = 24 * 3_600_000;

pub(super) async fn suite(factory: Factory<'_>) {
    another_size_is_doubtful_and_never_deleted(factory()).await;
    a_missing_entry_is_forgotten_after_three_listings_and_its_time(factory()).await;
    an_incomplete_listing_ages_nothing(factory()).await;
    a_lost_answer_to_quit_is_settled_by_the_next_listing(factory()).await;
    a_proof_that_is_out_of_date_deletes_nothing(factory()).await;
    known_messages_move_to_new_unique_ids(factory()).await;
    seeded_entries_are_seen_and_never_removable(factory()).await;
    the_first_contact_is_told(factory()).await;
    forgotten_entries_are_new_again(factory()).await;
    rows_are_found_by_header_and_by_octets(factory()).await;
    failures_are_counted_until_it_goes_well(factory()).await;
    notes_are_kept_and_bounded(factory()).await;
    limits_of_the_maildrop_keep_the_newest(factory()).await;
    every_entry_kept_has_its_reason(factory()).await;
    a_clock_that_jumps_deletes_nothing_for_its_age(factory()).await;
    a_held_poll_is_told_until_one_is_complete(factory()).await;
}

async fn reconcile(spool: &dyn Spool, listing: &[Listed]) -> Reconciled {
    spool.reconcile(&name("shop"), listing).await.unwrap()
}

async fn observe(spool: &dyn Spool, listing: &[Listed], now: i64) -> crate::Observed {
    spool.observe(&name("shop"), listing, true, Duration::from_secs(10), Timestamp(now)).await.unwrap()
}

async fn why(spool: &dyn Spool, listing: &[Listed], policy: DeletePolicy, now: i64) -> Vec<Option<Why>> {
    let removals = spool.removable(&name("shop"), listing, policy, Timestamp(now)).await.unwrap();
    let mut all = vec![None; listing.len()];
    for kept in removals.kept {
        all[kept.index] = Some(kept.why);
    }
    let proved: Vec<_> = removals.removable.iter().map(crate::Removable::index).collect();
    assert!(all.iter().enumerate().all(|(index, why)| why.is_none() == proved.contains(&index)));
    all
}

fn uid(text: &str) -> Uid {
    Uid(text.as_bytes().to_vec())
}

fn seen(text: &str, size: Option<u64>) -> Seen {
    Seen { uid: uid(text), ordinal: 0, size, at: None }
}

fn adoption(from: &str, to: &str) -> Adoption {
    Adoption { from: (uid(from), 0), to: listed(to, 6) }
}

async fn another_size_is_doubtful_and_never_deleted(spool: Fresh) {
    admit(&*spool, "u", b"octets").await;
    let (near, far, none) = (listed("u", 700), listed("u", 99_000), Listed { size: None, ..listed("u", 0) });
    for (entry, doubtful) in [(&near, 0), (&far, 1), (&none, 0)] {
        let found = reconcile(&*spool, std::slice::from_ref(entry)).await;
        assert_eq!((found.doubtful.len(), found.new.len(), found.known), (doubtful, 0, 1 - doubtful as u64));
    }
    observe(&*spool, std::slice::from_ref(&far), 2000).await;
    assert_eq!(
        reconcile(&*spool, std::slice::from_ref(&far)).await.doubtful,
        [0],
        "a doubt is not recorded away"
    );
    assert_eq!(why(&*spool, std::slice::from_ref(&far), AT_ONCE, 2000).await, [Some(Why::SizeDiffers)]);
    observe(&*spool, std::slice::from_ref(&near), 2000).await;
    let other = listed("u", 701);
    assert_eq!(
        reconcile(&*spool, std::slice::from_ref(&other)).await.doubtful,
        [0],
        "now it must be the same"
    );
    assert_eq!(why(&*spool, std::slice::from_ref(&other), AT_ONCE, 2000).await, [Some(Why::SizeDiffers)]);
    assert_eq!(why(&*spool, std::slice::from_ref(&none), AT_ONCE, 2000).await, [Some(Why::SizeDiffers)]);
    spool.resized(&name("shop"), &other).await.unwrap();
    assert_eq!(reconcile(&*spool, std::slice::from_ref(&other)).await.known, 1);
    assert_eq!(why(&*spool, std::slice::from_ref(&other), AT_ONCE, 2000).await, [None]);
}

async fn a_missing_entry_is_forgotten_after_three_listings_and_its_time(spool: Fresh) {
    let message = admit(&*spool, "old", b"octets").await;
    admit(&*spool, "here", b"octets").await;
    let (both, one) = ([listed("old", 6), listed("here", 6)], [listed("here", 6)]);
    assert_eq!(reconcile(&*spool, &one).await.vanished, 1);
    for now in [3000, 4000, 5000] {
        assert_eq!(observe(&*spool, &one, now).await.forgotten, 0);
        assert_eq!(reconcile(&*spool, &one).await.vanished, 0, "it is told once");
    }
    assert_eq!(spool.seen(&name("shop"), None, 9).await.unwrap()[1].absent, 3);
    observe(&*spool, &both, 6000).await;
    for now in [20_000, 40_000] {
        assert_eq!(observe(&*spool, &one, now).await.forgotten, 0, "its absence began anew");
    }
    assert_eq!(observe(&*spool, &one, 40_001).await.forgotten, 1);
    assert_eq!(reconcile(&*spool, &both).await.new, [0]);
    assert!(spool.history(message).await.unwrap().is_some());
}

async fn an_incomplete_listing_ages_nothing(spool: Fresh) {
    admit(&*spool, "a", b"octets").await;
    admit(&*spool, "b", b"octets").await;
    let shop = name("shop");
    spool.stumble(&shop, &listed("c", 1), "cut".into(), NOW).await.unwrap();
    for now in 1..9 {
        spool.observe(&shop, &[listed("a", 6)], false, Duration::ZERO, Timestamp(now)).await.unwrap();
        spool.observe(&shop, &[], false, Duration::ZERO, Timestamp(now * DAY)).await.unwrap();
    }
    let rows = spool.seen(&shop, None, 9).await.unwrap();
    assert_eq!(rows.iter().map(|row| (row.absent, row.size)).collect::<Vec<_>>(), [(0, Some(6)), (0, None)]);
    assert_eq!(spool.stumbles(&shop).await.unwrap().len(), 1);
    observe(&*spool, &[], 9 * DAY).await;
    let rows = spool.seen(&shop, None, 9).await.unwrap();
    assert_eq!(
        rows.iter().map(|row| row.absent).collect::<Vec<_>>(),
        [1, 1],
        "what the caller believes counts"
    );
    assert_eq!(reconcile(&*spool, &[]).await.vanished, 0);
}

async fn a_lost_answer_to_quit_is_settled_by_the_next_listing(spool: Fresh) {
    let gone = admit(&*spool, "gone", b"octets").await;
    let stays = admit(&*spool, "stays", b"octets").await;
    let (shop, listing) = (name("shop"), [listed("gone", 6), listed("stays", 6)]);
    let proofs = spool.removable(&shop, &listing, AT_ONCE, NOW).await.unwrap().removable;
    spool.deleting(&proofs, NOW).await.unwrap();
    assert_eq!(reconcile(&*spool, &listing[1..]).await.vanished, 0, "it was asked for");
    let observed = observe(&*spool, &listing[1..], 3000).await;
    assert_eq!((observed.removed, observed.still_listed), (1, 1));
    let history = spool.history(gone).await.unwrap().unwrap();
    assert_eq!(history.removed, Some(Timestamp(3000)));
    assert_eq!(history.events.last().unwrap().text, "removed at the server, as a later listing shows");
    assert_eq!(spool.history(stays).await.unwrap().unwrap().removed, None);
    let reused = [listed("stays", 7)];
    assert_eq!(reconcile(&*spool, &reused).await.doubtful, [0], "another message may be behind it now");
    assert_eq!(why(&*spool, &reused, AT_ONCE, 3000).await, [Some(Why::SizeDiffers)]);
    let proofs = spool.removable(&shop, &listing[1..], AT_ONCE, NOW).await.unwrap().removable;
    spool.deleting(&proofs, NOW).await.unwrap();
    assert_eq!(observe(&*spool, &[], 4000).await.removed, 1, "empty is what was asked for");
    assert_eq!(spool.counts(None).await.unwrap().removed, 2);
}

async fn a_proof_that_is_out_of_date_deletes_nothing(spool: Fresh) {
    let (shop, all) = (name("shop"), ["swept", "dropped", "reused", "removed", "fine"]);
    let listing = all.map(|uid| listed(uid, 6));
    admit(&*spool, "swept", b"octets").await;
    spool.plan(lease_one(&*spool, NOW).await, sample::plan(Vec::new()), NOW).await.unwrap();
    let dropped = admit(&*spool, "dropped", b"octets").await;
    for uid in &all[2..] {
        admit(&*spool, uid, b"octets").await;
    }
    let proofs = spool.removable(&shop, &listing, AT_ONCE, NOW).await.unwrap().removable;
    let gone = spool.removable(&shop, &listing[3..4], AT_ONCE, NOW).await.unwrap().removable;
    assert_eq!(proofs.len(), 5);
    assert_eq!(spool.sweep(Duration::ZERO, Timestamp(i64::MAX)).await.unwrap().bodies, 1);
    spool.discard(vec![dropped], NOW).await.unwrap().remove(0).outcome.unwrap();
    admit(&*spool, "reused", b"other!").await;
    spool.removed(gone, NOW).await.unwrap();
    for (at, uid) in all.iter().enumerate().take(4) {
        let refused = spool.deleting(&proofs[at..], NOW).await;
        let Err(Error::Conflict(what)) = refused else { panic!("{uid}: {refused:?}") };
        assert!(what.contains(uid) && what.contains("the next poll decides"), "{what}");
    }
    let observed = observe(&*spool, &[], 3000).await;
    assert_eq!(observed.removed, 0, "nothing was marked, not even what may go");
    spool.deleting(&proofs[4..], NOW).await.unwrap();
    assert_eq!(observe(&*spool, &[], 3000).await.removed, 1);
}

async fn known_messages_move_to_new_unique_ids(spool: Fresh) {
    let first = admit(&*spool, "a", b"first!").await;
    let second = admit(&*spool, "b", b"second").await;
    admit(&*spool, "c", b"third!").await;
    let shop = name("shop");
    let swap = vec![adoption("a", "b"), adoption("b", "a"), adoption("none", "x"), adoption("c", "c")];
    assert_eq!(spool.adopt(&shop, swap, NOW).await.unwrap(), 2);
    assert_eq!(spool.adopt(&shop, vec![adoption("a", "c")], NOW).await.unwrap(), 0, "c is taken");
    let rows = spool.seen(&shop, None, 9).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.message).collect::<Vec<_>>()[..2], [Some(second), Some(first)]);
    assert_eq!((rows[0].by, rows[0].at), (SeenBy::Adopted, Timestamp(1000)));
    let events = spool.history(first).await.unwrap().unwrap().events;
    assert_eq!(events.last().unwrap().text, "the server lists it as b now, no more as a");
    let proofs = spool.removable(&shop, &[listed("b", 6)], AT_ONCE, NOW).await.unwrap().removable;
    assert_eq!(proofs[0].message(), first, "it is deleted under its new unique-id");
}

async fn seeded_entries_are_seen_and_never_removable(spool: Fresh) {
    let shop = name("shop");
    admit(&*spool, "known", b"octets").await;
    let entries = vec![seen("known", Some(9)), seen("a", Some(5)), seen("b", None)];
    assert_eq!(spool.seed(&shop, entries.clone(), SeenBy::Imported, NOW).await.unwrap(), 2);
    assert_eq!(spool.seed(&shop, entries, SeenBy::Seeded, NOW).await.unwrap(), 0, "known already");
    assert!(matches!(spool.seed(&shop, vec![], SeenBy::Retrieved, NOW).await, Err(Error::Conflict(_))));
    let listing = [listed("a", 5), listed("b", 8), listed("known", 6)];
    let found = reconcile(&*spool, &listing).await;
    assert_eq!((found.new.len(), found.doubtful.len(), found.known), (0, 0, 3));
    assert_eq!(reconcile(&*spool, &listing[2..]).await.vanished, 0, "what was imported need not be there");
    let kept = Some(Why::NoCopyHere);
    assert_eq!(why(&*spool, &listing, AT_ONCE, i64::MAX).await, [kept, kept, None]);
    let proofs = spool.removable(&shop, &listing, AT_ONCE, NOW).await.unwrap().removable;
    spool.removed(proofs, NOW).await.unwrap();
    assert_eq!(reconcile(&*spool, &listing).await.new, [2]);
    assert_eq!(spool.seed(&shop, vec![seen("known", Some(6))], SeenBy::Seeded, NOW).await.unwrap(), 1);
    assert_eq!(reconcile(&*spool, &listing).await.known, 3);
    assert_eq!(why(&*spool, &listing[2..], AT_ONCE, i64::MAX).await, [kept], "nobody knows what it is");
}

async fn the_first_contact_is_told(spool: Fresh) {
    assert!(reconcile(&*spool, &[listed("a", 1)]).await.first);
    let failed = PollOutcome::Failed { reason: "no route".into() };
    spool.close_poll(&name("shop"), failed, NOW).await.unwrap();
    assert!(reconcile(&*spool, &[]).await.first);
    spool.close_poll(&name("shop"), PollOutcome::Complete { listed: 0 }, NOW).await.unwrap();
    assert!(!reconcile(&*spool, &[listed("a", 1)]).await.first);
}

async fn forgotten_entries_are_new_again(spool: Fresh) {
    let message = admit(&*spool, "a", b"octets").await;
    admit(&*spool, "b", b"octets").await;
    let (shop, listing) = (name("shop"), [listed("a", 6), listed("b", 6)]);
    assert_eq!(spool.forget(&shop, Forget::Uid(uid("a")), NOW).await.unwrap(), 1);
    assert_eq!(reconcile(&*spool, &listing).await.new, [0]);
    let events = spool.history(message).await.unwrap().unwrap().events;
    assert!(events.last().unwrap().text.starts_with("forgotten"), "{events:?}");
    assert_eq!(spool.forget(&name("home"), Forget::All, NOW).await.unwrap(), 0);
    assert_eq!(spool.forget(&shop, Forget::All, NOW).await.unwrap(), 1);
    assert_eq!(reconcile(&*spool, &listing).await.new, [0, 1]);
}

async fn rows_are_found_by_header_and_by_octets(spool: Fresh) {
    let (shop, header) = (name("shop"), Some(Digest::of(b"header")));
    let arrivals = vec![
        crate::Arrival { header, listed: Some(7), ..arrival(&*spool, "a", b"octets") },
        crate::Arrival { header, ..arrival(&*spool, "b", b"octets") },
        arrival(&*spool, "c", b"others"),
    ];
    spool.admit(arrivals).await.unwrap();
    let keys = |rows: Vec<crate::SeenRow>| -> Vec<Uid> { rows.into_iter().map(|row| row.uid).collect() };
    let alike = spool.resembling(&shop, Digest::of(b"header")).await.unwrap();
    assert_eq!((alike[0].size, alike[1].size), (Some(7), None));
    assert_eq!(keys(alike), [uid("a"), uid("b")]);
    let proofs = spool.removable(&shop, &[listed("a", 7)], AT_ONCE, NOW).await.unwrap().removable;
    spool.removed(proofs, NOW).await.unwrap();
    let alike = spool.resembling(&shop, Digest::of(b"header")).await.unwrap();
    assert_eq!(alike.iter().map(|row| row.removed).collect::<Vec<_>>(), [Some(NOW), None]);
    let found = reconcile(&*spool, &[listed("a", 7), listed("b", 6)]).await;
    assert_eq!((found.new, found.returned, found.known), (vec![0], vec![0], 1));
    let resized = reconcile(&*spool, &[listed("a", 8)]).await;
    assert_eq!((resized.new, resized.returned), (vec![0], vec![]), "another message may be behind it");
    spool.returned(&shop, &listed("a", 7), NOW).await.unwrap();
    let found = reconcile(&*spool, &[listed("a", 7), listed("b", 6)]).await;
    assert_eq!((found.new, found.returned, found.known), (vec![], vec![], 2));
    let proofs = spool.removable(&shop, &[listed("a", 7)], AT_ONCE, NOW).await.unwrap().removable;
    assert_eq!(proofs.len(), 1, "it may, and must, be removed once more");
    spool.removed(proofs, NOW).await.unwrap();
    assert_eq!(keys(spool.holding(&shop, Digest::of(b"octets")).await.unwrap()), [uid("a"), uid("b")]);
    assert_eq!(keys(spool.seen(&shop, Some((uid("a"), 0)), 1).await.unwrap()), [uid("b")]);
    assert_eq!(spool.arrivals(&shop, 2).await.unwrap(), [Timestamp(1000); 2]);
}

async fn failures_are_counted_until_it_goes_well(spool: Fresh) {
    let shop = name("shop");
    for (times, now) in [(1, 5), (2, 9)] {
        let told = spool.stumble(&shop, &listed("a", 1), "cut".into(), Timestamp(now)).await.unwrap();
        assert_eq!((told.times, told.first, told.last), (times, Timestamp(5), Timestamp(now)));
    }
    for other in ["b", "c", "d"] {
        spool.stumble(&shop, &listed(other, 1), "cut".into(), NOW).await.unwrap();
    }
    admit(&*spool, "a", b"octets").await;
    spool.seed(&shop, vec![seen("b", None)], SeenBy::Seeded, NOW).await.unwrap();
    assert_eq!(spool.stumbles(&shop).await.unwrap().len(), 2);
    observe(&*spool, &[listed("a", 6), listed("d", 1)], 3000).await;
    assert_eq!(spool.stumbles(&shop).await.unwrap()[0].uid, uid("d"));
    assert_eq!(spool.unstumble(&shop, Some(uid("x"))).await.unwrap(), 0);
    assert_eq!(spool.unstumble(&shop, None).await.unwrap(), 1);
}

async fn notes_are_kept_and_bounded(spool: Fresh) {
    assert_eq!(spool.learnt("host").await.unwrap(), None);
    spool.learn("host", Some("slow".into()), NOW).await.unwrap();
    let refused = spool.learn("host", Some("x".repeat(NOTE + 1)), NOW).await;
    assert!(matches!(refused, Err(Error::Conflict(_))), "{refused:?}");
    assert_eq!(spool.learnt("host").await.unwrap().as_deref(), Some("slow"));
    spool.learn("host", None, NOW).await.unwrap();
    assert_eq!(spool.learnt("host").await.unwrap(), None);
}

async fn discarded(spool: &dyn Spool, uid: &str) {
    admit(spool, uid, b"octets").await;
    let lease = lease_one(spool, NOW).await;
    spool.plan(lease, sample::discard(), NOW).await.unwrap();
}

async fn limits_of_the_maildrop_keep_the_newest(spool: Fresh) {
    for uid in ["d", "c", "b", "a"] {
        discarded(&*spool, uid).await;
    }
    let listing: Vec<_> = ["d", "c", "b", "a"].map(|uid| listed(uid, 6)).into();
    let policy = |keep, over| DeletePolicy::Done { after: Duration::ZERO, keep, over };
    let (newest, fits) = (Some(Why::AmongNewest), Some(Why::NotOver));
    assert_eq!(why(&*spool, &listing, policy(Some(3), None), 2000).await, [None, newest, newest, newest]);
    assert_eq!(why(&*spool, &listing, policy(Some(9), None), 2000).await, [newest; 4]);
    assert_eq!(why(&*spool, &listing, policy(None, Some(13)), 2000).await, [None, None, fits, fits]);
    assert_eq!(why(&*spool, &listing, policy(None, Some(24)), 2000).await, [fits; 4]);
    assert_eq!(why(&*spool, &listing, policy(Some(3), Some(1)), 2000).await, [None, newest, newest, newest]);
}

async fn every_entry_kept_has_its_reason(spool: Fresh) {
    admit(&*spool, "waits", b"octets").await;
    let lease = lease_one(&*spool, NOW).await;
    spool.defer(lease, Timestamp(i64::MAX), "trap".into(), Vec::new(), NOW).await.unwrap();
    admit(&*spool, "aside", b"octets").await;
    let lease = lease_one(&*spool, NOW).await;
    spool.quarantine(lease, "odd".into(), Vec::new(), NOW).await.unwrap();
    admit(&*spool, "alone", b"octets").await;
    let lease = lease_one(&*spool, NOW).await;
    spool.plan(lease, sample::plan(Vec::new()), NOW).await.unwrap();
    discarded(&*spool, "done").await;
    let listing: Vec<_> =
        ["waits", "aside", "alone", "done", "done", "never"].map(|uid| listed(uid, 6)).into();
    let done = |after| DeletePolicy::Done { after: Duration::from_millis(after), keep: None, over: None };
    let expected =
        [Why::Waiting, Why::Quarantined, Why::NoCopy, Why::SharedId, Why::SharedId, Why::NotRetrieved];
    assert_eq!(why(&*spool, &listing, done(0), 2000).await, expected.map(Some));
    let until = Timestamp(6000);
    assert_eq!(why(&*spool, &listing[3..4], done(5000), 2000).await, [Some(Why::TooYoung { until })]);
    assert_eq!(why(&*spool, &listing[3..4], DeletePolicy::Never, 2000).await, [Some(Why::PolicyNever)]);
    assert_eq!(why(&*spool, &listing[..4], AT_ONCE, 2000).await, [None; 4], "durable here is enough");
    for why in expected {
        assert!(why.to_string().len() > 15 && !why.to_string().ends_with('.'));
    }
}

async fn a_clock_that_jumps_deletes_nothing_for_its_age(spool: Fresh) {
    admit(&*spool, "u", b"octets").await;
    let (shop, listing) = (name("shop"), [listed("u", 6)]);
    let aged = DeletePolicy::Spooled { after: Duration::from_secs(3600) };
    let complete = || PollOutcome::Complete { listed: 1 };
    spool.close_poll(&shop, complete(), NOW).await.unwrap();
    spool.close_poll(&shop, complete(), Timestamp(3000)).await.unwrap();
    assert_eq!(why(&*spool, &listing, aged, 3000 + 7 * DAY).await, [None]);
    let ahead = 3001 + 7 * DAY;
    assert_eq!(why(&*spool, &listing, aged, ahead).await, [Some(Why::ClockJumped)]);
    assert_eq!(why(&*spool, &listing, AT_ONCE, ahead).await, [None], "no age is asked for");
    spool.close_poll(&shop, complete(), Timestamp(ahead)).await.unwrap();
    assert_eq!(why(&*spool, &listing, aged, ahead).await, [None]);
    assert_eq!(why(&*spool, &listing, aged, ahead + 8 * DAY).await, [None], "polls are that far apart here");
}

async fn a_held_poll_is_told_until_one_is_complete(spool: Fresh) {
    let shop = name("shop");
    let held = || PollOutcome::Held { reason: "half of it is gone".into() };
    spool.close_poll(&shop, PollOutcome::Failed { reason: "no route".into() }, NOW).await.unwrap();
    spool.close_poll(&shop, held(), Timestamp(3000)).await.unwrap();
    spool.close_poll(&shop, held(), Timestamp(4000)).await.unwrap();
    let status = spool.accounts().await.unwrap().remove(0);
    assert_eq!(status.held, Some((Timestamp(3000), "half of it is gone".into())), "since when");
    assert_eq!((status.failures, status.last_success), (1, None));
    spool.close_poll(&shop, PollOutcome::Complete { listed: 1 }, Timestamp(5000)).await.unwrap();
    let status = spool.accounts().await.unwrap().remove(0);
    assert_eq!((status.held, status.failures), (None, 0));
}

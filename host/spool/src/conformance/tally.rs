//! Every message on a server is counted once, and the rule of deletion can be asked without a listing.

use std::time::Duration;

use postroom_mail::{MessageId, Timestamp};

use super::Factory;
use super::sample::{self, Fresh, admit, effect, lease_one, listed, name, plan, receipt};
use crate::{
    Adoption, DeletePolicy, Forget, Listed, PollOutcome, Seen, SeenBy, Settlement, Spool, Tally, Why,
};

pub(super) async fn suite(factory: Factory<'_>) {
    every_message_on_the_server_is_counted_once(factory()).await;
    a_listing_that_is_not_believed_takes_nothing_away(factory()).await;
    a_confirmed_deletion_is_on_the_server_no_more(factory()).await;
    the_outlook_is_what_the_rule_of_deletion_says(factory()).await;
    a_message_is_found_by_the_unique_id_it_has_now(factory()).await;
    usage_counts_the_bodies_that_are_here(factory()).await;
}

const NOW: Timestamp = Timestamp(2000);
const KEEP: Duration = Duration::from_secs(9999);
const AT_ONCE: DeletePolicy = DeletePolicy::Done { after: Duration::ZERO, keep: None, over: None };

async fn tally(spool: &dyn Spool) -> Tally {
    let tally = spool.tally(&name("shop")).await.unwrap();
    assert!(tally.adds_up(), "{tally:?}");
    tally
}

async fn observe(spool: &dyn Spool, uids: &[&str], complete: bool) {
    let listing: Vec<Listed> = uids.iter().map(|uid| listed(uid, 6)).collect();
    spool.observe(&name("shop"), &listing, complete, KEEP, NOW).await.unwrap();
}

/// Done, with a receipt of a required effect for the whole of it.
async fn archived(spool: &dyn Spool, uid: &str, octets: &[u8]) -> MessageId {
    let message = admit(spool, uid, octets).await;
    let lease = lease_one(spool, NOW).await;
    let effects = vec![effect(&lease, "vault", uid, true)];
    spool.plan(lease, plan(effects), NOW).await.unwrap();
    let lease = spool.lease_effects(&name("vault"), 1, NOW).await.unwrap().remove(0);
    spool.settle(lease, Settlement::Done(receipt()), NOW).await.unwrap();
    message
}

async fn every_message_on_the_server_is_counted_once(spool: Fresh) {
    assert_eq!(tally(&*spool).await, Tally::default());
    let shop = name("shop");
    let uids = ["done", "twice", "bare", "aside", "waits", "spam", "seeded", "stuck", "new", "newer"];
    observe(&*spool, &uids, true).await;
    assert_eq!(tally(&*spool).await, Tally { on_server: 10, unretrieved: 10, ..Tally::default() });
    archived(&*spool, "done", b"octets").await;
    archived(&*spool, "twice", b"octets").await;
    admit(&*spool, "bare", b"bare").await;
    spool.plan(lease_one(&*spool, NOW).await, plan(Vec::new()), NOW).await.unwrap();
    admit(&*spool, "aside", b"aside").await;
    spool.quarantine(lease_one(&*spool, NOW).await, "odd".into(), Vec::new(), NOW).await.unwrap();
    admit(&*spool, "spam", b"spam").await;
    spool.plan(lease_one(&*spool, NOW).await, sample::discard(), NOW).await.unwrap();
    admit(&*spool, "waits", b"waits").await;
    let seeded = Seen { uid: listed("seeded", 6).uid, ordinal: 0, size: None, at: None };
    spool.seed(&shop, vec![seeded], SeenBy::Seeded, NOW).await.unwrap();
    let imported = Seen { uid: listed("elsewhere", 6).uid, ordinal: 0, size: None, at: None };
    spool.seed(&shop, vec![imported], SeenBy::Imported, NOW).await.unwrap();
    spool.stumble(&shop, &listed("stuck", 6), "cut".into(), NOW).await.unwrap();
    let expected = Tally {
        on_server: 10,
        archived: 1,
        duplicates: 1,
        uncopied: 1,
        elsewhere: 1,
        quarantined: 1,
        discarded: 1,
        waiting: 1,
        failed: 1,
        unretrieved: 2,
    };
    assert_eq!(tally(&*spool).await, expected);
    // One that has no unique-id is in no listing of the ledger, but the server counts it.
    spool.close_poll(&shop, PollOutcome::Complete { listed: 11 }, NOW).await.unwrap();
    assert_eq!(tally(&*spool).await, Tally { on_server: 11, failed: 2, ..expected });
    observe(&*spool, &["done", "new"], true).await;
    spool.close_poll(&shop, PollOutcome::Complete { listed: 2 }, NOW).await.unwrap();
    let expected = Tally { on_server: 2, archived: 1, unretrieved: 1, ..Tally::default() };
    assert_eq!(tally(&*spool).await, expected);
    assert_eq!(expected.to_string(), "2 on the server = 1 archived + 1 not retrieved");
    spool.forget(&shop, Forget::All, NOW).await.unwrap();
    assert_eq!(tally(&*spool).await, Tally { on_server: 2, unretrieved: 2, ..Tally::default() });
}

async fn a_listing_that_is_not_believed_takes_nothing_away(spool: Fresh) {
    archived(&*spool, "one", b"one").await;
    archived(&*spool, "two", b"two").await;
    observe(&*spool, &["one", "two"], true).await;
    observe(&*spool, &["one", "new"], false).await;
    let expected = Tally { on_server: 3, archived: 2, unretrieved: 1, ..Tally::default() };
    assert_eq!(tally(&*spool).await, expected);
}

async fn a_confirmed_deletion_is_on_the_server_no_more(spool: Fresh) {
    for uid in ["one", "two"] {
        archived(&*spool, uid, b"octets").await;
    }
    observe(&*spool, &["one", "two"], true).await;
    for _ in 0..2 {
        let proofs = spool.removable(&name("shop"), &[listed("one", 6)], AT_ONCE, NOW).await.unwrap();
        spool.deleting(&proofs.removable, NOW).await.unwrap();
        spool.removed(proofs.removable, NOW).await.unwrap();
        assert_eq!(tally(&*spool).await.on_server, 1);
    }
    spool.returned(&name("shop"), &listed("one", 6), NOW).await.unwrap();
    observe(&*spool, &["one", "two"], true).await;
    let expected = Tally { on_server: 2, archived: 1, duplicates: 1, ..Tally::default() };
    assert_eq!(tally(&*spool).await, expected);
}

async fn the_outlook_is_what_the_rule_of_deletion_says(spool: Fresh) {
    let done = archived(&*spool, "done", b"octets").await;
    let aside = admit(&*spool, "aside", b"octets").await;
    spool.quarantine(lease_one(&*spool, NOW).await, "odd".into(), Vec::new(), NOW).await.unwrap();
    let listing = [listed("done", 6), listed("aside", 6)];
    spool.observe(&name("shop"), &listing, true, KEEP, NOW).await.unwrap();
    let later = DeletePolicy::Done { after: Duration::from_secs(60), keep: Some(9), over: Some(1) };
    for policy in [DeletePolicy::Never, AT_ONCE, later] {
        let plain = match policy {
            DeletePolicy::Done { after, .. } => DeletePolicy::Done { after, keep: None, over: None },
            other => other,
        };
        let removals = spool.removable(&name("shop"), &listing, plain, NOW).await.unwrap();
        for (index, message) in [done, aside].into_iter().enumerate() {
            let outlook = spool.outlook(message, policy, NOW).await.unwrap();
            let kept = removals.kept.iter().find(|kept| kept.index == index).map(|kept| kept.why);
            assert_eq!((outlook.len(), outlook[0].kept), (1, kept), "{policy:?} {index}");
        }
    }
    let proofs = spool.removable(&name("shop"), &listing[..1], AT_ONCE, NOW).await.unwrap().removable;
    spool.removed(proofs, NOW).await.unwrap();
    let outlook = spool.outlook(done, AT_ONCE, NOW).await.unwrap().remove(0);
    assert_eq!((outlook.removed, outlook.kept), (Some(NOW), Some(Why::Removed)));
    let unknown = sample::arrival(&*spool, "never", b"x").provenance.message();
    assert!(spool.outlook(unknown, AT_ONCE, NOW).await.unwrap().is_empty());
}

async fn a_message_is_found_by_the_unique_id_it_has_now(spool: Fresh) {
    let message = admit(&*spool, "before", b"octets").await;
    let adoption = Adoption { from: (listed("before", 6).uid, 0), to: listed("after", 6) };
    spool.adopt(&name("shop"), vec![adoption], NOW).await.unwrap();
    for uid in ["before", "aft", "after"] {
        assert_eq!(spool.find(uid).await.unwrap(), [message], "{uid}");
    }
    let outlook = spool.outlook(message, DeletePolicy::Never, NOW).await.unwrap();
    assert_eq!(outlook[0].uid, listed("after", 6).uid);
}

async fn usage_counts_the_bodies_that_are_here(spool: Fresh) {
    admit(&*spool, "one", b"octets").await;
    spool.plan(lease_one(&*spool, NOW).await, sample::discard(), NOW).await.unwrap();
    admit(&*spool, "two", b"more octets").await;
    let usage = spool.usage().await.unwrap();
    assert_eq!((usage.bodies, usage.octets), (2, 17));
    spool.sweep(Duration::ZERO, Timestamp(9000)).await.unwrap();
    assert_eq!(spool.usage().await.unwrap().octets, 11);
}

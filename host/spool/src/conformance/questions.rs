//! What can be asked: every message is found, explained and counted exactly once.

use postroom_mail::Timestamp;

use super::Factory;
use super::sample::{self, Fresh, admit, arrival_in, effect, lease_one, name, plan, receipt};
use crate::{Backlog, Counts, EffectState, MessageState, QueueFilter, Settlement, Spool};

pub(super) async fn suite(factory: Factory<'_>) {
    messages_are_found_by_any_of_their_names(factory()).await;
    a_history_tells_what_happened(factory()).await;
    histories_of_endless_retries_stay_short(factory()).await;
    counts_add_up_and_the_queue_shows_what_is_open(factory()).await;
    the_backlog_is_what_is_on_its_way(factory()).await;
}

const NOW: Timestamp = Timestamp(2000);

async fn messages_are_found_by_any_of_their_names(spool: Fresh) {
    let mut admitted = Vec::new();
    for number in 0..25 {
        admitted.push(admit(&*spool, &format!("uid-{number:02}"), &[number]).await);
    }
    let message = admitted[7];
    let provenance = spool.history(message).await.unwrap().unwrap().provenance;
    let (id, digest) = (message.to_string(), provenance.digest.to_string());
    for prefix in ["uid-07", &id, &id[..12], &id[..13], &digest, &digest[..15], &id[..12].to_uppercase()] {
        assert_eq!(spool.find(prefix).await.unwrap(), [message], "{prefix}");
    }
    let newest: Vec<_> = admitted.iter().rev().take(20).copied().collect();
    assert_eq!(spool.find("uid-").await.unwrap(), newest);
    assert_eq!(spool.find("").await.unwrap(), newest);
    for nothing in ["uid-7", "zz", "%", "uid-070", &format!("{id}0")] {
        assert!(spool.find(nothing).await.unwrap().is_empty(), "{nothing}");
    }
}

async fn a_history_tells_what_happened(spool: Fresh) {
    let message = admit(&*spool, "u", b"octets").await;
    let lease = lease_one(&*spool, NOW).await;
    spool.defer(lease, NOW, "out of fuel".into(), Vec::new(), NOW).await.unwrap();
    let lease = lease_one(&*spool, Timestamp(3000)).await;
    let effects = vec![effect(&lease, "vault", "a", true), effect(&lease, "copy", "b", true)];
    spool.plan(lease, plan(effects), Timestamp(3001)).await.unwrap();
    for settlement in [Settlement::Retry { at: NOW, reason: "busy".into() }, Settlement::Done(receipt())] {
        let lease = spool.lease_effects(&name("vault"), 1, Timestamp(4000)).await.unwrap().remove(0);
        spool.settle(lease, settlement, Timestamp(4001)).await.unwrap();
    }
    let lease = spool.lease_effects(&name("copy"), 1, Timestamp(5000)).await.unwrap().remove(0);
    spool.settle(lease, Settlement::Park { reason: "taken".into() }, Timestamp(5001)).await.unwrap();
    let events = spool.history(message).await.unwrap().unwrap().events;
    let told: Vec<_> = events.iter().map(|event| (event.at.0, event.text.as_str())).collect();
    let expected = [
        (1000, "retrieved from shop as u (6 octets)"),
        (2000, "attempt 1 started"),
        (2000, "to be tried again: out of fuel"),
        (3000, "attempt 2 started"),
        (3001, "planned: 2 effects, verdict keep"),
        (4001, "store vault:a (6 octets) to be tried again: busy"),
        (4001, "store vault:a (6 octets) done: there"),
        (5001, "store copy:b (6 octets) set aside: taken"),
        (5001, "quarantined: store copy:b (6 octets): taken"),
    ];
    assert_eq!(told, expected);
    let unknown = sample::arrival(&*spool, "never", b"x").provenance.message();
    assert!(spool.history(unknown).await.unwrap().is_none());
}

async fn histories_of_endless_retries_stay_short(spool: Fresh) {
    let message = admit(&*spool, "u", b"octets").await;
    for _ in 0..150 {
        let lease = lease_one(&*spool, NOW).await;
        spool.defer(lease, NOW, "x".repeat(10_000), Vec::new(), NOW).await.unwrap();
    }
    let lease = lease_one(&*spool, NOW).await;
    spool.quarantine(lease, "enough".into(), Vec::new(), NOW).await.unwrap();
    let history = spool.history(message).await.unwrap().unwrap();
    assert_eq!(history.attempts, 151);
    assert_eq!(history.events.len(), crate::life::EVENTS as usize + 1);
    assert_eq!(history.events.last().unwrap().text, "quarantined: enough", "what matters is always told");
    assert!(history.events.iter().all(|event| event.text.len() < 2100));
}

async fn counts_add_up_and_the_queue_shows_what_is_open(spool: Fresh) {
    // One message of each fate in each of two accounts.
    for account in ["shop", "home"] {
        for fate in ["done", "discarded", "aside", "parked", "planned", "running", "spooled"] {
            let octets = format!("{account} {fate}");
            let arrival = arrival_in(&*spool, account, fate, 0, octets.as_bytes(), Timestamp(1000));
            let message = spool.admit(vec![arrival]).await.unwrap()[0].message;
            if fate == "spooled" {
                continue;
            }
            let lease = lease_one_of(&*spool, message).await;
            let effects = vec![effect(&lease, "vault", fate, true)];
            match fate {
                "done" | "parked" => {
                    spool.plan(lease, plan(effects), NOW).await.unwrap();
                    let lease = spool.lease_effects(&name("vault"), 1, NOW).await.unwrap().remove(0);
                    let settlement = match fate {
                        "done" => Settlement::Done(receipt()),
                        _ => Settlement::Park { reason: "no".into() },
                    };
                    spool.settle(lease, settlement, NOW).await.unwrap();
                }
                "discarded" => drop(spool.plan(lease, sample::discard(), NOW).await.unwrap()),
                "aside" => spool.quarantine(lease, "odd".into(), Vec::new(), NOW).await.unwrap(),
                "planned" => {
                    let effects = vec![effect(&lease, "later", fate, true)];
                    spool.plan(lease, plan(effects), NOW).await.unwrap();
                }
                _ => {}
            }
        }
    }
    let one = spool.counts(Some(&name("shop"))).await.unwrap();
    let expected = Counts {
        admitted: 7,
        waiting: 2,
        planned: 1,
        done: 1,
        discarded: 1,
        quarantined: 2,
        removed: 0,
        effects_open: 1,
        effects_done: 1,
        effects_parked: 1,
        effects_waived: 0,
    };
    assert_eq!(one, expected);
    let all = spool.counts(None).await.unwrap();
    assert_eq!((all.admitted, all.effects_open), (14, 2));
    assert_eq!(all.admitted, all.waiting + all.planned + all.done + all.discarded + all.quarantined);

    let shop = QueueFilter { account: Some(name("shop")), ..QueueFilter::default() };
    let rows = spool.queue(shop.clone()).await.unwrap();
    let shown: Vec<_> = rows.iter().map(|row| (row.state, row.effect_state)).collect();
    let expected = [
        (MessageState::Quarantined, None),
        (MessageState::Quarantined, None),
        (MessageState::Quarantined, Some(EffectState::Parked)),
        (MessageState::Planned, Some(EffectState::Pending)),
        (MessageState::Running, None),
        (MessageState::Spooled, None),
    ];
    assert_eq!(shown, expected);
    assert_eq!(rows[2].summary.as_deref(), Some("store vault:parked (11 octets)"));
    assert_eq!((rows[2].due, rows[2].reason.as_deref()), (None, Some("no")));
    assert_eq!((rows[3].due, rows[4].due, rows[5].due), (Some(NOW), None, Some(Timestamp(1000))));
    let first = spool.queue(QueueFilter { limit: 2, ..shop }).await.unwrap();
    assert_eq!(first, rows[..2]);
    let sink = QueueFilter { sink: Some(name("later")), ..QueueFilter::default() };
    let sinks: Vec<_> = spool.queue(sink).await.unwrap().into_iter().map(|row| row.sink).collect();
    assert_eq!(sinks, [Some(name("later")), Some(name("later"))]);
}

/// Leases this message; what else is due is put back.
async fn lease_one_of(spool: &dyn Spool, message: postroom_mail::MessageId) -> crate::MessageLease {
    let mut wanted = None;
    for lease in spool.lease_messages(100, NOW).await.unwrap() {
        if lease.message == message {
            wanted = Some(lease);
        } else {
            spool.defer(lease, Timestamp(1000), "not now".into(), Vec::new(), NOW).await.unwrap();
        }
    }
    wanted.expect("it is due")
}

async fn the_backlog_is_what_is_on_its_way(spool: Fresh) {
    assert_eq!(spool.backlog().await.unwrap(), Backlog::default());
    for (account, uid) in [("alpha", "a"), ("beta", "b"), ("beta", "c"), ("gamma", "d"), ("gamma", "e")] {
        let arrival = arrival_in(&*spool, account, uid, 0, &[0; 100], NOW);
        spool.admit(vec![arrival]).await.unwrap();
    }
    assert_eq!(spool.backlog().await.unwrap(), Backlog { messages: 5, octets: 500 });
    let mut leases = spool.lease_messages(4, NOW).await.unwrap();
    spool.plan(leases.remove(0), plan(Vec::new()), NOW).await.unwrap();
    spool.plan(leases.remove(0), sample::discard(), NOW).await.unwrap();
    spool.quarantine(leases.remove(0), "odd".into(), Vec::new(), NOW).await.unwrap();
    assert_eq!(spool.backlog().await.unwrap(), Backlog { messages: 2, octets: 200 }, "one waits, one runs");
    let lease = leases.remove(0);
    let effects = vec![effect(&lease, "vault", "a", true)];
    spool.plan(lease, plan(effects), NOW).await.unwrap();
    assert_eq!(spool.backlog().await.unwrap().messages, 2, "a planned one is on its way too");
    let lease = spool.lease_effects(&name("vault"), 1, NOW).await.unwrap().remove(0);
    spool.settle(lease, Settlement::Done(receipt()), NOW).await.unwrap();
    assert_eq!(spool.backlog().await.unwrap(), Backlog { messages: 1, octets: 100 });
}

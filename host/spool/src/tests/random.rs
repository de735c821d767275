//! The same random calls to both implementations get the same answers.

use std::path::Path;
use std::time::Duration;

use postroom_mail::{Digest, MessageId, Plan, Timestamp};

use super::rolling_at;
use crate::conformance::sample::{self, Random, arrival_in, effect, name, receipt, write};
use crate::{
    Adoption, Aside, DeletePolicy, EffectLease, Forget, Leases, Listed, MemorySpool, MessageLease,
    PollOutcome, QueueFilter, Seen, SeenBy, Selection, Settlement, Spool, SqliteSpool,
};

/// Both, and what was taken from both and not given back.
struct Pair {
    oracle: MemorySpool,
    embedded: SqliteSpool,
    messages: Vec<(MessageLease, MessageLease)>,
    effects: Vec<(EffectLease, EffectLease)>,
    admitted: Vec<MessageId>,
    now: Timestamp,
    random: Random,
    observed: u64,
    forgotten: u64,
    decided: u64,
}

/// Errors are compared by what they say.
fn same<T: PartialEq + std::fmt::Debug>(one: &crate::Result<T>, two: &crate::Result<T>, what: &str) {
    match (one, two) {
        (Ok(one), Ok(two)) => assert_eq!(one, two, "{what}"),
        (Err(one), Err(two)) => assert_eq!(one.to_string(), two.to_string(), "{what}"),
        _ => panic!("{what}: {one:?} is not {two:?}"),
    }
}

impl Pair {
    fn new(state: &Path, seed: u64) -> Self {
        Self {
            oracle: MemorySpool::new(),
            embedded: SqliteSpool::open_with(state, rolling_at(3000)).unwrap(),
            messages: Vec::new(),
            effects: Vec::new(),
            admitted: Vec::new(),
            now: Timestamp(10_000),
            random: Random(seed),
            observed: 0,
            forgotten: 0,
            decided: 0,
        }
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::try_from(self.random.below(choices.len() as u64)).unwrap()]
    }

    async fn step(&mut self) {
        self.now.0 += self.one_of(&[0, 0, 1, 50]);
        match self.random.below(24) {
            0..=1 => self.admit().await,
            2..=4 => self.lease_messages().await,
            5..=8 => self.finish_message().await,
            9..=11 => self.lease_effects().await,
            12..=16 => self.settle().await,
            17..=18 => self.poll().await,
            20..=22 => self.amend().await,
            23 => self.operate().await,
            _ if self.random.below(3) == 0 => self.release().await,
            _ => self.sweep().await,
        }
    }

    /// What was taken stays in hand: it is void, and both must say so.
    async fn release(&mut self) {
        let leases = self.one_of(&[Leases::Messages, Leases::Effects]);
        let one = self.oracle.release(leases, self.now).await;
        same(&one, &self.embedded.release(leases, self.now).await, "release");
    }

    /// The operator's verbs, over what he selects and over anything.
    async fn operate(&mut self) {
        let now = self.now;
        let sink = self.one_of(&[None, None, Some("vault"), Some("copy")]).map(name);
        let selection = Selection {
            account: self.one_of(&[None, Some("shop"), Some("home")]).map(name),
            sink: self.one_of(&[None, Some("vault")]).map(name),
            state: self.one_of(&[
                None,
                Some(Aside::Quarantined),
                Some(Aside::Parked),
                Some(Aside::Waiting),
                Some(Aside::Dropped),
            ]),
            reason: self.one_of(&[None, None, Some("odd")]).map(str::to_owned),
            older: self.one_of(&[None, Some(Duration::from_millis(300))]),
            messages: Vec::new(),
        };
        let one = self.oracle.select(selection.clone(), now).await.unwrap();
        assert_eq!(one, self.embedded.select(selection, now).await.unwrap());
        let mut messages: Vec<_> = one.into_iter().take(1).map(|selected| selected.message).collect();
        if !self.admitted.is_empty() {
            let at = self.random.below(self.admitted.len() as u64);
            messages.push(self.admitted[usize::try_from(at).unwrap()]);
        }
        let (one, two) = match self.random.below(5) {
            0..=2 => (
                self.oracle.retry(messages.clone(), sink.clone(), now).await,
                self.embedded.retry(messages, sink, now).await,
            ),
            3 => (
                self.oracle.let_go(messages.clone(), sink.clone(), now).await,
                self.embedded.let_go(messages, sink, now).await,
            ),
            _ => {
                (self.oracle.discard(messages.clone(), now).await, self.embedded.discard(messages, now).await)
            }
        };
        same(&one, &two, "operate");
        self.decided += one.into_iter().flatten().filter(|decided| decided.outcome.is_ok()).count() as u64;
    }

    async fn admit(&mut self) {
        let (mut one, mut two) = (Vec::new(), Vec::new());
        for _ in 0..=self.random.below(3) {
            let account = self.one_of(&["shop", "home"]);
            let uid = format!("u{}", self.random.below(30));
            let ordinal = self.one_of(&[0, 0, 0, 1]);
            // Often the same octets, so that a unique-id comes back with the message it had.
            let len = self.random.below(900);
            let len = self.one_of(&[400, 400, len]);
            let octets = sample::noise(self.random.below(2), usize::try_from(len).unwrap());
            let at = Timestamp(self.now.0 + self.one_of(&[0, 0, 5]));
            one.push(arrival_in(&self.oracle, account, &uid, ordinal, &octets, at));
            let mut arrival = arrival_in(&self.embedded, account, &uid, ordinal, &octets, at);
            if self.random.below(40) == 0 {
                arrival.provenance.size += 1;
                one.last_mut().unwrap().provenance.size += 1;
            }
            let listed = self.one_of(&[None, Some(400), Some(900)]);
            let header = self.one_of(&[None, Some(Digest::of(b"one")), Some(Digest::of(b"two"))]);
            let first = one.last_mut().unwrap();
            (first.listed, first.header) = (listed, header);
            (arrival.listed, arrival.header) = (listed, header);
            two.push(arrival);
        }
        let (one, two) = (self.oracle.admit(one).await, self.embedded.admit(two).await);
        same(&one, &two, "admit");
        self.admitted
            .extend(one.into_iter().flatten().filter(|admitted| admitted.new).map(|new| new.message));
    }

    async fn lease_messages(&mut self) {
        let limit = self.one_of(&[0, 1, 3]);
        let one = self.oracle.lease_messages(limit, self.now).await.unwrap();
        let two = self.embedded.lease_messages(limit, self.now).await.unwrap();
        let told = |leases: &[MessageLease]| -> Vec<_> {
            leases.iter().map(|lease| (lease.message, lease.attempt, lease.provenance.clone())).collect()
        };
        assert_eq!(told(&one), told(&two));
        self.messages.extend(one.into_iter().zip(two));
    }

    async fn finish_message(&mut self) {
        if self.messages.is_empty() {
            return;
        }
        let at = usize::try_from(self.random.below(self.messages.len() as u64)).unwrap();
        let (one, two) = self.messages.swap_remove(at);
        let later = Timestamp(self.now.0 + self.one_of(&[0, 10, 200]));
        let done = match self.random.below(9) {
            0 => (
                self.oracle.defer(one, later, "trap".into(), Vec::new(), self.now).await,
                self.embedded.defer(two, later, "trap".into(), Vec::new(), self.now).await,
            ),
            1 => (
                self.oracle.put_back(one, later, "no room".into(), self.now).await,
                self.embedded.put_back(two, later, "no room".into(), self.now).await,
            ),
            2 => (
                self.oracle.quarantine(one, "odd".into(), Vec::new(), self.now).await,
                self.embedded.quarantine(two, "odd".into(), Vec::new(), self.now).await,
            ),
            _ => {
                let plan = self.plan(&one);
                (
                    self.oracle.plan(one, plan.clone(), self.now).await.map(drop),
                    self.embedded.plan(two, plan, self.now).await.map(drop),
                )
            }
        };
        same(&done.0, &done.1, "finish");
    }

    fn plan(&mut self, lease: &MessageLease) -> Plan {
        let mut effects = Vec::new();
        for _ in 0..self.random.below(4) {
            let (sink, key) = (self.one_of(&["vault", "copy"]), self.one_of(&["a", "b"]));
            effects.push(effect(lease, sink, key, self.random.below(3) > 0));
        }
        let verdict = match self.random.below(6) {
            0 => sample::discard().verdict,
            1 => sample::quarantine(Vec::new()).verdict,
            _ => postroom_mail::Verdict::Keep,
        };
        let value = self.one_of(&[None, Some(&b"1"[..]), Some(b"2")]);
        Plan { verdict, kv: vec![write("scope", "key", value)], ..sample::plan(effects) }
    }

    async fn lease_effects(&mut self) {
        let (sink, limit) = (name(self.one_of(&["vault", "copy"])), self.one_of(&[1, 4]));
        let one = self.oracle.lease_effects(&sink, limit, self.now).await.unwrap();
        let two = self.embedded.lease_effects(&sink, limit, self.now).await.unwrap();
        let told = |leases: &[EffectLease]| -> Vec<_> {
            let told = |lease: &EffectLease| {
                (lease.effect.clone(), lease.message, lease.attempt, lease.doubts, lease.provenance.clone())
            };
            leases.iter().map(told).collect()
        };
        assert_eq!(told(&one), told(&two));
        self.effects.extend(one.into_iter().zip(two));
    }

    async fn settle(&mut self) {
        if self.effects.is_empty() {
            return;
        }
        let at = usize::try_from(self.random.below(self.effects.len() as u64)).unwrap();
        let (one, two) = self.effects.swap_remove(at);
        let later = Timestamp(self.now.0 + self.one_of(&[0, 10, 200]));
        if self.random.below(3) == 0 {
            let marked = self.oracle.sending(&one, self.now).await;
            same(&marked, &self.embedded.sending(&two, self.now).await, "sending");
            if self.random.below(12) == 0 {
                // Never settled; a restart decides.
                return;
            }
        }
        let settlement = match self.random.below(12) {
            0 => Settlement::Park { reason: "no".into() },
            3 => {
                let at = self.one_of(&[Some(later), Some(later), None]);
                Settlement::Doubt { at, reason: "no answer".into() }
            }
            1 => Settlement::Retry { at: later, reason: "busy".into() },
            2 => Settlement::Hold { at: later, reason: "no route".into() },
            _ => Settlement::Done(receipt()),
        };
        let one = self.oracle.settle(one, settlement.clone(), self.now).await;
        same(&one, &self.embedded.settle(two, settlement, self.now).await, "settle");
    }

    async fn poll(&mut self) {
        let account = name(self.one_of(&["shop", "home"]));
        let mut listing = Vec::new();
        for number in 0..self.random.below(30) {
            for ordinal in 0..self.one_of(&[1, 1, 2]) {
                let size = self.one_of(&[Some(0), Some(400), Some(400), Some(900), Some(9000), None]);
                listing.push(Listed { ordinal, size, ..sample::listed(&format!("u{number}"), 0) });
            }
        }
        let one = self.oracle.reconcile(&account, &listing).await.unwrap();
        assert_eq!(one, self.embedded.reconcile(&account, &listing).await.unwrap());
        if self.random.below(3) > 0 {
            let keep = Duration::from_millis(self.one_of(&[0, 100, 9000]));
            let complete = self.random.below(4) > 0;
            let one = self.oracle.observe(&account, &listing, complete, keep, self.now).await.unwrap();
            let two = self.embedded.observe(&account, &listing, complete, keep, self.now).await.unwrap();
            assert_eq!(one, two);
            self.observed += one.removed;
            self.forgotten += one.forgotten;
            if complete {
                self.adds_up(&account, listing.len() as u64).await;
            }
        }
        let after = Duration::from_millis(self.one_of(&[0, 300]));
        let (keep, over) = self.one_of(&[(None, None), (Some(3), None), (None, Some(4000))]);
        let policy = self.one_of(&[
            DeletePolicy::Spooled { after },
            DeletePolicy::Done { after, keep, over },
            DeletePolicy::Done { after, keep: None, over: None },
        ]);
        let one = self.oracle.removable(&account, &listing, policy, self.now).await.unwrap();
        let two = self.embedded.removable(&account, &listing, policy, self.now).await.unwrap();
        assert_eq!(format!("{one:?}"), format!("{two:?}"));
        assert_eq!(one.kept.len() + one.removable.len(), listing.len());
        let (mut one, mut two) = (one.removable, two.removable);
        let confirmed = usize::try_from(self.random.below(4)).unwrap();
        one.truncate(confirmed);
        two.truncate(confirmed);
        // What was proved may not hold any more.
        match self.random.below(8) {
            0 => self.sweep().await,
            1 => self.operate().await,
            _ => {}
        }
        let announced = self.oracle.deleting(&one, self.now).await;
        same(&announced, &self.embedded.deleting(&two, self.now).await, "deleting");
        if announced.is_ok() && self.random.below(3) > 0 {
            self.oracle.removed(one, self.now).await.unwrap();
            self.embedded.removed(two, self.now).await.unwrap();
        }
        let outcome = match self.random.below(3) {
            0 => PollOutcome::Failed { reason: "no route".into() },
            1 if self.random.below(2) == 0 => PollOutcome::Held { reason: "half is gone".into() },
            _ => PollOutcome::Complete { listed: self.one_of(&[1, 2]) },
        };
        self.oracle.close_poll(&account, outcome.clone(), self.now).await.unwrap();
        self.embedded.close_poll(&account, outcome, self.now).await.unwrap();
    }

    /// The sum of what the tally tells apart is what the server listed.
    async fn adds_up(&self, account: &postroom_mail::AccountId, listed: u64) {
        let tally = self.oracle.tally(account).await.unwrap();
        assert_eq!(tally, self.embedded.tally(account).await.unwrap());
        let status = self.oracle.accounts().await.unwrap();
        let status = status.iter().find(|status| status.account == *account && status.failures == 0);
        let nameless = status.and_then(|status| status.listed).unwrap_or(0).saturating_sub(listed);
        let stuck = self.oracle.stumbles(account).await.unwrap().len() as u64;
        assert_eq!(tally.sum(), listed + nameless, "{tally:?} with {stuck} stumbles");
    }

    fn entry(&mut self) -> Listed {
        let (uid, ordinal) = (format!("u{}", self.random.below(30)), self.one_of(&[0, 0, 1]));
        Listed { ordinal, size: self.one_of(&[None, Some(400), Some(900)]), ..sample::listed(&uid, 0) }
    }

    /// What the operator, and the host beside a poll, do to the ledger.
    async fn amend(&mut self) {
        let (account, entry, now) = (name(self.one_of(&["shop", "home"])), self.entry(), self.now);
        let (uid, ordinal) = (entry.uid.clone(), entry.ordinal);
        match self.random.below(8) {
            0..=1 => {
                let mut adoptions = Vec::new();
                for _ in 0..3 {
                    let (from, to) = (self.entry(), self.entry());
                    adoptions.push(Adoption { from: (from.uid, from.ordinal), to });
                }
                let one = self.oracle.adopt(&account, adoptions.clone(), now).await;
                same(&one, &self.embedded.adopt(&account, adoptions, now).await, "adopt");
            }
            2 => {
                let seen =
                    Seen { uid, ordinal, size: entry.size, at: self.one_of(&[None, Some(Timestamp(5))]) };
                let by = self.one_of(&[SeenBy::Seeded, SeenBy::Imported, SeenBy::Adopted]);
                let one = self.oracle.seed(&account, vec![seen.clone()], by, now).await;
                same(&one, &self.embedded.seed(&account, vec![seen], by, now).await, "seed");
            }
            3 => {
                let which = if self.random.below(9) == 0 { Forget::All } else { Forget::Uid(uid) };
                let one = self.oracle.forget(&account, which.clone(), now).await;
                same(&one, &self.embedded.forget(&account, which, now).await, "forget");
            }
            4 => {
                self.oracle.resized(&account, &entry).await.unwrap();
                self.embedded.resized(&account, &entry).await.unwrap();
            }
            5 => {
                let one = self.oracle.unstumble(&account, Some(uid.clone())).await;
                same(&one, &self.embedded.unstumble(&account, Some(uid)).await, "unstumble");
            }
            _ => {
                let one = self.oracle.stumble(&account, &entry, "cut".into(), now).await;
                same(&one, &self.embedded.stumble(&account, &entry, "cut".into(), now).await, "stumble");
                let text = self.one_of(&[None, Some("a"), Some("b")]).map(str::to_owned);
                self.oracle.learn("shop", text.clone(), now).await.unwrap();
                self.embedded.learn("shop", text, now).await.unwrap();
            }
        }
    }

    async fn compare_ledger(&self) {
        let (one, two) = (&self.oracle, &self.embedded);
        assert_eq!(one.learnt("shop").await.unwrap(), two.learnt("shop").await.unwrap());
        for account in [name("shop"), name("home")] {
            let rows = one.seen(&account, None, usize::MAX).await.unwrap();
            assert_eq!(rows, two.seen(&account, None, usize::MAX).await.unwrap());
            let after = rows.get(rows.len() / 2).map(|row| (row.uid.clone(), row.ordinal));
            let page = one.seen(&account, after.clone(), 3).await.unwrap();
            assert_eq!(page, two.seen(&account, after, 3).await.unwrap());
            assert_eq!(one.stumbles(&account).await.unwrap(), two.stumbles(&account).await.unwrap());
            let tally = one.tally(&account).await.unwrap();
            assert!(tally.adds_up(), "{tally:?}");
            assert_eq!(tally, two.tally(&account).await.unwrap());
            assert_eq!(one.arrivals(&account, 5).await.unwrap(), two.arrivals(&account, 5).await.unwrap());
            let header = Digest::of(b"one");
            let alike = one.resembling(&account, header).await.unwrap();
            assert_eq!(alike, two.resembling(&account, header).await.unwrap());
            let digest = Digest::of(&sample::noise(0, 400));
            assert_eq!(
                one.holding(&account, digest).await.unwrap(),
                two.holding(&account, digest).await.unwrap()
            );
        }
    }

    async fn sweep(&mut self) {
        let keep = Duration::from_millis(self.one_of(&[0, 100, 1000]));
        let one = self.oracle.sweep(keep, self.now).await.unwrap();
        let two = self.embedded.sweep(keep, self.now).await.unwrap();
        assert_eq!(one.bodies, two.bodies);
    }

    async fn compare(&self) {
        self.compare_ledger().await;
        let (one, two) = (&self.oracle, &self.embedded);
        let sinks = [name("vault"), name("copy")];
        assert_eq!(one.next_due(&sinks).await.unwrap(), two.next_due(&sinks).await.unwrap());
        assert_eq!(one.usage().await.unwrap(), two.usage().await.unwrap());
        assert_eq!(one.kv_get("scope", "key").unwrap(), two.kv_get("scope", "key").unwrap());
        assert_eq!(one.kv_total("scope").unwrap(), two.kv_total("scope").unwrap());
        assert_eq!(one.accounts().await.unwrap(), two.accounts().await.unwrap());
        for account in [None, Some(&name("shop")), Some(&name("home"))] {
            let counts = one.counts(account).await.unwrap();
            assert_eq!(counts, two.counts(account).await.unwrap());
            let fates = counts.waiting + counts.planned + counts.done + counts.discarded + counts.quarantined;
            assert_eq!(counts.admitted, fates);
            for (sink, limit) in [(None, 0), (None, 7), (Some(name("vault")), 3)] {
                let filter = QueueFilter { account: account.cloned(), sink, limit };
                assert_eq!(one.queue(filter.clone()).await.unwrap(), two.queue(filter).await.unwrap());
            }
        }
        for message in &self.admitted {
            assert_eq!(one.history(*message).await.unwrap(), two.history(*message).await.unwrap());
            let policy = DeletePolicy::Done { after: Duration::ZERO, keep: None, over: None };
            assert_eq!(
                one.outlook(*message, policy, self.now).await.unwrap(),
                two.outlook(*message, policy, self.now).await.unwrap()
            );
            let (one, two) = (one.open(*message).await, two.open(*message).await);
            same(&one.map(|body| sample::octets(&body)), &two.map(|body| sample::octets(&body)), "open");
        }
        for prefix in ["", "u1", "a", "0", "7f"] {
            assert_eq!(one.find(prefix).await.unwrap(), two.find(prefix).await.unwrap(), "{prefix:?}");
        }
    }
}

#[tokio::test]
async fn both_implementations_answer_alike() {
    let (mut observed, mut forgotten, mut decided) = (0, 0, 0);
    for seed in 1..=6 {
        let state = tempfile::tempdir().unwrap();
        let mut pair = Pair::new(state.path(), seed);
        for step in 1..=500 {
            pair.step().await;
            if step % 50 == 0 {
                pair.compare().await;
            }
            if step % 170 == 0 {
                drop(pair.embedded);
                pair.embedded = SqliteSpool::open_with(state.path(), rolling_at(3000)).unwrap();
                pair.oracle.restart();
                pair.messages.clear();
                pair.effects.clear();
                pair.compare().await;
            }
        }
        let counts = pair.oracle.counts(None).await.unwrap();
        assert!(counts.done > 5 && counts.quarantined > 2 && counts.effects_done > 12, "{counts:?}");
        assert!(counts.removed > 0, "{counts:?}");
        (observed, forgotten) = (observed + pair.observed, forgotten + pair.forgotten);
        decided += pair.decided;
    }
    assert!(observed > 0 && forgotten > 0 && decided > 50, "{observed} {forgotten} {decided}");
}

//! The calls of the trait, each handed to the writer or to a reader. Holds no rule and no SQL.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use postroom_mail::{AccountId, Digest, MessageId, Name, Plan, StepTrace, Timestamp, Uid};

use super::ledger::Observing;
use super::readers::Checked;
use super::{
    SqliteSpool, blocking, health, inbox, incoming_directory, ledger, locked, notes, operator, outbox, polls,
    questions, receipts, seen, tally, upkeep,
};
use crate::health::{Remedy, Scrubbed};
use crate::judge::Judge;
use crate::ledger::{DeletePolicy, Listed, Outlook, PollOutcome, Reconciled, Removable, Removals};
use crate::operator::{self as rules, Decided, Selected, Selection};
use crate::records::{
    AccountStatus, Admitted, Arrival, Backlog, Counts, EffectLease, Free, History, Leases, MessageLease,
    Planned, QueueFilter, QueueRow, Receipted, Settlement, Swept,
};
use crate::seen::{Adoption, Forget, Observed, Seen, SeenBy, SeenRow, Stumble};
use crate::tally::{Tally, Usage};
use crate::{Body, Error, Incoming, Result, Spool, life};

#[async_trait]
impl Spool for SqliteSpool {
    fn incoming(&self, limit: u64) -> Result<Incoming> {
        self.desk()?;
        let directory = incoming_directory(&self.readers.state);
        Ok(Incoming::new(limit, Some((directory, self.readers.disk.clone()))))
    }

    async fn open(&self, message: MessageId) -> Result<Body> {
        let readers = self.readers.clone();
        blocking(move || readers.body(message)).await
    }

    async fn reconcile(&self, account: &AccountId, listing: &[Listed]) -> Result<Reconciled> {
        let (account, listing) = (account.clone(), listing.to_vec());
        self.read(move |sql| ledger::reconcile(sql, &account, &listing)).await
    }

    async fn observe(
        &self,
        account: &AccountId,
        listing: &[Listed],
        complete: bool,
        keep: Duration,
        now: Timestamp,
    ) -> Result<Observed> {
        self.desk()?;
        let pace = locked(&self.polled).closed.get(account).map(|closed| closed.pace);
        let (account, listing) = (account.clone(), listing.to_vec());
        let observing = Observing { account, listing, complete, keep, pace, now };
        let looked = observing.clone();
        // Most listings tell nothing, and the writer is not troubled with them.
        match self.read(move |sql| looked.changes(sql)).await? {
            true => self.write("spool.observe", move |unit| observing.record(unit)).await,
            false => Ok(Observed::default()),
        }
    }

    async fn adopt(&self, account: &AccountId, adoptions: Vec<Adoption>, now: Timestamp) -> Result<u64> {
        let account = account.clone();
        self.write("spool.adopt", move |unit| seen::adopt(unit, &account, &adoptions, now)).await
    }

    async fn resized(&self, account: &AccountId, listed: &Listed) -> Result<()> {
        let (account, listed) = (account.clone(), listed.clone());
        self.write("spool.resized", move |unit| ledger::resized(unit, &account, &listed)).await
    }

    async fn returned(&self, account: &AccountId, listed: &Listed, now: Timestamp) -> Result<()> {
        let (account, listed) = (account.clone(), listed.clone());
        self.write("spool.returned", move |unit| ledger::returned(unit, &account, &listed, now)).await
    }

    async fn resembling(&self, account: &AccountId, header: Digest) -> Result<Vec<SeenRow>> {
        let account = account.clone();
        self.read(move |sql| seen::resembling(sql, &account, header)).await
    }

    async fn holding(&self, account: &AccountId, digest: Digest) -> Result<Vec<SeenRow>> {
        let account = account.clone();
        self.read(move |sql| seen::holding(sql, &account, digest)).await
    }

    async fn seed(&self, account: &AccountId, entries: Vec<Seen>, by: SeenBy, now: Timestamp) -> Result<u64> {
        life::check_seed(by)?;
        let account = account.clone();
        self.write("spool.seed", move |unit| seen::seed(unit, &account, &entries, by, now)).await
    }

    async fn seen(
        &self,
        account: &AccountId,
        after: Option<(Uid, u32)>,
        limit: usize,
    ) -> Result<Vec<SeenRow>> {
        let account = account.clone();
        self.read(move |sql| seen::seen(sql, &account, after.as_ref(), limit)).await
    }

    async fn forget(&self, account: &AccountId, which: Forget, now: Timestamp) -> Result<u64> {
        let account = account.clone();
        self.write("spool.forget", move |unit| seen::forget(unit, &account, &which, now)).await
    }

    async fn admit(&self, arrivals: Vec<Arrival>) -> Result<Vec<Admitted>> {
        self.write("spool.admit", move |unit| inbox::admit(unit, &arrivals)).await
    }

    async fn removable(
        &self,
        account: &AccountId,
        listing: &[Listed],
        policy: DeletePolicy,
        now: Timestamp,
    ) -> Result<Removals> {
        let pace = locked(&self.polled).closed.get(account).map(|closed| closed.pace);
        let (account, listing) = (account.clone(), listing.to_vec());
        self.read(move |sql| {
            let pace = match pace {
                Some(pace) => pace,
                None => polls::pace(sql, &account)?,
            };
            let judge = Judge { policy, now, jumped: pace.jumped(now) };
            ledger::removable(sql, &account, &listing, judge)
        })
        .await
    }

    async fn deleting(&self, removables: &[Removable], now: Timestamp) -> Result<()> {
        let marked: Vec<ledger::Marked> = removables.iter().map(ledger::Marked::from).collect();
        self.write("spool.deleting", move |unit| ledger::deleting(unit, &marked, now)).await
    }

    async fn removed(&self, removed: Vec<Removable>, now: Timestamp) -> Result<()> {
        self.write("spool.removed", move |unit| ledger::removed(unit, &removed, now)).await
    }

    async fn stumble(
        &self,
        account: &AccountId,
        listed: &Listed,
        reason: String,
        now: Timestamp,
    ) -> Result<Stumble> {
        let (account, listed, reason) = (account.clone(), listed.clone(), life::clip(reason));
        self.write("spool.stumble", move |unit| notes::stumble(unit, &account, &listed, &reason, now)).await
    }

    async fn stumbles(&self, account: &AccountId) -> Result<Vec<Stumble>> {
        let account = account.clone();
        self.read(move |sql| notes::stumbles(sql, &account)).await
    }

    async fn unstumble(&self, account: &AccountId, uid: Option<Uid>) -> Result<u64> {
        let account = account.clone();
        self.write("spool.unstumble", move |unit| notes::unstumble(unit, account.as_str(), uid.as_ref()))
            .await
    }

    async fn learnt(&self, scope: &str) -> Result<Option<String>> {
        let scope = scope.to_owned();
        self.read(move |sql| seen::learnt(sql, &scope)).await
    }

    async fn learn(&self, scope: &str, text: Option<String>, now: Timestamp) -> Result<()> {
        self.desk()?;
        life::check_note(scope, text.as_ref())?;
        if self.learnt(scope).await? == text {
            return Ok(());
        }
        let scope = scope.to_owned();
        self.write("spool.learn", move |unit| seen::learn(unit, &scope, text.as_deref(), now)).await
    }

    async fn arrivals(&self, account: &AccountId, limit: usize) -> Result<Vec<Timestamp>> {
        let account = account.clone();
        self.read(move |sql| seen::arrivals(sql, &account, limit)).await
    }

    async fn close_poll(&self, account: &AccountId, outcome: PollOutcome, now: Timestamp) -> Result<()> {
        self.desk()?;
        let (account, asked) = (account.clone(), account.clone());
        let (status, pace) =
            self.read(move |sql| Ok((polls::account(sql, &asked)?, polls::pace(sql, &asked)?))).await?;
        let quiet = polls::quiet(status.as_ref(), &outcome);
        let success = matches!(outcome, PollOutcome::Complete { .. });
        let pace = locked(&self.polled).close(&account, pace, success, quiet, now);
        if quiet {
            return Ok(());
        }
        self.write("spool.close_poll", move |unit| polls::close_poll(unit, &account, &outcome, pace, now))
            .await
    }

    async fn lease_messages(&self, limit: usize, now: Timestamp) -> Result<Vec<MessageLease>> {
        self.lease("spool.lease_messages", move |unit| inbox::lease(unit, limit, now), inbox::unlease).await
    }

    async fn plan(&self, lease: MessageLease, plan: Plan, now: Timestamp) -> Result<Planned> {
        self.write("spool.plan", move |unit| inbox::plan(unit, &lease, &plan, now)).await
    }

    async fn defer(
        &self,
        lease: MessageLease,
        at: Timestamp,
        reason: String,
        trace: Vec<StepTrace>,
        now: Timestamp,
    ) -> Result<()> {
        let reason = life::clip(reason);
        self.write("spool.defer", move |unit| {
            inbox::traced(unit, &lease, &trace)?;
            inbox::defer(unit, &lease, at, &reason, now)
        })
        .await
    }

    async fn put_back(
        &self,
        lease: MessageLease,
        at: Timestamp,
        reason: String,
        now: Timestamp,
    ) -> Result<()> {
        let reason = life::clip(reason);
        self.write("spool.put_back", move |unit| inbox::put_back(unit, &lease, at, &reason, now)).await
    }

    async fn quarantine(
        &self,
        lease: MessageLease,
        reason: String,
        trace: Vec<StepTrace>,
        now: Timestamp,
    ) -> Result<()> {
        let reason = life::clip(reason);
        self.write("spool.quarantine", move |unit| {
            inbox::traced(unit, &lease, &trace)?;
            inbox::quarantine(unit, &lease, &reason, now)
        })
        .await
    }

    async fn lease_effects(&self, sink: &Name, limit: usize, now: Timestamp) -> Result<Vec<EffectLease>> {
        let sink = sink.clone();
        self.lease("spool.lease_effects", move |unit| outbox::lease(unit, &sink, limit, now), outbox::unlease)
            .await
    }

    async fn sending(&self, lease: &EffectLease, _now: Timestamp) -> Result<()> {
        let (effect, attempt) = (lease.effect.id, lease.attempt);
        self.write("spool.sending", move |unit| outbox::sending(unit, effect, attempt)).await
    }

    async fn settle(&self, lease: EffectLease, settlement: Settlement, now: Timestamp) -> Result<()> {
        self.write("spool.settle", move |unit| outbox::settle(unit, &lease, &settlement, now)).await
    }

    async fn release(&self, leases: Leases, now: Timestamp) -> Result<u64> {
        match leases {
            Leases::Messages => {
                self.write("spool.release_messages", move |unit| inbox::release(unit, true, now)).await
            }
            Leases::Unrecorded => {
                self.write("spool.release_messages", move |unit| inbox::release(unit, false, now)).await
            }
            Leases::Effects => {
                self.write("spool.release_effects", move |unit| outbox::release(unit, now)).await
            }
        }
    }

    async fn receipts(&self, sink: &Name, after: u64, limit: usize) -> Result<Vec<Receipted>> {
        let sink = sink.clone();
        self.read(move |sql| receipts::after(sql, &sink, after, limit)).await
    }

    async fn next_due(&self, sinks: &[Name]) -> Result<Option<Timestamp>> {
        let sinks = sinks.to_vec();
        self.read(move |sql| questions::next_due(sql, &sinks)).await
    }

    async fn expedite(&self, now: Timestamp) -> Result<u64> {
        self.write("spool.expedite", move |unit| upkeep::expedite(unit, now)).await
    }

    async fn hasten(&self, accounts: &[AccountId], now: Timestamp) -> Result<u64> {
        let accounts = accounts.to_vec();
        self.write("spool.hasten", move |unit| upkeep::hasten(unit, &accounts, now)).await
    }

    fn kv_get(&self, scope: &str, key: &str) -> Result<Option<Vec<u8>>> {
        self.readers.with(|sql| questions::kv_get(sql, scope, key))
    }

    fn kv_total(&self, scope: &str) -> Result<u64> {
        self.readers.with(|sql| questions::kv_total(sql, scope))
    }

    async fn find(&self, prefix: &str) -> Result<Vec<MessageId>> {
        let prefix = prefix.to_owned();
        self.read(move |sql| questions::find(sql, &prefix)).await
    }

    async fn history(&self, message: MessageId) -> Result<Option<History>> {
        self.read(move |sql| questions::history(sql, message)).await
    }

    async fn queue(&self, filter: QueueFilter) -> Result<Vec<QueueRow>> {
        self.read(move |sql| questions::queue(sql, &filter)).await
    }

    async fn counts(&self, account: Option<&AccountId>) -> Result<Counts> {
        let account = account.cloned();
        self.read(move |sql| questions::counts(sql, account.as_ref())).await
    }

    async fn accounts(&self) -> Result<Vec<AccountStatus>> {
        let mut accounts = self.read(polls::accounts).await?;
        let polled = locked(&self.polled);
        for status in &mut accounts {
            let later = polled.closed.get(&status.account).and_then(|closed| closed.success);
            status.last_success = status.last_success.max(later);
        }
        Ok(accounts)
    }

    async fn select(&self, selection: Selection, now: Timestamp) -> Result<Vec<Selected>> {
        self.read(move |sql| operator::select(sql, &selection, now)).await
    }

    async fn retry(
        &self,
        messages: Vec<MessageId>,
        sink: Option<Name>,
        now: Timestamp,
    ) -> Result<Vec<Decided>> {
        self.write("spool.retry", move |unit| {
            operator::decide(unit, &messages, now, |case| rules::retry(case, sink.as_ref(), now))
        })
        .await
    }

    async fn let_go(
        &self,
        messages: Vec<MessageId>,
        sink: Option<Name>,
        now: Timestamp,
    ) -> Result<Vec<Decided>> {
        self.write("spool.let_go", move |unit| {
            operator::decide(unit, &messages, now, |case| rules::let_go(case, sink.as_ref(), now))
        })
        .await
    }

    async fn discard(&self, messages: Vec<MessageId>, now: Timestamp) -> Result<Vec<Decided>> {
        self.write("spool.discard", move |unit| {
            operator::decide(unit, &messages, now, |case| rules::discard(case, now))
        })
        .await
    }

    async fn outlook(
        &self,
        message: MessageId,
        policy: DeletePolicy,
        now: Timestamp,
    ) -> Result<Vec<Outlook>> {
        let closed: HashMap<_, _> = locked(&self.polled).closed.clone();
        self.read(move |sql| {
            let Some(account) = questions::account(sql, message)? else { return Ok(Vec::new()) };
            let pace = match closed.get(&account) {
                Some(closed) => closed.pace,
                None => polls::pace(sql, &account)?,
            };
            ledger::outlook(sql, message, Judge { policy, now, jumped: pace.jumped(now) })
        })
        .await
    }

    async fn tally(&self, account: &AccountId) -> Result<Tally> {
        let account = account.clone();
        self.read(move |sql| tally::tally(sql, &account)).await
    }

    async fn usage(&self) -> Result<Usage> {
        self.read(tally::usage).await
    }

    fn free(&self) -> Result<Option<Free>> {
        let failed = |errno: rustix::io::Errno| {
            Error::storage(&self.readers.state, "ask how much room its disk has", errno.into())
        };
        let disk = rustix::fs::statvfs(&*self.readers.state).map_err(failed)?;
        let files = if disk.f_files == 0 { u64::MAX } else { disk.f_favail };
        Ok(Some(Free { octets: disk.f_bavail.saturating_mul(disk.f_frsize), files }))
    }

    async fn backlog(&self) -> Result<Backlog> {
        self.read(questions::backlog).await
    }

    async fn sweep(&self, keep: Duration, now: Timestamp) -> Result<Swept> {
        let until = earlier(now, keep);
        let mut bodies = 0;
        loop {
            let forgotten = self.write("spool.sweep_forget", move |unit| upkeep::forget(unit, until)).await?;
            bodies += forgotten as u64;
            if forgotten < upkeep::SLICE {
                break;
            }
        }
        let mut octets = self.write("spool.sweep_free", upkeep::free_empty).await?;
        // One at a time, so that the mail does not wait for it.
        for segment in self.write("spool.sweep_sparse", upkeep::sparse).await? {
            octets += self.write("spool.sweep_copy", move |unit| upkeep::copy_out(unit, segment)).await?;
        }
        Ok(Swept { bodies, octets })
    }

    async fn scrub(&self, limit: u64, now: Timestamp) -> Result<Scrubbed> {
        let readers = self.readers.clone();
        let Checked { sound, damaged, octets } = blocking(move || readers.check(limit, now)).await?;
        let checked = (sound.len() + damaged.len()) as u64;
        if !sound.is_empty() {
            self.write("spool.scrub", move |unit| health::sound(unit, &sound, now)).await?;
        }
        let mut told = Vec::new();
        for (message, what) in damaged {
            match self.damaged(message, what.clone(), now).await? {
                Remedy::Sound => {}
                Remedy::Retrieve | Remedy::Lost => told.push((message, what)),
            }
        }
        Ok(Scrubbed { checked, octets, damaged: told })
    }

    async fn damaged(&self, message: MessageId, what: String, now: Timestamp) -> Result<Remedy> {
        let readers = self.readers.clone();
        // Whoever says so may have looked before it was replaced.
        let Some(place) = blocking(move || readers.damaged_at(message)).await? else {
            return Ok(Remedy::Sound);
        };
        let what = life::clip(what);
        self.write("spool.damaged", move |unit| health::damaged(unit, message, place, &what, now)).await
    }
}

fn earlier(now: Timestamp, by: Duration) -> Timestamp {
    Timestamp(now.0.saturating_sub(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
}

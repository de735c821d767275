//! Writes what is missing: from the spool's receipts to lines, from days that are over to heads.
//!
//! One task for each sink, so that a disk that hangs holds nobody else. Where a book stands is read from the book itself
//! and held against the spool, so that nothing is written twice or left out, whenever the process died. The spool keeps a
//! note of where it stood last, by which [`super::Verification`] notices an end that was cut away.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use postroom_failpoint::reach;
use postroom_mail::rules::neutral;
use postroom_mail::{Digest, Name, Timestamp};
use postroom_spool::{Receipted, Spool};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Book, Day, Line, SigningKey, Tail, copies, head};
use crate::sinks::{ManifestPlace, Sink};
use crate::supervise::Host;

/// Lines that are synced at once.
const BATCH: usize = 256;
/// A book is looked at at least so often: a day ends without a receipt, and a full disk gets room.
const LOOK: Duration = Duration::from_secs(60);

/// Where the books of a running host stand; of each as it was last written.
#[derive(Debug, Default)]
pub struct Tails(Mutex<BTreeMap<PathBuf, Tail>>);

impl Tails {
    /// Takes it away, so that one that fails is read again.
    fn take(&self, place: &ManifestPlace) -> Option<Tail> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&place.path())
    }

    fn put(&self, place: &ManifestPlace, tail: Tail) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(place.path(), tail);
    }
}

/// What the state remembers of a manifest, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Lines so far.
    pub seq: u64,
    /// The digest of the last one.
    pub hash: Option<Digest>,
    /// Its day.
    pub day: Option<Day>,
    /// The last day that has a copy beside the objects.
    pub copied: Option<Day>,
    /// Since when lines wait, and why.
    pub trouble: Option<(Timestamp, String)>,
}

/// What the state remembers of a sink's manifest; `None` when it never had one.
///
/// # Errors
/// When the state cannot be read.
pub async fn standing(spool: &dyn Spool, sink: &Name) -> Result<Option<Standing>, postroom_spool::Error> {
    let text = spool.learnt(&note(sink)).await?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
}

fn note(sink: &Name) -> String {
    format!("manifest/{sink}")
}

/// Writes whenever there may be something to write, until `stop`.
pub async fn keep(host: Arc<Host>, mut stop: watch::Receiver<bool>) {
    let mut writing: JoinSet<Name> = JoinSet::new();
    // Of those being written, whether something came since they began.
    let mut busy: BTreeMap<Name, bool> = BTreeMap::new();
    begin(&host, &mut writing, &mut busy);
    while !*stop.borrow() {
        tokio::select! {
            Some(Ok(name)) = writing.join_next() => {
                if busy.remove(&name) == Some(true) {
                    begin(&host, &mut writing, &mut busy);
                }
            }
            () = host.bells.receipts.notified() => begin(&host, &mut writing, &mut busy),
            () = tokio::time::sleep(LOOK) => begin(&host, &mut writing, &mut busy),
            _ = stop.changed() => {}
        }
    }
}

fn begin(host: &Arc<Host>, writing: &mut JoinSet<Name>, busy: &mut BTreeMap<Name, bool>) {
    let live = host.live.load_full();
    for sink in live.sinks.values().filter(|sink| sink.manifest(&live.config.state).is_some()) {
        if let Some(more) = busy.get_mut(sink.name()) {
            *more = true;
            continue;
        }
        busy.insert(sink.name().clone(), false);
        let (host, sink) = (Arc::clone(host), Arc::clone(sink));
        writing.spawn(async move {
            write(&host, &sink, false).await;
            sink.name().clone()
        });
    }
}

/// Signs where a manifest stands now, beside a host that may be writing it.
///
/// # Errors
/// When it cannot be read, or its head not be written.
pub fn sign_now(place: &ManifestPlace, sink: &Name, state: &Path, now: Timestamp) -> io::Result<()> {
    let Some(book) = Book::open(place, false)? else { return Ok(()) };
    let _lock = book.lock()?;
    let (tail, _) = book.tail(false)?;
    head::sign(&book, sink, &tail, tail.closed, &SigningKey::of_state(state)?, now)
}

/// Writes what is missing of every manifest, and signs where each stands.
pub async fn end(host: &Arc<Host>) {
    let live = host.live.load_full();
    let all = live.sinks.values().map(|sink| write(host, sink, true));
    futures::future::join_all(all).await;
}

/// Brings one manifest up to date; what goes wrong is noted, and tried again.
async fn write(host: &Host, sink: &Sink, ends: bool) {
    let Some(place) = sink.manifest(&host.live.load().config.state) else { return };
    let before = match standing(&*host.spool, sink.name()).await {
        Ok(before) => before.unwrap_or_default(),
        Err(error) => {
            tracing::error!(sink = %sink.name(), %error, "a manifest waits: the spool failed");
            return;
        }
    };
    let mut standing = before.clone();
    let written = Writing { host, sink, place: &place, ends }.catch_up(&mut standing).await;
    standing.trouble = written.err().map(|error| {
        let reason = neutral(&error.to_string(), 500);
        match before.trouble {
            Some((since, ref known)) if *known == reason => (since, reason),
            _ => {
                tracing::error!(sink = %sink.name(), %reason, "the manifest cannot be written; mail goes on, lines wait");
                (host.clock.now(), reason)
            }
        }
    });
    remember(host, sink.name(), &standing).await;
}

async fn remember(host: &Host, sink: &Name, standing: &Standing) {
    let text = serde_json::to_string(standing).ok();
    if let Err(error) = host.spool.learn(&note(sink), text, host.clock.now()).await {
        tracing::error!(%sink, %error, "cannot note where a manifest stands");
    }
}

struct Writing<'a> {
    host: &'a Host,
    sink: &'a Sink,
    place: &'a ManifestPlace,
    ends: bool,
}

impl Writing<'_> {
    async fn catch_up(&self, standing: &mut Standing) -> io::Result<()> {
        let (spool, name) = (&*self.host.spool, self.sink.name());
        let mut tail = match self.host.manifests.take(self.place) {
            Some(tail) => tail,
            None => self.stands(standing).await?,
        };
        loop {
            let receipts = spool.receipts(name, tail.receipt, BATCH).await.map_err(io::Error::other)?;
            let last = receipts.len() < BATCH;
            if !receipts.is_empty() {
                reach("manifest", "receipts");
                tail = self.add(tail, receipts).await?;
                (standing.seq, standing.hash, standing.day) = (tail.seq, Some(tail.hash), tail.day);
                remember(self.host, name, standing).await;
                reach("manifest", "noted");
            }
            if last {
                break;
            }
        }
        let over = tail.day.is_some_and(|day| day < Day::of(self.host.clock.now()));
        if tail.day.is_some() && (self.ends || (over && !tail.closed)) {
            tail = self.sign(tail, over).await?;
        }
        self.host.manifests.put(self.place, tail);
        if self.sink.copies_manifest() {
            copies::copy(self.sink, self.place, standing).await?;
        }
        Ok(())
    }

    /// Where the book stands, what a crash left being put right. A book that is ahead of the spool, because an older copy of
    /// the state was put back, is followed from where both agree: what is delivered again gets a line again.
    async fn stands(&self, standing: &Standing) -> io::Result<Tail> {
        let (place, make) = (self.place.clone(), !self.nothing_to_write().await?);
        let found = blocking(move || {
            let Some(book) = Book::open(&place, make)? else { return Ok(None) };
            let _lock = book.lock()?;
            book.tail(true).map(Some)
        });
        let Some((mut tail, cut)) = found.await? else { return Ok(Tail::default()) };
        if let Some(cut) = cut {
            tracing::warn!(
                sink = %self.sink.name(), kept = %cut,
                "the end of the manifest was torn: it was cut off, and is written again"
            );
        }
        if tail.seq < standing.seq {
            tracing::error!(
                sink = %self.sink.name(), lines = tail.seq, known = standing.seq,
                "lines are missing at the end of the manifest; they are written again"
            );
        }
        if !self.agrees(tail.receipt, tail.effect).await? {
            tail.receipt = self.agreed().await?;
            tracing::warn!(
                sink = %self.sink.name(), receipt = tail.receipt,
                "the manifest knows receipts that the state does not: it goes on from where both agree"
            );
        }
        Ok(tail)
    }

    async fn nothing_to_write(&self) -> io::Result<bool> {
        let first = self.host.spool.receipts(self.sink.name(), 0, 1).await.map_err(io::Error::other)?;
        Ok(first.is_empty())
    }

    /// Whether the spool has that receipt.
    async fn agrees(&self, receipt: u64, effect: Option<postroom_mail::EffectId>) -> io::Result<bool> {
        let Some(before) = receipt.checked_sub(1) else { return Ok(true) };
        let there = self.host.spool.receipts(self.sink.name(), before, 1).await.map_err(io::Error::other)?;
        Ok(there.first().is_some_and(|there| there.number == receipt && Some(there.effect.id) == effect))
    }

    /// The last receipt that book and spool both have: looked for day by day, from the end.
    async fn agreed(&self) -> io::Result<u64> {
        let place = self.place.clone();
        let days =
            blocking(move || Book::open(&place, false)?.map_or(Ok(Vec::new()), |book| book.days())).await?;
        for day in days.into_iter().rev() {
            let place = self.place.clone();
            let lines = blocking(move || {
                let Some(book) = Book::open(&place, false)? else { return Ok(Vec::new()) };
                let mut receipts = Vec::new();
                for line in book.lines(day)? {
                    receipts.extend(Line::read(&line?.0).map(|line| (line.receipt, line.effect)));
                }
                Ok(receipts)
            });
            let lines = lines.await?;
            // Most days lie wholly before or wholly after the place where they part.
            let Some(&(receipt, effect)) = lines.first() else { continue };
            if !self.agrees(receipt, Some(effect)).await? {
                continue;
            }
            for (receipt, effect) in lines.into_iter().rev() {
                if self.agrees(receipt, Some(effect)).await? {
                    return Ok(receipt);
                }
            }
        }
        Ok(0)
    }

    /// Adds a line for each receipt, days that end among them being signed.
    async fn add(&self, mut tail: Tail, receipts: Vec<Receipted>) -> io::Result<Tail> {
        let live = self.host.live.load_full();
        let (place, sink, state) = (self.place.clone(), self.sink.name().clone(), live.config.state.clone());
        let now = self.host.clock.now();
        blocking(move || {
            let book = Book::open(&place, true)?.ok_or(io::ErrorKind::NotFound)?;
            let _lock = book.lock()?;
            let mut waiting = Vec::new();
            for receipted in &receipts {
                let day = tail.day_for(Day::of(receipted.at));
                if let Some(over) = tail.day.filter(|over| *over < day) {
                    if !waiting.is_empty() {
                        book.append(over, &waiting)?;
                        waiting.clear();
                    }
                    head::sign(&book, &sink, &tail, true, &SigningKey::of_state(&state)?, now)?;
                    reach("manifest", "closed");
                }
                let account = live.config.accounts.get(&receipted.provenance.account);
                let line = Line::of(receipted, account.map(|account| account.pipeline.clone()), &tail);
                let octets = line.octets()?;
                tail.followed(day, &line, &octets);
                waiting.extend_from_slice(&octets);
                waiting.push(b'\n');
            }
            if let Some(day) = tail.day {
                book.append(day, &waiting)?;
            }
            Ok(tail)
        })
        .await
    }

    async fn sign(&self, mut tail: Tail, closed: bool) -> io::Result<Tail> {
        let (place, sink) = (self.place.clone(), self.sink.name().clone());
        let (state, now) = (self.host.live.load().config.state.clone(), self.host.clock.now());
        blocking(move || {
            let book = Book::open(&place, false)?.ok_or(io::ErrorKind::NotFound)?;
            let _lock = book.lock()?;
            head::sign(&book, &sink, &tail, closed, &SigningKey::of_state(&state)?, now)?;
            tail.closed |= closed;
            Ok(tail)
        })
        .await
    }
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

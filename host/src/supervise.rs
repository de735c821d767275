//! What runs, in which order it starts and stops. Source, pipeline and deliver each run on their own and meet in the spool.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use postroom_failpoint::reach;
use postroom_mail::{AccountId, Disposition, Name};
use postroom_sandbox::Sandbox;
use postroom_spool::{Counts, Leases, Spool, Tally};
use tokio::sync::{Notify, Semaphore, watch};

use crate::bells::Bells;
use crate::chance::Chance;
use crate::clock::Clock;
use crate::live::Live;
use crate::progress::Observer;
use crate::{deliver, manifest, pipeline, reload, requests, source};

/// How long a stop may take; what is not finished by then is finished after the next start.
const DRAIN: Duration = Duration::from_secs(25);
/// For so long of it each stage still takes on what the one before it finished.
const FLOW: Duration = Duration::from_secs(5);
/// The spool is looked at at least so often, should a bell be missed.
const LOOK: Duration = Duration::from_secs(60);
/// How often ended bodies are freed.
const SWEEP: Duration = Duration::from_secs(60 * 60);
/// How often some bodies are read, and how many octets of them: each about once a week.
const SCRUB: Duration = Duration::from_secs(5 * 60);
const SCRUBBED: u64 = 64 << 20;
/// How long a task waits after the spool failed.
const SPOOL_PAUSE: Duration = Duration::from_secs(5);

/// Whether anything is done at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It is.
    Earnest,
    /// Accounts are listed and it is said what would be done. Nothing is retrieved, deleted, delivered or recorded.
    Rehearsal,
}

/// Everything the tasks share.
pub struct Host {
    /// What is running now.
    pub live: ArcSwap<Live>,
    /// Durable state.
    pub spool: Arc<dyn Spool>,
    /// Where plugins run.
    pub sandbox: Sandbox,
    /// The time.
    pub clock: Clock,
    /// Jitter.
    pub chance: Chance,
    /// Wake-ups.
    pub bells: Bells,
    /// Whoever shows progress.
    pub observer: Observer,
    /// Where the manifests of sinks stand.
    pub manifests: manifest::Tails,
    /// Sinks that are left alone for a while.
    pub breakers: deliver::Breakers,
    /// The versions of every step's plugin, and which failed too often.
    pub versions: pipeline::Versions,
    /// What candidates would decide otherwise.
    pub shadows: pipeline::Shadows,
    /// Held while `live` is replaced, from reading what is there to storing what follows.
    pub swapping: tokio::sync::Mutex<()>,
    /// Room for the contents that object stores have in hand, in MiB.
    pub contents: Semaphore,
    /// Room for those that transports have in hand, in MiB.
    pub copies: Semaphore,
    /// Access tokens of the accounts that log in with one.
    pub purses: source::Purses,
    /// What was logged of each account's last poll.
    pub said: source::Said,
    /// The maildrops that are ours.
    pub leases: source::Leases,
    /// Mail of all sessions that is not durable yet.
    pub in_flight: source::InFlight,
    mode: Mode,
    never_delete: AtomicBool,
    /// Since when it is to end.
    stopping: OnceLock<Instant>,
}

impl Host {
    /// Puts the parts together. Starts nothing.
    pub fn new(live: Live, spool: Arc<dyn Spool>, sandbox: Sandbox, observer: Observer) -> Arc<Self> {
        Self::in_mode(Mode::Earnest, live, spool, sandbox, observer)
    }

    /// The same, perhaps only to say what would be done.
    pub fn in_mode(
        mode: Mode,
        live: Live,
        spool: Arc<dyn Spool>,
        sandbox: Sandbox,
        observer: Observer,
    ) -> Arc<Self> {
        let in_flight = source::InFlight::new(live.config.limits.in_flight);
        Arc::new(Self {
            live: ArcSwap::from_pointee(live),
            spool,
            sandbox,
            clock: Clock::system(),
            chance: Chance::system(),
            bells: Bells::default(),
            observer,
            manifests: manifest::Tails::default(),
            breakers: deliver::Breakers::default(),
            versions: pipeline::Versions::default(),
            shadows: pipeline::Shadows::default(),
            swapping: tokio::sync::Mutex::new(()),
            contents: Semaphore::new(deliver::MEMORY),
            copies: Semaphore::new(deliver::MEMORY),
            purses: source::Purses::default(),
            said: source::Said::default(),
            leases: source::Leases::of_machine(),
            in_flight,
            mode,
            never_delete: AtomicBool::new(false),
            stopping: OnceLock::new(),
        })
    }

    /// Whether nothing is to be retrieved, deleted or recorded.
    pub fn rehearsing(&self) -> bool {
        self.mode == Mode::Rehearsal
    }

    /// Deletes nothing at any server for as long as this host runs, whatever a changed configuration says.
    pub fn forbid_deletion(&self) {
        self.never_delete.store(true, Ordering::Relaxed);
    }

    /// Whether deletion was forbidden for as long as this host runs.
    pub fn deletion_forbidden(&self) -> bool {
        self.never_delete.load(Ordering::Relaxed)
    }

    /// Whether to end in good order: take nothing new.
    pub fn stopping(&self) -> bool {
        self.stopping.get().is_some()
    }

    /// Whether what one stage has just finished may still be taken on by the next: always, but for a while only once it is to
    /// end, so that a long queue does not use up the time that work in hand has.
    pub fn takes_on(&self) -> bool {
        self.stopping.get().is_none_or(|since| since.elapsed() < FLOW)
    }

    fn stop(&self) {
        let _ = self.stopping.set(Instant::now());
    }
}

/// What `once` did.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Summary {
    /// Of each account polled.
    pub accounts: BTreeMap<AccountId, source::Report>,
    /// Runs of pipelines.
    pub runs: u64,
    /// Attempts at effects.
    pub attempts: u64,
    /// Sinks that are left alone, so that their effects wait.
    pub left_alone: BTreeMap<Name, deliver::LeftAlone>,
    /// Steps whose plugin failed too often, so that mail waits for them: PIPELINE/STEP, and what it failed with.
    pub paused: BTreeMap<String, String>,
    /// What the spool holds now.
    pub counts: Counts,
    /// Where every message of each account's server stands.
    pub tallies: BTreeMap<AccountId, Tally>,
    /// It was told to stop before its end. When that took too long nothing of what it did is told here: only `counts` is.
    pub interrupted: bool,
}

/// Polls every account once, runs what waits through the pipelines, delivers what waits, whenever it was due, and returns.
/// What fails and has to wait for another try stays in the spool.
///
/// # Errors
/// When the spool fails. Account, plugin and sink failures are in the summary.
pub async fn once(host: &Arc<Host>) -> Result<Summary, postroom_spool::Error> {
    if host.rehearsing() {
        let accounts = source::poll_all(host).await;
        let counts = host.spool.counts(None).await?;
        let tallies = tallies(host, &accounts).await?;
        let left_alone = BTreeMap::new();
        return Ok(Summary {
            accounts,
            runs: 0,
            attempts: 0,
            left_alone,
            paused: BTreeMap::new(),
            counts,
            tallies,
            interrupted: false,
        });
    }
    pipeline::begin(host).await;
    host.spool.expedite(host.clock.now()).await?;
    host.versions.hasten(host.clock.now());
    let (polled, polling) = watch::channel(false);
    let (planned, planning) = watch::channel(false);
    let runs = tokio::spawn(until_drained(Arc::clone(host), Stage::Pipeline, polling));
    let attempts = tokio::spawn(until_drained(Arc::clone(host), Stage::Deliver, planning));
    let accounts = source::poll_all(host).await;
    reach("once", "polled");
    let _ = polled.send(true);
    let runs = joined(runs).await?;
    reach("once", "planned");
    let _ = planned.send(true);
    let attempts = joined(attempts).await?;
    reach("once", "delivered");
    manifest::end(host).await;
    let keep = host.live.load().config.limits.keep_bodies;
    host.spool.sweep(keep, host.clock.now()).await?;
    reach("once", "swept");
    read_some(host).await;
    let counts = host.spool.counts(None).await?;
    let tallies = tallies(host, &accounts).await?;
    let left_alone = host.breakers.left_alone();
    let paused = paused(host);
    Ok(Summary { accounts, runs, attempts, left_alone, paused, counts, tallies, interrupted: false })
}

fn paused(host: &Host) -> BTreeMap<String, String> {
    let paused = host.versions.paused().into_iter();
    paused.map(|((pipeline, step), open)| (format!("{pipeline}/{step}"), open.reason)).collect()
}

async fn tallies(
    host: &Host,
    accounts: &BTreeMap<AccountId, source::Report>,
) -> Result<BTreeMap<AccountId, Tally>, postroom_spool::Error> {
    let mut tallies = BTreeMap::new();
    for account in accounts.keys() {
        tallies.insert(account.clone(), host.spool.tally(account).await?);
    }
    Ok(tallies)
}

/// The same, until `stop` completes: then no new mail is taken, and what is under way has [`DRAIN`] to end.
///
/// # Errors
/// As [`once`].
pub async fn once_until(
    host: &Arc<Host>,
    stop: impl Future<Output = ()>,
) -> Result<Summary, postroom_spool::Error> {
    let mut work = std::pin::pin!(once(host));
    tokio::select! {
        done = &mut work => return done,
        () = stop => {}
    }
    tracing::info!("stopping: no new mail is taken, work in hand is finished");
    host.stop();
    match tokio::time::timeout(DRAIN, work).await {
        Ok(done) => done.map(|summary| Summary { interrupted: true, ..summary }),
        Err(_) => {
            let counts = host.spool.counts(None).await?;
            let (accounts, left_alone) = (BTreeMap::new(), host.breakers.left_alone());
            let tallies = BTreeMap::new();
            let paused = paused(host);
            Ok(Summary {
                accounts,
                runs: 0,
                attempts: 0,
                left_alone,
                paused,
                counts,
                tallies,
                interrupted: true,
            })
        }
    }
}

/// Runs until `stop` completes, then ends in good order within [`DRAIN`].
///
/// # Errors
/// When the state is damaged, so that going on would do harm.
pub async fn run(
    host: Arc<Host>,
    config: &Path,
    stop: impl Future<Output = ()>,
) -> Result<(), postroom_spool::Error> {
    let (stop_polls, polls_stop) = watch::channel(false);
    let (stop_pipeline, pipeline_stops) = watch::channel(false);
    let (stop_delivery, delivery_stops) = watch::channel(false);
    reload::told(&host, None).await;
    pipeline::begin(&host).await;
    let watcher = reload::watch(Arc::clone(&host), config, reload::Pace::default(), polls_stop.clone()).await;
    tracing::info!(config = %config.display(), accounts = host.live.load().config.accounts.len(), "running");
    let sweeps = tokio::spawn(sweep(Arc::clone(&host), polls_stop.clone()));
    let requests = tokio::spawn(requests::serve(Arc::clone(&host), polls_stop.clone()));
    let scrubs = tokio::spawn(scrub(Arc::clone(&host), polls_stop.clone()));
    let manifests = tokio::spawn(manifest::keep(Arc::clone(&host), polls_stop.clone()));
    let mut polls = tokio::spawn(source::schedule(Arc::clone(&host), polls_stop));
    let mut pipelines = tokio::spawn(until_stopped(Arc::clone(&host), Stage::Pipeline, pipeline_stops));
    let mut deliveries = tokio::spawn(until_stopped(Arc::clone(&host), Stage::Deliver, delivery_stops));
    reach("run", "started");
    let broken = tokio::select! {
        () = stop => Ok(()),
        ended = &mut pipelines => flatten(ended),
        ended = &mut deliveries => flatten(ended),
        ended = &mut polls => flatten(ended.map(Ok)),
    };
    tracing::info!("stopping: no new mail is taken, work in hand is finished");
    reach("run", "stopping");
    drop(watcher);
    host.stop();
    // In the order in which work flows, so that each stage still gets what the one before it finished.
    let rest = async {
        let _ = stop_polls.send(true);
        if !polls.is_finished() {
            let _ = polls.await;
        }
        reach("run", "polls");
        let _ = stop_pipeline.send(true);
        if !pipelines.is_finished() {
            let _ = pipelines.await;
        }
        reach("run", "pipelines");
        let _ = stop_delivery.send(true);
        if !deliveries.is_finished() {
            let _ = deliveries.await;
        }
        reach("run", "deliveries");
        let _ = manifests.await;
        manifest::end(&host).await;
        let _ = sweeps.await;
        reach("run", "sweeps");
        let _ = scrubs.await;
        let _ = requests.await;
    };
    if tokio::time::timeout(DRAIN, rest).await.is_err() {
        tracing::warn!("not everything was finished in time; the rest is finished after the next start");
    }
    broken
}

#[derive(Clone, Copy)]
enum Stage {
    Pipeline,
    Deliver,
}

impl Stage {
    async fn drain(self, host: &Arc<Host>) -> Result<u64, postroom_spool::Error> {
        match self {
            Self::Pipeline => pipeline::drain(host).await,
            Self::Deliver => deliver::drain(host).await,
        }
    }

    fn leases(self, error: &postroom_spool::Error) -> Leases {
        match self {
            Self::Pipeline => pipeline::given_back(error),
            Self::Deliver => Leases::Effects,
        }
    }

    fn bell(self, host: &Host) -> &Notify {
        match self {
            Self::Pipeline => &host.bells.inbox,
            Self::Deliver => &host.bells.outbox,
        }
    }
}

/// Drains at each ring, and once more after `feeding` ended.
async fn until_drained(
    host: Arc<Host>,
    stage: Stage,
    mut fed: watch::Receiver<bool>,
) -> Result<u64, postroom_spool::Error> {
    let mut count = 0;
    loop {
        let last = *fed.borrow_and_update();
        count += stage.drain(&host).await?;
        if last {
            return Ok(count);
        }
        tokio::select! {
            () = stage.bell(&host).notified() => {}
            changed = fed.changed() => if changed.is_err() { return Ok(count + stage.drain(&host).await?) },
        }
    }
}

/// Drains whenever something may be due, until `stop`, and then once more. A spool that fails for a while is waited for.
async fn until_stopped(
    host: Arc<Host>,
    stage: Stage,
    mut stop: watch::Receiver<bool>,
) -> Result<(), postroom_spool::Error> {
    // After a failure not even giving back what was leased may have worked; nobody works on it any more.
    let mut owed = None;
    while !*stop.borrow() {
        let given_back = match owed {
            Some(leases) => host.spool.release(leases, host.clock.now()).await.map(drop),
            None => Ok(()),
        };
        let drained = match given_back {
            Ok(()) => stage.drain(&host).await.map(drop),
            Err(error) => Err(error),
        };
        owed = drained.as_ref().err().map(|error| stage.leases(error));
        let pause = match drained {
            Ok(()) => until_due(&host).await,
            Err(error) if error.disposition() == Disposition::Stop => return Err(error),
            Err(error) => {
                tracing::error!(%error, "the spool failed");
                SPOOL_PAUSE
            }
        };
        tokio::select! {
            () = stage.bell(&host).notified() => {}
            () = tokio::time::sleep(pause) => {}
            _ = stop.changed() => {}
        }
    }
    stage.drain(&host).await.map(drop)
}

async fn until_due(host: &Host) -> Duration {
    let now = host.clock.now();
    let mut left_alone = host.breakers.left_alone();
    left_alone.retain(|_, left| left.until > now);
    let sinks: Vec<Name> =
        host.live.load().sinks.keys().filter(|name| !left_alone.contains_key(name)).cloned().collect();
    let probe = left_alone.values().map(|left| left.until).min();
    let soonest = Duration::from_millis(100);
    match host.spool.next_due(&sinks).await {
        Ok(due) => due.into_iter().chain(probe).min().map_or(LOOK, |at| at.since(now).clamp(soonest, LOOK)),
        Err(error) => {
            tracing::error!(%error, "the spool failed");
            SPOOL_PAUSE
        }
    }
}

async fn sweep(host: Arc<Host>, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        let keep = host.live.load().config.limits.keep_bodies;
        match host.spool.sweep(keep, host.clock.now()).await {
            Ok(swept) if swept.bodies > 0 => {
                tracing::info!(bodies = swept.bodies, octets = swept.octets, "freed ended mail")
            }
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "cannot free ended mail"),
        }
        tokio::select! {
            () = tokio::time::sleep(SWEEP) => {}
            _ = stop.changed() => {}
        }
    }
}

/// Reads stored bodies again and again, so that damage is found while the server may still have the mail.
async fn scrub(host: Arc<Host>, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        read_some(&host).await;
        tokio::select! {
            () = tokio::time::sleep(SCRUB) => {}
            _ = stop.changed() => {}
        }
    }
}

async fn read_some(host: &Host) {
    match host.spool.scrub(SCRUBBED, host.clock.now()).await {
        Ok(scrubbed) => {
            for (message, what) in scrubbed.damaged {
                tracing::error!(message = %message.0.short(12), %what, "a stored body is damaged");
            }
        }
        Err(error) => tracing::error!(%error, "stored bodies cannot be checked"),
    }
}

async fn joined(
    task: tokio::task::JoinHandle<Result<u64, postroom_spool::Error>>,
) -> Result<u64, postroom_spool::Error> {
    match task.await {
        Ok(ended) => ended,
        Err(error) => {
            tracing::error!(%error, "a task failed");
            Ok(0)
        }
    }
}

fn flatten(
    ended: Result<Result<(), postroom_spool::Error>, tokio::task::JoinError>,
) -> Result<(), postroom_spool::Error> {
    ended.unwrap_or_else(|panic| Err(pipeline::failed_task(&panic)))
}

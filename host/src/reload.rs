//! Watches the configuration and the plugin files. A change is read, checked and compiled to the end, then swapped as one
//! whole; a bad one leaves the old running and says why, and is tried again while its cause may go away.

mod look;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use postroom_mail::{Digest, Timestamp};
use postroom_spool::Spool;
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};

use crate::config::Config;
use crate::live::{Live, NotLive};
use crate::pipeline;
use crate::supervise::Host;

use look::{Watched, look};

/// Why a changed configuration was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// It does not load.
    #[error(transparent)]
    Config(#[from] crate::config::ConfigErrors),
    /// Its plugins or sinks do not.
    #[error(transparent)]
    NotLive(#[from] NotLive),
    /// Something that only a restart can change.
    #[error("`{0}` was changed: that takes a restart")]
    NeedsRestart(&'static str),
}

impl ReloadError {
    /// Whether its cause can go away without a change of what is looked at.
    fn may_pass(&self) -> bool {
        match self {
            Self::Config(_) => true,
            Self::NotLive(reasons) => reasons.may_pass(),
            Self::NeedsRestart(_) => false,
        }
    }
}

/// How soon a change is taken.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Editors write in several steps: a change counts once the files have been the same for so long.
    pub settle: Duration,
    /// So often everything is looked at without being told of a change, which some file systems never tell; and a change that
    /// was refused is tried again.
    pub look: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { settle: Duration::from_millis(300), look: Duration::from_secs(60) }
    }
}

/// Stops watching when dropped.
pub struct Watching {
    _task: tokio::task::JoinHandle<()>,
}

impl Drop for Watching {
    fn drop(&mut self) {
        self._task.abort();
    }
}

/// Starts watching; SIGHUP has the same effect as a change. What is changed after this has returned is noticed.
pub async fn watch(host: Arc<Host>, config: &Path, pace: Pace, stop: watch::Receiver<bool>) -> Watching {
    // At once: without a listener SIGHUP would end the process.
    let hangup = signal(SignalKind::hangup());
    let (rang, rings) = mpsc::channel(1);
    let mut follower = Follower {
        watcher: watcher(rang.clone()),
        watched: Watched::default(),
        seen: None,
        refused: None,
        host,
        config: config.to_owned(),
        pace,
        rang,
    };
    follower.seen = follower.look().await;
    let task = tokio::spawn(async move {
        match hangup {
            Ok(hangup) => follower.follow(rings, hangup, stop).await,
            Err(error) => tracing::error!(%error, "cannot listen for SIGHUP, and follow no change"),
        }
    });
    Watching { _task: task }
}

/// Why everything is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// Something changed in a directory.
    Rang,
    /// The operator asked for it.
    Asked,
    /// It is time.
    Time,
}

fn watcher(ring: mpsc::Sender<()>) -> Option<notify::RecommendedWatcher> {
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading a file is an event too: without this, looking at the files would ring for ever.
        if !matches!(&event, Ok(event) if event.kind.is_access()) {
            // A full channel already says that something changed.
            let _ = ring.try_send(());
        }
    });
    match watcher {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            tracing::error!(%error, "cannot watch for changes: they are seen late");
            None
        }
    }
}

/// Takes what is written once it differs from what was seen.
struct Follower {
    host: Arc<Host>,
    config: PathBuf,
    pace: Pace,
    watcher: Option<notify::RecommendedWatcher>,
    watched: Watched,
    rang: mpsc::Sender<()>,
    /// The fingerprint of what was taken last, or refused.
    seen: Option<Digest>,
    refused: Option<Refusal>,
}

/// What stands against what is written.
struct Refusal {
    reason: String,
    may_pass: bool,
}

impl Follower {
    async fn follow(
        mut self,
        mut rings: mpsc::Receiver<()>,
        mut hangup: Signal,
        mut stop: watch::Receiver<bool>,
    ) {
        // Not from ring to ring: a directory where much happens would put it off for ever.
        let look = self.pace.look;
        let mut times = tokio::time::interval_at(Instant::now() + look, look);
        times.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let cause = tokio::select! {
                Some(()) = rings.recv() => Cause::Rang,
                Some(()) = hangup.recv() => Cause::Asked,
                _ = times.tick() => Cause::Time,
                _ = stop.changed() => return,
            };
            self.consider(cause).await;
        }
    }

    async fn consider(&mut self, cause: Cause) {
        let again = match cause {
            Cause::Rang => false,
            Cause::Asked => true,
            Cause::Time => self.refused.as_ref().is_some_and(|refused| refused.may_pass),
        };
        if cause == Cause::Time && !again && self.look().await == self.seen {
            return;
        }
        let now = self.settled().await;
        if now == self.seen && !again {
            return;
        }
        let quietly = cause == Cause::Time && now == self.seen;
        self.take(now, quietly).await;
    }

    async fn take(&mut self, now: Option<Digest>, quietly: bool) {
        let before = self.host.live.load_full();
        self.seen = now;
        match reload(&self.host, &self.config).await {
            Ok(()) => {
                self.refused = None;
                told(&self.host, None).await;
                let compiled = self.host.live.load().plugins.compiled();
                tracing::info!(compiled, "the changed configuration and plugins are running now");
                // What the configuration before names is not looked at any more. In this order: what changes before the first
                // of the two is seen by the second.
                self.seen = self.look().await;
                let same = self.look_with(before).await == now;
                if !same {
                    // What was read may be older than what is there.
                    let _ = self.rang.try_send(());
                    self.seen = None;
                }
            }
            Err(error) => self.refuse(&error, quietly).await,
        }
    }

    async fn refuse(&mut self, error: &ReloadError, quietly: bool) {
        let reason = error.to_string();
        let known = self.refused.as_ref().is_some_and(|refused| refused.reason == reason);
        if !(quietly && known) {
            told(&self.host, Some(reason.clone())).await;
            tracing::error!("the change was not taken, the old configuration and plugins go on:\n{reason}");
        }
        self.refused = Some(Refusal { reason, may_pass: error.may_pass() });
    }

    /// Waits until everything stays the same.
    async fn settled(&mut self) -> Option<Digest> {
        let mut last = self.look().await;
        loop {
            tokio::time::sleep(self.pace.settle).await;
            let now = self.look().await;
            if now == last {
                return now;
            }
            last = now;
        }
    }

    async fn look(&mut self) -> Option<Digest> {
        let live = self.host.live.load_full();
        self.look_with(live).await
    }

    /// The fingerprint of everything now, whose changes ring from now on; of what they were before nothing is known when this
    /// fails.
    async fn look_with(&mut self, live: Arc<Live>) -> Option<Digest> {
        let config = self.config.clone();
        // A disk may take its time, and so may a network.
        let looked = tokio::task::spawn_blocking(move || look(&config, &live.config)).await.ok()?;
        if let Some(watcher) = &mut self.watcher {
            self.watched.follow(watcher, &looked);
        }
        Some(looked.print)
    }
}

/// Why the last change was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// When.
    pub at: Timestamp,
    /// Every reason.
    pub reason: String,
}

/// Where that is noted in the spool.
const NOTE: &str = "reload";
/// Characters of it.
const REASON: usize = 4000;

/// Records why a change was not taken, or that nothing stands against what is written.
pub async fn told(host: &Host, reason: Option<String>) {
    let at = host.clock.now();
    let refused = reason.map(|reason| Refused { at, reason: reason.chars().take(REASON).collect() });
    let text = refused.and_then(|refused| serde_json::to_string(&refused).ok());
    if let Err(error) = host.spool.learn(NOTE, text, at).await {
        tracing::error!(%error, "whether the last change was taken cannot be recorded");
    }
}

/// Why the last change was not taken, when it was not.
///
/// # Errors
/// When the state cannot be read.
pub async fn refused(spool: &dyn Spool) -> Result<Option<Refused>, postroom_spool::Error> {
    let text = spool.learnt(NOTE).await?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
}

/// Reads, checks and compiles everything, then swaps it.
///
/// # Errors
/// Why the change was not taken; nothing has changed then.
pub async fn reload(host: &Arc<Host>, config: &Path) -> Result<(), ReloadError> {
    let _swapping = host.swapping.lock().await;
    let (worker, path) = (Arc::clone(host), config.to_owned());
    let built = tokio::task::spawn_blocking(move || -> Result<Live, ReloadError> {
        let mut config = Config::load(&path)?;
        config.never_delete |= worker.deletion_forbidden();
        if config.state != worker.live.load().config.state {
            return Err(ReloadError::NeedsRestart("state"));
        }
        // The sandbox was made for so many at once.
        if config.limits.workers != worker.live.load().config.limits.workers {
            return Err(ReloadError::NeedsRestart("limits.workers"));
        }
        if config.limits.in_flight != worker.live.load().config.limits.in_flight {
            return Err(ReloadError::NeedsRestart("limits.in_flight"));
        }
        let previous = worker.live.load_full();
        Ok(Live::build_after(Some(&previous), config, &worker.sandbox)?)
    });
    let live = match built.await {
        Ok(live) => live?,
        Err(_) => return Err(ReloadError::NeedsRestart("a file that made the host fail")),
    };
    let known = &host.live.load_full().config.warnings;
    for warning in live.config.warnings.iter().filter(|warning| !known.contains(warning)) {
        tracing::warn!("{warning}");
    }
    pipeline::take_over(host, live).await;
    host.breakers.clear();
    host.bells.reloaded.notify_one();
    host.bells.inbox.notify_one();
    host.bells.outbox.notify_one();
    Ok(())
}

//! Watches the configuration and the plugin files. A change is read, checked and compiled to the end, then swapped as one
//! whole; a bad one leaves the old running and says why.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{RecursiveMode, Watcher};
use postroom_mail::{Digest, Timestamp};
use postroom_spool::Spool;
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::config::Config;
use crate::live::{Live, NotLive};
use crate::pipeline::{self, plugin_files};
use crate::supervise::Host;

/// Editors write in several steps: a change counts once the files have been the same for so long.
const SETTLE: Duration = Duration::from_millis(300);

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

/// Stops watching when dropped.
pub struct Watching {
    _task: tokio::task::JoinHandle<()>,
}

impl Drop for Watching {
    fn drop(&mut self) {
        self._task.abort();
    }
}

/// Starts watching; SIGHUP has the same effect as a change.
pub fn watch(host: Arc<Host>, config: &Path, stop: watch::Receiver<bool>) -> Watching {
    let config = config.to_owned();
    // At once: without a listener SIGHUP would end the process.
    let hangup = signal(SignalKind::hangup());
    let task = tokio::spawn(async move {
        match hangup {
            Ok(hangup) => follow(host, config, hangup, stop).await,
            Err(error) => tracing::error!(%error, "cannot listen for SIGHUP, and follow no change"),
        }
    });
    Watching { _task: task }
}

async fn follow(host: Arc<Host>, config: PathBuf, mut hangup: Signal, mut stop: watch::Receiver<bool>) {
    let (rang, mut rings) = mpsc::channel(1);
    let ring = rang.clone();
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading a file is an event too: without this, looking at the files would ring for ever.
        if !matches!(&event, Ok(event) if event.kind.is_access()) {
            // A full channel already says that something changed.
            let _ = ring.try_send(());
        }
    });
    let mut watcher = match watcher {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            tracing::error!(%error, "cannot watch for changes: reload with SIGHUP");
            None
        }
    };
    let mut watched = BTreeSet::new();
    let mut seen = fingerprint(&watched_files(&config, &host.live.load().config));
    loop {
        if let Some(watcher) = &mut watcher {
            watch_directories(watcher, &mut watched, &watched_files(&config, &host.live.load().config));
        }
        let forced = tokio::select! {
            Some(()) = rings.recv() => false,
            Some(()) = hangup.recv() => true,
            _ = stop.changed() => return,
        };
        let now = settled(&config, &host).await;
        if now == seen && !forced {
            continue;
        }
        seen = now;
        let files = watched_files(&config, &host.live.load().config);
        match reload(&host, &config).await {
            Ok(()) => {
                told(&host, None).await;
                let compiled = host.live.load().plugins.compiled();
                tracing::info!(compiled, "the changed configuration and plugins are running now");
                if fingerprint(&files) == now {
                    seen = fingerprint(&watched_files(&config, &host.live.load().config));
                } else {
                    // What was read may be older than what is there.
                    let _ = rang.try_send(());
                }
            }
            Err(error) => {
                told(&host, Some(error.to_string())).await;
                tracing::error!(
                    "the change was not taken, the old configuration and plugins go on:\n{error}"
                );
            }
        }
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
    for warning in live.plugins.warnings() {
        tracing::warn!("{warning}");
    }
    pipeline::take_over(host, live).await;
    host.breakers.clear();
    host.bells.reloaded.notify_one();
    host.bells.inbox.notify_one();
    host.bells.outbox.notify_one();
    Ok(())
}

/// Waits until the files stay the same.
async fn settled(config: &Path, host: &Host) -> Digest {
    let mut last = fingerprint(&watched_files(config, &host.live.load().config));
    loop {
        tokio::time::sleep(SETTLE).await;
        let now = fingerprint(&watched_files(config, &host.live.load().config));
        if now == last {
            return now;
        }
        last = now;
    }
}

fn watched_files(path: &Path, config: &Config) -> Vec<PathBuf> {
    let mut files = vec![path.to_owned()];
    files.extend(config.sources.iter().cloned());
    if let Ok(entries) = std::fs::read_dir(config.base.join("conf.d")) {
        files.extend(entries.flatten().map(|entry| entry.path()));
    }
    files.extend(plugin_files(config).into_iter().map(Path::to_owned));
    let read_once = config.sinks.values().flat_map(crate::sinks::SinkConfig::files);
    let read_once = read_once.chain(config.fetch.values().flat_map(crate::fetch::FetchConfig::files));
    files.extend(read_once.map(|file| config.base.join(file)));
    files.sort();
    files.dedup();
    files
}

/// Of names and contents, so that a rename over, a touch, and a real change are told apart.
fn fingerprint(files: &[PathBuf]) -> Digest {
    let mut whole = postroom_mail::ids::Digester::default();
    for file in files {
        whole.update(file.as_os_str().as_encoded_bytes());
        match std::fs::read(file) {
            Ok(content) => whole.update(&Digest::of(&content).0),
            Err(_) => whole.update(b"unreadable"),
        }
    }
    whole.finish()
}

/// Directories, not files: editors and installers replace files by renaming over them.
fn watch_directories(watcher: &mut impl Watcher, watched: &mut BTreeSet<PathBuf>, files: &[PathBuf]) {
    for directory in files.iter().filter_map(|file| file.parent()) {
        let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        if watched.insert(directory.to_owned())
            && let Err(error) = watcher.watch(directory, RecursiveMode::NonRecursive)
        {
            tracing::error!(directory = %directory.display(), %error, "cannot watch for changes");
        }
    }
}

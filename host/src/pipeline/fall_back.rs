//! From a breaker that opened to a set that runs an earlier version, and back. Every change swaps the whole set, under the one
//! lock that a reload takes as well. Which version takes over is for [`super::breaker`] to say.

use std::collections::BTreeMap;
use std::sync::Arc;

use postroom_failpoint::reach;
use postroom_mail::{Digest, Name};
use postroom_sandbox::Sandbox;

use super::breaker::{Record, Turn};
use super::kept::Kept;
use super::set::{self, PluginSet};
use super::versions::{Place, recorded, steps};
use crate::config::Config;
use crate::live::Live;
use crate::supervise::Host;

/// Takes up what earlier processes learnt: a step whose version failed too often goes on with the one it fell back to.
pub async fn begin(host: &Arc<Host>) {
    take_up(host).await;
    // A process that ended between the two leaves a breaker that is open and has not fallen back.
    for place in host.versions.could_fall_back() {
        fall_back(host, &place).await;
        host.versions.note(host.spool.as_ref(), &place, host.clock.now()).await;
    }
}

async fn take_up(host: &Arc<Host>) {
    let _swapping = host.swapping.lock().await;
    let live = host.live.load_full();
    for warning in live.plugins.warnings() {
        tracing::warn!("{warning}");
    }
    let mut records = records(host, &live).await;
    host.versions.configure(&live.plugins, |place| records.remove(place).unwrap_or_default());
    if !host.versions.fall_backs().is_empty() {
        let live = with_fall_backs(host, (*live).clone()).await;
        host.live.store(Arc::new(live));
    }
    keep(host).await;
}

/// Makes a set that was just loaded the running one. The caller holds the lock.
pub async fn take_over(host: &Arc<Host>, live: Live) {
    let mut records = records(host, &live).await;
    let turns = host.versions.configure(&live.plugins, |place| records.remove(place).unwrap_or_default());
    let live = with_fall_backs(host, live).await;
    host.live.store(Arc::new(live));
    for (place, turn) in turns {
        match turn {
            Turn::None => {}
            Turn::Noted | Turn::Opened => {
                host.versions.note(host.spool.as_ref(), &place, host.clock.now()).await
            }
            Turn::Closed => {
                tracing::info!(pipeline = %place.0, step = %place.1, "the step has another plugin or other settings: its breaker is closed");
                closed(host, &place).await;
            }
        }
    }
    keep(host).await;
}

async fn records(host: &Host, live: &Live) -> BTreeMap<Place, Record> {
    let mut records = BTreeMap::new();
    for (place, _) in steps(&live.plugins) {
        let record = recorded(host.spool.as_ref(), &place.0, &place.1).await;
        records.insert(place, record);
    }
    records
}

/// Does what follows from a run.
pub(super) async fn follow(host: &Arc<Host>, pipeline: &Name, turns: Vec<(Name, Turn)>) {
    for (step, turn) in turns {
        let place = (pipeline.clone(), step);
        match turn {
            Turn::None => {}
            Turn::Noted => host.versions.note(host.spool.as_ref(), &place, host.clock.now()).await,
            Turn::Opened => opened(host, &place).await,
            Turn::Closed => {
                tracing::info!(pipeline = %place.0, step = %place.1, "the plugin works again");
                closed(host, &place).await;
            }
        }
    }
}

async fn opened(host: &Arc<Host>, place: &Place) {
    let (pipeline, step) = place;
    let open = host.versions.with(place, |breaker| breaker.record().open.clone()).flatten();
    if let Some(open) = open {
        let (version, failures, reason) = (open.version.short(12), open.failures, open.reason);
        tracing::error!(%pipeline, %step, %version, failures, %reason, "this version of the plugin failed too often");
    }
    reach("breaker", "opened");
    host.versions.note(host.spool.as_ref(), place, host.clock.now()).await;
    fall_back(host, place).await;
    host.versions.note(host.spool.as_ref(), place, host.clock.now()).await;
}

async fn closed(host: &Arc<Host>, place: &Place) {
    host.versions.note(host.spool.as_ref(), place, host.clock.now()).await;
    wake(host, &place.0).await;
}

/// Swaps in the best earlier version that works with the settings as they are.
async fn fall_back(host: &Arc<Host>, place: &Place) {
    let _swapping = host.swapping.lock().await;
    let (pipeline, step) = place;
    // A reload may have closed it meanwhile.
    if host.versions.with(place, |breaker| breaker.record().open.is_none()).unwrap_or(true) {
        return;
    }
    let candidates = host.versions.with(place, |breaker| breaker.candidates()).unwrap_or_default();
    let live = host.live.load_full();
    let mut problems = Vec::new();
    for digest in candidates {
        match with_version(host, &live, place, digest).await {
            Ok(plugins) => {
                host.live.store(Arc::new(Live { plugins, ..(*live).clone() }));
                reach("breaker", "fell-back");
                host.versions.with(place, |breaker| breaker.fell_back(digest));
                host.versions.note(host.spool.as_ref(), place, host.clock.now()).await;
                tracing::warn!(%pipeline, %step, version = %digest.short(12), "the step runs an earlier version of its plugin");
                wake(host, pipeline).await;
                return;
            }
            Err(problem) => problems.push(format!("version {}: {problem}", digest.short(12))),
        }
    }
    let now = host.clock.now();
    let problems = problems.join("; ");
    if !problems.is_empty() {
        host.versions.with(place, |breaker| breaker.cannot_fall_back(problems.clone(), now));
    }
    if host.versions.with(place, |breaker| breaker.is_paused()).unwrap_or_default() {
        tracing::error!(%pipeline, %step, problems, "there is no earlier version to run: mail waits here, and one message is tried now and then");
    } else {
        tracing::warn!(%pipeline, %step, problems, "there is no earlier version to run: mail goes on without the step");
    }
}

/// The earlier versions that steps run are put into a set as configured.
async fn with_fall_backs(host: &Arc<Host>, mut live: Live) -> Live {
    for (place, digest) in host.versions.fall_backs() {
        match with_version(host, &live, &place, digest).await {
            Ok(plugins) => {
                live.plugins = plugins;
                host.versions.with(&place, |breaker| breaker.fell_back(digest));
                tracing::warn!(pipeline = %place.0, step = %place.1, version = %digest.short(12), "the step goes on with an earlier version of its plugin");
            }
            Err(problem) => {
                let problem = format!("version {}: {problem}", digest.short(12));
                tracing::error!(pipeline = %place.0, step = %place.1, %problem, "the step cannot go on with an earlier version of its plugin");
                let now = host.clock.now();
                host.versions.with(&place, |breaker| breaker.cannot_fall_back(problem, now));
                host.versions.note(host.spool.as_ref(), &place, now).await;
            }
        }
    }
    live
}

async fn with_version(
    host: &Arc<Host>,
    live: &Live,
    place: &Place,
    digest: Digest,
) -> Result<PluginSet, String> {
    let (worker, place) = (Arc::clone(host), place.clone());
    let (plugins, config) = (live.plugins.clone(), live.config.clone());
    let built = tokio::task::spawn_blocking(move || {
        let octets = Kept::of(&config.state).read(&digest).map_err(|error| error.to_string())?;
        plugins.with_version(&config, &worker.sandbox, &place, &octets)
    });
    built.await.unwrap_or_else(|panic| Err(format!("the host failed: {panic}")))
}

impl PluginSet {
    /// The same set, but for the version of one step's plugin.
    fn with_version(
        mut self,
        config: &Config,
        sandbox: &Sandbox,
        (pipeline, step): &Place,
        octets: &[u8],
    ) -> Result<Self, String> {
        let gone = || "the step is not there any more".to_owned();
        let configured = config.pipelines.get(pipeline).ok_or_else(gone)?;
        let configured = configured.steps.iter().find(|one| one.name == *step).ok_or_else(gone)?;
        let component = sandbox.load(octets).map_err(|error| error.to_string())?;
        let admission = set::admission(config, pipeline, configured);
        let plugin = component.admit(admission).map_err(|error| error.to_string())?;
        let mut chain = (**self.chains.get(pipeline).ok_or_else(gone)?).clone();
        let one = chain.steps.iter_mut().find(|one| one.name == *step).ok_or_else(gone)?;
        one.plugin_name = format!("{} (an earlier version)", configured.plugin);
        one.plugin = plugin.with_fetch(Arc::clone(one.plugin.fetch()));
        self.chains.insert(pipeline.clone(), Arc::new(chain));
        Ok(self)
    }
}

/// What waits for this pipeline is due.
pub(super) async fn wake(host: &Host, pipeline: &Name) {
    let accounts = host.live.load().plugins.accounts(pipeline);
    if let Err(error) = host.spool.hasten(&accounts, host.clock.now()).await {
        tracing::error!(%pipeline, %error, "mail that was held back waits a little longer");
    }
    host.bells.inbox.notify_one();
}

/// Keeps the octets of what runs, for when a later version fails, and removes what no step can fall back to.
async fn keep(host: &Arc<Host>) {
    let (live, wanted) = (host.live.load_full(), host.versions.wanted());
    let kept = tokio::task::spawn_blocking(move || {
        let kept = Kept::of(&live.config.state);
        for (pipeline, configured) in &live.config.pipelines {
            for step in &configured.steps {
                // A file that was changed meanwhile is kept by the reload that follows.
                let Ok(octets) = set::read_plugin(&live.config, pipeline, step) else { continue };
                let digest = Digest::of(&octets);
                if wanted.contains(&digest) && !kept.holds(&digest) {
                    kept.keep(&digest, &octets)?;
                }
            }
        }
        kept.prune(&wanted)
    });
    match kept.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "versions of plugins to fall back to cannot be kept"),
        Err(panic) => tracing::error!(%panic, "versions of plugins to fall back to cannot be kept"),
    }
}
